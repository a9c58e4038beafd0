package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFiles(t *testing.T) {
	for path, f := range files {
		w := get(t, http.MethodGet, path)
		if w.Code != 200 || w.Body.Len() == 0 || w.Header().Get("Content-Type") != f.contentType {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if again := get(t, http.MethodGet, path, "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s: %d with its ETag", path, again.Code)
		}
	}
}

func TestEverythingElseIsMissing(t *testing.T) {
	for _, path := range []string{"/index.html", "/static/app.js", "/../web.go", "/printers"} {
		w := get(t, http.MethodGet, path)
		var e map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 404 || e["code"] != "NOT_FOUND" || len(e) != 2 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := get(t, http.MethodPost, "/"); w.Code != 404 {
		t.Errorf("POST: %d", w.Code)
	}
}

// What the strict policy would block must not be in the page, and what the script
// looks up must be.
func TestPageAndScriptFit(t *testing.T) {
	page, script := get(t, http.MethodGet, "/").Body.String(), get(t, http.MethodGet, "/app.js").Body.String()
	for _, bad := range []string{"style=", "onclick", "onload", "<style", "http://", "https://"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, bad := range []string{"innerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"} {
		if strings.Contains(script, bad) {
			t.Errorf("the script uses %s", bad)
		}
	}
	for _, m := range regexp.MustCompile(`\$\("([a-z-]+)"\)`).FindAllStringSubmatch(script, -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("the page has no #%s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`\bf\.([A-Za-z]+)`).FindAllStringSubmatch(script, -1) {
		if !strings.Contains(page, `data-f="`+m[1]+`"`) {
			t.Errorf("the row has no %s", m[1])
		}
	}
}
