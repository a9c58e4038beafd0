package bambu

import (
	"runtime"
	"strings"
	"testing"
)

// TestOddFields: each odd value costs its own field only. Every frame begins with
// a sane one, so "unchanged" shows, and carries a percentage behind the odd value.
func TestOddFields(t *testing.T) {
	const sane = `{"print":{"msg":1,"gcode_state":"RUNNING","mc_percent":10,"mc_remaining_time":20,"layer_num":3,"stg_cur":1,"spd_lvl":2,"spd_mag":100,
		"nozzle_temper":200,"bed_temper":60,"chamber_temper":30,"fan_gear":255,"heatbreak_fan_speed":"3","wifi_signal":"-40dBm","print_error":5,
		"subtask_name":"n","gcode_file":"f","sdcard":true,"nozzle_diameter":"0.4","nozzle_type":"hardened_steel","fun":"20000000","stat":"0",
		"hms":[{"attr":1,"code":2}],"lights_report":[{"node":"a","mode":"on"}],"s_obj":[1],"ipcam":{"rtsp_url":"rtsps://x"},"net":{"info":[{"ip":16777226}]},
		"ams":{"tray_now":"1","ams":[{"id":"0","info":"1001","humidity":"3","humidity_raw":"30","temp":"25.5","dry_time":2,"tray":[{"id":"0","tag_uid":"A","tray_type":"PLA","tray_color":"FF0000FF","remain":5,"tray_weight":"1000","nozzle_temp_min":"190"}]}]}}}`
	tests := []struct{ name, field, want string }{
		{"number as string", `"mc_remaining_time":"7"`, `{"job":{"remaining":420}}`},
		{"string as number", `"subtask_name":123,"task_id":9007199254740993`, `{"job":{"name":"123","task_id":"9007199254740993"}}`},
		{"float where whole", `"layer_num":4.9`, `{"job":{"layer":4}}`},
		{"null", `"layer_num":null,"gcode_state":null,"hms":null,"ams":null,"device":null`, `{"job":{"layer":3,"gcode_state":"RUNNING"},"faults":{"hms":[{"attr":1}]}}`},
		{"object where number", `"layer_num":{"a":1},"nozzle_temper":[2]`, `{"job":{"layer":3},"temps":{"nozzle":200}}`},
		{"boolean where number", `"layer_num":true,"stg_cur":false`, `{"job":{"layer":3,"stage":1}}`},
		{"number where object", `"ams":5,"device":"x","ipcam":[],"net":{"info":{}},"3D":1`, `{"filament":{"units":[{"id":0}]},"machine":{"ip_address":"10.0.0.1"}}`},
		{"number where array", `"hms":5,"lights_report":{},"s_obj":"1"`, `{"faults":{"hms":[{"attr":1}]},"lights":[{"node":"a"}],"job":{"skipped":[1]}}`},
		{"percent", `"mc_remaining_time":-1,"gcode_file_prepare_percent":"101"`, `{"job":{"remaining":1200,"prepare_progress":null}}`},
		{"huge", `"layer_num":1e300,"mc_remaining_time":99999999999999999999`, `{"job":{"layer":3,"remaining":1200}}`},
		{"not a number", `"nozzle_temper":"NaN","bed_temper":"Infinity","layer_num":"0x10"`, `{"temps":{"nozzle":200,"bed":60},"job":{"layer":3}}`},
		{"absurd heat", `"nozzle_temper":7000,"bed_temper":-300,"device":{"bed":{"info":{"temp":-5}}}`, `{"temps":{"nozzle":200,"bed":60}}`},
		{"speed blip", `"spd_lvl":253,"spd_mag":0`, `{"job":{"speed_level":2,"speed_percent":100}}`},
		{"stage", `"stg_cur":-2`, `{"job":{"stage":1}}`},
		{"state in small letters", `"gcode_state":" finish "`, `{"job":{"gcode_state":"FINISH"}}`},
		{"empty state", `"gcode_state":""`, `{"job":{"gcode_state":"RUNNING"}}`},
		{"unknown state", `"gcode_state":"DANCING"`, `{"job":{"gcode_state":"DANCING"}}`},
		{"fan", `"fan_gear":-1,"heatbreak_fan_speed":"16"`, `{"fans":{"part":100,"aux":100,"chamber":100,"heatbreak":20}}`},
		{"fan as text", `"fan_gear":"full"`, `{"fans":{"part":100}}`},
		{"wifi", `"wifi_signal":"strong"`, `{"signal":{"wifi":-40}}`},
		{"wifi as number", `"wifi_signal":-61`, `{"signal":{"wifi":-61}}`},
		{"wifi of another world", `"wifi_signal":"-400dBm"`, `{"signal":{"wifi":-40}}`},
		{"signed error", `"print_error":-1`, `{"faults":{"print_error":4294967295}}`},
		{"error as string", `"print_error":"50348044"`, `{"faults":{"print_error":50348044}}`},
		{"half a health message", `"hms":[{"attr":1},{"attr":0,"code":5},{"attr":-1,"code":"7"},4]`, `{"faults":{"hms":[{"attr":4294967295,"code":7}]}}`},
		{"card", `"sdcard":"maybe"`, `{"machine":{"storage":true}}`},
		{"card as number", `"sdcard":0`, `{"machine":{"storage":false}}`},
		{"nozzle", `"nozzle_diameter":"9","nozzle_type":"HX99x"`, `{"machine":{"nozzles":[{"diameter":0.4,"type":"hardened_steel"}]}}`},
		{"nozzle of unknown material", `"nozzle_type":"HS77"`, `{"machine":{"nozzles":[{"type":""}]}}`},
		{"long function word", `"fun":"FFFFFFFFFFFFFFFFFFFFFFFFDFFFFFFF"`, `{"machine":{"signed_commands":false,"developer_mode":true}}`},
		{"function word that is none", `"fun":"xyz","stat":12`, `{"machine":{"signed_commands":true}}`},
		{"function word with nonsense in front", `"fun":"zz00000000DFFFFFFF"`, `{"machine":{"signed_commands":true}}`},
		{"timelapse on", `"ipcam":{"timelapse":"enable"}`, `{"job":{"timelapse":true},"machine":{"camera_url":"rtsps://x"}}`},
		{"timelapse off", `"ipcam":{"timelapse":"disable"}`, `{"job":{"timelapse":false}}`},
		{"timelapse that is none", `"ipcam":{"timelapse":"maybe"}`, `{"job":{"timelapse":null}}`},
		{"camera off", `"ipcam":{"rtsp_url":"disable"}`, `{"machine":{"camera_url":""}}`},
		{"address signed", `"net":{"info":[{"ip":0},{"ip":-1062731776}]}`, `{"machine":{"ip_address":"0.0.168.192"}}`},
		{"light without mode", `"lights_report":[{"node":"b"},{"node":"c","mode":"on"},7]`, `{"lights":[{"node":"c","mode":"on"}]}`},
		{
			"slot values", `"ams":{"ams":[{"id":"0","humidity":"9","humidity_raw":"-3","temp":"warm","dry_time":-4,"info":"","tray":[{"id":"0","remain":101,"tray_color":"red","tray_weight":"heavy","nozzle_temp_min":"-1","state":"x"}]}]}`,
			`{"filament":{"units":[{"kind":"ams","humidity":30,"humidity_level":3,"temperature":25.5,"drying":120,"slots":[{"type":"PLA","color":"FF0000FF","remain":5,"weight":1000,"nozzle_min":190}]}]}}`,
		},
		{
			"slot zeros", `"ams":{"ams":[{"id":"0","humidity":"0","humidity_raw":"0","temp":"0.0","dry_time":0,"tray":[{"id":"0","remain":-1,"tray_weight":"0","nozzle_temp_min":"0","tray_color":"ff8000"}]}]}`,
			`{"filament":{"units":[{"humidity":null,"humidity_level":null,"temperature":null,"drying":0,"slots":[{"color":"FF8000FF","remain":null,"weight":null,"nozzle_min":null}]}]}}`,
		},
		{
			"units without sense", `"ams":{"ams":[{"id":"x"},{"id":-1},{"id":999},{},5,{"id":"0","tray":[{"id":"4"},{"id":"9"},{"id":"-1"}]}]}`,
			`{"filament":{"units":[{"id":0,"slots":[{"id":0}]}]}}`,
		},
		{"tray_now", `"ams":{"tray_now":"256"}`, `{"filament":{"active":[{"unit":0,"slot":1}]}}`},
		{"control characters", `"subtask_name":"a\u0000b\u001b[31m\nc"`, `{"job":{"name":"ab[31mc"}}`},
		{"half a pair", `"subtask_name":"\ud83d"`, `{"job":{"name":"` + "\ufffd" + `"}}`},
		{"latin-1", "\"subtask_name\":\"W\xfcrfel\"", `{"job":{"name":"Würfel"}}`},
		{"key with an escape", `"mc_remaining\u005ftime":9`, `{"job":{"remaining":540}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s State
			apply(t, &s, sane, `{"print":{"msg":1,`+tt.field+`,"mc_percent":11}}`)
			expect(t, s.Status(), tt.want)
			expect(t, s.Status(), `{"job":{"progress":11}}`)
		})
	}
}

func TestSources(t *testing.T) {
	tests := []struct{ name, model, fields, want string }{
		{
			"copies fill in", "", `"percent":5,"remain_time":2,"prepare_per":7,"3D":{"layer_num":8,"total_layer_num":9}`,
			`{"job":{"progress":5,"remaining":120,"prepare_progress":7,"layer":8,"total_layers":9}}`,
		},
		{
			"and yield", "", `"percent":5,"mc_percent":6,"remain_time":2,"mc_remaining_time":3,"3D":{"layer_num":8},"layer_num":1`,
			`{"job":{"progress":6,"remaining":180,"layer":1}}`,
		},
		{"plate by number", "", `"plate_idx":3,"plate_id":2,"gcode_file":"/data/Metadata/plate_1.gcode"`, `{"job":{"plate":3}}`},
		{"plate 0 is none", "", `"plate_idx":0,"plate_id":2`, `{"job":{"plate":2}}`},
		{"plate of the path", "", `"plate_idx":0,"gcode_file":"/data/Metadata/plate_12.gcode"`, `{"job":{"plate":12}}`},
		{"no plate of a name", "", `"gcode_file":"my_plate_2.gcode"`, `{"job":{"plate":null}}`},
		{"no plate of nonsense", "", `"gcode_file":"/plate_x.gcode"`, `{"job":{"plate":null}}`},
		{
			"packed only", "", `"device":{"extruder":{"info":[{"id":0,"temp":16711934}]},"bed_temp":4587590}`,
			`{"temps":{"nozzle":254,"nozzle_target":255,"bed":70,"bed_target":70}}`,
		},
		{
			"plain over packed", "P2S", `"nozzle_temper":22.5,"bed_temper":21.5,"device":{"extruder":{"state":1,"info":[{"id":0,"temp":22}]},"bed":{"info":{"temp":21}}}`,
			`{"temps":{"nozzle":22.5,"bed":21.5,"bed_target":0}}`,
		},
		{"two nozzles, active not told", "H2D", `"nozzle_temper":200`, `{"temps":{"nozzle":null,"nozzle_2":null}}`},
		{
			"two nozzles, active is left", "H2D", `"nozzle_temper":200,"nozzle_target_temper":210,"device":{"extruder":{"state":274}}`,
			`{"temps":{"nozzle":null,"nozzle_2":200,"nozzle_2_target":210}}`,
		},
		{"switching keeps the extruder", "H2D", `"device":{"extruder":{"state":498}}`, `{"machine":{"active_extruder":null}}`},
		{
			"chamber: controller first", "H2D", `"chamber_temper":36,"ctt":40,"info":{"temp":38},"device":{"cham_temp":37,"ctc":{"info":{"temp":2949155}}}`,
			`{"temps":{"chamber":35,"chamber_target":45}}`,
		},
		{"chamber: packed in the old key", "H2D", `"chamber_temper":2949155`, `{"temps":{"chamber":35,"chamber_target":45}}`},
		{"chamber: plain with its own target", "X1E", `"chamber_temper":36,"ctt":40`, `{"temps":{"chamber":36,"chamber_target":40}}`},
		{"chamber: no heater, no target", "P2S", `"info":{"temp":38}`, `{"temps":{"chamber":38,"chamber_target":null}}`},
		{"chamber: 5 of nobody", "", `"chamber_temper":5`, `{"temps":{"chamber":null}}`},
		{"chamber: 5.5 of nobody", "", `"chamber_temper":5.5`, `{"temps":{"chamber":5.5}}`},
		{"chamber: 5 with a sensor", "", `"chamber_temper":5,"info":{"temp":5}`, `{"temps":{"chamber":5}}`},
		{"chamber: no sensor", "A1", `"chamber_temper":28,"info":{"temp":28}`, `{"temps":{"chamber":null}}`},
		{"fans: gear over strings", "P1S", `"fan_gear":9882879,"cooling_fan_speed":"1","big_fan1_speed":"1","big_fan2_speed":"1"`, `{"fans":{"part":100,"aux":80,"chamber":59}}`},
		{"fans: strings in tens", "P1S", `"cooling_fan_speed":"8","big_fan1_speed":"15","big_fan2_speed":"1","heatbreak_fan_speed":11`, `{"fans":{"part":50,"aux":100,"chamber":10,"heatbreak":70}}`},
		{
			"fans: duct over gear, flaps are no fans", "H2D", `"fan_gear":0,"device":{"airduct":{"parts":[{"id":16,"state":80},{"id":33,"state":9},{"id":48,"state":256},{"id":96,"state":5},{"id":160,"state":101},{"state":3}]}}`,
			`{"fans":{"part":80,"aux":0,"aux_2":null,"chamber":0}}`,
		},
		{"fans: X1 without its option", "X1C", `"aux_part_fan":false,"fan_gear":0`, `{"fans":{"part":0,"aux":null,"chamber":0}}`},
		{"fans: a duct needs no option", "H2D", `"aux_part_fan":false,"device":{"airduct":{"parts":[{"id":32,"state":7}]}}`, `{"fans":{"aux":7}}`},
		{"storage: newest field first", "", `"aux":"1000","sdcard":false,"home_flag":0`, `{"machine":{"storage":true}}`},
		{"storage: card over flags", "", `"sdcard":true,"home_flag":0`, `{"machine":{"storage":true}}`},
		{"storage: read-only is there", "", `"home_flag":768`, `{"machine":{"storage":true}}`},
		{"storage: none", "", `"home_flag":0`, `{"machine":{"storage":false}}`},
		{"door: flags of an X1", "X1C", `"home_flag":8388608`, `{"machine":{"door_open":true}}`},
		{"door: stat over flags", "X1C", `"home_flag":8388608,"stat":"0"`, `{"machine":{"door_open":false}}`},
		{"door: none on an A2L", "A2L", `"home_flag":8388608,"stat":"800000"`, `{"machine":{"door_open":null}}`},
		{"door: nobody's, but open", "", `"home_flag":8388608`, `{"machine":{"door_open":true}}`},
		{"door: nobody's, closed", "", `"home_flag":0`, `{"machine":{"door_open":null}}`},
		{
			"rack nozzles are not mounted", "H2C", `"device":{"nozzle":{"exist":458753,"info":[{"id":0,"diameter":0.4,"type":"HS01"},{"id":16,"diameter":0.2,"type":"HS00"}]}}`,
			`{"machine":{"nozzles":[{"extruder":0,"diameter":0.4}]}}`,
		},
		{"update offered", "", `"upgrade_state":{"new_version_state":1,"new_ver_list":[{"name":"ams/0","new_ver":"7"},{"name":"ota","new_ver":"01.09"}]}`, `{"machine":{"update_available":"01.09"}}`},
		{"update not offered", "", `"upgrade_state":{"new_version_state":2,"ota_new_version_number":"01.09"}`, `{"machine":{"update_available":""}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s State
			s.AssumeModel(tt.model)
			apply(t, &s, `{"print":{"msg":1,`+tt.fields+`}}`)
			expect(t, s.Status(), tt.want)
		})
	}
}

// TestFramesAreLetGo: a status holds copies, never a piece of a frame.
func TestFramesAreLetGo(t *testing.T) {
	pad := strings.Repeat("x", 500<<10)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	states := make([]State, 40)
	for i := range states {
		apply(t, &states[i], `{"pad":"`+pad+`","print":{"gcode_state":"IDLE","subtask_name":"n","gcode_file":"f","nozzle_type":"hardened_steel",
			"ipcam":{"rtsp_url":"rtsps://x"},"lights_report":[{"node":"a","mode":"on"}],"upgrade_state":{"ota_new_version_number":"1"},
			"ams":{"ams":[{"id":"0","ams_id":"S","tray":[{"id":"0","tray_type":"PLA","tray_color":"FF0000FF","cols":["FF0000FF","00FF00FF"],"tag_uid":"A","tray_uuid":"B"}]}]}},
			"info":{"module":[{"name":"ota","sw_ver":"1","sn":"039","product_name":"Bambu Lab A1"},{"name":"ams/0","sn":"006","sw_ver":"2"}]}}`)
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("%d states hold %d KB of their frames", len(states), grown>>10)
	}
	runtime.KeepAlive(states)
}

// TestBounds: a hostile printer cannot make a status grow.
func TestBounds(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	many := func(one string) string { return strings.TrimSuffix(strings.Repeat(one+",", 5000), ",") }
	var units strings.Builder
	for id := range 255 {
		units.WriteString(`{"id":"` + strings.Repeat("0", 2) + string(rune('0'+id/100)) + string(rune('0'+id/10%10)) + string(rune('0'+id%10)) + `","tray":[{"id":"0"}]},`)
	}
	var s State
	apply(t, &s,
		delta(`"subtask_name":"`+long+`","gcode_file":"`+long+`","task_id":"`+long+`"`),
		delta(`"hms":[`+many(`{"attr":1,"code":2}`)+`],"s_obj":[`+many("7")+`],"lights_report":[`+many(`{"node":"a","mode":"b"}`)+`]`),
		delta(`"mapping":[`+many("1")+`],"ams":{"ams":[`+units.String()+`{"id":"0","tray":[{"id":"0","cols":[`+many(`"112233"`)+`]}]}]}`),
		`{"info":{"module":[`+many(`{"name":"ams/1","sn":"x"}`)+`]}}`,
		`{"print":{`+many(`"mc_percent":3`)+`}}`,
	)
	st := s.Status()
	if n := len(encode(t, st)); n > maxStatus {
		t.Errorf("status of %d bytes", n)
	}
	if len(st.Job.Name) != 512 || len(st.Job.TaskID) != 64 || len(st.Faults.HMS) != maxHMS || len(st.Lights) != maxLights ||
		len(st.Job.Skipped) != maxSkipped || len(st.Filament.Units) != maxUnits || len(st.Filament.Units[0].Slots[0].Colors) != maxColors {
		t.Errorf("bounds are not kept: name %d, id %d, hms %d, lights %d, skipped %d, units %d", len(st.Job.Name), len(st.Job.TaskID),
			len(st.Faults.HMS), len(st.Lights), len(st.Job.Skipped), len(st.Filament.Units))
	}
	if cap(s.fields) > 256 {
		t.Errorf("room for %d fields is kept", cap(s.fields))
	}
}
