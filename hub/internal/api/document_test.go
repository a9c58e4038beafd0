package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// documentOf gives the served document as JSON.
func documentOf(t testing.TB, r *rig) map[string]any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.do("", http.MethodGet, "/openapi.json", "").body))
	if err != nil {
		t.Fatal(err)
	}
	return doc.(map[string]any)
}

// What each schema is comes from the comment of its Go type.
// Refresh it with: go test ./hub/internal/api -run SchemaWords -update
func TestSchemaWords(t *testing.T) {
	comments := typeComments(t)
	words := map[string]string{}
	for name := range dig(documentOf(t, newRig(t)), "components", "schemas").(map[string]any) {
		if comments[name] == "" {
			t.Errorf("the schema %s is of no type with a comment", name)
		}
		words[name] = comments[name]
	}
	got, err := json.MarshalIndent(words, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile("schemas.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := mustRead(t, "schemas.json"); !bytes.Equal(want, got) {
		t.Error("schemas.json is not what the comments say: run with -update")
	}
}

// typeComments gives the comment of each exported type of the hub's packages, by name;
// this package's counts before others.
func typeComments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				if about := spec.(*ast.TypeSpec).Name.Name; out[about] == "" || file.Name.Name == "api" {
					out[about] = strings.Join(strings.Fields(gen.Doc.Text()), " ")
				}
			}
		}
	}
	return out
}

// dig goes down a document.
func dig(v any, keys ...string) any {
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

// reader walks the document and notes what is missing.
type reader struct {
	t        *testing.T
	doc      map[string]any
	schemas  *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

const documentURL = "https://hub.invalid/openapi.json"

func newReader(t *testing.T, doc map[string]any) *reader {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(documentURL, doc); err != nil {
		t.Fatal(err)
	}
	return &reader{t: t, doc: doc, schemas: c, compiled: map[string]*jsonschema.Schema{}}
}

// schema compiles what stands at a place of the document.
func (r *reader) schema(place ...string) *jsonschema.Schema {
	r.t.Helper()
	at := pointer(place...)
	if s := r.compiled[at]; s != nil {
		return s
	}
	s, err := r.schemas.Compile(documentURL + "#" + at)
	if err != nil {
		r.t.Fatalf("%s: %v", at, err)
	}
	r.compiled[at] = s
	return s
}

// pointer is a place as RFC 6901 writes it.
func pointer(place ...string) (out string) {
	for _, k := range place {
		out += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(k)
	}
	return out
}

func (r *reader) resolve(v any) map[string]any {
	m, _ := v.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return r.resolve(dig(r.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...))
	}
	return m
}

// words asks for texts.
func (r *reader) words(at string, m map[string]any, keys ...string) {
	for _, k := range keys {
		if s, _ := m[k].(string); strings.TrimSpace(s) == "" {
			r.t.Errorf("%s: no %s", at, k)
		}
	}
}

// fits holds an example against the schema it is of.
func (r *reader) fits(at string, example any, place ...string) {
	if err := r.schema(place...).Validate(example); err != nil {
		r.t.Errorf("%s: its example does not fit its schema: %v", at, err)
	}
}

// Whoever adds a route tells what it is: every operation, parameter, answer, header
// and property has its words, and an example that fits its schema.
func TestTheDocumentIsComplete(t *testing.T) {
	r := newReader(t, documentOf(t, newRig(t)))
	r.words("info", dig(r.doc, "info").(map[string]any), "title", "description", "version")
	for name, s := range dig(r.doc, "components", "schemas").(map[string]any) {
		r.words(name, s.(map[string]any), "description")
		r.properties(name, s, "components", "schemas", name)
	}
	for name, h := range dig(r.doc, "components", "headers").(map[string]any) {
		r.value("header "+name, h, "components", "headers", name)
	}
	for path, item := range dig(r.doc, "paths").(map[string]any) {
		for method, op := range item.(map[string]any) {
			r.operation(path, method, op.(map[string]any))
		}
	}
}

func (r *reader) operation(path, method string, op map[string]any) {
	at := strings.ToUpper(method) + " " + path
	r.words(at, op, "summary", "description", "operationId")
	if _, ok := op["security"]; !ok {
		r.t.Errorf("%s: does not say who may call", at)
	}
	params, _ := op["parameters"].([]any)
	for i, p := range params {
		p := p.(map[string]any)
		r.value(fmt.Sprintf("%s: parameter %v", at, p["name"]), p, "paths", path, method, "parameters", fmt.Sprint(i))
		if schema := r.resolve(p["schema"]); p["in"] == "path" && schema["minimum"] == nil {
			r.t.Errorf("%s: the parameter %v has no minimum", at, p["name"])
		}
	}
	if b, ok := op["requestBody"].(map[string]any); ok {
		r.words(at+": body", b, "description")
		r.content(at+": body", b, "paths", path, method, "requestBody")
	}
	for status, res := range op["responses"].(map[string]any) {
		res := res.(map[string]any)
		r.words(at+": "+status, res, "description")
		r.content(at+": "+status, res, "paths", path, method, "responses", status)
		headers, _ := res["headers"].(map[string]any)
		for name, h := range headers {
			if h := h.(map[string]any); h["$ref"] == nil {
				r.value(fmt.Sprintf("%s: %s: header %s", at, status, name), h, "paths", path, method, "responses", status, "headers", name)
			}
		}
		if status >= "400" && path != "/health" && dig(res, "content", "application/json", "schema", "$ref") != "#/components/schemas/Error" {
			r.t.Errorf("%s: %s is not in the error form", at, status)
		}
	}
}

// value asks a parameter or header for its words and its example.
func (r *reader) value(at string, v any, place ...string) {
	m := v.(map[string]any)
	r.words(at, m, "description")
	if m["example"] == nil || m["example"] == "" {
		r.t.Errorf("%s: no example", at)
		return
	}
	r.fits(at, m["example"], append(place, "schema")...)
}

// content asks each body for an example. One of bytes has none.
func (r *reader) content(at string, holder map[string]any, place ...string) {
	kinds, _ := holder["content"].(map[string]any)
	for kind, m := range kinds {
		m, place := m.(map[string]any), append(slices.Clone(place), "content", kind, "schema")
		examples := map[string]any{}
		if named, ok := m["examples"].(map[string]any); ok {
			for name, e := range named {
				e := r.resolve(e)
				r.words(at+": example "+name, e, "summary")
				examples[name] = e["value"]
			}
		} else if e, ok := m["example"]; ok {
			examples[""] = e
		}
		schema := r.resolve(m["schema"])
		bytes := schema["format"] == "binary" || kind == "multipart/form-data"
		if len(examples) == 0 && !bytes {
			r.t.Errorf("%s: no example of %s", at, kind)
		}
		for _, name := range slices.Sorted(maps.Keys(examples)) {
			r.fits(at+" "+name, examples[name], place...)
		}
		if dig(m, "schema", "$ref") == nil {
			r.properties(at, m["schema"], place...)
		}
	}
}

// properties asks what a schema holds for its words, down to the last.
func (r *reader) properties(at string, v any, place ...string) {
	s, ok := v.(map[string]any)
	if !ok || s["$ref"] != nil {
		return
	}
	fields, _ := s["properties"].(map[string]any)
	for name, p := range fields {
		at, place := at+"."+name, append(slices.Clone(place), "properties", name)
		r.words(at, p.(map[string]any), "description")
		examples, _ := p.(map[string]any)["examples"].([]any)
		for _, e := range examples {
			r.fits(at, e, place...)
		}
		r.properties(at, p, place...)
	}
	for _, k := range []string{"items", "additionalProperties"} {
		r.properties(at, s[k], append(slices.Clone(place), k)...)
	}
	for _, k := range []string{"oneOf", "anyOf", "allOf"} {
		each, _ := s[k].([]any)
		for i, one := range each {
			r.properties(fmt.Sprintf("%s[%d]", at, i), one, append(slices.Clone(place), k, fmt.Sprint(i))...)
		}
	}
}

// The examples of the API reference are those of the document: the API browser fills
// them in.
func TestTheDocumentShowsTheReferencesExamples(t *testing.T) {
	doc := documentOf(t, newRig(t))
	for file, place := range map[string][]string{
		"list_printers.json":          {"/printers", "get", "responses", "200"},
		"get_printer.json":            {"/printers/{id}", "get", "responses", "200"},
		"get_printer_status.json":     {"/printers/{id}/status", "get", "responses", "200"},
		"refresh_printer_status.json": {"/printers/{id}/refresh-status", "post", "responses", "200"},
		"add_printer.request.json":    {"/printers", "post", "requestBody"},
		"update_printer.request.json": {"/printers/{id}", "patch", "requestBody"},
		"list_archives.json":          {"/archives", "get", "responses", "200"},
		"update_archive.request.json": {"/archives/{id}", "patch", "requestBody"},
		"create_project.request.json": {"/projects", "post", "requestBody"},
		"get_health.json":             {"/health", "get", "responses", "200"},
	} {
		shown := dig(doc, append(append([]string{"paths"}, place...), "content", "application/json", "example")...)
		b, err := json.Marshal(shown)
		if err != nil {
			t.Fatal(err)
		}
		var plain any
		if err := json.Unmarshal(b, &plain); err != nil {
			t.Fatal(err)
		}
		want := example(t, file)
		compare(t, file, want, plain)
		if m, ok := plain.(map[string]any); strings.HasSuffix(file, "request.json") && (!ok || len(m) != len(want.(map[string]any))) {
			t.Errorf("%s: the document shows %s", file, b)
		}
	}
}
