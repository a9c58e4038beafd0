package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

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

// RestorePrint adds an archive with its files, under the id it had unless another has
// that by now. One that is there already, by its run or by its folder, stays as it is.
// It tells whether it was added.
func (d *DB) RestorePrint(ctx context.Context, p farm.Print, runs []string, files []farm.PrintFile) (added bool, err error) {
	err = d.change(ctx, func(t *tx) error {
		added = false
		there, err := t.restored(ctx, p, runs, files)
		if err != nil || there {
			return err
		}
		one := p
		one.Has = nil
		for _, f := range files {
			if f.Role != farm.RoleRecord {
				one.Has = append(one.Has, f.Role)
			}
		}
		if err := t.addRestored(ctx, &one); err != nil {
			return err
		}
		if err := t.restoreRest(ctx, one, runs, files); err != nil {
			return err
		}
		added = true
		return nil
	})
	return added, err
}

// restored tells whether an archive is there, or was and somebody deleted it.
func (t *tx) restored(ctx context.Context, p farm.Print, runs []string, files []farm.PrintFile) (there bool, err error) {
	const q = `SELECT EXISTS (SELECT 1 FROM prints WHERE id = $1 AND site_id = $2 AND dir = $3)`
	if err := t.QueryRowContext(ctx, q, p.ID, p.SiteID, p.Dir).Scan(&there); err != nil || there {
		return there, err
	}
	for _, run := range runs {
		if err := t.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM print_runs WHERE run_id = $1)`, run).Scan(&there); err != nil || there {
			return there, err
		}
	}
	for _, f := range files {
		const q = `SELECT EXISTS (SELECT 1 FROM print_files WHERE site_id = $1 AND path = $2)`
		if err := t.QueryRowContext(ctx, q, f.SiteID, f.Path).Scan(&there); err != nil || there {
			return there, err
		}
	}
	return false, nil
}

// addRestored adds a print under its id if that is free.
func (t *tx) addRestored(ctx context.Context, p *farm.Print) error {
	var used bool
	if err := t.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM prints WHERE id = $1) OR EXISTS (SELECT 1 FROM print_runs WHERE print_id = $1)`, p.ID).Scan(&used); err != nil {
		return err
	}
	if used {
		return t.addPrint(ctx, p)
	}
	insert := `INSERT INTO prints (id, ` + strings.Join(printNames, ", ") + `) VALUES (` + places(1, len(printNames)+1) + `)`
	if _, err := t.ExecContext(ctx, insert, append([]any{p.ID}, printFields(*p)...)...); err != nil {
		return err
	}
	if t.engine == postgres { // whose ids do not follow by themselves
		const q = `SELECT setval('prints_id_seq', GREATEST($1, (SELECT last_value FROM prints_id_seq)))`
		if _, err := t.ExecContext(ctx, q, p.ID); err != nil {
			return err
		}
	}
	return t.follow(ctx, farm.Print{DeletedAt: time.Now()}, *p)
}

func (t *tx) restoreRest(ctx context.Context, p farm.Print, runs []string, files []farm.PrintFile) error {
	for _, run := range runs {
		if _, err := t.ExecContext(ctx, `INSERT INTO print_runs (run_id, print_id, seq) VALUES ($1, $2, $3)`, run, p.ID, int64(1)<<40); err != nil {
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

// Runs gives the runs a print was told of by.
func (d *DB) Runs(ctx context.Context, printID int64) ([]string, error) {
	out, err := list(ctx, d.read, func(r row) (run string, err error) { return run, r.Scan(&run) },
		`SELECT run_id FROM print_runs WHERE print_id = $1 ORDER BY run_id`, printID)
	if err != nil {
		return nil, fmt.Errorf("list the runs of archive %d: %w", printID, err)
	}
	return out, nil
}

// ProjectNamed finds the first project of a name, or makes it.
func (d *DB) ProjectNamed(ctx context.Context, name string) (farm.Project, error) {
	p, err := scanProject(d.read.QueryRowContext(ctx, `SELECT `+projectColumns+` FROM projects WHERE name = $1 ORDER BY id LIMIT 1`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return d.AddProject(ctx, farm.Project{Name: name, Status: "active"})
	}
	if err != nil {
		return p, fmt.Errorf("find project %q: %w", name, err)
	}
	return p, nil
}
