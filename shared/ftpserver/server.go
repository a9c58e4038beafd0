package ftpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Options are what a server needs from outside.
type Options struct {
	TLS       *tls.Config // of control and data connections, its GetConfigForClient is not used; required
	Login     func(user, password string) bool
	Storage   Storage
	Character Character
	Quirks    func() Quirks                           // asked at each step, from the sessions' goroutines; nil: none
	Listen    func(addr string) (net.Listener, error) // for data connections, port 0 of the host that was called; nil: TCP
	Ports     [2]int                                  // first and last port of data connections; zero: free ones
	Announce  string                                  // IPv4 address that PASV tells; "": the one that was called
	Sessions  int                                     // at most, more are turned away; 0: 32
	Log       *slog.Logger                            // nil: silent
}

// How long a server waits.
const (
	handshakeTime = 15 * time.Second
	idleTime      = 5 * time.Minute  // between commands
	dataTime      = 30 * time.Second // for a data connection to come
	stallTime     = time.Minute      // within a transfer
	replyTime     = 30 * time.Second // for a reply to be taken
)

// Server is an FTPS server. Make one with New.
type Server struct {
	o        Options
	mu       sync.Mutex
	sessions map[*session]struct{}
	made     int
	nextPort int
}

// New makes a server; Serve makes it live.
func New(o Options) *Server {
	if o.Quirks == nil {
		o.Quirks = func() Quirks { return Quirks{} }
	}
	if o.Listen == nil {
		o.Listen = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	if o.Sessions == 0 {
		o.Sessions = 32
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o, sessions: map[*session]struct{}{}}
}

// Serve takes clients at l until ctx ends or l is closed. It closes l, ends all
// sessions and returns when they are gone. It may run on several listeners.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // what Accept tells then is not an error
	var all sync.WaitGroup
	var err error
	for {
		var conn net.Conn
		if conn, err = l.Accept(); err == nil {
			all.Go(func() { s.handle(ctx, conn) })
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			err = nil
			break
		}
		s.o.Log.Warn("no connection taken", "err", err)
		if !pause(ctx, time.Second) { // too many open files pass
			err = nil
			break
		}
	}
	stop()
	_ = l.Close()
	cancel()
	all.Wait()
	return err
}

// pause waits and tells whether ctx still stands.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// handle serves one client.
func (s *Server) handle(ctx context.Context, raw net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	defer func() { _ = raw.Close() }()
	if s.o.Quirks().Mute {
		devour(raw)
		return
	}
	config, err := sessionTLS(s.o.TLS)
	if err != nil {
		s.o.Log.Error("session not begun", "err", err)
		return
	}
	control, resumable := watchTickets(config)
	// From here on it is for data connections alone, control is a copy.
	config.SessionTicketsDisabled = config.SessionTicketsDisabled || s.o.Character.RefuseTickets
	conn := tls.Server(raw, control)
	hello, done := context.WithTimeout(ctx, handshakeTime)
	err = conn.HandshakeContext(hello)
	done()
	if err != nil {
		s.o.Log.Debug("handshake failed", "peer", raw.RemoteAddr(), "err", err)
		return
	}
	c := newSession(s, conn, config)
	c.resumable = *resumable
	if !s.enter(c) {
		c.reply(421, "Too many sessions.")
		return
	}
	defer s.leave(c)
	c.run(ctx)
	_ = conn.Close() // says goodbye
}

// enter lists a session and tells whether there was room for it.
func (s *Server) enter(c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= s.o.Sessions {
		return false
	}
	s.made++
	c.number = s.made
	s.sessions[c] = struct{}{}
	return true
}

func (s *Server) leave(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
}

// oldest tells whether no session was there before this one.
func (s *Server) oldest(c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other := range s.sessions {
		if other.number < c.number {
			return false
		}
	}
	return true
}

// listen opens a port for a data connection.
func (s *Server) listen(host string) (net.Listener, error) {
	first, last := s.o.Ports[0], s.o.Ports[1]
	if first == 0 {
		return s.o.Listen(net.JoinHostPort(host, "0"))
	}
	var err error
	for range last - first + 1 {
		s.mu.Lock()
		port := first + s.nextPort%(last-first+1)
		s.nextPort++
		s.mu.Unlock()
		var l net.Listener
		if l, err = s.o.Listen(net.JoinHostPort(host, itoa(port))); err == nil {
			return l, nil
		}
	}
	return nil, err
}
