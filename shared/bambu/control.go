package bambu

// Do names what a Control does.
type Do string

// What can be done at a printer, with the fields of Control each takes; fields
// not named for an act are not looked at.
const (
	DoPause       Do = "pause"        // a running print
	DoResume      Do = "resume"       // a paused print
	DoStop        Do = "stop"         // a print, for good
	DoSpeed       Do = "speed"        // Level
	DoLight       Do = "light"        // Light, On
	DoTemperature Do = "temperature"  // any of Nozzle, Nozzle2, Bed, Chamber: targets
	DoFan         Do = "fan"          // Fan, Percent
	DoGcode       Do = "gcode"        // Gcode
	DoLoad        Do = "ams_load"     // AMS, Slot (not for an external spool or an AMS HT, which have one)
	DoUnload      Do = "ams_unload"   // what the active nozzle holds
	DoAnswerAMS   Do = "ams_control"  // Action: the answer to a change of filament that is stuck
	DoDrying      Do = "ams_drying"   // AMS, Temperature, Hours (0 ends it), optionally Filament.Type
	DoFilament    Do = "ams_filament" // AMS, Slot (as for a load), Filament (without a type: forget what is in the slot)
	DoSkipObjects Do = "skip_objects" // Objects
	DoClearError  Do = "clear_error"  // the print_error shown, with its dialogue
	DoHome        Do = "home"         // Axes
)

// Control is one act at a printer, the same for every model; Messages turns it
// into what a model understands. Numbers are °C, percent and hours.
type Control struct {
	Do Do `json:"do"`

	Level int `json:"level,omitempty"` // 1 silent, 2 standard, 3 sport, 4 ludicrous

	Light string `json:"light,omitempty"` // chamber (also ""), work, heatbed
	On    bool   `json:"on,omitempty"`

	Nozzle  *int `json:"nozzle,omitempty"`   // the right or only nozzle; 0 switches off
	Nozzle2 *int `json:"nozzle_2,omitempty"` // the left one of two
	Bed     *int `json:"bed,omitempty"`
	Chamber *int `json:"chamber,omitempty"`

	Fan     string `json:"fan,omitempty"` // part, aux, aux_2, chamber
	Percent int    `json:"percent,omitempty"`

	Gcode string `json:"gcode,omitempty"` // lines of G-code

	AMS         *int `json:"ams,omitempty"`  // unit id: 0..3, 16, 128..135; 255 external spool (right or only nozzle), 254 external spool (left)
	Slot        *int `json:"slot,omitempty"` // 0..3
	Temperature int  `json:"temperature,omitempty"`
	Hours       int  `json:"hours,omitempty"`

	Filament *FilamentSetting `json:"filament,omitempty"`

	Action string `json:"action,omitempty"` // resume: try again, done: it came out of the nozzle, abort: give up

	Objects []int `json:"objects,omitempty"` // identify_id of objects on the plate

	Axes string `json:"axes,omitempty"` // letters of x, y, z; "" all
}

// FilamentSetting is what a slot is told to hold: what a printer cannot read
// from the spool's chip.
type FilamentSetting struct {
	Type      string `json:"type"`                 // PLA, PETG-CF, …; "" nothing is known of the spool
	Color     string `json:"color"`                // RRGGBB or RRGGBBAA
	PresetID  string `json:"preset_id,omitempty"`  // tray_info_idx; "": the generic one of the type
	SettingID string `json:"setting_id,omitempty"` // of the slicer's preset
	NozzleMin int    `json:"nozzle_min,omitempty"` // °C; 0: usual for the type
	NozzleMax int    `json:"nozzle_max,omitempty"`
}

// Overtakes tells that the act does not wait for others under way: a person who
// wants a print to end must not stand in line behind a fan.
func (c Control) Overtakes() bool { return c.Do == DoStop || c.Do == DoPause }
