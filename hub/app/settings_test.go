package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/proxy"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
)

// aHub runs a hub on a data directory until stop.
func aHub(t *testing.T, dir string, change func(*Options)) (dial func() net.Conn, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	network := memnet.New()
	l, err := network.Listen("hub:80")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{DataDir: dir, Listener: l, Objects: NewMemoryObjects(), Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	synctest.Wait()
	dial = func() net.Conn {
		t.Helper()
		conn, err := network.Dialer("client")(ctx, "tcp", "hub:80")
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	return dial, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// ask makes one request on a connection of its own.
func ask(t *testing.T, dial func() net.Conn, key, line, body string, header ...string) (status int, object map[string]any, h http.Header) {
	t.Helper()
	conn := dial()
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: hub\r\nX-API-Key: %s\r\nContent-Length: %d\r\n", line, key, len(body))
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(conn, "%s: %s\r\n", header[i], header[i+1])
	}
	fmt.Fprintf(conn, "\r\n%s", body)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(string(text), "{") {
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatal(err)
		}
	}
	return res.StatusCode, object, res.Header
}

// What is set outlives the hub, wins over its flags, and is known to every other process
// within seconds.
func TestSettingsOutliveTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		flags := func(o *Options) { o.OfflineAfter, o.Limits = 90*time.Second, farm.Limits{Write: 5} }
		dial, stop := aHub(t, dir, flags)
		key := adminKey(t, dir)
		status, got, _ := ask(t, dial, key, "PATCH /api/v1/settings", `{"printer_offline_seconds":7,"milestones":[5]}`)
		limits, _ := got["limits"].(map[string]any)
		defaults, _ := got["defaults"].(map[string]any)
		if status != 200 || got["printer_offline_seconds"] != 7.0 || limits["write"] != 5.0 || defaults["printer_offline_seconds"] != 90.0 {
			t.Errorf("%d %v", status, got)
		}
		stop()
		dial, stop = aHub(t, dir, flags)
		if _, got, _ := ask(t, dial, key, "GET /api/v1/settings", ""); got["printer_offline_seconds"] != 7.0 || fmt.Sprint(got["milestones"]) != "[5]" || fmt.Sprint(got["set"]) != "[milestones printer_offline_seconds]" {
			t.Errorf("after a restart %v", got)
		}
		db, err := store.Open(t.Context(), store.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		was, _, err := db.Setting(t.Context(), "settings")
		if ok, swapErr := db.SwapSetting(t.Context(), "settings", was, `{"revision":9,"set":{"printer_offline_seconds":8}}`); err != nil || swapErr != nil || !ok {
			t.Errorf("%v %v %v", err, swapErr, ok)
		}
		_ = db.Close()
		time.Sleep(5 * time.Second)
		if _, got, _ := ask(t, dial, key, "GET /api/v1/settings", ""); got["printer_offline_seconds"] != 8.0 || fmt.Sprint(got["milestones"]) != "[25 50 75]" {
			t.Errorf("after another process %v", got)
		}
		stop()
	})
}

// What is older than it may be goes, as soon as that is said.
func TestRetentionFollowsTheSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		db, err := store.Open(t.Context(), store.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.AppendAudit(t.Context(), farm.Audit{At: time.Now().Add(-10 * 24 * time.Hour), Who: "old", Action: "add_site"}); err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
		dial, stop := aHub(t, dir, nil)
		key := adminKey(t, dir)
		ask(t, dial, key, "POST /api/v1/sites", `{"name":"South"}`)
		count := func(path string) string {
			t.Helper()
			_, _, h := ask(t, dial, key, "GET /api/v1"+path, "")
			return h.Get("X-Total-Count")
		}
		if n := count("/audit"); n != "2" {
			t.Errorf("%s entries", n)
		}
		ask(t, dial, key, "PATCH /api/v1/settings", `{"audit_keep_days":5}`)
		synctest.Wait()
		time.Sleep(time.Second)
		if n := count("/audit"); n != "2" { // South, and the change of the settings
			t.Errorf("%s entries are left", n)
		}
		if _, got, _ := ask(t, dial, key, "GET /api/v1/audit/check", ""); got["whole"] != true || got["entries"] != 2.0 || got["first_id"] != 2.0 {
			t.Errorf("%v", got)
		}
		stop()
	})
}

// Behind a proxy that is trusted, limits and audit are of the client; other people's word
// on who they are does not count.
func TestClientsBehindAProxy(t *testing.T) {
	for name, c := range map[string]struct{ trusted, want string }{
		"trusted": {"127.0.0.0/8", "203.0.113.9"}, "not trusted": {"10.0.0.0/8", "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			ranges, err := proxy.Parse([]string{c.trusted})
			if err != nil {
				t.Fatal(err)
			}
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- Run(ctx, Options{DataDir: dir, Listener: l, TrustedProxies: ranges, Objects: NewMemoryObjects(), Log: slog.New(slog.DiscardHandler)})
			}()
			dial := func() net.Conn {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				return conn
			}
			ask(t, dial, "", "GET /health", "") // it is up
			key := adminKey(t, dir)
			_, _, h := ask(t, dial, key, "POST /api/v1/sites", `{"name":"North"}`, "X-Forwarded-For", "198.51.100.1, 203.0.113.9", "X-Forwarded-Proto", "https")
			if secure := h.Get("Strict-Transport-Security") != ""; secure != (name == "trusted") {
				t.Errorf("HSTS %v", h)
			}
			db, err := store.Open(ctx, store.Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			rows, _, err := db.Audit(ctx, farm.AuditQuery{Limit: 1})
			if err != nil || len(rows) != 1 || rows[0].Remote != c.want {
				t.Errorf("%+v, %v", rows, err)
			}
			_ = db.Close()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// Limits and sessions go by the settings of the moment.
func TestLimitsAndSessionsFollowTheSettings(t *testing.T) {
	r := runArchives(t, nil)
	anna := r.person("anna", farm.Administrator)
	plain, err := r.admin.NewKey(t.Context(), "plain", farm.Permissions, farm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	limit := func(a reply) string { return a.want(200).header.Get("X-RateLimit-Limit") }
	if person, key := limit(r.with(anna, "GET", "/sites", "")), limit(r.send(plain.Reveal(), "GET", "/sites", nil)); person != "6000" || key != "1000000" {
		t.Errorf("at first a person may %s, a key %s", person, key)
	}
	r.ask("PATCH", "/settings", []byte(`{"limits":{"read":7777,"session":8888}}`)).want(200)
	(&client{t: t, url: r.url}).await("the new limits", func() bool { // callers are believed for a second
		return limit(r.with(anna, "GET", "/printers", "")) == "8888" && limit(r.send(plain.Reveal(), "GET", "/printers", nil)) == "7777"
	})
}

// Who signs in, or fails to, is written down; what they sign in with is not.
func TestSignInsAreInTheAudit(t *testing.T) {
	ranges, err := proxy.Parse([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	r := runArchives(t, func(o *Options) { o.TrustedProxies = ranges })
	r.person("anna", farm.Administrator)
	r.as("", "POST", "/auth/login", []byte(`{"username":"anna","password":"not hers, hunter2"}`), "X-Forwarded-For", "203.0.113.9").refused(farm.Unauthorized, "")
	a := r.as("", "POST", "/auth/login", []byte(`{"username":"anna","password":"`+battery+`"}`), "X-Forwarded-Proto", "https").want(200)
	if set := a.header.Get("Set-Cookie"); !strings.Contains(set, "; Secure") {
		t.Errorf("behind a proxy that has TLS: %q", set)
	}
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	r.with(cookie, "POST", "/sites", `{"name":"Moon"}`).want(201)
	rows, _, err := r.db.Audit(t.Context(), farm.AuditQuery{Who: "anna", Limit: 10})
	if err != nil || len(rows) != 4 {
		t.Fatalf("%+v, %v", rows, err)
	}
	for i, want := range []farm.Audit{
		{Kind: "user", Action: "add_site", Status: 201, Remote: "127.0.0.1"},
		{Kind: "user", Action: "sign_in", Status: 200, Remote: "127.0.0.1"},
		{Kind: "", Action: "sign_in", Status: 401, Code: farm.Unauthorized, Remote: "203.0.113.9"},
		{Kind: "user", Action: "sign_in", Status: 200, Remote: "127.0.0.1"},
	} {
		got := rows[i]
		if got.Kind != want.Kind || got.Action != want.Action || got.Status != want.Status || got.Code != want.Code || got.Remote != want.Remote {
			t.Errorf("%+v\nwant %+v", got, want)
		}
		if text := fmt.Sprintf("%+v %s", got, got.Data); strings.Contains(text, "hunter2") || strings.Contains(text, battery) {
			t.Errorf("it holds a password: %s", text)
		}
	}
	var check struct{ Whole bool }
	if r.ask("GET", "/audit/check", nil).want(200).into(&check); !check.Whole {
		t.Error("the audit is not whole")
	}
}
