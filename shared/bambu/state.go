package bambu

import "github.com/tidwall/gjson"

// State is the merged memory of one printer's reports. The zero value is ready.
// It belongs to one goroutine; what Status returns may be published to any.
//
// Reports are kept as they came, per source: where a printer says the same thing
// twice (a chamber has up to four temperatures) the choice is made when a Status
// is rendered, with the model known by then.
type State struct {
	job      job
	temps    temps
	fans     fans
	lights   Lights
	filament filament
	faults   Faults
	machine  machine
	signal   Signal
	tools    tools // shared by temps, filament and machine

	assumed Model   // what the caller knows; zero: nothing
	frame   int     // number of the frame being merged
	full    bool    // it is a full one
	fields  []field // of it, room that is used again
	touched area    // what it changed
	dirty   area    // what Status has to render again
	status  Status  // as rendered last; never changed in place
}

// area is a set of sections of a Status.
type area uint8

const (
	inJob area = 1 << iota
	inTemps
	inFans
	inLights
	inFilament
	inFaults
	inMachine
	inSignal
)

// AssumeModel tells what the configuration or the serial number says of the
// model: a code of Models, anything else is "unknown". It only guides how reports
// are read (is there a chamber sensor?) until the printer names itself;
// Status.Machine.Model stays what the printer reported.
func (s *State) AssumeModel(code string) {
	s.assumed, _ = ModelByCode(code)
	s.dirty |= inModel
}

// inModel are the sections whose reading depends on the model.
const inModel = inTemps | inFans | inFilament | inMachine

// model is the printer's own word, else the caller's. The zero Model with ok
// false when nobody knows.
func (s *State) model() (m Model, ok bool) {
	if m, ok := ModelByCode(s.machine.model); ok {
		return m, true
	}
	return s.assumed, s.assumed.Code != ""
}

// Status is the picture after the last Apply. It renders only what changed since
// the last call; slices of an earlier Status are never touched.
func (s *State) Status() Status {
	for _, r := range renderers {
		if s.dirty&r.area != 0 {
			r.render(s)
		}
	}
	s.dirty = 0
	return s.status
}

var renderers = []struct {
	area   area
	render func(*State)
}{
	{inJob, func(s *State) { s.status.Job = s.job.render() }},
	{inTemps, func(s *State) { s.status.Temps = s.renderTemps() }},
	{inFans, func(s *State) { s.status.Fans = s.renderFans() }},
	{inLights, func(s *State) { s.status.Lights = s.lights }},
	{inFilament, func(s *State) { s.status.Filament = s.renderFilament() }},
	{inFaults, func(s *State) { s.status.Faults = s.faults }},
	{inMachine, func(s *State) { s.status.Machine = s.renderMachine() }},
	{inSignal, func(s *State) { s.status.Signal = s.signal }},
}

// printKeys says where each key of a report's "print" object goes. What is not
// named here is not ours to know.
var printKeys = join(
	part(inJob, func(s *State) *job { return &s.job }, jobKeys),
	part(inTemps, func(s *State) *temps { return &s.temps }, tempKeys),
	part(inFans, func(s *State) *fans { return &s.fans }, fanKeys),
	part(inFaults, func(s *State) *Faults { return &s.faults }, faultKeys),
	part(inFilament, func(s *State) *filament { return &s.filament }, filamentKeys),
	part(inMachine, func(s *State) *machine { return &s.machine }, machineKeys),
	part(inLights, func(s *State) *Lights { return &s.lights }, keys[Lights]{"lights_report": readLights}),
	keys[State]{
		"ams":         readAMS,
		"vir_slot":    readVirtualSlots,
		"device":      within(deviceKeys),
		"wifi_signal": readWiFi,
	},
)

// deviceKeys is the hardware tree of the newer machines.
var deviceKeys = join(
	part(inTemps, func(s *State) *temps { return &s.temps }, deviceTempKeys),
	part(inFans, func(s *State) *fans { return &s.fans }, keys[fans]{"airduct": within(airductKeys)}),
	part(inMachine, func(s *State) *machine { return &s.machine }, keys[machine]{"nozzle": readNozzles}),
	keys[State]{"extruder": readExtruder},
)

// part makes a table of one section's memory a table of the whole state: a
// setter that changed something marks its section.
func part[T any](a area, of func(*State) *T, table keys[T]) keys[State] {
	out := make(keys[State], len(table))
	for name, set := range table {
		out[name] = func(s *State, v gjson.Result) bool {
			if !set(of(s), v) {
				return false
			}
			s.touched |= a
			return true
		}
	}
	return out
}
