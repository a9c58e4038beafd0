package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/agent/app"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// called is one run of the program.
type called struct {
	code        int
	out, errors string
}

func call(ctx context.Context, env map[string]string, args ...string) called {
	var out, errs lockedBuffer
	code := run(ctx, args, func(k string) string { return env[k] }, &out, &errs)
	return called{code, out.String(), errs.String()}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		args string
		env  map[string]string
		code int
		out  string // within stdout
		errs string // within stderr
	}{
		{args: "", code: 2, errs: "expected one of"},
		{args: "--help", code: 0, out: "enroll"},
		{args: "run --help", code: 0, out: "--data=DIR"},
		{args: "dance", code: 2, errs: "dance"},
		{args: "run --dance", code: 2, errs: "--dance"},
		{args: "version", code: 0, out: "bambuddy-agent "},
		{args: "run", code: 2, errs: "--data"},
		{args: "run", env: map[string]string{"BAMBUDDY_DATA": dir, "BAMBUDDY_LOG_LEVEL": "loud"}, code: 2, errs: "BAMBUDDY_LOG_LEVEL"},
		{args: "run --data " + dir, code: 2, errs: "not enrolled"},
		{args: "status --data " + dir, code: 1, errs: "no agent is running"},
		{args: "enroll --data " + dir, code: 2, errs: "--token"},
		{args: "doctor", code: 2, errs: "--data"},
		{args: "doctor --data " + dir, code: 1, out: "FAIL  Enrollment", errs: "checks failed"},
		{args: "doctor --json --data " + dir, code: 1, out: `"id": "identity"`, errs: "checks failed"},
		{args: "doctor 01P00A000000001 --data " + dir, code: 2, errs: "holds no printer"},
		{args: "discover --range kitchen", code: 2, errs: "range of addresses"},
		{args: "discover --range 8.8.8.0/24", code: 2, errs: "only private networks"},
		{args: "discover --listen 2h", code: 2, errs: "--listen"},
		{args: "discover --json --listen 10ms --range 127.0.0.254", code: 0, out: "["},
		{args: "enroll --token x --data " + dir, code: 2, errs: "not an enrolment token"},
		{args: "enroll --data " + dir, env: map[string]string{"BAMBUDDY_TOKEN_FILE": filepath.Join(dir, "none")}, code: 2, errs: "BAMBUDDY_TOKEN_FILE"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			got := call(t.Context(), test.env, strings.Fields(test.args)...)
			if got.code != test.code || !strings.Contains(got.out, test.out) || !strings.Contains(got.errors, test.errs) {
				t.Errorf("%+v", got)
			}
			if test.code == 2 && strings.Count(got.errors, "\n") != 1 {
				t.Errorf("more than one line:\n%s", got.errors)
			}
		})
	}
}

// TestFromEnrollmentToTheEnd uses the program as a person does, with a hub that
// knows no more than to enroll.
func TestFromEnrollmentToTheEnd(t *testing.T) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q wire.EnrolRequest
		if r.URL.Path != "/agent/v1/enrol" || json.NewDecoder(r.Body).Decode(&q) != nil || q.Secret != farm.Secret("once") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(wire.EnrolResult{HubID: "hub-1", AgentID: "agent-1", Site: "Home", Name: q.Name})
	}))
	defer hub.Close()
	dir := filepath.Join(t.TempDir(), "data")
	tokenFile := filepath.Join(t.TempDir(), "token")
	token := wire.Token{URL: hub.URL, Secret: "once"}.Encode().Reveal()
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"BAMBUDDY_DATA": dir, "BAMBUDDY_TOKEN_FILE": tokenFile}
	if got := call(t.Context(), env, "enroll", "--name", "shed"); got.code != 0 || !strings.Contains(got.out, `"shed"`) || strings.Contains(got.out+got.errors, "once") {
		t.Fatalf("%+v", got)
	}
	if got := call(t.Context(), env, "enroll"); got.code != 1 || !strings.Contains(got.errors, "--force") {
		t.Errorf("a second time: %+v", got)
	}
	if got := call(t.Context(), env, "enroll", "--force", "--token", token); got.code != 0 {
		t.Errorf("with --force: %+v", got)
	}

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan called, 1)
	go func() { ended <- call(ctx, env, "run") }()
	for { // its first status comes at once, but after its lock
		if _, err := app.ReadStatus(dir); err == nil {
			break
		}
		select {
		case got := <-ended:
			t.Fatalf("it ended: %+v", got)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if got := call(t.Context(), env, "status"); got.code != 0 || !strings.Contains(got.out, "running") || !strings.Contains(got.out, hub.URL) {
		t.Errorf("status: %+v", got)
	}
	if got := call(t.Context(), env, "run"); got.code != 2 || !strings.Contains(got.errors, "another agent") {
		t.Errorf("a second agent: %+v", got)
	}
	stop()
	got := <-ended
	if got.code != 0 {
		t.Errorf("%+v", got)
	}
	if !json.Valid([]byte(strings.Split(got.errors, "\n")[0])) {
		t.Errorf("the log is not JSON where there is no terminal:\n%s", got.errors)
	}
}
