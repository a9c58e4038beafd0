package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"bambuddy/shared/farm"
)

// describer completes the document once all routes are in it: with what follows
// from their declarations, so that no route has to say it by itself.
type describer struct{ doc *huma.OpenAPI }

// complete makes the document whole. What it cannot know, a test asks for.
func (s *server) complete() {
	d := describer{s.huma.OpenAPI()}
	d.doc.Components.Examples = map[string]*huma.Example{}
	var words map[string]string
	if err := json.Unmarshal(schemaWords, &words); err != nil {
		s.faults = append(s.faults, fmt.Errorf("schemas.json: %w", err))
	}
	for name, schema := range d.doc.Components.Schemas.Map() {
		schema.Description = words[name]
		d.properties(schema)
	}
	for _, path := range slices.Sorted(maps.Keys(d.doc.Paths)) {
		item := d.doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			if rt, ok := op.Metadata[routeKey].(route); ok { // one without is a fault of its own
				d.operation(op, rt)
			}
		}
	}
}

// schemaWords are the comments of the types that are in the document, by name. A test
// writes them anew, see TestSchemaWords.
//
//go:embed schemas.json
var schemaWords []byte

// usual says what a field of this name is wherever its own declaration does not.
var usual = map[string]string{
	"id": "Its id.", "created_at": "When it was made.", "updated_at": "When it was last changed.",
	"printer_id": "The printer it is about; null: none.", "site_id": "The site it belongs to.", "agent_id": "The agent it is about; null: none.",
	"archive_id": "The archive it is about.", "project_id": "The project it belongs to; null: none.",
	"name": "What people call it.", "status": "Where it stands.", "tags": "Words to find it by.", "notes": "What people note about it; null: nothing.",
	"printer_name": "The name of the printer; null: none.", "serial_number": "As the printer's label shows it.", "location": "Where it stands, in people's words.",
	"mqtt_port": "Port of the printer's MQTT over TLS.", "ftps_port": "Port of the printer's FTPS.", "camera_port": "Port of the printer's camera.",
	"timestamp": "When it happened.", "action": "What was done.", "permissions": "What they may do.", "expires_at": "When it ends; null: never.",
	"username": "What they sign in with.", "password": "What proves who they are; it is never told again.", "current_password": "The one until now.",
	"role": "viewer: read; operator: read, queue, control; admin: everything.", "event": "The name of the message.", "data": "What belongs to it.",
	"limit": "At most this many.", "offset": "Skip this many.", "cursor": "As X-Next-Cursor said.",
}

// samples are examples by name, where a field's own declaration has none.
var samples = map[string]any{
	"id": 1, "n": 1, "printer_id": 1, "site_id": 1, "agent_id": 1, "archive_id": 1, "project_id": 1, "limit": 50, "offset": 0,
	"printer_name": "Workshop X1C", "user_id": 1,
}

// properties describes what a schema holds.
func (d describer) properties(s *huma.Schema) {
	for name, p := range s.Properties {
		if p.Description == "" {
			p.Description = usual[name]
		}
		d.properties(p)
	}
}

func (d describer) operation(op *huma.Operation, rt route) {
	if op.Description == "" {
		op.Description = op.Summary + "."
	}
	if rt.public {
		op.Security = []map[string][]string{} // said outright
	}
	for _, p := range op.Parameters {
		d.parameter(p)
	}
	if op.RequestBody != nil {
		for kind, m := range op.RequestBody.Content {
			if kind == "application/json" {
				m.Example = overlaid(d.example("", m.Schema, true), requests[rt.id])
			}
		}
		if op.RequestBody.Description == "" {
			op.RequestBody.Description = "What is asked for."
		}
	}
	d.ranges(op, rt)
	for status, r := range op.Responses {
		d.response(rt, status, r)
	}
}

func (d describer) parameter(p *huma.Param) {
	if p.Description == "" {
		p.Description = usual[p.Name]
	}
	switch {
	case p.Example != nil || len(p.Examples) > 0:
	case len(p.Schema.Examples) == 0 && samples[p.Name] != nil && p.Schema.Type == huma.TypeInteger:
		p.Example = samples[p.Name]
	default:
		p.Example = d.example(p.Name, p.Schema, true)
	}
	p.Schema.Description = "" // said beside it
}

// ranges adds what a file answers that is served in parts.
func (d describer) ranges(op *huma.Operation, rt route) {
	if !slices.Contains(rt.errors, farm.BadRange) {
		return
	}
	whole := op.Responses["200"]
	op.Parameters = append(op.Parameters,
		&huma.Param{Name: "Range", In: "header", Description: "Only these bytes.", Schema: &huma.Schema{Type: huma.TypeString}, Example: "bytes=0-1023"},
		&huma.Param{Name: "If-None-Match", In: "header", Description: "Nothing, if it still is this one.", Schema: &huma.Schema{Type: huma.TypeString}, Example: sampleETag})
	op.Parameters = append(op.Parameters,
		&huma.Param{Name: "If-Match", In: "header", Description: "Only if it still is this one.", Schema: &huma.Schema{Type: huma.TypeString}, Example: sampleETag})
	op.Responses["206"] = &huma.Response{Description: "The bytes asked for.", Content: whole.Content, Headers: headers("ETag", "Accept-Ranges", "Content-Range")}
	op.Responses["304"] = &huma.Response{Description: "It is the one already there.", Headers: headers("ETag")}
	addHeaders(whole, "ETag", "Accept-Ranges")
	for _, part := range []string{"206", "304"} {
		documentLimits(op.Responses[part])
	}
}

func (d describer) response(rt route, status string, r *huma.Response) {
	code, _ := strconv.Atoi(status)
	for name, h := range r.Headers {
		if h.Ref == "" {
			h.Description, h.Schema.Description = h.Schema.Description, ""
			h.Example = headerSamples[name]
		}
	}
	addHeaders(r, "X-Request-Id")
	if r.Content["application/octet-stream"] != nil && code < 300 {
		addHeaders(r, "Content-Disposition")
	}
	switch code {
	case http.StatusUnauthorized:
		addHeaders(r, "WWW-Authenticate")
	case http.StatusTooManyRequests:
		addHeaders(r, "Retry-After")
	case http.StatusRequestedRangeNotSatisfiable:
		addHeaders(r, "Content-Range")
	}
	for kind, m := range r.Content {
		switch {
		case kind != "application/json" || m.Example != nil || len(m.Examples) > 0:
		case m.Schema.Ref == "#/components/schemas/Error":
			r.Description, m.Examples = d.refusals(rt, code)
		default:
			m.Example = overlaid(d.example("", m.Schema, false), answers[rt.id])
		}
	}
	if about := statusWords[code]; about != "" && (r.Description == "" || r.Description == http.StatusText(code)) {
		r.Description = about
	}
}

// refusals gives the codes a route answers with a status, with an example of each.
func (d describer) refusals(rt route, status int) (about string, out map[string]*huma.Example) {
	out = map[string]*huma.Example{}
	for _, c := range rt.codes() {
		if c.Status() != status {
			continue
		}
		out[string(c)] = &huma.Example{Ref: "#/components/examples/" + string(c)}
		d.doc.Components.Examples[string(c)] = &huma.Example{Summary: refusalWords[c].about, Value: map[string]any{"detail": refusalWords[c].detail, "code": string(c)}}
	}
	var words []string
	for _, c := range slices.Sorted(maps.Keys(out)) {
		words = append(words, refusalWords[farm.Code(c)].about)
	}
	return strings.Join(words, " "), out
}

// example makes a value of a schema: of the examples of its fields, and where they
// have none, of what it may hold. What may be absent from a request is, unless it has
// an example of its own.
func (d describer) example(name string, s *huma.Schema, request bool) any {
	switch {
	case s == nil:
		return nil
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Ref != "":
		return d.example(name, d.doc.Components.Schemas.SchemaFromRef(s.Ref), request)
	case s.Default != nil:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Nullable:
		return nil
	case len(s.AnyOf) > 0:
		return d.example(name, s.AnyOf[0], request)
	}
	switch s.Type {
	case huma.TypeObject:
		out := map[string]any{}
		for field, p := range s.Properties {
			if !request || slices.Contains(s.Required, field) || len(p.Examples) > 0 {
				out[field] = d.example(field, p, request)
			}
		}
		return out
	case huma.TypeArray:
		return []any{d.example(name, s.Items, request)}
	case huma.TypeInteger, huma.TypeNumber:
		if v, ok := samples[name]; ok {
			return v
		}
		if s.Minimum != nil {
			return *s.Minimum
		}
		return 0
	case huma.TypeBoolean:
		return false
	case huma.TypeString:
		if v, ok := samples[name].(string); ok {
			return v
		}
		return ""
	}
	return map[string]any{}
}

// overlaid puts what an operation's own example says over what was made of its schema.
func overlaid(made, own any) any {
	switch own := own.(type) {
	case nil:
		return made
	case map[string]any:
		under, ok := made.(map[string]any)
		if !ok {
			return own
		}
		out := maps.Clone(under)
		for k, v := range own {
			out[k] = v
			if inner, ok := v.(map[string]any); ok {
				out[k] = overlaid(under[k], inner)
			}
		}
		return out
	case []any:
		under, ok := made.([]any)
		if !ok || len(under) == 0 {
			return own
		}
		out := make([]any, len(own))
		for i := range own {
			out[i] = overlaid(under[0], own[i])
		}
		return out
	}
	return own
}

func addHeaders(r *huma.Response, names ...string) {
	if r.Headers == nil {
		r.Headers = map[string]*huma.Header{}
	}
	maps.Copy(r.Headers, headers(names...))
}

func headers(names ...string) map[string]*huma.Header {
	out := map[string]*huma.Header{}
	for _, name := range names {
		out[name] = &huma.Header{Ref: "#/components/headers/" + name}
	}
	return out
}
