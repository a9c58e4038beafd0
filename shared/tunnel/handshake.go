package tunnel

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"

	"bambuddy/shared/farm"
)

// Protocol is the number of this handshake and of the meaning of the calls behind
// it. Capabilities tell what a side can do; this number is raised only for what
// they cannot tell, and lets a hub turn away agents it no longer understands.
const Protocol = 1

// purpose keeps a signature made here from meaning anything anywhere else.
const purpose = "bambuddy agent connect v1"

const (
	nonceSize = 32
	maxID     = 128 // bytes of any id in a handshake
)

type challenge struct {
	HubID string `json:"hub_id"`
	Nonce []byte `json:"nonce"`
}

type answer struct {
	Protocol  int    `json:"protocol"`
	AgentID   string `json:"agent_id"`
	BootID    string `json:"boot_id"`
	Lane      Lane   `json:"lane"`
	Session   string `json:"session,omitempty"` // of the control lane; only bulk has one to name
	Signature []byte `json:"signature"`
}

// verdict is a welcome when Code is empty.
type verdict struct {
	Session    string    `json:"session,omitempty"`
	Code       farm.Code `json:"code,omitempty"`
	Detail     string    `json:"detail,omitempty"`
	RetryAfter int       `json:"retry_after,omitempty"` // seconds
}

func newChallenge(hubID string) challenge {
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // crypto/rand does not fail
	return challenge{HubID: hubID, Nonce: nonce}
}

// check is what an agent demands of a challenge before it signs anything.
func (c challenge) check(hubID string) error {
	if c.HubID != hubID {
		return ErrWrongHub
	}
	if len(c.Nonce) != nonceSize {
		return errors.New("the hub's challenge has no proper nonce")
	}
	return nil
}

// check is what a hub demands of an answer before it looks the agent up.
func (a answer) check(lane Lane) error {
	switch {
	case a.AgentID == "" || len(a.AgentID) > maxID:
		return errors.New("the answer names no agent")
	case a.BootID == "" || len(a.BootID) > maxID || len(a.Session) > maxID:
		return errors.New("the answer names no boot id, or an odd session")
	case a.Lane != lane:
		return fmt.Errorf("the answer is for the lane %.20q, the request for %q", string(a.Lane), string(lane))
	case len(a.Signature) != ed25519.SignatureSize:
		return errors.New("the answer is not signed")
	}
	return nil
}

// signed is what an agent signs: the purpose, hub id, agent id, boot id, lane,
// session and nonce, each behind its length as four bytes, big end first, so that
// no two different sets of them ever give the same bytes.
func signed(c challenge, a answer) []byte {
	var out []byte
	for _, part := range [][]byte{
		[]byte(purpose), []byte(c.HubID), []byte(a.AgentID), []byte(a.BootID), []byte(a.Lane), []byte(a.Session), c.Nonce,
	} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}

// receive reads one handshake message. A message that is too large, late or not
// JSON text ends the connection.
func receive(ctx context.Context, ws *websocket.Conn, into any) error {
	ctx, cancel := context.WithTimeout(ctx, handshakePatience)
	defer cancel()
	ws.SetReadLimit(maxHandshakeMessage)
	kind, b, err := ws.Read(ctx)
	if err != nil {
		return err
	}
	if kind != websocket.MessageText {
		return errors.New("a handshake message must be text")
	}
	if err := json.Unmarshal(b, into); err != nil {
		return errors.New("a handshake message must be a JSON object") // the cause may quote the peer at length
	}
	return nil
}

// send writes one handshake message.
func send(ctx context.Context, ws *websocket.Conn, message any) error {
	ctx, cancel := context.WithTimeout(ctx, handshakePatience)
	defer cancel()
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return ws.Write(ctx, websocket.MessageText, b)
}

// refusal gives the refusal in a verdict, nil if it is a welcome.
func (v verdict) refusal() *Refused {
	if v.Code == "" {
		return nil
	}
	return &Refused{Code: v.Code, Detail: clip(v.Detail, 500), RetryAfter: seconds(v.RetryAfter)}
}

func seconds(n int) time.Duration { return time.Duration(max(0, min(n, 24*3600))) * time.Second }

// clip bounds a text of the peer's before it reaches a log or an error.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
