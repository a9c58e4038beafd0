package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"bambuddy/shared/farm"
)

// SiteNamed finds a site by its name, or makes it.
func (d *DB) SiteNamed(ctx context.Context, name string) (farm.Site, error) {
	s, err := scanSite(d.read.QueryRowContext(ctx, `SELECT id, name, created_at FROM sites WHERE name = $1`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return d.CreateSite(ctx, name)
	}
	if err != nil {
		return s, fmt.Errorf("find site %q: %w", name, err)
	}
	return s, nil
}

// PrinterIDs gives the ids of registered printers by their serial numbers.
func (d *DB) PrinterIDs(ctx context.Context) (map[string]int64, error) {
	printers, err := d.Printers(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(printers))
	for _, p := range printers {
		out[p.Serial] = p.ID
	}
	return out, nil
}

// RestorePrint adds an archive under the id it had, with its files, unless there is one
// of that id or of that run; it tells whether it was added.
func (d *DB) RestorePrint(ctx context.Context, p farm.Print, files []farm.PrintFile) (added bool, err error) {
	err = d.change(ctx, func(t *tx) error {
		added = false
		var there bool
		const q = `SELECT EXISTS (SELECT 1 FROM prints WHERE id = $1) OR EXISTS (SELECT 1 FROM print_runs WHERE run_id = $2 AND run_id <> '')`
		if err := t.QueryRowContext(ctx, q, p.ID, p.RunID).Scan(&there); err != nil || there {
			return err
		}
		for _, f := range files {
			p.Has = append(p.Has, f.Role)
		}
		insert := `INSERT INTO prints (` + printColumns + `) VALUES (` + places(1, 50) + `)`
		if _, err := t.ExecContext(ctx, insert, append([]any{p.ID}, printFields(p)...)...); err != nil {
			return err
		}
		if err := t.restoreRest(ctx, p, files); err != nil {
			return err
		}
		added = true
		return nil
	})
	return added, err
}

func (t *tx) restoreRest(ctx context.Context, p farm.Print, files []farm.PrintFile) error {
	if t.engine == postgres { // whose ids do not follow by themselves
		const q = `SELECT setval(pg_get_serial_sequence('prints', 'id'), GREATEST((SELECT MAX(id) FROM prints), 1))`
		if _, err := t.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	if err := t.count(ctx, p, 1); err != nil {
		return err
	}
	if err := t.index(ctx, p, false); err != nil {
		return err
	}
	if p.RunID != "" {
		if _, err := t.ExecContext(ctx, `INSERT INTO print_runs (run_id, print_id, seq) VALUES ($1, $2, $3)`, p.RunID, p.ID, int64(1)<<40); err != nil {
			return err
		}
	}
	for _, f := range files {
		f.PrintID = p.ID
		if err := t.putFile(ctx, f, ""); err != nil {
			return err
		}
		if f.Role != farm.RoleModel {
			continue
		}
		const q = `INSERT INTO objects (sha256, key, size, stored_at) VALUES ($1, $2, $3, $4) ON CONFLICT (sha256) DO NOTHING`
		if _, err := t.ExecContext(ctx, q, f.SHA256, f.Key, f.Size, ms(f.StoredAt)); err != nil {
			return err
		}
	}
	return nil
}
