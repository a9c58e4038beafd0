package bambu

// nothing is the Unit and Slot of an extruder that holds no filament.
const nothing = -1

func (s *State) renderFilament() Filament {
	f := &s.filament
	out := Filament{Status: f.status, Active: s.renderActive()}
	out.Units = room[AMSUnit](len(f.units))
	for i := range f.units {
		out.Units = append(out.Units, s.renderUnit(&f.units[i]))
	}
	external := f.external()
	for i := range external {
		t := &external[i]
		out.External = append(out.External, t.render(t.Type != "", true)) // no sensor: what is set is there
	}
	return out
}

// room is an empty list for n members, nil for none.
func room[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, 0, n)
}

// external: firmware that knows vir_slot repeats one of them as vt_tray.
func (f *filament) external() []tray {
	if len(f.virtual) > 0 {
		return f.virtual
	}
	return f.old
}

// renderActive has one entry per extruder, none while nothing is known.
func (s *State) renderActive() []Active {
	if s.twoNozzles() {
		var out []Active
		for e, n := range s.tools.slots {
			if n.Known {
				out = append(out, s.slotOf(e, n.Value))
			}
		}
		return out
	}
	slot := s.tools.slots[0]
	if s.filament.now.Known && (!slot.Known || s.filament.nowFrame > s.tools.frame) {
		if a, ok := s.slotOfTrayNow(s.filament.now.Value); ok {
			return []Active{a}
		}
	}
	if slot.Known {
		return []Active{s.slotOf(0, slot.Value)}
	}
	return nil
}

// slotOf reads unit<<8 | slot: slot 0xFF is nothing, unit 0xFF and 0xFE are the
// external spools.
func (s *State) slotOf(extruder, n int) Active {
	unit, slot := n>>8, n&0xFF
	switch {
	case slot == 0xFF:
		return Active{extruder, nothing, nothing}
	case unit >= 254:
		return Active{extruder, s.filament.externalID(unit), 0}
	}
	return Active{extruder, unit, slot}
}

// externalID is the id under which External lists a spool: older firmware calls
// its only one 254, newer 255.
func (f *filament) externalID(id int) int {
	if external := f.external(); len(external) == 1 {
		return external[0].ID
	}
	return id
}

// slotOfTrayNow reads the one number of a single-nozzle machine. Old firmware
// counts over all units; newer firmware gives the slot within the unit, which
// then comes from the only unit there is, from the last slot reported in full, or
// from the job's mapping. Not ok: it cannot be told.
func (s *State) slotOfTrayNow(now int) (Active, bool) {
	f := &s.filament
	switch {
	case now == 255:
		return Active{0, nothing, nothing}, true
	case now == 254:
		return Active{0, f.externalID(254), 0}, true
	case now >= 128:
		return Active{0, now, 0}, true
	case now >= 16:
		return Active{}, false
	case now >= maxSlots:
		return Active{0, now / 4, now % 4}, true
	case len(f.units) == 1:
		return Active{0, f.units[0].id, now}, true
	}
	last := s.tools.slots[0]
	if !last.Known {
		if unit, ok := f.mappedUnit(now); ok {
			return Active{0, unit, now}, true
		}
		return Active{0, 0, now}, true // counts over all units
	}
	if last.Value&0xFF == now {
		return s.slotOf(0, last.Value), true
	}
	unit, ok := f.mappedUnit(now)
	return Active{0, unit, now}, ok
}

// mappedUnit is the unit whose slot of that number the running job uses, when
// there is exactly one.
func (f *filament) mappedUnit(slot int) (unit int, ok bool) {
	for _, n := range f.mapping {
		if n&0xFF != slot {
			continue
		}
		if ok && unit != n>>8 {
			return 0, false
		}
		unit, ok = n>>8, true
	}
	return unit, ok
}
