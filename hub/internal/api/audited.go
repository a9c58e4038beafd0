package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/time/rate"

	"bambuddy/shared/farm"
)

// What an entry of the audit may hold, so that nobody fills it with what he sends.
const (
	maxAuditPath   = 500
	maxAuditName   = 100
	maxAuditFields = 40
	auditTime      = 5 * time.Second
)

// strangers bounds the entries of callers that nobody knows, who can be any number: so
// many a minute, and as many more after a quiet time.
func strangers() *rate.Limiter { return rate.NewLimiter(rate.Every(time.Second), 120) }

// audited writes down, when it is done, who has made a request that changes something,
// and what came of it. Callers that nobody knows are only written down where they may
// call at all, and so many a minute. What a limit refuses somebody who is known is not
// written down, or refusals would have none.
func (s *server) audited(rt route, next http.Handler) http.Handler {
	if s.audit == nil || !rt.audit && !changes(rt.method) {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		entry := s.entryOf(rt, r) // now: what it is about may be gone afterwards
		whole := false            // or it panics, which is observe's to answer
		ctx := r.Context()
		defer func() {
			entry.Status = ww.Status()
			s.finishEntry(ctx, rt, &entry, whole)
		}()
		next.ServeHTTP(ww, r)
		whole = true
	})
}

// changes tells whether a method is one that changes something.
func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// auditData is what an entry has besides its columns.
type auditData struct {
	IDs     map[string]string `json:"ids,omitempty"`
	Fields  []string          `json:"fields,omitempty"`
	Broken  bool              `json:"broken_off,omitempty"`
	LeftOut int64             `json:"left_out,omitempty"`
}

// entryOf is what is known of a request before it is served.
func (s *server) entryOf(rt route, r *http.Request) farm.Audit {
	n := note(r.Context())
	a := farm.Audit{
		At: time.Now(), Action: rt.id, Method: n.method, Path: n.path, Remote: n.remote, RequestID: n.id,
	}
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	switch {
	case err != nil:
	case strings.HasPrefix(rt.path, "/printers/"):
		a.PrinterID = id
		if v, ok := s.fleet.View(id); ok {
			a.SiteID = v.Printer.SiteID
		}
	case strings.HasPrefix(rt.path, "/sites/"):
		a.SiteID = id
	}
	return a
}

// remoteOf is a client's address without its port.
func remoteOf(r *http.Request) string {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return tidy(r.RemoteAddr, maxAuditName)
	}
	return ap.Addr().Unmap().String()
}

// finishEntry adds what is known of a request once it is served, and writes it down. The
// answer stands: that it could not be written down is told in the log, with the entry.
func (s *server) finishEntry(ctx context.Context, rt route, a *farm.Audit, whole bool) {
	n := note(ctx)
	a.Who, a.Kind = tidy(n.caller, maxAuditName), n.kind
	switch {
	case a.Status == 0 && !whole:
		a.Status, a.Code = http.StatusInternalServerError, farm.Internal
	case a.Status == 0: // nothing was written, which net/http takes for this
		a.Status = http.StatusOK
	case n.err != nil:
		a.Code = n.err.Code
	}
	data := auditData{Fields: n.fields, Broken: !whole && a.Status < http.StatusInternalServerError, IDs: map[string]string{}}
	if a.Kind == "" {
		if !rt.public {
			return
		}
		a.Who = tidy(n.account, maxAuditName)
	}
	if a.Kind != "" && a.Status == http.StatusTooManyRequests {
		return
	}
	if a.Kind == "" {
		if !s.strangers.Allow() {
			s.leftOut.Add(1)
			return
		}
		data.LeftOut = s.leftOut.Swap(0)
	}
	if rc := chi.RouteContext(ctx); rc != nil {
		for i, key := range rc.URLParams.Keys {
			if key != "*" {
				data.IDs[key] = tidy(rc.URLParams.Values[i], maxAuditName)
			}
		}
	}
	a.Data, _ = json.Marshal(data) // texts always marshal
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
	defer cancel()
	if err := s.audit.AppendAudit(ctx, *a); err != nil {
		s.log.Error("what was done could not be written into the audit",
			"err", err, "who", a.Who, "kind", a.Kind, "action", a.Action, "method", a.Method, "path", a.Path, "remote", a.Remote,
			"request", a.RequestID, "status", a.Status, "code", string(a.Code), "data", string(a.Data))
	}
}

// noteAccount tells the audit the name that somebody gave who wants to sign in.
func noteAccount(ctx context.Context, name string) { note(ctx).account = name }

// noteFields tells the audit which fields a body has. It is an object.
func noteFields(ctx context.Context, body []byte) {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if _, err := dec.ReadToken(); err != nil {
		return
	}
	var out []string
	for dec.PeekKind() == '"' && len(out) < maxAuditFields {
		name, err := dec.ReadToken()
		if err != nil {
			return
		}
		out = append(out, tidy(name.String(), maxAuditName))
		if dec.SkipValue() != nil {
			return
		}
	}
	note(ctx).fields = out
}

// tidy makes a text one that every database and every log takes.
func tidy(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return utf8.RuneError
		}
		return r
	}, text)
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
