package simprinter

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/bambu"
)

func TestControl(t *testing.T) {
	farm := live(t, specs(t, 2, "A1", "X1C"), Options{Speed: 300})
	server := httptest.NewServer(farm.Control())
	defer server.Close()
	a1, x1c := farm.Printers()[0], farm.Printers()[1]
	file := filepath.Join(t.TempDir(), "part.3mf")
	if err := os.WriteFile(file, []byte("a 3mf"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := listen(t, x1c, overTCP)
	e.pushAll()
	at := func(p *Printer, what string) string { return "/printers/" + p.Spec().Serial + "/" + what }

	var states []State
	if call(t, server, "GET", "/printers", "", 200, &states); len(states) != 2 || states[1].Model != "X1C" || states[1].GcodeState != "IDLE" || states[1].Clients != 1 || states[1].MQTTPort == 0 || states[1].Faults == nil {
		t.Errorf("%+v", states)
	}
	var st State
	call(t, server, "POST", at(x1c, "print"), fmt.Sprintf(`{"name":"benchy","plate":3,"minutes":600,"source":"cloud","file":%q}`, file), 200, &st)
	call(t, server, "POST", at(x1c, "print"), `{"name":"again"}`, 409, nil)
	e.untilStatus(20*time.Second, "layers", func(s bambu.Status) bool { return s.Job.Layer.Value > 3 && s.Job.Plate.Value == 3 })
	if call(t, server, "POST", at(x1c, "pause"), "", 200, &st); st.GcodeState != "PAUSE" {
		t.Errorf("%+v", st)
	}
	call(t, server, "POST", at(x1c, "pause"), "", 409, nil)
	if call(t, server, "POST", at(x1c, "resume"), "", 200, &st); st.GcodeState != "RUNNING" || st.Job != "benchy" {
		t.Errorf("%+v", st)
	}
	if call(t, server, "POST", at(x1c, "stop"), "", 200, &st); st.GcodeState != "FAILED" {
		t.Errorf("%+v", st)
	}
	var ledger []map[string]any
	call(t, server, "GET", "/ledger", "", 200, &ledger)
	sum := sha256.Sum256([]byte("a 3mf"))
	if len(ledger) != 1 || ledger[0]["serial"] != x1c.Spec().Serial || ledger[0]["name"] != "benchy" || ledger[0]["outcome"] != "stopped" ||
		ledger[0]["sha256"] != hex.EncodeToString(sum[:]) || ledger[0]["source"] != "cloud" || ledger[0]["subtask_id"] == "0" || ledger[0]["ended_at"] == nil ||
		ledger[0]["plate"] != 3.0 || ledger[0]["file"] != "benchy.3mf" || ledger[0]["path"] == "" || ledger[0]["timelapse"] != "" {
		t.Errorf("%v", ledger)
	}
	if call(t, server, "POST", at(a1, "fault"), `{"kind":"silent","seconds":60}`, 200, &st); len(st.Faults) != 1 || st.Faults[0] != "silent" {
		t.Errorf("%+v", st)
	}
	if call(t, server, "POST", at(a1, "fault"), `{"kind":"silent","seconds":-1}`, 200, &st); len(st.Faults) != 0 {
		t.Errorf("%+v", st)
	}
	call(t, server, "POST", at(x1c, "replay"), `{"report":{"print":{"command":"push_status","gcode_state":"RUNNING","subtask_name":"recorded"}}}`, 200, nil)
	e.untilStatus(5*time.Second, "replay", func(s bambu.Status) bool { return s.Job.Name == "recorded" })
	var inventory []InventoryEntry
	if call(t, server, "GET", "/inventory", "", 200, &inventory); len(inventory) != 2 || inventory[0] != farm.Inventory()[0] {
		t.Errorf("%+v", inventory)
	}
	for _, bad := range []struct {
		path, body string
		status     int
	}{
		{"/printers/NOBODY/stop", "", 404},
		{at(a1, "stop"), "", 409},
		{at(a1, "print"), `{"source":"moon"}`, 400},
		{at(a1, "print"), `{"file":"/nowhere/x.3mf"}`, 400},
		{at(a1, "print"), `{"plates":37}`, 400},
		{at(a1, "print"), `{"plate":-1}`, 400},
		{at(a1, "print"), `{`, 400},
		{at(a1, "fault"), `{"kind":"coffee"}`, 400},
		{at(a1, "fault"), `nonsense`, 400},
		{at(a1, "replay"), `nonsense`, 400},
		{at(a1, "dance"), "", 404},
	} {
		call(t, server, "POST", bad.path, bad.body, bad.status, nil)
	}
}

func call(t *testing.T, server *httptest.Server, method, path, body string, status int, out any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Errorf("%s %s %s: %s: %s", method, path, body, resp.Status, b)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(b, out); err != nil {
		t.Errorf("%s %s: %v: %s", method, path, err, b)
	}
}
