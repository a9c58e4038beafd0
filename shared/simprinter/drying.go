package simprinter

import (
	"time"

	"bambuddy/shared/bambu"
)

// dryer is the heater of an AMS that can dry.
type dryer struct {
	status   int // bits 4 to 7 of info
	left     time.Duration
	in       time.Duration // of the status
	hours    int
	filament string
	air      heater
	humidity float64 // percent
}

// What a dryer does.
const (
	dryOff = iota
	dryChecking
	dryRunning
	dryCooling
	dryStopping
)

// How long what is around the drying takes.
const (
	dryCheck = 20 * time.Second
	dryStop  = 6 * time.Second
	dryCool  = 2 * time.Minute
)

// dries tells whether its AMS can: an AMS 2 Pro.
func (v *machine) dries() bool { return v.model.FirstAMS == "" && v.unit() != 16 }

// beginDrying starts to dry. Not while the AMS moves or feeds a print.
func (v *machine) beginDrying(filament string, temp float64, hours int) bool {
	feeds := v.busy() && v.job.tray() != externalSpool && v.job.routine == nil
	if v.moving() || feeds || v.dry.status != dryOff && v.dry.status != dryCooling {
		return false
	}
	d := &v.dry
	d.status, d.in, d.left, d.hours, d.filament = dryChecking, 0, time.Duration(hours)*time.Hour, hours, filament
	d.air.target = temp
	return true
}

func (v *machine) stopDrying() {
	if d := &v.dry; d.status == dryChecking || d.status == dryRunning {
		d.status, d.in, d.left, d.air.target = dryStopping, 0, 0, 0
	}
}

func (v *machine) drying(dt time.Duration) {
	d := &v.dry
	d.air.step(dt, 0.2, 0)
	if d.status == dryOff {
		d.humidity = min(28, d.humidity+dt.Hours()/2)
		return
	}
	d.in += dt
	switch {
	case d.status == dryChecking && d.in >= dryCheck:
		d.status, d.in = dryRunning, 0
	case d.status == dryRunning:
		d.humidity = max(12, d.humidity-4*dt.Hours())
		if d.left -= dt; d.left <= 0 {
			d.status, d.in, d.left, d.air.target = dryCooling, 0, 0, 0
		}
	case d.status == dryStopping && d.in >= dryStop, d.status == dryCooling && d.in >= dryCool:
		d.status, d.hours, d.filament = dryOff, 0, ""
	}
}

// info is the word about the unit: its kind, and what its dryer does.
func (v *machine) unitInfo() string {
	kind := map[string]uint64{bambu.AMSLite: 0x1002, bambu.AMS: 0x1001, "": 0x1003}[v.model.FirstAMS]
	switch {
	case v.unit() == 16:
		kind = 0x30001005
	case v.model.Nozzles == 2:
		kind = 0x2003
	}
	fans := flag(18, v.dry.status == dryRunning) | flag(20, v.dry.status == dryRunning)
	return word(kind | uint64(v.dry.status)<<4 | fans)
}
