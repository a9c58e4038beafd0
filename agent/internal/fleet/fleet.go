package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"bambuddy/agent/internal/printer"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

const configFile = "config.sealed"

// spreadPerPrinter is how far apart sessions that begin together connect, on
// average: a TLS handshake takes memory that would otherwise be taken at once.
const spreadPerPrinter = 10 * time.Millisecond

// Options are what a Fleet gets from outside.
type Options struct {
	Dir   string // holds the sealed configuration, its key and the pins
	HubID string // of the hub the agent is enrolled with; no other configures it
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	// Left hears of printers that are held no longer, or by another way: whatever was
	// open to one is to end. It must not block. nil: nobody.
	Left func(serial string)
	// Book gives who keeps the books of a printer's prints under an assignment; nil:
	// nobody does.
	Book func(serial string, fence int64) printer.Book
	// Removed hears of printers that are held no longer. It must not block. nil: nobody.
	Removed func(serial string)
	Log     *slog.Logger
}

// Fleet is an agent's printers. All methods may be called concurrently.
type Fleet struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	hubID string
	left  func(serial string)
	book  func(serial string, fence int64) printer.Book
	gone  func(serial string)
	log   *slog.Logger
	vault *vault
	pins  *pins

	applying sync.Mutex // held during Apply

	mu       sync.Mutex
	held     wire.Config // as on disk
	members  map[string]*member
	watchers map[*Watcher]struct{}
	begin    func(*member) // starts a session; nil before Run
	ended    bool          // Run is over or about to be
	sessions sync.WaitGroup
}

// member is one printer held.
type member struct {
	cfg     wire.PrinterConfig
	session *printer.Session
	stop    context.CancelFunc // nil until the session runs
	seen    string             // address it was last seen at, "" at none yet
}

// New reads what the agent held when it ended. Sessions begin with Run. What
// cannot be read is set aside and told in the log; the hub will push it anew.
func New(o Options) (*Fleet, error) {
	f := &Fleet{
		dial: o.Dial, hubID: o.HubID, left: o.Left, book: o.Book, gone: o.Removed, log: o.Log,
		members: map[string]*member{}, watchers: map[*Watcher]struct{}{},
	}
	if f.left == nil {
		f.left = func(string) {}
	}
	if f.gone == nil {
		f.gone = func(string) {}
	}
	if f.book == nil {
		f.book = func(string, int64) printer.Book { return nil }
	}
	var err error
	if f.vault, err = openVault(o.Dir, o.Log); err != nil {
		return nil, err
	}
	if f.pins, err = openPins(f.vault, o.Log); err != nil {
		return nil, err
	}
	if f.held, err = f.load(); err != nil {
		return nil, err
	}
	for _, c := range f.held.Printers {
		f.add(c, len(f.held.Printers))
	}
	return f, nil
}

// load reads the configuration held; without a usable one it is empty.
func (f *Fleet) load() (wire.Config, error) {
	data, err := f.vault.read(configFile)
	if errors.Is(err, fs.ErrNotExist) {
		return wire.Config{}, nil
	}
	var c wire.Config
	if err == nil {
		err = json.Unmarshal(data, &c)
	} else if !errors.Is(err, errUnreadable) {
		return wire.Config{}, fmt.Errorf("read the configuration held: %w", err)
	}
	if err != nil {
		f.log.Error("the configuration held cannot be read and was set aside; the agent waits for its hub", "err", err)
		return wire.Config{}, f.vault.setAside(configFile)
	}
	if c.HubID != f.hubID {
		f.log.Warn("the configuration held is of another hub and was set aside")
		return wire.Config{}, f.vault.setAside(configFile)
	}
	// It was checked when it was pushed; an earlier release may have known less.
	c.Printers = slices.DeleteFunc(c.Printers, func(p wire.PrinterConfig) bool {
		detail := wrongWith(p)
		if detail != "" {
			f.log.Error("a printer held is passed over", "printer", p.Serial, "detail", detail)
		}
		return detail != ""
	})
	return c, nil
}

// Run runs the sessions until ctx ends, and returns when all of them are gone.
// A Fleet runs once.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	f.begin = func(m *member) { f.run(ctx, m) }
	for _, m := range f.members {
		f.start(m)
	}
	f.log.Info("printers", "held", len(f.members), "generation", f.held.Generation, "revision", f.held.Revision)
	f.mu.Unlock()

	var saver sync.WaitGroup
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	saver.Go(func() { f.pins.run(saving) })

	<-ctx.Done()
	f.mu.Lock()
	f.ended = true // from now on nobody starts a session
	f.mu.Unlock()
	f.sessions.Wait()
	stopSaving()
	saver.Wait()
	return nil
}

// Held tells which configuration is in effect, and for which printers, by serial.
func (f *Fleet) Held() (generation, revision int64, printers []wire.Presence) {
	f.mu.Lock()
	defer f.mu.Unlock()
	printers = make([]wire.Presence, 0, len(f.members))
	for _, m := range f.members {
		printers = append(printers, presence(m.cfg))
	}
	sortPresences(printers)
	return f.held.Generation, f.held.Revision, printers
}

// Apply makes a pushed configuration the one held: first on disk, then in
// effect. What is of another hub or older than what is held is a farm.Conflict;
// the same one is applied again without harm.
func (f *Fleet) Apply(ctx context.Context, pushed wire.Config) (wire.ConfigResult, error) {
	f.applying.Lock()
	defer f.applying.Unlock()
	f.mu.Lock()
	held, ended := f.held, f.ended
	f.mu.Unlock()
	if ended {
		return wire.ConfigResult{}, farm.Errorf(farm.Unavailable, "the agent is stopping")
	}
	if err := accept(f.hubID, held, pushed); err != nil {
		return wire.ConfigResult{}, err
	}
	if err := ctx.Err(); err != nil {
		return wire.ConfigResult{}, fmt.Errorf("apply configuration: %w", err)
	}
	p := planOf(held, pushed)
	data, err := json.Marshal(p.next)
	if err == nil {
		err = f.vault.write(configFile, data)
	}
	if err != nil {
		return wire.ConfigResult{}, farm.Wrap(farm.Unavailable, err, "the agent cannot save its configuration")
	}
	f.carryOut(p)
	for _, e := range p.result.Errors {
		f.log.Warn("a printer of the configuration was refused", "printer", e.Serial, "detail", e.Detail)
	}
	return p.result, nil
}

// carryOut brings the sessions in line with a plan.
func (f *Fleet) carryOut(p plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if order(p.next, f.held) != 0 || len(p.removed) > 0 {
		f.log.Info("configuration", "generation", p.next.Generation, "revision", p.next.Revision, "printers", len(p.next.Printers), "removed", len(p.removed))
	}
	f.held = p.next
	for _, serial := range p.removed {
		f.remove(serial)
	}
	for _, c := range p.next.Printers {
		m, known := f.members[c.Serial]
		switch {
		case !known:
			f.start(f.add(c, len(p.next.Printers)))
		case needsNewSession(m.cfg, c):
			if c.Fence != m.cfg.Fence { // assigned anew, or its code was entered anew: so is trust
				f.pins.forget(c.Serial)
			}
			f.replace(m, c)
		default:
			m.cfg = c
			m.session.SetModel(c.Model)
		}
		f.tell(c.Serial)
	}
}

// add makes a member that does not run yet. many tells how many may begin with it.
func (f *Fleet) add(c wire.PrinterConfig, many int) *member {
	m := &member{cfg: c, session: printer.New(c, f.deps(c, time.Duration(many)*spreadPerPrinter))}
	f.members[c.Serial] = m
	return m
}

func (f *Fleet) deps(c wire.PrinterConfig, spread time.Duration) printer.Deps {
	return printer.Deps{
		Dial: f.dial, Pins: f.pins, Log: f.log, Spread: spread, Book: f.book(c.Serial, c.Fence),
		Changed: func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.tell(c.Serial)
		},
	}
}

// start lets a member's session run, once Run has begun.
func (f *Fleet) start(m *member) {
	if f.begin != nil && !f.ended {
		f.begin(m)
	}
}

func (f *Fleet) run(ctx context.Context, m *member) {
	ctx, stop := context.WithCancel(ctx)
	m.stop = stop
	session, serial := m.session, m.cfg.Serial
	f.sessions.Go(func() {
		defer stop()
		if err := session.Run(ctx); err != nil {
			f.log.Error("session ended", "printer", serial, "err", err)
		}
	})
}

// replace gives a member another session, which goes on where the old one ends.
func (f *Fleet) replace(m *member, c wire.PrinterConfig) {
	old := m.session
	f.end(m)
	m.cfg, m.session, m.stop = c, printer.New(c, f.deps(c, 0)), nil
	m.session.Follow(old)
	f.start(m)
	f.left(c.Serial)
}

// remove ends a member's session and forgets what is known of it.
func (f *Fleet) remove(serial string) {
	m, ok := f.members[serial]
	if !ok {
		return
	}
	f.end(m)
	delete(f.members, serial)
	f.pins.forget(serial)
	f.tell(serial)
	f.left(serial)
	f.gone(serial)
	f.log.Info("printer removed", "printer", serial)
}

// end stops a member's session; Run waits for it.
func (f *Fleet) end(m *member) {
	if m.stop == nil {
		m.session.Abandon()
		return
	}
	m.stop()
}

// Diagnostics are the sessions in numbers, by serial.
func (f *Fleet) Diagnostics() []wire.SessionDiagnostic {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]wire.SessionDiagnostic, 0, len(f.members))
	for _, serial := range slices.Sorted(maps.Keys(f.members)) {
		s := f.members[serial].session.Snapshot()
		list = append(list, wire.SessionDiagnostic{
			Serial: serial, Connection: s.Connection,
			Reports: s.Reports, Rejected: s.Rejected, Dropped: s.Dropped, Connects: s.Connects,
		})
	}
	return list
}
