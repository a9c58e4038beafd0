package bambu

import (
	"slices"
	"strconv"
	"strings"

	"bambuddy/shared/farm"
)

// checkSlot: is there such a slot? A printer that has not told its units yet is
// asked all the same.
func (c Control) checkSlot(s Status) error {
	if c.AMS == nil {
		return farm.Errorf(farm.Invalid, "ams: which one? 0 to 3, 16, 128 to 135, or 255 for the external spool")
	}
	if err := c.checkUnit(s); err != nil {
		return err
	}
	if External(c.ams()) || c.ams() >= firstHT {
		return nil
	}
	if c.Slot == nil {
		return farm.Errorf(farm.Invalid, "slot: which one? 0 to 3")
	}
	return inRange("slot", *c.Slot, 0, maxSlots-1)
}

func (c Control) checkUnit(s Status) error {
	unit := c.ams()
	switch {
	case External(unit):
		return nil
	case unitBit(unit) < 0 || unit < 0:
		return farm.Errorf(farm.Invalid, "ams: 0 to 3, 16, 128 to 135, or 255 for the external spool, not %d", unit)
	}
	if _, ok := s.Filament.Unit(unit); ok || s.Job.GcodeState == "" {
		return nil
	}
	var ids []string
	for _, u := range s.Filament.Units {
		ids = append(ids, strconv.Itoa(u.ID))
	}
	if ids == nil {
		return farm.Errorf(farm.Invalid, "ams: the printer has none")
	}
	return farm.Errorf(farm.Invalid, "ams: the printer has no unit %d, only %s", unit, strings.Join(ids, ", "))
}

func (c Control) checkLoad(_ Model, s Status) error {
	if err := c.checkSlot(s); err != nil {
		return err
	}
	if held, ok := s.Filament.Slot(c.ams(), c.slot()); ok && !held.Present && !External(c.ams()) {
		return farm.Errorf(farm.Conflict, "slot %d of AMS %d is empty; refresh the status if a spool has just been put in", c.slot(), c.ams())
	}
	return nil
}

// Bounds of drying.
const (
	dryingLeast   = 45 // °C
	dryingMost    = 65 // an AMS 2 Pro, and a unit nobody knows the kind of
	dryingMostHT  = 85
	dryingLongest = 24 // hours
)

func (c Control) checkDrying(_ Model, s Status) error {
	if c.AMS == nil || External(c.ams()) {
		return farm.Errorf(farm.Invalid, "ams: which one? 0 to 3, or 128 to 135")
	}
	if err := c.checkUnit(s); err != nil {
		return err
	}
	u, _ := s.Filament.Unit(c.ams())
	most := dryingMost
	switch u.Kind {
	case AMS, AMSLite:
		return farm.Errorf(farm.Unsupported, "ams: unit %d cannot dry", u.ID)
	case AMSHT:
		most = dryingMostHT
	}
	if err := inRange("hours", c.Hours, 0, dryingLongest); err != nil || c.Hours == 0 {
		return err
	}
	if c.Filament != nil && !plainWord(c.Filament.Type) {
		return farm.Errorf(farm.Invalid, "type: at most 16 letters, digits, - and +")
	}
	return inRange("temperature", c.Temperature, dryingLeast, most)
}

func (c Control) checkFilament(m Model, s Status) error {
	if err := c.checkSlot(s); err != nil {
		return err
	}
	f := c.Filament
	switch {
	case f == nil:
		return farm.Errorf(farm.Invalid, "filament: what is in the slot?")
	case !plainWord(f.Type):
		return farm.Errorf(farm.Invalid, "type: at most 16 letters, digits, - and +")
	case f.Type == "":
		return nil // cleared: nothing else counts
	case len(f.Color) != 6 && len(f.Color) != 8 || strings.Trim(f.Color, hexDigits) != "":
		return farm.Errorf(farm.Invalid, "color: RRGGBB or RRGGBBAA")
	case !plainWord(f.PresetID) || !plainWord(f.SettingID):
		return farm.Errorf(farm.Invalid, "preset_id, setting_id: at most 16 letters and digits")
	}
	most := m.NozzleMax
	if m.Code == "" {
		most = anyNozzle
	}
	full := f.complete()
	if full.PresetID == "" {
		return farm.Errorf(farm.Invalid, "preset_id: needed for the type %s", full.Type)
	}
	if full.NozzleMin < 1 || full.NozzleMax < full.NozzleMin || full.NozzleMax > most {
		return farm.Errorf(farm.Invalid, "nozzle_min, nozzle_max: °C, the first not above the second, at most %d on %s", most, m.a())
	}
	return nil
}

// plainWord: short, and made of what the printers' own names are made of.
func plainWord(s string) bool {
	return len(s) <= 16 && !slices.ContainsFunc([]rune(s), func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '+' && r != '_'
	})
}
