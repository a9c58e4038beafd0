package simprinter

import "strings"

// filamentCommands move filament and say what it is.
var filamentCommands = commands{
	"print.ams_change_filament":  (*Printer).changeFilament,
	"print.unload_filament":      func(p *Printer, r request) { p.change(r, noTray, 0) },
	"print.ams_control":          func(p *Printer, r request) { p.done(r, p.body.amsControl(r.text("param"))) },
	"print.ams_filament_setting": (*Printer).describeTray,
	"print.ams_get_rfid":         (*Printer).readTray,
	"print.ams_user_setting":     (*Printer).amsOptions,
	"print.ams_reset":            simple(func(v *machine) bool { return !v.occupied() && !v.unplugged }),
}

// changeFilament loads from the slot that is named, or unloads. The tray is the
// slot's number in the unit, for there is one.
func (p *Printer) changeFilament(r request) {
	target, ok := r.whole("target", 0, noTray)
	if !ok {
		p.invalid(r, "target")
		return
	}
	unit, byUnit := r.whole("ams_id", 0, noTray)
	slot, bySlot := r.whole("slot_id", 0, noTray)
	heat, _ := r.number("tar_temp")
	switch outside := byUnit && unit >= externalSpool; {
	case outside && bySlot && slot != noTray: // of two holders the right is slot 0
		target = externalSpool
	case target == noTray || bySlot && slot == noTray:
		target = noTray
	case byUnit && !outside && bySlot:
		if unit != p.body.unit() {
			p.invalid(r, "ams_id")
			return
		}
		target = slot
	}
	p.change(r, target, heat)
}

func (p *Printer) change(r request, target int, heat float64) {
	v := p.body
	if target < externalSpool {
		if v.unplugged || target >= len(v.trays) {
			p.invalid(r, "target")
			return
		}
		if errno, soft := v.tooHot(target); errno != 0 {
			p.answer(r, "fail", "too hot", obj{"errno": errno, "soft_temp": soft})
			return
		}
	}
	if v.moving() || v.busy() && v.state != stPause {
		p.busy(r)
		return
	}
	p.done(r, v.beginChange(target, heat))
}

// namedTray finds the slot of an AMS that a request names, or an external spool, by its
// holder. Clients name a slot in two ways.
func (p *Printer) namedTray(r request) (slot, holder int, ok bool) {
	unit, known := r.whole("ams_id", 0, noTray)
	slot, bySlot := r.whole("slot_id", 0, noTray)
	if tray, byTray := r.whole("tray_id", 0, noTray); !bySlot || byTray && tray < len(p.body.trays) {
		slot, bySlot = tray, byTray
	}
	switch {
	case !known || !bySlot:
		return 0, 0, false
	case unit == noTray || unit == externalSpool && p.model.Nozzles < 2:
		return -1, 0, true
	case unit == externalSpool:
		return -1, 1, true
	}
	return slot, 0, unit == p.body.unit() && slot < len(p.body.trays) && !p.body.unplugged
}

// describeTray takes a person's word for what is in a slot. The answer repeats it;
// that of a P1 has no result.
func (p *Printer) describeTray(r request) {
	v := p.body
	slot, holder, ok := p.namedTray(r)
	low, _ := r.whole("nozzle_temp_min", 0, 500)
	high, _ := r.whole("nozzle_temp_max", 0, 500)
	t := tray{
		Type: r.text("tray_type"), Color: strings.ToUpper(r.text("tray_color")), Preset: r.text("tray_info_idx"), Remain: -1, Min: low, Max: high, Profile: -1,
	}
	switch {
	case !ok || len(t.Color) != 8 || len(t.Type) > 32 || len(t.Preset) > 32 || low > high:
		p.invalid(r, "param")
		return
	case slot < 0:
		v.outside[holder] = t
	case v.trays[slot].Type == "" && !v.trays[slot].unknown:
		p.answer(r, "fail", "no filament", nil)
		return
	default:
		t.unknown, t.Chip = t.Type == "", v.trays[slot].Chip
		if t.Chip != "" {
			t.Remain = v.trays[slot].Remain
		}
		v.setTray(slot, t)
	}
	if strings.HasPrefix(p.model.Code, "P1") {
		p.settled(r)
		return
	}
	more := obj{}
	for _, key := range []string{"ams_id", "slot_id", "tray_id", "tray_info_idx", "tray_color", "tray_type", "nozzle_temp_min", "nozzle_temp_max", "setting_id"} {
		if value, has := r.body[key]; has {
			more[key] = value
		}
	}
	p.accept(r, more)
}

// readTray reads the chip of a spool.
func (p *Printer) readTray(r request) {
	slot, _, ok := p.namedTray(r)
	switch {
	case !ok || slot < 0:
		p.invalid(r, "slot_id")
	case p.body.occupied():
		p.busy(r)
	default:
		p.done(r, p.body.readChip(slot))
	}
}

// amsOptions turns the switches of the AMS.
func (p *Printer) amsOptions(r request) {
	s := &p.body.set
	for key, into := range map[string]*bool{
		"startup_read_option": &s.powerRead, "tray_read_option": &s.insertRead, "calibrate_remain_flag": &s.remain,
	} {
		if on, ok := r.truth(key); ok {
			*into = on
		}
	}
	p.settled(r)
}

// dryingCommands heat the AMS to dry what is in it.
var dryingCommands = commands{
	"print.ams_filament_drying": newer((*machine).dries, (*Printer).dry),
	"print.auto_stop_ams_dry": newer((*machine).dries, simple(func(v *machine) bool {
		v.stopDrying()
		return true
	})),
}

// The bounds of drying in an AMS 2 Pro.
const (
	dryColdest = 45 // °C
	dryHottest = 65
	dryLongest = 24 // hours
)

func (p *Printer) dry(r request) {
	unit, ok := r.whole("ams_id", 0, noTray)
	mode, known := r.whole("mode", 0, 1)
	switch {
	case !ok || !known || unit != p.body.unit() || p.body.unplugged:
		p.invalid(r, "ams_id")
		return
	case mode == 0:
		p.body.stopDrying()
		p.done(r, true)
		return
	}
	temp, warm := r.whole("temp", dryColdest, dryHottest)
	hours, long := r.whole("duration", 1, dryLongest)
	switch filament := r.text("filament"); {
	case !warm || !long || len(filament) > 32:
		p.invalid(r, "param")
	case !p.body.beginDrying(filament, float64(temp), hours):
		p.busy(r)
	default:
		p.done(r, true)
	}
}
