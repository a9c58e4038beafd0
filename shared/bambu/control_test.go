package bambu

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

func n(v int) *int { return &v }

func mustModel(t *testing.T, code string) Model {
	t.Helper()
	m, ok := ModelByCode(code)
	if !ok {
		t.Fatalf("no model %s", code)
	}
	return m
}

// H2D is a machine with two nozzles, an AMS, an AMS 2 Pro and an AMS HT.
func h2dStatus() Status {
	var s Status
	s.Job.GcodeState = "IDLE"
	s.Lights = Lights{{"chamber_light", "on"}, {"chamber_light2", "on"}, {"work_light", "off"}, {"heatbed_light", "off"}}
	s.Temps.Nozzle, s.Temps.Nozzle2 = Some(31.0), Some(205.4)
	s.Machine.ActiveExtruder = Some(0)
	pla := Slot{ID: 1, Present: true, Type: "PLA", NozzleMin: Some(190), NozzleMax: Some(230)}
	s.Filament = Filament{
		Units: []AMSUnit{
			{ID: 0, Kind: AMS2Pro, Slots: []Slot{{ID: 0}, pla}, Drying: Some(0)},
			{ID: 1, Kind: AMS, Slots: []Slot{{ID: 2, Present: true, Type: "PETG"}}},
			{ID: 128, Kind: AMSHT, Slots: []Slot{{ID: 0, Present: true}}, Drying: Some(0)},
		},
		External: []Slot{{ID: 254}, {ID: 255}},
		Active:   []Active{{0, 0, 1}, {1, -1, 0}},
		Status:   Some(0),
	}
	return s
}

func mini() Status {
	var s Status
	s.Job.GcodeState = "IDLE"
	s.Lights = Lights{{"chamber_light", "on"}}
	s.Filament.External = []Slot{{ID: 254}}
	s.Filament.Active = []Active{{0, -1, 0}}
	return s
}

func TestPayloads(t *testing.T) {
	faulty := mini()
	faulty.Faults.PrintError, faulty.Job.SubtaskID = 0x0300800B, "77"
	left := h2dStatus()
	left.Machine.ActiveExtruder = Some(1)
	left.Filament.Active[1] = Active{1, 254, 0}
	for _, tc := range []struct {
		name   string
		model  string
		status Status
		c      Control
		want   []string
	}{
		{"pause", "P1S", mini(), Control{Do: DoPause}, []string{`{"print":{"sequence_id":"20001","command":"pause","param":""}}`}},
		{"resume", "P1S", mini(), Control{Do: DoResume}, []string{`{"print":{"sequence_id":"20001","command":"resume","param":""}}`}},
		{"stop", "P1S", mini(), Control{Do: DoStop}, []string{`{"print":{"sequence_id":"20001","command":"stop","param":""}}`}},
		{"speed", "P1S", mini(), Control{Do: DoSpeed, Level: 3}, []string{`{"print":{"sequence_id":"20001","command":"print_speed","param":"3"}}`}},
		{"light", "A1MINI", mini(), Control{Do: DoLight}, []string{
			`{"system":{"sequence_id":"20001","command":"ledctrl","led_node":"chamber_light","led_mode":"off","led_on_time":500,"led_off_time":500,"loop_times":0,"interval_time":0}}`,
		}},
		{"both lamps", "H2D", h2dStatus(), Control{Do: DoLight, Light: "chamber", On: true}, []string{
			`{"system":{"sequence_id":"20001","command":"ledctrl","led_node":"chamber_light","led_mode":"on","led_on_time":500,"led_off_time":500,"loop_times":0,"interval_time":0}}`,
			`{"system":{"sequence_id":"20001","command":"ledctrl","led_node":"chamber_light2","led_mode":"on","led_on_time":500,"led_off_time":500,"loop_times":0,"interval_time":0}}`,
		}},
		{"bed light", "H2D", h2dStatus(), Control{Do: DoLight, Light: "heatbed", On: true}, []string{
			`{"system":{"sequence_id":"20001","command":"ledctrl","led_node":"heatbed_light","led_mode":"on","led_on_time":0,"led_off_time":0,"loop_times":0,"interval_time":0}}`,
		}},
		{"temperatures", "P1S", mini(), Control{Do: DoTemperature, Nozzle: n(220), Bed: n(60)}, []string{
			`{"print":{"sequence_id":"20001","command":"gcode_line","param":"M104 S220\nM140 S60\n"}}`,
		}},
		{"two nozzles", "H2D", h2dStatus(), Control{Do: DoTemperature, Nozzle: n(220), Nozzle2: n(0)}, []string{
			`{"print":{"sequence_id":"20001","command":"gcode_line","param":"M104 T0 S220\nM104 T1 S0\n"}}`,
		}},
		{"warm chamber", "H2D", h2dStatus(), Control{Do: DoTemperature, Chamber: n(45)}, []string{
			`{"print":{"sequence_id":"20001","command":"set_airduct","modeId":1,"submode":-1}}`,
			`{"print":{"sequence_id":"20001","command":"set_ctt","ctt_val":45,"temper_check":true}}`,
		}},
		{"chamber off", "X2D", h2dStatus(), Control{Do: DoTemperature, Chamber: n(0)}, []string{
			`{"print":{"sequence_id":"20001","command":"set_airduct","modeId":0,"submode":-1}}`,
			`{"print":{"sequence_id":"20001","command":"set_ctt","ctt_val":0,"temper_check":true}}`,
		}},
		{"no duct", "X1E", h2dStatus(), Control{Do: DoTemperature, Chamber: n(45)}, []string{
			`{"print":{"sequence_id":"20001","command":"set_ctt","ctt_val":45,"temper_check":true}}`,
		}},
		{"fan", "P1S", mini(), Control{Do: DoFan, Fan: "aux", Percent: 50}, []string{`{"print":{"sequence_id":"20001","command":"gcode_line","param":"M106 P2 S128\n"}}`}},
		{"gcode", "P1S", mini(), Control{Do: DoGcode, Gcode: "G28\r\nM18\n\n"}, []string{`{"print":{"sequence_id":"20001","command":"gcode_line","param":"G28\nM18\n"}}`}},
		{"home", "P1S", mini(), Control{Do: DoHome, Axes: "zyx"}, []string{`{"print":{"sequence_id":"20001","command":"gcode_line","param":"G28\n"}}`}},
		{"home two", "P1S", mini(), Control{Do: DoHome, Axes: "xy"}, []string{`{"print":{"sequence_id":"20001","command":"gcode_line","param":"G28 X Y\n"}}`}},
		{"skip", "P1S", mini(), Control{Do: DoSkipObjects, Objects: []int{69, 70}}, []string{`{"print":{"sequence_id":"20001","command":"skip_objects","obj_list":[69,70]}}`}},
		{"clear error", "P1S", faulty, Control{Do: DoClearError}, []string{
			`{"print":{"sequence_id":"20001","command":"clean_print_error","subtask_id":"77","print_error":50364427}}`,
			`{"system":{"sequence_id":"20001","command":"uiop","name":"print_error","action":"close","source":1,"type":"dialog","err":"0300800B"}}`,
		}},
		{"load", "P1S", h2dStatus(), Control{Do: DoLoad, AMS: n(1), Slot: n(2)}, []string{change(`"ams_id":1,"slot_id":2,"target":6,"curr_temp":-1,"tar_temp":-1`)}},
		{"load HT", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(128)}, []string{change(`"ams_id":128,"slot_id":0,"target":128,"curr_temp":-1,"tar_temp":-1`)}},
		{"load A2L", "A2L", mini(), Control{Do: DoLoad, AMS: n(16), Slot: n(3)}, []string{change(`"ams_id":16,"slot_id":3,"target":3,"curr_temp":-1,"tar_temp":-1`)}},
		{"load external", "A1MINI", mini(), Control{Do: DoLoad, AMS: n(255)}, []string{change(`"ams_id":255,"slot_id":254,"target":254,"curr_temp":-1,"tar_temp":-1`)}},
		{"load external, by its older id", "A1MINI", mini(), Control{Do: DoLoad, AMS: n(254)}, []string{change(`"ams_id":255,"slot_id":254,"target":254,"curr_temp":-1,"tar_temp":-1`)}},
		{"load external left", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(254)}, []string{change(`"ams_id":255,"slot_id":254,"target":254,"curr_temp":-1,"tar_temp":-1`)}},
		{"load external right", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(255)}, []string{change(`"ams_id":255,"slot_id":0,"target":255,"curr_temp":220,"tar_temp":220`)}},
		{"unload", "H2D", h2dStatus(), Control{Do: DoUnload}, []string{change(`"ams_id":0,"slot_id":255,"target":255,"curr_temp":210,"tar_temp":210`)}},
		{"unload left external", "H2D", left, Control{Do: DoUnload}, []string{change(`"ams_id":255,"slot_id":255,"target":255,"curr_temp":205,"tar_temp":205`)}},
		{"dry", "H2D", h2dStatus(), Control{Do: DoDrying, AMS: n(0), Temperature: 55, Hours: 8}, []string{
			`{"print":{"sequence_id":"20001","command":"ams_filament_drying","ams_id":0,"mode":1,"filament":"PLA","temp":55,"duration":8,"humidity":0,"rotate_tray":false,"cooling_temp":20,"close_power_conflict":false}}`,
		}},
		{"end drying", "H2D", h2dStatus(), Control{Do: DoDrying, AMS: n(128), Temperature: 55}, []string{
			`{"print":{"sequence_id":"20001","command":"ams_filament_drying","ams_id":128,"mode":0,"filament":"","temp":0,"duration":0,"humidity":0,"rotate_tray":false,"cooling_temp":0,"close_power_conflict":false}}`,
		}},
		{"slot's filament", "P1S", h2dStatus(), Control{Do: DoFilament, AMS: n(0), Slot: n(1), Filament: &FilamentSetting{Type: "PLA", Color: "ff0000", PresetID: "GFA00", SettingID: "GFSA00", NozzleMin: 190, NozzleMax: 230}}, []string{
			setting(`"ams_id":0,"slot_id":1,"tray_id":1,"tray_info_idx":"GFA00","setting_id":"GFSA00","tray_color":"FF0000FF","nozzle_temp_min":190,"nozzle_temp_max":230,"tray_type":"PLA"`),
		}},
		{"generic, external", "P1S", mini(), Control{Do: DoFilament, AMS: n(254), Filament: &FilamentSetting{Type: "petg", Color: "00000080"}}, []string{
			setting(`"ams_id":255,"slot_id":0,"tray_id":254,"tray_info_idx":"GFG99","setting_id":"","tray_color":"00000080","nozzle_temp_min":220,"nozzle_temp_max":270,"tray_type":"PETG"`),
		}},
		{"external left", "H2D", h2dStatus(), Control{Do: DoFilament, AMS: n(254), Filament: &FilamentSetting{}}, []string{
			setting(`"ams_id":254,"slot_id":0,"tray_id":254,"tray_info_idx":"","setting_id":"","tray_color":"00000000","nozzle_temp_min":0,"nozzle_temp_max":0,"tray_type":""`),
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			messages := tc.c.Messages(mustModel(t, tc.model), tc.status)
			if len(messages) != len(tc.want) {
				t.Fatalf("%d messages, want %d", len(messages), len(tc.want))
			}
			for i, m := range messages {
				got := string(m.Payload("20001"))
				if got != tc.want[i] || !json.Valid([]byte(got)) {
					t.Errorf("got  %s\nwant %s", got, tc.want[i])
				}
			}
		})
	}
}

func change(fields string) string {
	return `{"print":{"sequence_id":"20001","command":"ams_change_filament",` + fields + `}}`
}

func setting(fields string) string {
	return `{"print":{"sequence_id":"20001","command":"ams_filament_setting",` + fields + `}}`
}

func with(s Status, change func(*Status)) Status {
	change(&s)
	return s
}

func state(word string) Status { return with(mini(), func(s *Status) { s.Job.GcodeState = word }) }

func TestChecks(t *testing.T) {
	signed := with(state("RUNNING"), func(s *Status) { s.Machine.SignedCommands = Some(true) })
	changing := with(h2dStatus(), func(s *Status) { s.Filament.Status = Some(262) })
	for _, tc := range []struct {
		name   string
		model  string // "" nobody knows
		status Status
		c      Control
		code   farm.Code // "" fine
		detail string
	}{
		{"unknown act", "P1S", mini(), Control{Do: "dance"}, farm.Unsupported, "dance"},

		{"pause while printing", "P1S", state("RUNNING"), Control{Do: DoPause}, "", ""},
		{"pause while nobody knows", "P1S", state(""), Control{Do: DoPause}, "", ""},
		{"pause at rest", "P1S", state("FINISH"), Control{Do: DoPause}, farm.Conflict, "not printing"},
		{"pause twice", "P1S", state("PAUSE"), Control{Do: DoPause}, farm.Conflict, "paused already"},
		{"resume", "P1S", state("PAUSE"), Control{Do: DoResume}, "", ""},
		{"resume at work", "P1S", state("RUNNING"), Control{Do: DoResume}, farm.Conflict, "not paused"},
		{"stop while preparing", "P1S", state("PREPARE"), Control{Do: DoStop}, "", ""},
		{"stop at rest", "P1S", state("FAILED"), Control{Do: DoStop}, farm.Conflict, "not printing"},
		{"skip while paused", "P1S", state("PAUSE"), Control{Do: DoSkipObjects, Objects: []int{1}}, "", ""},
		{"skip at rest", "P1S", state("IDLE"), Control{Do: DoSkipObjects, Objects: []int{1}}, farm.Conflict, "not printing"},
		{"skip nothing", "P1S", state("RUNNING"), Control{Do: DoSkipObjects}, farm.Invalid, "objects"},
		{"skip a crowd", "P1S", state("RUNNING"), Control{Do: DoSkipObjects, Objects: make([]int, 65)}, farm.Invalid, "objects"},
		{"skip nonsense", "P1S", state("RUNNING"), Control{Do: DoSkipObjects, Objects: []int{math.MaxInt32 + 1}}, farm.Invalid, "objects"},
		{"home", "P1S", mini(), Control{Do: DoHome}, "", ""},
		{"home in a print", "P1S", state("PAUSE"), Control{Do: DoHome}, farm.PrinterBusy, "printing"},
		{"home in a state nobody knows", "P1S", state("WEIRD"), Control{Do: DoHome}, farm.PrinterBusy, "printing"},
		{"stop in a state nobody knows", "P1S", state("WEIRD"), Control{Do: DoStop}, "", ""},
		{"home while it starts", "P1S", state("INIT"), Control{Do: DoHome}, farm.PrinterBusy, "printing"},
		{"home while filament moves", "H2D", changing, Control{Do: DoHome}, farm.PrinterBusy, "changing filament"},
		{"answer a change", "H2D", changing, Control{Do: DoAnswerAMS, Action: "abort"}, "", ""},
		{"answer with nonsense", "H2D", changing, Control{Do: DoAnswerAMS, Action: "dance"}, farm.Invalid, "action"},
		{"home nonsense", "P1S", mini(), Control{Do: DoHome, Axes: "xx"}, farm.Invalid, "axes"},

		{"speed", "P1S", mini(), Control{Do: DoSpeed, Level: 4}, "", ""},
		{"no speed", "P1S", mini(), Control{Do: DoSpeed}, farm.Invalid, "level: 1 to 4"},
		{"light", "P1S", Status{}, Control{Do: DoLight}, "", ""},
		{"no such light", "P1S", mini(), Control{Do: DoLight, Light: "disco"}, farm.Invalid, "light"},
		{"light it lacks", "A1MINI", mini(), Control{Do: DoLight, Light: "work"}, farm.Unsupported, "an A1 mini reports no work light"},

		{"hottest nozzle", "H2D", h2dStatus(), Control{Do: DoTemperature, Nozzle: n(350), Nozzle2: n(350)}, "", ""},
		{"too hot a nozzle", "P1S", mini(), Control{Do: DoTemperature, Nozzle: n(301)}, farm.Invalid, "nozzle: at most 300 °C on a P1S"},
		{"too hot a bed", "A1MINI", mini(), Control{Do: DoTemperature, Bed: n(81)}, farm.Invalid, "bed: at most 80 °C on an A1 mini"},
		{"too cold", "A1MINI", mini(), Control{Do: DoTemperature, Bed: n(-1)}, farm.Invalid, "bed: at least 0"},
		{"second nozzle", "P1S", mini(), Control{Do: DoTemperature, Nozzle2: n(20)}, farm.Unsupported, "nozzle_2: a P1S has one nozzle"},
		{"chamber", "X1C", mini(), Control{Do: DoTemperature, Chamber: n(40)}, farm.Unsupported, "chamber: an X1 Carbon has no chamber heater"},
		{"too hot a chamber", "X1E", mini(), Control{Do: DoTemperature, Chamber: n(61)}, farm.Invalid, "chamber: at most 60"},
		{"no temperature", "X1E", mini(), Control{Do: DoTemperature}, farm.Invalid, "temperature"},
		{"unknown model's bed", "", mini(), Control{Do: DoTemperature, Bed: n(81)}, farm.Invalid, "at most 80 °C on this printer"},
		{"no nozzle", "N8", mini(), Control{Do: DoTemperature, Nozzle: n(81)}, farm.Unsupported, "an N8"},

		{"fan", "A1", mini(), Control{Do: DoFan, Fan: "part", Percent: 100}, "", ""},
		{"fan it lacks", "A1", mini(), Control{Do: DoFan, Fan: "aux"}, farm.Unsupported, "an A1 has no aux fan"},
		{"second aux fan", "X1C", mini(), Control{Do: DoFan, Fan: "aux_2"}, farm.Unsupported, "no aux_2 fan"},
		{"no such fan", "X1C", mini(), Control{Do: DoFan, Fan: "ceiling"}, farm.Invalid, "fan"},
		{"a storm", "X1C", mini(), Control{Do: DoFan, Fan: "part", Percent: 101}, farm.Invalid, "percent: 0 to 100"},

		{"gcode", "X1C", mini(), Control{Do: DoGcode, Gcode: "G1 X1 ; ü\n"}, "", ""},
		{"no gcode", "X1C", mini(), Control{Do: DoGcode, Gcode: " \n"}, farm.Invalid, "gcode"},
		{"a file of it", "X1C", mini(), Control{Do: DoGcode, Gcode: strings.Repeat("M18\n", 1000)}, farm.Invalid, "gcode"},
		{"a bell", "X1C", mini(), Control{Do: DoGcode, Gcode: "M18\a"}, farm.Invalid, "gcode"},
		{"not text", "X1C", mini(), Control{Do: DoGcode, Gcode: "M18\xff"}, farm.Invalid, "gcode"},

		{"load", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(0), Slot: n(1)}, "", ""},
		{"load in a pause", "H2D", with(changing, func(s *Status) { s.Job.GcodeState = "PAUSE" }), Control{Do: DoLoad, AMS: n(0), Slot: n(1)}, "", ""},
		{"load external", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(254)}, "", ""},
		{"load what?", "H2D", h2dStatus(), Control{Do: DoLoad}, farm.Invalid, "ams"},
		{"load which?", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(0)}, farm.Invalid, "slot"},
		{"load a fifth", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(0), Slot: n(4)}, farm.Invalid, "slot: 0 to 3"},
		{"load nothing", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(0), Slot: n(0)}, farm.Conflict, "empty"},
		{"load from a unit it lacks", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(2), Slot: n(0)}, farm.Invalid, "no unit 2, only 0, 1, 128"},
		{"load without an AMS", "A1MINI", mini(), Control{Do: DoLoad, AMS: n(0), Slot: n(0)}, farm.Invalid, "has none"},
		{"load before it told", "A1MINI", Status{}, Control{Do: DoLoad, AMS: n(0), Slot: n(0)}, farm.PrinterBusy, "not known yet"},
		{"stop before it told", "A1MINI", Status{}, Control{Do: DoStop}, "", ""},
		{"load from nowhere", "H2D", h2dStatus(), Control{Do: DoLoad, AMS: n(-3), Slot: n(0)}, farm.Invalid, "ams"},
		{"load in a print", "H2D", with(h2dStatus(), func(s *Status) { s.Job.GcodeState = "RUNNING" }), Control{Do: DoLoad, AMS: n(0), Slot: n(1)}, farm.PrinterBusy, "printing"},
		{"load in a change", "H2D", changing, Control{Do: DoLoad, AMS: n(0), Slot: n(1)}, farm.PrinterBusy, "changing"},
		{"unload", "H2D", h2dStatus(), Control{Do: DoUnload}, "", ""},
		{"unload nothing", "A1MINI", mini(), Control{Do: DoUnload}, farm.Conflict, "no filament"},

		{"dry", "H2D", h2dStatus(), Control{Do: DoDrying, AMS: n(128), Temperature: 85, Hours: 24}, "", ""},
		{"end drying", "H2D", h2dStatus(), Control{Do: DoDrying, AMS: n(0)}, "", ""},
		{"too hot for a 2 Pro", "H2D", h2dStatus(), Control{Do: DoDrying, AMS: n(0), Temperature: 66, Hours: 1}, farm.Invalid, "temperature: 45 to 65"},
		{"for ever", "H2D", h2dStatus(), Control{Do: DoDrying, AMS: n(0), Temperature: 60, Hours: 25}, farm.Invalid, "hours: 0 to 24"},
		{"cannot dry", "H2D", h2dStatus(), Control{Do: DoDrying, AMS: n(1), Temperature: 60, Hours: 5}, farm.Unsupported, "cannot dry"},
		{"dry the external one", "H2D", h2dStatus(), Control{Do: DoDrying, AMS: n(255), Temperature: 60, Hours: 5}, farm.Invalid, "ams"},

		{"no filament", "H2D", h2dStatus(), Control{Do: DoFilament, AMS: n(0), Slot: n(1)}, farm.Invalid, "filament"},
		{"a colour's name", "H2D", h2dStatus(), Control{Do: DoFilament, AMS: n(0), Slot: n(1), Filament: &FilamentSetting{Type: "PLA", Color: "red"}}, farm.Invalid, "color"},
		{"nobody's filament", "H2D", h2dStatus(), Control{Do: DoFilament, AMS: n(0), Slot: n(1), Filament: &FilamentSetting{Type: "WOOD", Color: "aabbcc"}}, farm.Invalid, "preset_id"},
		{"melting", "P1S", h2dStatus(), Control{Do: DoFilament, AMS: n(0), Slot: n(1), Filament: &FilamentSetting{Type: "PLA", Color: "aabbcc", NozzleMin: 200, NozzleMax: 310}}, farm.Invalid, "at most 300"},
		{"a trick", "P1S", h2dStatus(), Control{Do: DoFilament, AMS: n(0), Slot: n(1), Filament: &FilamentSetting{Type: `PLA","x":"`, Color: "aabbcc"}}, farm.Invalid, "type"},

		{"read only", "X1C", signed, Control{Do: DoStop}, farm.PrinterRefused, "read only: enable developer mode"},
		{"a light is not guarded", "X1C", signed, Control{Do: DoLight, On: true}, "", ""},
		{"wrong before read only", "X1C", signed, Control{Do: DoSpeed, Level: 9}, farm.Invalid, "level"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var m Model
			if tc.model != "" {
				m = mustModel(t, tc.model)
			}
			err := tc.c.Check(m, tc.status)
			if farm.CodeOf(err) != tc.code || err != nil && !strings.Contains(err.Error(), tc.detail) {
				t.Errorf("%v, want %s with %q", err, tc.code, tc.detail)
			}
			if err == nil && len(tc.c.Messages(m, tc.status)) == 0 {
				t.Error("passed, but there is nothing to send")
			}
		})
	}
}

func TestDone(t *testing.T) {
	lit := func(mode string) Status {
		return with(mini(), func(s *Status) { s.Lights = Lights{{"chamber_light", mode}} })
	}
	fan := func(percent int) Status { return with(mini(), func(s *Status) { s.Fans.Part = Some(percent) }) }
	for _, tc := range []struct {
		name      string
		c         Control
		yes, no   Status
		invisible bool
	}{
		{"pause", Control{Do: DoPause}, state("PAUSE"), state("RUNNING"), false},
		{"resume", Control{Do: DoResume}, state("RUNNING"), state("PAUSE"), false},
		{"stop", Control{Do: DoStop}, state("FAILED"), state("RUNNING"), false},
		{"stop, unknown", Control{Do: DoStop}, state("IDLE"), state(""), false},
		{"speed", Control{Do: DoSpeed, Level: 3}, with(mini(), func(s *Status) { s.Job.SpeedLevel = Some(3) }), mini(), false},
		{"light", Control{Do: DoLight, On: true}, lit("on"), lit("off"), false},
		{"light unknown", Control{Do: DoLight}, lit("off"), Status{}, false},
		{"temperature", Control{Do: DoTemperature, Bed: n(60), Nozzle: n(0)}, with(mini(), func(s *Status) { s.Temps.BedTarget, s.Temps.NozzleTarget = Some(60.0), Some(0.0) }), with(mini(), func(s *Status) { s.Temps.BedTarget = Some(60.0) }), false},
		{"fan", Control{Do: DoFan, Fan: "part", Percent: 33}, fan(30), fan(40), false},
		{"fan unknown", Control{Do: DoFan, Fan: "part"}, fan(0), mini(), false},
		{"load", Control{Do: DoLoad, AMS: n(0), Slot: n(1)}, h2dStatus(), with(h2dStatus(), func(s *Status) { s.Filament.Active = []Active{{0, 1, 1}} }), false},
		{"load goes on", Control{Do: DoLoad, AMS: n(1), Slot: n(2)}, with(h2dStatus(), func(s *Status) { s.Filament.Status = Some(258) }), h2dStatus(), false},
		{"load external", Control{Do: DoLoad, AMS: n(255)}, with(mini(), func(s *Status) { s.Filament.Active = []Active{{0, 254, 0}} }), mini(), false},
		{"unload", Control{Do: DoUnload}, mini(), h2dStatus(), false},
		{"dry", Control{Do: DoDrying, AMS: n(0), Hours: 1}, with(h2dStatus(), func(s *Status) { s.Filament.Units[0].Drying = Some(3600) }), h2dStatus(), false},
		{"end drying", Control{Do: DoDrying, AMS: n(0)}, h2dStatus(), mini(), false},
		{
			"filament",
			Control{Do: DoFilament, AMS: n(0), Slot: n(1), Filament: &FilamentSetting{Type: "PLA", Color: "ff0000"}},
			with(h2dStatus(), func(s *Status) {
				s.Filament.Units[0].Slots[1].Color, s.Filament.Units[0].Slots[1].PresetID = "FF0000FF", "GFL99"
			}),
			h2dStatus(), false,
		},
		{"filament cleared", Control{Do: DoFilament, AMS: n(0), Slot: n(0), Filament: &FilamentSetting{}}, h2dStatus(), mini(), false},
		{"skip", Control{Do: DoSkipObjects, Objects: []int{1, 2}}, with(mini(), func(s *Status) { s.Job.Skipped = []int{2, 3, 1} }), with(mini(), func(s *Status) { s.Job.Skipped = []int{1} }), false},
		{"clear error", Control{Do: DoClearError}, mini(), with(mini(), func(s *Status) { s.Faults.PrintError = 7 }), false},
		{"gcode", Control{Do: DoGcode}, Status{}, Status{}, true},
		{"home", Control{Do: DoHome}, Status{}, Status{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			done, visible := tc.c.Done(tc.yes)
			not, _ := tc.c.Done(tc.no)
			if tc.invisible != !visible || done == tc.invisible || not {
				t.Errorf("done %v, visible %v, and without the effect %v", done, visible, not)
			}
		})
	}
}

// Check, Messages and Done take whatever decodes, at any printer.
func FuzzControl(f *testing.F) {
	for _, seed := range []string{`{"do":"ams_load","ams":0,"slot":1}`, `{"do":"light"}`, `{"do":"ams_filament","ams":255,"filament":{"type":"PLA","color":"ff0000"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Control
		if json.Unmarshal(b, &c) != nil {
			t.Skip()
		}
		for _, m := range append(Models(), Model{}) {
			for _, s := range []Status{{}, mini(), h2dStatus()} {
				if c.Check(m, s) != nil {
					continue
				}
				for _, message := range c.Messages(m, s) {
					if p := message.Payload("20000"); !json.Valid(p) || len(p) > 2*maxGcode*6 {
						t.Errorf("payload %s", p)
					}
				}
				c.Done(s)
			}
		}
	})
}
