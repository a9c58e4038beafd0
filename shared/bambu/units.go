package bambu

import (
	"strings"

	"github.com/tidwall/gjson"
)

// The kinds of AMS units, as AMSUnit.Kind has them.
const (
	AMS     = "ams"
	AMSLite = "ams_lite"
	AMS2Pro = "ams_2_pro"
	AMSHT   = "ams_ht"
)

var kindOfInfo = map[int]string{1: AMS, 2: AMSLite, 3: AMS2Pro, 4: AMSHT, 5: AMSLite}

// kindOf asks the unit, then the module list, then the id. Firmware that tells
// in none of these ways knows only the AMS its model was born with.
func (s *State) kindOf(u *amsUnit, m amsModule) string {
	if kind := kindOfInfo[u.kind]; kind != "" {
		return kind
	}
	switch {
	case m.kind != "":
		return m.kind
	case u.id >= 128:
		return AMSHT
	case u.id == 16:
		return AMSLite
	}
	model, _ := s.model()
	return model.FirstAMS
}

func (s *State) renderUnit(u *amsUnit) AMSUnit {
	f := &s.filament
	m := f.module(u.id)
	out := AMSUnit{
		ID:            u.id,
		Kind:          s.kindOf(u, m),
		Humidity:      u.humidity,
		HumidityLevel: u.level,
		Temperature:   u.temperature,
		Extruder:      u.extruder,
		Drying:        u.dryMinutes,
		Serial:        m.serial,
		Firmware:      m.firmware,
	}
	out.Drying.Value *= 60
	if out.Serial == "" {
		out.Serial = u.serial
	}
	if out.Humidity.Value == 0 {
		out.Humidity = Opt[int]{}
	}
	if out.HumidityLevel.Value == 0 {
		out.HumidityLevel = Opt[int]{}
	}
	if out.Temperature.Value == 0 { // exactly 0.0: an AMS without the sensor
		out.Temperature = Opt[float64]{}
	}
	if out.Kind == AMSLite { // open to the room: its constant 5 means nothing
		out.HumidityLevel = Opt[int]{}
	}
	out.Slots = room[Slot](len(u.trays))
	for i := range u.trays {
		out.Slots = append(out.Slots, u.trays[i].render(f.spool(u.id, u.trays[i].ID)))
	}
	return out
}

// amsModule is what get_version says of an AMS.
type amsModule struct {
	id                     int
	kind, serial, firmware string
}

var kindOfModule = map[string]string{"ams": AMS, "ams_f1": AMSLite, "n3f": AMS2Pro, "n3s": AMSHT}

func (f *filament) module(id int) amsModule {
	for _, m := range f.modules {
		if m.id == id {
			return m
		}
	}
	return amsModule{}
}

// amsModuleOf reads the name of a module, "n3f/0": kind and unit id.
func amsModuleOf(name string) (amsModule, bool) {
	kind, id, _ := strings.Cut(name, "/")
	n, ok := integer(gjson.Result{Type: gjson.String, Str: id})
	if kindOfModule[kind] == "" || !ok || n < 0 || n > 253 {
		return amsModule{}, false
	}
	return amsModule{id: int(n), kind: kindOfModule[kind]}, true
}
