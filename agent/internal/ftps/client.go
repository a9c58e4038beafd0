// Package ftps lists, downloads, uploads and deletes files on a printer, over
// FTP inside implicit TLS as printers speak it.
//
// It is a client of our own on the standard library. The library at hand cannot
// send data in clear under an encrypted control connection (the A1 needs it),
// has no context and no deadline once a transfer runs, reads replies and
// listings of any length, and connects wherever a passive reply points to.
//
// One operation is one session, and a printer has one session at a time: they
// drop idle ones, refuse second ones, and two uploads at once spoil a file. Data
// connections go to the host of the control connection only, whatever address
// a passive reply names; they resume the TLS session of the control connection,
// because printers demand it. How an end of an upload looks differs from model
// to model, so an upload is not believed to have failed before the printer has
// been asked for the size of what it holds.
package ftps

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

// Target is a printer's file server and how to get in.
type Target struct {
	Serial     string // for logs and the certificate
	Address    string // host:port
	AccessCode farm.Secret
	Model      bambu.Model // zero when unknown
	TLS        *tls.Config // template: the serial as ServerName, TLS 1.2, a check of the certificate; never changed here
}

// Options are what a Client needs.
type Options struct {
	// Target is asked anew for every operation; farm.NotFound when the agent does
	// not hold the printer.
	Target func(serial string) (Target, error)
	// Dial opens every connection, those for data too.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Log  *slog.Logger
}

// Progress is told how many bytes of how many have been moved, from the
// goroutine that called. It may be nil.
type Progress func(done, total int64)

// Client does the file operations of all printers. It is safe for concurrent
// use: operations on one printer wait for each other, in the order they came.
// It starts no goroutine that outlives a call.
//
// Its errors are *farm.Error: PrinterNotConnected (not reached, login refused,
// connection lost), PrinterBusy, FileUnavailable (no such file), Invalid (bad
// path), PrinterRefused (no storage, full, write protected), Unavailable (what
// came is not what it should be), OutcomeUnknown (an upload whose end nobody
// could see); or, wrapped, the context's error when that ended, and that of the
// caller's own reader or writer.
type Client struct {
	o     Options
	user  string
	lanes lanes
}

// New makes a Client.
func New(o Options) *Client {
	return &Client{o: o, user: "bblp", lanes: lanes{open: map[string]*lane{}}}
}

// List gives the content of a folder, in the printer's order. Names that could
// not be used in a path (separators, control characters, dots alone) are left
// out.
func (c *Client) List(ctx context.Context, serial, path string) ([]Entry, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	var entries []Entry
	err := c.session(ctx, serial, path, func(ctx context.Context, s *session) error {
		var err error
		entries, err = s.list(ctx, path)
		return err
	})
	return entries, err
}

// Size gives the size of a file in bytes.
func (c *Client) Size(ctx context.Context, serial, path string) (int64, error) {
	if err := checkFile(path); err != nil {
		return 0, err
	}
	var size int64
	err := c.session(ctx, serial, path, func(ctx context.Context, s *session) error {
		var err error
		size, err = s.size(ctx, path)
		return err
	})
	return size, err
}

// Delete removes a file.
func (c *Client) Delete(ctx context.Context, serial, path string) error {
	if err := checkFile(path); err != nil {
		return err
	}
	return c.session(ctx, serial, path, func(_ context.Context, s *session) error {
		return s.remove(path)
	})
}

// session runs do in a session of its own, when it is this printer's turn. It
// runs do again with data in clear when encrypted data connections do not work
// with a printer that is known for that; do must then have had no effect.
func (c *Client) session(ctx context.Context, serial, path string, do func(context.Context, *session) error) error {
	return c.turn(ctx, serial, path, func(t Target, l *lane) error {
		return c.perhapsClear(ctx, t, l, do)
	})
}

func (c *Client) perhapsClear(ctx context.Context, t Target, l *lane, do func(context.Context, *session) error) error {
	err := c.once(ctx, t, l.clear, do)
	if blamesTLS(err) && ctx.Err() == nil && !l.clear && mayClear(t.Model) {
		c.goClear(t, l, err)
		if again := c.once(ctx, t, true, do); !blamesTLS(again) {
			return again
		}
		l.clear = false // it will not have that either
	}
	return err
}

// turn waits until no other operation of this client runs on the printer, and
// turns what do returns into an error for the caller.
func (c *Client) turn(ctx context.Context, serial, path string, do func(Target, *lane) error) error {
	l, err := c.lanes.enter(ctx, serial)
	if err != nil {
		return err
	}
	defer c.lanes.leave(serial, l)
	t, err := c.o.Target(serial)
	if err != nil {
		return err
	}
	return explain(ctx, t, path, do(t, l))
}

// once runs do in one session.
func (c *Client) once(ctx context.Context, t Target, clear bool, do func(context.Context, *session) error) error {
	s, err := c.open(ctx, t, clear)
	if err != nil {
		return err
	}
	defer s.close()
	return do(ctx, s)
}

// goClear remembers that data connections of this printer are not encrypted.
func (c *Client) goClear(t Target, l *lane, why error) {
	l.clear = true
	c.o.Log.Warn("encrypted data connections fail, using clear ones for files; login stays encrypted",
		"printer", t.Serial, "error", why)
}

// blamesTLS tells failures that clear data may cure: TLS that did not come about,
// or a server that will not take ours for the session it knows (522), as one must
// that knows no tickets, which is all that Go can show it.
func blamesTLS(err error) bool {
	var broken *dataTLSError
	var said *replyError
	return errors.As(err, &broken) || errors.As(err, &said) && said.code == 522
}

// mayClear tells the models whose file server is known to fail at encrypted data,
// or is the vendor's own and may know no tickets. With others a failure is a
// failure: files are private.
func mayClear(m bambu.Model) bool {
	switch m.Code {
	case "A1", "A1MINI", "A2L", "P1P", "P1S":
		return true
	default:
		return false
	}
}

// How long things may take. A transfer as a whole has the time its size needs
// at a rate below any printer's, so that a trickle cannot hold a printer forever.
const (
	connectWait = 20 * time.Second // to reach the printer, and again for TLS
	replyWait   = 30 * time.Second // for the answer to a command
	stallWait   = 30 * time.Second // without a byte on a data connection
	finalWait   = 60 * time.Second // for the answer after the last byte of an upload
	lateWait    = 10 * time.Second // for an answer that only explains
	listWait    = 2 * time.Minute  // for a whole listing
	leastTime   = 10 * time.Minute // for a transfer of any size
	leastRate   = 8 << 10          // bytes a second
	drainRate   = 25 << 10         // bytes a second, of what is still under way after the last write
)

// errTooSlow ends a transfer that has used up its time.
var errTooSlow = errors.New("slower than 8 KB/s")

func timeFor(size int64) time.Duration {
	return leastTime + time.Duration(max(size, 0)/leastRate)*time.Second
}
