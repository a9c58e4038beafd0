//go:build !windows

package outbox

import (
	"errors"
	"syscall"
)

// diskSize is how many bytes the file system of a folder has in all.
func diskSize(dir string) (int64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Blocks) * int64(s.Bsize), true //nolint:gosec,unconvert // of other widths elsewhere
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
