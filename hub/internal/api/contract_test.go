package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

// clause says what proves some of the API reference, or in which issue it is due.
type clause struct {
	section string   // headings of the reference: "Archives / List Archives"
	items   []string // what stands there, as itemsOf finds it; the section itself goes without saying
	by      []string // package.TestFunction, or a script from the root of the repository
	due     int      // number of the issue that brings it; 0: it is here
}

func items(s ...string) []string { return s }
func by(s ...string) []string    { return s }

// contract is every section, endpoint, parameter, status, header, example and event of
// the API reference. It and the reference are held against each other below.
var contract = []clause{
	{section: "Authentication", by: by("api.TestWhoMayCall", "api.TestEveryRouteIsLocked")},
	{section: "Authentication / API Key Authentication", items: items("X-API-Key"), by: by("api.TestWhoMayCall", "deploy/scripts/demo-check.sh")},
	{section: "Authentication / Getting an API Key", by: by("api.TestKeys")},
	{section: "Interactive API Browser", by: by("api.TestTheDocumentIsComplete", "api.TestTheDocumentShowsTheReferencesExamples")},
	{section: "Interactive API Browser / Accessing the API Browser", due: 7},
	{section: "Interactive API Browser / Features", due: 7},
	{section: "Interactive API Browser / Testing with API Keys", due: 7},
	{section: "Base URL", by: by("api.TestReferenceExamples", "api.TestRouterAndDocumentAgree", "app.TestEveryPathBearsSlashHeadAndOptions")},

	{section: "Printers", by: by("app.TestTheReferencesPrinters")},
	{section: "Printers / List Printers", items: items("GET /printers", "Response"), by: by("api.TestReferenceExamples", "app.TestTheReferencesPrinters", "api.TestLists")},
	{section: "Printers / Get Printer", items: items("GET /printers/{id}", "Response"), by: by("api.TestReferenceExamples", "app.TestTheReferencesPrinters")},
	{section: "Printers / Get Printer Status", items: items("GET /printers/{id}/status", "Response"), by: by("api.TestReferenceExamples", "app.TestTheReferencesPrinters", "api.TestStatusOutsideOfAPrint", "api.TestStatusOfAnOfflinePrinter", "api.TestStatusOfAPrinterNeverSeen")},
	{section: "Printers / Refresh Printer Status", items: items("POST /printers/{id}/refresh-status", "Response", "404", "400"), by: by("api.TestReferenceExamples", "api.TestRefresh", "app.TestTheReferencesPrinters")},
	{section: "Printers / Add Printer", items: items("POST /printers", "Request"), by: by("api.TestAddPrinter", "app.TestTheReferencesNewPrinter")},
	{section: "Printers / Update Printer", items: items("PATCH /printers/{id}", "Request"), by: by("api.TestUpdateAndDeletePrinter", "app.TestTheReferencesPrinters")},
	{section: "Printers / Delete Printer", items: items("DELETE /printers/{id}"), by: by("api.TestUpdateAndDeletePrinter", "app.TestTheReferencesPrinters")},

	{section: "Archives", by: by("app.TestTheReferencesListOfArchives")},
	{section: "Archives / List Archives", items: items("GET /archives", "Response", "?limit", "?offset"), by: by("app.TestTheReferencesListOfArchives")},
	{section: "Archives / List Archives", items: items("?printer_id", "?status", "?start_date", "?end_date", "?search", "?project_id"), by: by("app.TestFiltersOfArchives")},
	{section: "Archives / Get Archive", items: items("GET /archives/{id}"), by: by("app.TestTheReferencesListOfArchives")},
	{section: "Archives / Update Archive", items: items("PATCH /archives/{id}", "Request"), by: by("app.TestChangingArchives")},
	{section: "Archives / Delete Archive", items: items("DELETE /archives/{id}"), by: by("app.TestDeletingArchives")},
	{section: "Archives / Download 3MF", items: items("GET /archives/{id}/3mf"), by: by("app.TestDownloads")},
	{section: "Archives / Export Archives", items: items("GET /archives/export", "?format", "?(others)"), by: by("app.TestExports")},

	{section: "Projects", by: by("app.TestProjects")},
	{section: "Projects / List Projects", items: items("GET /projects"), by: by("app.TestProjects")},
	{section: "Projects / Get Project", items: items("GET /projects/{id}"), by: by("app.TestProjects")},
	{section: "Projects / Create Project", items: items("POST /projects", "Request"), by: by("app.TestProjects")},
	{section: "Projects / Update Project", items: items("PATCH /projects/{id}"), by: by("app.TestProjects")},
	{section: "Projects / Delete Project", items: items("DELETE /projects/{id}"), by: by("app.TestProjects")},

	{section: "Print Queue", due: 5},
	{section: "Print Queue / Get Queue", items: items("GET /queue", "?printer_id", "?status"), due: 5},
	{section: "Print Queue / Add to Queue", items: items("POST /queue", "Request"), due: 5},
	{section: "Print Queue / Remove from Queue", items: items("DELETE /queue/{id}"), due: 5},
	{section: "Print Queue / Reorder Queue", items: items("POST /queue/reorder", "Request"), due: 5},
	{section: "Statistics", due: 6},
	{section: "Statistics / Get Statistics", items: items("GET /statistics", "Response", "?printer_id", "?start_date", "?end_date"), due: 6},
	{section: "Statistics / Export Statistics", items: items("GET /statistics/export"), due: 6},

	{section: "Camera", by: by("api.TestCameraStream")},
	{section: "Camera / Stream (MJPEG)", items: items("GET /printers/{id}/camera/stream", "?fps"), by: by("api.TestCameraStream", "api.TestCameraErrors")},
	{section: "Camera / Snapshot", items: items("GET /printers/{id}/camera/snapshot"), by: by("api.TestSnapshot")},
	{section: "Camera / Stop Stream", items: items("POST /printers/{id}/camera/stop"), by: by("api.TestCameraStream")},

	{section: "System", by: by("api.TestHealth")},
	{section: "System / System Info", items: items("GET /system/info", "Response"), due: 6},
	{section: "System / Health Check", items: items("GET /health", "Response"), by: by("api.TestReferenceExamples", "api.TestHealth", "app.TestTheReferencesPrinters")},

	{section: "Error Responses", by: by("api.TestEveryErrorHasTheForm")},
	{section: "Error Responses / Error Format", items: items("Example"), by: by("api.TestEveryErrorHasTheForm", "app.TestEveryOperationBearsAnything")},
	{section: "Error Responses / HTTP Status Codes", items: items("200", "201", "400", "401", "403", "404"), by: by("app.TestEveryStatusOfTheReference")},
	{section: "Error Responses / HTTP Status Codes", items: items("429"), by: by("api.TestLimits")},
	{section: "Error Responses / HTTP Status Codes", items: items("500"), by: by("api.TestPanic", "api.TestServiceErrors")},
	{section: "Rate Limits", items: items("Read", "Write", "Control"), by: by("api.TestLimits", "api.TestLimitOfAddress", "api.TestLimitOfUnroutedRequests")},
	{section: "Rate Limits / Rate Limit Headers", items: items("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"), by: by("api.TestLimits")},
	{section: "Content Types", by: by("app.TestDownloads", "app.TestExports", "api.TestSnapshot")},
	{section: "Content Types / Request", items: items("Content-Type"), by: by("api.TestBodiesAreReadGenerously", "api.TestEveryErrorHasTheForm")},
	{section: "Content Types / Response", items: items("Content-Type"), by: by("api.TestBodiesAreReadGenerously", "app.TestDownloads", "app.TestEveryOperationBearsAnything")},

	{section: "Webhooks", by: by("app.TestAHubsWebhooks")},
	{section: "Webhooks / Webhook Payload", items: items("Example"), by: by("webhook.TestTheReferencesBody")},
	{section: "Webhooks / Event Types", items: items("print_started", "print_progress", "print_complete", "print_failed", "printer_offline", "printer_error"), by: by("webhook.TestGoldenBodies")},
}

// golden are the tests that decisions.md lists, in its words and its order.
var golden = []clause{
	{section: "Seed printer 1 = X1 Carbon, 01P00A000000001. `GET /printers`, `/printers/1` (raw 60 minutes → 3600), `/printers/1/status`, ", by: by("app.TestTheReferencesPrinters", "api.TestReferenceExamples")},
	{section: "`refresh-status` (200, 404, 400), ", by: by("app.TestTheReferencesPrinters", "api.TestRefresh")},
	{section: "`POST /printers` on hubs with 0, 1 and 2 agents, ", by: by("app.TestTheReferencesNewPrinter")},
	{section: "`PATCH {\"name\":\"Updated Name\"}`, `DELETE`; ", by: by("app.TestTheReferencesPrinters", "api.TestUpdateAndDeletePrinter")},
	{section: "`GET /archives` (8100, 45.2, `PLA`), ", by: by("app.TestTheReferencesListOfArchives")},
	{section: "`PATCH /archives/1` (tags an array), ", by: by("app.TestChangingArchives")},
	{section: "`/3mf`, ", by: by("app.TestDownloads")},
	{section: "export csv and xlsx of more than 50 rows, `format=pdf` → 400; ", by: by("app.TestExports")},
	{section: "`POST /projects` (Voron Build) → 201; ", by: by("app.TestProjects")},
	{section: "`POST /queue`, `POST /queue/reorder {\"order\":[3,1,2,4]}`; ", items: items("POST /queue", "POST /queue/reorder"), due: 5},
	{section: "1100/100/34 prints → the whole statistics example; ", items: items("GET /statistics"), due: 6},
	{section: "`/system/info`, ", items: items("GET /system/info"), due: 6},
	{section: "`/health` keys and types; ", by: by("api.TestReferenceExamples", "api.TestHealth")},
	{section: "no key and wrong key 401, read key on POST 403; ", by: by("api.TestWhoMayCall", "app.TestEveryStatusOfTheReference")},
	{section: "101st read, 31st write, 11th control → 429 with the headers; ", by: by("api.TestLimits")},
	{section: "404, 405, panic in the error form; ", by: by("api.TestEveryErrorHasTheForm", "api.TestPanic")},
	{section: "`fps` 0 and 31 → 400; ", by: by("api.TestCameraErrors")},
	{section: "one webhook body per event; ", items: items("POST /webhooks"), by: by("webhook.TestGoldenBodies")},
	{section: "the reference's `curl` against `make demo`.", by: by("deploy/scripts/demo-check.sh")},
}

// The shelf with the user's documents lies beside the repository, and not in it.
const shelf = "../../../../shared/contract/"

func onShelf(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(shelf + name)
	if err != nil {
		t.Skipf("the user's %s is on the shelf, which is not here; that the table is kept is tested without it", name)
	}
	return string(b)
}

// itemsOf finds what the reference says, by section: endpoints and headers in http
// blocks, examples in JSON, parameters, codes, limits and events in tables and lists.
func itemsOf(text string) map[string][]string {
	out := map[string][]string{}
	heading := regexp.MustCompile(`^(##|###) (?::material-[\w-]+: )?(.+)$`)
	row := regexp.MustCompile("^(?:\\| `?([\\w()]+)`? \\||- `(\\d+)`)")
	name := regexp.MustCompile(`X-API-Key|X-RateLimit-\w+|Content-Type`)
	var top, section, block, table, last string
	fenced := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch m := heading.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
			if block = strings.TrimPrefix(line, "```"); fenced && block == "json" {
				out[section] = append(out[section], last)
			}
		case fenced && block == "http" && name.MatchString(line):
			out[section] = append(out[section], name.FindString(line))
		case fenced && block == "http":
			out[section] = append(out[section], line)
		case fenced && block == "bash":
			if h := name.FindString(line); h != "" {
				out[section] = append(out[section], h)
			}
		case fenced:
		case m != nil && m[1] == "##":
			top, section, table, last = m[2], m[2], "", "Example"
			out[section] = nil
		case m != nil:
			section, table, last = top+" / "+m[2], "", "Example"
			out[section] = nil
		case strings.HasPrefix(line, "**Re"):
			last = strings.Trim(line, "*:")
		case row.MatchString(line):
			m := row.FindStringSubmatch(line)
			switch {
			case m[2] != "":
				out[section] = append(out[section], m[2])
			case table == "":
				table = m[1]
			case table == "Parameter":
				out[section] = append(out[section], "?"+m[1])
			default:
				out[section] = append(out[section], m[1])
			}
		case strings.HasPrefix(line, "| Endpoint Type"):
			table = "Endpoint Type"
		}
	}
	return out
}

// The table and the reference say the same.
func TestTheContractCoversTheReference(t *testing.T) {
	reference := itemsOf(onShelf(t, "api-reference.md"))
	covered := map[string][]string{}
	for _, c := range contract {
		if _, there := reference[c.section]; !there {
			t.Errorf("the reference has no section %q", c.section)
		}
		covered[c.section] = append(covered[c.section], c.items...)
	}
	for _, section := range slices.Sorted(maps.Keys(reference)) {
		if _, there := covered[section]; !there {
			t.Errorf("the section %q is neither proven nor due", section)
		}
		for _, item := range reference[section] {
			if !slices.Contains(covered[section], item) {
				t.Errorf("%s: %s is neither proven nor due", section, item)
			}
		}
		for _, item := range covered[section] {
			if !slices.Contains(reference[section], item) {
				t.Errorf("%s: the reference says nothing of %s", section, item)
			}
		}
	}
}

func TestTheContractCoversTheGoldenTests(t *testing.T) {
	_, list, ok := strings.Cut(onShelf(t, "decisions.md"), "## Golden tests from the reference\n")
	if !ok {
		t.Fatal("decisions.md has no list of golden tests")
	}
	var told strings.Builder
	for _, g := range golden {
		told.WriteString(g.section)
	}
	if want := strings.Join(strings.Fields(list), " "); want != told.String() {
		t.Errorf("decisions.md:\n%s\nthe table:\n%s", want, told.String())
	}
}

// What proves something is there to be run, of what is covered the route is registered,
// and of what is due it is not yet: whoever brings it says here what proves it.
func TestTheContractIsKept(t *testing.T) {
	tests := map[string]bool{}
	for name, dir := range map[string]string{"api": ".", "app": "../../app", "webhook": "../webhook"} {
		for _, fn := range testsOf(t, dir) {
			tests[name+"."+fn] = true
		}
	}
	routed := map[string]bool{}
	err := chi.Walk(newRig(t).router, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routed[method+" "+strings.TrimPrefix(documentPath(path), base)] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range slices.Concat(contract, golden) {
		if c.due == 0 && len(c.by) == 0 {
			t.Errorf("%s: neither proven nor due", c.section)
		}
		for _, proof := range c.by {
			if _, err := os.Stat("../../../" + proof); c.due == 0 && !tests[proof] && err != nil {
				t.Errorf("%s: there is no %s", c.section, proof)
			}
		}
		for _, item := range c.items {
			if method, path, ok := strings.Cut(item, " /"); ok && routed[method+" /"+path] != (c.due == 0) {
				t.Errorf("%s: %s is due in issue %d, registered: %v", c.section, item, c.due, routed[item])
			}
		}
	}
}

// testsOf lists the test functions of a package; none where there is no such folder.
func testsOf(t *testing.T, dir string) (out []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				out = append(out, fn.Name.Name)
			}
		}
	}
	return out
}
