package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"bambuddy/agent/internal/discover"
	"bambuddy/shared/wire"
)

// DiscoverOptions are what a search for printers needs.
type DiscoverOptions struct {
	Ranges   []string      // to scan: "192.168.1.0/24", one address; none: the networks this machine is in
	Passive  bool          // scan nothing, only listen
	Listen   time.Duration // for announcements; a scan may take longer
	Progress func(done, total int)
	Dial     DialFunc                                          // nil: the operating system's
	Hear     func(ctx context.Context) (net.PacketConn, error) // the socket to listen on; nil: the operating system's
	Log      *slog.Logger
}

// Discover looks for printers, without an agent or beside one, and gives those
// found, by serial number. Its errors are those of discover.Discoverer.Scan; what
// was found before is given with them.
func Discover(ctx context.Context, o DiscoverOptions) ([]wire.Found, error) {
	ranges, err := rangesOf(o)
	if err != nil {
		return nil, err
	}
	d := discover.New(discover.Options{Dial: o.Dial, ListenPacket: o.Hear, Log: o.Log})
	listening, stop := context.WithTimeout(ctx, o.Listen)
	defer stop()
	var ears sync.WaitGroup
	ears.Go(func() { _ = d.Run(listening) }) // it never fails
	if len(ranges) > 0 {
		_, err = d.Scan(ctx, ranges, o.Progress)
	}
	if err != nil {
		stop()
	}
	ears.Wait()
	return d.Seen(), err
}

func rangesOf(o DiscoverOptions) ([]netip.Prefix, error) {
	if o.Passive {
		return nil, nil
	}
	if len(o.Ranges) == 0 {
		ranges, err := discover.LocalRanges()
		if err != nil {
			return nil, fmt.Errorf("find out what to scan: %w", err)
		}
		return ranges, nil
	}
	var ranges []netip.Prefix
	for _, s := range o.Ranges {
		p, err := discover.ParseRange(s)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, p)
	}
	return ranges, nil
}
