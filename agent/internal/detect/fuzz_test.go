package detect

import (
	"encoding/json"
	"testing"

	"bambuddy/shared/bambu"
)

// FuzzStep plays any sequence of pictures. What must hold for each of them is in
// player; in the end every print can be brought to its end.
func FuzzStep(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	f.Add([]byte{7, 1, 1, 1, 100, 50, 0, 1, 0, 0, 2, 2, 0, 0, 0, 3, 3, 0, 2, 2, 60, 20, 0, 9, 6, 1, 3, 3, 60, 20, 1, 200})
	f.Add([]byte{7, 1, 1, 1, 100, 50, 0, 1, 7, 1, 2, 2, 100, 50, 0, 9, 3, 0, 3, 3, 1, 1, 0, 9, 8, 0, 3, 3, 1, 1, 2, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newPlayer(t)
		for ; len(script) >= 8 && p.minted < 200; script = script[8:] {
			in := fuzzInput(&p.status, script)
			p.now += int64(int8(script[7])) * 7 //nolint:gosec // both signs are wanted
			in.AtMS = p.now * 1000
			in.Status = p.status
			p.step(in)
		}
		p.status.Job.GcodeState = "FINISH"
		p.status.Faults = bambu.Faults{}
		for i := 0; ; i++ {
			p.step(Input{Status: p.status, AtMS: p.now * 1000})
			due, ok := p.state.Due(p.now * 1000)
			if !ok {
				break
			}
			if p.now = (due + 999) / 1000; i > 400 {
				t.Fatalf("it never comes to rest: %s", encode(t, p.state))
			}
		}
		for id, l := range p.runs {
			if !l.ended {
				t.Errorf("run %s did not end", id)
			}
		}
	})
}

// fuzzInput makes the next picture of eight bytes.
func fuzzInput(s *bambu.Status, b []byte) Input {
	pick := func(i int, of ...string) string { return of[int(b[i])%len(of)] }
	s.Job.GcodeState = pick(0, "", "INIT", "PREPARE", "RUNNING", "PAUSE", "IDLE", "FAILED", "FINISH", "FAILED", "OFFLINE", "SLICING")
	s.Job.SubtaskID = pick(2, "", "0", "7", "8", "9", "x\xff")
	s.Job.Name = pick(3, "", "old", "cube", "cube.3mf", "b\xff", "0")
	s.Job.File = pick(3, "", "old.3mf", "/data/Metadata/plate_1.gcode", "cube.3mf", "/usr/cali.gcode", "b\xffll")
	s.Job.Kind = pick(2, "", "idle", "local", "cloud", "local", "system")
	s.Job.Progress, s.Job.Layer = bambu.Some(int(b[4])%101), bambu.Some(int(b[5]))
	s.Job.Remaining = bambu.Opt[int]{Value: 60 * int(b[5]), Known: b[5]%3 > 0}
	s.Job.TotalLayers = bambu.Opt[int]{Value: 200, Known: b[5]%2 > 0}
	s.Job.Plate = bambu.Opt[int]{Value: int(b[4]) % 3, Known: b[4]%3 > 0}
	s.Faults = bambu.Faults{}
	switch b[6] % 5 {
	case 1:
		s.Faults.PrintError = 0x0300400C
	case 2:
		s.Faults.PrintError = uint32(b[6])<<24 | 0x8000
	case 3:
		for i := range uint32(60) {
			s.Faults.HMS = append(s.Faults.HMS, bambu.HMS{Attr: uint32(b[6])<<8 | i, Code: i<<14 | 1})
		}
	}
	return Input{Fresh: b[1]%4 == 1, Stopped: b[1]%8 == 2}
}

// FuzzState: a journal may hold anything, Step must live with it.
func FuzzState(f *testing.F) {
	f.Add(`{"known":true,"open":{"print":{"run_id":"x"},"held_ms":5},"faults":[{"gone_ms":-9}],"unseen":{},"pending":{}}`, "FAILED", int64(-1))
	f.Add(`{"clock_ms":9223372036854775807,"seen_ms":-9223372036854775808,"open":{"stop_ms":-9223372036854775808}}`, "IDLE", int64(5))
	f.Fuzz(func(t *testing.T, journal, word string, at int64) {
		var s State
		if json.Unmarshal([]byte(journal), &s) != nil {
			return // no journal at all: record begins anew with that
		}
		var status bambu.Status
		status.Job.GcodeState, status.Job.SubtaskID = word, "8"
		for _, fresh := range []bool{true, false} {
			s, _ = s.Step(Input{Status: status, AtMS: at, Fresh: fresh, NewRun: "r"})
			s.Due(at)
		}
	})
}
