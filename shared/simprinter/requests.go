package simprinter

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/bambu"
)

// request is one command of a client.
type request struct {
	section, command, seq string
	body                  obj
}

// handle does what a request asks, and answers as the model's firmware does.
func (p *Printer) handle(payload []byte) {
	var frame map[string]json.RawMessage
	if json.Unmarshal(payload, &frame) != nil {
		return // firmware ignores what it cannot read
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.has(powerCut) || p.has(silent) {
		return
	}
	for section, raw := range frame {
		var body obj
		if json.Unmarshal(raw, &body) != nil {
			continue // slicers put other things beside the command: their user's id
		}
		command, ok := body["command"].(string)
		if !ok {
			continue // as the signature of a signed command, which is not looked at
		}
		seq, ok := body["sequence_id"].(string)
		if !ok {
			seq = "0"
		}
		r := request{section, command, seq, body}
		if section == "print" && p.body.secured {
			p.answer(r, "failed", "mqtt message verify failed", obj{"err_code": 84033543})
			p.body.hms = []bambu.HMS{{Attr: 0x05000500, Code: 0x00010007}}
			continue
		}
		if do := handlers[section+"."+command]; do != nil {
			do(p, r)
			continue
		}
		p.answer(r, "fail", "unknown command", nil)
	}
}

// handlers are the commands the simulator knows.
var handlers = map[string]func(*Printer, request){
	"pushing.pushall":         func(p *Printer, _ request) { p.pushAll() },
	"pushing.start":           func(p *Printer, _ request) { p.pushAll() },
	"pushing.stop":            func(*Printer, request) {},
	"info.get_version":        (*Printer).version,
	"print.pause":             func(p *Printer, r request) { p.done(r, p.body.pause(16)) },
	"print.resume":            func(p *Printer, r request) { p.done(r, p.body.resume()) },
	"print.stop":              func(p *Printer, r request) { p.done(r, p.cancel()) },
	"print.print_speed":       (*Printer).setSpeed,
	"print.gcode_line":        (*Printer).gcode,
	"print.project_file":      (*Printer).project,
	"print.clean_print_error": (*Printer).cleanError,
	"system.ledctrl":          (*Printer).light,
	"system.get_access_code":  (*Printer).accessCode,
}

func (p *Printer) pushAll() {
	if p.limits && p.model.PushallBudget > 0 && time.Since(p.asked) < p.model.PushallBudget && !p.asked.IsZero() {
		return
	}
	p.body.seen = append([]tray(nil), p.body.trays...)
	p.report(true)
}

// answer acknowledges a request: the A1 and P1 give back what they were sent,
// newer machines only say which command it was.
func (p *Printer) answer(r request, result, reason string, more obj) {
	if p.has(ackLost) {
		return
	}
	out := obj{}
	switch {
	case p.model.Reports == bambu.StyleDelta:
		maps.Copy(out, r.body)
	case r.section == "print":
		out["err_code"], out["is_from_mqtt"] = 0, true
		for _, key := range []string{"param", "subtask_name"} {
			if v, ok := r.body[key]; ok && (r.command != "project_file" || key != "param") {
				out[key] = v
			}
		}
		if result == "success" {
			result, reason = "SUCCESS", "SUCCESS"
		}
	}
	out["command"], out["sequence_id"], out["result"], out["reason"] = r.command, r.seq, result, reason
	maps.Copy(out, more)
	if p.model.Code == "A1MINI" && r.command == "gcode_line" {
		delete(out, "command")
	}
	p.publish(obj{r.section: out})
}

func (p *Printer) done(r request, ok bool) {
	if !ok {
		p.answer(r, "fail", "not possible now", nil)
		return
	}
	p.answer(r, "success", "success", nil)
	p.report(p.model.Reports == bambu.StyleFull)
}

func (p *Printer) version(r request) {
	product := "Bambu Lab " + map[string]string{"X1C": "X1-Carbon"}[p.model.Code]
	if p.model.Code != "X1C" {
		product = "Bambu Lab " + p.model.Name
	}
	module := func(name, hardware, version string, more obj) obj {
		m := obj{"name": name, "hw_ver": hardware, "sw_ver": version, "sn": p.spec.Serial, "flag": 0}
		maps.Copy(m, more)
		return m
	}
	modules := []obj{module("ota", "OTA", p.spec.Firmware, obj{"product_name": product, "visible": true})}
	switch {
	case strings.HasPrefix(p.model.Code, "A"):
		modules = append(modules, module("esp32", "AP05", "01.04.22.50", nil),
			module("ams_f1/"+itoa(p.body.unit()), "AMS_F102", "00.00.07.94", obj{"sn": "03C00A000000001"}))
	case p.model.Reports == bambu.StyleDelta:
		modules = append(modules, module("esp32", "AP04", "01.11.34.55", nil), module("ams/0", "AMS08", "00.00.06.49", obj{"sn": "00600A000000001"}))
	case p.model.FirstAMS == bambu.AMS:
		modules = append(modules, module("rv1126", "AP05", "00.00.34.02", nil), module("ams/0", "AMS08", "00.00.06.49", obj{"sn": "00600A000000001"}))
	default:
		modules = append(modules, module("ap", "AP02", "00.00.51.36", nil), module("n3f/0", "N3F05", "03.00.20.16", obj{"sn": "19C00A000000001"}))
	}
	modules = append(modules, module("mc", "MC07", "00.00.30.68", nil), module("th", "TH07", "00.00.07.00", nil))
	p.publish(obj{"info": obj{"command": "get_version", "sequence_id": r.seq, "module": modules}})
}

func (p *Printer) setSpeed(r request) {
	level, err := strconv.Atoi(fmt.Sprint(r.body["param"]))
	if err != nil || level < 1 || level > 4 {
		p.answer(r, "fail", "invalid speed", nil)
		return
	}
	p.body.speed = level
	p.done(r, true)
}

var temperature = regexp.MustCompile(`^M(104|109|140|190|141|106)\b(?:.*\bP(\d+))?.*\bS([0-9.]+)`)

// gcode knows the lines that set temperatures and fans, up to what the model
// bears; others are accepted and do nothing, as most do nothing a report would show.
func (p *Printer) gcode(r request) {
	text, _ := r.body["param"].(string)
	for line := range strings.Lines(text) {
		m := temperature.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			continue
		}
		switch b := p.body; m[1] {
		case "104", "109":
			b.nozzle[b.active].target = min(value, float64(p.model.NozzleMax))
		case "140", "190":
			b.bed.target = min(value, float64(p.model.BedMax))
		case "141":
			b.chamber.target = min(value, float64(p.model.ChamberMax))
		case "106":
			percent := int(min(value, 255) * 100 / 255)
			switch m[2] {
			case "2":
				b.auxFan = percent
			case "3":
				b.chamberFan = percent
			default:
				b.partFan = percent
			}
		}
	}
	p.done(r, true)
}

// project starts a print a client sent.
func (p *Printer) project(r request) {
	text := func(key string) string { s, _ := r.body[key].(string); return s }
	if p.body.busy() {
		p.body.printError = errBusy
		p.answer(r, "fail", "device is busy", obj{"err_code": errBusy})
		return
	}
	job := PrintJob{Name: text("subtask_name"), Source: "mqtt", mapping: mapping(r.body["ams_mapping"])}
	if id := text("subtask_id"); id != "0" {
		job.Subtask = id
	}
	if _, err := fmt.Sscanf(text("param"), "Metadata/plate_%d.gcode", &job.Plate); err != nil {
		p.answer(r, "fail", "invalid param", nil)
		return
	}
	p.answer(r, "success", "success", nil)
	switch {
	case p.has(startIgnored):
	case !p.body.card:
		p.body.printError = errCard
		p.report(p.model.Reports == bambu.StyleFull)
	default:
		if err := p.start(job); err != nil {
			p.log.Warn("accepted print not started", "err", err)
		}
	}
}

// mapping reads the trays of a plate's filaments; -1 is a filament that is not used.
func mapping(v any) []int {
	list, _ := v.([]any)
	var out []int
	for _, e := range list {
		if n, ok := e.(float64); ok && n >= -1 && n < 4 {
			out = append(out, int(n))
		}
	}
	return out
}

func (p *Printer) cleanError(r request) {
	p.body.printError, p.body.hms = 0, nil
	p.done(r, true)
}

func (p *Printer) accessCode(r request) {
	p.answer(r, "success", "success", obj{"access_code": p.code})
}

func (p *Printer) light(r request) {
	node, _ := r.body["led_node"].(string)
	for _, l := range p.body.lights() {
		if l["node"] == node {
			if strings.HasPrefix(node, "chamber_light") {
				p.body.light = r.body["led_mode"] != "off"
			}
			p.done(r, true)
			return
		}
	}
	p.answer(r, "fail", "did not find the valid led: "+node, nil)
}
