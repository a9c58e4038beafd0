package blob

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// List is Store's. A folder is sorted as its keys are: as if its name ended in a slash.
func (f *Files) List(ctx context.Context, prefix, after string, fn func(Info) error) error {
	return f.walk(ctx, "", prefix, after, fn)
}

func (f *Files) walk(ctx context.Context, dir, prefix, after string, fn func(Info) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(f.root.FS(), cmp.Or(strings.TrimSuffix(dir, "/"), "."))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unusable(err)
	}
	keyOf := func(e fs.DirEntry) string {
		if e.IsDir() {
			return dir + e.Name() + "/"
		}
		return dir + e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(keyOf(a), keyOf(b)) })
	for _, e := range entries {
		key := keyOf(e)
		switch {
		case e.IsDir():
			if overlap(key, prefix) && (key > after || strings.HasPrefix(after, key)) {
				err = f.walk(ctx, key, prefix, after, fn)
			}
		case strings.HasPrefix(key, prefix) && key > after && !strings.HasPrefix(key, tempPrefix):
			err = tell(key, e, fn)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overlap tells whether keys in a folder can begin with prefix.
func overlap(folder, prefix string) bool {
	return strings.HasPrefix(folder, prefix) || strings.HasPrefix(prefix, folder)
}

func tell(key string, e fs.DirEntry, fn func(Info) error) error {
	s, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return unusable(err)
	}
	return fn(fileInfo(key, s))
}
