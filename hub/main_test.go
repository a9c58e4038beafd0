package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/wire"
)

// output is what a program writes, to be read while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// hub runs the program; its result comes through the channel.
func hub(ctx context.Context, args ...string) (stdout, stderr *output, code chan int) {
	stdout, stderr, code = &output{}, &output{}, make(chan int, 1)
	go func() { code <- run(ctx, args, stdout, stderr) }()
	return stdout, stderr, code
}

// command runs the program to its end.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	out, errs, done := hub(t.Context(), args...)
	select {
	case code = <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%v did not end", args)
	}
	return out.String(), errs.String(), code
}

var address = regexp.MustCompile(`"url":"(http[^"]+)"`)

// serving starts a hub and waits until it is up.
func serving(t *testing.T, args ...string) (url string, stderr *output, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	_, stderr, code := hub(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	stop = sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	t.Cleanup(func() { stop() })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		if m := address.FindStringSubmatch(stderr.String()); m != nil {
			return m[1], stderr, stop
		}
		<-tick.C
	}
	t.Fatalf("the hub did not start: %s", stderr)
	return "", nil, nil
}

func TestWrongSettingsAreNamedInOneLine(t *testing.T) {
	dir := t.TempDir()
	taken, _, _ := serving(t, "--data", dir)
	for name, c := range map[string]struct {
		args     []string
		mentions string
	}{
		"no command":          {nil, "expected one of"},
		"unknown flag":        {[]string{"serve", "--data", dir, "--nonsense"}, "--nonsense"},
		"no data directory":   {[]string{"serve"}, "--data"},
		"second hub":          {[]string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, "--data: another hub"},
		"bad address":         {[]string{"serve", "--data", t.TempDir(), "--listen", "nonsense"}, "--listen"},
		"address taken":       {[]string{"serve", "--data", t.TempDir(), "--listen", strings.TrimPrefix(taken, "http://")}, "--listen"},
		"half a certificate":  {[]string{"serve", "--data", t.TempDir(), "--tls-cert", "x"}, "--tls-key"},
		"other database":      {[]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--database-url", "mysql://u:hunter2@h/d"}, "database-url"},
		"bad proxy":           {[]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--trusted-proxies", "10.0.0.0/8,everybody"}, "--trusted-proxies"},
		"long absence":        {[]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--offline-after", "72h"}, "printer_offline_seconds"},
		"bad secret key":      {[]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--secret-key", "hunter2"}, "--secret-key"},
		"missing secret file": {[]string{"serve", "--data", t.TempDir(), "--secret-key-file", "/nowhere"}, "--secret-key-file"},
		"bad level":           {[]string{"serve", "--data", dir, "--log-level", "loud"}, "--log-level"},
		"no hub there":        {[]string{"apikey", "create", "--data", dir + "/nowhere", "--name", "x", "--permissions", "read"}, "--data"},
		"bad permission":      {[]string{"apikey", "create", "--data", dir, "--name", "x", "--permissions", "fly"}, "--permissions"},
		"no url yet":          {[]string{"enrolment", "create", "--data", t.TempDir()}, "--url"},
		"bad url":             {[]string{"enrolment", "create", "--data", dir, "--url", "nonsense"}, "address"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := command(t, c.args...)
			if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.mentions) || strings.Contains(stderr, "hunter2") {
				t.Errorf("exit code %d, said %q, want 2 and one line about %q", code, stderr, c.mentions)
			}
		})
	}
}

func TestTheCommandsBesideARunningHub(t *testing.T) {
	dir := t.TempDir()
	url, _, stop := serving(t, "--data", dir)
	key, stderr, code := command(t, "apikey", "create", "--data", dir, "--name", "x", "--permissions", "read,admin")
	if code != 0 || !strings.HasPrefix(key, "bb_") || strings.Count(key, "\n") != 1 {
		t.Fatalf("apikey create: %d, %q, %q", code, key, stderr)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/printers", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", strings.TrimSpace(key))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the key is answered with %s", res.Status)
	}
	text, stderr, code := command(t, "enrolment", "create", "--data", dir, "--site", "Berlin")
	token, err := wire.ParseToken(text)
	if code != 0 || err != nil || token.URL != url || !strings.Contains(stderr, "Berlin") {
		t.Errorf("enrolment create: %d, %+v, %v, %q", code, token, err, stderr)
	}
	if _, stderr, code := command(t, "healthcheck", "--url", url); code != 0 {
		t.Errorf("healthcheck: %d, %q", code, stderr)
	}
	if code := stop(); code != 0 {
		t.Errorf("the hub ended with %d", code)
	}
	if _, _, code := command(t, "healthcheck", "--url", url); code != 1 {
		t.Errorf("healthcheck of a stopped hub: %d", code)
	}
	if err := os.Remove(filepath.Join(dir, "secret.key")); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := command(t, "serve", "--data", dir, "--listen", "127.0.0.1:0"); code != 2 || !strings.Contains(stderr, "secret.key") {
		t.Errorf("without its key the hub said %d, %q", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "secret.key")); err == nil {
		t.Error("a new key was made over the lost one")
	}
}

func TestSettingsFromFileAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "hub.json")
	if err := os.WriteFile(file, []byte(`{"data":"`+filepath.Join(dir, "data")+`","public-url":"https://hub.example"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BAMBUDDY_LOG_FORMAT", "json")
	url, _, _ := serving(t, "--config", file)
	if url != "https://hub.example" {
		t.Errorf("the public URL is %q", url)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "bambuddy.db")); err != nil {
		t.Errorf("the data directory of the file is not used: %v", err)
	}
}

func TestVersionAndHelp(t *testing.T) {
	if out, _, code := command(t, "version"); code != 0 || !strings.HasPrefix(out, "bambuddy-hub ") {
		t.Errorf("version: %d, %q", code, out)
	}
	if out, _, code := command(t, "--help"); code != 0 || !strings.Contains(out, "enrolment create") {
		t.Errorf("help: %d, %q", code, out)
	}
}
