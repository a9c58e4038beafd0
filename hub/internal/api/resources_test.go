package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/fleet"
	"bambuddy/hub/internal/proxy"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

func TestStatusOutsideOfAPrint(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	got := r.get(base + "/printers/1/status").object(t)
	for _, k := range []string{"progress", "remaining_time", "current_layer", "layer_num", "total_layers"} {
		if got[k] != 0.0 {
			t.Errorf("%s is %v after a print", k, got[k])
		}
	}
	temps := got["temperatures"].(map[string]any)
	for _, k := range []string{"chamber", "nozzle_2", "nozzle_target", "bed_target", "chamber_target", "nozzle_2_target"} {
		if v, there := temps[k]; !there || v != nil {
			t.Errorf("%s: %v, want null", k, v)
		}
	}
	if temps["nozzle"] != 25.5 {
		t.Errorf("nozzle %v", temps["nozzle"])
	}
	if v, there := got["plate"]; !there || v != nil {
		t.Errorf("plate %v", v)
	}
	if p := r.get(base + "/printers/1").object(t); p["current_print"] != nil {
		t.Errorf("current_print %v", p["current_print"])
	}
}

func TestStatusOfAnOfflinePrinter(t *testing.T) {
	r := newRig(t)
	r.seed(printingReport)
	r.fleet.AgentDown(1)
	got := r.get(base + "/printers/1/status").object(t)
	if got["state"] != "offline" || got["connected"] != false || got["agent_connected"] != false || got["progress"] != 45.0 ||
		got["gcode_state"] != "RUNNING" || got["last_seen"] == nil {
		t.Errorf("%v", got)
	}
	if c := got["connection"].(map[string]any); c["state"] != "agent_offline" {
		t.Errorf("%v", c)
	}
	if p := r.get(base + "/printers/1").object(t); p["current_print"] != nil || p["status"] != "offline" {
		t.Errorf("%v", p)
	}
	if h := r.get("/health").object(t); h["mqtt"] != "disconnected" || h["status"] != "healthy" {
		t.Errorf("%v", h)
	}
}

func TestStatusOfAPrinterNeverSeen(t *testing.T) {
	r := newRig(t)
	r.put(farm.Printer{ID: 4, Serial: "ZZZ", Name: "New", SiteID: 1, CreatedAt: seedTime, UpdatedAt: seedTime})
	got := r.get(base + "/printers/4/status").object(t)
	if got["state"] != "offline" || got["last_seen"] != nil || got["gcode_state"] != nil || got["hms_status"] != "ok" {
		t.Errorf("%v", got)
	}
	for _, k := range []string{"ams", "external_spools", "hms_errors", "lights", "nozzles", "active_slots"} {
		if list, ok := got[k].([]any); !ok || len(list) != 0 {
			t.Errorf("%s is %v, want []", k, got[k])
		}
	}
	p := r.get(base + "/printers/4").object(t)
	for _, k := range []string{"model", "model_code", "agent_id", "current_print", "location", "last_seen", "camera_port"} {
		if v, there := p[k]; !there || v != nil {
			t.Errorf("%s: %v, want null", k, v)
		}
	}
}

func TestFaults(t *testing.T) {
	serious := bambu.HMS{Attr: 0x03000100, Code: 0x00020001}
	common := bambu.HMS{Attr: 0x0C000100, Code: 0x00030001}
	for _, c := range []struct {
		name   string
		faults bambu.Faults
		level  string
		list   int
		print  bool
	}{
		{"none", bambu.Faults{}, "ok", 0, false},
		{"common", bambu.Faults{HMS: []bambu.HMS{common}}, "warning", 1, false},
		{"serious", bambu.Faults{HMS: []bambu.HMS{common, serious}}, "error", 2, false},
		{"print error", bambu.Faults{PrintError: 0x03008015}, "error", 0, true},
		{"echo of a cancel", bambu.Faults{PrintError: 0x0300400C}, "ok", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := statusOf(fleet.View{Status: bambu.Status{Faults: c.faults}})
			if st.HMSStatus != c.level || len(st.HMSErrors) != c.list || (st.PrintError.value != nil) != c.print {
				t.Errorf("%s %v %v", st.HMSStatus, st.HMSErrors, st.PrintError.value)
			}
		})
	}
}

func TestFileName(t *testing.T) {
	for _, c := range []struct{ file, name, want string }{
		{"/data/Metadata/plate_1.gcode", "benchy", "benchy.3mf"},
		{"/data/Metadata/plate_1.gcode", "benchy.3mf", "benchy.3mf"},
		{"/data/Metadata/plate_12.gcode", "benchy.gcode.3mf", "benchy.gcode.3mf"},
		{"/sdcard/cache/benchy.gcode.3mf", "something else", "benchy.gcode.3mf"},
		{"ftp://path/Bench y.3MF", "", "Bench y.3MF"},
		{"plate_3.gcode", "", ""},
		{"", "", ""},
		{"", "/a/b/part", "part.3mf"},
		{"", `C:\models\part.3mf`, "part.3mf"},
		{"/sdcard/old.gcode", "", "old.gcode"},
	} {
		if got := fileName(bambu.Job{File: c.file, Name: c.name}); got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.file, c.name, got, c.want)
		}
	}
}

func TestModel(t *testing.T) {
	for _, c := range []struct {
		name, serial, given, seen string
		wantName, wantCode        string
		warn                      bool
	}{
		{name: "of the serial", serial: "00M00A000000001", wantName: "X1 Carbon", wantCode: "X1C"},
		{name: "given counts before the serial", serial: "00M00A000000001", given: "P1S", wantName: "P1S", wantCode: "P1S", warn: true},
		{name: "reported counts before given", serial: "00M00A000000001", given: "P1S", seen: "X1C", wantName: "X1 Carbon", wantCode: "X1C", warn: true},
		{name: "all agree", serial: "00M00A000000001", given: "X1C", seen: "X1C", wantName: "X1 Carbon", wantCode: "X1C"},
		{name: "unknown to us", serial: "ZZZ", seen: "Q9", wantCode: "Q9"},
		{name: "unknown", serial: "ZZZ"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := modelOf(fleet.View{Printer: farm.Printer{Serial: c.serial, ModelGiven: c.given, ModelSeen: c.seen}})
			if m.name != c.wantName || m.code != c.wantCode || (len(m.warnings) > 0) != c.warn {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestLists(t *testing.T) {
	r := newRig(t)
	for i := range int64(250) {
		r.put(farm.Printer{ID: i + 1, Serial: fmt.Sprint("S", i), Name: fmt.Sprint("P", i), SiteID: 1 + i%2})
	}
	for query, want := range map[string]struct{ n, total, first int }{
		"":                      {250, 250, 1},
		"?limit=2":              {2, 250, 1},
		"?limit=200&offset=100": {150, 250, 101},
		"?offset=249":           {1, 250, 250},
		"?offset=9999":          {0, 250, 0},
		"?site_id=2&limit=1":    {1, 125, 2},
		"?nonsense=1":           {250, 250, 1},
	} {
		a := r.get(base + "/printers" + query)
		got, ok := a.json(t).([]any)
		if !ok || len(got) != want.n || a.header.Get("X-Total-Count") != itoa(want.total) {
			t.Errorf("%s: %d of %s", query, len(got), a.header.Get("X-Total-Count"))
			continue
		}
		if want.n > 0 && got[0].(map[string]any)["id"] != float64(want.first) {
			t.Errorf("%s: begins with %v", query, got[0])
		}
	}
}

func TestScope(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	r.put(farm.Printer{ID: 2, Serial: "B", Name: "Elsewhere", SiteID: 2, AgentID: 2})
	r.registry.sites = append(r.registry.sites, farm.Site{ID: 2, Name: "Elsewhere"})
	r.registry.agents = append(r.registry.agents, farm.Agent{ID: 2, Name: "Elsewhere", SiteID: 2})
	here := r.key(auth.NewKey{Permissions: farm.Permissions, Sites: []int64{1}, Limits: farm.Limits{Read: 1000, Write: 1000, Control: 1000}})
	nothing := r.key(auth.NewKey{Permissions: farm.Permissions, Sites: []int64{}, Limits: farm.Limits{Read: 1000}})
	one := r.key(auth.NewKey{Permissions: farm.Permissions, Printers: []int64{2}, Limits: farm.Limits{Read: 1000, Write: 1000}})

	for key, n := range map[string]int{here: 1, nothing: 0, one: 1} {
		a := r.do(key, http.MethodGet, base+"/printers", "")
		if got := a.json(t).([]any); len(got) != n || a.header.Get("X-Total-Count") != itoa(n) {
			t.Errorf("%d printers, want %d", len(got), n)
		}
	}
	for _, c := range []struct{ key, method, path, body string }{
		{here, "GET", "/printers/2", ""},
		{here, "GET", "/printers/2/status", ""},
		{here, "PATCH", "/printers/2", `{"name":"X"}`},
		{here, "DELETE", "/printers/2", ""},
		{here, "POST", "/printers/2/refresh-status", ""},
		{here, "GET", "/sites/2", ""},
		{here, "PATCH", "/sites/2", `{"name":"X"}`},
		{here, "DELETE", "/sites/2", ""},
		{here, "GET", "/agents/2", ""},
		{here, "POST", "/agents/2/revoke", ""},
		{here, "DELETE", "/agents/2", ""},
		{here, "PATCH", "/printers/1", `{"site_id":2}`},
		{here, "PATCH", "/printers/1", `{"agent_id":2}`},
		{here, "PATCH", "/agents/1", `{"site_id":2}`},
		{here, "POST", "/agents/enrolment-tokens", `{"site_id":2}`},
		{here, "DELETE", "/api-keys/1", ""},
		{here, "PATCH", "/api-keys/1", `{"name":"X"}`},
		{here, "POST", "/printers", `{"name":"A","ip_address":"a","access_code":"x","serial_number":"X","site_id":2}`},
		{one, "GET", "/printers/1", ""},
		{nothing, "GET", "/printers/1", ""},
		{nothing, "GET", "/sites/1", ""},
	} {
		r.wantError(r.do(c.key, c.method, base+c.path, c.body), farm.NotFound, "")
	}
	for _, c := range []struct{ key, path, body string }{
		{here, "/sites", `{"name":"X"}`},
		{one, "/agents/enrolment-tokens", `{}`},
		{one, "/printers", `{"name":"A","ip_address":"a","access_code":"x","serial_number":"X"}`},
		{here, "/api-keys", `{"name":"X","permissions":["read"]}`},
		{here, "/api-keys", `{"name":"X","permissions":["read"],"site_ids":[1,2]}`},
	} {
		r.wantError(r.do(c.key, http.MethodPost, base+c.path, c.body), farm.Forbidden, "")
	}
	// The one site of the key is what a new printer and a token are for.
	if a := r.do(here, http.MethodPost, base+"/printers", `{"name":"A","ip_address":"a","access_code":"x","serial_number":"X"}`); a.status != 201 || *r.registry.added.SiteID != 1 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := r.do(here, http.MethodPost, base+"/api-keys", `{"name":"X","permissions":["read"],"site_ids":[1]}`); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	keys := r.do(here, http.MethodGet, base+"/api-keys", "").json(t).([]any)
	if len(keys) != 3 { // itself, the one without sites, the one it made
		t.Errorf("%d keys", len(keys))
	}
}

// A key that is limited to printers has no say over what many printers share,
// however many permissions it carries, and sees only what its printers use.
func TestAKeyLimitedToPrintersDoesNotRunTheFarm(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	r.registry.sites = append(r.registry.sites, farm.Site{ID: 2, Name: "Elsewhere"})
	r.registry.agents = append(r.registry.agents, farm.Agent{ID: 2, Name: "Elsewhere", SiteID: 2})
	r.registry.tokens = append(r.registry.tokens, farm.Enrolment{ID: 5, SiteID: 1, ExpiresAt: time.Now().Add(time.Hour)})
	limits := farm.Limits{Read: 1000, Write: 1000, Control: 1000}
	none := r.key(auth.NewKey{Permissions: farm.Permissions, Printers: []int64{}, Limits: limits})
	one := r.key(auth.NewKey{Permissions: farm.Permissions, Printers: []int64{1}, Limits: limits})
	for _, c := range []struct{ method, path, body string }{
		{"PATCH", "/sites/1", `{"name":"X"}`},
		{"DELETE", "/sites/1", ""},
		{"PATCH", "/agents/1", `{"name":"X"}`},
		{"POST", "/agents/1/revoke", ""},
		{"DELETE", "/agents/1", ""},
	} {
		r.wantError(r.do(none, c.method, base+c.path, c.body), farm.NotFound, "")
		r.wantError(r.do(one, c.method, base+c.path, c.body), farm.Forbidden, "printers")
	}
	for _, key := range []string{none, one} {
		r.wantError(r.do(key, "DELETE", base+"/agents/enrolment-tokens/5", ""), farm.NotFound, "")
		r.wantError(r.do(key, "GET", base+"/sites/2", ""), farm.NotFound, "")
		r.wantError(r.do(key, "GET", base+"/agents/2", ""), farm.NotFound, "")
	}
	for path, n := range map[string]int{"/sites": 1, "/agents": 1, "/agents/enrolment-tokens": 0} {
		if got := r.do(one, "GET", base+path, "").json(t).([]any); len(got) != n {
			t.Errorf("%s shows %d to a key of one printer, want %d", path, len(got), n)
		}
		if got := r.do(none, "GET", base+path, "").json(t).([]any); len(got) != 0 {
			t.Errorf("%s shows %d to a key without printers", path, len(got))
		}
	}
	if len(r.registry.sites) != 2 || len(r.registry.agents) != 2 || len(r.registry.tokens) != 1 {
		t.Errorf("something was changed: %+v", r.registry)
	}
}

func TestKeys(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	a := r.do(r.admin, http.MethodPost, base+"/api-keys", `{"name":"HA","permissions":["control","read"],"printer_ids":[1],"limits":{"read":500},"expires_at":"2100-01-01T00:00:00+02:00"}`)
	got := a.object(t)
	key, _ := got["key"].(string)
	if a.status != 201 || !strings.HasPrefix(key, "bb_") || len(key) != 46 || got["expires_at"] != "2099-12-31T22:00:00Z" || got["site_ids"] != nil ||
		!strings.HasPrefix(key, got["prefix"].(string)) || fmt.Sprint(got["permissions"]) != "[read control]" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	path := fmt.Sprintf("%s/api-keys/%v", base, got["id"])
	if h := r.do(key, http.MethodGet, base+"/printers", "").header; h.Get("X-RateLimit-Limit") != "500" {
		t.Errorf("its own limit: %v", h)
	}
	for _, k := range r.get(base + "/api-keys").json(t).([]any) {
		if _, shown := k.(map[string]any)["key"]; shown {
			t.Error("a key is shown again")
		}
	}
	got = r.do(r.admin, http.MethodPatch, path, `{"printer_ids":null,"site_ids":[],"expires_at":null,"permissions":["read"]}`).object(t)
	if got["printer_ids"] != nil || fmt.Sprint(got["site_ids"]) != "[]" || got["expires_at"] != nil || got["name"] != "HA" || got["limits"].(map[string]any)["read"] != 500.0 {
		t.Errorf("%v", got)
	}
	for body, field := range map[string]string{
		`{"permissions":[]}`: "permissions", `{"permissions":["root"]}`: "permissions", `{"name":" "}`: "name",
		`{"limits":{"read":-1}}`: "limits.read", `{"expires_at":"tomorrow"}`: "expires_at", `{"printer_ids":["a"]}`: "printer_ids",
	} {
		r.wantError(r.do(r.admin, http.MethodPatch, path, body), farm.Invalid, field)
	}
	r.wantError(r.do(r.admin, http.MethodPost, base+"/api-keys", `{"name":"Late","permissions":["read"],"expires_at":"2020-01-01T00:00:00Z"}`), farm.Invalid, "expires_at")
	weak := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Admin}})
	r.wantError(r.do(weak, http.MethodPost, base+"/api-keys", `{"name":"X","permissions":["control"]}`), farm.Forbidden, "permissions")
	if a := r.do(r.admin, http.MethodDelete, path, ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	r.wantError(r.do(key, http.MethodGet, base+"/printers", ""), farm.Unauthorized, "")
}

func TestSitesAndAgents(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	if a := r.do(r.admin, http.MethodPost, base+"/sites", `{"name":"Annex"}`); a.status != 201 || a.object(t)["printer_count"] != 0.0 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := r.do(r.admin, http.MethodPatch, base+"/sites/1", `{"name":"Main"}`).object(t); got["name"] != "Main" || got["printer_count"] != 1.0 {
		t.Errorf("%v", got)
	}
	if a := r.get(base + "/sites/1/"); a.status != 200 {
		t.Errorf("%d", a.status)
	}
	got := r.get(base + "/agents").json(t).([]any)[0].(map[string]any)
	if got["connected"] != true || got["printer_count"] != 1.0 || got["connected_since"] != "2024-01-15T13:30:00Z" || got["version"] != nil {
		t.Errorf("%v", got)
	}
	if a := r.do(r.admin, http.MethodPost, base+"/agents/1/revoke", ""); a.status != 200 || a.object(t)["revoked"] != true {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := r.get("/health").object(t)["agents"].(map[string]any); got["total"] != 0.0 {
		t.Errorf("a revoked agent counts: %v", got)
	}
	r.registry.err = farm.Errorf(farm.Conflict, "the site still has printers")
	r.wantError(r.do(r.admin, http.MethodDelete, base+"/agents/1", ""), farm.Conflict, "")
}

func TestEnrolmentTokens(t *testing.T) {
	r := newRig(t)
	a := r.do(r.admin, http.MethodPost, base+"/agents/enrolment-tokens", `{}`)
	if got := a.object(t); a.status != 201 || got["token"] != "bbt_secret" || got["site_id"] != 1.0 || got["expires_at"] != "2024-01-15T13:45:00Z" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if r.registry.hubURL != "http://example.com" {
		t.Errorf("hub url %q", r.registry.hubURL)
	}
	r.do(r.admin, http.MethodPost, base+"/agents/enrolment-tokens", `{}`, "X-Forwarded-Proto", "https")
	if r.registry.hubURL != "http://example.com" {
		t.Errorf("hub url %q by the word of anybody", r.registry.hubURL)
	}
	req := httptest.NewRequest(http.MethodPost, "https://example.com"+base+"/agents/enrolment-tokens", strings.NewReader(`{}`))
	req.Header.Set("X-API-Key", r.admin)
	proxy.Trust(nil)(r.router).ServeHTTP(httptest.NewRecorder(), req)
	if r.registry.hubURL != "https://example.com" {
		t.Errorf("hub url %q", r.registry.hubURL)
	}
	r.do(r.admin, http.MethodPost, base+"/agents/enrolment-tokens", `{"hub_url":"https://farm.example.com"}`)
	if r.registry.hubURL != "https://farm.example.com" {
		t.Errorf("hub url %q", r.registry.hubURL)
	}
	r.wantError(r.do(r.admin, http.MethodPost, base+"/agents/enrolment-tokens", `{"hub_url":"farm"}`), farm.Invalid, "hub_url")
	list := r.get(base + "/agents/enrolment-tokens")
	if got := list.json(t).([]any); len(got) != 4 || strings.Contains(string(list.body), "bbt_") {
		t.Errorf("%s", list.body)
	}
	if a := r.do(r.admin, http.MethodDelete, base+"/agents/enrolment-tokens/2", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	r.wantError(r.do(r.admin, http.MethodDelete, base+"/agents/enrolment-tokens/2", ""), farm.NotFound, "2")
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var storage error
		r := newRig(t, func(d *Deps) {
			check := d.Health.Database
			d.Health.Database = func(ctx context.Context) error { asked++; return check(ctx) }
			d.Health.Storage = func(context.Context) error { return storage }
		})
		for range 50 {
			if got := r.do("", http.MethodGet, "/health", ""); got.status != 200 {
				t.Fatalf("%d", got.status)
			}
		}
		if asked != 1 {
			t.Errorf("asked the database %d times in a moment", asked)
		}
		r.seed(idleReport)
		r.put(farm.Printer{ID: 2, Serial: "B", SiteID: 1})
		storage = errors.New("bucket gone")
		pass(time.Second)
		a := r.do("", http.MethodGet, base+"/health/", "")
		compareJSON(t, string(a.body), `{"status":"degraded","database":"connected","mqtt":"degraded","storage":"disconnected","agents":{"connected":1,"total":1}}`)
		if a.status != 200 {
			t.Errorf("503 for a lost bucket")
		}
		r.dbErr = errors.New("file vanished")
		r.registry.err = r.dbErr
		r.keys.fail(r.dbErr)
		pass(time.Second)
		a = r.do("", http.MethodGet, "/health", "")
		compareJSON(t, string(a.body), `{"status":"degraded","database":"disconnected","mqtt":"degraded","storage":"disconnected","agents":{"connected":1,"total":1}}`)
		if a.status != http.StatusServiceUnavailable {
			t.Errorf("%d without a database", a.status)
		}
	})
}

func TestOneRenditionServesAllStreams(t *testing.T) {
	r := newRig(t)
	r.seed(printingReport)
	f := &r.server.feed
	v := r.server.mustView(t, 1)
	first, err := f.render(v)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := f.render(v); again != first {
		t.Error("the same version was rendered twice")
	}
	v.Status.Temps.Bed, v.Version = bambu.Some(61.0), v.Version+1
	second, _ := f.render(v)
	if got := second.frameSince(1, first); !strings.Contains(string(got), `"bed":61`) || strings.Contains(string(got), "progress") {
		t.Errorf("%s", got)
	}
	if got := second.frameSince(1, second); got != nil {
		t.Errorf("a frame without a change: %s", got)
	}
	if got := string(second.frameSince(1, nil)); strings.Count(got, `":`) < len(statusKeys) {
		t.Errorf("a first frame is not whole: %s", got)
	}
	if !slices.Equal(statusKeys[:3], []string{"state", "progress", "remaining_time"}) {
		t.Errorf("%v", statusKeys)
	}
}
