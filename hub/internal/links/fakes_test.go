package links

import (
	"context"
	"slices"
	"sync"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// memStore is a store and a registry in memory.
type memStore struct {
	mu        sync.Mutex
	agents    map[int64]farm.Agent
	seen      map[int64]int
	events    []farm.Event
	enrolled  map[[32]byte]error // nil: may be redeemed
	redeemed  []farm.Agent
	acked     map[int64]int64
	failing   error         // of every call
	slow      chan struct{} // not nil: SeenAgent and ConfigAcked wait for it
	revisions map[int64]int64
	looks     int // at the revisions
}

func newMemStore() *memStore {
	return &memStore{
		agents: map[int64]farm.Agent{}, seen: map[int64]int{}, enrolled: map[[32]byte]error{},
		acked: map[int64]int64{}, revisions: map[int64]int64{},
	}
}

func (m *memStore) AgentByUID(_ context.Context, uid string) (farm.Agent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return farm.Agent{}, m.failing
	}
	for _, a := range m.agents {
		if a.UID == uid {
			return a, nil
		}
	}
	return farm.Agent{}, farm.Errorf(farm.NotFound, "no agent %s", uid)
}

func (m *memStore) Site(_ context.Context, id int64) (farm.Site, error) {
	return farm.Site{ID: id, Name: "Workshop"}, nil
}

func (m *memStore) RedeemEnrolment(_ context.Context, hash [32]byte, a farm.Agent) (farm.Agent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return a, m.failing
	}
	no, known := m.enrolled[hash]
	switch {
	case !known:
		return a, farm.Errorf(farm.NotFound, "this token is not known")
	case no != nil:
		return a, no
	}
	m.enrolled[hash] = farm.Errorf(farm.Conflict, "this token has been used")
	a.ID, a.SiteID = int64(len(m.agents)+1), 1
	m.agents[a.ID] = a
	m.redeemed = append(m.redeemed, a)
	return a, nil
}

func (m *memStore) SeenAgent(ctx context.Context, id int64, _, _ string, _ time.Time) error {
	m.wait(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[id]++
	return m.failing
}

func (m *memStore) wait(ctx context.Context) {
	m.mu.Lock()
	slow := m.slow
	m.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
		}
	}
}

func (m *memStore) Revisions(context.Context) (map[int64]farm.AgentRevision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	if m.failing != nil {
		return nil, m.failing
	}
	out := map[int64]farm.AgentRevision{}
	for id, a := range m.agents {
		out[id] = farm.AgentRevision{Revision: m.revisions[id], Revoked: a.Revoked}
	}
	return out, nil
}

func (m *memStore) AppendEvent(_ context.Context, e farm.Event) (farm.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
	return e, nil
}

func (m *memStore) AgentConfig(_ context.Context, id int64) (wire.Config, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return wire.Config{}, m.failing
	}
	return wire.Config{HubID: testHubID, Generation: 1, Revision: m.revisions[id], SiteName: "Workshop"}, nil
}

func (m *memStore) ConfigAcked(ctx context.Context, id, revision int64) error {
	m.wait(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked[id] = revision
	return nil
}

func (m *memStore) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *memStore) eventCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.events)
}

func (m *memStore) seenCount(id int64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[id]
}

func (m *memStore) ackedRevision(id int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acked[id]
}

// memEvents is a table of events that only tells that something came.
type memEvents struct {
	mu   sync.Mutex
	subs []chan farm.Event
}

func (e *memEvents) Last(context.Context) (int64, error) { return 0, nil }

func (e *memEvents) Follow(ctx context.Context, _ int64, fn func(farm.Event) error) error {
	ch := make(chan farm.Event, 100)
	e.mu.Lock()
	e.subs = append(e.subs, ch)
	e.mu.Unlock()
	for {
		select {
		case ev := <-ch:
			if err := fn(ev); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *memEvents) happen(kind string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ch := range e.subs {
		ch <- farm.Event{Kind: kind}
	}
}

// memLive notes what the live picture is told, in order.
type memLive struct {
	mu     sync.Mutex
	told   []string
	up     map[int64]bool
	frames map[int64][]wire.StateFrame
}

func newMemLive() *memLive {
	return &memLive{up: map[int64]bool{}, frames: map[int64][]wire.StateFrame{}}
}

func (l *memLive) AgentUp(id int64, h wire.Hello) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up[id] = true
	l.told = append(l.told, "up "+h.BootID)
}

func (l *memLive) AgentDown(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up[id] = false
	l.told = append(l.told, "down")
}

func (l *memLive) Apply(id int64, f wire.StateFrame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames[id] = append(l.frames[id], f)
}

func (l *memLive) story() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.told)
}

func (l *memLive) count(id int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.frames[id])
}

func (l *memLive) isUp(id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up[id]
}
