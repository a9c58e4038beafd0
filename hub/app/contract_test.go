package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// The proofs of the contract that need a whole hub. Which of them proves what is in
// the table of hub/internal/api/contract_test.go.

// reporting is an agent whose printers report, and that publishes what it is told to.
type reporting struct {
	*loadAgent
	report string
	asked  chan wire.Command
}

func (a *reporting) run(ctx context.Context, hubID, url string) {
	who := tunnel.Caller{HubID: hubID, AgentID: a.uid, BootID: a.uid, Key: a.key}
	for ctx.Err() == nil {
		control, err := tunnel.Dial(ctx, tunnel.Hub{URL: url}, who, tunnel.Control, "")
		if err != nil {
			continue
		}
		_ = control.Serve(ctx, a.api(), slog.New(slog.DiscardHandler))
	}
}

func (a *reporting) api() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", a.loadAgent.api())
	mux.HandleFunc("GET /v1/hello", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(wire.Hello{AgentID: a.uid, BootID: a.uid, Capabilities: []wire.Capability{wire.CapState, wire.CapRefresh, wire.CapControl}})
	})
	mux.HandleFunc("GET /v1/state", func(w http.ResponseWriter, r *http.Request) {
		var st bambu.State
		if _, err := st.Apply([]byte(a.report)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		out := json.NewEncoder(w)
		for i, serial := range a.serials {
			_ = out.Encode(wire.StateFrame{Serial: serial, Fence: a.fences[i], Whole: true, Connection: &wire.Connection{State: wire.Online}, Patch: st.Status().Whole()})
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /v1/printers/{serial}/commands", func(w http.ResponseWriter, r *http.Request) {
		var c wire.Command
		_ = json.NewDecoder(r.Body).Decode(&c)
		select {
		case a.asked <- c:
		default: // nobody looks
		}
		_ = json.NewEncoder(w).Encode(wire.CommandResult{ID: c.ID, Confirmed: wire.ByAck})
	})
	return mux
}

// connect lets the first printer report, and waits until the hub knows.
func (r *archives) connect(report string) *reporting {
	r.t.Helper()
	a := &reporting{loadAgent: r.agent, report: report, asked: make(chan wire.Command, 100)}
	r.parts.Go(func() { a.run(r.ctx, r.hubID, r.url) })
	(&client{t: r.t}).await("the printer", func() bool { return strings.Contains(string(r.get("/printers/1").body), `"connected":true`) })
	return a
}

// holds checks that an answer has all of an example of the reference; more is free.
func (a reply) holds(file string) {
	a.t.Helper()
	b, err := os.ReadFile("../internal/api/testdata/" + file)
	if err != nil {
		a.t.Fatal(err)
	}
	var want, got any
	if err := json.Unmarshal(b, &want); err != nil {
		a.t.Fatal(err)
	}
	a.into(&got)
	for _, wrong := range lacking(file, want, got) {
		a.t.Errorf("%s: %s", a.what, wrong)
	}
}

func lacking(at string, want, got any) (out []string) {
	switch want := want.(type) {
	case map[string]any:
		m, _ := got.(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(want)) {
			v, there := m[k]
			if !there {
				out = append(out, at+"."+k+" is missing")
				continue
			}
			out = append(out, lacking(at+"."+k, want[k], v)...)
		}
	case []any:
		all, _ := got.([]any)
		if len(all) != len(want) {
			return []string{fmt.Sprintf("%s: %d elements, want %d", at, len(all), len(want))}
		}
		for i := range want {
			out = append(out, lacking(fmt.Sprintf("%s[%d]", at, i), want[i], all[i])...)
		}
	default:
		if !reflect.DeepEqual(want, got) {
			out = append(out, fmt.Sprintf("%s is %v, want %v", at, got, want))
		}
	}
	return out
}

const referencePrint = `{"print":{"command":"push_status","msg":0,"sequence_id":"1","gcode_state":"RUNNING","gcode_file":"/data/Metadata/plate_1.gcode",
"subtask_name":"benchy","mc_percent":45,"mc_remaining_time":60,"layer_num":120,"total_layer_num":267,"nozzle_temper":220,"bed_temper":60,"chamber_temper":35,
"hms":[],"print_error":0}}`

const referenceIdle = `{"print":{"command":"push_status","msg":0,"sequence_id":"1","gcode_state":"IDLE","nozzle_temper":25,"bed_temper":25}}`

// one takes the second printer away, so that there is what the reference's examples show.
func (r *archives) one() {
	r.t.Helper()
	r.ask("DELETE", "/printers/2", nil).want(200)
	r.ask("PATCH", "/printers/1", []byte(`{"ip_address":"192.168.1.100"}`)).want(200)
}

// Through the whole hub: tunnel, fleet, store and API.
func TestTheReferencesPrinters(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		r := runArchives(t, nil)
		r.one()
		r.connect(referenceIdle)
		for _, slash := range []string{"", "/"} {
			r.get("/printers" + slash).want(200).holds("list_printers.json")
		}
	})
	t.Run("printing", func(t *testing.T) {
		r := runArchives(t, nil)
		r.one()
		agent := r.connect(referencePrint)
		for _, slash := range []string{"", "/"} {
			r.get("/printers/1" + slash).want(200).holds("get_printer.json")
			r.get("/printers/1/status" + slash).want(200).holds("get_printer_status.json")
			r.ask("POST", "/printers/1/refresh-status"+slash, nil).want(200).holds("refresh_printer_status.json")
			if c := <-agent.asked; c.Kind != wire.Refresh {
				t.Errorf("the printer was asked to %s", c.Kind)
			}
		}
		(&client{t: t}).await("the health to be told anew", func() bool { return strings.Contains(string(r.get("/health").body), `"mqtt":"connected"`) })
		r.get("/health").want(200).holds("get_health.json")
		r.ask("POST", "/printers/9/refresh-status", nil).refused(farm.NotFound, "printer 9")
		r.ask("DELETE", "/printers/1", nil).refused(farm.Conflict, "force=true")
		a := r.ask("DELETE", "/printers/1?force=true", nil).want(200)
		if got := strings.TrimSpace(string(a.body)); got != `{"status":"deleted"}` {
			t.Errorf("DELETE: %s", got)
		}
		r.get("/printers/1").refused(farm.NotFound, "printer 1")
	})
	t.Run("away", func(t *testing.T) {
		r := runArchives(t, nil)
		r.ask("POST", "/printers/1/refresh-status", nil).refused(farm.AgentOffline, "agent")
		r.ask("PATCH", "/printers/1", []byte(`{"name":"Updated Name"}`)).want(200).holds("update_printer.request.json")
		r.get("/printers/1").want(200).holds("update_printer.request.json")
	})
}

// POST /printers takes the reference's four fields, however many agents there are.
func TestTheReferencesNewPrinter(t *testing.T) {
	request, err := os.ReadFile("../internal/api/testdata/add_printer.request.json")
	if err != nil {
		t.Fatal(err)
	}
	for agents, agentID := range map[int]any{0: nil, 1: 1.0, 2: 1.0} {
		t.Run(fmt.Sprint(agents, " agents"), func(t *testing.T) {
			r := runArchives(t, nil)
			r.ask("DELETE", "/printers/2", nil).want(200) // it has the serial number of the example
			switch agents {
			case 0:
				r.ask("DELETE", "/printers/1", nil).want(200)
				r.ask("DELETE", "/agents/1", nil).want(200)
			case 2: // one at another site: the one of the default site is meant
				other := newLoadAgent(t, r.db, 7)
				r.ask("PATCH", fmt.Sprint("/agents/", other.id), fmt.Appendf(nil, `{"site_id":%d}`, r.second.ID)).want(200)
			}
			var p map[string]any
			a := r.ask("POST", "/printers", request).want(201)
			a.into(&p)
			if p["status"] != "offline" || p["agent_id"] != agentID || p["name"] != "New Printer" || p["ip_address"] != "192.168.1.101" || p["serial_number"] != "01P00A000000002" {
				t.Errorf("%s", a.body)
			}
			if bytes.Contains(a.body, []byte("12345678")) {
				t.Error("the access code got out")
			}
			r.ask("POST", "/printers/", request).refused(farm.Conflict, "serial_number")
		})
	}
}

// Every path of the document answers with and without its trailing slash, HEAD as
// GET, and OPTIONS with what it takes.
func TestEveryPathBearsSlashHeadAndOptions(t *testing.T) {
	r := runArchives(t, nil)
	r.seed(benchy())
	r.store(1, farm.RoleModel, "benchy.3mf", "model/3mf", model3MF("Benchy", 100))
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	r.get("/openapi.json").want(200).into(&doc)
	for path, methods := range doc.Paths {
		at := strings.NewReplacer("{id}", "1", "{n}", "1", "{delivery_id}", "1").Replace(path)
		options := r.as("", "OPTIONS", at+"/", nil).want(204)
		for method := range methods {
			method := strings.ToUpper(method)
			if !slices.Contains(strings.Split(options.header.Get("Allow"), ", "), method) {
				t.Errorf("OPTIONS %s: %q lacks %s", path, options.header.Get("Allow"), method)
			}
			if method != "GET" || path == "/events" { // the rest changes something; the slash of writes is tried with keys below
				continue
			}
			plain, slash, head := r.get(at), r.get(at+"/"), r.ask("HEAD", at, nil)
			if plain.status != slash.status || plain.status != head.status || len(head.body) != 0 {
				t.Errorf("GET %s: %d, with a slash %d, HEAD %d with %d bytes", path, plain.status, slash.status, head.status, len(head.body))
			}
			if plain.header.Get("Content-Type") != head.header.Get("Content-Type") || plain.status >= 300 && plain.status < 400 {
				t.Errorf("GET %s: %d %q, HEAD %q", path, plain.status, plain.header.Get("Content-Type"), head.header.Get("Content-Type"))
			}
		}
		for method := range methods { // nobody's: it goes no further than 401, but it is the route that says so
			method := strings.ToUpper(method)
			plain, slash := r.as("", method, at, nil), r.as("", method, at+"/", nil)
			if plain.status != slash.status && plain.status != 429 && slash.status != 429 {
				t.Errorf("%s %s: %d, with a slash %d", method, path, plain.status, slash.status)
			}
		}
		put := r.ask("PUT", at, nil)
		put.refused(farm.MethodNotAllowed, "this path takes")
		if put.header.Get("Allow") == "" {
			t.Errorf("PUT %s: no Allow", path)
		}
	}
}

// Every status of the reference's table, and those of the decisions, by a whole hub.
// 500 needs a fault, which api.TestPanic has.
func TestEveryStatusOfTheReference(t *testing.T) {
	r := runArchives(t, nil)
	r.seed(benchy(), with(benchy(), func(p *farm.Print) { p.Status = farm.StatusPrinting }))
	r.store(1, farm.RoleModel, "benchy.3mf", "model/3mf", model3MF("Benchy", 100))
	reader := r.scoped([]string{"read"}, nil, nil)
	one := r.scoped([]string{"read"}, []int64{2}, nil)
	r.get("/printers").want(200)
	r.ask("POST", "/projects", []byte(`{"name":"Voron Build"}`)).want(201)
	r.ask("POST", "/projects", []byte(`{"name":`)).refused(farm.Invalid, "body")
	r.ask("POST", "/projects", []byte(`{}`)).refused(farm.Invalid, "name")
	r.as("", "GET", "/printers", nil).refused(farm.Unauthorized, "")
	r.as("bb_wrong", "GET", "/printers", nil).refused(farm.Unauthorized, "")
	r.as(reader, "POST", "/printers", []byte(`{}`)).refused(farm.Forbidden, "admin")
	r.as(one, "GET", "/printers/1", nil).refused(farm.NotFound, "printer 1") // another's: its existence is not told
	r.get("/printers/abc").refused(farm.NotFound, "")
	r.get("/nowhere").refused(farm.NotFound, "")
	r.ask("PUT", "/printers", nil).refused(farm.MethodNotAllowed, "GET, HEAD, POST")
	r.ask("DELETE", "/archives/2", nil).refused(farm.Conflict, "printed")
	r.ask("POST", "/projects", bytes.Repeat([]byte("x"), 2<<20)).refused(farm.TooLarge, "larger")
	r.ask("POST", "/projects", []byte(`{}`), "Content-Type", "text/xml").refused(farm.UnsupportedType, "application/json")
	r.get("/archives/1/3mf", "Range", "bytes=0-3").want(206)
	r.get("/archives/1/3mf", "Range", "bytes=99999999-").refused(farm.BadRange, "bytes")
	r.get("/archives/1/3mf", "If-None-Match", r.get("/archives/1/3mf").header.Get("ETag")).want(304)
	r.get("/archives/1/3mf", "If-Match", `"another"`).refused(farm.BadCondition, "another")
}
