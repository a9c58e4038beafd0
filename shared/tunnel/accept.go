package tunnel

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Knock is an agent that has answered the hub's challenge and waits for a verdict.
// End it with exactly one of Welcome and Refuse.
type Knock struct {
	Lane     Lane
	AgentID  string // claimed; proven by SignedBy
	BootID   string
	Session  string // named by bulk, "" on control
	Protocol int
	Remote   string // address, for the log

	challenge challenge
	answer    answer
	ws        *websocket.Conn
	socket    *socket
}

// Accept upgrades a request to ConnectPath and asks the peer who it is. On an error
// the peer has had its answer and the connection is gone. Times and sizes are
// bounded: after 10 s at most, or 16 KiB, a stranger is let go.
func Accept(w http.ResponseWriter, r *http.Request, hubID string) (*Knock, error) {
	lane := Lane(r.URL.Query().Get("lane"))
	if err := checkUpgrade(r, lane); err != nil {
		Answer(w, err, 0)
		return nil, err
	}
	catch := &catcher{ResponseWriter: w}
	ws, err := websocket.Accept(catch, r, nil)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	k := &Knock{Lane: lane, Remote: r.RemoteAddr, challenge: newChallenge(hubID), ws: ws, socket: catch.socket}
	if err := k.ask(r.Context()); err != nil {
		k.drop("handshake failed")
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return k, nil
}

func checkUpgrade(r *http.Request, lane Lane) error {
	switch {
	case r.Method != http.MethodGet:
		return farm.Errorf(farm.MethodNotAllowed, "%s only takes GET", ConnectPath)
	case lane != Control && lane != Bulk:
		return farm.Errorf(farm.Invalid, "lane must be control or bulk")
	case r.Header.Get("Origin") != "":
		return farm.Errorf(farm.Forbidden, "this address is for agents, not for browsers")
	case r.Header.Get("Sec-WebSocket-Key") == "":
		return farm.Errorf(farm.Invalid, "this address is for agents: it wants a websocket")
	}
	return nil
}

func (k *Knock) ask(ctx context.Context) error {
	if err := send(ctx, k.ws, k.challenge); err != nil {
		return err
	}
	if err := receive(ctx, k.ws, &k.answer); err != nil {
		return err
	}
	if err := k.answer.check(k.Lane); err != nil {
		return err
	}
	k.AgentID, k.BootID = k.answer.AgentID, k.answer.BootID
	k.Session, k.Protocol = k.answer.Session, k.answer.Protocol
	return nil
}

// SignedBy tells whether the holder of this public key answered our challenge.
func (k *Knock) SignedBy(key []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed(k.challenge, k.answer), k.answer.Signature)
}

// Refuse says no and ends the connection.
func (k *Knock) Refuse(ctx context.Context, no *Refused) {
	v := verdict{Code: no.Code, Detail: no.Detail, RetryAfter: wholeSeconds(no.RetryAfter)}
	_ = send(ctx, k.ws, v) // the peer may be gone: then there is nobody to tell
	k.drop("refused")
}

func (k *Knock) drop(reason string) {
	closeSocket(k.ws, k.socket, StatusForbidden, reason)
	_ = k.socket.Close()
}

// Welcome says yes and begins to speak HTTP/2 through the connection. The context
// bounds that, not the lane.
func (k *Knock) Welcome(ctx context.Context, session string) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { _ = k.socket.Close() }) // a peer that takes no byte
	defer stop()
	if err := send(ctx, k.ws, verdict{Session: session}); err != nil {
		k.drop("handshake failed")
		return nil, fmt.Errorf("welcome: %w", err)
	}
	c, err := newClient(ctx, newLaneConn(ctx, k.ws, k.socket))
	if err != nil {
		return nil, fmt.Errorf("begin HTTP/2: %w", err)
	}
	return c, nil
}

// Answer writes an error in the form of every error answer, with a Retry-After
// when the caller shall wait.
func Answer(w http.ResponseWriter, err error, wait time.Duration) {
	code, detail := farm.CodeOf(err), "internal error"
	var e *farm.Error
	if errors.As(err, &e) {
		detail = e.Detail
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(wholeSeconds(wait)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code.Status())
	_ = json.NewEncoder(w).Encode(wire.Error{Detail: detail, Code: code})
}

func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// catcher gets hold of the connection below an upgrade.
type catcher struct {
	http.ResponseWriter
	socket *socket
}

// Hijack takes the connection over from net/http, through any middleware.
func (c *catcher) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(c.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c.socket = newSocket(conn)
	rw.Writer.Reset(c.socket)
	return c.socket, rw, nil
}
