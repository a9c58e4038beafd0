package links

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// enrolPath is where an agent turns a one-time secret into an identity.
const enrolPath = "/agent/v1/enrol"

const (
	maxEnrolBody  = 16 << 10
	enrolPatience = 10 * time.Second
	maxAgentName  = 100 // bytes
)

// enrol answers an agent that has a one-time secret and a public key, and no
// identity yet. The secret is looked up by its hash alone, so neither an answer nor
// its time tells how much of a wrong one was right.
func (l *Links) enrol(w http.ResponseWriter, r *http.Request) {
	result, err := l.redeem(w, r)
	if err != nil {
		var wait time.Duration
		switch farm.CodeOf(err) {
		case farm.Internal:
			l.log.Error("an agent could not be enrolled", "remote", host(r), "err", err)
		case farm.Unavailable:
			wait = comeBack()
		case farm.RateLimited:
			wait = time.Minute / enrolsPerHost
		case farm.MethodNotAllowed:
			w.Header().Set("Allow", http.MethodPost)
		}
		if farm.CodeOf(err) != farm.Internal && l.quiet.may("enrol "+host(r)) {
			l.log.Warn("an enrolment was refused", "remote", host(r), "reason", err)
		}
		tunnel.Answer(w, err, wait)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(result)
}

func (l *Links) redeem(w http.ResponseWriter, r *http.Request) (wire.EnrolResult, error) {
	var none wire.EnrolResult
	if r.Method != http.MethodPost {
		return none, farm.Errorf(farm.MethodNotAllowed, "%s only takes POST", enrolPath)
	}
	if err := l.closedFor(); err != nil {
		return none, err
	}
	if !l.enrols.allow(host(r)) {
		return none, farm.Errorf(farm.RateLimited, "too many enrolments: wait a minute")
	}
	in, err := readEnrolment(w, r)
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), enrolPatience)
	defer cancel()
	agent, err := l.o.Registry.RedeemEnrolment(ctx, sha256.Sum256([]byte(in.Secret.Reveal())), farm.Agent{
		UID: newID(), Name: agentName(in.Name), PublicKey: in.PublicKey, Version: clip(in.Version, 64), Platform: clip(in.Platform, 64),
	})
	if err != nil {
		return none, err
	}
	l.log.Info("agent enrolled", "agent", agent.ID, "name", agent.Name, "site", agent.SiteID, "remote", host(r))
	site, err := l.o.Store.Site(ctx, agent.SiteID)
	if err != nil { // the agent exists and the secret is used up: its site's name is no reason to fail
		l.log.Error("the site of a new agent could not be read", "agent", agent.ID, "err", err)
	}
	return wire.EnrolResult{HubID: l.o.HubID, AgentID: agent.UID, Site: site.Name, Name: agent.Name}, nil
}

func readEnrolment(w http.ResponseWriter, r *http.Request) (wire.EnrolRequest, error) {
	var in wire.EnrolRequest
	// A body that trickles in is cut off; a recorder in a test knows no deadlines.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(enrolPatience))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEnrolBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return in, farm.Errorf(farm.TooLarge, "the body is larger than %d bytes", maxEnrolBody)
	case err != nil:
		return in, farm.Wrap(farm.Invalid, err, "the body could not be read")
	case json.Unmarshal(b, &in) != nil: // its cause may quote the secret
		return in, farm.Errorf(farm.Invalid, "the body is not the JSON of an enrolment")
	case in.Secret == "":
		return in, farm.Errorf(farm.Invalid, "secret is missing")
	case len(in.PublicKey) != ed25519.PublicKeySize:
		return in, farm.Errorf(farm.Invalid, "public_key must be an Ed25519 key of %d bytes", ed25519.PublicKeySize)
	}
	return in, nil
}

// agentName makes a name out of what an agent calls itself.
func agentName(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	s = strings.ToValidUTF8(s[:min(len(s), maxAgentName)], "")
	if s == "" {
		return "agent"
	}
	return s
}
