package api

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-chi/chi/v5"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/proxy"
	"bambuddy/shared/farm"
)

func TestWhatIsChangedIsWrittenDown(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		want               farm.Audit
		data               string
	}{
		"a change": {
			http.MethodPatch, "/printers/1?token=hunter2", `{"name":"secret name","access_code":"hunter2","tags":["x"]}`,
			farm.Audit{Action: "update_printer", Path: base + "/printers/1", PrinterID: 1, SiteID: 1, Status: 200},
			`{"ids":{"id":"1"},"fields":["name","access_code","tags"]}`,
		},
		"with a slash": {
			http.MethodPatch, "/printers/1/", `{}`,
			farm.Audit{Action: "update_printer", Path: base + "/printers/1/", PrinterID: 1, SiteID: 1, Status: 200},
			`{"ids":{"id":"1"}}`,
		},
		"something new": {
			http.MethodPost, "/sites", `{"name":"North"}`,
			farm.Audit{Action: "add_site", Path: base + "/sites", Status: 201},
			`{"fields":["name"]}`,
		},
		"about a site": {
			http.MethodPatch, "/sites/1", `{"name":"North"}`,
			farm.Audit{Action: "update_site", Path: base + "/sites/1", SiteID: 1, Status: 200},
			`{"ids":{"id":"1"},"fields":["name"]}`,
		},
		"a removal": {
			http.MethodDelete, "/printers/1?force=true", "",
			farm.Audit{Action: "delete_printer", Path: base + "/printers/1", PrinterID: 1, SiteID: 1, Status: 200},
			`{"ids":{"id":"1"}}`,
		},
		"a command": {
			http.MethodPost, "/printers/1/print/pause", "",
			farm.Audit{Action: "pause_print", Path: base + "/printers/1/print/pause", PrinterID: 1, SiteID: 1, Status: 200},
			`{"ids":{"id":"1"}}`,
		},
		"a refusal": {
			http.MethodDelete, "/printers/1", "",
			farm.Audit{Action: "delete_printer", Path: base + "/printers/1", PrinterID: 1, SiteID: 1, Status: 409, Code: farm.Conflict},
			`{"ids":{"id":"1"}}`,
		},
		"what is not there": {
			http.MethodDelete, "/printers/99", "",
			farm.Audit{Action: "delete_printer", Path: base + "/printers/99", PrinterID: 99, Status: 404, Code: farm.NotFound},
			`{"ids":{"id":"99"}}`,
		},
		"a wrong body": {
			http.MethodPost, "/sites", `{"nome":"North"}`,
			farm.Audit{Action: "add_site", Path: base + "/sites", Status: 400, Code: farm.Invalid},
			`{"fields":["nome"]}`,
		},
		"no body": {
			http.MethodPost, "/sites", `{"name":`,
			farm.Audit{Action: "add_site", Path: base + "/sites", Status: 400, Code: farm.Invalid},
			`{}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.seed(printingReport)
			a := r.do(r.admin, c.method, base+c.path, c.body, "X-Request-Id", "abc")
			if len(r.audit.rows) != 1 {
				t.Fatalf("%d %s: %d entries", a.status, a.body, len(r.audit.rows))
			}
			got := r.audit.rows[0]
			if time.Since(got.At) > time.Minute || string(got.Data) != c.data {
				t.Errorf("at %v, %s, want %s", got.At, got.Data, c.data)
			}
			c.want.ID, c.want.At, c.want.Data, c.want.Method = 1, got.At, got.Data, c.method
			c.want.Who, c.want.Kind, c.want.Remote, c.want.RequestID = "admin", "key", "192.0.2.1", "abc"
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v\nwant %+v", got, c.want)
			}
			if text := fmt.Sprintf("%+v%s", got, got.Data); strings.Contains(text, "hunter2") || strings.Contains(text, "secret") || strings.Contains(text, "North") {
				t.Errorf("it holds what was sent: %s", text)
			}
		})
	}
}

// Every route that changes something is in the audit when somebody calls it, whatever
// comes of it, and no route that only reads is but the exports.
func TestEveryRouteThatChangesSomethingIsAudited(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	reader := r.key(auth.NewKey{Name: "reader", Permissions: []farm.Permission{farm.Read}, Limits: farm.Limits{Read: 1e6, Write: 1e6, Control: 1e6}})
	routes := 0
	err := chi.Walk(r.router, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method == http.MethodGet && !strings.Contains(path, "export") {
			return nil
		}
		routes++
		before := len(r.audit.rows)
		r.do(reader, method, exactPath(path), `{}`)
		who := "reader"
		if strings.HasSuffix(path, "/auth/login") || strings.HasSuffix(path, "/auth/setup") { // where nobody asks for a key
			who = ""
		}
		if n := len(r.audit.rows) - before; n != 1 || r.audit.rows[before].Who != who {
			t.Errorf("%s %s: %d entries", method, path, n)
		}
		return nil
	})
	if err != nil || routes < 30 {
		t.Errorf("%d routes, %v", routes, err)
	}
	before := len(r.audit.rows)
	for _, path := range []string{"/printers", "/printers/1", "/audit", "/settings", "/health"} {
		r.get(base + path)
		r.do(r.admin, http.MethodHead, base+path, "")
		r.do(r.admin, http.MethodOptions, base+path, "")
	}
	r.do(r.admin, http.MethodHead, base+"/archives/export", "")
	if n := len(r.audit.rows) - before; n != 0 {
		t.Errorf("%d entries of readers: %+v", n, r.audit.rows[before:])
	}
}

// Who has no key fills no table, and neither does who is told to slow down.
func TestStrangersFillNoAudit(t *testing.T) {
	r := newRig(t)
	slow := r.key(auth.NewKey{Permissions: farm.Permissions, Limits: farm.Limits{Write: 3}})
	for range 50 {
		r.do("", http.MethodPost, base+"/sites", `{"name":"a"}`)
		r.do("bb_wrong", http.MethodDelete, base+"/printers/1", "")
		r.do("", http.MethodGet, base+"/archives/export", "")
		r.do(r.admin, http.MethodPost, base+"/nowhere", "")
		r.do(slow, http.MethodPost, base+"/sites", `{"name":"a"}`)
	}
	if n := len(r.audit.rows); n != 3 {
		t.Errorf("%d entries", n)
	}
}

// login is what a route looks like that everybody may call.
func login(r *rig) {
	register(r.server, route{
		id: "login", method: http.MethodPost, path: "/test-login", tag: "Test", summary: "Login", limit: auth.WriteClass, public: true, audit: true,
	}, func(ctx context.Context, in *struct {
		Body struct {
			Name     string `json:"name"`
			Password string `json:"password"`
		}
	},
	) (*body[Deleted], error) {
		noteAccount(ctx, in.Body.Name)
		if in.Body.Password != "right" {
			return nil, farm.Errorf(farm.Unauthorized, "wrong name or password")
		}
		n := note(ctx)
		n.caller, n.kind = in.Body.Name, "user"
		return deleted(), nil
	})
}

func TestSignInsAreWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		login(r)
		try := func(name, password, remote string) int {
			req := httptest.NewRequest(http.MethodPost, base+"/test-login", strings.NewReader(fmt.Sprintf(`{"name":%q,"password":%q}`, name, password)))
			req.RemoteAddr = remote
			w := httptest.NewRecorder()
			proxy.Trust(nil)(r.router).ServeHTTP(w, req)
			return w.Code
		}
		if got := try("anna", "wrong", "192.0.2.1:5"); got != 401 {
			t.Fatalf("%d", got)
		}
		try("anna", "right", "[2001:db8::1]:5")
		try(strings.Repeat("ä", 300)+"\x00", "wrong", "192.0.2.1:5")
		rows := r.audit.rows
		switch a := rows[0]; {
		case len(rows) != 3:
			t.Fatalf("%+v", rows)
		case a.Who != "anna" || a.Kind != "" || a.Action != "login" || a.Status != 401 || a.Code != farm.Unauthorized || a.Remote != "192.0.2.1" || string(a.Data) != `{"fields":["name","password"]}`:
			t.Errorf("a failure: %+v %s", a, a.Data)
		case rows[1].Who != "anna" || rows[1].Kind != "user" || rows[1].Status != 200 || rows[1].Remote != "2001:db8::1":
			t.Errorf("a success: %+v", rows[1])
		case len(rows[2].Who) > maxAuditName || strings.Contains(rows[2].Who, "\x00"):
			t.Errorf("a name: %q", rows[2].Who)
		}
		// From any number of addresses: bounded, and it is told how many were left out.
		for i := range 1000 {
			try("anna", "wrong", fmt.Sprintf("198.51.%d.%d:5", i/250, i%250))
		}
		if n := len(r.audit.rows); n > 130 {
			t.Errorf("%d entries of 1,000 strangers", n)
		}
		before := len(r.audit.rows)
		pass(time.Minute)
		try("anna", "wrong", "203.0.113.9:5")
		var data auditData
		if err := json.Unmarshal(r.audit.rows[before].Data, &data); err != nil || data.LeftOut != int64(1000-(before-3)) {
			t.Errorf("left out %d, %v, of %d entries", data.LeftOut, err, before)
		}
	})
}

func TestAPublicChangeMustBeAudited(t *testing.T) {
	rt := route{id: "login", method: http.MethodPost, path: "/x", tag: "Test", summary: "X", limit: auth.WriteClass, public: true}
	if err := rt.check(); err == nil || !strings.Contains(err.Error(), "audit") {
		t.Errorf("%v", err)
	}
	rt.audit = true
	if err := rt.check(); err != nil {
		t.Error(err)
	}
}

// What was done stands though it could not be written down: the log has it then.
func TestAnAuditThatCannotBeWritten(t *testing.T) {
	r := newRig(t)
	r.audit.err = errors.New("disk full")
	if a := r.do(r.admin, http.MethodPost, base+"/sites", `{"name":"North"}`); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, want := range []string{"level=ERROR", "disk full", "add_site", "who=admin", "192.0.2.1", "status=201"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, r.log)
		}
	}
}

func TestAPanicIsWrittenDown(t *testing.T) {
	r := newRig(t)
	for path, end := range map[string]func(){
		"/p1": func() { _ = fail() },
		"/p2": func() { panic(http.ErrAbortHandler) }, //nolint:forbidigo // net/http's own way to abort an answer
	} {
		register(r.server, route{
			id: "panic" + path[1:], method: http.MethodPost, path: path, tag: "Test", summary: "Panic", needs: farm.Admin, limit: auth.WriteClass,
		}, func(context.Context, *struct{}) (*body[Deleted], error) { end(); return deleted(), nil })
	}
	r.wantError(r.do(r.admin, http.MethodPost, base+"/p1", ""), farm.Internal, "internal error")
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("%v", err)
			}
		}()
		r.do(r.admin, http.MethodPost, base+"/p2", "")
	}()
	for _, a := range r.audit.rows {
		if a.Status != 500 || a.Code != farm.Internal || a.Who != "admin" {
			t.Errorf("%+v", a)
		}
	}
	if len(r.audit.rows) != 2 || !strings.Contains(r.log.String(), failure) || !strings.Contains(r.log.String(), "errors_test.go") {
		t.Errorf("%d entries, or the log does not tell where: %s", len(r.audit.rows), r.log)
	}
}

func TestBodiesWithManyFields(t *testing.T) {
	r := newRig(t)
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, `,"%s%d":{"a":[1,{"b":2}]}`, strings.Repeat("x", 200), i)
	}
	r.do(r.admin, http.MethodPost, base+"/sites", `{"name":"N"`+text.String()+`}`)
	var data auditData
	if err := json.Unmarshal(r.audit.rows[0].Data, &data); err != nil || len(data.Fields) != maxAuditFields || data.Fields[0] != "name" || len(data.Fields[1]) != maxAuditName {
		t.Errorf("%v: %d fields, %q", err, len(data.Fields), data.Fields[:2])
	}
}

func TestListAudit(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.do(r.admin, http.MethodPost, base+"/sites", fmt.Sprintf(`{"name":"%d"}`, i))
	}
	a := r.get(base + "/audit?limit=2")
	rows, _ := a.json(t).([]any)
	if len(rows) != 2 || a.header.Get("X-Total-Count") != "5" || a.header.Get("X-Next-Cursor") != "4" {
		t.Fatalf("%s %v", a.body, a.header)
	}
	first, _ := rows[0].(map[string]any)
	for key, want := range map[string]any{
		"id": 5.0, "who": "admin", "kind": "key", "action": "add_site", "result": "done", "status": 201.0, "code": nil, "method": "POST", "path": base + "/sites",
		"remote": "192.0.2.1", "printer_id": nil, "site_id": nil,
	} {
		if got, there := first[key]; !there || got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	a = r.get(base + "/audit?limit=4&cursor=5")
	if rows, _ := a.json(t).([]any); len(rows) != 4 || a.header.Get("X-Next-Cursor") != "" {
		t.Errorf("the last page: %s %v", a.body, a.header)
	}
	r.get(base + "/audit?who=anna&kind=user&action=login&result=refused&printer_id=3&site_id=2&since=2024-01-15&until=2024-01-15T10:00:00%2B01:00&tz=Europe/Berlin")
	want := farm.AuditQuery{
		Who: "anna", Kind: "user", Action: "login", Result: "refused", PrinterID: 3, SiteID: 2, Limit: 51,
		Since: time.Date(2024, 1, 14, 23, 0, 0, 0, time.UTC), Until: time.Date(2024, 1, 15, 9, 0, 1, 0, time.UTC),
	}
	got := r.audit.asked[len(r.audit.asked)-1]
	if got.Since, got.Until = got.Since.UTC(), got.Until.UTC(); got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=201": "limit", "cursor=x": "cursor", "result=good": "result", "kind=robot": "kind", "printer_id=0": "printer_id", "since=yesterday": "since",
		"until=x": "until", "tz=Nowhere": "tz", "since=2024-02-01&until=2024-01-01": "since", "offset=-1": "offset",
	} {
		r.wantError(r.get(base+"/audit?"+query), farm.Invalid, field)
	}
}

func TestExportAndCheckAudit(t *testing.T) {
	r := newRig(t)
	r.audit.rows = []farm.Audit{
		{ID: 1, At: seedTime, Who: "=HYPERLINK(1)", Kind: "key", Action: "gcode", PrinterID: 3, Data: []byte(`{"gcode":"G28"}`)},
		{ID: 2, At: seedTime, Who: "anna", Kind: "user", Action: "delete_site", Status: 409, Code: farm.Conflict, Data: []byte(`{}`)},
	}
	a := r.get(base + "/audit/export")
	lines, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	if err != nil || len(lines) != 3 || lines[2][2] != "'=HYPERLINK(1)" || lines[2][5] != "begun" || lines[1][5] != "refused" || lines[1][6] != "409" || lines[2][1] != "2024-01-15T13:30:00Z" {
		t.Errorf("%v %q", err, lines)
	}
	if d := a.header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment; filename=audit_") || !strings.HasSuffix(d, ".csv") {
		t.Errorf("%q", d)
	}
	if last := r.audit.rows[2]; last.Action != "export_audit" || last.Who != "admin" || last.Status != 200 {
		t.Errorf("the export itself: %+v", last)
	}
	if a := r.get(base + "/audit/export?format=jsonl&limit=1"); strings.Count(string(a.body), "\n") != 1 || !strings.Contains(string(a.body), `"action":"export_audit"`) {
		t.Errorf("%s", a.body)
	}
	if a := r.get(base + "/audit/export?format=xlsx"); !strings.HasPrefix(string(a.body), "PK") {
		t.Errorf("%d, %.20q", a.status, a.body)
	}
	r.wantError(r.get(base+"/audit/export?format=pdf"), farm.Invalid, "format")
	r.audit.check = farm.AuditCheck{First: 4, Entries: 9}
	if got := r.get(base + "/audit/check").object(t); got["whole"] != true || got["entries"] != 9.0 || got["first_id"] != 4.0 || got["broken_at"] != nil {
		t.Errorf("%v", got)
	}
	r.audit.check.Broken = 13
	if got := r.get(base + "/audit/check").object(t); got["whole"] != false || got["broken_at"] != 13.0 {
		t.Errorf("%v", got)
	}
	limited := r.key(auth.NewKey{Permissions: farm.Permissions, Sites: []int64{1}})
	for _, path := range []string{"/audit", "/audit/export", "/audit/check"} {
		r.wantError(r.do(limited, http.MethodGet, base+path, ""), farm.Forbidden, "limited")
	}
}

func TestTidy(t *testing.T) {
	for given, want := range map[string]string{"abc": "abc", "abcdef": "abcde", "ääää": "ää", "a\x00b": "a\ufffdb", "a\r\n": "a\ufffd", "\xff": "\ufffd"} {
		if got := tidy(given, 5); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
