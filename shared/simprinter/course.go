package simprinter

import (
	"slices"
	"time"

	"bambuddy/shared/bambu"
)

// echo shows the error that follows a cancelled print: late, and on the A and P
// series only for some seconds.
func (v *machine) echo(dt time.Duration) {
	if v.cancelEcho <= 0 {
		return
	}
	v.cancelEcho -= dt
	switch delta := v.model.Reports == bambu.StyleDelta; {
	case v.cancelEcho <= 0 && delta && v.printError == errCancelled:
		v.printError = 0
	case v.cancelEcho <= echoLasts:
		v.printError = errCancelled
		if v.model.Code == "P2S" {
			v.hms = []bambu.HMS{cancelHMS}
		}
		if !delta {
			v.cancelEcho = 0
		}
	}
}

// skipsPrepare tells whether a job goes to RUNNING at once, as on a P2S that was
// given it over the LAN.
func (v *machine) skipsPrepare(j *job) bool { return v.model.Code == "P2S" && j.Source != "cloud" }

// begin ends the wait after a job was accepted.
func (v *machine) begin() {
	if v.skipsPrepare(v.job) {
		v.run()
		return
	}
	v.state = stPrepare
}

// preparing is the time before the first line: PREPARE is only the beginning of
// it, then the printer says RUNNING and works through its stages.
func (v *machine) preparing(dt time.Duration) {
	j, long := v.job, prepareTime
	if j.Source == "cloud" {
		long = cloudPrepare
	}
	if j.waitedFor += dt; j.waitedFor >= long {
		v.run()
		j.layer = 0
	}
}

// run begins the print proper. The numbers of the last job go, but the layer on a
// P2S, which is still the old one in the first report.
func (v *machine) run() {
	j := v.job
	v.state, v.stages, v.bed.target = stRunning, preparation, j.bedGoal
	j.begun, j.percent, j.total = true, 0, j.layers
}

func (v *machine) running(dt time.Duration) (ended bool) {
	j := v.job
	if j.routine != nil {
		return v.routine(dt)
	}
	if v.checked(dt) {
		return false
	}
	if j.waitedFor < j.prepare {
		j.waitedFor += dt
		j.layer = 0
		v.warmUp(float64(j.waitedFor) / float64(j.prepare))
		return false
	}
	if j.done >= j.print {
		return v.finishing(dt)
	}
	if j.reload > 0 {
		j.reload -= dt
		v.load(1 - max(0, float64(j.reload)/float64(reloadTime)))
		return false
	}
	v.fed()
	if v.stage = 0; j.done == 0 {
		v.partFan = 80
		if v.model.AuxFan {
			v.auxFan = 30
		}
	}
	j.done += time.Duration(float64(dt) * []float64{1, 0.5, 1, 1.24, 1.66}[v.speed])
	share := min(1, float64(j.done)/float64(j.print))
	// 100 % is not reported before FINISH.
	j.percent, j.layer = min(99, int(share*100)), min(j.layers, 1+int(share*float64(j.layers)))
	return false
}

// checked looks at the plate and the nozzle, and pauses the print when they are
// wrong: a moment after each start, until a person tells it to ignore that.
func (v *machine) checked(dt time.Duration) (paused bool) {
	j := v.job
	if v.check == 0 || v.check == j.passed {
		return false
	}
	if j.looked += dt; j.looked < lookTime || !v.pause(0) {
		return false
	}
	v.printError, j.looked = v.check, 0
	return true
}

// ignore goes on with a print in spite of what the printer complains of.
func (v *machine) ignore(code uint32) bool {
	if code == 0 || code != v.printError {
		return false
	}
	if v.state == stPause {
		v.job.passed = code
		return v.resume()
	}
	v.printError = 0
	return true
}

// skip leaves objects out of the print from now on.
func (v *machine) skip(objects []int) bool {
	if v.state != stRunning && v.state != stPause || v.job.routine != nil || len(objects) == 0 {
		return false
	}
	for _, o := range objects {
		if !slices.Contains(v.skipped, o) {
			v.skipped = append(slices.Clip(v.skipped), o)
		}
	}
	return true
}

// finishing is what follows the last line.
func (v *machine) finishing(dt time.Duration) (ended bool) {
	if !v.unload(dt) {
		return false
	}
	v.end(stFinish, "success")
	v.job.percent, v.job.layer = 100, v.job.layers
	return true
}

// warmUp goes through the stages: preheat, home, load filament, clean, level.
func (v *machine) warmUp(share float64) {
	v.nozzle[v.active].target = 140
	switch {
	case share < 0.2:
		v.stage = 2
	case share < 0.4:
		v.stage, v.homed = 13, true
	case share < 0.7:
		v.load((share - 0.4) / 0.3)
	case share < 0.85:
		v.stage, v.nozzle[v.active].target = 14, v.job.nozzleGoal
	default:
		v.stage, v.nozzle[v.active].target = 1, v.job.nozzleGoal
	}
}

// end closes the print. Progress and layer keep their values, as on real printers.
func (v *machine) end(state, outcome string) {
	j := v.job
	j.ended, j.outcome = true, outcome
	v.state, v.stages, v.stage = state, nil, v.noStage()
	v.bed.target, v.chamber.target, v.partFan, v.auxFan, v.chamberFan = 0, 0, 0, 0, 0
	v.nozzle[0].target, v.nozzle[1].target = 0, 0
	if v.change = nil; j.routine != nil { // it leaves the filament alone
		v.amsStatus, v.trayTarget = 0, v.trayNow
		return
	}
	v.amsStatus, v.filament, v.trayTarget, v.trayNow, v.trayBefore = 0, false, 255, 255, 255
}

// stop cancels the print, as from the screen. The error that echoes it comes
// some seconds later.
func (v *machine) stop() bool {
	if v.job == nil || v.job.ended {
		return false
	}
	v.end(stFailed, "stopped")
	v.job.percent, v.printError, v.cancelEcho = 0, 0, echoAfter+echoLasts
	return true
}

func (v *machine) pause(stage int) bool {
	if v.state != stRunning || v.job.ending > 0 || v.job.routine != nil {
		return false
	}
	v.state, v.stage = stPause, stage
	return true
}

func (v *machine) resume() bool {
	if v.state != stPause || v.change != nil {
		return false
	}
	v.refill()
	v.state, v.stage, v.printError, v.hms, v.filament = stRunning, 0, 0, nil, true
	return true
}

// powerOn is the machine after its power came back: it has forgotten the job.
func (v *machine) powerOn() (lost bool) {
	lost = v.job != nil && !v.job.ended
	if lost {
		v.end(stIdle, "failed")
	}
	v.job, v.state, v.printError, v.hms, v.light, v.cancelEcho = nil, stIdle, 0, nil, lampOff, 0
	v.nozzle[0].target, v.nozzle[1].target, v.bed.target, v.chamber.target = 0, 0, 0, 0
	v.partFan, v.auxFan, v.auxFan2, v.chamberFan, v.airduct = 0, 0, 0, 0, 0
	v.errand, v.change, v.reading, v.switching, v.homed, v.skipped = nil, nil, -1, false, false, nil
	v.amsStatus, v.trayTarget = 0, v.trayNow
	v.dry = dryer{air: heater{now: v.dry.air.now}, humidity: v.dry.humidity}
	v.stage, v.speed = v.noStage(), 2
	v.seen = slices.Clone(v.trays) // it reads the chips anew
	return lost
}
