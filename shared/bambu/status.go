package bambu

import (
	"encoding/json"
	"reflect"
	"slices"
)

// Status is everything known of a printer, merged from all its reports and
// normalised over the models: °C, seconds, percent, grams. It is a value: a
// published Status and the slices in it are never changed, only replaced.
//
// It is cut into sections because that is what travels: a Patch carries the
// sections that changed.
type Status struct {
	Job      Job      `json:"job"`
	Temps    Temps    `json:"temps"`
	Fans     Fans     `json:"fans"`
	Lights   Lights   `json:"lights"`
	Filament Filament `json:"filament"`
	Faults   Faults   `json:"faults"`
	Machine  Machine  `json:"machine"`
	Signal   Signal   `json:"signal"`
}

// Job is what the printer says of its present or last print. Progress and layers
// keep their last value after a print; only GcodeState tells whether one runs.
type Job struct {
	GcodeState      string    `json:"gcode_state"`      // IDLE, PREPARE, RUNNING, PAUSE, FINISH, FAILED, SLICING, INIT, … upper case; "" before the first report
	Stage           Opt[int]  `json:"stage"`            // stg_cur: -1 and 255 are "none"
	Progress        Opt[int]  `json:"progress"`         // percent 0..100
	Remaining       Opt[int]  `json:"remaining"`        // seconds (the printer counts minutes)
	Layer           Opt[int]  `json:"layer"`            // 0 before the first
	TotalLayers     Opt[int]  `json:"total_layers"`     //
	SpeedLevel      Opt[int]  `json:"speed_level"`      // 1 silent, 2 standard, 3 sport, 4 ludicrous
	SpeedPercent    Opt[int]  `json:"speed_percent"`    // 50, 100, 124, 166
	PrepareProgress Opt[int]  `json:"prepare_progress"` // percent of download and unpacking
	Plate           Opt[int]  `json:"plate"`            // 1..n, of plate_idx or the G-code's path
	Timelapse       Opt[bool] `json:"timelapse"`        // a video is recorded (ipcam.timelapse)
	File            string    `json:"file"`             // gcode_file as reported
	Name            string    `json:"name"`             // subtask_name as reported
	Kind            string    `json:"kind"`             // print_type: idle, local, cloud, system, ""
	SubtaskID       string    `json:"subtask_id"`       // as reported: may be "" or "0", which identify nothing
	TaskID          string    `json:"task_id"`
	ProjectID       string    `json:"project_id"`
	Skipped         []int     `json:"skipped"` // ids of skipped objects
}

// Temps are temperatures in °C. A chamber without a sensor is unknown.
type Temps struct {
	Nozzle        Opt[float64] `json:"nozzle"` // right or only nozzle
	NozzleTarget  Opt[float64] `json:"nozzle_target"`
	Nozzle2       Opt[float64] `json:"nozzle_2"` // left nozzle of a two-nozzle machine
	Nozzle2Target Opt[float64] `json:"nozzle_2_target"`
	Bed           Opt[float64] `json:"bed"`
	BedTarget     Opt[float64] `json:"bed_target"`
	Chamber       Opt[float64] `json:"chamber"`
	ChamberTarget Opt[float64] `json:"chamber_target"`
}

// Fans are speeds in percent; a fan the machine does not have is unknown.
type Fans struct {
	Part      Opt[int] `json:"part"`
	Aux       Opt[int] `json:"aux"`
	Aux2      Opt[int] `json:"aux_2"`
	Chamber   Opt[int] `json:"chamber"`
	Heatbreak Opt[int] `json:"heatbreak"`
}

// Lights are the lamps the printer reports, by their firmware name.
type Lights []Light

// MarshalJSON writes no lamps as []: in a Patch null would mean "unchanged".
func (l Lights) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]Light(l))
}

// Light is one lamp: node is chamber_light, chamber_light2, work_light, …
type Light struct {
	Node string `json:"node"`
	Mode string `json:"mode"` // on, off, flashing
}

// Filament is what feeds the printer: AMS units, external spools, and which slot
// is in use.
type Filament struct {
	Units    []AMSUnit `json:"units"`
	External []Slot    `json:"external"` // id 254 or 255, see Slot
	Active   []Active  `json:"active"`   // one per extruder; what each holds now
	Status   Opt[int]  `json:"status"`   // ams_status, main = value>>8 (0 idle, 1 change, 3 printing, …)
}

// AMSUnit is one AMS: ids 0..3 four-slot units, 16 the A2L's AMS Lite, 128..135 AMS HT.
type AMSUnit struct {
	ID            int          `json:"id"`
	Kind          string       `json:"kind"`           // AMS, AMSLite, AMS2Pro, AMSHT; "" unknown
	Humidity      Opt[int]     `json:"humidity"`       // percent RH where the unit measures it
	HumidityLevel Opt[int]     `json:"humidity_level"` // 1 wet … 5 dry; unknown for an AMS Lite, which is open
	Temperature   Opt[float64] `json:"temperature"`    // °C; unknown where it has no sensor
	Extruder      Opt[int]     `json:"extruder"`       // 0 right, 1 left
	Drying        Opt[int]     `json:"drying"`         // seconds left, 0 not drying
	Serial        string       `json:"serial"`
	Firmware      string       `json:"firmware"`
	Slots         []Slot       `json:"slots"`
}

// Slot is one place for a spool. In an AMS the id is 0..3; an external spool has
// 255 (single nozzle, or right) or 254 (left, or the only one of older firmware).
type Slot struct {
	ID        int          `json:"id"`
	Present   bool         `json:"present"`    // a spool is there
	Type      string       `json:"type"`       // "PLA"; "" unknown
	Name      string       `json:"name"`       // "PLA Matte", from the spool's chip
	Color     string       `json:"color"`      // RRGGBBAA, "" unknown
	Colors    []string     `json:"colors"`     // of a multicolour spool
	PresetID  string       `json:"preset_id"`  // tray_info_idx
	Remain    Opt[int]     `json:"remain"`     // percent; unknown without a chip
	Weight    Opt[int]     `json:"weight"`     // grams of a full spool
	NozzleMin Opt[int]     `json:"nozzle_min"` // °C
	NozzleMax Opt[int]     `json:"nozzle_max"`
	KValue    Opt[float64] `json:"k"`
	ChipID    string       `json:"chip_id"`  // tag_uid, "" without
	SpoolID   string       `json:"spool_id"` // tray_uuid, "" without
}

// Active says which slot feeds an extruder.
type Active struct {
	Extruder int `json:"extruder"` // 0 right or only, 1 left
	Unit     int `json:"unit"`     // AMS unit id; 255 or 254: external spool; -1: nothing
	Slot     int `json:"slot"`
}

// Faults are the printer's present complaints.
type Faults struct {
	PrintError uint32 `json:"print_error"` // 0 none, see ErrorCode
	HMS        []HMS  `json:"hms"`
}

// HMS is one health message as reported; its text and severity are computed.
type HMS struct {
	Attr uint32 `json:"attr"`
	Code uint32 `json:"code"`
}

// Machine is what the printer says of itself.
type Machine struct {
	Model           string    `json:"model"` // model code ("X1C") from get_version, "" until reported
	Firmware        string    `json:"firmware"`
	Serial          string    `json:"serial"`           // from get_version
	DeveloperMode   Opt[bool] `json:"developer_mode"`   // unknown where the firmware does not say
	SignedCommands  Opt[bool] `json:"signed_commands"`  // firmware demands signed commands: we can only read
	Storage         Opt[bool] `json:"storage"`          // card or stick is there
	DoorOpen        Opt[bool] `json:"door_open"`        //
	Wired           bool      `json:"wired"`            // network cable (wifi reads -90 dBm)
	Nozzles         []Nozzle  `json:"nozzles"`          // by extruder id
	ActiveExtruder  Opt[int]  `json:"active_extruder"`  // 0 right or only, 1 left
	CameraURL       string    `json:"camera_url"`       // rtsp_url, "" when the printer says it is off
	IPAddress       string    `json:"ip_address"`       // of net.info, "" unknown
	UpdateAvailable string    `json:"update_available"` // firmware version offered, "" none
}

// Nozzle is one installed nozzle.
type Nozzle struct {
	Extruder int          `json:"extruder"`
	Diameter Opt[float64] `json:"diameter"` // mm
	Type     string       `json:"type"`     // stainless_steel, hardened_steel, tungsten_carbide, "" unknown
	HighFlow bool         `json:"high_flow"`
}

// Signal is apart from Machine because it changes every other second.
type Signal struct {
	WiFi Opt[int] `json:"wifi"` // dBm; unknown when wired
}

// Patch carries the sections of a Status that changed; nil means unchanged.
type Patch struct {
	Job      *Job      `json:"job,omitempty"`
	Temps    *Temps    `json:"temps,omitempty"`
	Fans     *Fans     `json:"fans,omitempty"`
	Lights   *Lights   `json:"lights,omitempty"`
	Filament *Filament `json:"filament,omitempty"`
	Faults   *Faults   `json:"faults,omitempty"`
	Machine  *Machine  `json:"machine,omitempty"`
	Signal   *Signal   `json:"signal,omitempty"`
}

// Empty tells that nothing changed.
func (p Patch) Empty() bool { return p == Patch{} }

// Whole is the patch that makes any status this one.
func (s Status) Whole() Patch {
	return Patch{
		Job: &s.Job, Temps: &s.Temps, Fans: &s.Fans, Lights: &s.Lights,
		Filament: &s.Filament, Faults: &s.Faults, Machine: &s.Machine, Signal: &s.Signal,
	}
}

// Since is the patch that leads from an earlier status to this one.
func (s Status) Since(old Status) Patch {
	var p Patch
	if !s.Job.equal(old.Job) {
		p.Job = &s.Job
	}
	if s.Temps != old.Temps {
		p.Temps = &s.Temps
	}
	if s.Fans != old.Fans {
		p.Fans = &s.Fans
	}
	if !slices.Equal(s.Lights, old.Lights) {
		p.Lights = &s.Lights
	}
	if !reflect.DeepEqual(s.Filament, old.Filament) {
		p.Filament = &s.Filament
	}
	if s.Faults.PrintError != old.Faults.PrintError || !slices.Equal(s.Faults.HMS, old.Faults.HMS) {
		p.Faults = &s.Faults
	}
	if !reflect.DeepEqual(s.Machine, old.Machine) {
		p.Machine = &s.Machine
	}
	if s.Signal != old.Signal {
		p.Signal = &s.Signal
	}
	return p
}

func (j Job) equal(o Job) bool {
	if !slices.Equal(j.Skipped, o.Skipped) {
		return false
	}
	j.Skipped, o.Skipped = nil, nil
	return reflect.DeepEqual(j, o)
}

// With is this status with a patch laid over it. The patch's slices are taken
// over, so the caller must not change them afterwards.
func (s Status) With(p Patch) Status {
	if p.Job != nil {
		s.Job = *p.Job
	}
	if p.Temps != nil {
		s.Temps = *p.Temps
	}
	if p.Fans != nil {
		s.Fans = *p.Fans
	}
	if p.Lights != nil {
		s.Lights = *p.Lights
	}
	if p.Filament != nil {
		s.Filament = *p.Filament
	}
	if p.Faults != nil {
		s.Faults = *p.Faults
	}
	if p.Machine != nil {
		s.Machine = *p.Machine
	}
	if p.Signal != nil {
		s.Signal = *p.Signal
	}
	return s
}
