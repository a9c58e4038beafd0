package bambu

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// shelf is where recordings of real printers lie on the maintainers' machines.
// They are not ours to ship, so these tests are skipped without them.
const shelf = "../../../shared/protocol/captures"

func recording(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shelf, name))
	if os.IsNotExist(err) {
		t.Skip("no recordings here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// capture is the form of the .json recordings.
type capture struct {
	Report     json.RawMessage            `json:"report"`
	GetVersion json.RawMessage            `json:"get_version"`
	Frames     []json.RawMessage          `json:"frames"`
	Fragments  map[string]json.RawMessage `json:"fragments"`
	Events     []struct {
		MS      int             `json:"ms"`
		Section string          `json:"section"`
		Payload json.RawMessage `json:"payload"`
	} `json:"events"`
	Pairs []struct {
		Answer json.RawMessage `json:"answer"`
	} `json:"pairs"`
}

func readCapture(t *testing.T, name string) capture {
	t.Helper()
	var c capture
	if err := json.Unmarshal(recording(t, name), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCaptures reads every recording of one whole picture. The values were worked
// out by hand from the recordings.
func TestCaptures(t *testing.T) {
	for name, want := range wantCaptures {
		t.Run(name, func(t *testing.T) {
			c := readCapture(t, name)
			var s State
			for _, frame := range append(c.Frames, c.Report, c.GetVersion) {
				if frame != nil {
					apply(t, &s, string(frame))
				}
			}
			expect(t, s.Status(), want)
		})
	}
}

// TestRecordings replays two complete A1 prints, frame by frame, and looks at
// them on the way.
func TestRecordings(t *testing.T) {
	for name, at := range wantRecordings {
		t.Run(name, func(t *testing.T) {
			lines := bufio.NewScanner(bytes.NewReader(recording(t, name)))
			lines.Buffer(nil, MaxPayload)
			var s State
			s.AssumeModel("A1")
			n := 0
			for ; lines.Scan(); n++ {
				var line struct {
					Report json.RawMessage `json:"report"`
				}
				if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
					t.Fatal(err)
				}
				apply(t, &s, string(line.Report))
				if want, ok := at[n]; ok {
					t.Logf("line %d", n)
					expect(t, s.Status(), want)
				}
			}
			expect(t, s.Status(), at[-1])
		})
	}
}

// TestNozzleMismatchEvents replays a P2S that pauses itself, is stopped, and only
// five seconds later repeats the stop as an error.
func TestNozzleMismatchEvents(t *testing.T) {
	want := map[int]string{
		1325:  `{"job":{"gcode_state":"FINISH","layer":750,"name":"Tremendous Snaget-Gaaris"},"faults":{"print_error":0,"hms":[{"attr":83887616},{"attr":83952640},{"attr":83887360,"code":65543}]}}`,
		4992:  `{"job":{"gcode_state":"FINISH","name":"ams","kind":"cloud"},"faults":{"hms":[{},{}]}}`,
		7577:  `{"job":{"gcode_state":"RUNNING","progress":0,"layer":750,"total_layers":94,"kind":"local","plate":1}}`,
		8759:  `{"job":{"gcode_state":"PAUSE","layer":0},"faults":{"print_error":83918908}}`,
		24887: `{"job":{"gcode_state":"FAILED"},"faults":{"print_error":0}}`,
		29537: `{"job":{"gcode_state":"FAILED"},"faults":{"print_error":50348044,"hms":[{},{},{"attr":83887104,"code":196695}]}}`,
	}
	results := map[Result]int{}
	var s State
	for _, e := range readCapture(t, "p2s-print-nozzle-mismatch-then-stop-events.json").Events {
		a := apply(t, &s, `{"`+e.Section+`":`+string(e.Payload)+`}`)
		for _, ack := range a.Acks {
			results[ack.Result]++
		}
		if a.Full {
			t.Errorf("at %d ms an excerpt counts as full", e.MS)
		}
		if w, ok := want[e.MS]; ok && a.Kind == KindStatus {
			t.Logf("at %d ms", e.MS)
			expect(t, s.Status(), w)
			delete(want, e.MS)
		}
		for _, h := range s.Status().Faults.HMS {
			if h.CancelEcho() != (e.MS == 29537 && h.Code == 196695) {
				t.Errorf("at %d ms %s counts as the stop's echo: %v", e.MS, h, h.CancelEcho())
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not seen: %v", want)
	}
	if results[OK] != 11 || results[Failed] != 2 || results[None] != 0 {
		t.Errorf("answers: %v, want 11 ok and 2 failed", results)
	}
}

func TestH2DFragments(t *testing.T) {
	f := readCapture(t, "h2d-deltas-door-extruder-nozzle.json").Fragments
	steps := []struct{ fragment, want string }{
		{"push_old_door_closed", `{"machine":{"door_open":false,"storage":true}}`},
		{"push_old_door_opened", `{"machine":{"door_open":true}}`},
		{"push_door_closed", `{"machine":{"door_open":false}}`},
		{"push_door_opened", `{"machine":{"door_open":true}}`},
		{"push_left_extruder", `{"machine":{"active_extruder":1}}`},
		{"push_alt_nozzle_info", `{"machine":{"nozzles":[
			{"extruder":0,"diameter":0.2,"type":"stainless_steel","high_flow":false},{"extruder":1,"diameter":0.6,"type":"tungsten_carbide","high_flow":false}]}}`},
	}
	var s State
	s.AssumeModel("H2D")
	for _, step := range steps {
		a := apply(t, &s, string(f[step.fragment]))
		if a.Kind != KindStatus || a.Full {
			t.Errorf("%s: %+v", step.fragment, a)
		}
		expect(t, s.Status(), step.want)
	}
}

func TestAckExamples(t *testing.T) {
	want := []Ack{
		{"info", "get_version", "20002", None, "", 0},
		{"system", "get_access_code", "20003", OK, "", 0},
		{"print", "gcode_line", "20014", OK, "SUCCESS", 0},
		{"print", "", "1", OK, "success", 0},
		{"camera", "ipcam_get_media_info", "20021", OK, "", 0},
		{"print", "extrusion_cali_get", "9004", OK, "", 0},
		{"print", "extrusion_cali_get", "20040", Failed, "Not find", 0},
		{"print", "extrusion_cali_get_result", "9100", Failed, "Don't exist", 0},
		{"system", "ledctrl", "2301", Failed, "did not find the valid led: chamber_light2", 0},
		{"print", "gcode_line", "20005", Failed, "mqtt message verify failed", 84033543},
	}
	var s State
	var got []Ack
	for _, p := range readCapture(t, "ack-examples.json").Pairs {
		got = append(got, apply(t, &s, string(p.Answer)).Acks...)
	}
	if len(got) != len(want) {
		t.Fatalf("%d answers, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("answer %d: %+v, want %+v", i, got[i], want[i])
		}
		if refused := got[i].Unverified(); refused != (i == 9) {
			t.Errorf("answer %d: unverified = %v", i, refused)
		}
	}
	expect(t, s.Status(), `{"machine":{"model":"P2S","firmware":"01.02.00.00","serial":"22E00A000000001"}}`)
}

// TestEveryRecordingIsRead fails when the shelf holds a recording that no test of
// this file knows, and holds for all that a frame repeated changes nothing.
func TestEveryRecordingIsRead(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shelf, "*.json*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no recordings here")
	}
	elsewhere := map[string]bool{
		"ack-examples.json": true, "h2d-deltas-door-extruder-nozzle.json": true, "p2s-print-nozzle-mismatch-then-stop-events.json": true,
	}
	for _, f := range files {
		name := filepath.Base(f)
		_, whole := wantCaptures[name]
		_, lines := wantRecordings[name]
		if !whole && !lines && !elsewhere[name] {
			t.Errorf("%s is not read by any test", name)
		}
		if !whole {
			continue
		}
		var s State
		for _, frame := range []json.RawMessage{readCapture(t, name).Report, readCapture(t, name).GetVersion} {
			if frame == nil {
				continue
			}
			apply(t, &s, string(frame))
			if a := apply(t, &s, string(frame)); a.Changed {
				t.Errorf("%s: the same frame again changed something", name)
			}
		}
	}
}
