package bambu

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// ReadOnly is why firmware that wants signed commands refuses ours.
const ReadOnly = "read only: enable developer mode in the printer's LAN settings. It takes only commands signed by the vendor's programs"

// Bounds of a control.
const (
	maxGcode   = 2048 // bytes; the smallest printers take about 4 KB of JSON
	maxObjects = 64
)

// Check tells why c cannot be done at a printer of model m in the state s, nil
// when nothing speaks against it. m is zero and s may be empty when nothing is
// known: what is not known is left to the printer.
//
// Errors are *farm.Error: Invalid names the field, Unsupported tells what the
// model lacks, PrinterRefused that the firmware takes no commands of ours, Conflict
// that there is nothing to do it to, PrinterBusy that it cannot be done now.
func (c Control) Check(m Model, s Status) error {
	if err := c.CheckInput(m, s); err != nil {
		return err
	}
	return c.checkMoment(s)
}

// CheckInput is the part of Check that does not depend on what the printer is doing
// at the moment, for whoever knows that only from hearsay.
func (c Control) CheckInput(m Model, s Status) error {
	check, known := controlChecks[c.Do]
	if !known {
		return farm.Errorf(farm.Unsupported, "do: %.50q is not known", string(c.Do))
	}
	if check != nil {
		if err := check(c, m, s); err != nil {
			return err
		}
	}
	if s.Machine.SignedCommands == Some(true) && c.needsSignature(m, s) {
		return farm.Errorf(farm.PrinterRefused, ReadOnly)
	}
	return nil
}

var controlChecks = map[Do]func(Control, Model, Status) error{
	DoPause: nil, DoResume: nil, DoStop: nil, DoClearError: nil, DoUnload: nil,
	DoAnswerAMS:   Control.checkAnswer,
	DoSpeed:       Control.checkSpeed,
	DoLight:       Control.checkLight,
	DoTemperature: Control.checkTemperature,
	DoFan:         Control.checkFan,
	DoGcode:       Control.checkGcode,
	DoLoad:        Control.checkLoad,
	DoDrying:      Control.checkDrying,
	DoFilament:    Control.checkFilament,
	DoSkipObjects: Control.checkObjects,
	DoHome:        Control.checkHome,
}

// needsSignature: only the section print is guarded.
func (c Control) needsSignature(m Model, s Status) bool {
	return slices.ContainsFunc(c.Messages(m, s), func(m Message) bool { return m.Section == "print" })
}

// moves: it must not happen to a printer that prints.
func (c Control) moves() bool { return c.Do == DoHome || c.Do == DoLoad || c.Do == DoUnload }

// checkMoment: is this the time for it?
func (c Control) checkMoment(s Status) error {
	printing, paused := s.Job.printing(), s.Job.paused()
	switch {
	case s.Job.GcodeState == "" && c.moves():
		return farm.Errorf(farm.PrinterBusy, "it is not known yet what the printer is doing")
	case s.Job.GcodeState == "":
		return nil
	case c.Do == DoPause && paused:
		return farm.Errorf(farm.Conflict, "the print is paused already")
	case c.Do == DoPause && !printing, c.Do == DoStop && !printing && !paused, c.Do == DoSkipObjects && !printing && !paused:
		return farm.Errorf(farm.Conflict, "the printer is not printing")
	case c.Do == DoResume && !paused:
		return farm.Errorf(farm.Conflict, "the print is not paused")
	case c.Do == DoHome && (printing || paused), (c.Do == DoLoad || c.Do == DoUnload) && printing:
		return farm.Errorf(farm.PrinterBusy, "the printer is printing")
	case (c.Do == DoLoad || c.Do == DoUnload || c.Do == DoHome) && !paused && s.changingFilament():
		return farm.Errorf(farm.PrinterBusy, "the printer is changing filament")
	}
	if a, ok := s.active(); c.Do == DoUnload && ok && a.Unit < 0 {
		return farm.Errorf(farm.Conflict, "no filament is loaded")
	}
	return nil
}

func (c Control) checkSpeed(Model, Status) error { return inRange("level", c.Level, 1, 4) }

func (c Control) checkLight(m Model, s Status) error {
	if lightNodes[c.light()] == nil {
		return farm.Errorf(farm.Invalid, "light: chamber, work or heatbed, not %.50q", c.Light)
	}
	if len(c.lamps(s)) == 0 {
		return farm.Errorf(farm.Unsupported, "light: %s reports no %s light", m.a(), c.light())
	}
	return nil
}

// Limits of a printer nobody knows the model of: what all models bear.
const (
	anyNozzle = 300
	anyBed    = 80
)

func (c Control) checkTemperature(m Model, _ Status) error {
	nozzle, bed := m.NozzleMax, m.BedMax
	if m.Code == "" {
		nozzle, bed = anyNozzle, anyBed
	}
	switch {
	case c.Nozzle == nil && c.Nozzle2 == nil && c.Bed == nil && c.Chamber == nil:
		return farm.Errorf(farm.Invalid, "temperature: at least one of nozzle, nozzle_2, bed and chamber")
	case c.Nozzle != nil && nozzle == 0:
		return farm.Errorf(farm.Unsupported, "nozzle: %s has none that is known", m.a())
	case c.Nozzle2 != nil && m.Nozzles < 2:
		return farm.Errorf(farm.Unsupported, "nozzle_2: %s has one nozzle", m.a())
	case c.Bed != nil && bed == 0:
		return farm.Errorf(farm.Unsupported, "bed: %s has none that is known", m.a())
	case c.Chamber != nil && !m.ChamberHeater:
		return farm.Errorf(farm.Unsupported, "chamber: %s has no chamber heater", m.a())
	}
	for _, t := range []struct {
		field  string
		wanted *int
		most   int
	}{{"nozzle", c.Nozzle, nozzle}, {"nozzle_2", c.Nozzle2, nozzle}, {"bed", c.Bed, bed}, {"chamber", c.Chamber, m.ChamberMax}} {
		switch {
		case t.wanted == nil:
		case *t.wanted < 0:
			return farm.Errorf(farm.Invalid, "%s: at least 0 °C", t.field)
		case *t.wanted > t.most:
			return farm.Errorf(farm.Invalid, "%s: at most %d °C on %s", t.field, t.most, m.a())
		}
	}
	return nil
}

func (c Control) checkFan(m Model, s Status) error {
	if _, ok := fanNumbers[c.Fan]; !ok {
		return farm.Errorf(farm.Invalid, "fan: part, aux, aux_2 or chamber, not %.50q", c.Fan)
	}
	missing := m.Code != "" && (c.Fan == "aux" && !m.AuxFan || c.Fan == "chamber" && !m.ChamberFan) ||
		c.Fan == "aux_2" && !s.Fans.Aux2.Known
	if missing {
		return farm.Errorf(farm.Unsupported, "fan: %s has no %s fan", m.a(), c.Fan)
	}
	return inRange("percent", c.Percent, 0, 100)
}

func (c Control) checkGcode(Model, Status) error {
	switch {
	case strings.TrimSpace(c.Gcode) == "":
		return farm.Errorf(farm.Invalid, "gcode: at least one line")
	case len(c.Gcode) > maxGcode:
		return farm.Errorf(farm.Invalid, "gcode: at most %d bytes", maxGcode)
	case !utf8.ValidString(c.Gcode) || strings.ContainsFunc(c.Gcode, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7F
	}):
		return farm.Errorf(farm.Invalid, "gcode: text without control characters")
	}
	return nil
}

func (c Control) checkObjects(Model, Status) error {
	if len(c.Objects) == 0 || len(c.Objects) > maxObjects {
		return farm.Errorf(farm.Invalid, "objects: 1 to %d ids", maxObjects)
	}
	for _, id := range c.Objects {
		if id < 0 || id > math.MaxInt32 {
			return farm.Errorf(farm.Invalid, "objects: %d is no id of an object", id)
		}
	}
	return nil
}

func (c Control) checkAnswer(Model, Status) error {
	switch c.Action {
	case "resume", "done", "abort":
		return nil
	}
	return farm.Errorf(farm.Invalid, "action: one of resume, done, abort, not %.50q", c.Action)
}

func (c Control) checkHome(Model, Status) error {
	axes := strings.ToLower(c.Axes)
	if len(axes) > 3 || strings.Trim(axes, "xyz") != "" || strings.Count(axes, "x") > 1 || strings.Count(axes, "y") > 1 || strings.Count(axes, "z") > 1 {
		return farm.Errorf(farm.Invalid, "axes: letters of xyz, each once, not %.50q", c.Axes)
	}
	return nil
}

func inRange(field string, n, least, most int) error {
	if n < least || n > most {
		return farm.Errorf(farm.Invalid, "%s: %d to %d, not %d", field, least, most, n)
	}
	return nil
}

// a is the model in a sentence: "an A1 mini".
func (m Model) a() string {
	switch {
	case m.Code == "":
		return "this printer"
	case strings.ContainsRune("AHNX", rune(m.Name[0])): // as the letters are spoken
		return "an " + m.Name
	}
	return fmt.Sprintf("a %s", m.Name)
}
