//go:build !windows

package atomicfile

import "os"

// SyncDir makes the names in dir, and renames of them, durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}
