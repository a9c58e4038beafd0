package detect

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bambuddy/shared/bambu"
)

// shelf is where recordings of real printers lie on the maintainers' machines.
// They are not ours to ship, so these tests are skipped without them.
const shelf = "../../../../shared/protocol/captures"

// frame is one payload of a printer, and when it came.
type frame struct {
	ms      int64
	payload []byte
}

// replay gives frames to the merge and its pictures to the detector, as a session does.
func replay(t *testing.T, frames []frame) *player {
	t.Helper()
	p := newPlayer(t)
	p.now = 0
	var s bambu.State
	first := true
	for _, f := range frames {
		applied, err := s.Apply(f.payload)
		if err != nil {
			t.Fatal(err)
		}
		stopped := slices.ContainsFunc(applied.Acks, func(a bambu.Ack) bool {
			return a.Section == "print" && a.Command == "stop" && a.Result == bambu.OK
		})
		p.status = s.Status()
		if p.status.Job.GcodeState == "" {
			continue
		}
		p.step(Input{Status: p.status, AtMS: f.ms, Fresh: first, Stopped: stopped})
		first = false
	}
	return p
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shelf, name))
	if os.IsNotExist(err) {
		t.Skip("the recordings of real printers are on the shelf, which is not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRecordings replays whole prints of an A1.
func TestRecordings(t *testing.T) {
	for name, want := range map[string]string{
		"a1-lan-print-1color.jsonl": `
			A started name=Würfel.3mf file=Würfel.3mf kind=local
			A progress 25
			A progress 50
			A progress 75
			A finished success at 100/50 began=650`,
		"a1-cloud-print-1color.jsonl": `
			A started id=887337664 name=Würfel file=Würfel.3mf kind=cloud
			A progress 25
			A progress 50
			A progress 75
			A finished success at 100/50 began=664`,
	} {
		t.Run(name, func(t *testing.T) {
			var frames []frame
			lines := bufio.NewScanner(bytes.NewReader(read(t, name)))
			lines.Buffer(nil, bambu.MaxPayload)
			for lines.Scan() {
				var line struct {
					T      float64         `json:"t"`
					Report json.RawMessage `json:"report"`
				}
				if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
					t.Fatal(err)
				}
				frames = append(frames, frame{int64(line.T * 1000), line.Report})
			}
			replay(t, frames).expect(want)
		})
	}
}

// TestNozzleMismatch replays a P2S that pauses itself, is stopped, and says only
// five seconds later that it was: with the answer to the stop command, and without.
func TestNozzleMismatch(t *testing.T) {
	var c struct {
		Events []struct {
			MS      int64           `json:"ms"`
			Section string          `json:"section"`
			Payload json.RawMessage `json:"payload"`
		} `json:"events"`
	}
	if err := json.Unmarshal(read(t, "p2s-print-nozzle-mismatch-then-stop-events.json"), &c); err != nil {
		t.Fatal(err)
	}
	const before = `
		fault_raised HMS_0500_0600_0002_0070 serious
		fault_raised HMS_0501_0400_0003_0002 common
		fault_raised HMS_0500_0500_0001_0007 fatal
		A started name=ams file=/data/Metadata/plate_1.gcode kind=local plate=1
		fault_raised 0500-803C serious in A
		A paused
		`
	for _, heard := range []bool{true, false} {
		var frames []frame
		for _, e := range c.Events {
			payload, err := json.Marshal(map[string]json.RawMessage{e.Section: e.Payload})
			if err != nil {
				t.Fatal(err)
			}
			if heard || !bytes.Contains(payload, []byte(`"command":"stop"`)) {
				frames = append(frames, frame{e.MS, payload})
			}
		}
		p := replay(t, frames)
		if heard {
			p.expect(before + "A finished stopped began=17")
		} else {
			p.expect(before + "A finished stopped ago=4 began=21")
		}
	}
}

// TestPictures: a recorded printer that runs is observed, any other tells of no print.
func TestPictures(t *testing.T) {
	for name, want := range map[string]string{
		"a1-idle-amslite.json":           "",
		"a1mini-idle-amslite.json":       "",
		"a2l-idle-amslite16.json":        "",
		"h2dpro-idle-ethernet.json":      "",
		"p1p-failed-ams.json":            "",
		"x1c-finish-3ams-1ht.json":       "",
		"x1c-idle-2023.json":             "",
		"h2d-running-local-2ams.json":    "A observed name=T-pose - slim H2D dual AMS riser file=/data/Metadata/plate_1.gcode kind=local plate=1 ~ began=",
		"h2s-running-cloud.json":         "A observed id=662543632 name=Kabelfuehrung_v3 file=/data/Metadata/plate_1.gcode kind=cloud plate=1 ~ began=",
		"p2s-running-local-ams2pro.json": "A observed name=Rear Dry Pod AMS 2 PRO file=/data/Metadata/plate_1.gcode kind=local plate=1 tl ~ began=",
		"p1-running-87pct-merged.json":   "A observed file=running_test.3mf kind=local tl ~ began=",
		"x2d-running-cloud-hms.json":     "A observed id=259462197 name=Build Plate Cleaner Trays - A1 Mini file=/data/Metadata/plate_3.gcode kind=cloud plate=3 ~ began=",
	} {
		t.Run(name, func(t *testing.T) {
			var c struct {
				Report json.RawMessage `json:"report"`
			}
			if err := json.Unmarshal(read(t, name), &c); err != nil {
				t.Fatal(err)
			}
			p := replay(t, []frame{{1_000_000_000, c.Report}})
			var prints []string
			for _, line := range p.told {
				if line[0] == 'A' {
					prints = append(prints, line)
				}
			}
			if want == "" && len(prints) > 0 || want != "" && (len(prints) != 1 || len(prints[0]) <= len(want) || prints[0][:len(want)] != want) {
				t.Errorf("told %q, want %q", prints, want)
			}
		})
	}
}

// TestFrames replays our own short form of what an X1 says around a print: the
// title of the print before while it prepares, and numbers that stay for a while.
func TestFrames(t *testing.T) {
	var frames []frame
	for i, payload := range []string{
		`{"print":{"command":"push_status","msg":0,"gcode_state":"FINISH","print_type":"cloud","subtask_id":"41","subtask_name":"Lid","gcode_file":"/data/Metadata/plate_1.gcode","mc_percent":100,"mc_remaining_time":0,"layer_num":80,"total_layer_num":80,"print_error":0,"hms":[],"ipcam":{"timelapse":"disable"}}}`,
		`{"print":{"command":"push_status","msg":1,"gcode_state":"PREPARE","gcode_file_prepare_percent":"10"}}`,
		`{"print":{"command":"push_status","msg":1,"subtask_id":"42","subtask_name":"Box","gcode_file":"/data/Metadata/plate_2.gcode"}}`,
		`{"print":{"command":"push_status","msg":1,"gcode_state":"RUNNING","total_layer_num":120,"ipcam":{"timelapse":"enable"}}}`,
		`{"print":{"command":"push_status","msg":1,"mc_percent":0,"layer_num":0,"mc_remaining_time":90}}`,
		`{"print":{"command":"push_status","msg":1,"mc_percent":30,"layer_num":33,"mc_remaining_time":60}}`,
		`{"print":{"command":"push_status","msg":1,"gcode_state":"FAILED","mc_percent":0,"layer_num":0}}`,
		`{"print":{"command":"push_status","msg":1,"print_error":50348044}}`,
	} {
		frames = append(frames, frame{int64(i) * 4000, []byte(payload)})
	}
	replay(t, frames).expect(`
		A started name=Lid file=/data/Metadata/plate_1.gcode kind=cloud plate=1
		A details id=42 name=Box file=/data/Metadata/plate_2.gcode kind=cloud plate=2
		A details id=42 name=Box file=/data/Metadata/plate_2.gcode kind=cloud plate=2 tl
		A progress 25
		A finished stopped at 30/33 ago=4 began=24`)
}
