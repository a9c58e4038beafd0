package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/simprinter"
)

// works is a farm of the real programs: a hub, two sites with an agent each, and
// simulated printers.
type works struct {
	t        *testing.T
	dir      string // data and logs
	bin      string // the programs
	seed     uint64
	url      string
	control  string // of the simulator
	key      string
	client   *http.Client
	hub      *program
	agents   []*program
	sims     *program
	s3       *program // nil: objects are files
	objects  []string // flags of the hub, for s3
	printers []simprinter.InventoryEntry
	ids      map[string]int64 // by serial number
}

const (
	speed    = 5 // faster than real: no faster, or printers no longer show all they should
	perWorks = 12
)

// newWorks starts a farm.
func newWorks(t *testing.T, bin string, seed uint64, s3 bool) *works {
	t.Helper()
	w := &works{t: t, dir: t.TempDir(), bin: bin, seed: seed, ids: map[string]int64{}, client: &http.Client{Timeout: 20 * time.Second}}
	t.Cleanup(w.client.CloseIdleConnections)
	ports := freePorts(t, 2)
	w.url, w.control = "http://"+ports[0], "http://"+ports[1]
	if s3 {
		var endpoint string
		w.s3, endpoint = s3Server(t, w.dir)
		w.objects = []string{
			"--objects-endpoint", endpoint, "--objects-bucket", s3Bucket, "--objects-access-key", s3Key, "--objects-secret-key", s3Secret,
		}
	}
	w.sims = newProgram(t, w.dir, "simulator", filepath.Join(bin, "bambuddy-simulator"), "--printers", fmt.Sprint(perWorks),
		"--model", "X1C,P1S,A1,A1MINI,H2D,P2S", "--base-port", "0", "--speed", fmt.Sprint(speed), "--control", ports[1],
		"--inventory", filepath.Join(w.dir, "printers.json"))
	w.sims.start()
	w.hub = w.newHub("hub", ports[0])
	w.hub.start()
	w.await("the hub", func() bool { return w.ask("GET", w.url+"/health", nil, nil) == 200 })
	w.key = w.newKey("hub")
	for site := range 2 {
		token := w.command("bambuddy-hub", "enrolment", "create", "--data", filepath.Join(w.dir, "hub"), "--site", fmt.Sprintf("Site %d", site))
		data := filepath.Join(w.dir, fmt.Sprintf("agent%d", site))
		w.command("bambuddy-agent", "enroll", "--token", token, "--data", data)
		a := newProgram(t, w.dir, fmt.Sprintf("agent%d", site), filepath.Join(bin, "bambuddy-agent"), "run", "--data", data, "--log-level", "debug")
		w.agents = append(w.agents, a)
		a.start()
	}
	w.await("the printers", func() bool { return w.ask("GET", w.control+"/inventory", nil, &w.printers) == 200 })
	w.register()
	return w
}

func (w *works) newHub(name, address string) *program {
	args := append([]string{"serve", "--data", filepath.Join(w.dir, name), "--listen", address, "--log-level", "debug"}, w.objects...)
	return newProgram(w.t, w.dir, name, filepath.Join(w.bin, "bambuddy-hub"), args...)
}

func (w *works) newKey(hub string) string {
	return w.command("bambuddy-hub", "apikey", "create", "--data", filepath.Join(w.dir, hub), "--name", "test", "--permissions", "read,queue,control,admin",
		"--limit-read", "1000000", "--limit-write", "1000000", "--limit-control", "1000000")
}

func (w *works) command(name string, args ...string) string {
	w.t.Helper()
	return command(w.t, w.dir, filepath.Join(w.bin, name), args...)
}

// register gives the hub the printers, in turn at the sites.
func (w *works) register() {
	w.t.Helper()
	for i, e := range w.printers {
		b, err := json.Marshal(e)
		if err != nil {
			w.t.Fatal(err)
		}
		body := map[string]any{}
		if err := json.Unmarshal(b, &body); err != nil {
			w.t.Fatal(err)
		}
		body["agent_id"] = i%2 + 1
		var made struct {
			ID int64 `json:"id"`
		}
		if status := w.ask("POST", w.url+"/api/v1/printers", body, &made); status != 201 {
			w.t.Fatalf("register %s: %d", e.SerialNumber, status)
		}
		w.ids[e.SerialNumber] = made.ID
	}
	w.await("all printers", func() bool {
		for _, id := range w.ids {
			var s status
			if w.ask("GET", fmt.Sprintf("%s/api/v1/printers/%d/status", w.url, id), nil, &s) != 200 || s.State != "idle" {
				return false
			}
		}
		return true
	})
}

func (w *works) await(what string, holds func() bool) {
	w.t.Helper()
	until(w.t, what, 30*time.Second, holds)
}

// ask makes a request and gives its status, 0 when nobody answered.
func (w *works) ask(method, url string, body, into any) int {
	status, data := w.fetch(method, url, body)
	if into != nil && status/100 == 2 {
		if err := json.Unmarshal(data, into); err != nil {
			w.t.Errorf("%s %s: %v in %.200s", method, url, err, data)
			return 0
		}
	}
	return status
}

func (w *works) fetch(method, url string, body any) (int, []byte) {
	var in io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			w.t.Error(err)
		}
		in = bytes.NewReader(b)
	}
	q, err := http.NewRequestWithContext(context.WithoutCancel(w.t.Context()), method, url, in) // also when a test that failed cleans up
	if err != nil {
		w.t.Error(err)
		return 0, nil
	}
	q.Header.Set("X-API-Key", w.key)
	q.Header.Set("Content-Type", "application/json")
	res, err := w.client.Do(q)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, data
}

// printing tells whether a printer has a print that has not ended.
func (w *works) printing(serial string) bool {
	var all []simprinter.LedgerEntry
	w.ask("GET", w.control+"/ledger", nil, &all)
	return slices.ContainsFunc(all, func(e simprinter.LedgerEntry) bool { return e.Serial == serial && e.EndedAt == nil })
}

// operate has every printer print, until they have had two rounds and enough is said.
func (w *works) operate(end, enough <-chan struct{}) {
	var all sync.WaitGroup
	for i, p := range w.printers {
		rnd := rand.New(rand.NewPCG(w.seed, uint64(i)))
		all.Go(func() {
			for n := 0; !done(end); n++ {
				if n >= 2 && done(enough) {
					return
				}
				w.printOne(end, rnd, p, i, n)
			}
		})
	}
	all.Wait()
}

func done(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// printOne has a printer print once, from its beginning to some seconds after its end.
func (w *works) printOne(end <-chan struct{}, rnd *rand.Rand, printer simprinter.InventoryEntry, i, n int) {
	serial := printer.SerialNumber
	film := rnd.IntN(2) == 0
	job := simprinter.PrintJob{
		Name: fmt.Sprintf("part %d of %d", n, i), Minutes: 0.7 + rnd.Float64()/2, Source: []string{"slicer", "cloud", "screen"}[(i+n)%3], Timelapse: &film,
	}
	if rnd.IntN(4) == 0 {
		job.Name, job.Minutes = "the same again", 0.9
	}
	if !pause(end, time.Duration(3000+rnd.IntN(4000))*time.Millisecond) {
		return
	}
	w.move(serial, "print", job)
	act, when := rnd.IntN(6), time.Duration(7000+rnd.IntN(5000))*time.Millisecond
	if !pause(end, when) {
		return
	}
	switch {
	case act == 0:
		w.move(serial, "stop", nil)
	case act == 1 && tellsAll(printer.Model):
		w.move(serial, "fault", object("kind", "power_cut", "seconds", 7))
		pause(end, 8*time.Second)
	case act == 2:
		if w.move(serial, "pause", nil) {
			pause(end, 4*time.Second)
			w.move(serial, "resume", nil)
		}
	}
	for w.printing(serial) && pause(end, 500*time.Millisecond) {
	}
	pause(end, 4*time.Second) // a stop is proven some seconds later
}

// tellsAll: models that may be asked for a full report at any time. Others tell only what
// changes and are asked once in five minutes, so it may take that long until somebody
// notices that a print went with the power: longer than this test.
func tellsAll(model string) bool {
	return !strings.HasPrefix(model, "P1") && !strings.HasPrefix(model, "A1")
}

// move does something at a printer, and tells whether it could be done: a print may be
// in a state where it cannot.
func (w *works) move(serial, what string, body any) bool {
	status := w.ask("POST", w.control+"/printers/"+serial+"/"+what, body, nil)
	if status != 200 && status != 409 || status == 409 && what == "print" {
		w.t.Errorf("%s at %s: %d", what, serial, status)
	}
	return status == 200
}
