package bambu

import (
	"slices"

	"github.com/tidwall/gjson"
)

// module is one entry of get_version.
type module struct {
	name, version, hardware, serial string
	product, project                string
}

var moduleKeys = keys[module]{
	"name":         words(32, func(m *module) *string { return &m.name }),
	"sw_ver":       words(32, func(m *module) *string { return &m.version }),
	"hw_ver":       words(32, func(m *module) *string { return &m.hardware }),
	"sn":           words(32, func(m *module) *string { return &m.serial }),
	"product_name": words(64, func(m *module) *string { return &m.product }),
	"project_name": words(32, func(m *module) *string { return &m.project }),
}

// maxModules bounds the list.
const maxModules = 64

// readVersion reads the modules of get_version: who the printer is and which
// AMS hang on it. The list is whole.
func (s *State) readVersion(list gjson.Result) {
	var modules []module
	list.ForEach(func(_, v gjson.Result) bool {
		var m module
		if merge(&m, v, moduleKeys) {
			modules = append(modules, m)
		}
		return len(modules) < maxModules
	})
	if len(modules) == 0 {
		return
	}
	s.readIdentity(modules)

	var units []amsModule
	for _, m := range modules {
		if unit, ok := amsModuleOf(m.name); ok {
			unit.serial, unit.firmware = m.serial, m.version
			units = append(units, unit)
		}
	}
	if !slices.Equal(units, s.filament.modules) {
		s.filament.modules = units
		s.touched |= inFilament
	}
}

// readIdentity takes model, firmware and serial number. A list that leaves one
// out does not take it back.
func (s *State) readIdentity(modules []module) {
	m := &s.machine
	ota := find(modules, "ota")
	changed := ota.version != "" && assign(&m.firmware, ota.version)
	if serial := serialOf(modules); serial != "" {
		changed = assign(&m.serial, serial) || changed
	}
	if changed {
		s.touched |= inMachine
	}
	if model, ok := modelOf(modules); ok && assign(&m.model, model.Code) {
		s.touched |= inModel
	}
}

func find(modules []module, name string) module {
	for _, m := range modules {
		if m.name == name {
			return m
		}
	}
	return module{}
}

// serialOf: the early X1 leaves it out at ota; the main boards have the same.
func serialOf(modules []module) string {
	for _, name := range []string{"ota", "esp32", "rv1126", "ap", "mc", "th"} {
		if m := find(modules, name); m.serial != "" {
			return m.serial
		}
	}
	return ""
}

// boardModel is what the main board of early firmware, which names no product,
// gives away. The boards of the A and P series are shared between models.
var boardModel = map[[2]string]string{
	{"rv1126", "AP05"}: "X1C",
	{"rv1126", "AP02"}: "X1E",
}

func modelOf(modules []module) (Model, bool) {
	ota := find(modules, "ota")
	for _, name := range []string{ota.product, ota.project, find(modules, "esp32").project} {
		if m, ok := ParseModel(name); ok {
			return m, true
		}
	}
	for _, b := range modules {
		if m, ok := ModelByCode(boardModel[[2]string{b.name, b.hardware}]); ok {
			return m, true
		}
	}
	return Model{}, false
}
