package api

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/go-chi/cors"

	"bambuddy/hub/internal/proxy"
	"bambuddy/shared/farm"
)

// clientScheme is by which scheme the client came, "http" or "https": what a trusted
// proxy says, else how he is connected.
func clientScheme(ctx context.Context) string { return proxy.Scheme(ctx) }

// What a browser should know of every answer. Answers are data: what is shown of them
// runs nothing, loads nothing and is in nobody's frame. The page has a policy of its own.
var hardening = map[string]string{
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
	"Permissions-Policy":           "camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), payment=(), serial=(), usb=()",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

// harden sets it. Who came by TLS is to do so for a year.
func harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for name, value := range hardening {
			h.Set(name, value)
		}
		if clientScheme(r.Context()) == "https" {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// impatient bounds how long a body may take that no handler reads: net/http takes it in
// by itself, before and after the answer, for as long as that may last.
func impatient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		rc := http.NewResponseController(w)
		bound := func() { _ = rc.SetReadDeadline(time.Now().Add(bodyTimeout)) } // a writer without deadlines is a test's
		bound()
		defer bound() // a handler that reads has set its own
		next.ServeHTTP(w, r)
	})
}

// bounded is an answer that somebody must read within a while once it has begun: one who
// does not would hold it for ever. Handlers that stream set deadlines of their own, write
// by write, after the first.
type bounded struct {
	http.ResponseWriter
	begun bool
}

// Unwrap lets http.ResponseController through.
func (b *bounded) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// WriteHeader begins the answer.
func (b *bounded) WriteHeader(status int) {
	b.begin()
	b.ResponseWriter.WriteHeader(status)
}

// Write begins the answer if that has not been done.
func (b *bounded) Write(p []byte) (int, error) {
	b.begin()
	return b.ResponseWriter.Write(p)
}

func (b *bounded) begin() {
	if !b.begun {
		b.begun = true
		_ = http.NewResponseController(b.ResponseWriter).SetWriteDeadline(time.Now().Add(6 * writeTime)) // a writer without deadlines is a test's
	}
}

// impose puts it around every answer.
func impose(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&bounded{ResponseWriter: w}, r)
	})
}

// crossOrigin lets pages of the origins that are set call the API, never with cookies.
// It answers a preflight by headers alone: who is asked, and how often, comes later, and
// the router answers it as any OPTIONS.
func (s *server) crossOrigin(next http.Handler) http.Handler {
	if s.settings == nil {
		return next
	}
	with := cors.Handler(cors.Options{
		AllowOriginFunc: func(_ *http.Request, origin string) bool { return s.settings.Values().AllowsOrigin(origin) },
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders:  []string{"X-API-Key", "Authorization", "Accept", "Content-Type", "Range", "Last-Event-ID", "If-None-Match", "X-Request-Id"},
		ExposedHeaders: []string{
			"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "X-Total-Count", "X-Next-Cursor", "X-Request-Id",
			"Content-Disposition", "Content-Range", "ETag",
		},
		MaxAge: 600, OptionsPassthrough: true,
	})(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(s.settings.Values().CORSOrigins) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		with.ServeHTTP(w, r)
	})
}

// maxFileName is what file systems take of a name, in bytes.
const maxFileName = 255

// attachment tells a browser to save an answer under a name, whatever it holds. Marks
// that turn the direction of a text are taken out of the name: with them gpj.exe reads
// as exe.jpg.
func attachment(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	return mime.FormatMediaType("attachment", map[string]string{"filename": farm.SafeName(name, maxFileName)})
}

// patientBody gives each read its time, and all of them together as much as the slowest
// line takes that is one: what comes byte by byte would come for ever.
type patientBody struct {
	io.ReadCloser
	rc     *http.ResponseController
	got    int64
	waited time.Duration
}

// slowest is how many bytes must come in a second, once the first read's time is over.
const slowest = 4 << 10

func (p *patientBody) Read(b []byte) (int, error) {
	patience := min(6*bodyTimeout, 6*bodyTimeout+time.Duration(p.got)*time.Second/slowest-p.waited)
	began := time.Now()
	_ = p.rc.SetReadDeadline(began.Add(patience)) // a writer without deadlines is a test's
	n, err := p.ReadCloser.Read(b)
	p.waited += time.Since(began)
	p.got += int64(n)
	return n, err
}
