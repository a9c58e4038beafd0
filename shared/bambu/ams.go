package bambu

import (
	"slices"

	"github.com/tidwall/gjson"
)

// Bounds of what can hang on a printer: four-slot units and HTs are 4 + 8 today.
const (
	maxUnits = 16
	maxSlots = 4 // per unit
)

// filament is what the reports said of AMS units and spools.
type filament struct {
	units   []amsUnit // by id
	virtual []tray    // vir_slot, by id
	old     []tray    // vt_tray, the one external spool of older firmware
	status  Opt[int]
	bits    Opt[uint64] // tray_exist_bits
	now     Opt[int]    // tray_now
	mapping []int       // of the job's filaments: unit<<8 | slot
	modules []amsModule // of get_version

	unitBits   Opt[uint64] // ams_exist_bits of the frame being merged
	nowSpoke   bool        // tray_now was in the frame being merged
	nowFrame   int         // when it was last
	dropAbsent bool        // the frame being merged is full
}

// amsUnit is an AMS as its reports say it.
type amsUnit struct {
	id              int
	kind            int      // bits 0-3 of info, 0 unknown
	extruder        Opt[int] // bits 8-11 of info
	humidity, level Opt[int]
	temperature     Opt[float64]
	dryMinutes      Opt[int]
	serial          string // ams_id, which only some firmware sends
	trays           []tray
	dropAbsent      bool // the frame being merged is full
}

var filamentKeys = keys[filament]{
	"ams_status": whole(0, 1<<16, func(f *filament) *Opt[int] { return &f.status }),
	"mapping":    readMapping,
	"vt_tray":    readOldSlot,
}

// amsKeys belong to the object "ams".
var amsKeys = keys[filament]{
	"ams": func(f *filament, v gjson.Result) bool {
		return mergeByID(&f.units, v, unitList, f.dropAbsent)
	},
	"tray_exist_bits": func(f *filament, v gjson.Result) bool {
		bits, ok := hexBits(v)
		return ok && assign(&f.bits, Some(bits))
	},
	"ams_exist_bits": func(f *filament, v gjson.Result) bool {
		if bits, ok := hexBits(v); ok {
			f.unitBits = Some(bits)
		}
		return false // settled below
	},
	"tray_now": func(f *filament, v gjson.Result) bool {
		n, ok := integer(v)
		if !ok || n < 0 || n > 255 {
			return false
		}
		f.nowSpoke = true
		return assign(&f.now, Some(int(n)))
	},
}

var unitKeys = keys[amsUnit]{
	"humidity":     whole(0, 5, func(u *amsUnit) *Opt[int] { return &u.level }),
	"humidity_raw": whole(0, 100, func(u *amsUnit) *Opt[int] { return &u.humidity }),
	"temp":         decimal(minHeat, 200, func(u *amsUnit) *Opt[float64] { return &u.temperature }),
	"dry_time":     whole(0, 1<<16, func(u *amsUnit) *Opt[int] { return &u.dryMinutes }),
	"ams_id":       words(32, func(u *amsUnit) *string { return &u.serial }),
	"info": func(u *amsUnit, v gjson.Result) bool {
		bits, ok := hexBits(v)
		if !ok {
			return false
		}
		changed := assign(&u.kind, int(bits&0xF))
		extruder := Some(int(bits >> 8 & 0xF))
		if extruder.Value >= maxExtruders { // 0xE: not assigned yet
			extruder = Opt[int]{}
		}
		return assign(&u.extruder, extruder) || changed
	},
	"tray": func(u *amsUnit, v gjson.Result) bool {
		return mergeByID(&u.trays, v, trayList, u.dropAbsent)
	},
}

// list tells mergeByID about the members of a list.
type list[T any] struct {
	valid func(id int) bool // an id of this list; never above 255
	id    func(*T) *int
	merge func(into *T, v gjson.Result, full bool) bool
	limit int
}

var unitList = list[amsUnit]{
	valid: func(id int) bool { return id < 254 },
	id:    func(u *amsUnit) *int { return &u.id },
	merge: func(u *amsUnit, v gjson.Result, full bool) bool {
		u.dropAbsent = full
		return merge(u, v, unitKeys)
	},
	limit: maxUnits,
}

var trayList = list[tray]{
	valid: func(id int) bool { return id < maxSlots },
	id:    func(t *tray) *int { return &t.ID },
	merge: mergeTray,
	limit: maxSlots,
}

var virtualList = list[tray]{
	valid: func(id int) bool { return id == 254 || id == 255 },
	id:    func(t *tray) *int { return &t.ID },
	merge: mergeTray,
	limit: maxExtruders,
}

// mergeByID lays an array over a list: members meet by id and the list stays in
// order of id. Only a full frame proves that an absent member is gone.
func mergeByID[T any](members *[]T, v gjson.Result, l list[T], full bool) (changed bool) {
	if !v.IsArray() {
		return false
	}
	var named [256]bool
	v.ForEach(func(_, one gjson.Result) bool {
		n, ok := integer(one.Get("id"))
		if !ok || n < 0 || n >= int64(len(named)) || !l.valid(int(n)) {
			return true
		}
		named[n] = true
		at := 0
		for at < len(*members) && *l.id(&(*members)[at]) < int(n) {
			at++
		}
		if at == len(*members) || *l.id(&(*members)[at]) != int(n) {
			if len(*members) == l.limit {
				return true
			}
			var fresh T
			*members = slices.Insert(*members, at, fresh)
			*l.id(&(*members)[at]) = int(n)
			changed = true
		}
		changed = l.merge(&(*members)[at], one, full) || changed
		return true
	})
	for at := len(*members) - 1; full && at >= 0; at-- {
		if !named[*l.id(&(*members)[at])] {
			*members = slices.Delete(*members, at, at+1)
			changed = true
		}
	}
	return changed
}

func readAMS(s *State, v gjson.Result) bool {
	f := &s.filament
	f.dropAbsent, f.nowSpoke, f.unitBits = s.full, false, Opt[uint64]{}
	changed := merge(f, v, amsKeys)
	changed = f.settle() || changed
	if f.nowSpoke {
		f.nowFrame = s.frame
	}
	if changed {
		s.touched |= inFilament
	}
	return changed
}

// settle makes the lists agree with the bit words: a unit that was unplugged
// goes, and a slot without a spool forgets what was in it.
func (f *filament) settle() (changed bool) {
	if f.unitBits.Known {
		before := len(f.units)
		f.units = slices.DeleteFunc(f.units, func(u amsUnit) bool {
			there, ok := bit(f.unitBits.Value, unitBit(u.id))
			return ok && !there
		})
		changed = len(f.units) != before
	}
	for i := range f.units {
		u := &f.units[i]
		for j := range u.trays {
			if there, ok := f.spool(u.id, u.trays[j].ID); ok && !there {
				changed = u.trays[j].forget() || changed
			}
		}
	}
	return changed
}

// spool tells whether a slot holds one, as far as tray_exist_bits say.
func (f *filament) spool(unit, slot int) (there, ok bool) {
	if !f.bits.Known {
		return false, false
	}
	return bit(f.bits.Value, slotBit(unit, slot))
}

func bit(word uint64, n int) (set, ok bool) {
	return n >= 0 && word>>n&1 == 1, n >= 0
}

// unitBit is a unit's place in ams_exist_bits, -1 when not known.
func unitBit(unit int) int {
	switch {
	case unit < 4:
		return unit
	case unit == 16:
		return 12
	case unit >= 128 && unit < 136:
		return 4 + unit - 128
	}
	return -1
}

// slotBit is a slot's place in tray_exist_bits, -1 when not known.
func slotBit(unit, slot int) int {
	switch {
	case unit < 4:
		return unit*4 + slot
	case unit == 16:
		return 24 + slot
	case unit >= 128 && unit < 136 && slot == 0:
		return 16 + unit - 128
	}
	return -1
}

func readMapping(f *filament, v gjson.Result) bool {
	if !v.IsArray() {
		return false
	}
	var buf [64]int
	used := buf[:0]
	v.ForEach(func(_, one gjson.Result) bool {
		if n, ok := integer(one); ok && n >= 0 && n < 0xFFFF {
			used = append(used, int(n))
		}
		return len(used) < cap(used)
	})
	if slices.Equal(used, f.mapping) {
		return false
	}
	f.mapping = slices.Clone(used)
	return true
}
