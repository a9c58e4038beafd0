package app

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"bambuddy/shared/farm"
)

var fuzzSeed = flag.Uint64("fuzz-seed", 1, "what the inputs of TestEveryOperationBearsAnything are made from")

// Every operation of the document gets good and hostile inputs from a key that may
// everything. Whatever comes: it is never a fault of the hub, every refusal has the
// error form, and what is answered is what the document says of that operation.
func TestEveryOperationBearsAnything(t *testing.T) {
	t.Logf("-fuzz-seed %d", *fuzzSeed)
	r := runArchives(t, nil)
	r.seed(benchy(), with(benchy(), func(p *farm.Print) { p.Status = farm.StatusPrinting }))
	r.store(1, farm.RoleModel, "benchy.3mf", "model/3mf", model3MF("Benchy", 100))
	r.store(1, farm.RoleThumbnail, "", "image/jpeg", []byte("thumb"))
	r.connect(referenceIdle)
	f := &fuzzer{archives: r, rand: rand.New(rand.NewPCG(*fuzzSeed, 0)), seen: map[string]*jsonschema.Schema{}, done: map[string]bool{}}
	f.readDocument()
	all := 0
	for _, methods := range f.paths {
		all += len(methods)
	}
	for _, method := range []string{"get", "post", "patch", "put", "get", "delete"} { // again, as what was made is there to be looked at
		for _, path := range slices.Sorted(maps.Keys(f.paths)) {
			if f.paths[path][method] != nil && !strings.HasSuffix(path, "/revoke") {
				f.operation(path, method)
			}
		}
	}
	f.operation("/agents/{id}/revoke", "post") // only now: most of the others need the agent
	t.Logf("%d of %d operations did what they were asked at least once", len(f.done), all)
	if len(f.done) < all*2/3 { // the agent here has no files, no camera and no printers to find
		t.Error("what is asked for is hardly ever done, so this proves little")
	}
}

type fuzzer struct {
	*archives
	rand    *rand.Rand
	doc     map[string]any
	paths   map[string]map[string]any
	schemas *jsonschema.Compiler
	seen    map[string]*jsonschema.Schema
	done    map[string]bool // operations that were answered with success
}

func (f *fuzzer) readDocument() {
	f.t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(f.get("/openapi.json").want(200).body))
	if err != nil {
		f.t.Fatal(err)
	}
	f.doc, f.schemas, f.paths = doc.(map[string]any), jsonschema.NewCompiler(), map[string]map[string]any{}
	f.schemas.DefaultDraft(jsonschema.Draft2020)
	f.schemas.AssertFormat()
	if err := f.schemas.AddResource("https://hub.invalid/", doc); err != nil {
		f.t.Fatal(err)
	}
	for path, item := range f.doc["paths"].(map[string]any) {
		f.paths[path] = item.(map[string]any)
	}
}

// request is one call of an operation.
type request struct {
	path, method string // path as the document has it
	params       map[string]string
	strange      bool // the path itself may name nothing
	query        url.Values
	header       map[string]string
	body         []byte
}

const roundsOfEach = 16

func (f *fuzzer) operation(path, method string) {
	op := f.paths[path][method].(map[string]any)
	// Each with a key of its own: one that is about keys may spoil it.
	key, err := f.admin.NewKey(f.t.Context(), "fuzz", farm.Permissions, farm.Limits{Read: 1e6, Write: 1e6, Control: 1e6})
	if err != nil {
		f.t.Fatal(err)
	}
	rounds := roundsOfEach
	if strings.HasPrefix(path, "/auth/") || strings.Contains(path, "password") || path == "/users" {
		rounds = 6 // a password takes its time by intent
	}
	for i := range rounds {
		q := f.request(path, method, op, i)
		f.call(key.Reveal(), op, q)
	}
}

// request makes the i-th call: the first as the document shows it, then ever other
// good ones and bad ones in turn.
func (f *fuzzer) request(path, method string, op map[string]any, i int) request {
	q := request{path: path, method: strings.ToUpper(method), params: map[string]string{}, query: url.Values{}, header: map[string]string{}}
	params, _ := op["parameters"].([]any)
	for _, one := range params {
		p := one.(map[string]any)
		name, schema := p["name"].(string), p["schema"].(map[string]any)
		value := fmt.Sprint(p["example"])
		if i > 0 {
			value = text(f.good(schema, 0))
		}
		switch p["in"] {
		case "path":
			q.params[name] = pick(f.rand, "1", "1", "1", "2", "7", "999999999999999999")
			if i == 0 {
				q.params[name] = value
			}
			if i%8 == 7 {
				q.params[name], q.strange = pick(f.rand, strangeIDs...), true
			}
		case "query":
			if i%3 == 2 && f.rand.IntN(3) == 0 {
				value = pick(f.rand, text(f.hostile(0)), value)
			}
			if p["required"] == true || i == 0 || f.rand.IntN(2) == 0 {
				q.query.Add(name, value)
			}
			if i%11 == 10 {
				q.query.Add(name, text(f.hostile(0)))
			}
		case "header":
			if i > 0 && f.rand.IntN(3) == 0 {
				q.header[name] = headerText(pick(f.rand, value, text(f.hostile(0))))
			}
		}
	}
	if i%5 == 4 {
		q.query.Add(pick(f.rand, "unknown", "limit", "offset", "cursor", "format", "site_id", "\x00"), text(f.hostile(0)))
	}
	if b, ok := op["requestBody"].(map[string]any); ok {
		f.body(&q, b["content"].(map[string]any), i)
	} else if i%6 == 5 {
		q.body = f.rawBody(nil) // where none is asked for
	}
	return q
}

var strangeIDs = []string{"0", "-1", "+1", "01", "abc", "1e3", "1.5", "99999999999999999999", "%00", "..%2f..%2f", "%F0%9F%92%A9", "%ff", "1%20", "1;x=1", strings.Repeat("9", 3000)}

func (f *fuzzer) body(q *request, kinds map[string]any, i int) {
	if _, ok := kinds["multipart/form-data"]; ok {
		body, kind := form(pick(f.rand, "file", "file", "file", "other", ""), pick(f.rand, "a.3mf", "../../x.3mf", "", "\x00.3mf", strings.Repeat("a", 5000)), f.file(i))
		q.body, q.header["Content-Type"] = body, kind
		if i%6 == 5 {
			q.body, q.header["Content-Type"] = f.rawBody(nil), pick(f.rand, "application/json", "multipart/form-data", "multipart/form-data; boundary=", "text/plain")
		}
		return
	}
	m := kinds["application/json"].(map[string]any)
	schema := m["schema"].(map[string]any)
	switch {
	case i == 0:
		q.body = marshal(m["example"])
	case i%3 == 0:
		q.body = marshal(f.good(schema, 0))
	case i%3 == 1:
		q.body = marshal(f.spoilt(f.good(schema, 0)))
	default:
		q.body = f.rawBody(m["example"])
	}
	if i%9 == 8 {
		q.header["Content-Type"] = pick(f.rand, "text/plain", "application/xml", "application/json; charset=utf-16", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "\"", "application/json;;")
	}
}

func (f *fuzzer) file(i int) []byte {
	whole := model3MF("Fuzz", 10+i)
	switch i % 4 {
	case 0:
		return whole
	case 1:
		return whole[:f.rand.IntN(len(whole))]
	case 2:
		broken := bytes.Clone(whole)
		broken[f.rand.IntN(len(broken))] ^= 0xff
		return broken
	}
	return f.rawBody(nil)
}

// rawBody is a body that may be no JSON at all.
func (f *fuzzer) rawBody(example any) []byte {
	return []byte(pick(f.rand,
		"", " ", "null", "true", "0", `""`, "[]", "[{}]", "{", "{}", `{"name":"a","name":"b"}`, "{}{}", "\xff\xfe{}", "\x00", `{"name":"`+"\xff"+`"}`, `{"a":1e999}`,
		strings.Repeat("[", 10000), strings.Repeat(`{"a":`, 100)+"1"+strings.Repeat("}", 100), `{"`+strings.Repeat("k", 100_000)+`":1}`, strings.Repeat("a", 2<<20),
		`{"__proto__":{"admin":true},"constructor":1}`, string(marshal(f.spoilt(example))), string(marshal([]any{example})), string(marshal(example))+"x",
	))
}

// spoilt puts something hostile into one or two places of a value.
func (f *fuzzer) spoilt(v any) any {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 {
		return f.hostile(0)
	}
	m = maps.Clone(m)
	for range 1 + f.rand.IntN(2) {
		keys := slices.Sorted(maps.Keys(m))
		if len(keys) == 0 {
			break
		}
		k := pick(f.rand, keys...)
		switch f.rand.IntN(5) {
		case 0:
			delete(m, k)
		case 1:
			m[k+"x"] = f.hostile(0)
		default:
			m[k] = f.hostile(0)
		}
	}
	return m
}

// hostile is a value that hardly any field is ready for.
func (f *fuzzer) hostile(depth int) any {
	n := 24
	if depth > 2 {
		n = 22
	}
	switch i := f.rand.IntN(n); {
	case i < 22:
		return []any{
			nil, true, false, "", " ", "a", "\x00", "\u202eevil\u202c", "💩", "e\u0301\u0300", "' OR 1=1 --", "../../etc/passwd", "<script>alert(1)</script>",
			strings.Repeat("x", 20_000), -1, 0, 1.5, json.Number("9223372036854775807"), json.Number("-9223372036854775808"), json.Number("1e308"),
			json.Number("99999999999999999999999"), "2024-13-45T99:99:99Z",
		}[i]
	case i == 22:
		return []any{f.hostile(depth + 1), f.hostile(depth + 1)}
	}
	return map[string]any{"a": f.hostile(depth + 1), "": f.hostile(depth + 1)}
}

// good makes a value of a schema.
func (f *fuzzer) good(s map[string]any, depth int) any {
	if ref, ok := s["$ref"].(string); ok {
		var at any = f.doc
		for _, k := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			at = at.(map[string]any)[k]
		}
		return f.good(at.(map[string]any), depth)
	}
	if each, ok := s["anyOf"].([]any); ok {
		return f.good(each[f.rand.IntN(len(each))].(map[string]any), depth)
	}
	if words, ok := s["enum"].([]any); ok {
		return words[f.rand.IntN(len(words))]
	}
	if each, ok := s["examples"].([]any); ok && f.rand.IntN(2) == 0 {
		return each[0]
	}
	kind, _ := s["type"].(string)
	if kinds, ok := s["type"].([]any); ok {
		kind = kinds[f.rand.IntN(len(kinds))].(string)
	}
	switch kind {
	case "object":
		out := map[string]any{}
		required, _ := s["required"].([]any)
		fields, _ := s["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if slices.Contains(required, any(name)) || f.rand.IntN(2) == 0 && depth < 5 {
				out[name] = f.good(fields[name].(map[string]any), depth+1)
			}
		}
		return out
	case "array":
		out := []any{}
		for range f.rand.IntN(3) {
			out = append(out, f.good(s["items"].(map[string]any), depth+1))
		}
		return out
	case "integer", "number":
		least := int64(0)
		if n, ok := s["minimum"].(json.Number); ok {
			least, _ = n.Int64()
		}
		return least + f.rand.Int64N(3)
	case "boolean":
		return f.rand.IntN(2) == 0
	case "string":
		if s["format"] == "date-time" {
			return "2024-01-15T14:30:00+02:00"
		}
		return pick(f.rand, "a", "Ünï ☃", "1", "2024-01-15", "192.168.1.50", "https://hub.invalid/x")
	}
	return nil
}

// call sends a request and holds the answer against the document.
func (f *fuzzer) call(key string, op map[string]any, q request) {
	path := q.path
	for name, v := range q.params {
		path = strings.ReplaceAll(path, "{"+name+"}", v)
	}
	if len(q.query) > 0 {
		path += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(f.t.Context(), q.method, f.url+"/api/v1"+path, bytes.NewReader(q.body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	for k, v := range q.header {
		req.Header.Set(k, v)
	}
	res, err := fuzzClient.Do(req)
	if err != nil {
		f.t.Errorf("%s %s: no answer: %v", q.method, clipped(path), err)
		return
	}
	defer func() { _ = res.Body.Close() }()
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	var body []byte
	if kind == "application/json" || res.StatusCode >= 400 {
		if body, err = io.ReadAll(res.Body); err != nil {
			f.t.Errorf("%s %s: %v", q.method, clipped(path), err)
			return
		}
	}
	if fault := f.judge(op, q, res.StatusCode, kind, body); fault != "" {
		f.t.Errorf("%s %s %v %s: %d %s: %s", q.method, clipped(path), q.header, clipped(string(q.body)), res.StatusCode, clipped(string(body)), fault)
	}
}

var fuzzClient = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// judge tells what is wrong with an answer.
func (f *fuzzer) judge(op map[string]any, q request, status int, kind string, body []byte) string {
	answers := op["responses"].(map[string]any)
	told, documented := answers[fmt.Sprint(status)].(map[string]any)
	switch {
	case status == http.StatusInternalServerError, status > http.StatusInternalServerError && !documented:
		return "a fault of the hub"
	case status >= 300 && status < 400 && status != http.StatusNotModified:
		return "redirects are never used"
	case !documented && (!q.strange || status != http.StatusNotFound && status != http.StatusMethodNotAllowed):
		return "the document knows no such status here"
	}
	if status >= 400 && q.path != "/health" {
		var e map[string]string
		if err := json.Unmarshal(body, &e); err != nil || len(e) != 2 || e["detail"] == "" || e["code"] == "" || kind != "application/json" {
			return "not in the error form"
		}
		if farm.Code(e["code"]).Status() != status {
			return "its code is of another status"
		}
		return ""
	}
	f.done[op["operationId"].(string)] = true
	content, _ := told["content"].(map[string]any)
	if len(content) > 0 && content[kind] == nil {
		return "the document knows no such type here: " + kind
	}
	if kind != "application/json" {
		return ""
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	place := []string{"paths", q.path, strings.ToLower(q.method), "responses", fmt.Sprint(status), "content", kind, "schema"}
	if err := f.schema(place).Validate(value); err != nil {
		return err.Error()
	}
	return ""
}

func (f *fuzzer) schema(place []string) *jsonschema.Schema {
	at := ""
	for _, k := range place {
		at += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(k)
	}
	if s := f.seen[at]; s != nil {
		return s
	}
	s, err := f.schemas.Compile("https://hub.invalid/#" + at)
	if err != nil {
		f.t.Fatal(err)
	}
	f.seen[at] = s
	return s
}

func pick[T any](r *rand.Rand, each ...T) T { return each[r.IntN(len(each))] }

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return b
}

// text is a value as it stands in a path or query. It is not so long that net/http
// refuses it by itself, with 431, before it is a request.
func text(v any) string {
	s, ok := v.(string)
	if !ok {
		s = string(marshal(v))
	}
	return strings.ToValidUTF8(s[:min(len(s), 2000)], "?")
}

// headerText leaves out what net/http would not send.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s[:min(len(s), 500)])
}

func clipped(s string) string {
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
