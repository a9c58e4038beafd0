package tunnel

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
)

// rig is a hub that welcomes one known agent, and what the agent needs to dial it,
// over a network in memory.
type rig struct {
	t       *testing.T
	network *memnet.Network
	hub     Hub
	who     Caller
	server  *http.Server
	served  sync.WaitGroup

	clients chan *Client // lanes the hub has welcomed
	failed  chan error   // knocks that came to nothing
}

const testHubID = "hub-1"

func newRig(t *testing.T) *rig {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := memnet.New()
	r := &rig{
		t: t, network: n,
		hub:     Hub{URL: "http://hub:80", AllowPlain: true, Dial: n.Dialer("agent")},
		who:     Caller{HubID: testHubID, AgentID: "agent-1", BootID: "boot-1", Key: key},
		clients: make(chan *Client, 16), failed: make(chan error, 16),
	}
	r.serve(http.HandlerFunc(r.connect))
	return r
}

func (r *rig) serve(h http.Handler) {
	l, err := r.network.Listen("hub:80")
	if err != nil {
		r.t.Fatal(err)
	}
	r.server = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	r.served.Go(func() { _ = r.server.Serve(l) })
}

// connect welcomes the known agent and refuses everybody else.
func (r *rig) connect(w http.ResponseWriter, req *http.Request) {
	k, err := Accept(w, req, testHubID)
	if err != nil {
		r.failed <- err
		return
	}
	if !k.SignedBy(r.who.Key.Public().(ed25519.PublicKey)) {
		k.Refuse(req.Context(), &Refused{Code: farm.Unauthorized, Detail: "wrong key", RetryAfter: 90 * time.Second})
		r.failed <- errors.New("wrong key")
		return
	}
	session := k.Session
	if session == "" {
		session = "session-1"
	}
	c, err := k.Welcome(req.Context(), session)
	if err != nil {
		r.failed <- err
		return
	}
	r.clients <- c
}

// dial opens a lane and serves h into it; result gives what Serve returned.
func (r *rig) dial(ctx context.Context, h http.Handler) (client *Client, result chan error) {
	r.t.Helper()
	s, err := Dial(ctx, r.hub, r.who, Control, "")
	if err != nil {
		r.t.Fatal(err)
	}
	result = make(chan error, 1)
	go func() { result <- s.Serve(ctx, h, slog.New(slog.DiscardHandler)) }()
	return <-r.clients, result
}

func (r *rig) close() {
	_ = r.server.Close()
	r.served.Wait()
}

// stranger opens a raw connection to the hub that has been upgraded to a websocket
// by hand, and gives it together with what the hub sent.
func (r *rig) stranger() net.Conn {
	r.t.Helper()
	c, err := r.network.Dialer("stranger")(context.Background(), "tcp", "hub:80")
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

const upgradeRequest = "GET /agent/v1/connect?lane=control HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"

// ok answers every request.
func ok(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"ok":true}`)) }
