package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

func TestEveryErrorHasTheForm(t *testing.T) {
	const good = `"name":"A","ip_address":"10.0.0.1","access_code":"s3cr3t-code","serial_number":"X"`
	for _, c := range []struct {
		name, method, path, body string
		code                     farm.Code
		mentions                 string
		header                   []string
	}{
		{name: "unknown path", method: "GET", path: "/api/v1/nowhere", code: farm.NotFound},
		{name: "unknown path beside the API", method: "GET", path: "/nowhere", code: farm.NotFound},
		{name: "unknown method", method: "PUT", path: "/api/v1/printers", code: farm.MethodNotAllowed, mentions: "GET, HEAD, POST"},
		{name: "unknown method with slash", method: "POST", path: "/api/v1/printers/1/", code: farm.MethodNotAllowed, mentions: "PATCH"},
		{name: "id that is no number", method: "GET", path: "/api/v1/printers/abc", code: farm.NotFound},
		{name: "id that is no number, written to", method: "PATCH", path: "/api/v1/printers/abc", body: `{"name":5}`, code: farm.NotFound},
		{name: "id of nothing", method: "GET", path: "/api/v1/printers/99", code: farm.NotFound, mentions: "99"},
		{name: "no body", method: "POST", path: "/api/v1/printers", code: farm.Invalid, mentions: "body"},
		{name: "no JSON", method: "POST", path: "/api/v1/printers", body: `{"name":`, code: farm.Invalid, mentions: "JSON"},
		{name: "two values", method: "POST", path: "/api/v1/printers", body: `{} {}`, code: farm.Invalid, mentions: "JSON"},
		{name: "no object", method: "POST", path: "/api/v1/printers", body: `[1]`, code: farm.Invalid, mentions: "object"},
		{name: "missing field", method: "POST", path: "/api/v1/printers", body: `{"name":"A","access_code":"s3cr3t-code"}`, code: farm.Invalid, mentions: "ip_address: is required"},
		{name: "null for a required field", method: "POST", path: "/api/v1/printers", body: `{"name":null,"access_code":"s3cr3t-code"}`, code: farm.Invalid, mentions: "name: expected string"},
		{name: "wrong type", method: "POST", path: "/api/v1/printers", body: `{` + good + `,"site_id":"one"}`, code: farm.Invalid, mentions: "site_id: expected integer"},
		{name: "wrong type of the access code", method: "POST", path: "/api/v1/printers", body: `{"name":"A","ip_address":"a","serial_number":"X","access_code":["s3cr3t-code"]}`, code: farm.Invalid, mentions: "access_code: expected string"},
		{name: "number out of range", method: "POST", path: "/api/v1/printers", body: `{` + good + `,"mqtt_port":70000}`, code: farm.Invalid, mentions: "mqtt_port"},
		{name: "number that fits nothing", method: "POST", path: "/api/v1/printers", body: `{` + good + `,"site_id":1e40}`, code: farm.Invalid, mentions: "site_id"},
		{name: "wrong type of element", method: "POST", path: "/api/v1/printers", body: `{` + good + `,"tags":["a",2]}`, code: farm.Invalid, mentions: "tags[1]"},
		{name: "limit 0", method: "GET", path: "/api/v1/printers?limit=0", code: farm.Invalid, mentions: "limit"},
		{name: "limit 201", method: "GET", path: "/api/v1/sites?limit=201", code: farm.Invalid, mentions: "limit"},
		{name: "limit that is no number", method: "GET", path: "/api/v1/agents?limit=all", code: farm.Invalid, mentions: "limit"},
		{name: "negative offset", method: "GET", path: "/api/v1/printers?offset=-1", code: farm.Invalid, mentions: "offset"},
		{name: "form", method: "POST", path: "/api/v1/sites", body: "name=A", code: farm.UnsupportedType, mentions: "application/json", header: []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{name: "JSON of another kind", method: "POST", path: "/api/v1/sites", body: `{"name":"A"}`, code: farm.UnsupportedType, mentions: "application/json", header: []string{"Content-Type", "application/vnd.api+json"}},
		{name: "another charset", method: "POST", path: "/api/v1/sites", body: `{"name":"A"}`, code: farm.UnsupportedType, mentions: "UTF-8", header: []string{"Content-Type", "application/json; charset=latin1"}},
		{name: "name in capitals", method: "POST", path: "/api/v1/sites", body: `{"NAME":"A"}`, code: farm.Invalid, mentions: "name: is required"},
		{name: "the same field twice", method: "POST", path: "/api/v1/sites", body: `{"name":"A","name":"B"}`, code: farm.Invalid, mentions: "twice"},
		{name: "no UTF-8", method: "POST", path: "/api/v1/sites", body: "{\"name\":\"A\xff\"}", code: farm.Invalid, mentions: "UTF-8"},
		{name: "half a surrogate", method: "POST", path: "/api/v1/sites", body: `{"name":"A\ud800"}`, code: farm.Invalid, mentions: "UTF-8"},
		{name: "deep", method: "POST", path: "/api/v1/sites", body: `{"name":"A","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, code: farm.Invalid, mentions: "deep"},
		{name: "number beyond all fields", method: "POST", path: "/api/v1/printers", body: `{` + good + `,"site_id":1e400}`, code: farm.Invalid, mentions: "site_id"},
		{name: "number that fits no integer", method: "POST", path: "/api/v1/printers", body: `{` + good + `,"site_id":99999999999999999999}`, code: farm.Invalid, mentions: "site_id"},
		{name: "id with a sign", method: "GET", path: "/api/v1/printers/+1", code: farm.NotFound},
		{name: "id with a zero before it", method: "GET", path: "/api/v1/printers/01", code: farm.NotFound},
		{name: "site of a printer that is not there", method: "POST", path: "/api/v1/printers", body: `{` + good + `,"site_id":77}`, code: farm.NotFound, mentions: "site_id"},
		{name: "agent of a printer that is not there", method: "POST", path: "/api/v1/printers", body: `{` + good + `,"agent_id":77}`, code: farm.NotFound, mentions: "agent_id"},
		{name: "printer of a key that is not there", method: "POST", path: "/api/v1/api-keys", body: `{"name":"A","permissions":["read"],"printer_ids":[77]}`, code: farm.NotFound, mentions: "printer_ids"},
		{name: "site of a key that is not there", method: "POST", path: "/api/v1/api-keys", body: `{"name":"A","permissions":["read"],"site_ids":[77]}`, code: farm.NotFound, mentions: "site_ids"},
		{name: "large", method: "POST", path: "/api/v1/sites", body: `{"name":"` + strings.Repeat("a", maxBody) + `"}`, code: farm.TooLarge, mentions: "larger"},
		{name: "event id that is no number", method: "GET", path: "/api/v1/events", code: farm.Invalid, mentions: "last_event_id", header: []string{"Last-Event-ID", "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			a := r.do(r.admin, c.method, c.path, c.body, c.header...)
			r.wantError(a, c.code, c.mentions)
			if strings.Contains(string(a.body)+r.log.String(), "s3cr3t-code") {
				t.Errorf("the access code got out: %s", a.body)
			}
			if c.code == farm.MethodNotAllowed && a.header.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
}

func TestBodiesAreReadGenerously(t *testing.T) {
	for name, header := range map[string][]string{
		"no content type": nil, "charset": {"Content-Type", "application/json; charset=utf-8"},
		"other accept": {"Accept", "text/html"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.do(r.admin, http.MethodPost, base+"/sites?unknown=1", `{"name":"B","unknown":{"a":1}}`, header...)
			if got := a.object(t); a.status != http.StatusCreated || got["name"] != "B" || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %s %v", a.status, a.body, a.header)
			}
		})
	}
}

// What no field is meant by does no harm, whatever it is.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	r := newRig(t)
	a := r.do(r.admin, http.MethodPost, base+"/sites", `{"name":"B","junk":1e400,"NAME":"C","more":[-1e999,{"a":null}]}`)
	if got := a.object(t); a.status != http.StatusCreated || got["name"] != "B" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A body that is announced as too large is refused before it is sent, and one
// that does not come is not waited for.
func TestBodiesThatDoNotCome(t *testing.T) {
	for name, c := range map[string]struct {
		length int64
		code   farm.Code
		within time.Duration
	}{
		"too large": {1 << 40, farm.TooLarge, 0},
		"slow":      {100, farm.RequestTimeout, bodyTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig, client *http.Client) {
				from, to := io.Pipe()
				defer pass(time.Second) // the server lingers over what it has cut off
				defer func() { _ = to.Close() }()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://hub:8000"+base+"/sites", from)
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = c.length
				req.Header.Set("X-API-Key", r.admin)
				began := time.Now()
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				var got Error
				if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
					t.Fatal(err)
				}
				if got.Code != c.code || resp.StatusCode != c.code.Status() || time.Since(began) != c.within {
					t.Errorf("%d %+v after %v", resp.StatusCode, got, time.Since(began))
				}
			})
		})
	}
}

func TestServiceErrors(t *testing.T) {
	r := newRig(t)
	r.registry.err = errors.New("disk on fire at /var/lib/secret")
	a := r.get(base + "/sites")
	r.wantError(a, farm.Internal, "internal error")
	if strings.Contains(string(a.body), "fire") || !strings.Contains(r.log.String(), "disk on fire") || !strings.Contains(r.log.String(), "level=WARN") {
		t.Errorf("outside: %s, log: %s", a.body, r.log)
	}
	r.registry.err = context.DeadlineExceeded
	r.wantError(r.get(base+"/sites"), farm.Unavailable, "too long")
}

// fail panics as code does that is wrong.
func fail() error {
	var none *farm.Error
	return none.Err
}

const failure = "nil pointer dereference"

func TestPanic(t *testing.T) {
	r := newRig(t)
	register(r.server, route{
		id: "panic", method: http.MethodGet, path: "/panic", tag: "Test", summary: "Panic", needs: farm.Read, limit: auth.ReadClass,
	}, func(context.Context, *struct{}) (*body[Deleted], error) { return nil, fail() })
	a := r.get(base + "/panic")
	r.wantError(a, farm.Internal, "internal error")
	if !strings.Contains(r.log.String(), failure) || strings.Contains(string(a.body), failure) {
		t.Errorf("outside: %s, log: %s", a.body, r.log)
	}
}

func TestRoutesMustDeclareWhoMayCall(t *testing.T) {
	nothing := func(context.Context, *struct{}) (*body[Deleted], error) { return deleted(), nil }
	whole := route{id: "x", method: http.MethodPost, path: "/x", tag: "Test", summary: "X", needs: farm.Control, limit: auth.ControlClass}
	for name, spoil := range map[string]func(*route){
		"no permission":         func(rt *route) { rt.needs = "" },
		"unknown permission":    func(rt *route) { rt.needs = "everything" },
		"no class":              func(rt *route) { rt.limit = "" },
		"class of another kind": func(rt *route) { rt.limit = auth.WriteClass },
		"public and permission": func(rt *route) { rt.public = true },
		"no id":                 func(rt *route) { rt.id = "" },
	} {
		t.Run(name, func(t *testing.T) {
			r, rt := newRig(t), whole
			spoil(&rt)
			register(r.server, rt, nothing)
			if len(r.server.faults) != 1 {
				t.Errorf("faults: %v", r.server.faults)
			}
			r.wantError(r.do(r.admin, http.MethodPost, base+"/x", ""), farm.NotFound, "")
		})
	}
	t.Run("around the door", func(t *testing.T) { // straight to huma, without register
		r := newRig(t)
		huma.Register(r.server.huma, huma.Operation{OperationID: "y", Method: http.MethodGet, Path: "/y"}, nothing)
		if len(r.server.faults) != 1 {
			t.Errorf("faults: %v", r.server.faults)
		}
		r.wantError(r.get(base+"/y"), farm.NotFound, "")
	})
}

func TestWhoMayCall(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	read := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read}})
	for _, key := range []string{"", "bb_wrong", "bb_" + strings.Repeat("A", 43), r.admin + "x"} {
		a := r.do(key, http.MethodGet, base+"/printers", "")
		r.wantError(a, farm.Unauthorized, "key")
		if a.header.Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
	}
	if a := r.do("", http.MethodGet, base+"/printers", "", "Authorization", "Bearer "+read); a.status != 200 {
		t.Errorf("bearer: %d %s", a.status, a.body)
	}
	r.wantError(r.do("", http.MethodGet, base+"/printers", "", "Authorization", "Basic "+read), farm.Unauthorized, "key")
	r.wantError(r.do(read, http.MethodPost, base+"/printers", `{}`), farm.Forbidden, "admin")
	r.wantError(r.do(read, http.MethodPost, base+"/printers/1/refresh-status", ""), farm.Forbidden, "control")
	r.wantError(r.do(read, http.MethodGet, base+"/api-keys", ""), farm.Forbidden, "admin")
	unused := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read}}) // one that was is believed for a second
	r.keys.fail(errors.New("database is locked"))
	r.wantError(r.do(unused, http.MethodGet, base+"/printers", ""), farm.Unavailable, "try again")
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		class        string
		method, path string
		limit        int
	}{
		{"read", http.MethodGet, "/printers", 100},
		{"head", http.MethodHead, "/printers/1/status", 100},
		{"write", http.MethodPatch, "/printers/1", 30},
		{"control", http.MethodPost, "/printers/1/refresh-status", 10},
	} {
		t.Run(c.class, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.seed(idleReport)
				key := r.key(auth.NewKey{Permissions: farm.Permissions})
				pass(70 * time.Second) // into a minute, to see its end in Reset
				for i := range c.limit {
					a := r.do(key, c.method, base+c.path, `{"name":""}`)
					if a.status == http.StatusTooManyRequests {
						t.Fatalf("refused at %d", i+1)
					}
					if got, want := a.header.Get("X-RateLimit-Remaining"), c.limit-i-1; got != itoa(want) {
						t.Fatalf("remaining %s, want %d", got, want)
					}
				}
				a := r.do(key, c.method, base+c.path, "")
				if a.status != http.StatusTooManyRequests {
					t.Fatalf("request %d: %d", c.limit+1, a.status)
				}
				if c.method != http.MethodHead {
					r.wantError(a, farm.RateLimited, "minute")
				}
				reset := time.Now().Truncate(time.Minute).Add(time.Minute).Unix()
				for k, want := range map[string]string{
					"X-RateLimit-Limit": itoa(c.limit), "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": itoa(int(reset)), "Retry-After": "50",
				} {
					if got := a.header.Get(k); got != want {
						t.Errorf("%s: %q, want %q", k, got, want)
					}
				}
				other := http.MethodGet
				if c.limit == 100 {
					other = http.MethodDelete
				}
				if a := r.do(key, other, base+"/printers/9", ""); a.status == http.StatusTooManyRequests {
					t.Error("one class used up another")
				}
				pass(50 * time.Second)
				if a := r.do(key, c.method, base+c.path, `{"name":"B"}`); a.status != 200 {
					t.Errorf("after the minute: %d %s", a.status, a.body)
				}
			})
		})
	}
}

func TestLimitOfAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 50 {
			r.wantError(r.do("", http.MethodGet, base+"/printers", ""), farm.Unauthorized, "")
			r.wantError(r.do("", http.MethodGet, base+"/nowhere", ""), farm.NotFound, "")
		}
		r.wantError(r.do("", http.MethodGet, base+"/printers", ""), farm.RateLimited, "")
		r.wantError(r.do("", http.MethodGet, base+"/nowhere", ""), farm.RateLimited, "")
		if a := r.do("", http.MethodGet, base+"/health", ""); a.status != 200 || a.header.Get("X-RateLimit-Limit") != "" {
			t.Errorf("health counts: %d %v", a.status, a.header)
		}
		if a := r.do("", http.MethodOptions, base+"/printers", ""); a.status != http.StatusNoContent || !strings.Contains(a.header.Get("Allow"), "POST") {
			t.Errorf("OPTIONS: %d %v", a.status, a.header)
		}
		for _, path := range []string{"/printers", "/nowhere"} {
			if a := r.get(base + path); a.status == http.StatusTooManyRequests {
				t.Errorf("a key behind the same address: %d", a.status)
			}
		}
	})
}

// What no route takes counts for the key as well, in the class of its method.
func TestLimitOfUnroutedRequests(t *testing.T) {
	for _, c := range []struct {
		method, path string
		limit        int // 0: none
	}{
		{http.MethodGet, base + "/nowhere", 100},
		{http.MethodPut, base + "/printers", 30},
		{http.MethodOptions, base + "/nowhere", 0},
		{http.MethodPost, base + "/health", 0},
		{http.MethodPost, "/health/", 0},
	} {
		t.Run(c.method+c.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				key := r.key(auth.NewKey{Permissions: farm.Permissions})
				for range 100 {
					if got := r.do(key, c.method, c.path, "").header.Get("X-RateLimit-Limit"); (got == "") != (c.limit == 0) || (c.limit != 0 && got != itoa(c.limit)) {
						t.Fatalf("limit %q", got)
					}
				}
				if got := r.do(key, c.method, c.path, "").status; (got == http.StatusTooManyRequests) != (c.limit != 0) {
					t.Errorf("request 101: %d", got)
				}
				if got := r.do("", c.method, c.path, "").status; got == http.StatusTooManyRequests {
					t.Error("it counted for the address")
				}
			})
		})
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/health", "/openapi.json", base + "/printers", base + "/nowhere"} {
		h := r.get(path).header
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Request-Id") == "" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
	}
	if id := r.do(r.admin, http.MethodGet, "/health", "", "X-Request-Id", "from-outside.1").header.Get("X-Request-Id"); id != "from-outside.1" {
		t.Errorf("request id %q", id)
	}
	if id := r.do(r.admin, http.MethodGet, "/health", "", "X-Request-Id", "bad id\t").header.Get("X-Request-Id"); len(id) != 16 {
		t.Errorf("request id %q", id)
	}
	r.do(r.admin, http.MethodGet, base+"/printers?access_code=hush", "")
	if strings.Contains(r.log.String(), "hush") || strings.Contains(r.log.String(), r.admin) {
		t.Error("the log holds a query or a key")
	}
}

func TestBrokenAnswerIsCutOff(t *testing.T) {
	h := observe(newRig(t).server.log)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		_ = fail()
	}))
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("panic %v", err)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	t.Error("the connection was not cut")
}
