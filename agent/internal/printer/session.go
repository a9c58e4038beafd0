package printer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Config is what a session needs to know of its printer. It has been checked:
// the serial number is upper case and names nothing but itself in an MQTT topic.
type Config = wire.PrinterConfig

// Deps are what a session gets from outside. Dial and Pins are shared by all
// sessions and called concurrently.
type Deps struct {
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	Pins    Pins
	Log     *slog.Logger
	Changed func()        // called by the session after each new snapshot; must not block
	Spread  time.Duration // the first try comes after a random part of it
	Book    Book          // sees every picture first; nil: none
}

// Snapshot is a session at one moment. It is a value and never changes.
type Snapshot struct {
	Status     bambu.Status
	Connection wire.Connection
	LastReport time.Time // zero: none in this process
	Counters
	Outbox int64 // number of the last record that was written of the printer
	whole  bool  // Status is of this connection alone
}

// Counters are a session's numbers since the process began.
type Counters struct {
	Reports  int64 // received
	Rejected int64 // of them not readable
	Dropped  int64 // of them lost because the session was too slow
	Connects int64 // logins that the printer accepted
}

// Session is one printer's session. Make it with New, let Run live once; all
// other methods may be called by anyone at any time.
type Session struct {
	cfg    Config
	deps   Deps
	log    *slog.Logger
	before *Session // whose memory to take over, nil: none
	done   chan struct{}

	lanes   lanes
	waiters waiters

	latest   atomic.Pointer[Snapshot]
	online   atomic.Pointer[connection] // nil while there is none to ask
	model    atomic.Pointer[string]     // as configured
	counters struct{ reports, rejected, dropped, connects atomic.Int64 }

	memory // belongs to Run's goroutine
}

// memory is what a session remembers over its connections, and passes on to its
// successor.
type memory struct {
	state      bambu.State
	assumed    string // model code the state was told
	lastReport time.Time
	pushall    budget
	sequence   sequence
	wantFull   bool // a full report is missing: ask when the budget allows
	whole      bool // one has come over this connection: state is not of another time
	connection wire.Connection

	complete bool      // state rests on a full report
	bridged  bool      // the connection before was lost only a moment ago
	outbox   int64     // number of the last record of the book
	due      time.Time // when the book wants to look again
	withheld bool      // the state holds what the book could not write down
	stopSeen bool      // a stop was acknowledged since the book looked last
}

// New builds a session; it does nothing until Run.
func New(cfg Config, deps Deps) *Session {
	s := &Session{cfg: cfg, deps: deps, done: make(chan struct{}), lanes: lanes{newLane(), newLane()}}
	s.log = deps.Log.With("printer", cfg.Serial)
	s.sequence.start()
	s.SetModel(cfg.Model)
	s.connection = wire.Connection{State: wire.Connecting, Detail: "connecting to " + s.address(), SinceMS: time.Now().UnixMilli()}
	s.latest.Store(&Snapshot{Connection: s.connection})
	return s
}

// Follow makes s the successor of an earlier session with the same printer: s
// shows its last status from now on, and Run begins once the other's Run has
// returned, with the merged state and the pushall budget of the other. Call it
// before Run, and only when old has been told to stop or never ran.
func (s *Session) Follow(old *Session) {
	s.before = old
	last := old.Snapshot()
	last.Connection = s.connection
	s.latest.Store(&last)
	s.counters.reports.Store(last.Reports)
	s.counters.rejected.Store(last.Rejected)
	s.counters.dropped.Store(last.Dropped)
	s.counters.connects.Store(last.Connects)
}

// Abandon ends a session that will never run, so that a successor need not wait.
func (s *Session) Abandon() { close(s.done) }

// SetModel tells the model code that people configured, "" for none. It only
// guides how reports are read until the printer names itself.
func (s *Session) SetModel(code string) { s.model.Store(&code) }

// Snapshot is the present picture. It is cheap.
func (s *Session) Snapshot() Snapshot {
	snap := *s.latest.Load()
	snap.Counters = Counters{
		Reports:  s.counters.reports.Load(),
		Rejected: s.counters.rejected.Load(),
		Dropped:  s.counters.dropped.Load(),
		Connects: s.counters.connects.Load(),
	}
	return snap
}

// Model is what is known of the printer's model: its own word, else the
// configuration, else the serial number. It is zero when nobody knows.
func (s *Session) Model() bambu.Model {
	return s.modelOf(s.latest.Load().Status)
}

func (s *Session) modelOf(status bambu.Status) bambu.Model {
	if m, ok := bambu.ModelByCode(status.Machine.Model); ok {
		return m
	}
	m, _ := bambu.ModelByCode(s.modelCode())
	return m
}

// Refresh asks the printer for a full report. It returns once the question is
// written, or with deferred true when the printer's own limit puts it off.
// Without a connection it is a farm.PrinterNotConnected, farm.PrinterBusy when ctx
// ended first.
func (s *Session) Refresh(ctx context.Context) (deferred bool, err error) {
	err = s.ask(ctx, func(c *connection) error {
		s.wantFull = true
		now := time.Now()
		if deferred = !s.pushall.allows(s.every(), now); deferred {
			return nil
		}
		if err := s.askFull(c, now); err != nil {
			return farm.Wrap(farm.PrinterNotConnected, err, "printer %s is losing its connection", s.cfg.Serial)
		}
		return nil
	})
	return deferred, err
}

// away says why there is nobody to ask.
func (s *Session) away() error {
	detail := s.latest.Load().Connection.Detail
	if detail == "" {
		detail = "the connection was just lost"
	}
	return farm.Errorf(farm.PrinterNotConnected, "printer %s is not connected: %s", s.cfg.Serial, detail)
}

// Run keeps the session until ctx ends; then everything it started is gone.
func (s *Session) Run(ctx context.Context) error {
	defer close(s.done)
	if s.before != nil {
		<-s.before.done // it has been told to stop: this takes a moment
		connection := s.connection
		s.memory = s.before.memory
		s.connection, s.before = connection, nil
	}
	retry := retries{}
	pause := backoff.Within(s.deps.Spread)
	for wait(ctx, pause) {
		up, err := s.attempt(ctx)
		if ctx.Err() != nil {
			break
		}
		f := faultOf(err, s.address())
		s.become(f.state, f.detail, err)
		pause = retry.next(f.state, up)
	}
	s.become(wire.Stopped, "", nil)
	return nil
}

// attempt holds one connection from dialling to its end. It tells how long the
// printer had accepted us, and why it ended. A panic ends this connection only.
func (s *Session) attempt(ctx context.Context) (up time.Duration, err error) {
	var since time.Time
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("session broke down", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal fault: %v", r)
		}
		if !since.IsZero() {
			up = time.Since(since)
		}
	}()
	c, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	since = time.Now()
	return 0, c.because(s.listen(ctx, c))
}

// become moves to a connection state: people are told of changes, not of tries.
func (s *Session) become(state wire.ConnState, detail string, cause error) {
	was := s.connection
	if was.State == state && was.Detail == detail {
		return
	}
	s.connection.State, s.connection.Detail = state, detail
	if was.State != state {
		s.connection.SinceMS = time.Now().UnixMilli()
		attrs := []any{"state", state, "was", was.State}
		if detail != "" {
			attrs = append(attrs, "detail", detail)
		}
		if cause != nil {
			attrs = append(attrs, "err", cause)
		}
		tell := s.log.Warn
		if state == wire.Online || state == wire.Connecting || state == wire.Stopped {
			tell = s.log.Info
		}
		tell("printer connection", attrs...)
	}
	s.publish()
}

// publish makes the present state everybody's; what is withheld stays as it was.
func (s *Session) publish() {
	status := s.state.Status()
	if s.withheld {
		status = s.latest.Load().Status
	}
	s.latest.Store(&Snapshot{Status: status, Connection: s.connection, LastReport: s.lastReport, Outbox: s.outbox, whole: s.whole})
	s.deps.Changed()
}

func (s *Session) address() string {
	return net.JoinHostPort(s.cfg.Address, fmt.Sprint(s.cfg.MQTTPort))
}

// retries decides when to try again. A wrong access code is tried rarely: it
// does not become right by itself, and printers are slow to forget bad logins.
type retries struct{ quick, slow backoff.Backoff }

func (r *retries) next(state wire.ConnState, up time.Duration) time.Duration {
	if state == wire.WrongAccessCode {
		r.slow.Min, r.slow.Max = 30*time.Second, 5*time.Minute
		return r.slow.Next()
	}
	if up > 0 {
		r.slow.Reset()
	}
	return r.quick.NextAfter(up)
}

// wait tells whether the time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
