package api

import (
	"cmp"
	"fmt"

	"bambuddy/hub/internal/fleet"
	"bambuddy/shared/bambu"
)

// model is what is known of a printer's model; unknown parts are "".
type model struct {
	name, code string
	warnings   []Warning
}

// modelOf weighs the sources: what the printer reports, what a person gave, what
// the serial number begins with. A code we have no name for keeps its code.
func modelOf(v fleet.View) model {
	p := v.Printer
	reported := cmp.Or(v.Status.Machine.Model, p.ModelSeen)
	var ofSerial string
	if m, ok := bambu.ModelOfSerial(p.Serial); ok {
		ofSerial = m.Code
	}
	m := model{code: cmp.Or(reported, p.ModelGiven, ofSerial)}
	if known, ok := bambu.ModelByCode(m.code); ok {
		m.name = known.Name
	}
	switch given := p.ModelGiven; {
	case given == "":
	case reported != "" && reported != given:
		m.warn("The printer reports that it is a %s, but was registered as a %s.", reported, given)
	case reported == "" && ofSerial != "" && ofSerial != given:
		m.warn("The serial number is that of a %s, but the printer was registered as a %s.", ofSerial, given)
	}
	return m
}

func (m *model) warn(format, is, said string) {
	m.warnings = append(m.warnings, Warning{Code: "MODEL_MISMATCH", Message: fmt.Sprintf(format, title(is), title(said))})
}

// title is a model's name for people.
func title(code string) string {
	if m, ok := bambu.ModelByCode(code); ok {
		return m.Name
	}
	return code
}
