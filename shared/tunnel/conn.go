package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// socket is the connection below a websocket. It counts bytes and gives up when
// the peer takes nothing for its patience: a peer that sends but never reads
// would otherwise hold our writers for ever, for pings only notice silence.
type socket struct {
	net.Conn
	patience       time.Duration
	received, sent atomic.Int64
	most           atomic.Int64 // of received, 0: any number
}

func newSocket(c net.Conn) *socket { return &socket{Conn: c, patience: writePatience} }

func (s *socket) Read(b []byte) (int, error) {
	if most := s.most.Load(); most > 0 && s.received.Load() > most {
		return 0, errors.New("the peer goes on sending")
	}
	n, err := s.Conn.Read(b)
	s.received.Add(int64(n))
	return n, err
}

func (s *socket) Write(b []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(b)
	s.sent.Add(int64(n))
	return n, err
}

func (s *socket) traffic() Traffic {
	return Traffic{Received: s.received.Load(), Sent: s.sent.Load()}
}

// laneConn is what HTTP/2 speaks through: websocket.NetConn, with three
// differences. Deadlines do nothing, for one that strikes kills a NetConn. Close
// is immediate, while NetConn's would wait for the peer. And it remembers why
// reading ended, which net/http keeps to itself.
type laneConn struct {
	net.Conn
	ws     *websocket.Conn
	socket *socket

	closed    atomic.Bool // by us
	farewell  atomic.Bool // the peer is being told why
	firstByte *time.Timer // nil, or ends a lane on which nothing ever came

	mu  sync.Mutex
	end error // what ended reading
}

func newLaneConn(ctx context.Context, ws *websocket.Conn, s *socket) *laneConn {
	// NetConn lifts the read limit; it hands over a message's bytes as they come, so
	// a huge message is never held in memory and HTTP/2's own limits apply to it.
	return &laneConn{Conn: websocket.NetConn(context.WithoutCancel(ctx), ws, websocket.MessageBinary), ws: ws, socket: s}
}

func (c *laneConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.firstByte != nil {
		c.firstByte.Stop()
	}
	if err != nil {
		c.mu.Lock()
		if c.end == nil {
			c.end = err
			if c.closed.Load() && websocket.CloseStatus(err) < 0 { // it is only our own closing
				c.end = net.ErrClosed
			}
		}
		c.mu.Unlock()
	}
	return n, err
}

// Write sends bytes; during the farewell they go nowhere, without an error that
// would make net/http close the socket before the peer has read the reason.
func (c *laneConn) Write(b []byte) (int, error) {
	if c.farewell.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// SetDeadline does nothing.
func (c *laneConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *laneConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *laneConn) SetWriteDeadline(time.Time) error { return nil }

// RemoteAddr is the peer's address.
func (c *laneConn) RemoteAddr() net.Addr { return c.socket.RemoteAddr() }

// LocalAddr is our own address.
func (c *laneConn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// Close ends the lane at once, without a word to the peer; a farewell that has
// begun is left to end by itself.
func (c *laneConn) Close() error {
	c.closed.Store(true)
	if c.farewell.Load() {
		return nil
	}
	if c.firstByte != nil {
		c.firstByte.Stop()
	}
	err := c.socket.Close()
	_ = c.ws.CloseNow() // gives the library's buffers back
	return err
}

// closeWith tells the peer why and ends the lane, after closePatience at the latest.
func (c *laneConn) closeWith(status Status, reason string) {
	c.closed.Store(true)
	if c.farewell.Swap(true) {
		return
	}
	closeSocket(c.ws, c.socket, status, reason)
	c.farewell.Store(false)
	_ = c.Close()
}

// closeSocket carries out the websocket's close. The peer's answer to it stands
// behind what it had sent before, at most a full connection window.
func closeSocket(ws *websocket.Conn, s *socket, status Status, reason string) {
	s.most.Store(s.received.Load() + 2*connectionWindow)
	giveUp := time.AfterFunc(closePatience, func() { _ = s.Close() })
	defer giveUp.Stop()
	_ = ws.Close(websocket.StatusCode(status), clip(reason, 100))
}

// why tells what ended the lane: *Closed when the peer said so.
func (c *laneConn) why() error {
	c.mu.Lock()
	end := c.end
	c.mu.Unlock()
	var ce websocket.CloseError
	switch {
	case errors.As(end, &ce):
		return &Closed{Status: Status(ce.Code), Reason: clip(ce.Reason, 125)}
	case end == nil:
		return errors.New("connection lost: the peer is silent")
	}
	return fmt.Errorf("connection lost: %w", end)
}
