package links

import (
	"context"
	"net/http"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
)

const (
	decidePatience = 9 * time.Second // an agent waits 10 s for its verdict
	alivePatience  = 5 * time.Second // for the old session's answer when a second process knocks

	retryDuplicate = time.Minute
	retryRevoked   = 10 * time.Minute
	retryUnknown   = time.Minute
)

// connect answers an agent's socket, from the upgrade to the verdict. What it lets
// in lives on in a session.
func (l *Links) connect(w http.ResponseWriter, r *http.Request) {
	if err := l.closedFor(); err != nil {
		tunnel.Answer(w, err, comeBack())
		return
	}
	leave, ok := l.door.enter(host(r))
	if !ok {
		if l.quiet.may("door") {
			l.log.Warn("too many connections wait to be let in", "remote", host(r))
		}
		tunnel.Answer(w, farm.Errorf(farm.Unavailable, "too many agents are connecting at this moment"), comeBack())
		return
	}
	defer leave()
	k, err := tunnel.Accept(w, r, l.o.HubID)
	if err != nil {
		if l.quiet.may("knock " + host(r)) {
			l.log.Warn("a connection to the agents' address came to nothing", "remote", host(r), "err", err)
		}
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), decidePatience)
	defer cancel()
	if no := l.decide(ctx, k); no != nil {
		if l.quiet.may("refused " + host(r) + string(no.Code)) {
			l.log.Warn("agent refused", "remote", host(r), "code", no.Code, "reason", no.Detail)
		}
		k.Refuse(r.Context(), no)
	}
}

// decide welcomes the knock, or gives the refusal.
func (l *Links) decide(ctx context.Context, k *tunnel.Knock) *tunnel.Refused {
	row, no := l.identify(ctx, k)
	if no != nil {
		return no
	}
	a := l.agent(row.ID)
	if !a.takeTurn(ctx) {
		return busy("another connection of this agent is being decided on")
	}
	defer a.endTurn()
	if k.Lane == tunnel.Bulk {
		return l.welcomeBulk(ctx, a, k)
	}
	return l.welcomeControl(ctx, a, row, k)
}

// identify finds out who knocks.
func (l *Links) identify(ctx context.Context, k *tunnel.Knock) (farm.Agent, *tunnel.Refused) {
	row, err := l.o.Store.AgentByUID(ctx, k.AgentID)
	switch {
	case err != nil && !farm.Is(err, farm.NotFound):
		l.log.Error("an agent could not be looked up", "remote", k.Remote, "err", err)
		return row, busy("the hub cannot look agents up at this moment")
	case err != nil || !k.SignedBy(row.PublicKey): // not told apart: who cannot sign learns nothing
		return row, &tunnel.Refused{Code: farm.Unauthorized, Detail: "this hub does not know this agent with this key", RetryAfter: retryUnknown}
	case row.Revoked:
		return row, &tunnel.Refused{Code: farm.Revoked, Detail: "this agent has been revoked", RetryAfter: retryRevoked}
	case k.Protocol < l.o.MinProtocol:
		return row, &tunnel.Refused{Code: farm.TooOld, Detail: "this agent is too old for this hub: update it", RetryAfter: retryRevoked}
	}
	return row, nil
}

func busy(detail string) *tunnel.Refused {
	return &tunnel.Refused{Code: farm.Unavailable, Detail: detail, RetryAfter: comeBack()}
}

// welcomeControl begins a session, in place of one of the same process, or of one
// that no longer answers. It holds the agent's turn.
func (l *Links) welcomeControl(ctx context.Context, a *agent, row farm.Agent, k *tunnel.Knock) *tunnel.Refused {
	if old := a.present(); old != nil {
		if old.bootID != k.BootID && old.alive(ctx) {
			l.noteDuplicate(ctx, a, row, k)
			return &tunnel.Refused{
				Code: farm.DuplicateIdentity, RetryAfter: retryDuplicate,
				Detail: "another running agent uses this identity (a copied data directory or machine?): enrol this one anew",
			}
		}
		old.finish(tunnel.StatusReplaced, "replaced by a newer connection")
		select {
		case <-old.done:
		case <-ctx.Done():
			return busy("the agent's former session has not ended yet")
		}
	}
	s := newSession(l, row, k)
	// The session is there before the agent hears of it: bulk comes at once.
	welcomed := make(chan bool, 1)
	if !l.admit(a, s, welcomed) {
		return busy("the hub is stopping")
	}
	client, err := k.Welcome(ctx, s.id)
	if err != nil {
		l.log.Warn("agent lost while it was welcomed", "agent", row.ID, "err", err)
		welcomed <- false
		return nil
	}
	s.welcome(client)
	welcomed <- true
	l.nudge() // it may have been revoked in between
	return nil
}

// welcomeBulk adds the second lane to a session.
func (l *Links) welcomeBulk(ctx context.Context, a *agent, k *tunnel.Knock) *tunnel.Refused {
	s := a.present()
	if s == nil || s.id != k.Session || s.bootID != k.BootID {
		return &tunnel.Refused{Code: farm.Conflict, Detail: "there is no such session: connect the control lane first", RetryAfter: time.Second}
	}
	client, err := k.Welcome(ctx, s.id)
	if err != nil {
		l.log.Warn("agent lost while its bulk lane was welcomed", "agent", a.id, "err", err)
		return nil
	}
	s.joinBulk(client)
	return nil
}
