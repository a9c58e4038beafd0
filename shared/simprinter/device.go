package simprinter

// device is the hardware tree of newer firmware.
func (v *machine) device() obj {
	var extruders, nozzles []obj
	for i := range v.model.Nozzles {
		now := v.slotOf(i)
		extruders = append(extruders, obj{
			"id": i, "temp": pack(v.nozzle[i]), "snow": now, "spre": now, "star": now, "hnow": i, "hpre": i, "htar": i,
			"info": 8, "stat": 0, "filam_bak": []int{},
		})
		nozzles = append(nozzles, obj{"id": i, "diameter": v.set.nozzleSize, "type": v.nozzleType(), "wear": 0, "tm": 0})
	}
	d := obj{
		"type": 1, "bed": obj{"info": obj{"temp": pack(v.bed)}, "state": 0}, "bed_temp": pack(v.bed),
		"extruder": obj{"state": v.extruderState(), "info": extruders},
		"nozzle":   obj{"exist": 1<<v.model.Nozzles - 1, "state": 0, "info": nozzles},
		"plate":    obj{"base": 1, "mat": 1, "cali2d_id": "", "cur_id": "", "tar_id": ""},
		"ext_tool": obj{"calib": 2, "low_prec": true, "mount": 0, "th_temp": 0, "type": ""},
	}
	if v.model.ChamberSensor {
		d["ctc"] = obj{"info": obj{"temp": pack(v.chamber)}, "state": 0}
	}
	if v.model.FirstAMS == "" { // the machines that came with air ducts
		d["airduct"] = v.ducts()
	}
	return d
}

// extruderState counts the extruders and says which is in use; none while it switches.
func (v *machine) extruderState() int {
	now, next := v.active, v.active
	if v.switching {
		now, next = 0xF, 1-v.active
	}
	return v.model.Nozzles | now<<4 | next<<8
}

// nozzleType is the id of the nozzle: hardened steel, but where a person can tell
// the printer another.
func (v *machine) nozzleType() string {
	if v.tellsNozzle() && v.set.nozzleKind == "stainless_steel" {
		return "HS00"
	}
	return "HS01"
}

// tellsNozzle tells whether a person tells the printer what nozzle it has.
func (v *machine) tellsNozzle() bool { return v.model.FirstAMS != "" }

// ducts are the fans of the machines with an air duct, and what its modes leave
// to be set.
func (v *machine) ducts() obj {
	type ids = []int
	part := func(id, percent int) obj { return obj{"id": id, "func": 0, "state": percent, "range": 6553600} }
	parts := []obj{part(16, v.partFan)}
	if v.model.AuxFan {
		parts = append(parts, part(32, v.auxFan), part(48, v.chamberFan))
	}
	if v.is("P2S", "X2D") {
		parts = append(parts, part(160, v.auxFan2))
	}
	out := obj{"modeCur": v.airduct, "parts": parts}
	if v.hasDucts() {
		out["subMode"] = 0
		out["modeList"] = []obj{
			{"modeId": 0, "ctrl": ids{16, 32, 48}, "off": ids{96}}, {"modeId": 1, "ctrl": ids{16}, "off": ids{32, 48}}, {"modeId": 2, "ctrl": ids{48}, "off": ids{}},
		}
	}
	return out
}

// hasDucts tells whether the air duct has modes.
func (v *machine) hasDucts() bool { return v.model.FirstAMS == "" && v.model.AuxFan }
