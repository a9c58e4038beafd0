package simprinter

import (
	"maps"
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

func (p *Printer) version(r request) {
	product := "Bambu Lab " + p.model.Name
	if p.model.Code == "X1C" {
		product = "Bambu Lab X1-Carbon"
	}
	module := func(name, hardware, version string, more obj) obj {
		m := obj{"name": name, "hw_ver": hardware, "sw_ver": version, "sn": p.spec.Serial, "flag": 0}
		maps.Copy(m, more)
		return m
	}
	modules := []obj{module("ota", "OTA", p.id.firmware, obj{"product_name": product, "visible": true})}
	board, ams := module("ap", "AP02", "00.00.51.36", nil), module("n3f/0", "N3F05", "03.00.20.16", obj{"sn": "19C00A000000001"})
	switch {
	case p.body.lite():
		board = module("esp32", "AP05", "01.04.22.50", nil)
		ams = module("ams_f1/"+itoa(p.body.unit()), "AMS_F102", "00.00.07.94", obj{"sn": "03C00A000000001"})
	case p.model.FirstAMS == bambu.AMS:
		ams = module("ams/0", "AMS08", "00.00.06.49", obj{"sn": "00600A000000001"})
		if board = module("rv1126", "AP05", "00.00.34.02", nil); p.model.Reports == bambu.StyleDelta {
			board = module("esp32", "AP04", "01.11.34.55", nil)
		}
	}
	if modules = append(modules, board); !p.body.unplugged {
		modules = append(modules, ams)
	}
	modules = append(modules, module("mc", "MC07", "00.00.30.68", nil), module("th", "TH07", "00.00.07.00", nil))
	p.publish(obj{"info": obj{"command": "get_version", "sequence_id": r.seq, "module": modules}})
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
	p.id.firmware, p.spec.Firmware = u.offered, u.offered
	delete(p.faults, updateOffered)
	*u = update{}
	p.restart(request{})
}
