package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const pullColumns = `id, print_id, run_id, agent_id, role, sha256, size, name, tries, next_at, error`

func scanPull(r row) (p farm.Pull, err error) {
	var next int64
	err = r.Scan(&p.ID, &p.PrintID, &p.RunID, &p.AgentID, &p.Role, &p.SHA256, &p.Size, &p.Name, &p.Tries, &next, &p.Error)
	p.NextAt = when(next)
	return p, err
}

// DuePulls gives files to fetch that are due: of each agent the first, then of each the
// second, so that one with many holds up no other one. Of an agent's own small ones are
// first, those that came first before others.
func (d *DB) DuePulls(ctx context.Context, now time.Time, limit int) ([]farm.Pull, error) {
	const q = `SELECT ` + pullColumns + ` FROM (
			SELECT ` + pullColumns + `, ROW_NUMBER() OVER (PARTITION BY agent_id ORDER BY tries,
				CASE WHEN role = 'thumbnail' THEN 0 WHEN role = 'timelapse' THEN 2 ELSE 1 END, id) AS turn
			FROM pulls WHERE next_at <= $1
		) AS due ORDER BY turn, id LIMIT $2`
	out, err := list(ctx, d.read, scanPull, q, ms(now), limit)
	if err != nil {
		return nil, fmt.Errorf("list the files to fetch: %w", err)
	}
	return out, nil
}

// NextPull is when the next file is due; zero when there is none to fetch.
func (d *DB) NextPull(ctx context.Context) (time.Time, error) {
	var next int64
	if err := d.read.QueryRowContext(ctx, `SELECT COALESCE(MIN(next_at), 0) FROM pulls`).Scan(&next); err != nil {
		return time.Time{}, fmt.Errorf("read the next file to fetch: %w", err)
	}
	return when(next), nil
}

// PullFailed puts a file off, and notes why, in its row and its print's.
func (d *DB) PullFailed(ctx context.Context, id int64, next time.Time, reason string) error {
	return d.endPull(ctx, id, func(t *tx, p farm.Pull) error {
		const q = `UPDATE pulls SET tries = tries + 1, next_at = $1, error = $2 WHERE id = $3`
		if _, err := t.ExecContext(ctx, q, ms(next), reason, id); err != nil {
			return err
		}
		return t.stands(ctx, p, farm.FilePending, reason, p.Error != reason)
	})
}

// PullGone gives a file up.
func (d *DB) PullGone(ctx context.Context, id int64, reason string) error {
	return d.endPull(ctx, id, func(t *tx, p farm.Pull) error {
		if _, err := t.ExecContext(ctx, `DELETE FROM pulls WHERE id = $1`, id); err != nil {
			return err
		}
		return t.stands(ctx, p, farm.FileMissing, reason, true)
	})
}

// PullDone ends a pull: the file is stored, and its agent knows.
func (d *DB) PullDone(ctx context.Context, id int64) error {
	if _, err := d.write.ExecContext(ctx, `DELETE FROM pulls WHERE id = $1`, id); err != nil {
		return fmt.Errorf("end the fetching of a file: %w", err)
	}
	return nil
}

func (d *DB) endPull(ctx context.Context, id int64, fn func(*tx, farm.Pull) error) error {
	err := d.change(ctx, func(t *tx) error {
		p, err := scanPull(t.QueryRowContext(ctx, `SELECT `+pullColumns+` FROM pulls WHERE id = $1`, id))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(t, p)
	})
	if err != nil {
		return fmt.Errorf("note how a file to fetch stands: %w", err)
	}
	return nil
}

// stands notes how a file of a print stands that is not stored.
func (t *tx) stands(ctx context.Context, p farm.Pull, status farm.FileStatus, reason string, tell bool) error {
	const q = `UPDATE print_files SET status = $1, reason = $2 WHERE print_id = $3 AND role = $4 AND status <> 'stored'`
	if _, err := t.ExecContext(ctx, q, string(status), reason, p.PrintID, p.Role); err != nil {
		return err
	}
	if p.Role != farm.RoleModel {
		return nil
	}
	before, err := t.print(ctx, p.PrintID)
	if farm.Is(err, farm.NotFound) || err == nil && before.FileStatus == farm.FileStored {
		return nil
	}
	if err != nil {
		return err
	}
	after := before
	after.FileStatus, after.FileError, after.UpdatedAt = status, reason, time.Now()
	if tell {
		t.tell(archiveEvent(farm.EventArchiveUpdated, after))
	}
	return t.savePrint(ctx, before, after)
}

// giveUpPulls notes that the files that an agent holds will not come: it is removed.
func (t *tx) giveUpPulls(ctx context.Context, agentID int64) error {
	pulls, err := list(ctx, t, scanPull, `SELECT `+pullColumns+` FROM pulls WHERE agent_id = $1`, agentID)
	if err != nil {
		return err
	}
	for _, p := range pulls {
		if err := t.stands(ctx, p, farm.FileMissing, "its agent was removed", true); err != nil {
			return err
		}
	}
	_, err = t.ExecContext(ctx, `DELETE FROM pulls WHERE agent_id = $1`, agentID)
	return err
}
