package bambu

import (
	"math"

	"github.com/tidwall/gjson"
)

// fans are the speeds per source, in percent. The air duct names its parts and
// counts in percent; fan_gear holds three commanded speeds as 0..255; the strings
// are measured in fifteenths and, on the A series, repeat the part fan for fans
// that are not there.
type fans struct {
	duct      fanSet
	gear      fanSet
	strings   fanSet
	heatbreak Opt[int]
	auxThere  Opt[bool] // aux_part_fan, an option of the X1; machines with an air duct say false whatever they have
}

type fanSet struct {
	part, aux, aux2, chamber Opt[int]
}

var fanKeys = keys[fans]{
	"fan_gear":            readFanGear,
	"aux_part_fan":        flag(func(f *fans) *Opt[bool] { return &f.auxThere }),
	"cooling_fan_speed":   fifteenths(func(f *fans) *Opt[int] { return &f.strings.part }),
	"big_fan1_speed":      fifteenths(func(f *fans) *Opt[int] { return &f.strings.aux }),
	"big_fan2_speed":      fifteenths(func(f *fans) *Opt[int] { return &f.strings.chamber }),
	"heatbreak_fan_speed": fifteenths(func(f *fans) *Opt[int] { return &f.heatbreak }),
}

// fifteenths reads "0".."15", shown like the printer's screen does: in tens.
func fifteenths(field func(*fans) *Opt[int]) setter[fans] {
	return func(f *fans, v gjson.Result) bool {
		n, ok := integer(v)
		return ok && n >= 0 && n <= 15 && assign(field(f), Some(int(math.Round(float64(n)/1.5))*10))
	}
}

func readFanGear(f *fans, v gjson.Result) bool {
	bits, ok := word32(v)
	return ok && assign(&f.gear, fanSet{
		part:    gearPercent(bits),
		aux:     gearPercent(bits >> 8),
		chamber: gearPercent(bits >> 16),
	})
}

func gearPercent(bits uint32) Opt[int] {
	return Some(int(math.Round(float64(bits&0xFF) * 100 / 255)))
}

// airductKeys belong to device.airduct.
var airductKeys = keys[fans]{"parts": func(f *fans, parts gjson.Result) (changed bool) {
	if !parts.IsArray() {
		return false
	}
	parts.ForEach(func(_, part gjson.Result) bool {
		changed = readDuctPart(f, part) || changed
		return true
	})
	return changed
}}

// readDuctPart takes the part's number from the id's high bits; a low nibble is
// a flap, not a fan. The inner loop (6) is not a fan of ours.
func readDuctPart(f *fans, part gjson.Result) bool {
	id, ok := integer(part.Get("id"))
	state, known := integer(part.Get("state"))
	percent := int(state & 0xFF)
	if !ok || !known || state < 0 || percent > 100 || id&0xF != 0 {
		return false
	}
	switch id >> 4 {
	case 1:
		return assign(&f.duct.part, Some(percent))
	case 2:
		return assign(&f.duct.aux, Some(percent))
	case 3:
		return assign(&f.duct.chamber, Some(percent))
	case 10:
		return assign(&f.duct.aux2, Some(percent))
	}
	return false
}

// renderFans drops the fans that the model does not have.
func (s *State) renderFans() Fans {
	f := &s.fans
	out := Fans{
		Part:      first(f.duct.part, f.gear.part, f.strings.part),
		Aux:       first(f.duct.aux, f.gear.aux, f.strings.aux),
		Aux2:      f.duct.aux2,
		Chamber:   first(f.duct.chamber, f.gear.chamber, f.strings.chamber),
		Heatbreak: f.heatbreak,
	}
	m, ok := s.model()
	if !f.duct.aux.Known && f.auxThere == Some(false) {
		out.Aux = Opt[int]{}
	}
	if ok && !m.AuxFan {
		out.Aux, out.Aux2 = Opt[int]{}, Opt[int]{}
	}
	if ok && !m.ChamberFan {
		out.Chamber = Opt[int]{}
	}
	return out
}
