// Package atomicfile writes files that appear whole or not at all: after a crash
// or a power cut at any moment the path holds the old content or the new one,
// never a part.
package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile puts data at path: a temporary file in the same folder, synced,
// renamed over path, and the folder synced. The file gets exactly perm, whatever
// the umask. The folder must exist. Callers that write the same path at the same
// time do no harm; one of them wins.
func WriteFile(path string, data []byte, perm os.FileMode) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err = fill(tmp, data, perm); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// fill writes, syncs and closes a file.
func fill(f *os.File, data []byte, perm os.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
