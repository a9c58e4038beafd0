package api

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/camera"
	"bambuddy/hub/internal/fleet"
	"bambuddy/hub/internal/links"
	"bambuddy/hub/internal/registry"
	"bambuddy/hub/internal/settings"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// rig is an API over the real fleet and real auth, with the rest in memory.
type rig struct {
	prints   *memPrints
	t        testing.TB
	router   chi.Router
	server   *server
	auth     *auth.Auth
	keys     *keyStore
	fleet    *fleet.Fleet
	registry *memRegistry
	links    *memLinks
	events   *memEvents
	audit    *memAudit
	ending   chan struct{}
	dbErr    error
	log      *strings.Builder
	admin    string // a key that may everything
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func newRig(t testing.TB, change ...func(*Deps)) *rig {
	t.Helper()
	r := &rig{t: t, keys: &keyStore{}, ending: make(chan struct{}), log: &strings.Builder{}, events: newMemEvents()}
	log := slog.New(slog.NewTextHandler(&lockedWriter{w: r.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.fleet = fleet.New(fleet.Options{Log: log})
	r.registry = newMemRegistry(r.fleet)
	r.links = &memLinks{status: map[int64]links.Status{}}
	r.auth = auth.New(auth.Options{Store: r.keys, Log: log})
	r.audit = &memAudit{}
	r.prints = &memPrints{}
	deps := Deps{
		Registry: r.registry, Fleet: r.fleet, Links: r.links, Cameras: camera.New(r.links, log), Events: r.events, Audit: r.audit, Auth: r.auth,
		Health:   Health{Database: func(context.Context) error { return r.dbErr }},
		Settings: settings.New(settings.Options{Store: &memSettings{}, Log: log}), Ending: r.ending, Version: "test", Log: log,
	}
	r.prints.archives(t, &deps)
	for _, c := range change {
		c(&deps)
	}
	var err error
	r.router, r.server, err = build(deps)
	if err != nil {
		t.Fatal(err)
	}
	r.admin = r.key(auth.NewKey{Name: "admin", Permissions: farm.Permissions, Limits: farm.Limits{Read: 1e6, Write: 1e6, Control: 1e6}})
	return r
}

func (r *rig) key(n auth.NewKey) string {
	r.t.Helper()
	if n.Name == "" {
		n.Name = "test"
	}
	secret, _, err := r.auth.CreateKey(context.Background(), n)
	if err != nil {
		r.t.Fatal(err)
	}
	return secret.Reveal()
}

// seed registers printer 1 of the reference with agent 1, both present, and lets
// the printer report.
func (r *rig) seed(report string) {
	r.registry.agents = []farm.Agent{{ID: 1, UID: "a1", Name: "workshop-pi", SiteID: 1, CreatedAt: seedTime}}
	r.links.status[1] = links.Status{Connected: true, Since: seedTime}
	r.put(farm.Printer{
		ID: 1, Serial: "01P00A000000001", Name: "Workshop X1C", ModelGiven: "X1C", Address: "192.168.1.100", MQTTPort: 8883, FTPSPort: 990,
		SiteID: 1, AgentID: 1, Fence: 1, CreatedAt: seedTime, UpdatedAt: seedTime,
	})
	r.fleet.AgentUp(1, wire.Hello{})
	r.report(1, "01P00A000000001", report)
}

var seedTime = time.Date(2024, 1, 15, 14, 30, 0, 123456789, time.FixedZone("CET", 3600))

func (r *rig) put(p farm.Printer) {
	r.registry.printers[p.ID] = p
	r.registry.nextID = max(r.registry.nextID, p.ID)
	r.fleet.Put(p)
}

// report merges a printer's raw MQTT payload, as its agent would, and hands it on.
func (r *rig) report(agentID int64, serial, payload string) {
	r.t.Helper()
	var st bambu.State
	if _, err := st.Apply([]byte(payload)); err != nil {
		r.t.Fatal(err)
	}
	r.fleet.Apply(agentID, frameOf(serial, st.Status()))
}

func frameOf(serial string, st bambu.Status) wire.StateFrame {
	return wire.StateFrame{Serial: serial, Fence: 1, Whole: true, Connection: &wire.Connection{State: wire.Online}, Patch: st.Whole()}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) json(t testing.TB) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("answer is not JSON: %v: %s", err, a.body)
	}
	return v
}

func (a answer) object(t testing.TB) map[string]any {
	t.Helper()
	m, ok := a.json(t).(map[string]any)
	if !ok {
		t.Fatalf("answer is no object: %s", a.body)
	}
	return m
}

// do sends a request with a key ("" sends none).
func (r *rig) do(key, method, path, body string, header ...string) answer {
	r.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, path, in)
	if key != "" {
		req.Header.Set("X-API-Key", key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.router.ServeHTTP(w, req)
	return answer{w.Code, w.Header(), w.Body.Bytes()}
}

func (r *rig) get(path string) answer { r.t.Helper(); return r.do(r.admin, http.MethodGet, path, "") }

// wantError checks the whole error form.
func (r *rig) wantError(a answer, code farm.Code, mentions string) {
	r.t.Helper()
	m := a.object(r.t)
	if a.status != code.Status() || m["code"] != string(code) || len(m) != 2 {
		r.t.Errorf("got %d %s, want %d %s", a.status, a.body, code.Status(), code)
	}
	if d, _ := m["detail"].(string); d == "" || !strings.Contains(d, mentions) {
		r.t.Errorf("detail %q does not mention %q", d, mentions)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		r.t.Errorf("content type %q", ct)
	}
}

// keyStore is auth's store in memory.
type keyStore struct {
	auth.People
	mu   sync.Mutex
	rows []farm.APIKey
	err  error

	read func() // called when a key has been read by its id
}

func (s *keyStore) CreateKey(_ context.Context, k farm.APIKey) (farm.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.ID = int64(len(s.rows) + 1)
	s.rows = append(s.rows, k)
	return k, s.err
}

func (s *keyStore) Keys(context.Context) ([]farm.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows), s.err
}

func (s *keyStore) find(match func(farm.APIKey) bool) (farm.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return farm.APIKey{}, s.err
	}
	if i := slices.IndexFunc(s.rows, match); i >= 0 {
		return s.rows[i], nil
	}
	return farm.APIKey{}, farm.Errorf(farm.NotFound, "no such key")
}

func (s *keyStore) Key(_ context.Context, id int64) (farm.APIKey, error) {
	k, err := s.find(func(k farm.APIKey) bool { return k.ID == id })
	if s.read != nil {
		s.read()
	}
	return k, err
}

func (s *keyStore) KeyByHash(_ context.Context, hash [32]byte) (farm.APIKey, error) {
	return s.find(func(k farm.APIKey) bool { return k.Hash == hash })
}

func (s *keyStore) UpdateKey(_ context.Context, k farm.APIKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.rows {
		if s.rows[i].ID == k.ID {
			s.rows[i] = k
		}
	}
	return s.err
}

func (s *keyStore) ReplaceKey(_ context.Context, id int64, prefix string, hash [32]byte) (farm.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.rows {
		if s.rows[i].ID == id {
			s.rows[i].Prefix, s.rows[i].Hash = prefix, hash
			return s.rows[i], s.err
		}
	}
	return farm.APIKey{}, farm.Errorf(farm.NotFound, "no such key")
}

func (s *keyStore) DeleteKey(_ context.Context, id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = slices.DeleteFunc(s.rows, func(k farm.APIKey) bool { return k.ID == id })
	return s.err
}

func (s *keyStore) TouchKeys(context.Context, map[int64]time.Time) error { return nil }

func (s *keyStore) fail(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
}

// memRegistry keeps rows in maps and does what the API relies on.
type memRegistry struct {
	fleet    *fleet.Fleet
	printers map[int64]farm.Printer
	sites    []farm.Site
	agents   []farm.Agent
	tokens   []farm.Enrolment
	nextID   int64
	added    registry.NewPrinter
	changed  registry.PrinterChange
	hubURL   string
	err      error // what every call answers, when set
}

func newMemRegistry(f *fleet.Fleet) *memRegistry {
	return &memRegistry{fleet: f, printers: map[int64]farm.Printer{}, sites: []farm.Site{{ID: 1, Name: "Default", CreatedAt: seedTime}}}
}

func (m *memRegistry) AddPrinter(_ context.Context, n registry.NewPrinter) (farm.Printer, error) {
	m.added = n
	if m.err != nil {
		return farm.Printer{}, m.err
	}
	m.nextID++
	p := farm.Printer{
		ID: m.nextID, Serial: strings.ToUpper(n.Serial), Name: n.Name, Address: n.Address, MQTTPort: 8883, FTPSPort: 990, SiteID: 1,
		ModelGiven: n.Model, Tags: n.Tags, Location: n.Location, CreatedAt: seedTime, UpdatedAt: seedTime,
	}
	if len(m.agents) == 1 {
		p.AgentID = m.agents[0].ID
	}
	m.printers[p.ID] = p
	m.fleet.Put(p)
	return p, nil
}

func (m *memRegistry) ChangePrinter(_ context.Context, id int64, c registry.PrinterChange) (farm.Printer, error) {
	m.changed = c
	if m.err != nil {
		return farm.Printer{}, m.err
	}
	p := m.printers[id]
	if c.Name != nil {
		p.Name = *c.Name
	}
	if c.Address != nil {
		p.Address = *c.Address
	}
	m.printers[id] = p
	m.fleet.Put(p)
	return p, nil
}

func (m *memRegistry) CheckPrinter(p farm.Printer, _ *farm.Secret) (farm.Printer, error) {
	p.Serial = strings.ToUpper(p.Serial)
	return p, m.err
}

func (m *memRegistry) RemovePrinter(_ context.Context, id int64, force bool) error {
	if !force && m.fleet.InPrint(id) {
		return farm.Errorf(farm.Conflict, "printer %d is printing: force=true", id)
	}
	if m.err == nil {
		m.fleet.Remove(id)
	}
	return m.err
}

func (m *memRegistry) Sites(context.Context) ([]farm.Site, error) {
	return slices.Clone(m.sites), m.err
}

func (m *memRegistry) Site(_ context.Context, id int64) (farm.Site, error) {
	for _, s := range m.sites {
		if s.ID == id {
			return s, m.err
		}
	}
	return farm.Site{}, farm.Errorf(farm.NotFound, "there is no site %d", id)
}

func (m *memRegistry) AddSite(_ context.Context, name string) (farm.Site, error) {
	s := farm.Site{ID: int64(len(m.sites) + 1), Name: name, CreatedAt: seedTime}
	m.sites = append(m.sites, s)
	return s, m.err
}

func (m *memRegistry) RenameSite(_ context.Context, id int64, name string) (farm.Site, error) {
	for i := range m.sites {
		if m.sites[i].ID == id {
			m.sites[i].Name = name
			return m.sites[i], m.err
		}
	}
	return farm.Site{}, farm.Errorf(farm.NotFound, "there is no site %d", id)
}

func (m *memRegistry) RemoveSite(context.Context, int64) error { return m.err }

func (m *memRegistry) Agents(context.Context) ([]farm.Agent, error) {
	return slices.Clone(m.agents), m.err
}

func (m *memRegistry) Agent(_ context.Context, id int64) (farm.Agent, error) {
	for _, a := range m.agents {
		if a.ID == id {
			return a, m.err
		}
	}
	return farm.Agent{}, farm.Errorf(farm.NotFound, "there is no agent %d", id)
}

func (m *memRegistry) ChangeAgent(ctx context.Context, id int64, c registry.AgentChange) (farm.Agent, error) {
	for i := range m.agents {
		if m.agents[i].ID == id && c.Name != nil {
			m.agents[i].Name = *c.Name
		}
	}
	return m.Agent(ctx, id)
}

func (m *memRegistry) RevokeAgent(_ context.Context, id int64) error {
	for i := range m.agents {
		if m.agents[i].ID == id {
			m.agents[i].Revoked = true
		}
	}
	return m.err
}

func (m *memRegistry) RemoveAgent(context.Context, int64) error { return m.err }

func (m *memRegistry) NewEnrolment(_ context.Context, siteID int64, hubURL, _ string) (farm.Secret, farm.Enrolment, error) {
	m.hubURL = hubURL
	e := farm.Enrolment{ID: int64(len(m.tokens) + 1), SiteID: siteID, CreatedAt: seedTime, ExpiresAt: seedTime.Add(15 * time.Minute)}
	m.tokens = append(m.tokens, e)
	return "bbt_secret", e, m.err
}

func (m *memRegistry) Enrolments(context.Context) ([]farm.Enrolment, error) {
	return slices.Clone(m.tokens), m.err
}

func (m *memRegistry) DeleteEnrolment(_ context.Context, id int64) error {
	m.tokens = slices.DeleteFunc(m.tokens, func(e farm.Enrolment) bool { return e.ID == id })
	return m.err
}

// memLinks notes commands and answers them.
type memLinks struct {
	status   map[int64]links.Status
	commands []wire.Command
	deferred bool
	err      error
	agent    http.Handler // what answers Call and Bulk
	asked    []string     // by both, in order
}

func (l *memLinks) Status(id int64) (links.Status, bool) {
	st, ok := l.status[id]
	return st, ok
}

func (l *memLinks) Command(_ context.Context, _ int64, _ string, c wire.Command) (wire.CommandResult, error) {
	l.commands = append(l.commands, c)
	return wire.CommandResult{ID: c.ID, Deferred: l.deferred, Confirmed: wire.ByAck}, l.err
}

// memEvents is the event table in memory.
type memEvents struct {
	mu    sync.Mutex
	rows  []farm.Event
	first int64 // ids below it are pruned
	last  int64
	news  chan struct{} // closed and replaced by each append
}

func newMemEvents() *memEvents { return &memEvents{first: 1, news: make(chan struct{})} }

func (e *memEvents) add(ev farm.Event) farm.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	ev.ID = e.last
	if ev.Data == nil {
		ev.Data = []byte(`{}`)
	}
	if ev.At.IsZero() {
		ev.At = seedTime
	}
	e.rows = append(e.rows, ev)
	close(e.news)
	e.news = make(chan struct{})
	return ev
}

func (e *memEvents) prune(before int64) {
	e.mu.Lock()
	e.first = before
	e.mu.Unlock()
}

func (e *memEvents) Range(context.Context) (first, last int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first > e.last {
		return 0, e.last, nil
	}
	return e.first, e.last, nil
}

func (e *memEvents) Follow(ctx context.Context, after int64, fn func(farm.Event) error) error {
	for {
		e.mu.Lock()
		rows, news := slices.Clone(e.rows), e.news
		e.mu.Unlock()
		for _, ev := range rows {
			if ev.ID <= after {
				continue
			}
			if err := fn(ev); err != nil {
				return err
			}
			after = ev.ID
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

func (s *server) mustView(t testing.TB, id int64) fleet.View {
	t.Helper()
	v, ok := s.fleet.View(id)
	if !ok {
		t.Fatalf("no printer %d", id)
	}
	return v
}

// pass lets virtual time pass; only for tests in a bubble.
func pass(d time.Duration) { <-time.After(d) }

// documentPath is a path of the router as the document writes it, exactPath with 1 for
// each id.
func documentPath(path string) string { return strings.ReplaceAll(path, ":"+idForm, "") }

func exactPath(path string) string {
	return strings.ReplaceAll(ids.ReplaceAllString(documentPath(path), "1"), "{n}", "1")
}
