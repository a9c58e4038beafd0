package outbox

import (
	"errors"

	"golang.org/x/sys/windows"
)

// diskFree is how many bytes may be written to the volume of a folder.
func diskFree(dir string) (int64, bool) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var free, total, all uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, &total, &all); err != nil {
		return 0, false
	}
	return int64(free), true //nolint:gosec // no disk has 2^63 bytes
}

func isNoSpace(err error) bool { return errors.Is(err, windows.ERROR_DISK_FULL) }
