package store

import (
	"context"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

// AddFile adds an uploaded file as an archive and gives it its id and folder, in which
// the path of f is. Without its file an archive of one is never there.
func (d *DB) AddFile(ctx context.Context, p *farm.Print, f farm.StoredFile) error {
	err := d.change(ctx, func(t *tx) error {
		one, f := *p, f
		if err := t.projectThere(ctx, one.ProjectID); err != nil {
			return err
		}
		if err := t.addPrint(ctx, &one); err != nil {
			return err
		}
		bare := one
		one.Dir = farm.PrintDir(one)
		if err := t.savePrint(ctx, bare, one); err != nil {
			return err
		}
		f.PrintID, f.Path = one.ID, one.Dir+"/"+f.Path
		t.tell(archiveEvent(farm.EventArchiveAdded, one))
		var err error
		if one, err = t.storeFile(ctx, one, f); err != nil {
			return err
		}
		*p = one
		return nil
	})
	if err != nil {
		return fmt.Errorf("add an archive: %w", err)
	}
	return nil
}

// ChangePrint changes what people may change; NOT_FOUND names a project that is not there.
func (d *DB) ChangePrint(ctx context.Context, id int64, c farm.PrintChange) (p farm.Print, err error) {
	err = d.change(ctx, func(t *tx) error {
		before, err := t.print(ctx, id)
		if err != nil {
			return err
		}
		p = before
		if c.Name != nil {
			p.Name, p.Renamed = *c.Name, true
		}
		if c.Notes != nil {
			p.Notes = *c.Notes
		}
		if c.Tags != nil {
			p.Tags = *c.Tags
		}
		if c.FailureReason != nil {
			p.FailureReason = *c.FailureReason
		}
		if c.Favorite != nil {
			p.Favorite = *c.Favorite
		}
		if c.ProjectID != nil {
			p.ProjectID = *c.ProjectID
			if err := t.projectThere(ctx, p.ProjectID); err != nil {
				return err
			}
		}
		p.UpdatedAt = time.Now()
		t.tell(archiveEvent(farm.EventArchiveUpdated, p))
		if err := t.savePrint(ctx, before, p); err != nil {
			return err
		}
		p, err = onePrint(ctx, t, id)
		return err
	})
	return p, err
}

func (t *tx) projectThere(ctx context.Context, id int64) error {
	if id == 0 {
		return nil
	}
	var one int
	return notFound(t.QueryRowContext(ctx, `SELECT 1 FROM projects WHERE id = $1`, id).Scan(&one), "project_id: there is no project %d", id)
}

// DeletePrint hides an archive, or removes its row for good (purge), and leaves every
// object that no other archive uses to the sweeper. CONFLICT while it prints.
func (d *DB) DeletePrint(ctx context.Context, id int64, purge bool) error {
	return d.change(ctx, func(t *tx) error {
		p, err := t.print(ctx, id)
		if err != nil {
			return err
		}
		if p.Status == farm.StatusPrinting {
			return farm.Errorf(farm.Conflict, "archive %d is being printed: stop it first", id)
		}
		if err := t.dropFiles(ctx, id); err != nil {
			return err
		}
		gone := p
		gone.DeletedAt, gone.UpdatedAt = time.Now(), time.Now()
		gone.Has, gone.FileStatus, gone.FileError = nil, farm.FileMissing, "the archive was deleted"
		if err := t.savePrint(ctx, p, gone); err != nil {
			return err
		}
		if purge {
			if _, err := t.ExecContext(ctx, `DELETE FROM prints WHERE id = $1`, id); err != nil {
				return fmt.Errorf("remove archive %d: %w", id, err)
			}
		}
		t.tell(archiveEvent(farm.EventArchiveDeleted, p))
		return nil
	})
}

// dropFiles removes the files of a print. Pulls stay: their agents are to be told.
func (t *tx) dropFiles(ctx context.Context, id int64) error {
	files, err := printFiles(ctx, t, id)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Key == "" {
			continue
		}
		if err := t.intend(ctx, f.Key, time.Now()); err != nil {
			return err
		}
	}
	if _, err := t.ExecContext(ctx, `DELETE FROM print_files WHERE print_id = $1`, id); err != nil {
		return fmt.Errorf("remove the files of archive %d: %w", id, err)
	}
	return nil
}

// ExpiredPrints gives archives from before a moment that nobody marked to be kept, the
// oldest first.
func (d *DB) ExpiredPrints(ctx context.Context, before time.Time, limit int) ([]farm.Print, error) {
	q := `SELECT ` + printColumns + ` FROM prints WHERE deleted_at = 0 AND created_at < $1 AND NOT favorite AND status <> 'printing'
		ORDER BY created_at, id LIMIT $2`
	out, err := list(ctx, d.read, scanPrint, q, ms(before), limit)
	if err != nil {
		return nil, fmt.Errorf("list old archives: %w", err)
	}
	return out, nil
}

// OldestWithFiles gives archives that hold files, more than their record, and that
// nobody marked to be kept, the oldest first.
func (d *DB) OldestWithFiles(ctx context.Context, limit, skip int) ([]farm.Print, error) {
	q := `SELECT ` + printColumns + ` FROM prints WHERE deleted_at = 0 AND NOT favorite AND status <> 'printing'
		AND EXISTS (SELECT 1 FROM print_files f WHERE f.print_id = prints.id AND f.key <> '' AND f.role <> 'record') ORDER BY created_at, id LIMIT $1 OFFSET $2`
	out, err := list(ctx, d.read, scanPrint, q, limit, skip)
	if err != nil {
		return nil, fmt.Errorf("list the oldest archives: %w", err)
	}
	return out, nil
}

// StoredBytes is how many bytes all objects have together.
func (d *DB) StoredBytes(ctx context.Context) (n int64, err error) {
	const q = `SELECT (SELECT COALESCE(SUM(size), 0) FROM objects WHERE EXISTS (SELECT 1 FROM print_files f WHERE f.key = objects.key AND f.key <> ''))
		+ (SELECT COALESCE(SUM(size), 0) FROM print_files WHERE status = 'stored' AND role <> 'model')`
	if err := d.read.QueryRowContext(ctx, q).Scan(&n); err != nil {
		return 0, fmt.Errorf("measure the objects: %w", err)
	}
	return n, nil
}

// Freed is how many bytes go with an archive: those of objects that no other one uses.
func (d *DB) Freed(ctx context.Context, id int64) (n int64, err error) {
	const q = `SELECT COALESCE(SUM(size), 0) FROM print_files f WHERE print_id = $1 AND key <> '' AND status = 'stored'
		AND NOT EXISTS (SELECT 1 FROM print_files g WHERE g.key = f.key AND g.key <> '' AND g.print_id <> f.print_id)`
	if err := d.read.QueryRowContext(ctx, q, id).Scan(&n); err != nil {
		return 0, fmt.Errorf("measure archive %d: %w", id, err)
	}
	return n, nil
}
