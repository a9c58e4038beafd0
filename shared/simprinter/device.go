package simprinter

import (
	"maps"

	"bambuddy/shared/bambu"
)

// device is the hardware tree of newer firmware.
func (v *machine) device() obj {
	var extruders, nozzles []obj
	for i := range v.model.Nozzles {
		now := v.slotOf(i)
		one := obj{
			"id": i, "temp": pack(v.nozzle[i]), "snow": now, "spre": now, "star": now, "hnow": i, "hpre": i, "htar": i,
			"info": 8, "stat": 0, "filam_bak": []int{},
		}
		if v.is("X2D") {
			one["z_bias"] = 0.0
		}
		extruders, nozzles = append(extruders, one), append(nozzles, v.nozzleView(i))
	}
	d := obj{
		"type": 1, "bed": obj{"info": obj{"temp": pack(v.bed)}, "state": 0},
		"extruder": obj{"state": v.extruderState(), "info": extruders},
		"nozzle":   v.nozzles(nozzles), "ext_tool": v.tool(),
	}
	if v.model.ChamberSensor {
		d["ctc"] = obj{"info": obj{"temp": pack(v.chamber)}, "state": 0}
	}
	if v.model.FirstAMS == "" { // the machines that came with air ducts
		d["airduct"] = v.ducts()
	}
	if v.model.Reports == bambu.StyleFull {
		v.bigDevice(d)
	}
	return d
}

// bigDevice are the branches that the A2L does not have.
func (v *machine) bigDevice(d obj) {
	d["bed_temp"], d["plate"] = pack(v.bed), obj{"base": 1, "mat": 1, "cali2d_id": "", "cur_id": "", "tar_id": ""}
	d["fan"], d["laser"] = 0, obj{"power": 0} // fan: bits of an unknown meaning, 0 on idle machines
	cam := obj{"laser": obj{"cond": 252, "state": 0}}
	d["cam"] = cam
	if v.is("H2D") {
		d["cham_temp"] = pack(v.chamber)
	} else if v.large() {
		d["fire_ext"] = obj{
			"bot_err": 0, "cd": 0, "cd_init": 15, "connect_flag": 0, "drill_flag": 0, "history": []obj{}, "remain_time": 0, "rm_init": 33, "state": 0,
		}
	}
	if v.is("P2S", "X2D") {
		d["holder"], cam["timelapse_path"] = nil, ""
	}
	if v.is("X2D") {
		d["fila_switch"], d["fourth_axis"], d["screen"] = nil, obj{"connect_flag": 0, "theta_pitch": -1}, obj{"backlight": -1}
		maps.Copy(cam, timelapseRoom())
	}
}

// nozzles is the branch about all of them.
func (v *machine) nozzles(info []obj) obj {
	out := obj{"exist": 1<<v.model.Nozzles - 1, "state": 0, "info": info}
	if v.is("P2S", "X2D") {
		out["src_id"], out["tar_id"] = 0, 0
	}
	if v.is("X2D") {
		out["hc"] = 0
	}
	return out
}

func (v *machine) nozzleView(i int) obj {
	out := obj{"id": i, "diameter": v.set.nozzleSize, "type": v.nozzleType(), "wear": 0, "tm": 0}
	if v.is("P2S", "X2D") { // whose nozzles know themselves
		out["color_m"], out["fila_id"], out["sn"], out["stat"] = "00000000", "", "9331A215158446"+itoa(i), 0
	}
	if v.is("X2D") {
		out["p_t"] = 0
	}
	return out
}

// tool is what may hang on the tool head.
func (v *machine) tool() obj {
	out := obj{"calib": 2, "low_prec": !v.is("A2L", "H2D"), "mount": 0, "th_temp": 0, "type": ""}
	if v.model.FirstAMS == "" && !v.is("H2D") {
		out["mount_3d"] = 0
	}
	return out
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
	out := obj{"parts": parts}
	switch {
	case v.is("A2L"): // one fan, no modes
		out["version"], parts[0]["tar_state"] = 1, v.partFan
		return out
	case v.is("P2S"):
		out["modeList"] = []obj{{"modeId": 0, "ctrl": ids{16, 32, 160}, "off": ids{}}, {"modeId": 1, "ctrl": ids{16, 32}, "off": ids{160}}}
	case v.is("X2D"):
		out["modeList"] = []obj{{"modeId": 0, "ctrl": ids{16, 32, 160, 48}, "off": ids{}}, {"modeId": 1, "ctrl": ids{16, 160, 48}, "off": ids{}}}
		for _, p := range parts {
			p["tar_state"] = p["state"]
		}
	default:
		out["modeList"] = []obj{
			{"modeId": 0, "ctrl": ids{16, 32, 48}, "off": ids{96}}, {"modeId": 1, "ctrl": ids{16}, "off": ids{32, 48}}, {"modeId": 2, "ctrl": ids{48}, "off": ids{}},
		}
	}
	if v.is("P2S", "X2D") {
		maps.Copy(out, obj{"modeFunc": 0, "modeVisable": 7, "subFunc": 0, "subVisable": 7, "version": 1})
	}
	if out["modeCur"] = v.airduct; !v.is("H2D") {
		out["subMode"] = 0
	}
	return out
}

// hasDucts tells whether the air duct has modes.
func (v *machine) hasDucts() bool { return v.model.FirstAMS == "" && v.model.AuxFan }
