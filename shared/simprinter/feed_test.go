package simprinter

import (
	"slices"
	"testing"
	"time"
)

// seen is what a report shows of a filament change.
type seen struct {
	stage, status   int
	target, now, at int // trays; at: the one before
	sensor          bool
}

// watch moves a machine on second by second until its print ends, and lists the
// changes.
func watch(v *machine) (out []seen) {
	for range 7200 {
		ended := v.step(time.Second)
		s := seen{v.stage, v.amsStatus, v.trayTarget, v.trayNow, v.trayBefore, v.filament}
		if len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
		if ended {
			break
		}
	}
	return out
}

// Filament is loaded and unloaded in the order a real A1 was recorded with.
func TestFeedOrder(t *testing.T) {
	v := body(t, "A1")
	v.accept(PrintJob{Minutes: 10, mapping: []int{-1, 3}})
	want := []seen{
		{0, 0, 255, 255, 255, false}, // until now it had no print
		{2, 0, 255, 255, 255, false},
		{13, 0, 255, 255, 255, false},
		{24, 258, 3, 255, 255, false},
		{4, 258, 3, 255, 255, false},
		{4, 261, 3, 255, 255, false},
		{4, 262, 3, 255, 255, false},
		{4, 262, 3, 255, 255, true},
		{4, 258, 3, 255, 255, true},
		{4, 262, 3, 255, 255, true},
		{4, 263, 3, 3, 255, true},
		{4, 768, 3, 3, 3, true},
		{14, 768, 3, 3, 3, true},
		{1, 768, 3, 3, 3, true},
		{0, 768, 3, 3, 3, true},
		{255, 768, 3, 3, 3, true},
		{255, 258, 255, 3, 3, true},
		{255, 259, 255, 3, 3, true},
		{255, 260, 255, 3, 3, true},
		{255, 260, 255, 3, 3, false},
		{255, 0, 255, 255, 255, false},
	}
	if got := watch(v); !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A print from the external spool moves nothing in the AMS.
func TestExternalSpool(t *testing.T) {
	v := body(t, "P1S")
	v.accept(PrintJob{Minutes: 10, mapping: []int{-1}})
	used := false
	for _, s := range watch(v) {
		if s.status != 0 || s.now != externalSpool && s.now != 255 {
			t.Errorf("%+v", s)
		}
		used = used || s.now == externalSpool
	}
	if !used || v.job.outcome != "success" {
		t.Errorf("used %v, %s", used, v.job.outcome)
	}
}

// While the filament leaves, the printer says RUNNING with less than 100 %, and cannot
// be paused any more; it can be stopped.
func TestUnloading(t *testing.T) {
	for _, model := range []string{"A1", "X1C", "H2D"} {
		v := body(t, model)
		v.accept(PrintJob{Minutes: 10})
		for v.job.ending == 0 {
			v.step(time.Second)
		}
		if v.state != stRunning || v.job.percent != 99 || v.job.layer != v.job.layers || v.jobView().remaining != 0 {
			t.Errorf("%s: %s, %+v", model, v.state, v.jobView())
		}
		if v.pause(16) {
			t.Errorf("%s: paused", model)
		}
		levels := map[int]bool{}
		for d := time.Duration(0); v.state == stRunning; d += time.Second {
			if d > time.Minute {
				t.Fatalf("%s: no end", model)
			}
			v.step(time.Second)
			levels[v.speedLevel()] = true
		}
		if v.state != stFinish || v.job.percent != 100 || v.speedLevel() != 2 || levels[253] != (model == "A1") {
			t.Errorf("%s: %s, %d %%, levels %v", model, v.state, v.job.percent, levels)
		}
	}
	v := body(t, "A1")
	v.accept(PrintJob{Minutes: 10})
	for v.job.ending == 0 {
		v.step(time.Second)
	}
	if !v.stop() || v.job.outcome != "stopped" || v.trayNow != 255 {
		t.Errorf("%+v", v.job)
	}
}

// However coarsely time runs, the print has its filament.
func TestCoarseFeed(t *testing.T) {
	for _, dt := range []time.Duration{time.Minute, time.Hour, 1000 * time.Hour} {
		v := body(t, "A1")
		v.accept(PrintJob{Minutes: 10, mapping: []int{2}})
		for v.job.done == 0 {
			v.move(dt)
		}
		if v.trayNow != 2 || v.trayTarget != 2 || v.trayBefore != 2 || v.amsStatus != amsAssist || !v.filament {
			t.Errorf("steps of %s: tray %d, status %d", dt, v.trayNow, v.amsStatus)
		}
	}
}

// The numbers of the last print stay until the next one runs; on a P2S the layer a
// moment longer.
func TestOldNumbers(t *testing.T) {
	for _, c := range []struct {
		model, source string
		states        []string
		layer         int // in the first report of RUNNING
	}{
		{"A1", "slicer", []string{stIdle, stPrepare, stRunning}, 0},
		{"A1", "cloud", []string{stFinish, stPrepare, stRunning}, 0},
		{"X1C", "slicer", []string{stFinish, stPrepare, stRunning}, 0},
		{"P2S", "slicer", []string{stFinish, stRunning}, 50},
		{"P2S", "cloud", []string{stFinish, stPrepare, stRunning}, 0},
	} {
		v := body(t, c.model)
		v.accept(PrintJob{Name: "old", Minutes: 10})
		watch(v)
		v.accept(PrintJob{Name: "new", Minutes: 20, Source: c.source})
		states := []string{v.state}
		for v.state != stRunning {
			if j := v.jobView(); j.name != "new" || j.percent != 100 || j.layer != 50 || j.layers != 50 || j.remaining != 0 || v.stages != nil {
				t.Errorf("%s %s, %s: %+v", c.model, c.source, v.state, j)
			}
			if v.step(time.Second); v.state != states[len(states)-1] {
				states = append(states, v.state)
			}
		}
		if j := v.jobView(); j.percent != 0 || j.layer != c.layer || j.layers != 100 || len(v.stages) == 0 {
			t.Errorf("%s %s: it runs with %+v", c.model, c.source, j)
		}
		if v.step(time.Second); v.jobView().layer != 0 || v.jobView().remaining != 20 {
			t.Errorf("%s %s: then %+v", c.model, c.source, v.jobView())
		}
		if !slices.Equal(states, c.states) {
			t.Errorf("%s %s: %v", c.model, c.source, states)
		}
	}
}

// Only a file of the cloud is downloaded.
func TestPreparePercent(t *testing.T) {
	for source, want := range map[string][]string{"cloud": {"100", "0", "100"}, "slicer": {"100"}} {
		v := body(t, "A1")
		v.accept(PrintJob{Source: source})
		var got []string
		for v.state != stRunning {
			if p := v.jobView().prepared; len(got) == 0 || got[len(got)-1] != p {
				got = append(got, p)
			}
			v.step(time.Second)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v", source, got)
		}
	}
}

// A cancelled print on a P2S: first no error, then its code in three forms.
func TestCancelForms(t *testing.T) {
	v := body(t, "P2S")
	v.accept(PrintJob{})
	after(v, 5*time.Minute)
	v.stop()
	if v.printError != 0 || len(v.hms) != 0 || v.motionError() != "0" {
		t.Errorf("at once: %x %v", v.printError, v.hms)
	}
	after(v, 10*time.Second)
	if v.printError != errCancelled || len(v.hms) != 1 || v.hms[0] != cancelHMS || v.motionError() != "16396" {
		t.Errorf("then: %x %v %s", v.printError, v.hms, v.motionError())
	}
	if v.accept(PrintJob{}); len(v.hms) != 0 {
		t.Errorf("at the next print: %v", v.hms)
	}
}
