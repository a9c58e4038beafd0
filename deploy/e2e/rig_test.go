package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	agentapp "bambuddy/agent/app"
	hubapp "bambuddy/hub/app"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/simprinter"
)

// The hosts of the network. An agent has two: its way out and its printers' LAN.
const hubAddress = "hub:8000"

func wan(site int) string { return fmt.Sprintf("wan%d", site) }
func lan(site int) string { return fmt.Sprintf("lan%d", site) }

// rig is a whole farm.
type rig struct {
	speed    float64 // of the printers
	t        *testing.T
	network  *memnet.Network
	root     string
	key      string
	client   *http.Client
	hub      *process
	agents   []*process
	printers *simprinter.Farm
	sims     *process
	feed     *feed
	log      *logs
	// unprovable are the names of prints whose end nothing proves.
	unprovable map[string]bool
	objects    *hubapp.MemoryObjects // of the hub, whatever becomes of that
}

// process is a part that can be stopped and started like a program.
type process struct {
	t      *testing.T
	name   string
	run    func(ctx context.Context) error
	cancel context.CancelFunc
	over   chan error
}

func (p *process) start() {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.over = cancel, make(chan error, 1)
	go func() { p.over <- p.run(ctx) }()
}

// stop ends a part as SIGTERM does, and checks that it goes in good order.
func (p *process) stop() {
	if p.cancel == nil {
		return
	}
	begin := time.Now()
	p.cancel()
	if err := <-p.over; err != nil {
		p.t.Errorf("%s ended with %v", p.name, err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		p.t.Errorf("%s took %v to end", p.name, took)
	}
	p.cancel = nil
}

// logs keeps what the parts say, to be shown when a test fails.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func (l *logs) logger(part string) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, nil)).With("process", part)
}

// inBubble runs a test with a farm under virtual time: two sites with an agent
// each, the printers given by their models, in turn at the sites.
func inBubble(t *testing.T, models []string, test func(r *rig)) {
	t.Helper()
	inFastBubble(t, 1, models, test)
}

// inFastBubble is inBubble with printers that print faster, which spares reports.
func inFastBubble(t *testing.T, speed float64, models []string, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{speed: speed, t: t, network: memnet.New(), root: t.TempDir(), log: &logs{}, unprovable: map[string]bool{}, objects: hubapp.NewMemoryObjects()}
		defer r.close()
		r.client = &http.Client{Transport: &http.Transport{DialContext: r.network.Dialer("operator")}}
		r.startPrinters(models)
		r.hub = &process{t: t, name: "hub", run: r.runHub}
		r.hub.start()
		r.await("the hub", 10*time.Second, func() bool { return r.try("GET", "/health", nil, nil) == 200 })
		r.key = r.newKey()
		for site := range 2 {
			r.enrol(site)
		}
		r.await("both agents", 10*time.Second, func() bool { return r.connectedAgents() == 2 })
		for i, e := range r.printers.Inventory() {
			r.register(e, i%2+1)
		}
		r.feed = r.follow()
		test(r)
	})
}

func (r *rig) close() {
	if r.feed != nil {
		r.feed.close()
	}
	for _, a := range r.agents {
		a.stop()
	}
	if r.hub != nil {
		r.hub.stop()
	}
	r.sims.stop()
	r.client.CloseIdleConnections()
	if r.t.Failed() {
		r.log.mu.Lock()
		r.t.Log(r.log.b.String())
		r.log.mu.Unlock()
	}
}

func (r *rig) startPrinters(models []string) {
	specs, err := simprinter.Specs(len(models), models, "x", 8883)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range specs {
		specs[i].Address, specs[i].MQTTPort = fmt.Sprintf("192.0.2.%d", i+1), 8883
	}
	r.printers, err = simprinter.NewFarm(specs, simprinter.Options{Listen: r.network.Listen, Speed: r.speed, Log: r.log.logger("simulator")})
	if err != nil {
		r.t.Fatal(err)
	}
	r.sims = &process{t: r.t, name: "simulator", run: r.printers.Run}
	r.sims.start()
	<-r.printers.Ready()
}

func (r *rig) runHub(ctx context.Context) error {
	l, err := r.network.Listen(hubAddress)
	if err != nil {
		return err
	}
	return hubapp.Run(ctx, hubapp.Options{
		DataDir: r.hubDir(), Listener: l, PublicURL: "http://" + hubAddress, Log: r.log.logger("hub"), Objects: r.objects,
		Limits: farm.Limits{Read: 1 << 20, Write: 1 << 20, Control: 1 << 20},
	})
}

func (r *rig) hubDir() string           { return filepath.Join(r.root, "hub") }
func (r *rig) agentDir(site int) string { return filepath.Join(r.root, fmt.Sprintf("agent%d", site)) }

func (r *rig) newKey() string {
	a, err := hubapp.OpenAdmin(r.t.Context(), r.hubDir(), "")
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	k, err := a.NewKey(r.t.Context(), "test", farm.Permissions, farm.Limits{})
	if err != nil {
		r.t.Fatal(err)
	}
	return k.Reveal()
}

// enrol makes a site with an agent, as a person would, and starts the agent.
func (r *rig) enrol(site int) {
	var made struct {
		ID    int64  `json:"id"`
		Token string `json:"token"`
	}
	r.must("POST", "/api/v1/sites", map[string]any{"name": fmt.Sprintf("Site %d", site)}, &made, 201)
	r.must("POST", "/api/v1/agents/enrolment-tokens", map[string]any{"site_id": made.ID}, &made, 201)
	_, err := agentapp.Enroll(r.t.Context(), agentapp.EnrollOptions{
		DataDir: r.agentDir(site), Token: farm.Secret(made.Token), Name: fmt.Sprintf("agent %d", site), AllowPlain: true,
		Dial: r.network.Dialer(wan(site)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	a := r.agent(site, r.agentDir(site))
	r.agents = append(r.agents, a)
	a.start()
}

// agent is an agent of a site on a data directory.
func (r *rig) agent(site int, dir string) *process {
	return &process{t: r.t, name: fmt.Sprintf("agent %d", site), run: func(ctx context.Context) error {
		return agentapp.Run(ctx, agentapp.Options{
			DataDir: dir, AllowPlain: true, Dial: r.network.Dialer(lan(site)), HubDial: r.network.Dialer(wan(site)), Announcements: nobodyAnnounces,
			Log: r.log.logger(fmt.Sprintf("agent%d", site)),
		})
	}}
}

// nobodyAnnounces is a LAN without broadcasts: memnet has none.
func nobodyAnnounces(context.Context) (net.PacketConn, error) {
	return nil, errors.New("there are no announcements in memory")
}

func (r *rig) register(e simprinter.InventoryEntry, agentID int) {
	var body map[string]any
	b, err := json.Marshal(e)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(b, &body); err != nil {
		r.t.Fatal(err)
	}
	body["agent_id"] = agentID
	r.must("POST", "/api/v1/printers", body, nil, 201)
}

// try makes a request and gives its status, 0 when nobody answered in 5 s.
func (r *rig) try(method, path string, body, into any) int {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	status, _ := r.do(ctx, method, path, body, into)
	return status
}

func (r *rig) do(ctx context.Context, method, path string, body, into any) (int, string) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+hubAddress+path, in)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", r.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	if into != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(b, into); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
	return res.StatusCode, string(b)
}

func (r *rig) must(method, path string, body, into any, status int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	if got, text := r.do(ctx, method, path, body, into); got != status {
		r.t.Fatalf("%s %s: %d %s, want %d", method, path, got, text, status)
	}
}

// await waits in virtual time until something holds.
func (r *rig) await(what string, most time.Duration, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(most); ; {
		if holds() {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("%s: not within %v", what, most)
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// status is a printer's status as the API shows it.
type status struct {
	State      string                                  `json:"state"`
	Connected  bool                                    `json:"connected"`
	Progress   int                                     `json:"progress"`
	GcodeState *string                                 `json:"gcode_state"`
	WiFi       *int                                    `json:"wifi_signal"`
	Firmware   *string                                 `json:"firmware"`
	LastSeen   *string                                 `json:"last_seen"`
	AMS        []any                                   `json:"ams"`
	Temps      struct{ Nozzle, Bed, Chamber *float64 } `json:"temperatures"`
	Connection struct {
		State  string  `json:"state"`
		Detail *string `json:"detail"`
	} `json:"connection"`
	AgentConnected bool `json:"agent_connected"`
}

func (r *rig) status(printer int) (s status) {
	r.t.Helper()
	r.must("GET", fmt.Sprintf("/api/v1/printers/%d/status", printer), nil, &s, 200)
	return s
}

func (r *rig) awaitState(printer int, state string, most time.Duration) status {
	r.t.Helper()
	var s status
	r.await(fmt.Sprintf("printer %d %s", printer, state), most, func() bool {
		s = r.status(printer)
		return s.State == state
	})
	return s
}

func (r *rig) connectedAgents() (n int) {
	var agents []struct {
		Connected     bool `json:"connected"`
		BulkConnected bool `json:"bulk_connected"`
	}
	r.must("GET", "/api/v1/agents", nil, &agents, 200)
	for _, a := range agents {
		if a.Connected && a.BulkConnected {
			n++
		}
	}
	return n
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
