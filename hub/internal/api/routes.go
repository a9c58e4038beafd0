package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// base is where the API lives.
const base = "/api/v1"

// route is one line of the API: where, who may, how often, and what the document
// says of it. Permission and class are declared here and nowhere else; a route
// without them does not get past New.
type route struct {
	id      string // operation id, snake case
	method  string
	path    string // below base
	tag     string // heading of the reference
	summary string
	about   string

	needs  farm.Permission
	limit  auth.Class
	public bool // no key; needs is empty then
	free   bool // not counted; only /health
	audit  bool // written into the audit though it changes nothing, or though nobody knows the caller
	media  bool // what an <img> or <video> shows: a media link opens it as well

	takesBody bool                      // told by the type of its input
	multipart bool                      // takes a form with a file, which its handler reads as it comes
	created   bool                      // answers 201
	rooted    bool                      // answers at the root as well
	errors    []farm.Code               // beyond what every route can answer
	responses map[string]*huma.Response // of a route whose answer is no JSON value
}

// check tells what is missing or contradictory in a route's declaration.
func (rt route) check() error {
	want := auth.WriteClass
	switch {
	case rt.method == http.MethodGet:
		want = auth.ReadClass
	case rt.needs == farm.Control, strings.HasSuffix(rt.path, "/gcode"):
		want = auth.ControlClass
	}
	switch {
	case rt.id == "" || rt.tag == "" || rt.summary == "":
		return fmt.Errorf("route %s %s: id, tag and summary are needed", rt.method, rt.path)
	case rt.public == (rt.needs != ""):
		return fmt.Errorf("route %s: needs either a permission or to be public", rt.id)
	case !rt.public && !slices.Contains(farm.Permissions, rt.needs):
		return fmt.Errorf("route %s: no such permission %q", rt.id, rt.needs)
	case rt.public && changes(rt.method) && !rt.audit:
		return fmt.Errorf("route %s: what everybody may change must be in the audit", rt.id)
	case rt.free && rt.limit == "":
		return nil
	case rt.limit != want:
		return fmt.Errorf("route %s: its limit class must be %q, not %q", rt.id, want, rt.limit)
	}
	return nil
}

// register adds a route with its handler. Handlers return errors; this is where
// they become answers.
func register[I, O any](s *server, rt route, handle func(context.Context, *I) (*O, error)) {
	if err := rt.check(); err != nil {
		s.faults = append(s.faults, err)
		return
	}
	if name := unreadable(reflect.TypeFor[I]()); name != "" {
		s.faults = append(s.faults, fmt.Errorf("route %s: huma passes over %s, which is embedded but not exported", rt.id, name))
	}
	_, rt.takesBody = reflect.TypeFor[I]().FieldByName("Body")
	op := rt.operation()
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err == nil {
			return out, nil
		}
		e := asError(err)
		note(ctx).err = e
		if wait := new(auth.ThrottledError); errors.As(err, &wait) {
			return nil, huma.ErrorWithHeaders(e, http.Header{"Retry-After": {strconv.Itoa(int(wait.Wait.Seconds()))}})
		}
		return nil, e
	})
	if rt.multipart { // only now, or huma would read the body itself, whole
		s.huma.OpenAPI().Paths[rt.path].Post.RequestBody = fileForm()
	}
	delete(op.Responses, "422") // huma documents it by itself; it is never used
	for status, r := range op.Responses {
		if !rt.free && (status < "300" || status == "429") { // on the others too, but once told is enough
			documentLimits(r)
		}
	}
}

// unreadable names what of an input huma would silently leave empty.
func unreadable(input reflect.Type) string {
	for i := range input.NumField() {
		if f := input.Field(i); f.Anonymous && !f.IsExported() {
			return f.Name
		}
	}
	return ""
}

func (rt route) operation() huma.Operation {
	op := huma.Operation{
		OperationID: rt.id, Method: rt.method, Path: rt.path, Tags: []string{rt.tag}, Summary: rt.summary, Description: rt.about,
		Metadata: map[string]any{routeKey: rt}, Errors: rt.statuses(), Responses: rt.responses,
		// The body is read and bounded before huma sees it, see readBody.
		MaxBodyBytes: -1, BodyReadTimeout: -1,
	}
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	if rt.created {
		op.DefaultStatus = http.StatusCreated
	}
	if !rt.public {
		op.Security = []map[string][]string{{"ApiKey": {}}, {"Bearer": {}}, {"Session": {}}}
		op.Extensions = map[string]any{"x-permission": rt.needs, "x-rate-limit": rt.limit}
	}
	return op
}

// fileForm describes a form with one file.
func fileForm() *huma.RequestBody {
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: &huma.Schema{
		Type: huma.TypeObject, Required: []string{"file"},
		Properties: map[string]*huma.Schema{"file": {Type: huma.TypeString, Format: "binary", Description: "The 3MF."}},
	}}}}
}

// codes lists the errors a route can answer with.
func (rt route) codes() []farm.Code {
	codes := append([]farm.Code{farm.Internal}, rt.errors...)
	if !rt.free {
		codes = append(codes, farm.RateLimited)
	}
	if !rt.public {
		codes = append(codes, farm.Unauthorized, farm.Forbidden, farm.Unavailable)
	}
	if strings.Contains(rt.path, "{") {
		codes = append(codes, farm.NotFound)
	}
	if rt.takesBody {
		codes = append(codes, farm.Invalid, farm.RequestTimeout, farm.TooLarge, farm.UnsupportedType)
	}
	return codes
}

// statuses lists the statuses of these errors.
func (rt route) statuses() []int {
	var out []int
	for _, c := range rt.codes() {
		if !slices.Contains(out, c.Status()) {
			out = append(out, c.Status())
		}
	}
	slices.Sort(out)
	return out
}

func documentLimits(r *huma.Response) {
	if r.Headers == nil {
		r.Headers = map[string]*huma.Param{}
	}
	for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
		r.Headers[name] = &huma.Header{Ref: "#/components/headers/" + name}
	}
}

const routeKey = "route"

// idForm is how an id is written: no sign, no leading zeros, so that a thing
// has one address. Anything else is a path there is nothing under.
const idForm = "[1-9][0-9]{0,17}"

// ids are the places of ids in a path: {id}, and that of what belongs to it, {delivery_id}.
var ids = regexp.MustCompile(`\{([a-z]+_)?id\}`)

// routed is a path as the router wants it.
func routed(path string) string {
	return ids.ReplaceAllStringFunc(path, func(id string) string { return strings.TrimSuffix(id, "}") + ":" + idForm + "}" })
}

// adapter is the only way from huma to the router: it puts the gate before every
// handler and takes nothing that does not declare who may call it.
type adapter struct {
	server *server
	router chi.Router
}

// Handle adds an operation to the router.
func (a *adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	rt, ok := op.Metadata[routeKey].(route)
	if !ok {
		a.server.faults = append(a.server.faults, fmt.Errorf("route %s %s: does not declare who may call it", op.Method, op.Path))
		return
	}
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler(humachi.NewContext(op, r, w))
	})
	if op.RequestBody != nil {
		h = readBody(op.RequestBody.Required, h)
	}
	h = a.server.audited(rt, a.server.gate(rt, readQuery(op, h)))
	if rt.media {
		a.server.media = append(a.server.media, mediaPath(op.Path))
	}
	a.router.Method(op.Method, base+routed(op.Path), h)
	if rt.rooted {
		a.router.Method(op.Method, op.Path, h)
	}
}

// ServeHTTP is part of huma's interface.
func (a *adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.router.ServeHTTP(w, r) }

// gate lets through who may call a route, often enough. Order matters: who, how
// often (so that refusals count), then what for.
func (s *server) gate(rt route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.public {
			switch {
			case rt.free:
				next.ServeHTTP(w, r)
			case !s.auth.AdmitAddr(w, r, rt.limit):
				refuse(w, r)
			case s.foreign.Check(r) != nil:
				writeError(w, r, errForeignSite())
			default:
				next.ServeHTTP(w, r)
			}
			return
		}
		p, err := s.caller(rt, r)
		switch {
		case farm.Is(err, farm.Unauthorized):
			if !s.auth.AdmitAddr(w, r, rt.limit) {
				refuse(w, r)
				return
			}
			writeError(w, r, err)
			return
		case err != nil:
			writeError(w, r, err)
			return
		}
		noteCaller(r.Context(), p)
		switch {
		case !s.auth.Admit(w, r, p, rt.limit):
			refuse(w, r)
		case p.SessionID() != 0 && s.foreign.Check(r) != nil: // a browser sends the cookie whoever made it ask
			writeError(w, r, errForeignSite())
		case !p.May(rt.needs):
			writeError(w, r, farm.Errorf(farm.Forbidden, "you lack the permission %q", rt.needs))
		default:
			next.ServeHTTP(w, r.WithContext(auth.With(r.Context(), p)))
		}
	})
}

// caller finds who calls: by key or session, and at media by a link.
func (s *server) caller(rt route, r *http.Request) (auth.Principal, error) {
	keyless := r.Header.Get("X-API-Key") == "" && r.Header.Get("Authorization") == ""
	if q := r.URL.Query(); rt.media && keyless && auth.IsMediaLink(q) {
		return s.auth.FollowLink(r.Context(), strings.TrimSuffix(r.URL.Path, "/"), q)
	}
	return s.auth.Authenticate(r.Context(), r.Header)
}

func errForeignSite() error {
	return farm.Errorf(farm.Forbidden, "another site may not do this in your name")
}

// refuse answers who has used up the limit, of which the headers are set.
func refuse(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	writeError(w, r, farm.Errorf(farm.RateLimited, "more than %s requests a minute; try again in %s s", h.Get("X-RateLimit-Limit"), h.Get("Retry-After")))
}
