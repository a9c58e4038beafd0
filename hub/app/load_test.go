package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// The load of BenchmarkHubProcess.
const (
	loadAgents   = 100
	loadPrinters = 10 // of each agent, each changing once a second
)

// BenchmarkHubProcess measures the memory and the processor time of a real hub
// process with a hundred agents of ten printers, each of which changes once a
// second. The agents are played by this process.
func BenchmarkHubProcess(b *testing.B) {
	for b.Loop() {
		measureHub(b)
	}
}

func measureHub(b *testing.B) {
	dir := b.TempDir()
	hubID, agents := populate(b, filepath.Join(dir, "data"))
	bin := filepath.Join(dir, "hub")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "bambuddy/hub")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	hub := exec.Command(bin, "serve", "--data", filepath.Join(dir, "data"), "--listen", address, "--log-level", "warn")
	hub.Stderr = os.Stderr
	if err := hub.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = hub.Process.Signal(syscall.SIGTERM)
		if err := hub.Wait(); err != nil {
			b.Error(err)
		}
	}()
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, a := range agents {
		wg.Go(func() { a.run(ctx, hubID, "http://"+address) })
	}
	wait := func(d time.Duration) {
		t := time.NewTimer(d)
		<-t.C
	}
	const span = 20 * time.Second
	wait(15 * time.Second)
	connected := healthOf(b, address)
	if !strings.Contains(connected, fmt.Sprintf(`"connected":%d`, loadAgents)) {
		b.Fatalf("not every agent is connected: %s", connected)
	}
	before := used(b, hub.Process.Pid)
	wait(span)
	took := used(b, hub.Process.Pid) - before
	b.ReportMetric(took.Seconds()/span.Seconds()*100, "%core")
	b.ReportMetric(resident(b, hub.Process.Pid), "MB-RSS")
}

func healthOf(b *testing.B, address string) string {
	res, err := http.Get("http://" + address + "/health")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var text bytes.Buffer
	_, _ = text.ReadFrom(res.Body)
	return text.String()
}

// loadAgent is one agent as the hub sees it.
type loadAgent struct {
	id      int64
	uid     string
	key     ed25519.PrivateKey
	serials []string
	fences  []int64
}

// newLoadAgent enrols one.
func newLoadAgent(t testing.TB, db *store.DB, i int) *loadAgent {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(fmt.Append(nil, i))
	_, err = db.CreateEnrolment(t.Context(), farm.Enrolment{SiteID: 1, SecretHash: hash, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	a := &loadAgent{uid: fmt.Sprintf("load-%d", i), key: private}
	row, err := db.RedeemEnrolment(t.Context(), hash, farm.Agent{UID: a.uid, Name: a.uid, PublicKey: public})
	if err != nil {
		t.Fatal(err)
	}
	a.id = row.ID
	return a
}

// populate makes a database with all agents and printers.
func populate(b *testing.B, dir string) (hubID string, agents []*loadAgent) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	db, err := store.Open(b.Context(), store.Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	box, err := secrets.Open(b.Context(), secrets.Options{Dir: dir, Canary: db})
	if err != nil {
		b.Fatal(err)
	}
	for i := range loadAgents {
		a := newLoadAgent(b, db, i)
		for n := range loadPrinters {
			serial := fmt.Sprintf("00M00A%05d%04d", i, n)
			p, err := db.CreatePrinter(b.Context(), farm.Printer{
				Serial: serial, Name: serial, Address: "192.0.2.1", MQTTPort: 8883, FTPSPort: 990, SiteID: 1, AgentID: a.id,
			}, box.Seal("printer_secrets/access_code/"+serial, "12345678"))
			if err != nil {
				b.Fatal(err)
			}
			a.serials, a.fences = append(a.serials, serial), append(a.fences, p.Fence)
		}
		agents = append(agents, a)
	}
	hubID, _ = db.Hub()
	return hubID, agents
}

// run holds both lanes until ctx ends.
func (a *loadAgent) run(ctx context.Context, hubID, url string) {
	who := tunnel.Caller{HubID: hubID, AgentID: a.uid, BootID: a.uid, Key: a.key}
	quiet := slog.New(slog.DiscardHandler)
	for ctx.Err() == nil {
		control, err := tunnel.Dial(ctx, tunnel.Hub{URL: url}, who, tunnel.Control, "")
		if err != nil {
			continue // the hub is not up yet, or has too many at its door
		}
		var bulk sync.WaitGroup
		bulk.Go(func() {
			if lane, err := tunnel.Dial(ctx, tunnel.Hub{URL: url}, who, tunnel.Bulk, control.Session); err == nil {
				_ = lane.Serve(ctx, http.NotFoundHandler(), quiet)
			}
		})
		_ = control.Serve(ctx, a.api(), quiet)
		bulk.Wait()
	}
}

func (a *loadAgent) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/hello", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(wire.Hello{AgentID: a.uid, BootID: a.uid, Capabilities: []wire.Capability{wire.CapState}})
	})
	mux.HandleFunc("PUT /v1/config", func(w http.ResponseWriter, r *http.Request) {
		var c wire.Config
		_ = json.NewDecoder(r.Body).Decode(&c)
		_ = json.NewEncoder(w).Encode(wire.ConfigResult{Generation: c.Generation, Revision: c.Revision})
	})
	mux.HandleFunc("GET /v1/state", a.states)
	return mux
}

// states sends what printing printers send: temperatures, progress, signal.
func (a *loadAgent) states(w http.ResponseWriter, r *http.Request) {
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	status := bambu.Status{Job: bambu.Job{GcodeState: "RUNNING", Name: "benchy", File: "benchy.3mf"}}
	for i, serial := range a.serials {
		_ = out.Encode(wire.StateFrame{Serial: serial, Fence: a.fences[i], Whole: true, Connection: &wire.Connection{State: wire.Online}, Patch: status.Whole()})
	}
	tick := time.NewTicker(time.Second / time.Duration(len(a.serials)))
	defer tick.Stop()
	for n := 0; flush.Flush() == nil; n++ {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		i := n % len(a.serials)
		temps := bambu.Temps{Nozzle: bambu.Some(220 + float64(n%7)/32), Bed: bambu.Some(60.0)}
		signal := bambu.Signal{WiFi: bambu.Some(-40 - n%9)}
		_ = out.Encode(wire.StateFrame{Serial: a.serials[i], Fence: a.fences[i], Patch: bambu.Patch{Temps: &temps, Signal: &signal}})
	}
}

// used is the processor time of a process so far.
func used(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("needs Linux's /proc")
	}
	var user, system int
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

func resident(b *testing.B, pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("needs Linux's /proc")
	}
	var kb int
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscanf(after, "%d", &kb); err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1024
}
