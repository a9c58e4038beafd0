package simprinter

import (
	"slices"
	"strings"
	"time"

	"bambuddy/shared/bambu"
)

// systemCommands are about the printer itself.
var systemCommands = commands{
	"pushing.pushall":                     func(p *Printer, _ request) { p.pushAll() },
	"pushing.start":                       func(p *Printer, _ request) { p.pushAll() },
	"pushing.stop":                        func(*Printer, request) {},
	"info.get_version":                    (*Printer).version,
	"system.ledctrl":                      (*Printer).lamp,
	"system.get_access_code":              (*Printer).accessCode,
	"system.uiop":                         func(*Printer, request) {}, // closes a window of the screen
	"system.set_accessories":              newer((*machine).tellsNozzle, (*Printer).setNozzleKind),
	"system.get_accessories":              newer((*machine).oldDoor, (*Printer).nozzleKind),
	"system.reboot":                       (*Printer).restart,
	"upgrade.upgrade_confirm":             (*Printer).install,
	"upgrade.start":                       (*Printer).install,
	"upgrade.consistency_confirm":         func(p *Printer, r request) { p.answer(r, "success", "success", nil) },
	"upgrade.get_history":                 func(p *Printer, r request) { p.answer(r, "success", "success", obj{"firmware_optional": []obj{}}) },
	"upgrade.mc_for_ams_firmware_upgrade": func(p *Printer, r request) { p.done(r, false) },
	"upgrade.wtm_upgrade":                 func(p *Printer, r request) { p.done(r, false) },
}

func (p *Printer) accessCode(r request) {
	p.answer(r, "success", "success", obj{"access_code": p.code})
}

// lamp switches a lamp. The A and P series take commands for a lamp at the tool that they
// do not have, and the H2 family for one of the bed that it does not report.
func (p *Printer) lamp(r request) {
	node, mode := r.text("led_node"), r.text("led_mode")
	if mode != "on" && mode != lampOff && mode != "flashing" {
		p.invalid(r, "led_mode")
		return
	}
	there := slices.ContainsFunc(p.body.lights(), func(l obj) bool { return l["node"] == node })
	silently := node == "work_light" && p.model.Reports == bambu.StyleDelta || node == "heatbed_light" && p.body.large()
	if !there && !silently {
		p.answer(r, "fail", "did not find the valid led: "+node, nil)
		return
	}
	if strings.HasPrefix(node, "chamber_light") {
		p.body.light = mode
	}
	p.done(r, true)
}

var nozzleKinds = []string{"stainless_steel", "hardened_steel", "tungsten_carbide"}

func (p *Printer) setNozzleKind(r request) {
	size, ok := r.number("nozzle_diameter")
	kind := r.text("nozzle_type")
	if !ok || !slices.Contains([]float64{0.2, 0.4, 0.6, 0.8}, size) || !slices.Contains(nozzleKinds, kind) || r.text("accessory_type") != "nozzle" {
		p.invalid(r, "param")
		return
	}
	p.body.set.nozzleSize, p.body.set.nozzleKind = size, kind
	p.done(r, true)
}

func (p *Printer) nozzleKind(r request) {
	p.answer(r, "success", "success", obj{
		"accessory_type": "nozzle", "nozzle_diameter": p.body.set.nozzleSize, "nozzle_type": p.body.set.nozzleKind, "aux_part_fan": p.model.AuxFan,
	})
}

// startup is how long the printer is gone when it restarts, times its speed.
const startup = 90 * time.Second

// restart is not answered: the connections break.
func (p *Printer) restart(request) {
	if err := p.strike(reboot, max(2*tick, time.Duration(float64(startup)/p.farm.speed))); err != nil {
		p.log.Error("did not restart", "err", err)
	}
}

func (p *Printer) install(r request) { p.done(r, p.body.install()) }

// installed restarts the printer when an update is in.
func (p *Printer) installed() {
	u := &p.body.update
	if !u.restart {
		return
	}
	p.spec.Firmware = u.offered
	p.body.flash(u.offered)
	delete(p.faults, updateOffered)
	*u = update{}
	p.restart(request{})
}
