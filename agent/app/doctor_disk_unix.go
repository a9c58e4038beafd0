//go:build !windows

package app

import "golang.org/x/sys/unix"

// freeSpace is how many bytes can still be written in a directory.
func freeSpace(dir string) (bytes uint64, known bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true //nolint:unconvert // the types differ between systems
}
