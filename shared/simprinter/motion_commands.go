package simprinter

import "math"

// motionCommands move the machine without a print. In one they are refused.
var motionCommands = commands{
	"print.back_to_center":       function(funBackToCenter, (*Printer).goHome),
	"print.xyz_ctrl":             function(funJog, (*Printer).jog),
	"print.set_extrusion_length": function(funJog, (*Printer).extrude),
	"print.select_extruder":      newer(func(v *machine) bool { return v.model.Nozzles > 1 }, (*Printer).selectExtruder),
	"print.refresh_nozzle":       newer((*machine).hasDucts, simple(func(v *machine) bool { return !v.occupied() })),
	// The rack of an H2C.
	"print.holder_nozzle_refresh": newer((*machine).hasRack, simple(func(v *machine) bool { return !v.occupied() })),
	"print.nozzle_info_confirm":   newer((*machine).hasRack, simple(func(*machine) bool { return true })),
	"print.nozzle_holder_ctrl":    newer((*machine).hasRack, simple(func(v *machine) bool { return !v.occupied() })),
}

// hasRack tells whether it changes nozzles by itself.
func (v *machine) hasRack() bool { return v.is("H2C") }

// coldExtrusion is below which nothing is pressed through a nozzle, °C.
const coldExtrusion = 170

func (p *Printer) goHome(r request) {
	if !p.body.home() {
		p.busy(r)
		return
	}
	p.done(r, true)
}

func (p *Printer) jog(r request) {
	axis := r.text("axis")
	dir, ok := r.whole("dir", -1, 1)
	_, known := r.whole("mode", 0, 1)
	switch {
	case axis != "X" && axis != "Y" && axis != "Z" || !ok || dir == 0 || !known:
		p.invalid(r, "param")
	case p.body.occupied():
		p.busy(r)
	default:
		p.done(r, true)
	}
}

func (p *Printer) extrude(r request) {
	id, ok := r.whole("extruder_index", 0, p.model.Nozzles-1)
	length, known := r.number("length")
	switch {
	case !ok || !known || math.Abs(length) > 100:
		p.invalid(r, "param")
	case p.body.occupied():
		p.busy(r)
	case p.body.nozzle[id].now < coldExtrusion:
		p.answer(r, "fail", "nozzle is cold", nil)
	default:
		p.done(r, true)
	}
}

func (p *Printer) selectExtruder(r request) {
	id, ok := r.whole("extruder_index", 0, p.model.Nozzles-1)
	switch {
	case !ok:
		p.invalid(r, "extruder_index")
	case !p.body.selectExtruder(id):
		p.busy(r)
	default:
		p.done(r, true)
	}
}
