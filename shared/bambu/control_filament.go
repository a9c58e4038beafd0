package bambu

import (
	"math"
	"slices"
	"strings"
)

// Ids that stand for an external spool: of the only or right nozzle, and of the
// left one. Reports of older firmware use the second for the only one.
const (
	externalRight = 255
	externalLeft  = 254
)

// External tells that an AMS id stands for an external spool.
func External(unit int) bool { return unit == externalRight || unit == externalLeft }

// ams and slot are what c names; without a slot it is the only one.
func (c Control) ams() int { return *c.AMS }

func (c Control) slot() int {
	if c.Slot == nil || External(c.ams()) || c.ams() >= firstHT {
		return 0
	}
	return *c.Slot
}

// firstHT is the id of the first AMS HT; such units have one slot.
const firstHT = 128

// Unit finds an AMS unit by its id.
func (f Filament) Unit(id int) (AMSUnit, bool) {
	at := slices.IndexFunc(f.Units, func(u AMSUnit) bool { return u.ID == id })
	if at < 0 {
		return AMSUnit{}, false
	}
	return f.Units[at], true
}

// Slot finds a slot of a unit, or an external spool: a machine with one of those
// means it by either id.
func (f Filament) Slot(unit, slot int) (Slot, bool) {
	list, id := f.External, unit
	if !External(unit) {
		u, _ := f.Unit(unit)
		list, id = u.Slots, slot
	} else if len(list) == 1 {
		id = list[0].ID
	}
	at := slices.IndexFunc(list, func(s Slot) bool { return s.ID == id })
	if at < 0 {
		return Slot{}, false
	}
	return list[at], true
}

// automatic lets the printer choose a temperature for a change of filament.
const automatic = -1

// loadMessage: target is the slot's number over all units.
func (c Control) loadMessage(m Model, s Status) Message {
	unit, slot := c.ams(), c.slot()
	switch {
	case unit == externalRight && m.Nozzles > 1:
		held, _ := s.Filament.Slot(unit, slot)
		t := changeTemp(held, s.Temps.Nozzle, m)
		return changeMessage(externalRight, 0, externalRight, t)
	case External(unit):
		return changeMessage(externalRight, externalLeft, externalLeft, automatic)
	case unit >= firstHT:
		return changeMessage(unit, 0, unit, automatic)
	case unit >= 16: // the A2L's AMS Lite counts its slots alone
		return changeMessage(unit, slot, slot, automatic)
	}
	return changeMessage(unit, slot, unit*4+slot, automatic)
}

// unloadMessage takes out what the active nozzle holds: 255 is no slot.
func unloadMessage(m Model, s Status) Message {
	unit, held, nozzle := externalRight, Slot{}, s.Temps.Nozzle
	if a, ok := s.active(); ok && a.Unit >= 0 {
		held, _ = s.Filament.Slot(a.Unit, a.Slot)
		if !External(a.Unit) {
			unit = a.Unit
		}
		if a.Extruder == 1 {
			nozzle = s.Temps.Nozzle2
		}
	}
	return changeMessage(unit, 255, 255, changeTemp(held, nozzle, m))
}

func changeMessage(unit, slot, target, temp int) Message {
	return printMessage("ams_change_filament", pair{"ams_id", unit}, pair{"slot_id", slot},
		pair{"target", target}, pair{"curr_temp", temp}, pair{"tar_temp", temp})
}

// active is what feeds the active nozzle, as far as the printer says.
func (s Status) active() (Active, bool) {
	extruder := s.Machine.ActiveExtruder.Or(0)
	at := slices.IndexFunc(s.Filament.Active, func(a Active) bool { return a.Extruder == extruder })
	if at < 0 {
		return Active{}, false
	}
	return s.Filament.Active[at], true
}

// Nozzle temperatures for taking filament out, °C.
const (
	coldest = 180 // below, none comes out
	usual   = 220 // for what nobody knows
)

// changeTemp is how hot a nozzle should be for a filament: the middle of its
// range, else as hot as it is.
func changeTemp(held Slot, nozzle Opt[float64], m Model) int {
	t := usual
	switch now := int(math.Round(nozzle.Or(0))); {
	case held.NozzleMin.Or(0) > 0 && held.NozzleMax.Or(0) >= held.NozzleMin.Value:
		t = (held.NozzleMin.Value + held.NozzleMax.Value) / 2
	case now >= coldest:
		t = now
	}
	if m.NozzleMax > 0 {
		t = min(t, m.NozzleMax)
	}
	return max(t, coldest)
}

// coolTo is to which temperature a unit cools after drying before it says that it
// is done, °C; as the slicer asks for.
const coolTo = 20

func (c Control) dryingMessage(s Status) Message {
	mode, filament, cool := 0, "", 0
	temperature := 0
	if c.Hours > 0 {
		mode, filament, temperature, cool = 1, c.dryingType(s), c.Temperature, coolTo
	}
	return printMessage("ams_filament_drying", pair{"ams_id", c.ams()}, pair{"mode", mode}, pair{"filament", filament},
		pair{"temp", temperature}, pair{"duration", c.Hours}, pair{"humidity", 0}, pair{"rotate_tray", false},
		pair{"cooling_temp", cool}, pair{"close_power_conflict", false})
}

// dryingType is what is dried: as told, else the first spool of a known type.
func (c Control) dryingType(s Status) string {
	if c.Filament != nil && c.Filament.Type != "" {
		return strings.ToUpper(c.Filament.Type)
	}
	u, _ := s.Filament.Unit(c.ams())
	for _, slot := range u.Slots {
		if slot.Type != "" {
			return slot.Type
		}
	}
	return "PLA"
}

// filamentMessage tells a slot what it holds; the empty values clear it.
func (c Control) filamentMessage(m Model) Message {
	unit, slot, tray := c.ams(), c.slot(), c.slot()
	if External(unit) {
		tray = externalLeft
		if m.Nozzles < 2 {
			unit = externalRight
		}
	}
	f := c.Filament.complete()
	return printMessage("ams_filament_setting", pair{"ams_id", unit}, pair{"slot_id", slot}, pair{"tray_id", tray},
		pair{"tray_info_idx", f.PresetID}, pair{"setting_id", f.SettingID}, pair{"tray_color", f.Color},
		pair{"nozzle_temp_min", f.NozzleMin}, pair{"nozzle_temp_max", f.NozzleMax}, pair{"tray_type", f.Type})
}

// generic is what a type of filament is called by the printers when nobody says
// more, and the nozzle temperatures usual for it.
type generic struct {
	preset   string
	min, max int
}

var generics = map[string]generic{
	"PLA": {"GFL99", 190, 240}, "PLA-CF": {"GFL98", 190, 240},
	"PETG": {"GFG99", 220, 270}, "PETG-CF": {"GFG98", 220, 270},
	"ABS": {"GFB99", 240, 280}, "ASA": {"GFB98", 240, 280},
	"TPU": {"GFU99", 200, 250}, "PVA": {"GFS99", 190, 250}, "HIPS": {"GFS98", 220, 270},
	"PC": {"GFC99", 260, 290}, "PA": {"GFN99", 260, 300}, "PA-CF": {"GFN98", 260, 300},
}

// complete fills in what was not told.
func (f FilamentSetting) complete() FilamentSetting {
	f.Type = strings.ToUpper(f.Type)
	if f.Type == "" {
		return FilamentSetting{Color: "00000000"}
	}
	f.Color = strings.ToUpper(f.Color)
	if len(f.Color) == 6 {
		f.Color += "FF"
	}
	g := generics[f.Type]
	if f.PresetID == "" {
		f.PresetID = g.preset
	}
	if f.NozzleMin == 0 && f.NozzleMax == 0 {
		f.NozzleMin, f.NozzleMax = g.min, g.max
	}
	return f
}
