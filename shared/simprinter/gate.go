package simprinter

import (
	"net"
	"sync"
)

// gate is a listener whose connections can be frozen, as when a cable is pulled,
// or dropped, as when a printer starts anew.
type gate struct {
	net.Listener
	mu     sync.Mutex
	moved  *sync.Cond
	frozen bool
	closed bool
	conns  map[*gatedConn]struct{}
}

func newGate(l net.Listener) *gate {
	g := &gate{Listener: l, conns: map[*gatedConn]struct{}{}}
	g.moved = sync.NewCond(&g.mu)
	return g
}

// Accept waits for a connection that may come in.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
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

// Close ends the listener and lets everybody go who waits at the gate.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed, g.frozen = true, false
	g.moved.Broadcast()
	g.mu.Unlock()
	return g.Listener.Close()
}

// freeze lets nothing through, without an error to anybody, or through again.
func (g *gate) freeze(on bool) {
	g.mu.Lock()
	g.frozen = on && !g.closed
	g.moved.Broadcast()
	g.mu.Unlock()
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
		_ = c.Close()
	}
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

func (c *gatedConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.moved.Broadcast()
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
