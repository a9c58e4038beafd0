// Package app builds the parts of one agent, in order, and runs them.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"bambuddy/agent/internal/capture"
	"bambuddy/agent/internal/fleet"
	"bambuddy/agent/internal/hublink"
	"bambuddy/agent/internal/outbox"
	"bambuddy/agent/internal/record"
	"bambuddy/shared/buildinfo"
	"bambuddy/shared/dirlock"
)

// lockFile is what a running agent locks in its data directory.
const lockFile = "agent.lock"

// drainTime is how long the parts may take to end; a daemon is to be gone within 10 s.
const drainTime = 9 * time.Second

// DialFunc opens network connections.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Options are what an agent needs from outside. Tests give their own dialers.
type Options struct {
	DataDir string   // made if it is missing
	Dial    DialFunc // to printers; nil: the operating system's
	HubDial DialFunc // to the hub; nil: the operating system's, through a proxy where the environment names one
	// Announcements opens the socket on which printers announce themselves; nil:
	// UDP port 2021 of this machine.
	Announcements func(ctx context.Context) (net.PacketConn, error)
	FFmpeg        string // path of the program, "" without it: RTSPS cameras then give no pictures
	CaptureQuota  int64  // bytes that captured files may take; 0: the outbox's own choice
	AllowPlain    bool   // speak to a hub on another machine without encryption
	Log           *slog.Logger
}

// Run runs one agent until ctx ends; it is gone within 10 s then. It fails at
// once when another agent works on the data directory (dirlock.ErrHeld), when the
// agent is not enrolled (farm.NotFound) or its files cannot be used.
func Run(ctx context.Context, o Options) (err error) {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := dirlock.Take(ctx, o.DataDir, lockFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	identity, err := hublink.LoadIdentity(o.DataDir)
	if err != nil {
		return err
	}
	bootID, started := rand.Text(), time.Now()
	box, err := outbox.Open(ctx, outbox.Options{
		Dir: o.DataDir, ProcessID: bootID, Started: started, Quota: o.CaptureQuota, Log: o.Log.With("part", "outbox"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.Close()) }() // last: sessions write into it
	var lan *site
	var captures *capture.Capture
	books, err := record.Open(ctx, record.Options{
		Journal: box, Tasks: capture.Tasks, Wake: func() { captures.Wake() }, Started: started, Log: o.Log.With("part", "prints"), // not before Run
	})
	if err != nil {
		return err
	}
	printers, err := fleet.New(fleet.Options{
		Dir: o.DataDir, HubID: identity.HubID, Dial: o.dial(), Log: o.Log.With("part", "printers"),
		Book: books.Book, Removed: books.Forget,
		Left: func(serial string) { lan.cameras.Stop(serial) }, // not before Run
	})
	if err != nil {
		return err
	}
	journal, err := hublink.OpenJournal(o.DataDir, o.Log.With("part", "link"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	lan = newSite(o, printers)
	captures = capture.New(capture.Options{
		Outbox: box, Files: linkedFiles{lan.files}, Photos: lan.cameras, Live: lan.live, Fence: lan.fence, Log: o.Log.With("part", "captures"),
	})
	link := hublink.New(hublink.Options{
		Identity: identity, BootID: bootID, Started: started, Version: buildinfo.Version(), Fleet: linked{printers}, Site: lan.link(), Journal: journal,
		Outbox: box, Captures: box,
		AllowPlain: o.AllowPlain, Dial: o.HubDial, Proxy: o.proxy(), Log: o.Log.With("part", "link"),
	})
	reporter := newReporter(o.DataDir, identity.HubURL, link, printers, o.Log)
	o.Log.Info("agent", "version", buildinfo.Version(), "data", o.DataDir, "identity", identity)
	return runAll(ctx, printers.Run, lan.cameras.Run, lan.discover.Run, box.Run, captures.Run, link.Run, reporter.Run)
}

func (o Options) dial() DialFunc {
	if o.Dial != nil {
		return o.Dial
	}
	return new(net.Dialer).DialContext
}

func (o Options) proxy() func(*http.Request) (*url.URL, error) {
	if o.HubDial != nil {
		return nil
	}
	return http.ProxyFromEnvironment
}

// linked is a fleet as the link wants it.
type linked struct{ *fleet.Fleet }

// Watch begins a stream of states.
func (l linked) Watch() hublink.Watcher { return l.Fleet.Watch() }

// runAll runs parts side by side until ctx ends or one fails, which ends the
// others. It does not wait for ever for a part that does not end.
func runAll(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make([]error, len(parts))
	var group sync.WaitGroup
	for i, part := range parts {
		group.Go(func() {
			failed[i] = part(ctx)
			cancel()
		})
	}
	gone := make(chan struct{})
	go func() {
		group.Wait()
		close(gone)
	}()
	<-ctx.Done()
	limit := time.NewTimer(drainTime)
	defer limit.Stop()
	select {
	case <-gone:
		return errors.Join(failed...)
	case <-limit.C:
		return fmt.Errorf("the agent did not end within %v of being told", drainTime)
	}
}
