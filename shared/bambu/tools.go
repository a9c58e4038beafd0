package bambu

import "github.com/tidwall/gjson"

// maxExtruders: 0 is the right or only one, 1 the left.
const maxExtruders = 2

// tools is what device.extruder tells: temperatures go to temps, the rest stays
// here for those who ask.
type tools struct {
	count   Opt[int]
	current Opt[int]               // below maxExtruders
	slots   [maxExtruders]Opt[int] // snow: unit<<8 | slot, see slotOf
	frame   int                    // when a slot was last reported
}

// readExtruder reads device.extruder.
func readExtruder(s *State, v gjson.Result) bool {
	if !v.IsObject() {
		return false
	}
	before := s.touched
	if bits, ok := word32(v.Get("state")); ok {
		s.readExtruderState(bits)
	}
	if info := v.Get("info"); info.IsArray() {
		info.ForEach(func(_, one gjson.Result) bool {
			s.readOneExtruder(one)
			return true
		})
	}
	return s.touched != before
}

// readExtruderState: bits 0-3 count, 4-7 the current one, 0xF while switching.
func (s *State) readExtruderState(bits uint32) {
	changed := false
	if n := int(bits & 0xF); n > 0 {
		changed = assign(&s.tools.count, Some(n))
	}
	if n := int(bits >> 4 & 0xF); n < maxExtruders {
		changed = assign(&s.tools.current, Some(n)) || changed
	}
	if changed {
		s.touched |= inTemps | inFilament | inMachine
	}
}

func (s *State) readOneExtruder(v gjson.Result) {
	id, ok := integer(v.Get("id"))
	if !ok || id < 0 || id >= maxExtruders {
		return
	}
	if h, ok := readPacked(v.Get("temp")); ok && assign(&s.temps.nozzles[id], h) {
		s.touched |= inTemps
	}
	if n, ok := integer(v.Get("snow")); ok && n >= 0 && n <= 0xFFFF {
		s.tools.frame = s.frame
		if assign(&s.tools.slots[id], Some(int(n))) {
			s.touched |= inFilament
		}
	}
}

// twoNozzles: what the printer counts, else what its model has.
func (s *State) twoNozzles() bool {
	if s.tools.count.Known {
		return s.tools.count.Value > 1
	}
	m, _ := s.model()
	return m.Nozzles > 1
}

// activeExtruder is unknown only on a two-nozzle machine that has not told, and
// while nobody knows the model.
func (s *State) activeExtruder() Opt[int] {
	if s.twoNozzles() {
		return s.tools.current
	}
	if _, ok := s.model(); ok || s.tools.count.Known {
		return Some(0)
	}
	return Opt[int]{}
}
