package links

import (
	"context"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
)

const (
	lookEvery   = 30 * time.Second // even without news: another process may write to the database
	followAgain = 5 * time.Second
)

// nudge asks for a look at the store's revisions.
func (l *Links) nudge() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// followEvents nudges for every event that may change what an agent must hear of.
func (l *Links) followEvents(ctx context.Context) {
	said := false
	for {
		after, err := l.o.Events.Last(ctx)
		if err == nil {
			l.nudge() // what came before after
			err = l.o.Events.Follow(ctx, after, func(e farm.Event) error {
				said = false
				if changesConfig(e.Kind) {
					l.nudge()
				}
				return nil
			})
		}
		if ctx.Err() != nil {
			return
		}
		if !said {
			said = true
			l.log.Error("the event table cannot be followed", "err", err)
		}
		select {
		case <-time.After(followAgain):
		case <-ctx.Done():
			return
		}
	}
}

// changesConfig tells whether an event may change what an agent must hear of. Most do
// not: prints and archives tell much, and often.
func changesConfig(kind string) bool {
	switch kind {
	case farm.EventPrinterAdded, farm.EventPrinterUpdated, farm.EventPrinterRemoved,
		farm.EventAgentEnrolled, farm.EventAgentUpdated, farm.EventAgentRevoked, farm.EventAgentRemoved,
		farm.EventSiteAdded, farm.EventSiteUpdated, farm.EventSiteRemoved:
		return true
	}
	return false
}

// followRevisions compares the store with the sessions whenever it is nudged.
func (l *Links) followRevisions(ctx context.Context) {
	said := false
	for {
		select {
		case <-l.changed:
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return
		}
		revisions, err := l.o.Store.Revisions(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !said {
				said = true
				l.log.Error("the agents' revisions cannot be read", "err", err)
			}
			continue
		}
		said = false
		l.compare(revisions)
	}
}

// compare asks for the pushes that are due and ends the sessions of agents that
// have been revoked or removed.
func (l *Links) compare(revisions map[int64]farm.AgentRevision) {
	for _, s := range l.all() {
		now, known := revisions[s.agent.ID]
		switch {
		case !known || now.Revoked:
			if s.finish(tunnel.StatusForbidden, "this agent has been revoked") {
				l.log.Info("agent revoked, its connection is closed", "agent", s.agent.ID)
			}
		default:
			s.wants(now.Revision)
		}
	}
}
