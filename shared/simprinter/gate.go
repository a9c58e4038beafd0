package simprinter

import (
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// gate is a printer's way to the network: a listener, and others beside it, whose
// connections can be frozen, as when a cable is pulled, or dropped, as when a
// printer starts anew.
type gate struct {
	net.Listener
	mu     sync.Mutex
	moved  *sync.Cond
	frozen bool
	closed bool
	conns  map[*gatedConn]struct{}
	held   []net.Conn // closed while nothing gets through: their peers must not see it
	others map[*sideGate]struct{}
}

func newGate(l net.Listener) *gate {
	g := &gate{Listener: l, conns: map[*gatedConn]struct{}{}, others: map[*sideGate]struct{}{}}
	g.moved = sync.NewCond(&g.mu)
	return g
}

// Accept waits for a connection that may come in.
func (g *gate) Accept() (net.Conn, error) { return g.accept(g.Listener) }

// sideGate is another listener at the same gate.
type sideGate struct {
	net.Listener
	gate *gate
}

// beside makes another listener's connections go through the gate, which closes
// the listener when it closes itself.
func (g *gate) beside(l net.Listener) net.Listener {
	s := &sideGate{l, g}
	g.mu.Lock()
	g.others[s] = struct{}{}
	closed := g.closed
	g.mu.Unlock()
	if closed {
		_ = s.Close()
	}
	return s
}

// Accept waits for a connection that may come in.
func (s *sideGate) Accept() (net.Conn, error) { return s.gate.accept(s.Listener) }

// Close ends this listener alone.
func (s *sideGate) Close() error {
	s.gate.mu.Lock()
	delete(s.gate.others, s)
	s.gate.mu.Unlock()
	return s.Listener.Close()
}

func (g *gate) accept(l net.Listener) (net.Conn, error) {
	for {
		c, err := l.Accept()
		if err != nil {
			return nil, err
		}
		g.mu.Lock()
		if g.closed {
			g.mu.Unlock()
			_ = c.Close()
			continue
		}
		gc := &gatedConn{Conn: c, gate: g}
		g.conns[gc] = struct{}{}
		g.mu.Unlock()
		return gc, nil
	}
}

// Close ends the listeners and lets everybody go who waits at the gate.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed, g.frozen = true, false
	g.moved.Broadcast()
	others := slices.Collect(maps.Keys(g.others))
	g.mu.Unlock()
	g.release()
	for _, l := range others {
		_ = l.Close() // its server sees it end
	}
	return g.Listener.Close()
}

// freeze lets nothing through, without an error to anybody, or through again.
func (g *gate) freeze(on bool) {
	g.mu.Lock()
	g.frozen = on && !g.closed
	frozen := g.frozen
	g.moved.Broadcast()
	g.mu.Unlock()
	if !frozen {
		g.release()
	}
}

// release closes what was closed in silence.
func (g *gate) release() {
	g.mu.Lock()
	held := g.held
	g.held = nil
	g.mu.Unlock()
	for _, c := range held {
		_ = c.Close()
	}
}

// drop breaks every connection.
func (g *gate) drop() {
	g.mu.Lock()
	conns := make([]*gatedConn, 0, len(g.conns))
	for c := range g.conns {
		conns = append(conns, c)
	}
	g.mu.Unlock()
	for _, c := range conns {
		_ = c.part(true)
	}
	g.release()
}

// pass waits while the gate is frozen and tells whether the connection still stands.
func (g *gate) pass(c *gatedConn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		_, open := g.conns[c]
		if !open || !g.frozen {
			return open
		}
		g.moved.Wait()
	}
}

type gatedConn struct {
	net.Conn
	gate *gate
}

func (c *gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.gate.pass(c) { // what came before it was dropped is lost with it
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *gatedConn) Write(b []byte) (int, error) {
	if !c.gate.pass(c) {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// Close ends the connection; while nothing gets through, only on this side.
func (c *gatedConn) Close() error { return c.part(false) }

func (c *gatedConn) part(loud bool) error {
	g := c.gate
	g.mu.Lock()
	_, open := g.conns[c]
	delete(g.conns, c)
	silent := open && g.frozen && !loud
	if silent {
		g.held = append(g.held, c.Conn)
	}
	g.moved.Broadcast()
	g.mu.Unlock()
	switch {
	case silent:
		return c.SetDeadline(time.Unix(1, 0)) // wakes who reads or writes
	case !open && !loud:
		return nil // already, if not to be seen by the peer
	}
	return c.Conn.Close()
}
