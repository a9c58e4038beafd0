// Package memnet is a network in memory for tests: named listeners, dialers that
// belong to a host, buffered connections with deadlines, links that can be cut,
// healed and throttled. It works inside a testing/synctest bubble, where real
// sockets do not, and it is never shipped.
package memnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// Network is a set of listeners that can reach each other. The zero value is not
// usable; make one with New.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	cut       map[string]bool // by host name
	rate      map[string]int  // bytes a second, by host name
	conns     map[*Conn]struct{}
	nextPort  int
}

// New makes an empty network.
func New() *Network {
	return &Network{
		listeners: map[string]*listener{}, cut: map[string]bool{}, rate: map[string]int{},
		conns: map[*Conn]struct{}{}, nextPort: 40000,
	}
}

// Listen opens a listener at "host:port"; port 0 takes a free one.
func (n *Network) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, err)
	}
	if port == "0" {
		n.nextPort++
		port = fmt.Sprint(n.nextPort)
	}
	addr = net.JoinHostPort(host, port)
	if _, taken := n.listeners[addr]; taken {
		return nil, fmt.Errorf("listen %s: address already in use", addr)
	}
	l := &listener{network: n, addr: Addr(addr), queue: make(chan net.Conn, 128), done: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// Serve answers every connection to an address with a function of its own goroutine,
// until the test ends; a nil function closes it at once.
func (n *Network) Serve(t testing.TB, addr string, answer func(net.Conn)) {
	t.Helper()
	l, err := n.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = c.Close() }()
				if answer != nil {
					answer(c)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
}

// Dialer gives the dial function of a host of that name: what it dials is cut
// and throttled by Cut and Throttle of that name.
func (n *Network) Dialer(host string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("dial %s: %w", addr, err)
		}
		n.mu.Lock()
		l := n.listeners[addr]
		dst, _, _ := net.SplitHostPort(addr)
		cut := n.cut[host] || n.cut[dst]
		n.nextPort++
		src := Addr(fmt.Sprintf("%s:%d", host, n.nextPort))
		n.mu.Unlock()
		if cut { // as packets into nowhere: only the caller's patience ends it
			<-ctx.Done()
			return nil, fmt.Errorf("dial %s: %w", addr, ctx.Err())
		}
		if l == nil {
			return nil, fmt.Errorf("dial %s: %w", addr, errRefused)
		}
		near, far := n.pair(src, l.addr, host, dst)
		if err := l.offer(ctx, far); err != nil {
			near.Reset()
			far.Reset()
			return nil, fmt.Errorf("dial %s: %w", addr, err)
		}
		return near, nil
	}
}

// Cut makes a host unreachable: what is sent to or by it vanishes, without an
// error to either side, until Heal. Connections stay open, as on a pulled cable.
func (n *Network) Cut(host string) { n.set(host, true) }

// Heal undoes Cut. Bytes sent in between are lost for good, so connections that
// lost some are reset.
func (n *Network) Heal(host string) { n.set(host, false) }

func (n *Network) set(host string, cut bool) {
	n.mu.Lock()
	n.cut[host] = cut
	var lossy []*Conn
	for c := range n.conns {
		if c.host == host || c.peerHost == host {
			if !cut && (c.out.lost() || c.in.lost()) {
				lossy = append(lossy, c)
			}
			c.out.setCut(n.cut[c.host] || n.cut[c.peerHost])
		}
	}
	n.mu.Unlock()
	for _, c := range lossy {
		c.Reset()
	}
}

// Throttle limits every connection made from now on by or to a host, in bytes a
// second and each direction; 0 lifts it.
func (n *Network) Throttle(host string, bytesPerSecond int) {
	n.mu.Lock()
	n.rate[host] = bytesPerSecond
	n.mu.Unlock()
}

// Reset breaks every connection of a host, as a rebooting router does.
func (n *Network) Reset(host string) {
	n.mu.Lock()
	var hit []*Conn
	for c := range n.conns {
		if c.host == host || c.peerHost == host {
			hit = append(hit, c)
		}
	}
	n.mu.Unlock()
	for _, c := range hit {
		c.Reset()
	}
}

// Conns lists the open connections that host dialled, in no order, for tests
// that break one of them.
func (n *Network) Conns(host string) []*Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*Conn
	for c := range n.conns {
		if c.host == host && c.dialled {
			out = append(out, c)
		}
	}
	return out
}

func (n *Network) pair(src, dst Addr, srcHost, dstHost string) (near, far *Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	rate := n.rate[srcHost]
	if r := n.rate[dstHost]; r > 0 && (rate == 0 || r < rate) {
		rate = r
	}
	there, back := newPipe(rate), newPipe(rate)
	near = &Conn{network: n, in: back, out: there, local: src, remote: dst, host: srcHost, peerHost: dstHost, dialled: true}
	far = &Conn{network: n, in: there, out: back, local: dst, remote: src, host: dstHost, peerHost: srcHost}
	n.conns[near], n.conns[far] = struct{}{}, struct{}{}
	return near, far
}

// Addr is "host:port".
type Addr string

// Network is "mem".
func (Addr) Network() string  { return "mem" }
func (a Addr) String() string { return string(a) }

type listener struct {
	network *Network
	addr    Addr
	queue   chan net.Conn
	once    sync.Once
	done    chan struct{}
}

var errRefused = errors.New("connection refused")

// offer queues a connection to be accepted.
func (l *listener) offer(ctx context.Context, c net.Conn) error {
	select {
	case l.queue <- c:
	case <-l.done:
		return errRefused
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-l.done: // it closed beside us and may have missed this one
		return errRefused
	default:
		return nil
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.network.mu.Lock()
		delete(l.network.listeners, string(l.addr))
		l.network.mu.Unlock()
		for {
			select {
			case c := <-l.queue:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }

// ErrReset is what both ends see after Reset.
var ErrReset = errors.New("connection reset by peer")

// Conn is one end of a connection.
type Conn struct {
	network        *Network
	in, out        *pipe
	local, remote  Addr
	host, peerHost string
	dialled        bool
}

func (c *Conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *Conn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close ends both directions; the peer reads what was sent, then EOF.
func (c *Conn) Close() error {
	c.forget()
	c.out.closeWrite(nil)
	c.in.closeRead(net.ErrClosed)
	return nil
}

// Reset breaks the connection at once for both ends.
func (c *Conn) Reset() {
	c.forget()
	for _, p := range []*pipe{c.in, c.out} {
		p.closeWrite(ErrReset)
		p.closeRead(ErrReset)
	}
}

func (c *Conn) forget() {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
}

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the other end's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	c.out.setWriteDeadline(t)
	return nil
}

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error { c.in.setReadDeadline(t); return nil }

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.out.setWriteDeadline(t); return nil }
