package discover

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"bambuddy/shared/wire"
)

// Port is where printers announce themselves, by UDP.
const Port = 2021

// relisten is how long to wait before the port is tried again.
const relisten = time.Minute

// Options are what a Discoverer gets from outside.
type Options struct {
	// ListenPacket opens the socket to listen on; nil: UDP Port of every interface,
	// shared with slicers on the same machine.
	ListenPacket func(ctx context.Context) (net.PacketConn, error)
	// Dial opens connections for Scan; nil: the operating system's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Moved hears at which address a printer was seen: at the first sight, at each
	// other address, and now and then again. It must not block, and may be called
	// concurrently. nil: nobody.
	Moved func(serial, address string)
	Log   *slog.Logger
}

// Discoverer finds printers. Make it with New. Its methods may be called
// concurrently; Run lives once.
type Discoverer struct {
	listen   func(ctx context.Context) (net.PacketConn, error)
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	moved    func(serial, address string)
	log      *slog.Logger
	seen     *table
	scanning sync.Mutex // held during Scan
}

// New makes a Discoverer that has seen nothing.
func New(o Options) *Discoverer {
	d := &Discoverer{listen: o.ListenPacket, dial: o.Dial, moved: o.Moved, log: o.Log, seen: newTable()}
	if d.listen == nil {
		d.listen = listenShared
	}
	if d.dial == nil {
		d.dial = new(net.Dialer).DialContext
	}
	if d.moved == nil {
		d.moved = func(string, string) {}
	}
	return d
}

// Seen are the printers seen within half an hour, by serial number.
func (d *Discoverer) Seen() []wire.Found { return d.seen.list(time.Now()) }

// Run listens until ctx ends. Where the port cannot be had it says so once and
// goes on trying; scans work without.
func (d *Discoverer) Run(ctx context.Context) error {
	quiet := false // the trouble has been told
	for {
		conn, err := d.listen(ctx)
		if err == nil {
			if quiet {
				d.log.Info("announcements of printers are heard again")
			}
			quiet = false
			err = d.hear(ctx, conn)
		}
		if ctx.Err() != nil {
			return nil
		}
		if !quiet {
			d.log.Warn("announcements of printers cannot be heard; scans work still", "port", Port, "err", err)
		}
		quiet = true
		pause := time.NewTimer(relisten)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// hear takes in datagrams until ctx ends or the socket breaks.
func (d *Discoverer) hear(ctx context.Context, conn net.PacketConn) error {
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	buffer := make([]byte, maxDatagram+1) // one more, to notice what is too long
	swept := time.Now()
	for {
		n, from, err := conn.ReadFrom(buffer)
		now := time.Now()
		if err != nil && (n == 0 || errors.Is(err, net.ErrClosed)) {
			return err
		}
		d.take(buffer[:n], from, now)
		if now.Sub(swept) >= sweepEvery {
			d.seen.sweep(now)
			swept = now
		}
	}
}

// take takes in one datagram.
func (d *Discoverer) take(datagram []byte, from net.Addr, now time.Time) {
	var sender netip.Addr
	if udp, ok := from.(*net.UDPAddr); ok {
		sender = udp.AddrPort().Addr()
	}
	a, ok := parseSSDP(datagram, sender)
	switch {
	case !ok:
	case a.farewell:
		d.seen.forget(a.Found)
	default:
		d.note(a.Found, now)
	}
}

func (d *Discoverer) note(f wire.Found, now time.Time) {
	if d.seen.note(f, now) {
		d.moved(f.Serial, f.Address)
	}
}
