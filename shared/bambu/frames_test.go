package bambu

import "testing"

// TestFrames reads our own full frames, one per style of report, with what
// get_version of such a printer says.
func TestFrames(t *testing.T) {
	tests := []struct {
		name   string
		frames []string
		want   string
	}{
		{"A1 prints", []string{"a1-version.json", "a1-full.json"}, `{
			"job": {"gcode_state":"RUNNING","stage":0,"progress":37,"remaining":5700,"layer":41,"total_layers":180,"speed_level":3,"speed_percent":124,
				"prepare_progress":100,"plate":null,"file":"bracket_v2.gcode.3mf","name":"bracket_v2","kind":"local","subtask_id":"1700001","skipped":[12,40]},
			"temps": {"nozzle":219.96875,"nozzle_target":220,"nozzle_2":null,"bed":64.6875,"bed_target":65,"chamber":null},
			"fans": {"part":80,"aux":null,"chamber":null,"heatbreak":70},
			"lights": [{"node":"chamber_light","mode":"on"}],
			"filament": {
				"units": [{"id":0,"kind":"ams_lite","humidity":null,"humidity_level":null,"temperature":null,"extruder":0,"serial":"03C00B000000001","firmware":"00.00.07.94","slots":[
					{"id":0,"present":true,"type":"PLA","name":"","color":"18C241FF","remain":null,"weight":null},
					{"id":1,"present":false,"type":"","color":""},
					{"id":2,"present":true,"name":"PLA Matte","remain":64,"weight":1000,"nozzle_min":190,"nozzle_max":230,"k":0.02},
					{"id":3,"present":true,"type":"PETG","color":"FFFFFF00","remain":null}]}],
				"external": [{"id":254,"present":true,"type":"PETG","color":"FF8800FF"}],
				"active": [{"extruder":0,"unit":0,"slot":2}], "status":768},
			"machine": {"model":"A1","firmware":"01.06.00.00","serial":"03900B000000007","developer_mode":null,"signed_commands":null,"storage":true,"door_open":null,
				"ip_address":"192.0.2.61","update_available":"01.06.10.33","nozzles":[{"extruder":0,"diameter":0.4,"type":"stainless_steel","high_flow":false}],"active_extruder":0},
			"signal": {"wifi":-55}}`},
		{"A1 then a delta", []string{"a1-version.json", "a1-full.json", "a1-delta.json"}, `{
			"job": {"gcode_state":"RUNNING","progress":38,"remaining":5640,"layer":42,"total_layers":180,"name":"bracket_v2"},
			"temps": {"nozzle":220.03125,"nozzle_target":220,"bed":64.71875},
			"filament": {"units":[{"slots":[{},{},{"name":"PLA Matte"},{}]}],"active":[{"extruder":0,"unit":0,"slot":3}]},
			"signal": {"wifi":-57}}`},
		{"P1S of unknown model, external spool", []string{"p1s-full.json"}, `{
			"job": {"gcode_state":"FINISH","stage":255,"progress":100,"layer":260,"total_layers":0,"name":"vase"},
			"temps": {"nozzle":25.5,"bed":24,"chamber":null},
			"fans": {"part":100,"aux":50,"chamber":20},
			"filament": {
				"units": [{"id":0,"kind":"","humidity":null,"humidity_level":4,"temperature":null,"extruder":null,"slots":[{"remain":83},{"remain":100},{"remain":7},{"remain":50,"color":"000000FF"}]}],
				"external": [{"id":254,"present":false,"type":"","color":""}],
				"active": [{"extruder":0,"unit":254,"slot":0}]},
			"machine": {"model":"","serial":"","storage":true,"door_open":null,"active_extruder":null,"ip_address":"192.0.2.62","nozzles":[{"type":"hardened_steel"}]},
			"signal": {"wifi":-67}}`},
		{"X1C paused with four units", []string{"x1c-version.json", "x1c-full.json"}, `{
			"job": {"gcode_state":"PAUSE","stage":6,"progress":55,"remaining":7200,"layer":77,"total_layers":140,"plate":2,"kind":"cloud","subtask_id":"557284337"},
			"temps": {"nozzle":218,"nozzle_target":220,"bed":55,"bed_target":55,"chamber":39,"chamber_target":null},
			"fans": {"part":100,"aux":70,"chamber":0,"heatbreak":100},
			"filament": {
				"units": [{"id":0,"kind":"ams","serial":"00600B000000001"},
					{"id":1,"kind":"ams","humidity":40,"humidity_level":3},
					{"id":2,"kind":"ams_2_pro","drying":34980,"serial":"19C00B000000001","slots":[{"id":0,"present":false},{"id":1,"present":true,"type":"PLA"},{"id":2,"present":true},{"id":3,"present":true,"type":""}]},
					{"id":128,"kind":"ams_ht","firmware":"02.00.19.67","slots":[{"id":0,"present":true,"type":"PA-CF"}]}],
				"external": [{"id":255}],
				"active": [{"extruder":0,"unit":2,"slot":2}]},
			"faults": {"print_error":50364437,"hms":[{"attr":117473280,"code":196611}]},
			"machine": {"model":"X1C","developer_mode":false,"signed_commands":true,"door_open":false,"storage":true,"nozzles":[{"diameter":0.6,"type":"hardened_steel"}],
				"camera_url":"rtsps://192.0.2.63:322/streaming/live/1","ip_address":"192.0.2.63","update_available":""}}`},
		{"H2D prints with the left nozzle", []string{"h2d-version.json", "h2d-full.json"}, `{
			"job": {"gcode_state":"RUNNING","progress":6,"remaining":32940,"plate":1},
			"temps": {"nozzle":47,"nozzle_target":0,"nozzle_2":244,"nozzle_2_target":245,"bed":70,"chamber":42,"chamber_target":45},
			"fans": {"part":20,"aux":0,"aux_2":null,"chamber":30,"heatbreak":100},
			"lights": [{"node":"chamber_light","mode":"on"},{"node":"work_light","mode":"flashing"},{"node":"chamber_light2","mode":"on"}],
			"filament": {
				"units": [{"id":0,"extruder":1},{"id":1,"extruder":0,"humidity":55},{"id":128,"kind":"ams_ht","extruder":null,"humidity_level":null,"slots":[{"id":0,"present":false}]}],
				"external": [{"id":254,"present":false},{"id":255,"present":true,"type":"TPU"}],
				"active": [{"extruder":0,"unit":255,"slot":0},{"extruder":1,"unit":0,"slot":1}]},
			"machine": {"model":"H2D","developer_mode":false,"active_extruder":1,
				"nozzles":[{"extruder":0,"diameter":0.4,"type":"hardened_steel","high_flow":false},{"extruder":1,"diameter":0.6,"type":"tungsten_carbide","high_flow":true}]}}`},
		{"P2S on a cable, door open, no stick", []string{"p2s-version.json", "p2s-full.json"}, `{
			"job": {"gcode_state":"RUNNING","progress":64,"plate":4,"name":"Dry Pod "},
			"temps": {"nozzle":254,"nozzle_target":255,"chamber":47,"chamber_target":null},
			"fans": {"part":90,"aux":0,"aux_2":40,"chamber":0},
			"filament": {"units":[{"id":0,"kind":"ams_2_pro","humidity":16,"temperature":38.4}],"active":[{"extruder":0,"unit":0,"slot":3}]},
			"machine": {"model":"P2S","developer_mode":true,"signed_commands":false,"storage":false,"door_open":true,"wired":true,"camera_url":"","update_available":"01.02.00.00"},
			"signal": {"wifi":null}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s State
			for _, f := range tt.frames {
				apply(t, &s, fixture(t, f))
				if a := apply(t, &s, fixture(t, f)); a.Changed {
					t.Errorf("%s again changed something", f)
				}
			}
			expect(t, s.Status(), tt.want)
		})
	}
}

// TestModelLate: what a model has is known when it is known, whichever comes
// first, the reports or the name.
func TestModelLate(t *testing.T) {
	var s State
	apply(t, &s, `{"print":{"chamber_temper":5,"big_fan1_speed":"15","home_flag":0,"nozzle_temper":20}}`)
	expect(t, s.Status(), `{"temps":{"chamber":null},"fans":{"aux":100},"machine":{"door_open":null,"active_extruder":null}}`)
	apply(t, &s, `{"info":{"command":"get_version","module":[{"name":"ota","product_name":"Bambu Lab X1-Carbon","sw_ver":"1","sn":"00M0"}]}}`)
	expect(t, s.Status(), `{"temps":{"chamber":5},"fans":{"aux":100},"machine":{"model":"X1C","door_open":false,"active_extruder":0}}`)
	s.AssumeModel("A1") // the printer's own word stands
	expect(t, s.Status(), `{"temps":{"chamber":5},"machine":{"model":"X1C"}}`)

	s = State{}
	s.AssumeModel("A1")
	apply(t, &s, `{"print":{"chamber_temper":31,"big_fan1_speed":"15"}}`)
	expect(t, s.Status(), `{"temps":{"chamber":null},"fans":{"aux":null},"machine":{"model":"","active_extruder":0}}`)
}

func TestVersionWithoutProduct(t *testing.T) {
	tests := []struct{ name, modules, want string }{
		{"project", `[{"name":"ota","project_name":"C12","sw_ver":"01.07","sn":"01P00B1"}]`, `{"model":"P1S","firmware":"01.07","serial":"01P00B1"}`},
		{"project of the board", `[{"name":"ota","sw_ver":"1"},{"name":"esp32","project_name":"N1","sn":"030"}]`, `{"model":"A1MINI","serial":"030"}`},
		{"early X1E", `[{"name":"ota","sn":""},{"name":"rv1126","hw_ver":"AP02","sn":"03W"}]`, `{"model":"X1E","serial":"03W"}`},
		{"shared board", `[{"name":"esp32","hw_ver":"AP05","sn":"039"}]`, `{"model":"","serial":"039"}`},
		{"custom product", `[{"name":"ota","product_name":"My Printer","sw_ver":"99.01"}]`, `{"model":"","firmware":"99.01"}`},
		{"nothing", `[]`, `{"model":"","firmware":""}`},
		{"odd", `[null,3,"x",{"name":7}]`, `{"model":"","firmware":""}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s State
			if a := apply(t, &s, `{"info":{"command":"get_version","module":`+tt.modules+`}}`); a.Kind != KindVersion {
				t.Errorf("kind %v", a.Kind)
			}
			expect(t, s.Status(), `{"machine":`+tt.want+`}`)
		})
	}
}
