package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"bambuddy/shared/farm"
)

// NewestFiles gives the newest files of archives that are stored, the newest first: those
// whose agents may have them still.
func (d *DB) NewestFiles(ctx context.Context, limit int) ([]farm.PrintFile, error) {
	const q = `SELECT ` + fileColumns + ` FROM print_files WHERE status = 'stored' AND role IN ('model', 'finish', 'timelapse') ORDER BY id DESC LIMIT $1`
	out, err := list(ctx, d.read, scanFile, q, limit)
	if err != nil {
		return nil, fmt.Errorf("list the newest files: %w", err)
	}
	return out, nil
}

// PullAgain wants a file once more whose object is gone, from the agent that captured it;
// it tells whether there is one to ask. Of a thumbnail there is none: what is stored is
// not what was captured.
func (d *DB) PullAgain(ctx context.Context, f farm.PrintFile) (wanted bool, err error) {
	err = d.change(ctx, func(t *tx) error {
		wanted = false
		p, err := t.print(ctx, f.PrintID)
		if err != nil || p.RunID == "" || p.AgentID == 0 || f.Role == farm.RoleThumbnail || f.Role == farm.RoleRecord {
			return err
		}
		wanted = true
		name := path.Base(f.Path)
		if f.Role == farm.RoleModel {
			name = p.Filename
		}
		const q = `INSERT INTO pulls (print_id, run_id, agent_id, role, sha256, size, name, tries, next_at, error) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, '')
			ON CONFLICT (run_id, role, sha256) DO NOTHING`
		_, err = t.ExecContext(ctx, q, p.ID, p.RunID, p.AgentID, f.Role, f.SHA256, f.Size, name, ms(time.Now()))
		return err
	})
	var known *farm.Error
	if err != nil && !errors.As(err, &known) {
		err = fmt.Errorf("want a file of archive %d again: %w", f.PrintID, err)
	}
	return wanted, err
}
