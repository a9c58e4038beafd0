package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"bambuddy/shared/atomicfile"
	"bambuddy/shared/farm"
)

// tempPrefix begins the names of files that are being written, all of them at the top.
const tempPrefix = ".part-"

// Files is a Store in a folder. It is written so that a power cut at any moment
// leaves the old object or the new one, and what was acknowledged is there.
type Files struct {
	root *os.Root
	dir  string

	// folders is held by who makes a folder until a file is in it, by many at once, and
	// alone by who removes the empty ones: os.Root.MkdirAll fails in several ways when a
	// folder goes in the middle of it.
	folders sync.RWMutex
}

// NewFiles opens a folder, and makes it if it is missing. Close it.
func NewFiles(dir string) (*Files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of objects: %w", err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("make the folder of objects durable: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of objects: %w", err)
	}
	return &Files{root: root, dir: dir}, nil
}

// Close gives the folder up.
func (f *Files) Close() error { return f.root.Close() }

// Clear removes what a process before this one was writing. Only the one process that
// writes into the folder may call it, before it writes.
func (f *Files) Clear() error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		if err := f.root.Remove(e.Name()); err != nil {
			return fmt.Errorf("remove a leftover: %w", err)
		}
	}
	return nil
}

// Put is Store's. It writes under a name of the store's own, so that one folder alone
// has to be cleared, and renames what is whole.
func (f *Files) Put(ctx context.Context, key string, r io.Reader, size int64, o PutOptions) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	temp := tempPrefix + randomName()
	info, err := f.fill(temp, newBody(ctx, r, size, o.SHA256))
	if err == nil {
		err = f.place(temp, key)
	}
	if err != nil {
		_ = f.root.Remove(temp)
		return Info{}, err
	}
	if err := f.syncUp(path.Dir(key)); err != nil {
		return Info{}, err
	}
	return fileInfo(key, info), nil
}

// fill writes a file and syncs it.
func (f *Files) fill(temp string, b *body) (info fs.FileInfo, err error) {
	out, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, unusable(err)
	}
	defer func() {
		if closed := out.Close(); err == nil && closed != nil {
			err = unusable(closed)
		}
	}()
	if _, err := io.Copy(out, b); b.failed != nil {
		return nil, b.failed
	} else if err != nil {
		return nil, unusable(err)
	}
	if err := out.Sync(); err != nil {
		return nil, unusable(err)
	}
	if info, err = out.Stat(); err != nil {
		return nil, unusable(err)
	}
	return info, nil
}

// place gives a file its name, and makes the folders of it.
func (f *Files) place(temp, key string) error {
	f.folders.RLock()
	defer f.folders.RUnlock()
	err := f.root.MkdirAll(filepath.FromSlash(path.Dir(key)), 0o700)
	if err == nil {
		err = f.root.Rename(temp, filepath.FromSlash(key))
	}
	if err != nil && f.inTheWay(key) {
		return farm.Wrap(farm.Invalid, err, "key %s: one of two keys is a folder of the other", key)
	}
	return unusable(err)
}

// inTheWay tells whether a key cannot be a file: it is a folder, or is below a file.
func (f *Files) inTheWay(key string) bool {
	if s, err := f.root.Lstat(filepath.FromSlash(key)); err == nil && s.IsDir() {
		return true
	}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		if s, err := f.root.Lstat(filepath.FromSlash(dir)); err == nil && !s.IsDir() {
			return true
		}
	}
	return false
}

// syncUp makes the names of a folder durable, and those on the way to it, whoever made
// them: a folder another Put made a moment ago may not be on the disk yet.
func (f *Files) syncUp(dir string) error {
	for {
		err := atomicfile.SyncDir(filepath.Join(f.dir, filepath.FromSlash(dir)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a folder that is gone took no object of ours with it
			return unusable(err)
		}
		if dir == "." {
			return nil
		}
		dir = path.Dir(dir)
	}
}

// Get is Store's.
func (f *Files) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error) {
	if err := CheckKey(key); err != nil {
		return nil, Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, Info{}, err
	}
	file, err := f.root.Open(filepath.FromSlash(key))
	if err != nil {
		return nil, Info{}, absent(key, err)
	}
	info, err := infoOf(key, file)
	if err == nil {
		length, err = span(key, info.Size, offset, length)
	}
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, Info{}, err
	}
	return &part{io.LimitReader(file, length), file}, info, nil
}

// part is a piece of something that is to be closed.
type part struct {
	io.Reader
	io.Closer
}

func infoOf(key string, file *os.File) (Info, error) {
	s, err := file.Stat()
	if err != nil {
		return Info{}, unusable(err)
	}
	if s.IsDir() {
		return Info{}, missing(key)
	}
	return fileInfo(key, s), nil
}

func fileInfo(key string, s fs.FileInfo) Info {
	return Info{Key: key, Size: s.Size(), Modified: s.ModTime().UTC(), ContentType: mime.TypeByExtension(path.Ext(key))}
}

// absent says in our words why a file could not be opened.
func absent(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return missing(key)
	}
	return unusable(err)
}

// Stat is Store's.
func (f *Files) Stat(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	s, err := f.root.Stat(filepath.FromSlash(key))
	if err != nil {
		return Info{}, absent(key, err)
	}
	if s.IsDir() {
		return Info{}, missing(key)
	}
	return fileInfo(key, s), nil
}

// Delete is Store's. Folders that are empty then go as well.
func (f *Files) Delete(ctx context.Context, key string) error {
	if _, err := f.Stat(ctx, key); err != nil {
		if farm.Is(err, farm.NotFound) {
			return nil
		}
		return err
	}
	if err := f.root.Remove(filepath.FromSlash(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unusable(err)
	}
	return f.syncUp(f.removeEmpty(path.Dir(key)))
}

// removeEmpty removes a folder and those above it that are empty, and gives the first
// that stays.
func (f *Files) removeEmpty(dir string) string {
	f.folders.Lock()
	defer f.folders.Unlock()
	for dir != "." && f.root.Remove(filepath.FromSlash(dir)) == nil {
		dir = path.Dir(dir)
	}
	return dir
}

// Check is Store's: it writes a file and removes it.
func (f *Files) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name := tempPrefix + randomName()
	if err := f.root.WriteFile(name, []byte("ok"), 0o600); err != nil {
		return unusable(err)
	}
	if err := f.root.Remove(name); err != nil {
		return unusable(err)
	}
	return nil
}

// unusable says that it is the disk that failed; nil stays nil.
func unusable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return farm.Wrap(farm.Unavailable, err, "the disk of the object store is full")
	}
	return farm.Wrap(farm.Unavailable, err, "the disk of the object store cannot be used")
}
