// Package web serves the page for people: a plain live view of the farm, made of
// a few embedded files that need no build step. It holds no data itself; the page
// reads the REST API and its event stream with the visitor's own session or key.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

//go:embed static
var static embed.FS

// policy lets the page load and call its own origin and nothing else; there is
// no inline script or style to excuse, and no eval. Pictures and videos may be ones that
// the page has fetched with its key, or made itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; " +
	"connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

var files = map[string]struct{ name, contentType string }{
	"/":            {"index.html", "text/html; charset=utf-8"},
	"/setup":       {"index.html", "text/html; charset=utf-8"}, // where the setup link leads
	"/app.js":      {"app.js", "text/javascript; charset=utf-8"},
	"/style.css":   {"style.css", "text/css; charset=utf-8"},
	"/favicon.svg": {"favicon.svg", "image/svg+xml"},
}

type file struct {
	body        string
	contentType string
	etag        string
}

// New makes the handler of the page: GET and HEAD of its files, 404 in the API's
// error form for everything else. It fails only if the binary was built wrong.
func New() (http.Handler, error) {
	ready := make(map[string]file, len(files))
	for path, f := range files {
		b, err := static.ReadFile("static/" + f.name)
		if err != nil {
			return nil, fmt.Errorf("read the embedded page: %w", err)
		}
		sum := sha256.Sum256(b)
		ready[path] = file{body: string(b), contentType: f.contentType, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := ready[r.URL.Path]
		if !ok || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
			missing(w)
			return
		}
		h := w.Header()
		h.Set("Content-Type", f.contentType)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache") // ask each time: a new hub must not run with an old page
		h.Set("ETag", f.etag)
		if strings.Contains(r.Header.Get("If-None-Match"), f.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write([]byte(f.body)) // of HEAD net/http drops it
	}), nil
}

func missing(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(wire.Error{Detail: "there is nothing under this path", Code: farm.NotFound})
}
