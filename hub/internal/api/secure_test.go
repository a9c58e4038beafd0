package api

import (
	"context"
	"crypto/tls"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/proxy"
	"bambuddy/shared/farm"
)

func TestEveryAnswerIsHardened(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	register(r.server, route{
		id: "panic", method: http.MethodGet, path: "/panic", tag: "Test", summary: "Panic", needs: farm.Read, limit: auth.ReadClass,
	}, func(context.Context, *struct{}) (*body[Deleted], error) { return nil, fail() })
	r.router.Get("/raw-panic", func(http.ResponseWriter, *http.Request) { _ = fail() })
	few := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read}, Limits: farm.Limits{Read: 1}})
	r.do(few, http.MethodGet, base+"/printers", "")
	for _, c := range []struct {
		key, method, path, body string
		status                  int
	}{
		{r.admin, http.MethodGet, base + "/printers", "", 200},
		{r.admin, http.MethodHead, base + "/printers", "", 200},
		{"", http.MethodGet, "/health", "", 200},
		{"", http.MethodGet, "/openapi.json", "", 200},
		{r.admin, http.MethodOptions, base + "/printers", "", 204},
		{r.admin, http.MethodPost, base + "/sites", `{`, 400},
		{"", http.MethodGet, base + "/printers", "", 401},
		{few, http.MethodPost, base + "/sites", `{}`, 403},
		{r.admin, http.MethodGet, base + "/nowhere", "", 404},
		{"", http.MethodGet, "/nowhere", "", 404},
		{r.admin, http.MethodPut, base + "/printers", "", 405},
		{few, http.MethodGet, base + "/printers", "", 429},
		{r.admin, http.MethodGet, base + "/panic", "", 500},
		{"", http.MethodGet, "/raw-panic", "", 500},
	} {
		a := r.do(c.key, c.method, c.path, c.body)
		if a.status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, a.status, a.body, c.status)
		}
		for name, want := range hardening {
			if got := a.header.Values(name); !slices.Equal(got, []string{want}) {
				t.Errorf("%s %s (%d): %s is %q, want %q", c.method, c.path, a.status, name, got, want)
			}
		}
		if a.header.Get("X-Request-Id") == "" || a.header.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s %s: %v", c.method, c.path, a.header)
		}
	}
}

func TestHSTS(t *testing.T) {
	r := newRig(t)
	trusted, err := proxy.Parse([]string{"192.0.2.0/24"}) // httptest's address
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tls   bool
		proto string
		peer  string
		want  bool
	}{
		"plain":                   {false, "", "192.0.2.1:1", false},
		"by itself":               {true, "", "192.0.2.1:1", true},
		"before a trusted proxy":  {false, "https", "192.0.2.1:1", true},
		"by the word of anybody":  {false, "https", "198.51.100.1:1", false},
		"plain before such a one": {true, "http", "192.0.2.1:1", false},
	} {
		req := httptest.NewRequest(http.MethodGet, "/health", nil)
		req.RemoteAddr = c.peer
		if c.tls {
			req.TLS = &tls.ConnectionState{}
		}
		if c.proto != "" {
			req.Header.Set("X-Forwarded-Proto", c.proto)
		}
		w := httptest.NewRecorder()
		proxy.Trust(trusted)(r.router).ServeHTTP(w, req)
		if got := w.Header().Get("Strict-Transport-Security"); (got != "") != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

const origin = "https://tools.example"

func TestCrossOrigin(t *testing.T) {
	preflight := []string{"Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "x-api-key,content-type"}
	for name, c := range map[string]struct {
		set          []string
		method, path string
		key          bool
		header       []string
		status       int
		allow        string // Access-Control-Allow-Origin
		vary         bool
	}{
		"closed by default":           {nil, "GET", "/printers", true, []string{"Origin", origin}, 200, "", false},
		"a preflight while closed":    {nil, "OPTIONS", "/printers/1", false, append([]string{"Origin", origin}, preflight...), 204, "", false},
		"an origin that is set":       {[]string{origin}, "GET", "/printers", true, []string{"Origin", origin}, 200, origin, true},
		"no origin":                   {[]string{origin}, "GET", "/printers", true, nil, 200, "", true},
		"another origin":              {[]string{origin}, "GET", "/printers", true, []string{"Origin", "https://evil.example"}, 200, "", true},
		"one that begins like it":     {[]string{origin}, "GET", "/printers", true, []string{"Origin", origin + ".evil.example"}, 200, "", true},
		"another scheme":              {[]string{origin}, "GET", "/printers", true, []string{"Origin", "http://tools.example"}, 200, "", true},
		"a file's":                    {[]string{origin}, "GET", "/printers", true, []string{"Origin", "null"}, 200, "", true},
		"two origins":                 {[]string{"https://a.example", origin}, "GET", "/printers", true, []string{"Origin", origin}, 200, origin, true},
		"every origin":                {[]string{"*"}, "GET", "/printers", true, []string{"Origin", "https://any.example"}, 200, "https://any.example", true},
		"a preflight":                 {[]string{origin}, "OPTIONS", "/printers/1", false, append([]string{"Origin", origin}, preflight...), 204, origin, true},
		"a preflight with a slash":    {[]string{origin}, "OPTIONS", "/printers/1/", false, append([]string{"Origin", origin}, preflight...), 204, origin, true},
		"of another":                  {[]string{origin}, "OPTIONS", "/printers/1", false, append([]string{"Origin", "https://evil.example"}, preflight...), 204, "", true},
		"for a header nobody takes":   {[]string{origin}, "OPTIONS", "/printers/1", false, []string{"Origin", origin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "x-evil"}, 204, "", true},
		"for a method nobody takes":   {[]string{origin}, "OPTIONS", "/printers/1", false, []string{"Origin", origin, "Access-Control-Request-Method", "TRACE"}, 204, "", true},
		"a refusal can be read":       {[]string{origin}, "GET", "/printers", false, []string{"Origin", origin}, 401, origin, true},
		"so can that nothing is here": {[]string{origin}, "GET", "/nowhere", true, []string{"Origin", origin}, 404, origin, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.seed(idleReport)
			if _, err := r.server.settings.Change(t.Context(), map[string]any{"cors_origins": anySlice(c.set)}); err != nil {
				t.Fatal(err)
			}
			key := ""
			if c.key {
				key = r.admin
			}
			a := r.do(key, c.method, base+c.path, "", c.header...)
			h := a.header
			if a.status != c.status || h.Get("Access-Control-Allow-Origin") != c.allow || slices.Contains(h.Values("Vary"), "Origin") != c.vary || h["Access-Control-Allow-Credentials"] != nil {
				t.Errorf("%d %v", a.status, h)
			}
			if c.method == http.MethodOptions {
				if h.Get("Allow") == "" || h.Get("X-RateLimit-Limit") != "" || (h.Get("Access-Control-Allow-Headers") != "") != (c.allow != "") {
					t.Errorf("preflight: %v", h)
				}
			} else if exposed := h.Get("Access-Control-Expose-Headers"); (c.allow != "") != strings.Contains(exposed, "X-Next-Cursor") {
				t.Errorf("exposed are %q", exposed)
			}
		})
	}
}

func anySlice(in []string) []any {
	out := []any{}
	for _, s := range in {
		out = append(out, s)
	}
	return out
}

// A preflight is asked before each request: it is free however often it comes.
func TestPreflightsAreNotCounted(t *testing.T) {
	r := newRig(t)
	if _, err := r.server.settings.Change(t.Context(), map[string]any{"cors_origins": []any{origin}}); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if a := r.do("", http.MethodOptions, base+"/printers", "", "Origin", origin, "Access-Control-Request-Method", "GET"); a.status != http.StatusNoContent {
			t.Fatalf("request %d: %d", i, a.status)
		}
	}
}

func TestAttachmentNames(t *testing.T) {
	long := strings.Repeat("ü", 300) + ".3mf"
	for given, want := range map[string]string{
		"benchy.3mf": "benchy.3mf", "Würfel 2.3mf": "Würfel 2.3mf", `a"b.3mf`: "a_b.3mf", "a\r\nSet-Cookie: x=1.3mf": "a__Set-Cookie_ x=1.3mf", "a\x00b.3mf": "a_b.3mf",
		"photo\u202egpj.exe": "photogpj.exe", "\u200fa\u2066b.3mf": "ab.3mf", "a\u2028b.3mf": "ab.3mf", "../../etc/passwd": ".._.._etc_passwd", `C:\x.3mf`: "C__x.3mf",
		"CON": "_CON", "aux.3mf": "_aux.3mf", "com1.txt": "_com1.txt", "x.3mf. ": "x.3mf", "": "unnamed", "...": "unnamed", "\u202e": "unnamed", "a\xff.3mf": "a_.3mf",
		"<script>.3mf": "_script_.3mf", "a;filename=evil.exe": "a;filename=evil.exe", long: strings.Repeat("ü", 125) + ".3mf", "名前.3mf": "名前.3mf", "a\u007f.3mf": "a_.3mf",
	} {
		header := attachment(given)
		kind, params, err := mime.ParseMediaType(header)
		got := params["filename"]
		if err != nil || kind != "attachment" || got != want || len(params) != 1 {
			t.Errorf("%q: %q, %q, %v", given, header, got, err)
		}
		if strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r > '~' }) || len(got) > maxFileName || !utf8.ValidString(got) {
			t.Errorf("%q: the header is %q", given, header)
		}
	}
}

// Whatever is given out as a file is to be saved and never shown.
func TestExportsAreAttachments(t *testing.T) {
	r := newRig(t)
	for _, format := range []string{"csv", "xlsx"} {
		a := r.get(base + "/archives/export?format=" + format)
		kind, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || !strings.HasSuffix(params["filename"], "."+format) || a.header.Get("Content-Type") != "application/octet-stream" ||
			a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%d %v", a.status, a.header)
		}
	}
}
