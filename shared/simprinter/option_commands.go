package simprinter

import (
	"slices"
	"strings"
)

// optionCommands are the switches of the printer.
var optionCommands = commands{
	"print.print_option": (*Printer).printOption,
	"print.set_against_continued_heating_mode": function(funIdleHeating, func(p *Printer, r request) {
		on, ok := r.truth("enable")
		if p.body.set.idleHeating = on; !ok {
			p.invalid(r, "enable")
			return
		}
		p.done(r, true)
	}),
	"print.buzzer_ctrl":    newer((*machine).large, simple(func(*machine) bool { return true })),
	"print.close_air_filt": newer((*machine).hasDucts, simple(func(v *machine) bool { v.set.purify = 0; return true })),
	"system.set_door_stat": newer(func(v *machine) bool { return v.model.DoorSensor }, func(p *Printer, r request) {
		how, ok := r.whole("config", 0, 2)
		if !ok {
			p.invalid(r, "config")
			return
		}
		p.body.set.door = how
		p.done(r, true)
	}),
	"system.print_cache_set": newer(func(v *machine) bool { return !strings.HasPrefix(v.model.Code, "P1") && !v.lite() }, func(p *Printer, r request) {
		on, ok := r.truth("config")
		if !ok {
			p.invalid(r, "config")
			return
		}
		p.body.set.keepFiles = on
		p.done(r, true)
	}),
	"xcam.xcam_control_set": (*Printer).setDetector,
}

// large tells whether it is one of the H2 family.
func (v *machine) large() bool { return strings.HasPrefix(v.model.Code, "H2") }

// printOption turns switches; a frame should have one, and may have several.
func (p *Printer) printOption(r request) {
	s := &p.body.set
	known := false
	for key, into := range map[string]*bool{
		"auto_recovery": &s.autoRecovery, "auto_switch_filament": &s.refill, "air_print_detect": &s.airPrint, "filament_tangle_detect": &s.tangle,
		"sound_enable": &s.sound,
	} {
		if on, ok := r.truth(key); ok {
			*into, known = on, true
		}
	}
	if on, ok := r.truth("nozzle_blob_detect"); ok {
		s.blob, known = bit(on), true
	}
	for key, into := range map[string]*int{"nozzle_blob_detect_v2": &s.blob, "air_purification": &s.purify} {
		if n, ok := r.whole(key, 0, 2); ok {
			*into, known = n, true
		}
	}
	if !known {
		p.invalid(r, "option")
		return
	}
	p.accept(r, nil)
}

// setDetector sets one of the detectors the model has; a P1 has none.
func (p *Printer) setDetector(r request) {
	module := r.text("module_name")
	d, ok := p.body.set.watch[module]
	if !ok {
		p.answer(r, "fail", "unsupported module", nil)
		return
	}
	for _, key := range []string{"control", "enable"} {
		if on, ok := r.truth(key); ok {
			d.on = on
		}
	}
	if l := r.text("halt_print_sensitivity"); slices.Contains(levels, l) {
		d.level = l
	}
	p.body.set.watch[module] = d
	p.settled(r)
}
