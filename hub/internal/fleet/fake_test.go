package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// memStore is the database in memory. Like the real one it notes in an agent's row
// what its events tell of it.
type memStore struct {
	mu       sync.Mutex
	printers []farm.Printer
	agents   []farm.Agent
	states   map[int64]farm.PrinterState
	saves    []int // how many states each save held
	events   []farm.Event
	models   map[int64]string
	asked    int // how often a model was to be set
	failing  error
	hang     chan struct{} // when set, a save waits until it is closed
}

func newMemStore() *memStore {
	return &memStore{states: map[int64]farm.PrinterState{}, models: map[int64]string{}}
}

func (m *memStore) Printers(context.Context) ([]farm.Printer, error) { return m.printers, m.failing }
func (m *memStore) Agents(context.Context) ([]farm.Agent, error)     { return m.agents, m.failing }

func (m *memStore) States(context.Context) (out []farm.PrinterState, err error) {
	for _, s := range m.states {
		out = append(out, s)
	}
	return out, m.failing
}

// savedStatus is the status a printer's row holds.
func (m *memStore) savedStatus(id int64) (s bambu.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = json.Unmarshal(m.states[id].Status, &s) // no row: the zero status
	return s
}

func (m *memStore) SaveStates(ctx context.Context, states []farm.PrinterState) error {
	m.mu.Lock()
	hang := m.hang
	m.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return m.failing
	}
	m.saves = append(m.saves, len(states))
	for _, s := range states {
		m.states[s.PrinterID] = s
	}
	return nil
}

func (m *memStore) SetPrinterModel(_ context.Context, id int64, model string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	if m.failing == nil {
		m.models[id] = model
	}
	return m.failing
}

func (m *memStore) timesAsked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

func (m *memStore) forgetSaves() {
	m.mu.Lock()
	m.saves = nil
	m.mu.Unlock()
}

func (m *memStore) AppendEvent(_ context.Context, e farm.Event) (farm.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return e, m.failing
	}
	e.ID = int64(len(m.events) + 1)
	m.events = append(m.events, e)
	for i := range m.agents {
		if a := &m.agents[i]; a.ID == e.AgentID && (e.Kind == farm.EventAgentOnline || e.Kind == farm.EventAgentOffline) {
			a.Online = e.Kind == farm.EventAgentOnline
		}
	}
	return e, nil
}

func (m *memStore) fail(err error) {
	m.mu.Lock()
	m.failing = err
	m.mu.Unlock()
}

func (m *memStore) hangOn(until chan struct{}) {
	m.mu.Lock()
	m.hang = until
	m.mu.Unlock()
}

func (m *memStore) kinds() (out []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		out = append(out, e.Kind)
	}
	return out
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rig is a fleet of one agent with two printers, 1 and 2, under fence 5.
type rig struct {
	*Fleet
	t     *testing.T
	store *memStore
	log   *logBuffer
}

func printerRow(id int64) farm.Printer {
	return farm.Printer{ID: id, Serial: []string{"", "S1", "S2", "S3"}[id], Name: "printer", AgentID: 1, SiteID: 1, Fence: 5}
}

// inBubble runs a test with a running fleet on a store, under virtual time.
func inBubble(t *testing.T, store *memStore, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		f := New(Options{Store: store, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err := f.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- f.Run(ctx) }()
		synctest.Wait()
		test(&rig{f, t, store, &log})
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

func twoPrinters() *memStore {
	m := newMemStore()
	m.printers = []farm.Printer{printerRow(1), printerRow(2)}
	m.agents = []farm.Agent{{ID: 1, SiteID: 1, Name: "agent"}}
	return m
}

func online(serial string, s bambu.Status) wire.StateFrame {
	return wire.StateFrame{Serial: serial, Fence: 5, Whole: true, Connection: &wire.Connection{State: wire.Online}, Patch: s.Whole()}
}

func running(progress int) bambu.Status {
	return bambu.Status{Job: bambu.Job{GcodeState: "RUNNING", Progress: bambu.Some(progress)}}
}

func (r *rig) view(id int64) View {
	r.t.Helper()
	v, ok := r.View(id)
	if !ok {
		r.t.Fatalf("printer %d is not in the picture", id)
	}
	return v
}

func (r *rig) wantEvents(kinds ...string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.store.kinds(); !slices.Equal(got, kinds) {
		r.t.Errorf("events %v, want %v", got, kinds)
	}
}

var errDown = errors.New("the database is down")

func remembered(t *testing.T, id int64, connected bool, s bambu.Status) farm.PrinterState {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return farm.PrinterState{PrinterID: id, Connected: connected, SeenAt: time.Now().Add(-time.Hour), Status: b}
}
