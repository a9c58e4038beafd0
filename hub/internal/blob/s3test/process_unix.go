//go:build unix

package s3test

import (
	"os"
	"path/filepath"
	"syscall"
)

// onlyOne waits until no other test program builds.
func onlyOne() (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "bambuddy-s3test.lock"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
