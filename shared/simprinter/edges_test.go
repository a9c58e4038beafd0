package simprinter

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// A print sent to a busy printer is refused with the code of "busy", and the
// print that runs goes on.
func TestBusy(t *testing.T) {
	for _, model := range []string{"A1", "X1C", "H2D"} {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{}, model)
			p := farm.Printers()[0]
			e := listen(t, p, dial)
			e.pushAll()
			if err := p.Start(PrintJob{Name: "first"}); err != nil {
				t.Fatal(err)
			}
			e.untilStatus(10*time.Minute, "layers", func(s bambu.Status) bool { return s.Job.Layer.Value > 2 })
			a := e.ask("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"second"`)
			if a.Result != bambu.Failed || a.ErrCode != 0x05004004 {
				t.Errorf("%s: %+v", model, a)
			}
			e.untilStatus(10*time.Second, "error", func(s bambu.Status) bool { return bambu.ErrorCode(s.Faults.PrintError) == "0500-4004" })
			e.ask("print", "clean_print_error", "")
			e.untilStatus(10*time.Second, "no error", func(s bambu.Status) bool { return s.Faults.PrintError == 0 })
			e.untilStatus(20*time.Minute, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FINISH" })
			if l := farm.Ledger(); len(l) != 1 || l[0].Name != "first" || l[0].Outcome != "success" || e.status().Job.Name != "first" {
				t.Errorf("%s: ledger %+v, job %+v", model, l, e.status().Job)
			}
		})
	}
}

// A cancelled print is FAILED without an error first; its code comes later.
func TestCancelCode(t *testing.T) {
	for _, model := range []string{"A1", "X1C", "H2D"} {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{}, model)
			p := farm.Printers()[0]
			e := listen(t, p, dial)
			e.pushAll()
			if err := p.Start(PrintJob{Name: "part"}); err != nil {
				t.Fatal(err)
			}
			e.untilStatus(10*time.Minute, "layers", func(s bambu.Status) bool { return s.Job.Layer.Value > 2 })
			if a := e.ask("print", "stop", ""); a.Result != bambu.OK {
				t.Errorf("%s: %+v", model, a)
			}
			e.untilStatus(10*time.Second, "stop", func(s bambu.Status) bool { return s.Job.GcodeState == "FAILED" })
			if code := e.status().Faults.PrintError; code != 0 {
				t.Errorf("%s: too early: %s", model, bambu.ErrorCode(code))
			}
			e.untilStatus(10*time.Second, "code", func(s bambu.Status) bool { return bambu.ErrorCode(s.Faults.PrintError) == "0300-400C" })
		})
	}
}

// No G-code heats beyond what the machine bears, or turns a fan beyond full.
func TestGcodeBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{}, "A1", "H2D")
		for _, p := range farm.Printers() {
			e := listen(t, p, dial)
			e.pushAll()
			e.ask("print", "gcode_line", `,"param":"M104 S99999\nM140 S99999\nM141 S99999\nM106 P1 S999\nM106 P2 S999"`)
			e.untilStatus(10*time.Second, "targets", func(s bambu.Status) bool { return s.Temps.NozzleTarget.Value > 0 && s.Fans.Part.Value > 0 })
			s := e.status()
			if s.Temps.NozzleTarget.Value != float64(p.model.NozzleMax) || s.Temps.BedTarget.Value != float64(p.model.BedMax) || s.Fans.Part.Value != 100 {
				t.Errorf("%s: %+v %+v", p.model.Code, s.Temps, s.Fans)
			}
			p.mu.Lock()
			if p.body.chamber.target != float64(p.model.ChamberMax) {
				t.Errorf("%s: chamber to %v", p.model.Code, p.body.chamber.target)
			}
			p.mu.Unlock()
		}
	})
}

// The access code is told to a client that is logged in.
func TestAccessCode(t *testing.T) {
	p := one(t, "P1S", Options{})
	e := listen(t, p, overTCP)
	e.send(`{"system":{"sequence_id":"2","command":"get_access_code"}}`)
	e.until(patience, "code", func(f []byte) bool {
		return strings.Contains(string(f), `"access_code":"`+p.Spec().AccessCode+`"`)
	})
}

// A capture of one frame a line is played over HTTP.
func TestControlReplay(t *testing.T) {
	farm := live(t, specs(t, 1, "A1"), Options{Speed: 100})
	server := httptest.NewServer(farm.Control())
	defer server.Close()
	p := farm.Printers()[0]
	e := listen(t, p, overTCP)
	e.pushAll()
	call(t, server, "POST", "/printers/"+p.Spec().Serial+"/replay", `{"t":0,"report":{"print":{"command":"push_status","msg":0,"gcode_state":"RUNNING","mc_percent":41}}}
{"t":10,"report":{"print":{"command":"push_status","msg":1,"mc_percent":42}}}
{"t":20,"report":{"print":{"command":"push_status","msg":1,"mc_percent":43}}}
`, 200, nil)
	var seen []int
	e.untilStatus(patience, "last frame", func(s bambu.Status) bool {
		note(&seen, s.Job.Progress.Value)
		return s.Job.Progress.Value == 43
	})
	if n := len(seen); n < 3 || seen[n-3] != 41 || seen[n-2] != 42 {
		t.Errorf("%v", seen)
	}
}

// What no printer can do is refused by the control API, not turned into something else.
func TestControlBounds(t *testing.T) {
	farm := live(t, specs(t, 1, "A1"), Options{})
	server := httptest.NewServer(farm.Control())
	defer server.Close()
	p := farm.Printers()[0]
	at := "/printers/" + p.Spec().Serial + "/"
	for path, bodies := range map[string][]string{
		"fault":  {`{"kind":"silent","seconds":1e12}`, `{"kind":"silent","seconds":1e300}`},
		"print":  {`{"minutes":1e12}`, `{"minutes":1e300}`, `{"minutes":-5}`},
		"replay": {"{\"t\":0}\n{\"t\":1}\n", "{\"t\":0,\"report\":{}}\n{\"t\":1,\"report\":null}\n", "{\"t\":0,\"report\":{}}\n{\"t\":1e300,\"report\":{}}\n"},
	} {
		for _, b := range bodies {
			call(t, server, "POST", at+path, b, 400, nil)
			if s := p.State(); len(s.Faults) > 0 || s.GcodeState != "IDLE" || s.Job != "" {
				t.Errorf("%s: %s: %+v", path, b, s)
			}
		}
	}
	// A fault that cannot be had now is a conflict, not a wrong body.
	call(t, server, "POST", at+"fault", `{"kind":"ghost_replay"}`, 409, nil)
}
