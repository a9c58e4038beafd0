package tunnel

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Caller is an agent as it introduces itself.
type Caller struct {
	HubID   string // the hub it enrolled with
	AgentID string
	BootID  string // random, of this process
	Key     ed25519.PrivateKey
}

// Dial opens one lane to the hub. Bulk names the session that control was given;
// control names none. The context bounds the dial, not the lane.
//
// A no of the hub, by HTTP status or in the handshake, is a *Refused. See also
// ErrWrongHub, ErrWrongCertificate and ErrPlain; anything else is the network.
func Dial(ctx context.Context, hub Hub, who Caller, lane Lane, session string) (*Server, error) {
	ws, sock, err := dialWebsocket(ctx, hub, lane)
	if err != nil {
		return nil, err
	}
	granted, err := introduce(ctx, ws, who, lane, session)
	if err != nil {
		closeSocket(ws, sock, StatusForbidden, "handshake failed")
		_ = sock.Close()
		return nil, err
	}
	conn := newLaneConn(ctx, ws, sock)
	conn.firstByte = time.AfterFunc(pingPatience, func() { _ = sock.Close() }) // net/http pings only from then on
	return &Server{Lane: lane, Session: granted, conn: conn}, nil
}

func dialWebsocket(ctx context.Context, hub Hub, lane Lane) (*websocket.Conn, *socket, error) {
	u, err := hub.Endpoint(ConnectPath)
	if err != nil {
		return nil, nil, err
	}
	u.RawQuery = url.Values{"lane": {string(lane)}}.Encode()

	ctx, cancel := context.WithTimeout(ctx, 3*handshakePatience) // name look-up, TCP, TLS, upgrade
	defer cancel()
	var sock *socket // the one connection this transport makes
	dial := hub.dialer()
	hub.Dial = func(_ context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr) // net/http's own context outlives the request
		if err != nil {
			return nil, err
		}
		sock = newSocket(c)
		return sock, nil
	}
	client, err := hub.Client()
	if err != nil {
		return nil, nil, err
	}
	ws, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: client})
	if err == nil {
		return ws, sock, nil
	}
	if resp != nil && resp.Body != nil {
		defer func() { _ = resp.Body.Close() }() // holds its first bytes only
		return nil, nil, refusedByStatus(resp)
	}
	var urlErr *url.Error // says the URL again, and hides the cause behind its text
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	return nil, nil, fmt.Errorf("reach the hub at %s: %w", u.Host, err)
}

// introduce carries the handshake through and gives the session id.
func introduce(ctx context.Context, ws *websocket.Conn, who Caller, lane Lane, session string) (string, error) {
	var c challenge
	if err := receive(ctx, ws, &c); err != nil {
		return "", fmt.Errorf("wait for the hub's challenge: %w", err)
	}
	if err := c.check(who.HubID); err != nil {
		return "", err
	}
	a := answer{Protocol: Protocol, AgentID: who.AgentID, BootID: who.BootID, Lane: lane, Session: session}
	a.Signature = ed25519.Sign(who.Key, signed(c, a))
	if err := send(ctx, ws, a); err != nil {
		return "", fmt.Errorf("answer the hub's challenge: %w", err)
	}
	var v verdict
	if err := receive(ctx, ws, &v); err != nil {
		return "", fmt.Errorf("wait for the hub's verdict: %w", err)
	}
	if r := v.refusal(); r != nil {
		return "", r
	}
	if v.Session == "" || len(v.Session) > maxID {
		return "", errors.New("the hub welcomed us without a session")
	}
	return v.Session, nil
}

// refusedByStatus reads a refusal out of an answer that is not an upgrade: the
// hub's own error, or whatever a proxy on the way says.
func refusedByStatus(resp *http.Response) *Refused {
	r := &Refused{Code: farm.Unavailable, Detail: "the hub's address answers " + clip(resp.Status, 60), RetryAfter: retryAfter(resp.Header)}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		r.Detail += ": redirects are not followed, give the agent the address it leads to"
	case resp.StatusCode == http.StatusTooManyRequests:
		r.Code = farm.RateLimited
	case resp.StatusCode == http.StatusNotFound:
		r.Code = farm.NotFound
	}
	var body wire.Error
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxHandshakeMessage)) // best effort: the status is enough
	if json.Unmarshal(b, &body) == nil && body.Code != "" {
		r.Code, r.Detail = body.Code, clip(body.Detail, 500)
	}
	return r
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return seconds(n)
}
