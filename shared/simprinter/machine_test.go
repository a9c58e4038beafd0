package simprinter

import (
	"slices"
	"testing"
	"time"

	"bambuddy/shared/bambu"
)

func body(t *testing.T, model string) *machine {
	t.Helper()
	m, ok := bambu.ModelByCode(model)
	if !ok {
		t.Fatalf("no model %s", model)
	}
	return newMachine(m, 1)
}

// after moves a machine on, second by second as a printer does.
func after(v *machine, d time.Duration) {
	for ; d > 0; d -= time.Second {
		v.step(time.Second)
	}
}

// The course of a print of ten minutes, of which three go to the preparation.
func TestCourse(t *testing.T) {
	const anyStage = -9 // what no stage reads as differs between models
	for _, model := range []string{"A1", "P1S", "X1C", "H2D"} {
		v := body(t, model)
		v.accept(PrintJob{Name: "part", Minutes: 10})
		at := time.Duration(0)
		for _, want := range []struct {
			at           time.Duration
			state        string
			stage        int
			percent      int
			layer        int
			nozzle, bed  float64 // targets
			busy, loaded bool
		}{
			{time.Second, stIdle, anyStage, 0, 0, 0, 0, true, false},
			{3 * time.Second, stPrepare, anyStage, 0, 0, 0, 0, true, false},
			{20 * time.Second, stRunning, 2, 0, 0, 140, 60, true, false},
			{60 * time.Second, stRunning, 13, 0, 0, 140, 60, true, false},
			{90 * time.Second, stRunning, 4, 0, 0, 220, 60, true, false},
			{120 * time.Second, stRunning, 4, 0, 0, 220, 60, true, true},
			{140 * time.Second, stRunning, 14, 0, 0, 220, 60, true, true},
			{170 * time.Second, stRunning, 1, 0, 0, 220, 60, true, true},
			{8 * time.Minute, stRunning, 0, 49, 25, 220, 60, true, true},
			{14 * time.Minute, stFinish, anyStage, 100, 50, 0, 0, false, false},
			{30 * time.Minute, stFinish, anyStage, 100, 50, 0, 0, false, false},
		} {
			after(v, want.at-at)
			at = want.at
			j := v.job
			if v.state != want.state || want.stage != anyStage && v.stage != want.stage || j.percent != want.percent || j.layer != want.layer ||
				v.nozzle[0].target != want.nozzle || v.bed.target != want.bed || v.busy() != want.busy || (v.trayNow == 0) != want.loaded {
				t.Errorf("%s at %s: %s stage %d, %d %%, layer %d, targets %v %v, busy %v, tray %d; want %+v",
					model, want.at, v.state, v.stage, j.percent, j.layer, v.nozzle[0].target, v.bed.target, v.busy(), v.trayNow, want)
			}
		}
		if v.nozzle[0].now > 40 || v.bed.now > 40 {
			t.Errorf("%s does not cool: %v %v", model, v.nozzle[0].now, v.bed.now)
		}
	}
}

// Every state is seen whatever the length of a step, and the print ends once.
func TestSteps(t *testing.T) {
	for _, dt := range []time.Duration{100 * time.Millisecond, time.Second, 17 * time.Second, time.Hour, 1000 * time.Hour} {
		v := body(t, "X1C")
		v.accept(PrintJob{Minutes: 10})
		states, ends := []string{v.state}, 0
		for range 20000 {
			if v.step(dt) {
				ends++
			}
			if v.state != states[len(states)-1] {
				states = append(states, v.state)
			}
		}
		if want := []string{stIdle, stPrepare, stRunning, stFinish}; !slices.Equal(states, want) || ends != 1 {
			t.Errorf("steps of %s: %v, %d ends", dt, states, ends)
		}
	}
}

// A print at another speed takes another time; a pause stops it, not the clock.
func TestSpeed(t *testing.T) {
	took := func(level int, pause time.Duration) time.Duration {
		v := body(t, "A1")
		v.speed = level
		v.accept(PrintJob{Minutes: 10})
		for d := time.Second; d < 2*time.Hour; d += time.Second {
			if v.step(time.Second) {
				return d
			}
			if d == 5*time.Minute && pause > 0 {
				v.pause(16)
				before := v.job.done
				after(v, pause)
				if v.job.done != before || v.state != stPause || !v.resume() {
					t.Errorf("it printed while paused: %s, %s", v.job.done-before, v.state)
				}
				d += pause
			}
		}
		return 0
	}
	usual := took(2, 0)
	for level, want := range map[int]float64{1: 20, 2: 10, 3: 10 / 1.24, 4: 10 / 1.66} {
		want += (usual - 10*time.Minute).Minutes()
		if got := took(level, 0).Minutes(); got < want-0.1 || got > want+0.1 {
			t.Errorf("level %d: %.2f minutes, want %.2f", level, got, want)
		}
	}
	if got := took(2, 30*time.Minute); got != usual+30*time.Minute {
		t.Errorf("with a pause: %s, without: %s", got, usual)
	}
}

// What is not possible in a state is refused and changes nothing.
func TestRefusals(t *testing.T) {
	reach := map[string]func(*machine){
		stIdle:    func(*machine) {},
		stPrepare: func(v *machine) { v.accept(PrintJob{}); after(v, 3*time.Second) },
		stRunning: func(v *machine) { v.accept(PrintJob{}); after(v, 5*time.Minute) },
		stPause:   func(v *machine) { v.accept(PrintJob{}); after(v, 5*time.Minute); v.pause(16) },
		stFinish:  func(v *machine) { v.accept(PrintJob{}); after(v, time.Hour) },
		stFailed:  func(v *machine) { v.accept(PrintJob{}); after(v, 5*time.Minute); v.stop() },
	}
	for state, want := range map[string]struct{ pause, resume, stop string }{
		stIdle:    {},
		stPrepare: {stop: stFailed},
		stRunning: {pause: stPause, stop: stFailed},
		stPause:   {resume: stRunning, stop: stFailed},
		stFinish:  {},
		stFailed:  {},
	} {
		for name, try := range map[string]struct {
			do   func(*machine) bool
			want string
		}{
			"pause":  {func(v *machine) bool { return v.pause(16) }, want.pause},
			"resume": {(*machine).resume, want.resume},
			"stop":   {(*machine).stop, want.stop},
		} {
			v := body(t, "X1C")
			reach[state](v)
			if v.state != state {
				t.Fatalf("%s instead of %s", v.state, state)
			}
			ok := try.do(v)
			if end := try.want; ok != (end != "") || ok && v.state != end || !ok && v.state != state {
				t.Errorf("%s in %s: %v, then %s", name, state, ok, v.state)
			}
		}
	}
}

// A print that is stopped before it begins never begins.
func TestStopEarly(t *testing.T) {
	v := body(t, "A1")
	v.accept(PrintJob{})
	if !v.stop() {
		t.Fatal("not stopped")
	}
	after(v, time.Hour)
	if v.state != stFailed || v.job.outcome != "stopped" || v.busy() {
		t.Errorf("%s %s", v.state, v.job.outcome)
	}
}

// The error that follows a cancelled print: five seconds later, on the A and P
// series for six.
func TestEcho(t *testing.T) {
	for model, want := range map[string][3]uint32{"A1": {0, errCancelled, 0}, "X1C": {0, errCancelled, errCancelled}} {
		v := body(t, model)
		v.accept(PrintJob{})
		after(v, 5*time.Minute)
		v.stop()
		for i, d := range []time.Duration{3 * time.Second, 4 * time.Second, 10 * time.Second} {
			if after(v, d); v.printError != want[i] {
				t.Errorf("%s, %d: %x", model, i, v.printError)
			}
		}
		if v.accept(PrintJob{}); v.printError != 0 {
			t.Errorf("%s: %x at the next print", model, v.printError)
		}
	}
}

// A power cut takes the print, its error and the heat's targets.
func TestPowerOn(t *testing.T) {
	v := body(t, "H2D")
	v.accept(PrintJob{})
	after(v, 5*time.Minute)
	v.printError = errNozzle
	if !v.powerOn() || v.powerOn() {
		t.Error("a print is lost once")
	}
	if v.state != stIdle || v.job != nil || v.busy() || v.printError != 0 || v.nozzle[0].target != 0 || v.bed.target != 0 || v.trayNow != 255 {
		t.Errorf("%+v", v)
	}
}
