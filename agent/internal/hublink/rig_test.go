package hublink

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

const (
	testHub   = "hub-1"
	testAgent = "agent-1"
)

// fakeFleet holds what a test gives it and notes what it is told.
type fakeFleet struct {
	mu       sync.Mutex
	configs  []wire.Config
	applyErr error
	commands []wire.Command
	carryOut func(ctx context.Context, serial string, c wire.Command) (wire.CommandResult, error)
	watchers []*fakeWatcher
}

func (f *fakeFleet) Held() (int64, int64, []wire.Presence) {
	return 1, 7, []wire.Presence{{Serial: "S1", Fence: 2}}
}

func (f *fakeFleet) Apply(_ context.Context, c wire.Config) (wire.ConfigResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.configs = append(f.configs, c)
	return wire.ConfigResult{Generation: c.Generation, Revision: c.Revision}, f.applyErr
}

func (f *fakeFleet) Command(ctx context.Context, serial string, c wire.Command) (wire.CommandResult, error) {
	f.mu.Lock()
	f.commands = append(f.commands, c)
	carryOut := f.carryOut
	f.mu.Unlock()
	if carryOut == nil {
		return wire.CommandResult{Deferred: true}, nil
	}
	return carryOut(ctx, serial, c)
}

func (f *fakeFleet) Diagnostics() []wire.SessionDiagnostic {
	return []wire.SessionDiagnostic{{Serial: "S1", Reports: 5}}
}

func (f *fakeFleet) Watch() Watcher {
	w := &fakeWatcher{batches: make(chan []wire.StateFrame, 8), closed: make(chan struct{})}
	f.mu.Lock()
	f.watchers = append(f.watchers, w)
	f.mu.Unlock()
	w.batches <- []wire.StateFrame{{Serial: "S1", Whole: true}, {Serial: "S2", Whole: true}}
	return w
}

type fakeWatcher struct {
	batches chan []wire.StateFrame
	closed  chan struct{}
}

func (w *fakeWatcher) Next(ctx context.Context) ([]wire.StateFrame, error) {
	select {
	case b := <-w.batches:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *fakeWatcher) Close() { close(w.closed) }

// knock is one connect of the agent, as the hub saw it.
type knock struct {
	at     time.Time
	sess   string
	client *tunnel.Client
}

// fakeHub answers connects as its verdict says, nil: welcome.
type fakeHub struct {
	t       *testing.T
	network *memnet.Network
	key     ed25519.PublicKey
	id      Identity
	server  *http.Server
	served  sync.WaitGroup
	knocks  map[tunnel.Lane]chan knock // of a stranger: control's

	mu       sync.Mutex
	answer   http.HandlerFunc // nil: a websocket
	verdict  func(lane tunnel.Lane) *tunnel.Refused
	sessions int
}

func newHub(t *testing.T) *fakeHub {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &fakeHub{
		t: t, network: memnet.New(), key: public,
		knocks: map[tunnel.Lane]chan knock{tunnel.Control: make(chan knock, 1000), tunnel.Bulk: make(chan knock, 1000)},
		id:     Identity{HubURL: "http://hub:80", HubID: testHub, AgentID: testAgent, Key: key},
	}
	h.start()
	return h
}

func (h *fakeHub) start() {
	l, err := h.network.Listen("hub:80")
	if err != nil {
		h.t.Fatal(err)
	}
	h.server = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	h.served.Go(func() { _ = h.server.Serve(l) })
}

func (h *fakeHub) stop() {
	_ = h.server.Close()
	h.served.Wait()
}

func (h *fakeHub) refuse(r *tunnel.Refused) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.verdict = func(tunnel.Lane) *tunnel.Refused { return r }
	if r == nil {
		h.verdict = nil
	}
}

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	answer, verdict := h.answer, h.verdict
	h.mu.Unlock()
	if answer != nil {
		h.knocks[tunnel.Control] <- knock{at: time.Now()}
		answer(w, r)
		return
	}
	k, err := tunnel.Accept(w, r, testHub)
	if err != nil {
		h.knocks[tunnel.Control] <- knock{at: time.Now()}
		return
	}
	if !k.SignedBy(h.key) {
		h.t.Error("the agent's signature is wrong")
	}
	if verdict != nil {
		if no := verdict(k.Lane); no != nil {
			h.knocks[k.Lane] <- knock{at: time.Now(), sess: k.Session}
			k.Refuse(r.Context(), no)
			return
		}
	}
	session := k.Session
	if k.Lane == tunnel.Control {
		h.mu.Lock()
		h.sessions++
		session = fmt.Sprintf("session-%d", h.sessions)
		h.mu.Unlock()
	}
	c, err := k.Welcome(r.Context(), session)
	if err != nil {
		return // the agent was stopped in the middle of it; who waits for this lane will wait in vain
	}
	h.knocks[k.Lane] <- knock{at: time.Now(), sess: session, client: c}
}

// next waits for the next connect of a lane.
func (h *fakeHub) next(lane tunnel.Lane) knock { return <-h.knocks[lane] }

// run starts a link to the hub; the function it gives ends it and waits.
func (h *fakeHub) run(log *slog.Logger, site Site) (*Link, func()) {
	l := New(Options{
		Identity: h.id, BootID: "boot-1", Version: "1.2.3", Fleet: &fakeFleet{}, Site: site,
		AllowPlain: true, Dial: h.network.Dialer("agent"), Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return l, func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("Run returned %v", err)
		}
	}
}

// lines is a log that can be asked.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func logTo(l *lines) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func refused(code farm.Code, wait time.Duration) *tunnel.Refused {
	return &tunnel.Refused{Code: code, Detail: "because", RetryAfter: wait}
}
