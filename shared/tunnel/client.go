package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"bambuddy/shared/farm"
)

// Client is the hub's end of a lane: it calls the agent. Everything it has may be
// called concurrently. A request goes out once or not at all: there is no pool, no
// redirect and nothing that sends again.
type Client struct {
	conn    *laneConn
	http    *http.ClientConn
	done    chan struct{}
	end     sync.Once
	streams chan struct{} // a token per open body stream
	calls   chan struct{} // a token per call under way
}

func newClient(ctx context.Context, conn *laneConn) (*Client, error) {
	t := &http.Transport{
		Protocols:              http2Only(),
		HTTP2:                  http2Config(),
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaders,
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	hc, err := t.NewClientConn(ctx, "http", "agent:80")
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c := &Client{
		conn: conn, http: hc, done: make(chan struct{}),
		streams: make(chan struct{}, MaxStreams), calls: make(chan struct{}, MaxCalls),
	}
	hc.SetStateHook(func(hc *http.ClientConn) {
		if hc.Err() != nil {
			c.end.Do(func() { close(c.done) })
		}
	})
	return c, nil
}

// Done is closed once the lane is lost or closed.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err tells why the lane ended, nil while it lives: *Closed when the agent said so.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.conn.why()
	default:
		return nil
	}
}

// Close tells the agent why and ends the lane, within 2 s; requests under way fail.
func (c *Client) Close(status Status, reason string) {
	c.conn.closeWith(status, reason)
	_ = c.http.Close()
}

// Traffic counts the lane's bytes.
func (c *Client) Traffic() Traffic { return c.conn.socket.traffic() }

// RoundTrip sends a request whose answer's body the caller reads as it comes: a
// state stream, a file, a camera. It is an http.RoundTripper, so a reverse proxy
// may use it. At most MaxStreams bodies are open at a time, and one more is
// UNAVAILABLE at once: a caller that is willing to wait does so by itself. The
// caller drains the body into bounded memory or closes it, and never waits for
// anything else while it holds unread bytes.
//
// The URL's host is of no importance. Errors are as those of Call.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case c.streams <- struct{}{}:
	default:
		closeBody(req)
		return nil, farm.Errorf(farm.Unavailable, "%d transfers are open with this agent already", MaxStreams)
	}
	release := sync.OnceFunc(func() { <-c.streams })
	resp, err := c.send(req)
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = &streamBody{ReadCloser: resp.Body, release: release}
	return resp, nil
}

// send is the one place that a request leaves from.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	if c.Err() != nil {
		closeBody(req)
		return nil, farm.Wrap(farm.AgentOffline, c.Err(), "the agent is not connected")
	}
	out, sent := traced(req)
	resp, err := c.http.RoundTrip(out)
	if err != nil {
		return nil, lost(req, sent.Load(), err)
	}
	return resp, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// streamBody gives its place back when it is read to the end or closed.
type streamBody struct {
	io.ReadCloser
	release func()
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

func (b *streamBody) Close() error {
	err := b.ReadCloser.Close()
	b.release()
	return err
}

// lost says what a failed request means to its caller: nothing has happened, or
// nobody knows whether it has.
func lost(req *http.Request, sent bool, cause error) error {
	what := fmt.Sprintf("%s %s", req.Method, req.URL.Path)
	switch {
	case sent && acts(req.Method):
		return farm.Wrap(farm.OutcomeUnknown, cause, "the connection to the agent was lost after the request was sent: it may or may not have been carried out (%s)", what)
	case req.Context().Err() != nil:
		return ended(req.Context(), what)
	}
	return farm.Wrap(farm.AgentOffline, cause, "the agent cannot be reached (%s)", what)
}

// ended says that a context has ended before anything could happen.
func ended(ctx context.Context, what string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return farm.Wrap(farm.AgentOffline, ctx.Err(), "the agent did not answer in time (%s)", what)
	}
	return fmt.Errorf("%s: %w", what, ctx.Err())
}

// acts tells whether a request of this method may change something.
func acts(method string) bool {
	return method != "" && method != http.MethodGet && method != http.MethodHead
}
