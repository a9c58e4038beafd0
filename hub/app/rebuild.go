package app

import (
	"context"
	"path/filepath"

	"bambuddy/hub/internal/archive"
	"bambuddy/hub/internal/blob"
)

// Rebuild restores the archives of the database from an object store (nil: the
// folder objects in the data directory), beside a running hub or without one.
func (a *Admin) Rebuild(ctx context.Context, dataDir string, objects blob.Store, said func(string)) (archive.Rebuilt, error) {
	if objects == nil {
		files, err := blob.NewFiles(filepath.Join(dataDir, "objects"))
		if err != nil {
			return archive.Rebuilt{}, err
		}
		defer func() { _ = files.Close() }()
		objects = files
	}
	return archive.Rebuild(ctx, objects, a.db, said)
}
