package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

const fileColumns = `id, print_id, site_id, role, path, key, sha256, size, media_type, status, reason, created_at, stored_at`

func scanFile(r row) (f farm.PrintFile, err error) {
	var created, stored int64
	err = r.Scan(&f.ID, &f.PrintID, &f.SiteID, &f.Role, &f.Path, &f.Key, &f.SHA256, &f.Size, &f.MediaType, &f.Status, &f.Reason, &created, &stored)
	f.CreatedAt, f.StoredAt = when(created), when(stored)
	return f, err
}

// PrintFiles gives the files of an archive, whatever has become of them.
func (d *DB) PrintFiles(ctx context.Context, printID int64) ([]farm.PrintFile, error) {
	return printFiles(ctx, d.read, printID)
}

func printFiles(ctx context.Context, q queryer, printID int64) ([]farm.PrintFile, error) {
	out, err := list(ctx, q, scanFile, `SELECT `+fileColumns+` FROM print_files WHERE print_id = $1 ORDER BY id`, printID)
	if err != nil {
		return nil, fmt.Errorf("list the files of archive %d: %w", printID, err)
	}
	return out, nil
}

// putFile writes a file of a print; only tells which of those that are there it may replace.
func (t *tx) putFile(ctx context.Context, f farm.PrintFile, only string) error {
	// A model may be called as another file of its print is.
	const other = `SELECT EXISTS (SELECT 1 FROM print_files WHERE site_id = $1 AND path = $2 AND NOT (print_id = $3 AND role = $4))`
	var clash bool
	if err := t.QueryRowContext(ctx, other, f.SiteID, f.Path, f.PrintID, f.Role).Scan(&clash); err != nil {
		return fmt.Errorf("look for a file of the same name: %w", err)
	}
	if clash {
		f.Path = path.Join(path.Dir(f.Path), f.Role+"-"+path.Base(f.Path))
	}
	q := `INSERT INTO print_files (print_id, site_id, role, path, key, sha256, size, media_type, status, reason, created_at, stored_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (print_id, role) DO UPDATE SET path = excluded.path, key = excluded.key, sha256 = excluded.sha256, size = excluded.size,
		media_type = excluded.media_type, status = excluded.status, reason = excluded.reason, stored_at = excluded.stored_at ` + only
	_, err := t.ExecContext(ctx, q, f.PrintID, f.SiteID, f.Role, f.Path, f.Key, f.SHA256, f.Size, f.MediaType, string(f.Status), f.Reason, ms(f.CreatedAt), ms(f.StoredAt))
	if err != nil {
		return fmt.Errorf("note a file of print %d: %w", f.PrintID, err)
	}
	return nil
}

// Object finds the object that holds a content; NOT_FOUND without.
func (d *DB) Object(ctx context.Context, sha256 string) (key string, size int64, err error) {
	err = d.read.QueryRowContext(ctx, `SELECT key, size FROM objects WHERE sha256 = $1`, sha256).Scan(&key, &size)
	return key, size, notFound(err, "this content is not stored")
}

// StoreFile notes, in one transaction, that a file of a print is stored: its object, its
// row, what it tells of the print, and that its object is no longer only intended.
func (d *DB) StoreFile(ctx context.Context, f farm.StoredFile) error {
	err := d.change(ctx, func(t *tx) error {
		p, err := t.print(ctx, f.PrintID)
		if err != nil {
			return err
		}
		after, err := t.storeFile(ctx, p, f)
		if err == nil && f.Role != farm.RoleRecord {
			t.tell(archiveEvent(farm.EventArchiveUpdated, after))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store the %s of archive %d: %w", f.Role, f.PrintID, err)
	}
	return nil
}

// storeFile is StoreFile within a transaction; it gives the print as it is then.
func (t *tx) storeFile(ctx context.Context, p farm.Print, f farm.StoredFile) (farm.Print, error) {
	if err := t.settle(ctx, f.Key); err != nil {
		return p, err
	}
	if err := t.replaced(ctx, f); err != nil {
		return p, err
	}
	now := time.Now()
	if f.Role == farm.RoleModel {
		if err := t.putObject(ctx, f, now); err != nil {
			return p, err
		}
	}
	err := t.putFile(ctx, farm.PrintFile{
		PrintID: p.ID, SiteID: p.SiteID, Role: f.Role, Path: f.Path, Key: f.Key, SHA256: f.SHA256, Size: f.Size, MediaType: f.MediaType,
		Status: farm.FileStored, CreatedAt: now, StoredAt: now,
	}, "")
	if err != nil || f.Role == farm.RoleRecord { // which tells what is known already
		return p, err
	}
	after := p
	learn(&after, f)
	return after, t.savePrint(ctx, p, after)
}

// settle takes the intent of an object away, because a row is to refer to it. When the
// sweeper was faster the object is gone, or about to be: it is to be stored anew.
func (t *tx) settle(ctx context.Context, key string) error {
	var due int64
	err := t.QueryRowContext(ctx, `DELETE FROM object_intents WHERE key = $1 RETURNING due_at`, key).Scan(&due)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && due >= 0:
		return nil
	case err != nil:
		return fmt.Errorf("settle an intent: %w", err)
	}
	return farm.Errorf(farm.Unavailable, "the object was swept before a row referred to it; store it again")
}

// putObject notes which object holds a content. When that is another one than before, as
// after the store has lost the first, everybody who needs the content goes with it.
func (t *tx) putObject(ctx context.Context, f farm.StoredFile, now time.Time) error {
	var before string
	err := t.QueryRowContext(ctx, `SELECT key FROM objects WHERE sha256 = $1`+t.lock(), f.SHA256).Scan(&before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("look for an object: %w", err)
	}
	const q = `INSERT INTO objects (sha256, key, size, stored_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (sha256) DO UPDATE SET key = excluded.key, size = excluded.size, stored_at = excluded.stored_at`
	if _, err := t.ExecContext(ctx, q, f.SHA256, f.Key, f.Size, ms(now)); err != nil {
		return fmt.Errorf("note an object: %w", err)
	}
	if before == "" || before == f.Key {
		return nil
	}
	if _, err := t.ExecContext(ctx, `UPDATE print_files SET key = $1 WHERE key = $2 AND sha256 = $3`, f.Key, before, f.SHA256); err != nil {
		return fmt.Errorf("move files to another object: %w", err)
	}
	return t.intend(ctx, before, now)
}

// replaced leaves the object of the file that was there before to the sweeper.
func (t *tx) replaced(ctx context.Context, f farm.StoredFile) error {
	var key string
	err := t.QueryRowContext(ctx, `SELECT key FROM print_files WHERE print_id = $1 AND role = $2`, f.PrintID, f.Role).Scan(&key)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (key == "" || key == f.Key) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the file of before: %w", err)
	}
	return t.intend(ctx, key, time.Now())
}

// learn takes over what a file tells of its print.
func learn(p *farm.Print, f farm.StoredFile) {
	if !slices.Contains(p.Has, f.Role) {
		p.Has = append(slices.Clone(p.Has), f.Role)
	}
	p.UpdatedAt = time.Now()
	if f.Role != farm.RoleModel {
		return
	}
	p.SHA256, p.FileSize, p.FileStatus, p.FileError = f.SHA256, f.Size, farm.FileStored, ""
	if f.Name != "" {
		p.Filename = f.Name
	}
	if s := f.Slice; s != nil {
		slice(p, *s)
	}
	p.Weigh(f.Prices)
}

// slice takes over what the slicer says.
func slice(p *farm.Print, s farm.SliceData) {
	if s.Title != "" && !p.Renamed {
		p.Name = s.Title
	}
	if p.Plate == 0 {
		p.Plate = s.Plate
	}
	if s.TotalLayers > 0 {
		p.TotalLayers = s.TotalLayers
	}
	if s.Nozzle != nil {
		p.Nozzle = s.Nozzle
	}
	p.Filaments, p.LayerHeight, p.BedType, p.Estimate, p.EstimateGrams = s.Filaments, s.LayerHeight, s.BedType, s.Estimate, s.EstimateGrams
	var types []string
	for _, f := range s.Filaments {
		if f.Type != "" && !slices.Contains(types, f.Type) {
			types = append(types, f.Type)
		}
	}
	p.FilamentType = strings.Join(types, ", ")
}

func archiveEvent(kind string, p farm.Print) farm.Event {
	return farm.Event{
		Kind: kind, PrinterID: p.PrinterID, SiteID: p.SiteID,
		Data: []byte(text(map[string]any{"archive_id": p.ID, "name": p.Name, "status": p.Status, "file_status": p.FileStatus})),
	}
}
