package links

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

const testHubID = "hub-1"

// rig is a hub's links in the middle of fakes, reached over a network in memory.
type rig struct {
	t       testing.TB
	network *memnet.Network
	store   *memStore
	live    *memLive
	events  *memEvents
	log     *lines
	links   *Links

	server *http.Server
	parts  sync.WaitGroup
	cancel context.CancelFunc
	agents []*testAgent
}

func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, network: memnet.New(), store: newMemStore(), live: newMemLive(), events: &memEvents{}, log: &lines{}}
	o := Options{
		Store: r.store, Registry: r.store, Live: r.live, Events: r.events, HubID: testHubID,
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	r.links = New(o)
	l, err := r.network.Listen("hub:80")
	if err != nil {
		t.Fatal(err)
	}
	r.server = &http.Server{Handler: r.links.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	r.parts.Go(func() { _ = r.server.Serve(l) })
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	running := make(chan struct{})
	r.parts.Go(func() {
		close(running)
		if err := r.links.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	<-running
	return r
}

// close ends the hub, which ends every agent that is still connected.
func (r *rig) close() {
	r.cancel()
	_ = r.server.Close()
	r.parts.Wait()
	for _, a := range r.agents {
		a.parts.Wait()
	}
}

// agent is an agent as the hub may meet one.
type testAgent struct {
	rig   *rig
	id    int64
	who   tunnel.Caller
	dial  tunnel.DialFunc
	parts sync.WaitGroup

	mu           sync.Mutex
	configs      []wire.Config
	config       func(c wire.Config) error                        // nil: accepts
	command      func(ctx context.Context, w http.ResponseWriter) // nil: answers
	capabilities []wire.Capability
	states       chan string // lines of the state stream
	noBeats      bool
	streams      int
	mute         chan struct{} // not nil: nothing is answered until it is closed
	bulk         http.Handler
	outbox       *testOutbox // nil: none
	received     int         // commands
}

// enrolled is an agent the hub knows, on a host of its own.
func (r *rig) enrolled(id int64) *testAgent {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	uid := fmt.Sprintf("uid-%d", id)
	r.store.change(func() {
		r.store.agents[id] = farm.Agent{ID: id, UID: uid, SiteID: 1, Name: fmt.Sprintf("agent %d", id), PublicKey: public}
		r.store.revisions[id] = 1
	})
	a := &testAgent{
		capabilities: []wire.Capability{wire.CapState, wire.CapRefresh},
		rig:          r, id: id, states: make(chan string, 100), dial: r.network.Dialer(uid),
		who: tunnel.Caller{HubID: testHubID, AgentID: uid, BootID: fmt.Sprintf("boot-%d", id), Key: key},
	}
	r.agents = append(r.agents, a)
	return a
}

// twin is a second process with the same identity.
func (a *testAgent) twin(boot, host string) *testAgent {
	t := &testAgent{capabilities: a.capabilities, rig: a.rig, id: a.id, who: a.who, states: make(chan string, 100), dial: a.rig.network.Dialer(host)}
	t.who.BootID = boot
	a.rig.agents = append(a.rig.agents, t)
	return t
}

func (a *testAgent) hub() tunnel.Hub {
	return tunnel.Hub{URL: "http://hub:80", AllowPlain: true, Dial: a.dial}
}

// lane is one lane that is being served.
type lane struct {
	session string
	ended   chan error
	stop    context.CancelFunc
}

// closed waits for the end of a lane and gives what the hub said of it.
func (l *lane) closed(t testing.TB) *tunnel.Closed {
	t.Helper()
	err := <-l.ended
	var closed *tunnel.Closed
	if !errors.As(err, &closed) {
		t.Errorf("the lane ended with %v, not by the hub's word", err)
		return &tunnel.Closed{}
	}
	return closed
}

// connect opens a lane and serves it.
func (a *testAgent) connect(name tunnel.Lane, session string) (*lane, error) {
	s, err := tunnel.Dial(context.Background(), a.hub(), a.who, name, session)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &lane{session: s.Session, ended: make(chan error, 1), stop: cancel}
	var h http.Handler = http.HandlerFunc(a.serve)
	if name == tunnel.Bulk && a.bulk != nil {
		h = a.bulk
	}
	a.parts.Go(func() { l.ended <- s.Serve(ctx, h, slog.New(slog.DiscardHandler)) })
	return l, nil
}

// up is connect for a control lane that must be let in.
func (a *testAgent) up() *lane {
	a.rig.t.Helper()
	l, err := a.connect(tunnel.Control, "")
	if err != nil {
		a.rig.t.Fatal(err)
	}
	return l
}

func (a *testAgent) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	mute := a.mute
	a.mu.Unlock()
	if mute != nil {
		select {
		case <-mute:
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case r.URL.Path == "/v1/hello":
		_ = json.NewEncoder(w).Encode(wire.Hello{
			AgentID: a.who.AgentID, BootID: a.who.BootID, Version: "1.2.3", Platform: "linux/amd64", Capabilities: a.capabilities,
			Epoch: a.outbox.named(),
		})
	case a.outbox != nil && strings.HasPrefix(r.URL.Path, "/v1/outbox"):
		a.outbox.serve(w, r)
	case r.URL.Path == "/v1/config":
		a.putConfig(w, r)
	case r.URL.Path == "/v1/state":
		a.getState(w, r)
	case strings.HasSuffix(r.URL.Path, "/commands"):
		a.postCommand(w, r)
	default:
		tunnel.Answer(w, farm.Errorf(farm.NotFound, "not here"), 0)
	}
}

func (a *testAgent) putConfig(w http.ResponseWriter, r *http.Request) {
	var c wire.Config
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		a.rig.t.Error(err)
	}
	a.mu.Lock()
	a.configs = append(a.configs, c)
	accept := a.config
	a.mu.Unlock()
	if accept != nil {
		if err := accept(c); err != nil {
			tunnel.Answer(w, err, 0)
			return
		}
	}
	_ = json.NewEncoder(w).Encode(wire.ConfigResult{Generation: c.Generation, Revision: c.Revision})
}

func (a *testAgent) getState(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.streams++
	beats := !a.noBeats
	a.mu.Unlock()
	flush := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	for {
		_ = flush.Flush()
		beat := time.NewTimer(wire.StateBeat * time.Second)
		select {
		case line := <-a.states:
			_, _ = io.WriteString(w, line)
		case <-beat.C:
			if beats {
				_, _ = io.WriteString(w, "{\"serial\":\"\"}\n")
			}
		case <-r.Context().Done():
			return
		}
		beat.Stop()
	}
}

func (a *testAgent) postCommand(w http.ResponseWriter, r *http.Request) {
	var c wire.Command
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		a.rig.t.Error(err)
	}
	a.mu.Lock()
	a.received++
	act := a.command
	a.mu.Unlock()
	if act != nil {
		act(r.Context(), w)
		return
	}
	_ = json.NewEncoder(w).Encode(wire.CommandResult{ID: c.ID})
}

func (a *testAgent) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *testAgent) gotConfigs() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []int64
	for _, c := range a.configs {
		out = append(out, c.Revision)
	}
	return out
}

func (a *testAgent) streamCount() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.streams
}

// frame is a line of a state stream.
func frame(serial string) string {
	b, _ := json.Marshal(wire.StateFrame{Serial: serial, Whole: true})
	return string(b) + "\n"
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
