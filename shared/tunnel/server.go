package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
)

// Server is the agent's end of a lane: it serves HTTP to the hub.
type Server struct {
	Lane    Lane
	Session string // the hub's name for this session

	conn *laneConn
}

// Serve answers the hub's requests with h until the lane ends, and returns why
// once every handler has returned: *Closed when the hub said so, the context's
// error when that ended it (the hub is told), else the failure of the connection.
// The requests' contexts end with the lane. Call it once.
func (s *Server) Serve(ctx context.Context, h http.Handler, log *slog.Logger) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	listener := &oneConn{conn: s.conn, done: make(chan struct{})}
	gate := &gate{handler: h, log: log}
	srv := &http.Server{
		Handler:        gate,
		Protocols:      http2Only(),
		HTTP2:          http2Config(),
		MaxHeaderBytes: maxHeaders,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:    func(net.Listener) context.Context { return running },
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				_ = listener.Close()
			}
		},
	}
	left := make(chan struct{})
	leave := context.AfterFunc(ctx, func() {
		defer close(left)
		s.conn.closeWith(StatusLeaving, "the agent stops")
	})
	_ = srv.Serve(listener) // always "the listener is closed": why() knows the cause
	stop()
	gate.close()
	if !leave() {
		<-left
	}
	_ = s.conn.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.conn.why()
}

// Close ends a lane that is not served, or makes Serve return.
func (s *Server) Close() { s.conn.closeWith(StatusReplaced, "session over") }

// Traffic counts the lane's bytes.
func (s *Server) Traffic() Traffic { return s.conn.socket.traffic() }

// oneConn is a listener that has one connection to give, and ends with it.
type oneConn struct {
	mu   sync.Mutex
	conn net.Conn
	once sync.Once
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	l.mu.Lock()
	c := l.conn
	l.conn = nil
	l.mu.Unlock()
	if c != nil {
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// gate knows which handlers run, so that Serve can wait for them: net/http does
// not. A handler that panics ends its stream and is logged.
type gate struct {
	handler http.Handler
	log     *slog.Logger

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return
	}
	g.running.Add(1)
	g.mu.Unlock()
	defer g.running.Done()
	defer func() {
		if p := recover(); p != nil {
			if err, is := p.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
				g.log.Error("agent API handler panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to end one stream
		}
	}()
	g.handler.ServeHTTP(w, r)
}

func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.running.Wait()
}
