package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The programs are killed, again and again, while prints run: at each step of their
// books, then at random moments. Each print must be archived once, told truly, with
// every file that its printer has, and the object store alone must tell all of it.
//
//	E2E_SEED     repeats the random choices of a run
//	E2E_MINUTES  how long programs are killed at random, for a soak (make soak)
func TestKilledAtAnyMoment(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes more than a minute")
	}
	bin, seed := binaries(t), rand.Uint64N(1e9)
	if text := os.Getenv("E2E_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("E2E_SEED: %v", err)
		}
	}
	random := 10 * time.Second
	if text := os.Getenv("E2E_MINUTES"); text != "" {
		minutes, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("E2E_MINUTES: %v", err)
		}
		random = time.Duration(minutes * float64(time.Minute))
	}
	for _, store := range []string{"files", "s3"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			underFire(t, bin, seed, store == "s3", random)
		})
	}
}

func underFire(t *testing.T, bin string, seed uint64, s3 bool, random time.Duration) {
	w := newWorks(t, bin, seed, s3)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to have the same random choices: E2E_SEED=%d", seed)
			w.keep()
		}
	})
	enough, end, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		w.operate(end, enough)
	}()
	defer func() { // also when a blow is never struck
		close(end)
		<-over
	}()
	blows := w.blows()
	var staged sync.WaitGroup
	for _, row := range blows {
		staged.Go(func() {
			for _, b := range row {
				w.strike(b)
			}
		})
	}
	staged.Wait()
	kills, began := w.strikeAtRandom(random), time.Now()
	close(enough)
	<-over
	all := w.settled(90 * time.Second)
	count := map[string]int{}
	for _, p := range all {
		count[p.Outcome+" is "+p.told.Status]++
		if p.told.Status == "unknown" && p.Outcome != "failed" { // a power cut is all that nobody can tell the outcome of
			t.Errorf("archive %d (%s on %s, %s) is unknown, but %s", p.told.ID, p.Name, p.Serial, p.Source, p.Outcome)
		}
	}
	bytes := w.compareFiles(all)
	t.Logf("seed %d: %d prints (%v), %d staged and %d random kills, %d bytes of files, settled %v after the last kill",
		seed, len(all), count, len(slices.Concat(blows...)), kills, bytes, time.Since(began).Round(time.Second))
	w.compareEvents(all)
	w.rebuild(all)
	for _, p := range w.programs() {
		p.stop()
		for _, line := range complaints(p.text()) {
			t.Errorf("%s says: %s", p.name, line)
		}
	}
}

// programs are those that are killed or were.
func (w *works) programs() []*program { return append(slices.Clone(w.agents), w.hub, w.sims) }

// keep keeps what tells why the test failed.
func (w *works) keep() {
	more := map[string][]byte{}
	_, more["ledger.json"] = w.fetch("GET", w.control+"/ledger", nil)
	_, more["archives.json"] = w.fetch("GET", w.url+"/api/v1/archives?limit=200", nil)
	keepLogs(w.t, w.programs(), more)
}

// blow is a moment at which a program is killed. One of the last three tells it.
type blow struct {
	victim *program
	says   string // when it says this
	writes string // when a file appears that fits this pattern
	told   string // when the hub tells of such an event
}

// blows are the steps of the books, for each program in a row: what is on disk already
// when it dies, and what is not, differs with each.
func (w *works) blows() (rows [][]blow) {
	for i, a := range w.agents {
		captures := filepath.Join(w.dir, fmt.Sprintf("agent%d", i), "captures")
		rows = append(rows, []blow{
			{victim: a, says: "print under way"},                      // the start is written down, nobody knows
			{victim: a, writes: filepath.Join(captures, "part-*")},    // a file is on its way from the printer
			{victim: a, writes: filepath.Join(captures, "[0-9a-f]*")}, // it is there, its record perhaps not
			{victim: a, says: "file of a print captured"},
			{victim: a, says: "print ended"},
		})
	}
	data := filepath.Join(w.dir, "hub")
	staging, objects := filepath.Join(data, "staging", "pull-*"), filepath.Join(data, "objects")
	if w.s3 != nil {
		objects = filepath.Join(w.dir, "s3", s3Bucket)
		rows = append(rows, []blow{{victim: w.s3, writes: staging}}) // the object has nowhere to go
	}
	return append(rows, []blow{
		{victim: w.hub, told: "print_started"},                                                       // committed, the agent not told so
		{victim: w.hub, writes: staging},                                                             // a transfer is under way
		{victim: w.hub, writes: filepath.Join(objects, "models", "*", "*")},                          // an object without a row
		{victim: w.hub, writes: filepath.Join(objects, "prints", "*", "*", "*", "*", "*", "*", "*")}, // likewise a picture
		{victim: w.hub, told: "print_complete"},
		{victim: w.hub, told: "archive_updated"},
	})
}

// strike kills a program at a moment, and starts it again.
func (w *works) strike(b blow) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 40*time.Second)
	defer cancel()
	came := true
	switch {
	case b.says != "":
		select {
		case <-b.victim.killAt(b.says):
		case <-ctx.Done():
			came = false
		}
	case b.writes != "":
		came = appears(ctx, b.writes)
	default:
		came = w.hears(ctx, b.told)
	}
	b.victim.kill()
	if !came {
		w.t.Errorf("%s: the moment %q never came", b.victim.name, b.says+b.writes+b.told)
	}
	pause(w.t.Context().Done(), 300*time.Millisecond)
	b.victim.start()
	w.t.Logf("%s killed at %q", b.victim.name, b.says+filepath.Base(b.writes)+b.told)
}

// appears waits for a file that fits a pattern and was not there.
func appears(ctx context.Context, pattern string) bool {
	before := map[string]bool{}
	for first := true; ; first = false {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return false
		}
		for _, path := range found {
			if !first && !before[path] {
				return true
			}
			before[path] = true
		}
		if !pause(ctx.Done(), time.Millisecond) {
			return false
		}
	}
}

// hears waits for news of a kind on the hub's stream.
func (w *works) hears(ctx context.Context, kind string) bool {
	for ctx.Err() == nil {
		if w.read(ctx, "", func(line string) bool { return line == "event: "+kind }) {
			return true
		}
		pause(ctx.Done(), 100*time.Millisecond) // the hub is not up yet
	}
	return false
}

// read reads the hub's stream of events until a line is the one, or the stream ends.
func (w *works) read(ctx context.Context, after string, is func(line string) bool) bool {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/api/v1/events", http.NoBody)
	if err != nil {
		w.t.Error(err)
		return false
	}
	q.Header.Set("X-API-Key", w.key)
	if after != "" {
		q.Header.Set("Last-Event-ID", after)
	}
	res, err := new(http.Client).Do(q) // without the limit of the others
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		if is(lines.Text()) {
			return true
		}
	}
	return false
}

// compareEvents looks whether each print's beginning and end were told exactly once.
func (w *works) compareEvents(all []pair) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	started, ended := map[int64]int{}, map[int64]int{}
	var kind string
	last := w.read(ctx, "0", func(line string) bool {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "event":
			kind = value
		case "data":
			id := archiveIn(value)
			switch kind {
			case "print_started":
				started[id]++
			case "print_complete", "print_failed", "print_stopped":
				ended[id]++
			}
			return kind == "state" // what was kept of the past is over
		}
		return false
	})
	if !last {
		w.t.Error("the events of the past have no end")
	}
	for _, p := range all {
		if started[p.told.ID] != 1 || ended[p.told.ID] != 1 {
			w.t.Errorf("archive %d (%s on %s): %d starts and %d ends were told", p.told.ID, p.Name, p.Serial, started[p.told.ID], ended[p.told.ID])
		}
	}
}

// strikeAtRandom kills programs at random moments for a while, and tells how often.
func (w *works) strikeAtRandom(long time.Duration) (kills int) {
	rnd := rand.New(rand.NewPCG(w.seed, 1000))
	victims := append(slices.Clone(w.agents), w.hub, w.hub)
	if w.s3 != nil {
		victims = append(victims, w.s3)
	}
	for end := time.Now().Add(long); time.Now().Before(end); kills++ {
		pause(w.t.Context().Done(), time.Duration(500+rnd.IntN(4000))*time.Millisecond)
		victim, away := victims[rnd.IntN(len(victims))], time.Duration(100+rnd.IntN(1500))*time.Millisecond
		victim.kill()
		pause(w.t.Context().Done(), away)
		victim.start()
	}
	return kills
}
