package simprinter

import (
	"fmt"
	"slices"
)

// profile is a pressure advance profile, which the printer keeps per filament
// and nozzle.
type profile struct {
	index                   int
	filament, setting, name string
	k, n, nozzle, diameter  string
	extruder                int
}

// maxProfiles is how many it keeps.
const maxProfiles = 64

// view is how a printer lists it.
func (p profile) view() obj {
	return obj{
		"cali_idx": p.index, "filament_id": p.filament, "setting_id": p.setting, "name": p.name, "k_value": p.k, "n_coef": p.n,
		"nozzle_id": p.nozzle, "nozzle_diameter": p.diameter, "extruder_id": p.extruder,
	}
}

// profileCommands keep and measure pressure advance.
var profileCommands = commands{
	"print.extrusion_cali_get":        (*Printer).profiles,
	"print.extrusion_cali_sel":        (*Printer).selectProfile,
	"print.extrusion_cali_set":        (*Printer).setProfiles,
	"print.extrusion_cali_del":        (*Printer).deleteProfile,
	"print.extrusion_cali":            simple(func(v *machine) bool { return v.calibrate([]int{14, 8}) }),
	"print.flowrate_cali":             simple(func(v *machine) bool { return v.calibrate([]int{14, 19}) }),
	"print.extrusion_cali_get_result": (*Printer).noProfileResult,
	"print.flowrate_get_result":       (*Printer).noProfileResult,
}

// profileAnswer repeats the request and adds to it, on every model.
func (p *Printer) profileAnswer(r request, result, reason string, more obj) {
	out := obj{"is_from_mqtt": true}
	for key, v := range r.body {
		out[key] = v
	}
	out["result"], out["reason"] = result, reason
	for key, v := range more {
		out[key] = v
	}
	p.reply(obj{"print": out})
}

// profiles lists what there is for a filament, or for all.
func (p *Printer) profiles(r request) {
	found := []obj{}
	for _, one := range p.body.profiles {
		filament, diameter := r.text("filament_id"), r.text("nozzle_diameter")
		if (filament == "" || filament == one.filament) && (diameter == "" || diameter == one.diameter) {
			found = append(found, one.view())
		}
	}
	if len(found) == 0 {
		p.profileAnswer(r, "fail", "Not find", obj{"filaments": found})
		return
	}
	p.profileAnswer(r, "success", "", obj{"filaments": found})
}

// noProfileResult: the simulator measures nothing.
func (p *Printer) noProfileResult(r request) {
	p.profileAnswer(r, "fail", "Don't exist", obj{"filaments": []obj{}})
}

// selectProfile makes a profile that of a tray; -1 is the default.
func (p *Printer) selectProfile(r request) {
	v := p.body
	index, ok := r.whole("cali_idx", -1, maxProfiles)
	slot, holder, place := p.namedTray(r)
	if !place { // older clients give the tray alone
		slot, place = r.whole("tray_id", 0, len(v.trays)-1)
	}
	exists := index == -1 || slices.ContainsFunc(v.profiles, func(one profile) bool { return one.index == index })
	switch {
	case !ok || !place || !exists:
		p.profileAnswer(r, "fail", "invalid param", nil)
		return
	case slot < 0:
		v.outside[holder].Profile = index
	default:
		t := v.trays[slot]
		t.Profile = index
		v.setTray(slot, t)
	}
	p.profileAnswer(r, "success", "success", nil)
	p.show()
}

// setProfiles keeps profiles: in the new form several, in the old one.
func (p *Printer) setProfiles(r request) {
	list, isNew := r.body["filaments"].([]any)
	if !isNew {
		list = []any{r.body}
	}
	for _, e := range list {
		body, ok := e.(obj)
		if !ok || !p.body.keep(request{body: body}, r.text("nozzle_diameter")) {
			p.profileAnswer(r, "fail", "invalid param", nil)
			return
		}
	}
	p.profileAnswer(r, "success", "success", nil)
}

// keep puts a profile in place of the one with its number, or beside the others.
func (v *machine) keep(r request, diameter string) bool {
	k, ok := r.number("k_value")
	n, _ := r.number("n_coef")
	if !ok || k < 0 || k > 2 {
		return false
	}
	extruder, _ := r.whole("extruder_id", 0, 1)
	one := profile{
		filament: r.text("filament_id"), setting: r.text("setting_id"), name: r.text("name"), k: fmt.Sprintf("%.6f", k), n: fmt.Sprintf("%.6f", n),
		nozzle: r.text("nozzle_id"), diameter: diameter, extruder: extruder,
	}
	if index, ok := r.whole("cali_idx", 0, maxProfiles); ok {
		at := slices.IndexFunc(v.profiles, func(p profile) bool { return p.index == index })
		if at < 0 {
			return false
		}
		one.index = index
		v.profiles[at] = one
		return true
	}
	if len(v.profiles) == maxProfiles {
		return false
	}
	for slices.ContainsFunc(v.profiles, func(p profile) bool { return p.index == one.index }) {
		one.index++
	}
	v.profiles = append(v.profiles, one)
	return true
}

// deleteProfile forgets one, and trays that used it take the default.
func (p *Printer) deleteProfile(r request) {
	v := p.body
	index, ok := r.whole("cali_idx", 0, maxProfiles)
	at := slices.IndexFunc(v.profiles, func(one profile) bool { return one.index == index })
	if !ok || at < 0 {
		p.profileAnswer(r, "fail", "Not find", nil)
		return
	}
	v.profiles = slices.Delete(v.profiles, at, at+1)
	for i, t := range v.trays {
		if t.Profile == index {
			t.Profile = -1
			v.setTray(i, t)
		}
	}
	p.profileAnswer(r, "success", "success", nil)
	p.show()
}
