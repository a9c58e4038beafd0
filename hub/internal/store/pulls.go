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

// DuePulls gives files to fetch that are due: small ones first, those that came first
// before others.
func (d *DB) DuePulls(ctx context.Context, now time.Time, limit int) ([]farm.Pull, error) {
	const q = `SELECT ` + pullColumns + ` FROM pulls WHERE next_at <= $1
		ORDER BY tries, CASE WHEN role = 'thumbnail' THEN 0 WHEN role = 'timelapse' THEN 2 ELSE 1 END, id LIMIT $2`
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
	before, err := onePrint(ctx, t, p.PrintID)
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

// Intend notes that an object may come to be under a key. The later moment counts.
func (d *DB) Intend(ctx context.Context, key string, due time.Time) error {
	return d.change(ctx, func(t *tx) error { return t.intend(ctx, key, due) })
}

func (t *tx) intend(ctx context.Context, key string, due time.Time) error {
	const q = `INSERT INTO object_intents (key, due_at) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET due_at = CASE WHEN excluded.due_at > object_intents.due_at THEN excluded.due_at ELSE object_intents.due_at END`
	if _, err := t.ExecContext(ctx, q, key, ms(due)); err != nil {
		return fmt.Errorf("intend an object: %w", err)
	}
	return nil
}

// DueIntents gives keys whose objects may be swept.
func (d *DB) DueIntents(ctx context.Context, now time.Time, limit int) ([]string, error) {
	out, err := list(ctx, d.read, func(r row) (key string, err error) { return key, r.Scan(&key) },
		`SELECT key FROM object_intents WHERE due_at <= $1 ORDER BY due_at LIMIT $2`, ms(now), limit)
	if err != nil {
		return nil, fmt.Errorf("list the objects to sweep: %w", err)
	}
	return out, nil
}

// ClaimIntent takes a due intent away and tells whether the object under its key is to
// be deleted: no row refers to it. Who deletes it keeps others from writing it meanwhile.
func (d *DB) ClaimIntent(ctx context.Context, key string, now time.Time) (free bool, err error) {
	err = d.change(ctx, func(t *tx) error {
		due, err := changed(t.ExecContext(ctx, `DELETE FROM object_intents WHERE key = $1 AND due_at <= $2`, key, ms(now)))
		if err != nil || !due {
			return err
		}
		const q = `SELECT NOT EXISTS (SELECT 1 FROM print_files WHERE key = $1 AND key <> '')`
		if err := t.QueryRowContext(ctx, q, key).Scan(&free); err != nil || !free {
			return err
		}
		_, err = t.ExecContext(ctx, `DELETE FROM objects WHERE key = $1`, key)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claim an object to sweep: %w", err)
	}
	return free, nil
}
