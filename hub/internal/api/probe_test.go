package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// site is an agent's handler that notes what it was asked and answers with one value.
type site struct {
	asked  []json.RawMessage
	answer any
	refuse farm.Code
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in json.RawMessage
	_ = json.NewDecoder(r.Body).Decode(&in)
	s.asked = append(s.asked, in)
	if s.refuse != "" {
		w.WriteHeader(s.refuse.Status())
		_ = json.NewEncoder(w).Encode(wire.Error{Code: s.refuse, Detail: "because"})
		return
	}
	_ = json.NewEncoder(w).Encode(s.answer)
}

func TestDiscover(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	yes := true
	s := &site{answer: wire.DiscoverResult{Found: []wire.Found{
		{Serial: "01P00A000000001", Name: "Shop", Model: "P1S", Address: "192.168.1.7", Firmware: "01.08.02.00", Connect: "lan", Bind: "free", Developer: &yes, Via: wire.ViaSSDP, SeenMS: seedTime.UnixMilli()},
		{Serial: "99Z00A000000009", Address: "192.168.1.8", Via: wire.ViaCertificate},
	}}}
	r.links.agent = s
	a := r.do(r.admin, http.MethodPost, base+"/agents/1/discover", `{"ranges":["192.168.1.0/24"],"seconds":2}`)
	want := `[{"serial_number":"01P00A000000001","name":"Shop","model":"P1S","model_code":"P1S","ip_address":"192.168.1.7","firmware":"01.08.02.00",` +
		`"connect":"lan","bind":"free","developer_mode":true,"via":"ssdp","seen_at":"2024-01-15T13:30:00Z","printer_id":1},` +
		`{"serial_number":"99Z00A000000009","name":null,"model":null,"model_code":null,"ip_address":"192.168.1.8","firmware":null,` +
		`"connect":null,"bind":null,"developer_mode":null,"via":"certificate","seen_at":null,"printer_id":null}]`
	if a.status != 200 || strings.TrimSpace(string(a.body)) != want || a.header.Get("X-Total-Count") != "2" {
		t.Errorf("%d %s", a.status, a.body)
	}
	r.do(r.admin, http.MethodPost, base+"/agents/1/discover", "")
	if string(s.asked[0]) != `{"ranges":["192.168.1.0/24"],"listen_ms":2000}` || string(s.asked[1]) != `{"ranges":[],"listen_ms":6000}` {
		t.Errorf("asked %s", s.asked)
	}
	s.refuse = farm.Invalid
	r.wantError(r.do(r.admin, http.MethodPost, base+"/agents/1/discover", `{"ranges":["8.8.8.0/24"]}`), farm.Invalid, "because")
	r.wantError(r.do(r.admin, http.MethodPost, base+"/agents/1/discover", `{"seconds":31}`), farm.Invalid, "seconds")
	r.wantError(r.do(r.admin, http.MethodPost, base+"/agents/9/discover", ""), farm.NotFound, "9")
	read := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read}})
	r.wantError(r.do(read, http.MethodPost, base+"/agents/1/discover", ""), farm.Forbidden, "control")
	one := r.key(auth.NewKey{Permissions: farm.Permissions, Printers: []int64{1}})
	r.wantError(r.do(one, http.MethodPost, base+"/agents/1/discover", ""), farm.Forbidden, "printers")
	r.wantError(r.do(one, http.MethodPost, base+"/agents/1/test", `{"serial_number":"A","ip_address":"10.0.0.1","access_code":"12345678"}`), farm.Forbidden, "printers")
}

func TestDiagnostics(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	s := &site{answer: wire.Report{Checks: []wire.Check{
		{ID: "mqtt_port", Title: "MQTT port", Result: wire.Pass, Detail: "open"},
		{ID: "ftps_port", Title: "FTPS port", Result: wire.Warn, Detail: "closed", Mend: "insert a card"},
	}}}
	r.links.agent = s
	a := r.get(base + "/printers/1/diagnostics")
	got := a.object(t)
	checks := got["checks"].([]any)
	last := checks[len(checks)-1].(map[string]any)
	if a.status != 200 || got["result"] != "warn" || len(checks) != 3 || last["mend"] != "insert a card" || checks[1].(map[string]any)["mend"] != nil {
		t.Errorf("%s", a.body)
	}
	if string(s.asked[0]) != `{"serial":"01P00A000000001","look_only":true}` {
		t.Errorf("asked %s", s.asked)
	}
	s.refuse = farm.Unsupported
	if got := r.get(base + "/printers/1/diagnostics").object(t); got["result"] != "fail" {
		t.Errorf("an agent that cannot: %v", got)
	}
	r.fleet.AgentDown(1)
	before := len(s.asked)
	got = r.get(base + "/printers/1/diagnostics").object(t)
	if checks := got["checks"].([]any); got["result"] != "fail" || len(checks) != 1 || checks[0].(map[string]any)["mend"] == nil || len(s.asked) != before {
		t.Errorf("without its agent: %v", got)
	}
	r.wantError(r.get(base+"/printers/9/diagnostics"), farm.NotFound, "")
}

func TestTestingAPrinter(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	s := &site{answer: wire.Report{Checks: []wire.Check{{ID: "login", Title: "Access code", Result: wire.Fail, Detail: "refused", Mend: "look at the screen"}}}}
	r.links.agent = s
	a := r.do(r.admin, http.MethodPost, base+"/printers/1/test", `{"ip_address":"10.0.0.9","access_code":"s3cr3t"}`)
	if got := a.object(t); a.status != 200 || got["result"] != "fail" {
		t.Errorf("%d %s", a.status, a.body)
	}
	r.do(r.admin, http.MethodPost, base+"/printers/1/test", "")
	r.do(r.admin, http.MethodPost, base+"/agents/1/test", `{"serial_number":"01p00a000000002","ip_address":"10.0.0.9","access_code":"s3cr3t","model":"P1S"}`)
	for i, want := range []string{
		`{"serial":"01P00A000000001","address":"10.0.0.9","access_code":"s3cr3t"}`, `{"serial":"01P00A000000001"}`,
		`{"serial":"01P00A000000002","model":"P1S","address":"10.0.0.9","access_code":"s3cr3t"}`,
	} {
		if string(s.asked[i]) != want {
			t.Errorf("asked %s, want %s", s.asked[i], want)
		}
	}
	if strings.Contains(r.log.String()+string(a.body), "s3cr3t") {
		t.Error("the access code got out")
	}
	r.fleet.AgentDown(1)
	r.wantError(r.do(r.admin, http.MethodPost, base+"/printers/1/test", ""), farm.AgentOffline, "")
	r.wantError(r.do(r.admin, http.MethodPost, base+"/agents/1/test", `{"serial_number":"A"}`), farm.Invalid, "required")
}

// What an agent saw of a printer that is not where it should be is a warning.
func TestAPrinterThatMoved(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	f := frameOf("01P00A000000001", r.server.mustView(t, 1).Status)
	f.Connection = &wire.Connection{State: wire.Unreachable}
	f.SeenAddress = "192.168.1.77"
	r.fleet.Apply(1, f)
	if a := r.get(base + "/printers/1"); !strings.Contains(string(a.body), "ADDRESS_CHANGED") || !strings.Contains(string(a.body), "192.168.1.77") {
		t.Errorf("%s", a.body)
	}
	p := r.registry.printers[1]
	p.Address = "192.168.1.77"
	r.put(p)
	if a := r.get(base + "/printers/1"); strings.Contains(string(a.body), "ADDRESS_CHANGED") {
		t.Errorf("after the address was mended: %s", a.body)
	}
}
