package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The document is part of the contract: a change of it is read in review.
// Refresh it with: go test ./hub/internal/api -run OpenAPI -update
func TestOpenAPIGolden(t *testing.T) {
	a := newRig(t).do("", http.MethodGet, base+"/openapi.json", "")
	var got bytes.Buffer
	if err := json.Indent(&got, a.body, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	const file = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := mustRead(t, file); !bytes.Equal(want, got.Bytes()) {
		t.Errorf("the document differs from %s; if that is meant, run with -update and look at the difference", file)
	}
}

type spec struct {
	OpenAPI string `json:"openapi"`
	Servers []struct {
		URL string `json:"url"`
	} `json:"servers"`
	Tags []struct {
		Name string `json:"name"`
	} `json:"tags"`
	Paths map[string]map[string]struct {
		OperationID string                     `json:"operationId"`
		Tags        []string                   `json:"tags"`
		Summary     string                     `json:"summary"`
		Responses   map[string]json.RawMessage `json:"responses"`
		Security    []map[string][]string      `json:"security"`
		Permission  string                     `json:"x-permission"`
		Limit       string                     `json:"x-rate-limit"`
	} `json:"paths"`
}

func readSpec(t *testing.T, r *rig) spec {
	t.Helper()
	var s spec
	if err := json.Unmarshal(r.do("", http.MethodGet, "/openapi.json", "").body, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// Every route of the router is in the document and the reverse, apart from the
// two that answer at the root as well.
func TestRouterAndDocumentAgree(t *testing.T) {
	r := newRig(t)
	doc := readSpec(t, r)
	if doc.OpenAPI != "3.1.0" || len(doc.Servers) != 1 || doc.Servers[0].URL != base {
		t.Fatalf("%s %v", doc.OpenAPI, doc.Servers)
	}
	var routed, documented, rooted []string
	err := chi.Walk(r.router, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		path = documentPath(path)
		if p, ok := strings.CutPrefix(path, base); ok {
			routed = append(routed, method+" "+p)
		} else {
			rooted = append(rooted, method+" "+path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(routed)
	slices.Sort(documented)
	slices.Sort(rooted)
	if !slices.Equal(routed, documented) {
		t.Errorf("router: %v\ndocument: %v", routed, documented)
	}
	if !slices.Equal(rooted, []string{"GET /health", "GET /openapi.json"}) {
		t.Errorf("at the root: %v", rooted)
	}
}

func TestEveryOperationIsWellDocumented(t *testing.T) {
	r := newRig(t)
	doc := readSpec(t, r)
	snake := regexp.MustCompile(`^[a-z]+(_[a-z0-9]+)+$`)
	var tags []string
	for _, tag := range doc.Tags {
		tags = append(tags, tag.Name)
	}
	seen := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			at := method + " " + path
			if !snake.MatchString(op.OperationID) || seen[op.OperationID] {
				t.Errorf("%s: operation id %q", at, op.OperationID)
			}
			seen[op.OperationID] = true
			if len(op.Tags) != 1 || !slices.Contains(tags, op.Tags[0]) || op.Summary == "" {
				t.Errorf("%s: tags %v, summary %q", at, op.Tags, op.Summary)
			}
			if op.Responses["422"] != nil {
				t.Errorf("%s: documents 422", at)
			}
			public := isPublic(path)
			if public != (op.Permission == "") || public != (len(op.Security) == 0) || public && path != "/auth/login" != (op.Responses["401"] == nil) {
				t.Errorf("%s: permission %q, security %v", at, op.Permission, op.Security)
			}
		}
	}
	for _, id := range []string{"list_printers", "get_printer", "get_printer_status", "refresh_printer_status", "add_printer", "update_printer", "delete_printer"} {
		if !seen[id] {
			t.Errorf("no operation %s", id)
		}
	}
}

// isPublic tells the paths that nobody needs to be known for.
func isPublic(path string) bool {
	return slices.Contains([]string{"/health", "/openapi.json", "/auth/setup", "/auth/login"}, strings.TrimPrefix(path, base))
}

// No route but the public ones lets a caller without a key further than 401.
func TestEveryRouteIsLocked(t *testing.T) {
	r := newRig(t)
	err := chi.Walk(r.router, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if isPublic(path) {
			return nil
		}
		a := r.do("", method, exactPath(path), `{}`)
		if a.status != http.StatusUnauthorized && a.status != http.StatusTooManyRequests {
			t.Errorf("%s %s: %d without a key", method, path, a.status)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
