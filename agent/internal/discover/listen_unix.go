//go:build !windows

package discover

import "golang.org/x/sys/unix"

// share lets others bind the socket's port too.
func share(fd uintptr) error {
	for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1); err != nil {
			return err
		}
	}
	return nil
}
