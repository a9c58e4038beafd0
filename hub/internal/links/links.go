// Package links is the hub's side of the links to its agents: it enrols them,
// answers their sockets, decides who may connect, keeps a session per agent and
// carries calls to them. In a session it pushes the agent's config whenever the
// store has another one, and hands the agent's states to the live picture.
//
// Agents do not wait for each other: each session has its own goroutines, and
// nothing of one is done under a lock that another needs for longer than a map
// look-up.
package links

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// Store is what the links need of the database.
type Store interface {
	// AgentByUID finds an agent by the id it uses on the wire; NOT_FOUND if nobody has it.
	AgentByUID(ctx context.Context, uid string) (farm.Agent, error)
	// Site finds a site.
	Site(ctx context.Context, id int64) (farm.Site, error)
	// SeenAgent notes that an agent is or was connected.
	SeenAgent(ctx context.Context, id int64, version, platform string, at time.Time) error
	// Revisions gives what sessions have to follow, by agent.
	Revisions(ctx context.Context) (map[int64]farm.AgentRevision, error)
	// AppendEvent appends a row to the event table.
	AppendEvent(ctx context.Context, e farm.Event) (farm.Event, error)
}

// Registry is where agents are made and their configs come from.
type Registry interface {
	// RedeemEnrolment uses up an enrolment by the SHA-256 of its secret and makes the
	// agent; its errors are sentences for the person who enrols.
	RedeemEnrolment(ctx context.Context, secretHash [32]byte, a farm.Agent) (farm.Agent, error)
	AgentConfig(ctx context.Context, agentID int64) (wire.Config, error)
	// ConfigAcked notes that the agent has applied a revision.
	ConfigAcked(ctx context.Context, agentID, revision int64) error
}

// Live is the live picture of the farm. Its methods work in memory and do not wait.
type Live interface {
	AgentUp(agentID int64, h wire.Hello)
	AgentDown(agentID int64)
	Apply(agentID int64, f wire.StateFrame)
}

// Events is the news of the event table.
type Events interface {
	Last(ctx context.Context) (int64, error)
	Follow(ctx context.Context, after int64, fn func(farm.Event) error) error
}

// Options are the parts and settings of Links.
type Options struct {
	Store    Store
	Registry Registry
	Live     Live
	Events   Events
	Prints   Prints // nil: outboxes are not read
	HubID    string
	// Generation is the hub's, raised by every restore from a backup: agents hear no
	// older one.
	Generation int64
	Log        *slog.Logger

	// MinProtocol is the oldest tunnel.Protocol this hub still speaks; 0: any.
	MinProtocol int
	// MaxKnocks bounds the connections that have not been welcomed yet, together
	// and of one address; 0: 256 and 32.
	MaxKnocks, MaxKnocksPerAddress int
}

// Links holds every agent's session. Make it with New and let Run live once. All
// its methods may be called concurrently.
type Links struct {
	o        Options
	log      *slog.Logger
	door     *door
	enrols   *enrolLimit
	quiet    *quiet
	changed  chan struct{} // the store may have other revisions
	base     context.Context
	stop     context.CancelFunc
	sessions sync.WaitGroup

	mu       sync.Mutex
	open     bool // Run lives and no Drain was asked for
	draining bool
	agents   map[int64]*agent
}

// New makes Links; until Run lives, agents are told to come back.
func New(o Options) *Links {
	if o.MaxKnocks == 0 {
		o.MaxKnocks = 256
	}
	if o.MaxKnocksPerAddress == 0 {
		o.MaxKnocksPerAddress = 32
	}
	base, stop := context.WithCancel(context.Background())
	return &Links{
		o: o, log: o.Log, base: base, stop: stop,
		door: newDoor(o.MaxKnocks, o.MaxKnocksPerAddress), enrols: newEnrolLimit(), quiet: newQuiet(),
		changed: make(chan struct{}, 1), agents: map[int64]*agent{},
	}
}

// Run lets agents in and follows what changes in the store until ctx ends. Then it
// drains, and returns nil when every session has ended.
func (l *Links) Run(ctx context.Context) error {
	l.mu.Lock()
	l.open = !l.draining
	l.mu.Unlock()
	var parts sync.WaitGroup
	parts.Go(func() { l.followEvents(ctx) })
	parts.Go(func() { l.followRevisions(ctx) })
	<-ctx.Done()
	last, done := context.WithTimeout(context.WithoutCancel(ctx), drainPatience)
	defer done()
	l.Drain(last)
	l.stop()
	l.sessions.Wait()
	parts.Wait()
	return nil
}

// drainPatience is how long Run gives a Drain that nobody asked for before.
const drainPatience = 5 * time.Second

// Drain lets nobody in any more, tells every agent that the hub restarts and
// returns when all sessions have ended or ctx does. A peer that does not answer
// holds it up for 2 s.
func (l *Links) Drain(ctx context.Context) {
	l.mu.Lock()
	l.open, l.draining = false, true
	l.mu.Unlock()
	all := l.all()
	for _, s := range all {
		s.finish(tunnel.StatusRestart, "the hub restarts")
	}
	for _, s := range all {
		select {
		case <-s.done:
		case <-ctx.Done():
			return
		}
	}
}

// Handler answers the paths below /agent/v1/. The server around it sets a
// ReadHeaderTimeout; everything after the header is bounded here.
func (l *Links) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(tunnel.ConnectPath, l.connect)
	mux.HandleFunc(enrolPath, l.enrol)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		tunnel.Answer(w, farm.Errorf(farm.NotFound, "there is nothing here"), 0)
	})
	return mux
}

// closedFor tells a caller to come back, unless the door is open.
func (l *Links) closedFor() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open {
		return nil
	}
	return farm.Errorf(farm.Unavailable, "the hub is starting or stopping")
}

// comeBack is a Retry-After that spreads those who are told it.
func comeBack() time.Duration { return time.Second + backoff.Within(9*time.Second) }

// Command carries a command to an agent. AGENT_OFFLINE: nothing was sent.
// OUTCOME_UNKNOWN: it was sent and nobody knows what became of it. Other codes are
// the agent's. A command without an id is given one.
func (l *Links) Command(ctx context.Context, agentID int64, serial string, c wire.Command) (wire.CommandResult, error) {
	s := l.session(agentID)
	if s == nil {
		return wire.CommandResult{}, farm.Errorf(farm.AgentOffline, "the agent of this printer is not connected")
	}
	if c.ID == "" {
		c.ID = newID()
	}
	return s.command(ctx, serial, c)
}

// Call makes one call of the agent API that an agent serves since it names a
// capability, with a JSON body (in; nil: none) and a JSON answer (out; nil:
// ignored). Errors are those of Command.
func (l *Links) Call(ctx context.Context, agentID int64, need wire.Capability, method, path string, in, out any) error {
	s := l.session(agentID)
	if s == nil {
		return farm.Errorf(farm.AgentOffline, "the agent is not connected")
	}
	if !slices.Contains(s.progress().hello.Capabilities, need) {
		return farm.Errorf(farm.Unsupported, "this agent cannot do that yet (%s): update it", need)
	}
	if err := s.control.Call(ctx, method, path, in, out); err != nil {
		return fmt.Errorf("%s %s of agent %d: %w", method, path, agentID, notHeld(err))
	}
	return nil
}

// Stream sends a request over an agent's bulk lane, where files and cameras are, and
// gives an answer whose body the caller drains or closes: it takes one of the lane's
// streams until then (see tunnel.Client.RoundTrip). Errors are those of Call, and
// UNAVAILABLE while the session has no bulk lane, or no stream left.
func (l *Links) Stream(ctx context.Context, agentID int64, need wire.Capability, path string) (*http.Response, error) {
	c, err := l.bulk(agentID, need)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("make the request for %s: %w", path, err)
	}
	return roundTrip(c, req)
}

// roundTrip sends a request once; an answer that is none of success is an error.
func roundTrip(c *tunnel.Client, req *http.Request) (*http.Response, error) {
	resp, err := c.RoundTrip(req)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusPartialContent:
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, notHeld(tunnel.AnswerError(resp))
}

func (l *Links) bulk(agentID int64, need wire.Capability) (*tunnel.Client, error) {
	s := l.session(agentID)
	if s == nil {
		return nil, farm.Errorf(farm.AgentOffline, "the agent is not connected")
	}
	if !slices.Contains(s.progress().hello.Capabilities, need) {
		return nil, farm.Errorf(farm.Unsupported, "this agent cannot do that yet (%s): update it", need)
	}
	c := s.bulkLane()
	if c == nil {
		return nil, farm.Errorf(farm.Unavailable, "the agent's connection for transfers is down, it is being redialled")
	}
	return c, nil
}

// agent gives an agent's place, which stays for as long as the hub lives.
func (l *Links) agent(id int64) *agent {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.agents[id]
	if a == nil {
		a = newAgent(id)
		l.agents[id] = a
	}
	return a
}

// session gives an agent's session once it has introduced itself, nil without one.
func (l *Links) session(agentID int64) *session {
	l.mu.Lock()
	a := l.agents[agentID]
	l.mu.Unlock()
	if a == nil {
		return nil
	}
	if s := a.present(); s != nil && s.up() {
		return s
	}
	return nil
}

func (l *Links) all() []*session {
	l.mu.Lock()
	agents := make([]*agent, 0, len(l.agents))
	for _, a := range l.agents {
		agents = append(agents, a)
	}
	l.mu.Unlock()
	var out []*session
	for _, a := range agents {
		if s := a.present(); s != nil {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(x, y *session) int { return int(x.agent.ID - y.agent.ID) })
	return out
}

// admit makes a session the agent's present one and lets it run once it is told
// whether the welcome came through, unless the door has been closed meanwhile.
func (l *Links) admit(a *agent, s *session, welcomed <-chan bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		return false
	}
	a.set(s)
	l.sessions.Go(func() { s.run(s.ctx, <-welcomed) })
	return true
}

// newID is random and unguessable.
func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // crypto/rand does not fail
	return hex.EncodeToString(b)
}
