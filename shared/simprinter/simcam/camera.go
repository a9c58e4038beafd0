// Package simcam imitates the cameras of printers: the JPEG stream of the A1 and
// P1 series at port 6000, and the RTSPS server of the others at port 322. Nothing
// is drawn or packed while nobody watches. It is for tests and demonstrations.
package simcam

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"bambuddy/shared/bambu"
)

// user is who every client logs in as.
const user = "bblp"

// patience is for a peer that owes us something: its login, or the reading of what
// it was sent.
const patience = 30 * time.Second

// Config is what a camera is made of.
type Config struct {
	Kind  bambu.Camera
	TLS   *tls.Config   // the printer's, with its certificate
	Code  func() string // the access code in force
	Scene func() Scene  // what there is to see
	Every time.Duration // between two JPEG pictures; 0: a second
	Log   *slog.Logger  // nil: silent
}

// Quirks are what a camera can be made to do wrong, or otherwise. The zero value
// is a camera as most are.
type Quirks struct {
	Off   bool // live view is switched off: it closes at once
	Many  bool // it serves any number of viewers; else one
	Kick  bool // a new viewer takes the place of the old one; else it is refused
	Stall bool // it is silent, the connection stays
	Drop  bool // it breaks the connection in the middle of a picture

	// JPEG only.
	Truncated bool // the pictures lack their second half, their lengths are honest
	Overlong  bool // the lengths are absurd
	NotJPEG   bool // what comes is no picture

	// RTSP only.
	FarKeys      bool // ten seconds between two key frames, else one
	MidGroup     bool // a viewer joins half way between two key frames
	StuckTime    bool // the timestamps do not advance
	Lossy        bool // one packet of forty is missing
	NeedsReports bool // it falls silent ten seconds after the last receiver report
}

// Stats are what a camera has done.
type Stats struct {
	Viewers int   // at the moment
	Opened  int64 // streams begun
	Sent    int64 // pictures, or frames of the video
}

// Server is one camera. Its methods may be called at the same time.
type Server struct {
	config Config

	mu      sync.Mutex
	quirks  Quirks
	conns   map[net.Conn]struct{}
	viewers map[net.Conn]struct{}
	stats   Stats
}

// New makes a camera; Serve makes it live.
func New(c Config) *Server {
	if c.Every <= 0 {
		c.Every = time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{config: c, conns: map[net.Conn]struct{}{}, viewers: map[net.Conn]struct{}{}}
}

// Serve serves the listener until ctx ends, and closes it. When it returns, every
// connection is gone.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var served sync.WaitGroup
	defer served.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })() // if it does not end by itself
	for {
		c, err := l.Accept()
		switch {
		case err != nil && (ctx.Err() != nil || errors.Is(err, net.ErrClosed)):
			_ = l.Close()
			return nil
		case err != nil:
			return errors.Join(fmt.Errorf("accept viewers: %w", err), l.Close())
		}
		served.Go(func() { s.serve(ctx, c) })
	}
}

// serve is one connection, from its handshake to its end.
func (s *Server) serve(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	if !s.enter(c) {
		return
	}
	defer s.leave(c)
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	t := tls.Server(c, s.config.TLS)
	err := s.greet(ctx, t)
	if err == nil {
		if s.config.Kind == bambu.CameraRTSP {
			err = newSession(s, t, c).run(ctx)
		} else {
			err = s.pictures(ctx, t, c)
		}
	}
	s.config.Log.Debug("viewer gone", "from", c.RemoteAddr(), "err", err)
	_ = t.Close()
}

func (s *Server) greet(ctx context.Context, t *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return t.HandshakeContext(ctx)
}

func (s *Server) enter(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quirks.Off {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) leave(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	delete(s.viewers, c)
}

// admit tells whether a connection that has logged in may watch.
func (s *Server) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.viewers) > 0 && !s.quirks.Many {
		if !s.quirks.Kick {
			return false
		}
		for old := range s.viewers {
			delete(s.viewers, old)
			_ = old.Close()
		}
	}
	s.viewers[c] = struct{}{}
	s.stats.Opened++
	return true
}

// sent counts a picture and tells the quirks that hold for the next.
func (s *Server) sent(n int64) Quirks {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Sent += n
	return s.quirks
}

// Tune gives the camera other quirks. Off ends what is open.
func (s *Server) Tune(q Quirks) {
	s.mu.Lock()
	s.quirks = q
	s.mu.Unlock()
	if q.Off {
		s.Drop()
	}
}

// Quirks are those in force.
func (s *Server) Quirks() Quirks { return s.sent(0) }

// Drop breaks every connection.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Stats tells what the camera has done.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Viewers = len(s.viewers)
	return out
}
