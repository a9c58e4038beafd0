// Package hublink is the agent's side of the link to its hub. It owns the agent's
// identity, keeps the two lanes up (shared/tunnel) and serves the agent API
// (shared/wire) into them. What the calls mean to printers is the fleet's.
package hublink

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/tunnel"
)

// Options are the parts and settings of a Link.
type Options struct {
	Identity   Identity
	BootID     string    // random, of this process
	Started    time.Time // of the clock in hello, which is the outbox's; zero: now
	Version    string
	Fleet      Fleet
	Journal    *Journal        // of commands; nil: ids are remembered until the process ends
	Site       Site            // what else the agent does at its LAN
	Outbox     Outbox          // nil: it keeps none
	Captures   Captures        // nil: it keeps none
	AllowPlain bool            // an http address of another machine
	Dial       tunnel.DialFunc // nil: the operating system's
	Proxy      func(*http.Request) (*url.URL, error)
	Log        *slog.Logger
}

// Link is the connection to the hub. Make it with New and let Run live once.
type Link struct {
	hub    tunnel.Hub
	who    tunnel.Caller
	api    http.Handler // of the control lane
	bulk   http.Handler // of the bulk lane
	log    *slog.Logger
	wait   backoff.Backoff
	spoken string // what the log was last told of the control lane

	mu     sync.Mutex
	status lanes
}

// New makes a Link; it dials nothing yet.
func New(o Options) *Link {
	l := &Link{
		hub: tunnel.Hub{
			URL: o.Identity.HubURL, Fingerprint: o.Identity.Fingerprint,
			AllowPlain: o.AllowPlain, Dial: o.Dial, Proxy: o.Proxy,
		},
		who: tunnel.Caller{HubID: o.Identity.HubID, AgentID: o.Identity.AgentID, BootID: o.BootID, Key: o.Identity.Key},
		log: o.Log.With("hub", o.Identity.HubURL),
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	a := newAPI(o, o.Started)
	l.api, l.bulk = a.control(), a.bulk()
	l.status.Since = time.Now()
	return l
}

// Run keeps the link up until ctx ends; it then tells the hub, ends what it
// started and returns nil. No refusal of the hub ends it: an agent that was turned
// away knocks again.
func (l *Link) Run(ctx context.Context) error {
	for {
		lasted, err := l.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		pause := l.pauseAfter(err, lasted)
		l.ended(err, pause)
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// session opens control, keeps bulk beside it and returns when control is over,
// with how long it lasted (0: it was never opened) and why it is over.
func (l *Link) session(ctx context.Context) (time.Duration, error) {
	control, err := tunnel.Dial(ctx, l.hub, l.who, tunnel.Control, "")
	if err != nil {
		return 0, err
	}
	began := time.Now()
	l.began(control)
	inside, end := context.WithCancel(ctx)
	var bulk sync.WaitGroup
	bulk.Go(func() { l.keepBulk(inside, control.Session) })
	err = control.Serve(ctx, l.api, l.log)
	end() // the session is over: so is bulk
	bulk.Wait()
	return time.Since(began), err
}

// keepBulk keeps the bulk lane of one session up; its loss ends nothing else.
func (l *Link) keepBulk(ctx context.Context, session string) {
	var wait backoff.Backoff
	spoken := ""
	for ctx.Err() == nil {
		began := time.Now()
		err := l.serveBulk(ctx, session)
		if ctx.Err() != nil {
			return
		}
		p := problemOf(err)
		if p.key != spoken {
			spoken = p.key
			l.log.Warn("bulk lane lost or refused: no transfers and no cameras until it is back", "reason", p.sentence)
		}
		pause := wait.NextAfter(time.Since(began))
		var no *tunnel.Refused
		if errors.As(err, &no) {
			pause = max(pause, backoff.Spread(min(no.RetryAfter, longestWait)))
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

func (l *Link) serveBulk(ctx context.Context, session string) error {
	s, err := tunnel.Dial(ctx, l.hub, l.who, tunnel.Bulk, session)
	if err != nil {
		return err
	}
	l.setBulk(s)
	defer l.setBulk(nil)
	return s.Serve(ctx, l.bulk, l.log)
}

// sleep waits and tells whether the whole time has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
