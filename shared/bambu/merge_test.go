package bambu

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// base is an A-series base frame with one unit of four slots.
const base = `{"print":{"command":"push_status","msg":0,"gcode_state":"RUNNING","home_flag":256,"ams":{
	"ams":[{"id":"0","info":"1001","humidity":"3","tray":[
		{"id":"0","state":11,"tray_type":"PLA","tray_color":"FF0000FF","tag_uid":"A1","remain":50},
		{"id":"1","state":11,"tray_type":"PETG","tray_color":"00FF00FF"},
		{"id":"2"},{"id":"3"}]}],
	"ams_exist_bits":"1","tray_exist_bits":"3","tray_now":"1"}}}`

func delta(print string) string { return `{"print":{"command":"push_status","msg":1,` + print + `}}` }

func TestMerge(t *testing.T) {
	tests := []struct {
		name   string
		frames []string
		want   string
	}{
		{
			"objects merge key by key",
			[]string{base, delta(`"ams":{"tray_now":"0"}`)},
			`{"job":{"gcode_state":"RUNNING"},"filament":{"units":[{"humidity_level":3,"slots":[{"type":"PLA"},{"type":"PETG"},{},{}]}],"active":[{"slot":0}]}}`,
		},
		{
			"unit and slot merge by id",
			[]string{base, delta(`"ams":{"ams":[{"id":"0","tray":[{"id":"1","tray_color":"0000FFFF"}]}]}`)},
			`{"filament":{"units":[{"humidity_level":3,"slots":[{"type":"PLA","color":"FF0000FF"},{"type":"PETG","color":"0000FFFF"},{},{}]}]}}`,
		},
		{
			"ids may be numbers",
			[]string{base, delta(`"ams":{"ams":[{"id":0,"tray":[{"id":1,"tray_type":"ABS"}]}]}`)},
			`{"filament":{"units":[{"slots":[{},{"type":"ABS"},{},{}]}]}}`,
		},
		{
			"a delta drops nothing",
			[]string{base, delta(`"ams":{"ams":[{"id":"1","info":"2103","tray":[{"id":"3","state":11,"tray_type":"PC"}]}],"tray_exist_bits":"83"}`)},
			`{"filament":{"units":[{"id":0,"slots":[{},{},{},{}]},{"id":1,"kind":"ams_2_pro","extruder":1,"slots":[{"id":3,"type":"PC"}]}]}}`,
		},
		{
			"a full frame drops what it does not name",
			[]string{base, `{"print":{"msg":0,"ams":{"ams":[{"id":"1","tray":[{"id":"0"}]}]}}}`},
			`{"filament":{"units":[{"id":1,"slots":[{"id":0}]}]}}`,
		},
		{
			"a full frame drops slots",
			[]string{base, `{"print":{"msg":0,"ams":{"ams":[{"id":"0","tray":[{"id":"1"}]}]}}}`},
			`{"filament":{"units":[{"id":0,"humidity_level":3,"slots":[{"id":1}]}]}}`,
		},
		{
			"a full frame without units keeps them",
			[]string{base, `{"print":{"msg":0,"ams":{"tray_now":"255"}}}`},
			`{"filament":{"units":[{"id":0}],"active":[{"unit":-1}]}}`,
		},
		{
			"without msg: full when it has state, ams and flags",
			[]string{base, `{"print":{"gcode_state":"IDLE","home_flag":256,"ams":{"ams":[]}}}`},
			`{"filament":{"units":null}}`,
		},
		{
			"without msg: else a delta",
			[]string{base, `{"print":{"gcode_state":"IDLE","ams":{"ams":[]}}}`},
			`{"filament":{"units":[{"id":0}]}}`,
		},
		{"unplugged by its bit", []string{base, delta(`"ams":{"ams_exist_bits":"0"}`)}, `{"filament":{"units":null}}`},
		{
			"bare slot: data is gone, the spool is there",
			[]string{base, delta(`"ams":{"ams":[{"id":"0","tray":[{"id":"0"}]}]}`)},
			`{"filament":{"units":[{"slots":[{"id":0,"present":true,"type":"","color":"","remain":null,"chip_id":""},{"type":"PETG"},{},{}]}]}}`,
		},
		{
			"bare slot with state 9",
			[]string{base, delta(`"ams":{"ams":[{"id":"0","tray":[{"id":"0","state":9}]}]}`)},
			`{"filament":{"units":[{"slots":[{"present":true,"type":""},{},{},{}]}]}}`,
		},
		{
			"bare slot whose state says known: only the state changed",
			[]string{base, delta(`"ams":{"ams":[{"id":"0","tray":[{"id":"0","state":27}]}]}`)},
			`{"filament":{"units":[{"slots":[{"present":true,"type":"PLA","color":"FF0000FF"},{},{},{}]}]}}`,
		},
		{
			"a cleared bit forgets for good",
			[]string{base, delta(`"ams":{"tray_exist_bits":"2"}`), delta(`"ams":{"tray_exist_bits":"3"}`)},
			`{"filament":{"units":[{"slots":[{"present":true,"type":"","color":""},{"present":true,"type":"PETG"},{"present":false},{}]}]}}`,
		},
		{
			"without bits the state tells",
			[]string{delta(`"ams":{"ams":[{"id":"0","tray":[{"id":"0","state":8},{"id":"1","state":9},{"id":"2","tray_type":"PLA"},{"id":"3"}]}]}`)},
			`{"filament":{"units":[{"slots":[{"present":false},{"present":true},{"present":true},{"present":false}]}]}}`,
		},
		{
			"bits of an HT and of the A2L",
			[]string{delta(`"ams":{"ams":[{"id":"129","tray":[{"id":"0"}]},{"id":"16","tray":[{"id":"0"},{"id":"3"}]}],"tray_exist_bits":"8020000"}`)},
			`{"filament":{"units":[{"id":16,"kind":"ams_lite","slots":[{"present":false},{"present":true}]},{"id":129,"kind":"ams_ht","slots":[{"present":true}]}]}}`,
		},
		{
			"external spools merge by id",
			[]string{
				delta(`"vir_slot":[{"id":"254","tray_type":"PLA"},{"id":"255","tray_type":"TPU"}]`), delta(`"vir_slot":[{"id":"255","tray_color":"FFFFFF"}]`),
			},
			`{"filament":{"external":[{"id":254,"type":"PLA"},{"id":255,"type":"TPU","color":"FFFFFFFF"}]}}`,
		},
		{
			"vir_slot over vt_tray",
			[]string{delta(`"vt_tray":{"id":"254","tray_type":"PLA"},"vir_slot":[{"id":"255","tray_type":"TPU"}]`)},
			`{"filament":{"external":[{"id":255,"type":"TPU"}]}}`,
		},
		{
			"other arrays are replaced",
			[]string{
				delta(`"hms":[{"attr":1,"code":2},{"attr":3,"code":4}],"s_obj":[1,2],"lights_report":[{"node":"a","mode":"on"},{"node":"b","mode":"on"}]`),
				delta(`"hms":[{"attr":3,"code":4}],"s_obj":[2],"lights_report":[{"node":"b","mode":"OFF"}]`),
			},
			`{"faults":{"hms":[{"attr":3,"code":4}]},"job":{"skipped":[2]},"lights":[{"node":"b","mode":"OFF"}]}`,
		},
		{
			"cleared lists",
			[]string{delta(`"hms":[{"attr":1,"code":2}],"s_obj":[1]`), delta(`"hms":[],"s_obj":[]`)},
			`{"faults":{"hms":null},"job":{"skipped":null}}`,
		},
		{
			"a result is never merged",
			[]string{base, `{"print":{"command":"push_status","gcode_state":"FAILED","result":"success"}}`, `{"print":{"gcode_state":"FAILED","result":""}}`},
			`{"job":{"gcode_state":"RUNNING"}}`,
		},
		{
			"neither is another command",
			[]string{base, `{"print":{"command":"project_file","subtask_name":"next","plate_idx":2}}`},
			`{"job":{"name":"","plate":null}}`,
		},
		{
			"other sections",
			[]string{base, `{"mc_print":{"command":"push_info","param":"x","gcode_state":"IDLE"},"event":{"gcode_state":"IDLE"},"print":7,"what":[1]}`},
			`{"job":{"gcode_state":"RUNNING"}}`,
		},
		{
			"fragments of two sections",
			[]string{`{"print":{"gcode_state":"IDLE"},"info":{"command":"get_version","module":[{"name":"ota","sn":"22E1"}]}}`},
			`{"job":{"gcode_state":"IDLE"},"machine":{"serial":"22E1"}}`,
		},
		{"the last of a repeated key", []string{`{"print":{"mc_percent":1,"mc_percent":2}}`}, `{"job":{"progress":2}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s State
			apply(t, &s, tt.frames...)
			expect(t, s.Status(), tt.want)
		})
	}
}

// TestActive covers who feeds the extruder.
func TestActive(t *testing.T) {
	two := `"device":{"extruder":{"state":274,"info":[{"id":0,"snow":%R},{"id":1,"snow":%L}]}}`
	dual := func(r, l string) string {
		return delta(strings.NewReplacer("%R", r, "%L", l).Replace(two))
	}
	units := func(ids ...string) string {
		return delta(`"ams":{"ams":[{"id":"` + strings.Join(ids, `"},{"id":"`) + `"}]}`)
	}
	tests := []struct {
		name   string
		frames []string
		want   string
	}{
		{"never told", []string{units("0")}, `null`},
		{"nothing", []string{delta(`"ams":{"tray_now":"255"}`)}, `[{"extruder":0,"unit":-1,"slot":-1}]`},
		{"external, old", []string{delta(`"ams":{"tray_now":"254"},"vt_tray":{"id":"254"}`)}, `[{"unit":254,"slot":0}]`},
		{"external, listed as 255", []string{delta(`"ams":{"tray_now":"254"},"vir_slot":[{"id":"255"}]`)}, `[{"unit":255,"slot":0}]`},
		{"counted over all units", []string{units("0", "1"), delta(`"ams":{"tray_now":"6"}`)}, `[{"unit":1,"slot":2}]`},
		{"an HT", []string{units("0", "128"), delta(`"ams":{"tray_now":"128"}`)}, `[{"unit":128,"slot":0}]`},
		{"local slot of the only unit", []string{units("16"), delta(`"ams":{"tray_now":"3"}`)}, `[{"unit":16,"slot":3}]`},
		{"local slot, told by the mapping", []string{units("0", "1"), delta(`"ams":{"tray_now":"2"},"mapping":[65535,258]`)}, `[{"unit":1,"slot":2}]`},
		{"mapping that fits twice", []string{units("0", "1"), delta(`"ams":{"tray_now":"2"},"mapping":[2,258]`)}, `[{"unit":0,"slot":2}]`},
		{"no sense", []string{delta(`"ams":{"tray_now":"77"}`)}, `null`},
		{"snow over the local slot", []string{units("0", "2"), delta(`"ams":{"tray_now":"1"},"device":{"extruder":{"state":1,"info":[{"id":0,"snow":513}]}}`)}, `[{"unit":2,"slot":1}]`},
		{"a later tray_now of the same slot", []string{units("0", "2"), delta(`"device":{"extruder":{"state":1,"info":[{"id":0,"snow":513}]}}`), delta(`"ams":{"tray_now":"1"}`)}, `[{"unit":2,"slot":1}]`},
		{"a later tray_now says unloaded", []string{delta(`"device":{"extruder":{"state":1,"info":[{"id":0,"snow":513}]}}`), delta(`"ams":{"tray_now":"255"}`)}, `[{"unit":-1,"slot":-1}]`},
		{"a later tray_now that cannot be told", []string{units("0", "2"), delta(`"device":{"extruder":{"state":1,"info":[{"id":0,"snow":513}]}}`), delta(`"ams":{"tray_now":"3"}`)}, `[{"unit":2,"slot":1}]`},
		{"snow after tray_now", []string{delta(`"ams":{"tray_now":"255"}`), delta(`"device":{"extruder":{"state":1,"info":[{"id":0,"snow":3}]}}`)}, `[{"unit":0,"slot":3}]`},
		{"two, one empty", []string{dual("259", "65279")}, `[{"extruder":0,"unit":1,"slot":3},{"extruder":1,"unit":-1,"slot":-1}]`},
		{"two external", []string{dual("65280", "65024"), delta(`"vir_slot":[{"id":"254"},{"id":"255"}]`)}, `[{"extruder":0,"unit":255,"slot":0},{"extruder":1,"unit":254,"slot":0}]`},
		{"two, HT on the left", []string{dual("65535", "32768")}, `[{"extruder":0,"unit":-1},{"extruder":1,"unit":128,"slot":0}]`},
		{"two do not listen to tray_now", []string{dual("259", "65279"), delta(`"ams":{"tray_now":"255"}`)}, `[{"unit":1,"slot":3},{"unit":-1}]`},
		{"X1 with 255", []string{delta(`"device":{"extruder":{"state":1,"info":[{"id":0,"snow":255}]}}`)}, `[{"unit":-1,"slot":-1}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s State
			apply(t, &s, tt.frames...)
			expect(t, s.Status(), `{"filament":{"active":`+tt.want+`}}`)
		})
	}
}

func TestApplied(t *testing.T) {
	tests := []struct {
		payload string
		want    Applied
	}{
		{base, Applied{Kind: KindStatus, Full: true, Changed: true}},
		{delta(`"wifi_signal":"-50dBm"`), Applied{Kind: KindStatus, Changed: true}},
		{delta(`"mc_print_sub_stage":2`), Applied{Kind: KindStatus}},
		{`{"print":{"home_flag":-1}}`, Applied{Kind: KindStatus, Changed: true}},
		{`{"mc_print":{"command":"push_info"}}`, Applied{}},
		{`{}`, Applied{}},
		{
			`{"print":{"sequence_id":7,"result":"FAIL","reason":"busy","errno":-2}}`,
			Applied{Kind: KindAck, Acks: []Ack{{Section: "print", SequenceID: "7", Result: Failed, Reason: "busy", ErrCode: -2}}},
		},
		{
			`{"camera":{"command":"ipcam_timelapse","sequence_id":"9","result":1}}`,
			Applied{Kind: KindAck, Acks: []Ack{{Section: "camera", Command: "ipcam_timelapse", SequenceID: "9", Result: Failed}}},
		},
		{
			`{"info":{"command":"get_version","sequence_id":"3","module":[{"name":"ota","sw_ver":"1"}]}}`,
			Applied{Kind: KindVersion, Changed: true, Acks: []Ack{{Section: "info", Command: "get_version", SequenceID: "3"}}},
		},
		{`{"system":{"led":"on"}}`, Applied{}},
		{
			`{"xcam":{"command":"xcam_control_set","sequence_id":"4"},"print":{"mc_percent":3}}`,
			Applied{Kind: KindStatus, Changed: true, Acks: []Ack{{Section: "xcam", Command: "xcam_control_set", SequenceID: "4"}}},
		},
		{"\x00 {\"print\":{\"mc_percent\":4}} \n\x00\x00", Applied{Kind: KindStatus, Changed: true}},
	}
	for _, tt := range tests {
		var s State
		if got := apply(t, &s, tt.payload); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%.80s:\n got %+v\nwant %+v", tt.payload, got, tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name, payload string
		want          error
	}{
		{"empty", "", ErrNotJSON},
		{"only NUL", "\x00\x00", ErrNotJSON},
		{"array", `[1]`, ErrNotJSON},
		{"text", `hello`, ErrNotJSON},
		{"cut", `{"print":{"mc_percent":4`, ErrNotJSON},
		{"open string", `{"print":"`, ErrNotJSON},
		{"ends in an escape", `{"print":"\`, ErrNotJSON},
		{"two", `{} {}`, ErrNotJSON},
		{"no JSON by dropping space", `{"print":{"mc_percent":1 2}}`, ErrNotJSON},
		{"nor in a word", "{\"print\":tr\nue}", ErrNotJSON},
		{"large", `{"a":"` + strings.Repeat("x", MaxPayload) + `"}`, ErrTooLarge},
		{"deep", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), ErrTooDeep},
		{"deep and never closed", strings.Repeat(`{"a":[`, MaxPayload/8), ErrTooDeep},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s State
			apply(t, &s, base)
			before := s.Status()
			if _, err := s.Apply([]byte(tt.payload)); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if p := s.Status().Since(before); !p.Empty() {
				t.Errorf("changed the status: %+v", p)
			}
		})
	}
	var s State
	apply(t, &s, strings.Repeat(`{"a":`, 64)+`"}}{{["`+strings.Repeat("}", 64)) // brackets in strings do not count
}

// TestPublishedNeverChange: whoever holds a status may read it for ever.
func TestPublishedNeverChange(t *testing.T) {
	frames := []string{
		fixture(t, "h2d-full.json"), fixture(t, "x1c-full.json"), base,
		delta(`"ams":{"ams":[{"id":"0","humidity":"1","tray":[{"id":"0","tray_type":"ABS","tray_color":"123456","cols":["111111","222222"]}]}]}`),
		delta(`"ams":{"ams":[{"id":"0","tray":[{"id":"0","cols":["333333","444444","555555"]},{"id":"1"}]}],"tray_exist_bits":"1"}`),
		delta(`"hms":[{"attr":1,"code":2},{"attr":3,"code":4}],"s_obj":[1,2,3],"lights_report":[{"node":"a","mode":"on"},{"node":"b","mode":"on"}]`),
		delta(`"hms":[{"attr":9,"code":9}],"s_obj":[9],"lights_report":[{"node":"z","mode":"off"}]`),
		delta(`"vir_slot":[{"id":"255","tray_type":"TPU"}],"device":{"nozzle":{"info":[{"id":0,"diameter":0.8,"type":"HH01"}]},"extruder":{"state":2,"info":[{"id":1,"snow":1,"temp":99}]}}`),
		fixture(t, "a1-full.json"), fixture(t, "p2s-full.json"),
	}
	type published struct {
		status Status
		text   string
	}
	var s State
	var all []published
	for _, f := range frames {
		apply(t, &s, f)
		all = append(all, published{s.Status(), encode(t, s.Status())})
	}
	for i, p := range all {
		if now := encode(t, p.status); now != p.text {
			t.Errorf("the status after frame %d changed later:\n was %s\n now %s", i, p.text, now)
		}
	}
}
