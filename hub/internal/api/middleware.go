package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// notes are what the layers of one request tell the access log.
type notes struct {
	id     string
	caller string // name
	kind   string // as Principal.Kind tells; "": nobody known
	origin auth.Origin
	secure bool // it came over TLS
	err    *Error

	account              string // name that was given at a sign-in
	fields               []string
	method, path, remote string // as the audit has them
}

type notesKey struct{}

// note gives the request's notes; outside of a request, ones nobody reads.
func note(ctx context.Context) *notes {
	if n, ok := ctx.Value(notesKey{}).(*notes); ok {
		return n
	}
	return &notes{}
}

func noteCaller(ctx context.Context, p auth.Principal) {
	n := note(ctx)
	n.caller, n.kind = p.Name(), p.Kind()
}

var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// observe gives a request its id, writes the one line of the access log, and
// turns a panic into an answer. Queries and headers are never logged: they may
// hold secrets.
func observe(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := &notes{id: r.Header.Get("X-Request-Id")}
			if !requestID.MatchString(n.id) {
				var b [8]byte
				_, _ = rand.Read(b[:]) // it never fails: the runtime ends the process first
				n.id = hex.EncodeToString(b[:])
			}
			n.origin, n.secure = auth.Origin{Address: r.RemoteAddr, Agent: r.UserAgent()}, clientScheme(r.Context()) == "https"
			w.Header().Set("X-Request-Id", n.id)
			n.method, n.path, n.remote = r.Method, tidy(r.URL.Path, maxAuditPath), remoteOf(r)
			r = r.WithContext(context.WithValue(r.Context(), notesKey{}, n))
			ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			began := time.Now()
			defer func() {
				lost := rescue(ww, r, recover())
				access(r, ww, n, began, log)
				if lost { // half an answer is out: only a broken connection tells the client so
					panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to abort an answer
				}
			}()
			next.ServeHTTP(ww, r)
		})
	}
}

// rescue answers after a panic. It tells true when the answer had begun already.
func rescue(w middleware.WrapResponseWriter, r *http.Request, p any) (lost bool) {
	if p == nil {
		return false
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	if w.Status() != 0 {
		note(r.Context()).err = asError(err)
		return true
	}
	writeError(w, r, err)
	return false
}

func access(r *http.Request, w middleware.WrapResponseWriter, n *notes, began time.Time, log *slog.Logger) {
	level := slog.LevelDebug
	attrs := []slog.Attr{
		slog.String("request", n.id), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", w.Status()), slog.Int("bytes", w.BytesWritten()), slog.Duration("took", time.Since(began)),
		slog.String("caller", n.caller), slog.String("remote", r.RemoteAddr),
	}
	if n.err != nil && n.err.status >= http.StatusInternalServerError && r.Context().Err() == nil {
		level = slog.LevelWarn
		var cause any = n.err
		if n.err.cause != nil {
			cause = n.err.cause
		}
		attrs = append(attrs, slog.Any("err", cause))
	}
	log.LogAttrs(r.Context(), level, "request", attrs...)
}

// unrouted answers what no route takes: 404, or 405 with the methods there are.
// A page for people may lie beside the API. Such requests count as any others do,
// so that guessing paths is as slow as anything else; OPTIONS and /health are free.
func (s *server) unrouted(router chi.Router, page http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimSuffix(r.URL.Path, "/")
		if r.URL.RawPath != "" { // as chi does: what is escaped is not what it stands for
			path = strings.TrimSuffix(r.URL.RawPath, "/")
		}
		var allowed []string
		for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			look := m
			if m == http.MethodHead {
				look = http.MethodGet // middleware.GetHead serves it
			}
			if router.Match(chi.NewRouteContext(), look, path) {
				allowed = append(allowed, m)
			}
		}
		reading := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case len(allowed) > 0 && r.Method == http.MethodOptions:
			w.Header().Set("Allow", strings.Join(append(allowed, http.MethodOptions), ", "))
			w.WriteHeader(http.StatusNoContent)
			return
		case len(allowed) == 0 && reading && page != nil && !strings.HasPrefix(r.URL.Path, "/api/"):
			page.ServeHTTP(w, r)
			return
		}
		free := r.Method == http.MethodOptions || path == "/health" || path == base+"/health"
		if !free && !s.admitUnrouted(w, r, reading) {
			refuse(w, r)
			return
		}
		if len(allowed) == 0 {
			writeError(w, r, errNoSuchThing())
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeError(w, r, farm.Errorf(farm.MethodNotAllowed, "this path takes %s", strings.Join(allowed, ", ")))
	}
}

// admitUnrouted counts a request no route takes: for the caller, else for the address.
func (s *server) admitUnrouted(w http.ResponseWriter, r *http.Request, reading bool) bool {
	class := auth.WriteClass
	if reading {
		class = auth.ReadClass
	}
	p, err := s.auth.Authenticate(r.Context(), r.Header)
	if err != nil { // nobody, or no way to tell: what is answered is the same
		return s.auth.AdmitAddr(w, r, class)
	}
	noteCaller(r.Context(), p)
	return s.auth.Admit(w, r, p, class)
}
