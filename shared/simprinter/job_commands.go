package simprinter

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/bambu"
)

// jobCommands steer the print.
var jobCommands = commands{
	"print.project_file":      (*Printer).project,
	"print.pause":             simple(func(v *machine) bool { return v.pause(16) }),
	"print.resume":            simple((*machine).resume),
	"print.stop":              func(p *Printer, r request) { p.done(r, p.cancel()) },
	"print.print_speed":       (*Printer).setSpeed,
	"print.skip_objects":      (*Printer).skipObjects,
	"print.clean_print_error": (*Printer).cleanError,
	"print.ignore":            (*Printer).ignore,
	"print.idle_ignore":       (*Printer).ignore,
	"print.gcode_file":        (*Printer).gcodeFile,
	"print.calibration":       (*Printer).calibration,
}

// errMapping is the code of a table of filaments that makes no sense.
const errMapping = 0x07008012

// project starts a print a client sent.
func (p *Printer) project(r request) {
	if p.body.occupied() {
		if p.has(startCancels) && p.cancel() {
			p.log.Info("start cancelled the running print")
		}
		p.body.printError = errBusy
		p.answer(r, "fail", "device is busy", obj{"err_code": errBusy})
		return
	}
	job := PrintJob{Name: r.text("subtask_name"), Source: "mqtt", mapping: mapping(r.body["ams_mapping"])}
	if id := r.text("subtask_id"); id != "0" {
		job.Subtask = id
	}
	if filmed, told := r.truth("timelapse"); told {
		job.Timelapse = &filmed
	}
	if _, err := fmt.Sscanf(r.text("param"), "Metadata/plate_%d.gcode", &job.Plate); err != nil || job.Plate < 1 {
		p.invalid(r, "param")
		return
	}
	p.answer(r, "success", "success", nil)
	switch {
	case p.has(startIgnored):
	case !p.body.card, !p.carries(r, &job):
		p.startFailed(errCard)
	case p.unmapped(r):
		p.startFailed(errMapping)
	default:
		if err := p.start(job); err != nil {
			p.log.Warn("accepted print not started", "err", err)
		}
	}
}

// startFailed shows why a print that was accepted does not begin.
func (p *Printer) startFailed(code uint32) {
	p.body.printError = code
	p.show()
}

// unmapped tells whether a print is to take filament from where none can be:
// the external spool is -1, never its number, and an AMS must be there to be used.
func (p *Printer) unmapped(r request) bool {
	use, _ := r.truth("use_ams")
	list, _ := r.body["ams_mapping"].([]any)
	for _, e := range list {
		n, ok := e.(float64)
		if !ok || n < -1 || int(n) >= len(p.body.trays) {
			return true
		}
	}
	return use && p.body.unplugged
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

func (p *Printer) setSpeed(r request) {
	level, ok := r.whole("param", 1, 4)
	if !ok {
		p.invalid(r, "speed")
		return
	}
	p.body.speed = level
	p.done(r, true)
}

func (p *Printer) skipObjects(r request) {
	list, _ := r.body["obj_list"].([]any)
	var objects []int
	for _, e := range list {
		if n, ok := e.(float64); ok && n >= 0 && n < 1<<31 {
			objects = append(objects, int(n))
		}
	}
	p.done(r, len(objects) == len(list) && p.body.skip(objects))
}

// cleanError closes the error, all of them or the one that is named.
func (p *Printer) cleanError(r request) {
	if code, named := r.number("print_error"); !named || uint32(int64(code)) == p.body.printError {
		p.body.printError, p.body.hms = 0, nil
	}
	p.done(r, true)
}

// ignore goes on in spite of an error, which is named in decimal.
func (p *Printer) ignore(r request) {
	code, err := strconv.ParseUint(fmt.Sprint(r.body["err"]), 10, 32)
	if err != nil {
		p.invalid(r, "err")
		return
	}
	p.done(r, p.body.ignore(uint32(code)))
}

// gcodeFile runs a file of the printer's own. The A and P series do not any more.
func (p *Printer) gcodeFile(r request) {
	switch file := r.text("param"); {
	case strings.HasPrefix(p.model.Code, "A"):
		p.answer(r, "fail", "error string", nil)
	case p.model.Reports == bambu.StyleDelta:
		p.answer(r, "fail", "not supported", nil)
	case file == "/usr/etc/print/filament_unload.gcode":
		p.done(r, p.body.beginChange(noTray, 0))
	case file == "/usr/etc/print/auto_cali_for_user.gcode":
		p.done(r, p.body.calibrate([]int{14, 3, 1}))
	default:
		p.answer(r, "fail", "file not exist", nil)
	}
}

// calibration does what the bits of its option ask for.
func (p *Printer) calibration(r request) {
	option, ok := r.whole("option", 1, 127)
	if !ok {
		p.invalid(r, "option")
		return
	}
	var stages []int
	for _, s := range calibrationStages {
		if s.stage == 14 && option&0b110 != 0 || s.stage != 14 && option>>s.bit&1 == 1 {
			stages = append(stages, s.stage)
		}
	}
	p.done(r, p.body.calibrate(stages))
}

// start begins a print, whoever sent it.
func (p *Printer) start(j PrintJob) error {
	if p.off() {
		return fmt.Errorf("printer %s has no power", p.spec.Serial)
	}
	if p.body.occupied() {
		return fmt.Errorf("printer %s is busy", p.spec.Serial)
	}
	switch {
	case p.has(finishDwell):
		j.slow, j.dwell = 3*time.Minute, true
	case p.has(slowParse):
		j.slow = 2 * time.Minute
	}
	if p.has(lateName) {
		j.lag = p.measure(lateName)
	}
	p.coming = p.placeFile(&j)
	job := p.body.accept(j)
	p.entry = p.farm.begin(p.spec.Serial, job)
	if j.Source == "cloud" { // the cloud's command is seen by every client
		p.publish(obj{"print": obj{
			"command": "project_file", "sequence_id": "0", "param": fmt.Sprintf("Metadata/plate_%d.gcode", job.Plate), "subtask_name": j.Name,
			"subtask_id": job.subtask, "task_id": job.task, "project_id": job.task, "result": "success", "reason": "success",
		}})
	}
	p.show()
	return nil
}
