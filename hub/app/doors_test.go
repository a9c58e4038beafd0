package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// No path is answered by a redirect, and the API sees each as it was sent.
func TestDoors(t *testing.T) {
	mark := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Door", name+" "+r.URL.Path) })
	}
	h := doors(mark("links"), mark("api"))
	for path, want := range map[string]string{
		"/agent/v1/connect":  "links /agent/v1/connect",
		"/api/v1/printers":   "api /api/v1/printers",
		"/agent/v10":         "api /agent/v10",
		"//api/v1/printers":  "api //api/v1/printers",
		"/api/v1//printers":  "api /api/v1//printers",
		"/api/./v1":          "api /api/./v1",
		"/../../etc/passwd":  "api /../../etc/passwd",
		"//evil.example/":    "api //evil.example/",
		"//agent/v1/connect": "api //agent/v1/connect",
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.URL.Path = path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Door"); got != want || w.Code != http.StatusOK {
			t.Errorf("%s came to %q with %d, want %q", path, got, w.Code, want)
		}
	}
}
