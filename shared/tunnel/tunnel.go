package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"bambuddy/shared/farm"
)

// Lane names one of the connections between an agent and its hub.
type Lane string

// The lanes.
const (
	Control Lane = "control" // hello, config, state, commands: never behind a big transfer
	Bulk    Lane = "bulk"    // files and cameras
)

// ConnectPath is where a hub accepts lanes.
const ConnectPath = "/agent/v1/connect"

// DialFunc opens network connections, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Times of a lane.
const (
	handshakePatience = 10 * time.Second // for each message of the handshake, and for the upgrade
	pingAfter         = 15 * time.Second // without a frame
	pingPatience      = 30 * time.Second // for the answer to a ping
	writePatience     = 30 * time.Second // for the socket to take one write
	closePatience     = 2 * time.Second  // for the peer to answer a close
)

// Sizes of a lane. A stream that nobody reads holds at most a stream window. All
// body streams together stay below the connection window, so that unread bodies
// never stop the calls beside them.
const (
	maxHandshakeMessage = 16 << 10
	streamWindow        = 256 << 10
	connectionWindow    = 4<<20 - 1 // net/http wants less than 4 MiB
	maxFrame            = 16 << 10
	maxHeaders          = 64 << 10
	maxServedStreams    = 128 // at the agent; above what a Client ever opens

	// MaxStreams is how many body streams a Client holds open at a time.
	MaxStreams = 12
	// MaxCalls is how many calls a Client has under way at a time; more wait.
	MaxCalls = 64
)

func http2Config() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          maxServedStreams,
		MaxReadFrameSize:              maxFrame,
		MaxReceiveBufferPerStream:     streamWindow,
		MaxReceiveBufferPerConnection: connectionWindow,
		SendPingTimeout:               pingAfter,
		PingTimeout:                   pingPatience,
	}
}

func http2Only() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// Refused is a hub's no to a connect. It ends the try, never the agent.
type Refused struct {
	Code       farm.Code
	Detail     string
	RetryAfter time.Duration // how long the hub wants to be left alone, 0: it did not say
}

// Error is the code and the hub's sentence.
func (r *Refused) Error() string { return fmt.Sprintf("refused by the hub (%s): %s", r.Code, r.Detail) }

// Status is a websocket close code.
type Status int

// The close codes of this protocol. 1000 and 1001 are not among them, for
// websocket.NetConn turns those into a bare EOF and forgets the reason.
const (
	StatusReplaced  Status = 4000                                    // a newer connection took over, or the session is over
	StatusLeaving   Status = 4001                                    // the agent stops
	StatusForbidden        = Status(websocket.StatusPolicyViolation) // revoked, or the handshake failed
	StatusRestart          = Status(websocket.StatusServiceRestart)  // the hub restarts: come back soon
)

// Closed tells that the peer ended the lane on purpose and why.
type Closed struct {
	Status Status
	Reason string
}

// Error is the status and the peer's reason.
func (c *Closed) Error() string {
	return fmt.Sprintf("closed by the peer (%d): %s", c.Status, c.Reason)
}

// Errors of Dial that a person must mend.
var (
	// ErrWrongHub: another hub answers at the address than the one enrolled with.
	ErrWrongHub = errors.New("another hub answers at this address than the one this agent is enrolled with")
	// ErrWrongCertificate: the hub's certificate is not the one the enrolment token named.
	ErrWrongCertificate = errors.New("the hub's certificate is not the one named by the enrolment token")
	// ErrPlain: an unencrypted address that is not this machine, without permission for it.
	ErrPlain = errors.New("the hub's address is not encrypted (http); only https, or http to this machine, is used unless plain connections are allowed explicitly")
)

// Traffic counts the bytes of a lane's socket so far.
type Traffic struct {
	Received, Sent int64
}
