package links

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
)

const (
	// A second process knocks every minute; when it has not for a while it is gone.
	duplicateLasts = 3 * time.Minute
	duplicateEvent = time.Hour // at most one event in
)

// agent is the place of one agent: its present session and what outlives that.
type agent struct {
	id   int64
	turn chan struct{} // held by the one connection that is being decided on

	mu          sync.Mutex
	session     *session  // nil: none
	ended       time.Time // the last session, zero: there was none
	duplicateAt time.Time // when a second process knocked last
	toldAt      time.Time // when an event last said so
}

func newAgent(id int64) *agent { return &agent{id: id, turn: make(chan struct{}, 1)} }

func (a *agent) takeTurn(ctx context.Context) bool {
	select {
	case a.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *agent) endTurn() { <-a.turn }

// present gives the session that has not ended, nil if there is none.
func (a *agent) present() *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session
}

func (a *agent) set(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session = s
}

// clear forgets a session that has ended.
func (a *agent) clear(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == s {
		a.session, a.ended = nil, time.Now()
	}
}

// duplicate notes a second process and tells whether that is news worth an event.
func (a *agent) duplicate() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.duplicateAt = now
	if !a.toldAt.IsZero() && now.Sub(a.toldAt) < duplicateEvent {
		return false
	}
	a.toldAt = now
	return true
}

// noteDuplicate shows a second process in the status, and now and then in an event.
func (l *Links) noteDuplicate(ctx context.Context, a *agent, row farm.Agent, k *tunnel.Knock) {
	if !a.duplicate() {
		return
	}
	data, err := json.Marshal(map[string]any{"agent_id": row.ID, "agent_name": row.Name, "remote": k.Remote})
	if err == nil {
		_, err = l.o.Store.AppendEvent(ctx, farm.Event{
			At: time.Now(), Kind: farm.EventAgentDuplicate, AgentID: row.ID, SiteID: row.SiteID, Data: data,
		})
	}
	if err != nil {
		l.log.Error("the event of a duplicate agent was not kept", "agent", row.ID, "err", err)
	}
}
