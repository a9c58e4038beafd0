package links

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

const (
	helloPath     = "/v1/hello"
	helloPatience = 10 * time.Second
	measureEvery  = time.Minute
	notePatience  = 2 * time.Second // for the database, when a session has ended
)

// session is one agent's connection, from its welcome until control is lost. Its
// run owns everything in it.
type session struct {
	links  *Links
	agent  farm.Agent // as of the welcome
	id     string
	bootID string
	remote string
	since  time.Time

	ctx    context.Context // ends with the session
	cancel context.CancelFunc
	done   chan struct{} // closed when the live picture knows that it has ended
	push   chan struct{} // the store may have another config
	parts  sync.WaitGroup

	mu      sync.Mutex
	control *tunnel.Client // nil until welcomed
	bulk    *tunnel.Client // nil while it is down
	closing bool
	why     ending
	is      progress
}

// ending is what the agent is told when we end a session.
type ending struct {
	status tunnel.Status
	reason string
}

// progress is what a session has come to know.
type progress struct {
	hello        wire.Hello // AgentID is "" until it has introduced itself
	rtt, bulkRTT time.Duration
	clockAhead   time.Duration
	config       ConfigStatus
	tried        int64 // revision of the last push, whatever became of it; 0: none
	stateAt      time.Time
	badLines     int64
}

func newSession(l *Links, row farm.Agent, k *tunnel.Knock) *session {
	s := &session{
		links: l, agent: row, id: newID(), bootID: k.BootID, remote: k.Remote, since: time.Now(),
		done: make(chan struct{}), push: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(l.base)
	return s
}

// run lives as long as the session.
func (s *session) run(ctx context.Context, welcomed bool) {
	a := s.links.agent(s.agent.ID)
	defer func() {
		s.cancel()
		a.clear(s)
		close(s.done)
	}()
	if !welcomed {
		return
	}
	if err := s.greet(ctx); err != nil {
		if ctx.Err() == nil {
			s.links.log.Warn("agent welcomed, but it does not introduce itself", "agent", s.agent.ID, "err", err)
		}
		s.closeLanes()
		return
	}
	s.live(ctx)
	s.links.o.Live.AgentDown(s.agent.ID)
	s.links.sessions.Go(func() { s.note(ctx) }) // run is one of sessions itself, so they are being waited for
}

// live carries the session from the hello to its end.
func (s *session) live(ctx context.Context) {
	log := s.links.log
	s.links.o.Live.AgentUp(s.agent.ID, s.progress().hello)
	log.Info("agent connected", "agent", s.agent.ID, "name", s.agent.Name, "remote", s.remote, "version", s.progress().hello.Version)
	pushed := make(chan struct{})
	s.parts.Go(func() { s.pushConfigs(ctx, pushed) })
	s.parts.Go(func() { s.readStates(ctx, pushed) })
	s.parts.Go(func() { s.readOutbox(ctx) })
	s.note(ctx)
	for over := false; !over; {
		select {
		case <-s.control.Done():
			over = true
		case <-ctx.Done():
			over = true
		case <-time.After(measureEvery):
			_ = s.greet(ctx) // a lane that is lost ends the session by itself
		}
	}
	s.cancel()
	s.closeLanes()
	log.Info("agent disconnected", "agent", s.agent.ID, "name", s.agent.Name, "after", time.Since(s.since).Round(time.Second), "reason", s.control.Err())
}

// greet asks the agent who it is, which also measures the way to it.
func (s *session) greet(ctx context.Context) error {
	h, took, err := greet(ctx, s.control)
	if err != nil {
		return err
	}
	if h.AgentID != s.agent.UID || h.BootID != s.bootID {
		return errors.New("it introduces itself as somebody else than it signed for")
	}
	s.mu.Lock()
	s.is.hello, s.is.rtt = h, took
	s.is.clockAhead = time.UnixMilli(h.Clock.WallMS).Sub(time.Now().Add(-took / 2))
	s.mu.Unlock()
	return nil
}

func greet(ctx context.Context, c *tunnel.Client) (wire.Hello, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, helloPatience)
	defer cancel()
	var h wire.Hello
	start := time.Now()
	err := c.Call(ctx, http.MethodGet, helloPath, nil, &h)
	return h, time.Since(start), err
}

// alive tells whether the agent answers anything at all within a short time.
func (s *session) alive(ctx context.Context) bool {
	s.mu.Lock()
	control := s.control
	s.mu.Unlock()
	if control == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, alivePatience)
	defer cancel()
	err := control.Call(ctx, http.MethodGet, helloPath, nil, nil)
	return err == nil || ctx.Err() == nil && !farm.Is(err, farm.AgentOffline)
}

// finish ends the session without waiting for that; done tells when. It is true
// for the first who asks.
func (s *session) finish(status tunnel.Status, reason string) bool {
	s.mu.Lock()
	first := s.why == ending{}
	if first {
		s.why = ending{status, reason}
	}
	s.mu.Unlock()
	s.cancel()
	return first
}

// welcome takes over the lane of a welcome.
func (s *session) welcome(control *tunnel.Client) {
	s.mu.Lock()
	s.control = control
	s.mu.Unlock()
}

// closeLanes tells the agent that the session is over and waits for the parts.
func (s *session) closeLanes() {
	s.mu.Lock()
	s.closing = true
	why, bulk := s.why, s.bulk
	s.mu.Unlock()
	if why == (ending{}) {
		why = ending{tunnel.StatusReplaced, "session over"}
	}
	var both sync.WaitGroup
	both.Go(func() { s.control.Close(why.status, why.reason) })
	if bulk != nil {
		both.Go(func() { bulk.Close(why.status, why.reason) })
	}
	both.Wait()
	s.parts.Wait()
}

// joinBulk makes a lane the session's bulk lane, in place of an older one.
func (s *session) joinBulk(c *tunnel.Client) {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		c.Close(tunnel.StatusReplaced, "session over")
		return
	}
	old := s.bulk
	s.bulk = c
	s.parts.Go(func() { s.keepBulk(c) })
	if old != nil {
		s.parts.Go(func() { old.Close(tunnel.StatusReplaced, "replaced by a newer connection") })
	}
	s.mu.Unlock()
}

// keepBulk measures the bulk lane and notes its end.
func (s *session) keepBulk(c *tunnel.Client) {
	if _, took, err := greet(s.ctx, c); err == nil {
		s.mu.Lock()
		s.is.bulkRTT = took
		s.mu.Unlock()
	}
	<-c.Done() // closeLanes ends it with the session
	s.mu.Lock()
	gone := s.bulk == c
	if gone {
		s.bulk, s.is.bulkRTT = nil, 0
	}
	closing := s.closing
	s.mu.Unlock()
	var told *tunnel.Closed // an agent that stops says so on both lanes: control tells the log
	if gone && !closing && !errors.As(c.Err(), &told) {
		s.links.log.Warn("bulk lane lost", "agent", s.agent.ID, "reason", c.Err())
	}
}

func (s *session) bulkLane() *tunnel.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bulk
}

// up tells whether the agent has introduced itself and is still there.
func (s *session) up() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is.hello.AgentID != "" && !s.closing && s.ctx.Err() == nil
}

func (s *session) progress() progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is
}

// note writes down that the agent is, or was, here.
func (s *session) note(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notePatience)
	defer cancel()
	h := s.progress().hello
	if err := s.links.o.Store.SeenAgent(ctx, s.agent.ID, clip(h.Version, 64), clip(h.Platform, 64), time.Now()); err != nil {
		s.links.log.Error("that an agent was seen was not kept", "agent", s.agent.ID, "err", err)
	}
}

// capabilityOf is what an agent must have named before it is sent such a command.
func capabilityOf(kind wire.CommandKind) wire.Capability {
	switch kind {
	case wire.Refresh:
		return wire.CapRefresh
	case wire.Control:
		return wire.CapControl
	}
	return ""
}

func (s *session) command(ctx context.Context, serial string, c wire.Command) (wire.CommandResult, error) {
	var result wire.CommandResult
	if need := capabilityOf(c.Kind); need != "" && !slices.Contains(s.progress().hello.Capabilities, need) {
		return result, farm.Errorf(farm.Unsupported, "this agent does not know the command %q yet: update it", c.Kind)
	}
	err := s.control.Call(ctx, http.MethodPost, "/v1/printers/"+url.PathEscape(serial)+"/commands", c, &result)
	if err != nil {
		return wire.CommandResult{}, fmt.Errorf("command %s of printer %s: %w", c.Kind, serial, notHeld(err))
	}
	return result, nil
}

// notHeld reads an agent's NOT_FOUND: the printer exists, or nobody would ask, so
// its config is still on the way.
func notHeld(err error) error {
	if farm.Is(err, farm.NotFound) {
		return farm.Wrap(farm.PrinterNotConnected, err, "the agent does not hold this printer yet")
	}
	return err
}
