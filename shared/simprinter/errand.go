package simprinter

import "time"

// errand is something short a printer does without a print: homing, reading a
// chip, switching nozzles. gcode_state does not show it, the stage does.
type errand struct {
	stage int
	left  time.Duration
	done  func(*machine)
}

// How long errands take.
const (
	homing       = 20 * time.Second
	readingChip  = 15 * time.Second
	switchingTo  = 4 * time.Second
	calibrating  = 40 * time.Second // each stage
	amsReadsChip = 512              // ams_status meanwhile
)

// occupied tells whether the printer can begin nothing that moves.
func (v *machine) occupied() bool { return v.busy() || v.moving() }

// moving tells whether it moves without a print.
func (v *machine) moving() bool { return v.errand != nil || v.change != nil }

// send begins an errand, when nothing else goes on.
func (v *machine) send(stage int, d time.Duration, done func(*machine)) bool {
	if v.occupied() {
		return false
	}
	v.errand, v.stage = &errand{stage, d, done}, stage
	return true
}

func (v *machine) runErrand(dt time.Duration) {
	e := v.errand
	if e.left -= dt; e.left > 0 {
		v.stage = e.stage
		return
	}
	v.errand, v.stage = nil, v.noStage()
	e.done(v)
}

func (v *machine) home() bool {
	return v.send(13, homing, func(v *machine) { v.homed = true })
}

// selectExtruder makes the other nozzle the one in use; the report shows neither
// of them meanwhile.
func (v *machine) selectExtruder(id int) bool {
	if id == v.active {
		return !v.occupied()
	}
	if !v.send(v.noStage(), switchingTo, func(v *machine) { v.active, v.switching = id, false }) {
		return false
	}
	v.switching = true
	return true
}

// readChip reads the chip of the spool in a slot: what is in it shows afterwards.
func (v *machine) readChip(slot int) bool {
	if v.trays[slot].Type == "" {
		return false
	}
	ok := v.send(v.noStage(), readingChip, func(v *machine) {
		v.reading, v.amsStatus = -1, 0
		v.seen[slot] = v.trays[slot]
		v.amsVersion++
	})
	if ok {
		v.reading, v.amsStatus = slot, amsReadsChip
	}
	return ok
}

// calibrationStages are the stages that the bits of a calibration's option ask for,
// in the order they are done: as recorded, an A1 mini cleans its nozzle first.
var calibrationStages = []struct{ bit, stage int }{{1, 14}, {2, 3}, {3, 25}, {0, 12}, {1, 1}, {4, 39}, {5, 40}, {6, 65}}

// calibrate begins a calibration, which printers report as a job of their own; it is
// no print and in no ledger.
func (v *machine) calibrate(stages []int) bool {
	if len(stages) == 0 || v.occupied() {
		return false
	}
	old := v.jobView()
	v.job = &job{
		PrintJob: PrintJob{Name: "auto_cali", Plate: 1, Source: "system"}, routine: stages, begun: true, subtask: "0", task: "0", total: old.layers,
		print: calibrating * time.Duration(len(stages)),
	}
	v.state, v.stages, v.stage, v.printError, v.hms, v.cancelEcho = stRunning, stages, stages[0], 0, nil, 0
	return true
}

// routine is the course of a calibration.
func (v *machine) routine(dt time.Duration) (ended bool) {
	j := v.job
	if j.done += dt; j.done < j.print {
		v.stage, j.percent = j.routine[j.done/calibrating], int(100*j.done/j.print)
		return false
	}
	v.homed = true
	v.end(stFinish, "success")
	j.percent = 100
	return true
}
