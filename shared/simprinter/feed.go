package simprinter

import (
	"strings"
	"time"
)

// externalSpool is the tray number of the spool holder beside the AMS.
const externalSpool = 254

// preparation are the stages a print begins with, in the order of warmUp.
var preparation = []int{2, 13, 24, 4, 14, 1}

// The stages in which filament moves.
const (
	stageLoading  = 24
	stageChanging = 4
)

// loading is the dance of ams_status while filament is fed, as recorded on an A1:
// up to which share of the time each number holds.
var loading = []struct {
	until  float64
	status int
}{
	{0.35, 258}, {0.45, 261}, {0.55, 262}, {0.6, 258}, {0.7, 262}, {0.9, 263}, {1, amsAssist},
}

// amsAssist is ams_status while an AMS feeds the print.
const amsAssist = 768

// How the filament leaves after the last line, as recorded on an A1.
const (
	unloadAsked = 2 * time.Second  // the target is "nothing"
	unloadCut   = 4 * time.Second  // cut and pulled
	unloadPull  = 11 * time.Second // drawn back
	unloadEmpty = 15 * time.Second // past the extruder's sensor
	unloadDone  = 19 * time.Second
	speedBlip   = 31 * time.Second // the A1 reports a nonsensical speed level
	printOver   = 34 * time.Second
)

// load feeds the first filament: target first, then heat, feed and purge. share
// is how much of the loading is done. What it sets adds up, so no share may be missed
// but the last.
func (v *machine) load(share float64) {
	v.stage, v.nozzle[v.active].target, v.trayTarget = stageChanging, v.job.nozzleGoal, v.job.tray()
	if share < 0.08 {
		v.stage = stageLoading
	}
	if v.trayTarget == externalSpool {
		v.fed()
		return
	}
	for _, l := range loading {
		if v.amsStatus = l.status; share < l.until {
			break
		}
	}
	v.filament = v.filament || share >= 0.5
	if share >= 0.7 {
		v.nowAt(v.trayTarget)
	}
	if share >= 0.9 {
		v.fed()
	}
}

// fed is the end of the loading, however coarsely time ran until then.
func (v *machine) fed() {
	tray := v.job.tray()
	v.nowAt(tray)
	v.trayTarget, v.trayBefore, v.filament, v.amsStatus = tray, tray, true, amsAssist
	if tray == externalSpool {
		v.amsStatus = 0
	}
}

func (v *machine) nowAt(tray int) {
	if v.trayNow != tray {
		v.trayNow = tray
		v.amsVersion++
	}
}

// unload is the time between the last line and FINISH, in which the printer still
// says RUNNING; it tells when that is over.
func (v *machine) unload(dt time.Duration) (over bool) {
	v.job.ending += dt
	v.stage, v.partFan, v.bed.target = v.noStage(), 0, 0
	fromAMS := v.job.tray() != externalSpool
	switch t := v.job.ending; {
	case !fromAMS || t < unloadAsked:
	case t < unloadCut:
		v.amsStatus, v.trayTarget = 258, 255
	case t < unloadPull:
		v.amsStatus, v.trayTarget = 259, 255
	case t < unloadDone:
		v.amsStatus, v.trayTarget, v.filament = 260, 255, t < unloadEmpty
	default:
		v.amsStatus, v.trayTarget, v.filament = 0, 255, false
		v.trayNow, v.trayBefore, v.nozzle[v.active].target = 255, 255, 0
	}
	return v.job.ending >= printOver
}

// speedLevel is spd_lvl: the A1 says 253 for a moment before a print ends.
func (v *machine) speedLevel() int {
	if j := v.job; strings.HasPrefix(v.model.Code, "A1") && j != nil && !j.ended && j.ending >= speedBlip {
		return 253
	}
	return v.speed
}
