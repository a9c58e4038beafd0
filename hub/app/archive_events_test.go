package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// filing is an agent with an outbox, and files, as the hub sees it.
type filing struct {
	*loadAgent
	records  []wire.OutboxRecord
	files    map[string][]byte
	goOn     chan struct{} // closed: files are sent to their end
	mu       sync.Mutex
	released []string
}

func (f *filing) run(ctx context.Context, hubID, url string) {
	who := tunnel.Caller{HubID: hubID, AgentID: f.uid, BootID: f.uid, Key: f.key}
	quiet := slog.New(slog.DiscardHandler)
	for ctx.Err() == nil {
		control, err := tunnel.Dial(ctx, tunnel.Hub{URL: url}, who, tunnel.Control, "")
		if err != nil {
			continue
		}
		var bulk sync.WaitGroup
		bulk.Go(func() {
			if lane, err := tunnel.Dial(ctx, tunnel.Hub{URL: url}, who, tunnel.Bulk, control.Session); err == nil {
				_ = lane.Serve(ctx, f.captures(), quiet)
			}
		})
		_ = control.Serve(ctx, f.outbox(), quiet)
		bulk.Wait()
	}
}

func (f *filing) clock() wire.Clock {
	return wire.Clock{WallMS: time.Now().UnixMilli(), MonoMS: time.Now().UnixMilli(), ProcessID: f.uid}
}

func (f *filing) outbox() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", f.api())
	say := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux.HandleFunc("GET /v1/hello", func(w http.ResponseWriter, _ *http.Request) {
		say(w, wire.Hello{AgentID: f.uid, BootID: f.uid, Epoch: "first", Clock: f.clock(), Capabilities: []wire.Capability{wire.CapState, wire.CapOutbox, wire.CapCaptures}})
	})
	mux.HandleFunc("GET /v1/outbox", func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		if after >= len(f.records) {
			<-r.Context().Done()
			return
		}
		say(w, wire.OutboxPage{Epoch: "first", First: 1, Last: int64(len(f.records)), Clock: f.clock(), Records: f.records[after:]})
	})
	mux.HandleFunc("POST /v1/outbox/ack", func(w http.ResponseWriter, _ *http.Request) { say(w, struct{}{}) })
	return mux
}

func (f *filing) captures() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/files/{sha}", func(w http.ResponseWriter, r *http.Request) {
		data := f.files[r.PathValue("sha")]
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-f.goOn:
			_, _ = w.Write(data[len(data)/2:])
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("DELETE /v1/files/{sha}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.released = append(f.released, r.PathValue("sha")+" "+r.URL.Query().Get("ref"))
		f.mu.Unlock()
		_, _ = io.WriteString(w, "{}")
	})
	return mux
}

// record adds one of the first printer.
func (f *filing) record(kind wire.RecordKind, change func(*wire.OutboxRecord)) {
	now := f.clock()
	r := wire.OutboxRecord{
		N: int64(len(f.records) + 1), Serial: f.serials[0], Fence: f.fences[0], WallMS: now.WallMS, MonoMS: now.MonoMS, ProcessID: now.ProcessID, Kind: kind,
	}
	change(&r)
	f.records = append(f.records, r)
}

// listen follows /events until its test ends.
func (r *archives) listen(key string) <-chan [2]string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, r.url+"/api/v1/events", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != 200 {
		r.t.Fatalf("%v, %v", res, err)
	}
	out := make(chan [2]string, 1000)
	r.parts.Go(func() {
		defer close(out)
		defer func() { _ = res.Body.Close() }()
		lines, event := bufio.NewScanner(res.Body), ""
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if name, is := strings.CutPrefix(lines.Text(), "event: "); is {
				event = name
			}
			if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
				out <- [2]string{event, data}
			}
		}
	})
	return out
}

// A print of an agent becomes an archive, its file is fetched, and whoever may see it
// can follow that; nobody else hears of it.
func TestAPrintAndItsFileOnTheStream(t *testing.T) {
	r := runArchives(t, nil)
	model := model3MF("Benchy", 100_000)
	sum := sha256.Sum256(model)
	sha := hex.EncodeToString(sum[:])
	f := &filing{loadAgent: r.agent, files: map[string][]byte{sha: model}, goOn: make(chan struct{})}
	print := func(outcome wire.Outcome, seq int64) func(*wire.OutboxRecord) {
		return func(rec *wire.OutboxRecord) {
			rec.Print = &wire.PrintRecord{RunID: "run-1", Seq: seq, SubtaskID: "11", Name: "benchy", File: "benchy.3mf", PrintKind: "local", Outcome: outcome, Progress: bambu.Some(100)}
		}
	}
	f.record(wire.PrintStarted, print("", 1))
	f.record(wire.PrintFinished, print(wire.Success, 2))
	f.record(wire.FileReady, func(rec *wire.OutboxRecord) {
		rec.File = &wire.FileRecord{RunID: "run-1", Role: wire.RoleModel, SHA256: sha, Size: int64(len(model)), Name: "benchy.3mf"}
	})
	mine, theirs := r.listen(r.scoped([]string{"read"}, []int64{1}, nil)), r.listen(r.scoped([]string{"read"}, nil, []int64{r.second.ID}))
	r.parts.Go(func() { f.run(r.ctx, r.hubID, r.url) })

	var half TransferFrame
	heard := hear(t, mine, func(event, data string) bool {
		return event == "transfer" && json.Unmarshal([]byte(data), &half) == nil
	})
	if half.ArchiveID != 1 || half.Role != farm.RoleModel || half.Bytes == 0 || half.Bytes > int64(len(model)/2) || half.Size != int64(len(model)) || half.Done || half.Error != nil {
		t.Errorf("on its way: %+v", half)
	}
	if !slices.Contains(heard, "print_started") || !slices.Contains(heard, "print_complete") {
		t.Errorf("heard %q", heard)
	}
	type file struct {
		Role, Status string
		Bytes, Size  int64
	}
	var is struct {
		Status     string
		FileStatus string `json:"file_status"`
		Files      []file
	}
	r.get("/archives/1").want(200).into(&is)
	i := slices.IndexFunc(is.Files, func(f file) bool { return f.Role == farm.RoleModel })
	if is.Status != "success" || is.FileStatus != "pending" || i < 0 || is.Files[i].Status != "pending" || is.Files[i].Bytes < half.Bytes || is.Files[i].Bytes > int64(len(model)/2) || is.Files[i].Size != int64(len(model)) {
		t.Errorf("half of it is here: %+v", is)
	}
	close(f.goOn)
	hear(t, mine, func(event, data string) bool {
		var whole TransferFrame
		return event == "transfer" && json.Unmarshal([]byte(data), &whole) == nil && whole.Done && whole.Bytes == int64(len(model)) && whole.Error == nil
	})
	if a := r.get("/archives/1/3mf").want(200); !bytes.Equal(a.body, model) {
		t.Error("other bytes are given out")
	}
	(&client{t: t}).await("the agent to be told", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.Equal(f.released, []string{sha + " " + wire.RunRef("run-1")})
	})
	for {
		select {
		case e := <-theirs:
			if e[0] == "transfer" || strings.HasPrefix(e[0], "print_") || strings.HasPrefix(e[0], "archive_") {
				t.Errorf("another site's key hears %q", e)
			}
			continue
		default:
		}
		break
	}
}

// TransferFrame is a transfer on the stream.
type TransferFrame struct {
	ArchiveID int64 `json:"archive_id"`
	Role      string
	Bytes     int64
	Size      int64
	Done      bool
	Error     *string
}

// hear waits for an event and gives the names of all until then.
func hear(t *testing.T, from <-chan [2]string, is func(event, data string) bool) (heard []string) {
	t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		select {
		case e, open := <-from:
			if !open {
				t.Fatalf("the stream ended after %q", heard)
			}
			heard = append(heard, e[0])
			if is(e[0], e[1]) {
				return heard
			}
		case <-late.C:
			t.Fatalf("not heard, but %q", heard)
		}
	}
}
