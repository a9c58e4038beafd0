package simprinter

import (
	"regexp"
	"strconv"
	"strings"
)

// heatCommands set temperatures and fans.
var heatCommands = commands{
	"print.gcode_line":      (*Printer).gcode,
	"print.set_nozzle_temp": function(funBed, (*Printer).setNozzle),
	"print.set_bed_temp":    function(funBed, (*Printer).setBed),
	"print.set_ctt":         newer(func(v *machine) bool { return v.model.ChamberHeater }, (*Printer).setChamber),
	"print.set_fan":         function(funBed, (*Printer).setFan),
	"print.set_airduct":     newer((*machine).hasDucts, (*Printer).setDuct),
}

// The commands of newer firmware refuse what the machine does not bear.

func (p *Printer) setNozzle(r request) {
	id, ok := r.whole("extruder_index", 0, p.model.Nozzles-1)
	temp, within := r.whole("target_temp", 0, p.model.NozzleMax)
	if !ok || !within {
		p.invalid(r, "param")
		return
	}
	p.body.nozzle[id].target = float64(temp)
	p.done(r, true)
}

func (p *Printer) setBed(r request) {
	temp, ok := r.whole("temp", 0, p.model.BedMax)
	if !ok {
		p.invalid(r, "param")
		return
	}
	p.body.bed.target = float64(temp)
	p.done(r, true)
}

func (p *Printer) setChamber(r request) {
	temp, ok := r.whole("ctt_val", 0, p.model.ChamberMax)
	if !ok {
		p.invalid(r, "param")
		return
	}
	p.body.chamber.target = float64(temp)
	p.done(r, true)
}

func (p *Printer) setFan(r request) {
	id, ok := r.whole("fan_index", 1, 10)
	percent, within := r.whole("speed", 0, 100)
	if !ok || !within || !p.body.setFan(id, percent) {
		p.invalid(r, "param")
		return
	}
	p.done(r, true)
}

func (p *Printer) setDuct(r request) {
	mode, ok := r.whole("modeId", 0, 3)
	if !ok {
		p.invalid(r, "modeId")
		return
	}
	p.body.airduct = mode
	p.done(r, true)
}

// setFan sets one of the fans the model has; it tells whether there is one.
func (v *machine) setFan(id, percent int) bool {
	switch {
	case id == 1:
		v.partFan = percent
	case id == 2 && v.model.AuxFan:
		v.auxFan = percent
	case id == 3 && v.model.ChamberFan:
		v.chamberFan = percent
	case id == 10 && v.is("P2S", "X2D"):
		v.auxFan2 = percent
	default:
		return false
	}
	return true
}

// gcode runs some lines: those that set temperatures and fans, up to what the model
// bears, that home, and that read a spool's chip. Others are accepted and do
// nothing, as most do nothing that a report would show.
func (p *Printer) gcode(r request) {
	text, ok := r.body["param"].(string)
	if !ok {
		p.invalid(r, "param")
		return
	}
	for line := range strings.Lines(text) {
		p.body.gcode(line)
	}
	p.done(r, true)
}

var gcodeWord = regexp.MustCompile(`([A-Z])\s*(-?[0-9]*\.?[0-9]+)`)

// gcode runs one line.
func (v *machine) gcode(line string) {
	line, _, _ = strings.Cut(strings.ToUpper(line), ";")
	words := map[string]float64{}
	name := ""
	for _, w := range gcodeWord.FindAllStringSubmatch(line, -1) {
		n, err := strconv.ParseFloat(w[2], 64)
		if err != nil {
			return
		}
		if name == "" {
			name = w[1] + w[2]
			continue
		}
		words[w[1]] = n
	}
	set, heats := words["S"]
	heats = heats && set >= 0
	switch name {
	case "M104", "M109":
		id, named := words["T"]
		if !named || id != 0 && id != 1 {
			id = float64(v.active)
		}
		if heats {
			v.nozzle[int(id)].target = min(set, float64(v.model.NozzleMax))
		}
	case "M140", "M190":
		if heats {
			v.bed.target = min(set, float64(v.model.BedMax))
		}
	case "M141":
		if heats {
			v.chamber.target = min(set, float64(v.model.ChamberMax))
		}
	case "M106", "M107":
		if heats || name == "M107" {
			v.setFan(max(1, int(words["P"])), int(min(set, 255)*100/255))
		}
	case "G28":
		v.home() // not in a print: there it is part of the print's own lines
	case "M620":
		if slot, ok := words["R"]; ok && slot >= 0 && int(slot) < len(v.trays) {
			v.readChip(int(slot))
		}
	}
}
