package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

// maxRecord bounds a print.json.
const maxRecord = 1 << 20

// Restorer is what a rebuild needs of the database.
type Restorer interface {
	// SiteNamed finds a site by its name, or makes it.
	SiteNamed(ctx context.Context, name string) (farm.Site, error)
	// PrinterIDs gives the printers that are registered, by serial number.
	PrinterIDs(ctx context.Context) (map[string]int64, error)
	// ProjectNamed finds a project by its name, or makes it.
	ProjectNamed(ctx context.Context, name string) (farm.Project, error)
	// RestorePrint adds an archive that is not there, with the runs it was told of by and
	// its files; it tells whether it was added.
	RestorePrint(ctx context.Context, p farm.Print, runs []string, files []farm.PrintFile) (bool, error)
}

// Rebuilt is what a rebuild found.
type Rebuilt struct {
	Records  int // print.json files read
	Restored int // archives added
	Present  int // archives that were there already
	Unread   int // records that could not be used
	Missing  int // files that a record names and the store does not have
}

// Rebuild restores the archives of a database from the object store alone. What is
// there already stays as it is, so it can be run again. said is told, for people, of
// each record that cannot be used, and of progress.
func Rebuild(ctx context.Context, objects blob.Store, db Restorer, said func(string)) (Rebuilt, error) {
	var done Rebuilt
	printers, err := db.PrinterIDs(ctx)
	if err != nil {
		return done, err
	}
	err = objects.List(ctx, "prints/", "", func(i blob.Info) error {
		if !strings.HasSuffix(i.Key, "/print.json") {
			return nil
		}
		if done.Records++; done.Records%1000 == 0 {
			said(fmt.Sprintf("%d records read, %d archives restored", done.Records, done.Restored))
		}
		r, err := readRecord(ctx, objects, i)
		if err != nil {
			if farm.Is(err, farm.Unavailable) || ctx.Err() != nil {
				return err
			}
			done.Unread++
			said(fmt.Sprintf("%s: %v", i.Key, err))
			return nil
		}
		return restore(ctx, objects, db, printers, i, r, &done)
	})
	return done, err
}

func readRecord(ctx context.Context, objects blob.Store, i blob.Info) (Record, error) {
	var r Record
	if i.Size > maxRecord {
		return r, fmt.Errorf("it has %d bytes", i.Size)
	}
	body, _, err := objects.Get(ctx, i.Key, 0, -1)
	if err != nil {
		return r, err
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(io.LimitReader(body, maxRecord))
	if err != nil {
		return r, farm.Wrap(farm.Unavailable, err, "it could not be read")
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("it is no record: %w", err)
	}
	if r.Version != recordVersion || r.Print.ID <= 0 || r.Site == "" || r.Print.Dir == "" {
		return r, fmt.Errorf("it is no record of version %d", recordVersion)
	}
	return r, nil
}

func restore(ctx context.Context, objects blob.Store, db Restorer, printers map[string]int64, i blob.Info, r Record, done *Rebuilt) error {
	site, err := db.SiteNamed(ctx, r.Site)
	if err != nil {
		return err
	}
	p := r.Print.print()
	p.SiteID, p.PrinterID = site.ID, printers[p.Serial]
	files := []farm.PrintFile{{
		SiteID: site.ID, Role: farm.RoleRecord, Path: p.Dir + "/print.json", Key: i.Key, Size: i.Size,
		MediaType: "application/json", Status: farm.FileStored, CreatedAt: p.CreatedAt, StoredAt: i.Modified,
	}}
	for _, f := range r.Files {
		info, err := objects.Stat(ctx, f.Key)
		if farm.Is(err, farm.NotFound) || err == nil && info.Size != f.Size {
			done.Missing++
			if f.Role == farm.RoleModel {
				p.FileStatus, p.FileError = farm.FileMissing, "the object store has lost this file"
			}
			continue
		}
		if err != nil {
			return err
		}
		files = append(files, farm.PrintFile{
			SiteID: site.ID, Role: f.Role, Path: f.Path, Key: f.Key, SHA256: f.SHA256, Size: f.Size, MediaType: f.MediaType,
			Status: farm.FileStored, CreatedAt: f.CreatedAt, StoredAt: info.Modified,
		})
	}
	if r.Project != "" {
		project, err := db.ProjectNamed(ctx, r.Project)
		if err != nil {
			return err
		}
		p.ProjectID = project.ID
	}
	added, err := db.RestorePrint(ctx, p, r.Runs, files)
	switch {
	case err != nil:
		return fmt.Errorf("restore archive %d: %w", p.ID, err)
	case added:
		done.Restored++
	default:
		done.Present++
	}
	return nil
}
