package hublink

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/wire"
)

func controlOf(f Fleet) http.Handler {
	return newAPI(Options{
		Identity: Identity{HubID: testHub, AgentID: testAgent}, BootID: "boot-1", Version: "1.2.3", Fleet: f,
		Log: slog.New(slog.DiscardHandler),
	}, time.Now()).control()
}

func call(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w
}

func TestWhatTheAgentDoesNotKnowIsAnsweredInForm(t *testing.T) {
	h := controlOf(&fakeFleet{})
	for _, tc := range []struct {
		method, path, body string
		status             int
		code               farm.Code
	}{
		{"GET", "/", "", 404, farm.NotFound},
		{"GET", "/v2/hello", "", 404, farm.NotFound},
		{"GET", "/v1/hello/", "", 404, farm.NotFound},
		{"GET", "//v1/hello", "", 404, farm.NotFound},
		{"GET", "/v1/../v1/hello", "", 404, farm.NotFound},
		{"POST", "/v1/jobs/1", "{}", 404, farm.NotFound},
		{"GET", "/v1/printers/S1", "", 404, farm.NotFound},
		{"BREW", "/v1/hello", "", 405, farm.MethodNotAllowed},
		{"POST", "/v1/hello", "", 405, farm.MethodNotAllowed},
		{"GET", "/v1/config", "", 405, farm.MethodNotAllowed},
		{"DELETE", "/v1/state", "", 405, farm.MethodNotAllowed},
		{"GET", "/v1/printers/S1/commands", "", 405, farm.MethodNotAllowed},
		{"PUT", "/v1/config", "", 400, farm.Invalid},
		{"PUT", "/v1/config", `{"printers":"all"}`, 400, farm.Invalid},
		{"PUT", "/v1/config", `{"hub_id":"hub-1"} and more`, 400, farm.Invalid},
		{"PUT", "/v1/config", strings.Repeat(" ", wire.MaxConfigBody+1), 413, farm.TooLarge},
		{"POST", "/v1/printers/S1/commands", strings.Repeat(" ", wire.MaxMessage+1), 413, farm.TooLarge},
		{"POST", "/v1/printers/S1/commands", `[]`, 400, farm.Invalid},
		{"POST", "/v1/printers/S1/commands", `{"kind":"refresh","valid_ms":5}`, 400, farm.Invalid},
		{"POST", "/v1/printers/S1/commands", `{"id":"` + strings.Repeat("x", 129) + `","valid_ms":5}`, 400, farm.Invalid},
		{"POST", "/v1/printers/S1/commands", `{"id":"1","kind":"refresh"}`, 400, farm.Invalid},
		{"POST", "/v1/printers/S1/commands", `{"id":"1","kind":"refresh","valid_ms":-5}`, 400, farm.Invalid},
	} {
		w := call(h, tc.method, tc.path, tc.body)
		var e wire.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != tc.status || e.Code != tc.code || e.Detail == "" {
			t.Errorf("%s %s %.40s: %d %s", tc.method, tc.path, tc.body, w.Code, w.Body)
		}
		if tc.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", tc.method, tc.path)
		}
	}
}

func TestHelloAndDiagnostics(t *testing.T) {
	h := controlOf(&fakeFleet{})
	var d wire.Diagnostics
	if w := call(h, "GET", "/v1/diagnostics", ""); w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &d) != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var hello wire.Hello
	if w := call(h, "GET", "/v1/hello", ""); w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &hello) != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if hello.AgentID != testAgent || hello.BootID != "boot-1" || hello.Version != "1.2.3" || hello.Platform != platform() ||
		hello.Generation != 1 || hello.Revision != 7 || len(hello.Printers) != 1 || hello.Clock.ProcessID != "boot-1" ||
		time.Since(time.UnixMilli(hello.Clock.WallMS)).Abs() > time.Minute || len(hello.Capabilities) != 3 {
		t.Errorf("hello %+v", hello)
	}
	if d.Hello.AgentID != testAgent || len(d.Sessions) != 1 || d.Sessions[0].Reports != 5 {
		t.Errorf("diagnostics %+v", d)
	}
}

func TestConfigOfTheRightHubReachesTheFleet(t *testing.T) {
	f := &fakeFleet{}
	h := controlOf(f)
	config := `{"hub_id":"hub-1","generation":3,"revision":9,"printers":[{"serial":"S1","access_code":"12345678"}],"colour":"blue"}`
	w := call(h, "PUT", "/v1/config", config)
	var result wire.ConfigResult
	if w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &result) != nil || result.Revision != 9 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(f.configs) != 1 || f.configs[0].Printers[0].AccessCode.Reveal() != "12345678" {
		t.Errorf("the fleet got %+v", f.configs)
	}
	w = call(h, "PUT", "/v1/config", strings.Replace(config, "hub-1", "hub-2", 1))
	if w.Code != 409 || !strings.Contains(w.Body.String(), string(farm.Conflict)) || len(f.configs) != 1 {
		t.Errorf("another hub's config: %d %s", w.Code, w.Body)
	}
	f.applyErr = farm.Errorf(farm.Conflict, "older than 3.10")
	if w = call(h, "PUT", "/v1/config", config); w.Code != 409 || !strings.Contains(w.Body.String(), "older than 3.10") {
		t.Errorf("an older config: %d %s", w.Code, w.Body)
	}
	f.applyErr = fmt.Errorf("disk full")
	if w = call(h, "PUT", "/v1/config", config); w.Code != 500 || strings.Contains(w.Body.String(), "disk") {
		t.Errorf("a failure of our own: %d %s", w.Code, w.Body)
	}
}

func TestStateStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFleet{}
		n := memnet.New()
		l, err := n.Listen("agent:80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: controlOf(f)}
		var served sync.WaitGroup
		served.Go(func() { _ = srv.Serve(l) })
		transport := &http.Transport{DialContext: n.Dialer("hub")}
		resp, err := (&http.Client{Transport: transport}).Get("http://agent:80/v1/state")
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(resp.Body)
		line := func() (f wire.StateFrame) {
			if !in.Scan() {
				t.Errorf("the stream ended: %v", in.Err())
			}
			if err := json.Unmarshal(in.Bytes(), &f); err != nil {
				t.Errorf("%s: %v", in.Bytes(), err)
			}
			return f
		}
		for _, serial := range []string{"S1", "S2"} {
			if got := line(); got.Serial != serial || !got.Whole {
				t.Errorf("the stream begins with %+v", got)
			}
		}
		for range 3 { // an idle stream beats
			start := time.Now()
			if got := line(); got.Serial != "" || time.Since(start) != wire.StateBeat*time.Second {
				t.Errorf("after %v: %+v", time.Since(start), got)
			}
		}
		start := time.Now()
		f.watchers[0].batches <- []wire.StateFrame{{Serial: "S2", SeenAgoMS: 5}}
		if got := line(); got.Serial != "S2" || got.SeenAgoMS != 5 || time.Since(start) > time.Second {
			t.Errorf("after %v: %+v", time.Since(start), got)
		}
		// A state that is too large is left out and hinders no other.
		huge := wire.StateFrame{Serial: strings.Repeat("x", wire.MaxStateLine)}
		f.watchers[0].batches <- []wire.StateFrame{huge, {Serial: "S1"}}
		if got := line(); got.Serial != "S1" {
			t.Errorf("behind a state that is too large: %.40s", got.Serial)
		}
		_ = resp.Body.Close()
		<-f.watchers[0].closed // the handler has left
		transport.CloseIdleConnections()
		_ = srv.Close()
		served.Wait()
	})
}

func command(id, kind string, valid int) string {
	return fmt.Sprintf(`{"id":%q,"kind":%q,"fence":4,"valid_ms":%d}`, id, kind, valid)
}

func TestCommandIsCarriedOutOnce(t *testing.T) {
	f := &fakeFleet{}
	h := controlOf(f)
	for range 3 {
		w := call(h, "POST", "/v1/printers/S1/commands", command("a", "refresh", 90_000))
		var r wire.CommandResult
		if w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &r) != nil || r.ID != "a" || !r.Deferred {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if len(f.commands) != 1 || f.commands[0].Fence != 4 || f.commands[0].ValidMS > wire.MaxValidMS || f.commands[0].ValidMS < wire.MaxValidMS-5000 {
		t.Errorf("the fleet got %+v", f.commands)
	}
	for _, target := range []string{"/v1/printers/S2/commands", "/v1/printers/S1/commands"} {
		kind := "refresh"
		if strings.Contains(target, "S1") {
			kind = "stop"
		}
		if w := call(h, "POST", target, command("a", kind, 1000)); w.Code != 409 {
			t.Errorf("the id of another command: %d %s", w.Code, w.Body)
		}
	}
	f.carryOut = func(context.Context, string, wire.Command) (wire.CommandResult, error) {
		return wire.CommandResult{}, farm.Errorf(farm.PrinterRefused, "the printer says no")
	}
	for range 2 {
		if w := call(h, "POST", "/v1/printers/S1/commands", command("b", "refresh", 1000)); w.Code != 409 || !strings.Contains(w.Body.String(), "the printer says no") {
			t.Errorf("a refusal: %d %s", w.Code, w.Body)
		}
	}
	if len(f.commands) != 2 {
		t.Errorf("the fleet got %d commands, want 2", len(f.commands))
	}
}

func TestRepeatedCommandWhileTheFirstRuns(t *testing.T) {
	f := &fakeFleet{}
	h := controlOf(f)
	started, release := make(chan struct{}), make(chan struct{})
	f.carryOut = func(context.Context, string, wire.Command) (wire.CommandResult, error) {
		close(started)
		<-release
		return wire.CommandResult{}, nil
	}
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- call(h, "POST", "/v1/printers/S1/commands", command("a", "refresh", 1000)) }()
	<-started
	if w := call(h, "POST", "/v1/printers/S1/commands", command("a", "refresh", 1000)); w.Code != 504 || !strings.Contains(w.Body.String(), string(farm.OutcomeUnknown)) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(release)
	if w := <-first; w.Code != 200 {
		t.Errorf("the first: %d %s", w.Code, w.Body)
	}
	if w := call(h, "POST", "/v1/printers/S1/commands", command("a", "refresh", 1000)); w.Code != 200 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}

func TestHubThatLeavesMidCommandFindsTheOutcomeUnknown(t *testing.T) {
	f := &fakeFleet{}
	h := controlOf(f)
	ctx, cancel := context.WithCancel(t.Context())
	f.carryOut = func(ctx context.Context, _ string, _ wire.Command) (wire.CommandResult, error) {
		cancel()
		<-ctx.Done()
		return wire.CommandResult{}, fmt.Errorf("wait for the printer: %w", ctx.Err())
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/v1/printers/S1/commands", strings.NewReader(command("a", "refresh", 1000))))
	again := call(h, "POST", "/v1/printers/S1/commands", command("a", "refresh", 1000))
	if w.Code != 504 || again.Code != 504 || len(f.commands) != 1 {
		t.Errorf("%d, then %d %s", w.Code, again.Code, again.Body)
	}
}

// slowBody takes its time to arrive.
type slowBody struct {
	io.Reader
	takes time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.takes) // inside a bubble
	b.takes = 0
	return b.Reader.Read(p)
}

func TestCommandThatComesTooLateIsNotCarriedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFleet{}
		h := controlOf(f)
		for _, tc := range []struct {
			takes  time.Duration
			status int
		}{{900 * time.Millisecond, 200}, {time.Second, 409}, {time.Minute, 409}} {
			w := httptest.NewRecorder()
			body := &slowBody{strings.NewReader(command(tc.takes.String(), "refresh", 1000)), tc.takes}
			h.ServeHTTP(w, httptest.NewRequest("POST", "/v1/printers/S1/commands", body))
			if w.Code != tc.status {
				t.Errorf("after %v: %d %s", tc.takes, w.Code, w.Body)
			}
		}
		if len(f.commands) != 1 || f.commands[0].ValidMS != 100 {
			t.Errorf("the fleet got %+v", f.commands)
		}
	})
}

func TestRememberedCommandsAreBounded(t *testing.T) {
	table := newCommandTable(10, nil)
	running, _ := table.begin(journalEntry{"running", "S1", "refresh"})
	for i := range 100 {
		run, known := table.begin(journalEntry{fmt.Sprint(i), "S1", "refresh"})
		if known {
			t.Fatalf("%d was never there", i)
		}
		run.finish(wire.CommandResult{}, nil)
	}
	if len(table.byID) != 10 || len(table.order) != 10 {
		t.Errorf("%d ids, %d in order, want 10", len(table.byID), len(table.order))
	}
	if again, known := table.begin(journalEntry{"running", "S1", "refresh"}); !known || again != running {
		t.Error("a command that runs was forgotten")
	}
	if _, known := table.begin(journalEntry{"99", "S1", "refresh"}); !known {
		t.Error("the newest was forgotten")
	}
	if _, known := table.begin(journalEntry{"5", "S1", "refresh"}); known {
		t.Error("an old one was kept")
	}
}
