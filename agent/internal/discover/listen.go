package discover

import (
	"context"
	"net"
	"strconv"
	"syscall"
)

// listenShared opens the port in a way that a slicer on the same machine can hold
// it as well: each gets every broadcast.
func listenShared(ctx context.Context) (net.PacketConn, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = share(fd) }); err != nil {
			return err
		}
		return failed
	}}
	return c.ListenPacket(ctx, "udp4", ":"+strconv.Itoa(Port))
}
