package simprinter

import (
	"strings"
	"time"
)

// noTray is the number of no tray at all.
const noTray = 255

// change is filament being loaded or unloaded without a print, or in a pause of one.
type change struct {
	target int           // tray, externalSpool, or noTray: unload
	heat   float64       // °C it is done at
	phase  int           // of changePhases
	in     time.Duration // of the phase
	stuck  bool          // waits for a person
	back   int           // stage to return to
}

// The phases of a change, after the nozzle is hot. The first three are left out
// when nothing is loaded, the others when it unloads.
const (
	phaseHeat = iota
	phaseCut
	phasePull
	phaseEmpty
	phaseFeed
	phasePurge
	phaseFed
	phaseOver
)

// changePhases is what the report shows in each, and for how long.
var changePhases = [phaseOver]struct {
	status, stage int
	lasts         time.Duration
	sensor        bool
}{
	phaseHeat:  {258, 7, 0, true}, // until it is hot; the sensor stays as it is
	phaseCut:   {259, 22, 5 * time.Second, true},
	phasePull:  {260, 22, 6 * time.Second, true},
	phaseEmpty: {260, 22, 4 * time.Second, false},
	phaseFeed:  {261, stageLoading, 10 * time.Second, false},
	phasePurge: {262, stageLoading, 20 * time.Second, true},
	phaseFed:   {263, stageLoading, 4 * time.Second, true},
}

// beginChange starts to load a tray or to unload; heat 0 is what the filament
// wants. Not while it prints: in a pause it can.
func (v *machine) beginChange(target int, heat float64) bool {
	if v.moving() || v.busy() && v.state != stPause || target == noTray && v.trayNow == noTray && !v.filament {
		return false
	}
	if heat <= 0 {
		heat = 220
	}
	v.change = &change{target: target, heat: min(heat, float64(v.model.NozzleMax)), back: v.stage}
	v.trayTarget, v.nozzle[v.active].target = target, v.change.heat
	v.showChange()
	return true
}

// showChange puts the phase into the report.
func (v *machine) showChange() {
	c := v.change
	p := changePhases[c.phase]
	v.stage = p.stage
	if c.phase > phaseHeat {
		v.filament = p.sensor
	}
	if v.amsStatus = p.status; c.target == externalSpool || c.target == noTray && v.trayNow == externalSpool {
		v.amsStatus = 0
	}
}

func (v *machine) changing(dt time.Duration) {
	c := v.change
	if c.stuck {
		return
	}
	if c.in += dt; c.phase == phaseHeat && v.nozzle[v.active].now < c.heat-2 || c.in < changePhases[c.phase].lasts {
		return
	}
	if c.phase == phaseFeed && v.wontFeed(c.target) {
		c.stuck, v.printError = true, v.feedError(c.target)
		return
	}
	v.nextPhase()
}

func (v *machine) nextPhase() {
	c := v.change
	c.in = 0
	switch c.phase++; {
	case c.phase == phaseCut && v.trayNow == noTray && !v.filament:
		c.phase = phaseFeed
	case c.phase == phaseFeed:
		v.nowAt(noTray)
		if c.target == noTray {
			c.phase = phaseOver
		}
	case c.phase == phaseFed:
		v.nowAt(c.target)
	}
	if c.phase >= phaseOver {
		v.changeOver()
		return
	}
	v.showChange()
}

// changeOver ends a change, done or given up.
func (v *machine) changeOver() {
	v.stage, v.trayTarget, v.trayBefore, v.amsStatus = v.change.back, v.trayNow, v.trayNow, 0
	v.change = nil
	if !v.busy() {
		v.stage, v.nozzle[v.active].target = v.noStage(), 0
		return
	}
	v.nozzle[v.active].target = v.job.nozzleGoal
	if v.trayNow != noTray && v.trayNow != externalSpool {
		v.amsStatus = amsAssist
	}
}

// wontFeed tells whether nothing comes out of a tray.
func (v *machine) wontFeed(target int) bool {
	return v.jammed || target < len(v.trays) && v.trays[target].Type == ""
}

// feedError is the code for it: of the AMS, or of an AMS Lite, with the unit.
func (v *machine) feedError(target int) uint32 {
	module, code := uint32(0x0700), uint32(0x8006) // does not reach the extruder
	if v.lite() {
		module = 0x1200
	}
	if !v.jammed {
		code = 0x8011 // the slot is empty
	}
	if target == externalSpool {
		module = 0x07FF
	}
	return module<<16 | code
}

// lite tells whether its AMS is an AMS Lite.
func (v *machine) lite() bool { return strings.HasPrefix(v.model.Code, "A") }

// amsControl is the answer of a person to a change that is stuck, or to a print
// that waits for filament.
func (v *machine) amsControl(what string) bool {
	c := v.change
	if c == nil {
		switch what {
		case "resume", "done":
			return v.resume()
		case "pause":
			return v.pause(16)
		}
		return what == "reset"
	}
	switch {
	case what == "abort" || what == "reset":
		v.printError = 0
		v.changeOver()
	case !c.stuck:
		return false
	case what == "resume": // try again
		c.stuck, c.in, v.printError = false, 0, 0
	case what == "done": // it came out
		c.stuck, v.printError = false, 0
		c.phase = max(c.phase, phaseFeed)
		v.nextPhase()
	default:
		return false
	}
	return true
}

// softAt is where a filament softens in the AMS or the tube, °C.
func softAt(filament string) int {
	if filament == "PLA" || filament == "TPU" || filament == "PVA" {
		return 45
	}
	return 65
}

// tooHot says why filament cannot be fed: -2 the chamber, -4 the AMS; 0 it can.
func (v *machine) tooHot(target int) (errno, soft int) {
	if target >= len(v.trays) {
		return 0, 0
	}
	soft = softAt(v.trays[target].Type)
	switch {
	case v.dry.air.now > float64(soft):
		return -4, soft
	case v.model.ChamberSensor && v.chamber.now > float64(soft)+5:
		return -2, soft
	}
	return 0, soft
}

// ranOut takes away the filament that the print uses. With a twin of the spool in
// another slot, and refilling on, the print goes on with that; else it pauses.
func (v *machine) ranOut() {
	if v.state != stRunning {
		return
	}
	empty := v.job.tray()
	if empty < len(v.trays) {
		if twin := v.twin(empty); v.set.refill && twin >= 0 {
			v.job.spool, v.job.reload = twin, reloadTime
			v.setTray(empty, tray{})
			return
		}
		v.spent, v.spentTray = empty, v.trays[empty]
		v.setTray(empty, tray{})
	}
	if v.pause(6) {
		v.printError, v.filament = errRunout, false
	}
}

// refill puts a spool where the last one ran out.
func (v *machine) refill() {
	if v.spent >= 0 {
		v.setTray(v.spent, v.spentTray)
		v.spent = -1
	}
}

// twin is a slot with the same filament in the same colour, -1 without.
func (v *machine) twin(slot int) int {
	for i, t := range v.trays {
		if one := v.trays[slot]; i != slot && t.Preset == one.Preset && t.Color == one.Color && t.Type != "" {
			return i
		}
	}
	return -1
}

// setTray puts a spool into a slot, for all to see.
func (v *machine) setTray(slot int, t tray) {
	v.trays[slot], v.seen[slot] = t, t
	v.amsVersion++
}

// takeSpool leaves something else in the first slot; putSpoolBack undoes it.
func (v *machine) takeSpool(other tray) {
	if v.away == nil {
		old := v.trays[0]
		v.away = &old
	}
	v.setTray(0, other)
}

func (v *machine) putSpoolBack() {
	if v.away != nil {
		v.setTray(0, *v.away)
		v.away = nil
	}
}

// openDoor opens the door of a machine that notices; it pauses when it is told to.
func (v *machine) openDoor() {
	if v.door = v.model.DoorSensor; v.door && v.set.door == 2 {
		v.pause(17)
	}
}

// slotOf is what an extruder holds, as newer firmware reports it.
func (v *machine) slotOf(extruder int) int {
	none, outside := 0xFFFF, 0xFF00
	if extruder == 1 {
		none, outside = 0xFEFF, 0xFE00
	}
	switch {
	case extruder != v.active || v.trayNow == noTray:
		return none
	case v.trayNow == externalSpool:
		return outside
	}
	return v.unit()<<8 | v.trayNow
}
