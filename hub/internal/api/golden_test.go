package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

// The raw report behind the reference's examples: a print with 60 minutes to go.
const printingReport = `{"print":{"command":"push_status","msg":0,"sequence_id":"1","gcode_state":"RUNNING","gcode_file":"/data/Metadata/plate_1.gcode",
"subtask_name":"benchy","mc_percent":45,"mc_remaining_time":60,"layer_num":120,"total_layer_num":267,"nozzle_temper":220,"nozzle_target_temper":220,
"bed_temper":60,"bed_target_temper":60,"chamber_temper":35,"hms":[],"print_error":0}}`

const idleReport = `{"print":{"command":"push_status","msg":0,"sequence_id":"1","gcode_state":"IDLE","mc_percent":100,"mc_remaining_time":7,
"layer_num":267,"total_layer_num":267,"nozzle_temper":25.5,"bed_temper":24}}`

// The examples of the API reference, verbatim: every key of an example is in the
// answer with the same type and value. More keys are free.
func TestReferenceExamples(t *testing.T) {
	for _, c := range []struct {
		example, report, method, path string
		status                        int
	}{
		{"list_printers", idleReport, http.MethodGet, "/printers", 200},
		{"get_printer", printingReport, http.MethodGet, "/printers/1", 200},
		{"get_printer_status", printingReport, http.MethodGet, "/printers/1/status", 200},
		{"refresh_printer_status", printingReport, http.MethodPost, "/printers/1/refresh-status", 200},
		{"get_health", printingReport, http.MethodGet, "/health", 200},
	} {
		t.Run(c.example, func(t *testing.T) {
			r := newRig(t)
			r.seed(c.report)
			for _, path := range []string{base + c.path, base + c.path + "/"} {
				a := r.do(r.admin, c.method, path, "")
				if a.status != c.status {
					t.Fatalf("%s: %d %s", path, a.status, a.body)
				}
				compare(t, "answer", example(t, c.example+".json"), a.json(t))
			}
		})
	}
}

func example(t *testing.T, file string) any {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// compare finds what of an example is missing or different in an answer.
func compare(t *testing.T, place string, want, got any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		obj, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s: no object: %v", place, got)
			return
		}
		for k, v := range want {
			if _, there := obj[k]; !there {
				t.Errorf("%s.%s: missing", place, k)
				continue
			}
			compare(t, place+"."+k, v, obj[k])
		}
	case []any:
		arr, ok := got.([]any)
		if !ok || len(arr) != len(want) {
			t.Errorf("%s: want %d elements, got %v", place, len(want), got)
			return
		}
		for i := range want {
			compare(t, fmt.Sprintf("%s[%d]", place, i), want[i], arr[i])
		}
	default:
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: want %v (%T), got %v (%T)", place, want, want, got, got)
		}
	}
}

func TestAddPrinter(t *testing.T) {
	request := string(mustRead(t, "testdata/add_printer.request.json"))
	for _, agents := range []int{0, 1} {
		t.Run(fmt.Sprint(agents, " agents"), func(t *testing.T) {
			r := newRig(t)
			if agents == 1 {
				r.seed(idleReport)
			}
			a := r.do(r.admin, http.MethodPost, base+"/printers", request)
			if a.status != http.StatusCreated {
				t.Fatalf("%d %s", a.status, a.body)
			}
			got := a.object(t)
			if got["name"] != "New Printer" || got["serial_number"] != "01P00A000000002" || got["status"] != "offline" ||
				got["ip_address"] != "192.168.1.101" || got["mqtt_port"] != 8883.0 || got["created_at"] != "2024-01-15T13:30:00Z" {
				t.Errorf("%s", a.body)
			}
			if (got["agent_id"] == nil) != (agents == 0) {
				t.Errorf("agent_id %v with %d agents", got["agent_id"], agents)
			}
			if strings.Contains(string(a.body)+r.log.String(), "12345678") {
				t.Error("the access code got out")
			}
			if r.registry.added.AccessCode.Reveal() != "12345678" {
				t.Error("the access code did not get in")
			}
		})
	}
	t.Run("several agents and none to choose", func(t *testing.T) {
		r := newRig(t)
		r.registry.err = farm.Errorf(farm.Invalid, "agent_id: several agents could hold this printer; name one")
		r.wantError(r.do(r.admin, http.MethodPost, base+"/printers", request), farm.Invalid, "agent_id")
	})
	t.Run("known serial", func(t *testing.T) {
		r := newRig(t)
		r.registry.err = farm.Errorf(farm.Conflict, "serial_number: is registered already")
		r.wantError(r.do(r.admin, http.MethodPost, base+"/printers", request), farm.Conflict, "serial_number")
	})
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUpdateAndDeletePrinter(t *testing.T) {
	r := newRig(t)
	r.seed(printingReport)
	a := r.do(r.admin, http.MethodPatch, base+"/printers/1", string(mustRead(t, "testdata/update_printer.request.json")))
	if got := a.object(t); a.status != 200 || got["name"] != "Updated Name" || got["status"] != "printing" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if c := r.registry.changed; c.AgentID != nil || c.Location != nil || c.Tags != nil || c.AccessCode != nil {
		t.Errorf("an absent field became a change: %+v", c)
	}
	r.do(r.admin, http.MethodPatch, base+"/printers/1", `{"agent_id":null,"location":null,"tags":null,"camera_port":null}`)
	if c := r.registry.changed; c.AgentID == nil || *c.AgentID != 0 || c.Location == nil || *c.Location != "" || c.Tags == nil || c.CameraPort == nil {
		t.Errorf("null did not empty a field: %+v", c)
	}
	r.wantError(r.do(r.admin, http.MethodPatch, base+"/printers/1", `{"serial_number":"01P00A000000009"}`), farm.Invalid, "serial_number")
	r.wantError(r.do(r.admin, http.MethodDelete, base+"/printers/1", ""), farm.Conflict, "force=true")
	a = r.do(r.admin, http.MethodDelete, base+"/printers/1?force=true", "")
	if a.status != 200 || strings.TrimSpace(string(a.body)) != `{"status":"deleted"}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	r.wantError(r.get(base+"/printers/1"), farm.NotFound, "printer 1")
}

func TestRefresh(t *testing.T) {
	const path = base + "/printers/1/refresh-status"
	t.Run("no such printer", func(t *testing.T) {
		r := newRig(t)
		r.wantError(r.do(r.admin, http.MethodPost, path, ""), farm.NotFound, "printer 1")
	})
	t.Run("printer away", func(t *testing.T) {
		r := newRig(t)
		r.seed(idleReport)
		f := frameOf("01P00A000000001", r.server.mustView(t, 1).Status)
		f.Connection.State = "unreachable"
		r.fleet.Apply(1, f)
		r.wantError(r.do(r.admin, http.MethodPost, path, ""), farm.PrinterNotConnected, "not connected")
	})
	t.Run("agent away", func(t *testing.T) {
		r := newRig(t)
		r.seed(idleReport)
		r.fleet.AgentDown(1)
		r.wantError(r.do(r.admin, http.MethodPost, path, ""), farm.AgentOffline, "agent")
	})
	t.Run("put off by the printer's own limit", func(t *testing.T) {
		r := newRig(t)
		r.seed(idleReport)
		r.links.deferred = true
		a := r.do(r.admin, http.MethodPost, path, "")
		if got := a.object(t); a.status != 200 || got["status"] != "refresh_requested" || got["deferred"] != true {
			t.Errorf("%d %s", a.status, a.body)
		}
		if c := r.links.commands[0]; c.Kind != "refresh" || c.Fence != 1 || c.ValidMS <= 0 || c.ID == "" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		r := newRig(t)
		r.seed(idleReport)
		r.links.err = farm.Errorf(farm.OutcomeUnknown, "the agent did not answer")
		r.wantError(r.do(r.admin, http.MethodPost, path, ""), farm.OutcomeUnknown, "answer")
	})
}
