package links

import (
	"time"

	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// Status is how an agent is connected at this moment.
type Status struct {
	Connected bool      // its control lane is up and it has introduced itself
	Since     time.Time // of Connected being what it is; zero: never connected to this process
	Remote    string    // address it connected from
	Session   string
	Hello     wire.Hello // as of the last minute

	BulkConnected bool
	Duplicate     bool // a second process with its identity is being turned away

	RTT, BulkRTT time.Duration // of a hello on each lane, 0: not measured
	// ClockAhead is how much the agent's clock is ahead of ours, give or take RTT.
	ClockAhead time.Duration
	Config     ConfigStatus
	StateAt    time.Time // of the last line of its state stream
	BadLines   int64     // of that stream, in this session

	Control, Bulk tunnel.Traffic
}

// Status gives an agent's status; false: it never connected to this process. It
// does not wait.
func (l *Links) Status(agentID int64) (Status, bool) {
	l.mu.Lock()
	a := l.agents[agentID]
	l.mu.Unlock()
	if a == nil {
		return Status{}, false
	}
	return a.status(), true
}

// Statuses gives the status of every agent that ever connected to this process.
func (l *Links) Statuses() map[int64]Status {
	l.mu.Lock()
	agents := make([]*agent, 0, len(l.agents))
	for _, a := range l.agents {
		agents = append(agents, a)
	}
	l.mu.Unlock()
	out := make(map[int64]Status, len(agents))
	for _, a := range agents {
		out[a.id] = a.status()
	}
	return out
}

func (a *agent) status() Status {
	a.mu.Lock()
	s := a.session
	st := Status{
		Since:     a.ended,
		Duplicate: !a.duplicateAt.IsZero() && time.Since(a.duplicateAt) < duplicateLasts,
	}
	a.mu.Unlock()
	if s == nil || !s.up() {
		return st
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Connected, st.Since, st.Remote, st.Session = true, s.since, s.remote, s.id
	st.ClockAhead = s.is.clockAhead
	st.Hello, st.RTT, st.Config = s.is.hello, s.is.rtt, s.is.config
	st.StateAt, st.BadLines = s.is.stateAt, s.is.badLines
	st.Control = s.control.Traffic()
	if s.bulk != nil {
		st.BulkConnected, st.BulkRTT, st.Bulk = true, s.is.bulkRTT, s.bulk.Traffic()
	}
	return st
}
