package simprinter

import "bambuddy/shared/bambu"

// settings are what a printer remembers of its switches, power or not.
type settings struct {
	autoRecovery, refill, airPrint, tangle, sound bool // print_option
	blob, purify                                  int  // 0 off, 1, 2
	idleHeating                                   bool // heaters may stay on without a print
	insertRead, powerRead, remain                 bool // ams_user_setting
	door                                          int  // 0 nothing, 1 warn, 2 pause
	keepFiles, record, timelapse                  bool
	resolution                                    string
	watch                                         map[string]detector // xcam, by module
	nozzleKind                                    string
	nozzleSize                                    float64 // mm
}

// detector is one thing the camera watches for.
type detector struct {
	on    bool
	level string // how readily it halts the print
	bit   uint   // of xcam.cfg, the level above it; 0: in none
}

// The levels of a detector, by their number in the bit words.
var levels = []string{"never_halt", "low", "medium", "high"}

func factory(m bambu.Model) settings {
	s := settings{
		refill: true, insertRead: true, resolution: "1080p", nozzleKind: "stainless_steel", nozzleSize: 0.4, door: 1, blob: 1,
		watch: map[string]detector{},
	}
	switch {
	case m.Code == "P1P" || m.Code == "P1S":
		s.resolution = "" // it has one, and does not say which
	case m.Reports == bambu.StyleDelta:
		s.watch["buildplate_marker_detector"] = detector{on: true}
	default:
		for _, module := range []string{"buildplate_marker_detector", "first_layer_inspector", "printing_monitor"} {
			s.watch[module] = detector{on: true, level: "medium"}
		}
		s.watch["spaghetti_detector"] = detector{true, "medium", 7}
		if m.FirstAMS == "" {
			for module, bit := range map[string]uint{
				"pileup_detector": 10, "clump_detector": 13, "airprint_detector": 16, "plate_offset_switch": 20, "fod_check": 21, "model_movement_check": 22,
			} {
				s.watch[module] = detector{false, "medium", bit}
			}
		}
	}
	return s
}

// xcam is the settings of the detectors as reported; nil on machines that report none.
func (v *machine) xcam() obj {
	if len(v.set.watch) == 0 {
		return nil
	}
	out, cfg := obj{"buildplate_marker_detector": v.set.watch["buildplate_marker_detector"].on}, 0
	if v.model.Reports == bambu.StyleDelta {
		return out
	}
	monitor := v.set.watch["printing_monitor"]
	out["allow_skip_parts"], out["print_halt"], out["halt_print_sensitivity"] = false, monitor.level != levels[0], monitor.level
	for module, d := range v.set.watch {
		if d.bit < 10 {
			out[module] = d.on
		}
		if d.bit > 0 && d.on {
			cfg |= 1 << d.bit
		}
		if d.bit > 0 && d.bit < 20 {
			cfg |= level(d.level) << (d.bit + 1)
		}
	}
	if v.model.FirstAMS == "" {
		out["cfg"] = cfg
	}
	return out
}

// level is the number of a level's name, medium for one that is none.
func level(name string) int {
	for n, l := range levels {
		if l == name {
			return n
		}
	}
	return 2
}
