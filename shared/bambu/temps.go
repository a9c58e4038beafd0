package bambu

import "github.com/tidwall/gjson"

// heat is a heater or a sensor: what it has and what it is to have, °C.
type heat struct {
	actual, target Opt[float64]
}

// temps are the temperatures per source. Plain values have fractions on the A and
// P series; packed ones are whole degrees with the target in the high half.
type temps struct {
	nozzle, bed        heat // plain; of a two-nozzle machine the active nozzle
	nozzles            [maxExtruders]heat
	bedInfo, bedPacked heat
	chamber            heat // chamber_temper
	chamberInfo        heat // info.temp
	chamberPacked      heat // device.cham_temp
	chamberControl     heat // device.ctc
	chamberSet         Opt[float64]
}

const (
	maxHeat    = 600 // °C that a sensor could believably say
	minHeat    = -60
	noSensor   = 5    // what A and P series report as a chamber without a sensor
	packedFrom = 1000 // a "temperature" from here on is two packed ones
)

var tempKeys = keys[temps]{
	"nozzle_temper":        degrees(func(t *temps) *Opt[float64] { return &t.nozzle.actual }),
	"nozzle_target_temper": degrees(func(t *temps) *Opt[float64] { return &t.nozzle.target }),
	"bed_temper":           degrees(func(t *temps) *Opt[float64] { return &t.bed.actual }),
	"bed_target_temper":    degrees(func(t *temps) *Opt[float64] { return &t.bed.target }),
	"ctt":                  degrees(func(t *temps) *Opt[float64] { return &t.chamberSet }),
	"chamber_temper":       maybePacked(func(t *temps) *heat { return &t.chamber }),
	"info":                 within(keys[temps]{"temp": packed(func(t *temps) *heat { return &t.chamberInfo })}),
}

// deviceTempKeys belong to the object "device".
var deviceTempKeys = keys[temps]{
	"bed":       inner(func(t *temps) *heat { return &t.bedInfo }),
	"bed_temp":  packed(func(t *temps) *heat { return &t.bedPacked }),
	"ctc":       inner(func(t *temps) *heat { return &t.chamberControl }),
	"cham_temp": packed(func(t *temps) *heat { return &t.chamberPacked }),
}

func degrees(field func(*temps) *Opt[float64]) setter[temps] {
	return decimal(minHeat, maxHeat, field)
}

// packed reads 32 bits: actual in the low half, target in the high.
func packed[T any](field func(*T) *heat) setter[T] {
	return func(into *T, v gjson.Result) bool {
		h, ok := readPacked(v)
		return ok && assign(field(into), h)
	}
}

// maybePacked is for a key that most firmware sends plain, and some packed.
func maybePacked[T any](field func(*T) *heat) setter[T] {
	plain := decimal(minHeat, maxHeat, func(into *T) *Opt[float64] { return &field(into).actual })
	both := packed(field)
	return func(into *T, v gjson.Result) bool {
		if n, ok := number(v); ok && n >= packedFrom {
			return both(into, v)
		}
		return plain(into, v)
	}
}

// inner is {"info":{"temp":packed}}.
func inner(field func(*temps) *heat) setter[temps] {
	return within(keys[temps]{"info": within(keys[temps]{"temp": packed(field)})})
}

func readPacked(v gjson.Result) (heat, bool) {
	bits, ok := word32(v)
	actual, target := float64(bits&0xFFFF), float64(bits>>16)
	if !ok || actual > maxHeat || target > maxHeat {
		return heat{}, false
	}
	return heat{Some(actual), Some(target)}, true
}

func (s *State) renderTemps() Temps {
	t := &s.temps
	var out Temps
	right, left := s.nozzleHeat()
	out.Nozzle, out.NozzleTarget = right.actual, right.target
	out.Nozzle2, out.Nozzle2Target = left.actual, left.target
	out.Bed = first(t.bed.actual, t.bedInfo.actual, t.bedPacked.actual)
	out.BedTarget = first(t.bed.target, t.bedInfo.target, t.bedPacked.target)
	out.Chamber, out.ChamberTarget = s.chamberHeat()
	return out
}

// nozzleHeat is the right (or only) and the left nozzle. The plain keys show the
// active one, so on a two-nozzle machine they only fill in for an extruder that
// never spoke for itself.
func (s *State) nozzleHeat() (right, left heat) {
	t := &s.temps
	if !s.twoNozzles() {
		own := t.nozzles[0]
		return heat{first(t.nozzle.actual, own.actual), first(t.nozzle.target, own.target)}, heat{}
	}
	each := t.nozzles
	if n := s.tools.current; n.Known && each[n.Value] == (heat{}) {
		each[n.Value] = t.nozzle
	}
	return each[0], each[1]
}

// chamberHeat takes the chamber's controller before the older keys. A model
// without a sensor has no chamber temperature whatever it says; of a model nobody
// knows yet, the 5 that such models send is not believed when it is all there is.
func (s *State) chamberHeat() (actual, target Opt[float64]) {
	t := &s.temps
	sensors := first(t.chamberControl.actual, t.chamberPacked.actual, t.chamberInfo.actual)
	actual = first(sensors, t.chamber.actual)
	target = first(t.chamberControl.target, t.chamberPacked.target, t.chamberInfo.target, t.chamber.target, t.chamberSet)

	m, ok := s.model()
	if ok && !m.ChamberSensor || !ok && actual == Some[float64](noSensor) && !sensors.Known {
		actual = Opt[float64]{}
	}
	if ok && !m.ChamberHeater || !actual.Known {
		target = Opt[float64]{}
	}
	return actual, target
}
