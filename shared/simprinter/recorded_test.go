package simprinter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// allModels are those that can print.
func allModels() (codes []string) {
	for _, m := range bambu.Models() {
		if m.Nozzles > 0 {
			codes = append(codes, m.Code)
		}
	}
	return codes
}

// What is nested in whole reports, and on which models recordings have it. Models
// without a recording are in neither list.
var nestedKeys = []struct {
	paths        string
	with, absent string
}{
	{"ams.ams.tray.tray_temp ams.ams.tray.tray_time ams.ams.tray.k ams.ams.tray.n", "A1 A1MINI A2L P1P P1S", "X1C P2S H2S H2D H2DPRO X2D"},
	{"ams.ams.tray.drying_temp ams.ams.tray.drying_time", "X1C P2S H2S H2D H2DPRO X2D", "A1 A1MINI A2L P1P P1S"},
	{"ams.ams.tray.cols ams.ams.tray.ctype", "A1 A1MINI A2L P1P P1S X1C P2S H2S H2D H2DPRO X2D", ""},
	{"ams.ams.tray.state ams.ams.tray.total_len ams.ams.info ams.ams.humidity_raw ams.ams.dry_time", "A1MINI A2L X1C P2S H2S H2D H2DPRO X2D", "A1 P1P P1S"},
	{"ams.ams.chip_id ams.ams.check", "A1MINI A2L", "A1 P1P P1S X1C P2S H2S H2D H2DPRO X2D"},
	{"ams.ams.dry_setting ams.ams.dry_sf_reason", "A2L X2D", "A1 A1MINI P1P P1S X1C P2S H2S H2D H2DPRO"},
	{"ams.ams_exist_bits_raw ams.cali_id ams.cali_stat ams.unbind_ams_stat", "X1C P2S H2S H2D H2DPRO X2D", "A1 A1MINI A2L P1P P1S"},
	{"ams.cfs ams.tray_hall_out_bits", "X2D", "A1 A1MINI A2L P1P P1S X1C P2S H2S H2D H2DPRO"},
	{"vir_slot.cols vir_slot.ctype", "A2L X1C P2S H2S H2D H2DPRO X2D", "A1 A1MINI P1P P1S"},
	{"vir_slot.total_len vir_slot.drying_temp vir_slot.drying_time vir_slot.remain", "X1C P2S H2S H2D H2DPRO X2D", "A2L"},
	{"vt_tray.tray_temp vt_tray.tray_time vt_tray.k vt_tray.n", "A1 A1MINI P1P P1S", "X1C H2D"},
	{"vt_tray.cols vt_tray.ctype vt_tray.total_len vt_tray.drying_temp", "X1C H2D", "A1 A1MINI P1P P1S"},
	{"upgrade_state.idx2", "A1 A1MINI A2L P1P P1S X1C P2S H2S H2D H2DPRO X2D", ""},
	{"upgrade_state.new_ver_list upgrade_state.cur_state_code", "A1 A1MINI A2L P1P P1S", "X1C P2S H2S H2D H2DPRO X2D"},
	{
		`upgrade_state.ota_new_version_number upgrade_state.ams_new_version_number upgrade_state.ahb_new_version_number upgrade_state.ext_new_version_number
			upgrade_state.sn upgrade_state.idx upgrade_state.lower_limit`, "X1C P2S H2S H2D H2DPRO X2D", "A1 A1MINI A2L P1P P1S",
	},
	{"upgrade_state.mc_for_ams_firmware", "A1MINI", "A1 A2L P1P P1S X1C P2S H2S H2D H2DPRO X2D"},
	{
		"upload.file_size upload.finish_size upload.oss_url upload.sequence_id upload.speed upload.task_id upload.time_remaining upload.trouble_id",
		"X1C P2S H2S H2D H2DPRO X2D", "A1 A1MINI A2L P1P P1S",
	},
	{
		`ipcam.agora_service ipcam.brtc_service ipcam.bs_state ipcam.laser_preview_res ipcam.tl_store_hpd_type ipcam.tl_store_path_type
			device.fan device.cam.laser.cond device.laser.power device.bed_temp device.plate`, "X1C P2S H2S H2D H2DPRO X2D", "A1 A1MINI A2L P1P P1S",
	},
	{"ipcam.cap_pic_enable device.cam.timelapse_path device.holder device.nozzle.info.sn", "P2S X2D", "A2L X1C H2S H2D H2DPRO"},
	{"device.cham_temp maintain", "H2D", "A2L X1C P2S H2S H2DPRO X2D"},
	{"device.fire_ext", "H2S H2DPRO", "A2L X1C P2S H2D X2D"},
	{"device.ext_tool.mount_3d", "A2L P2S H2S H2DPRO X2D", "X1C H2D"},
	{"device.airduct.subMode", "P2S H2S H2DPRO X2D", "A2L X1C H2D"},
	{"device.airduct.version", "A2L P2S X2D", "X1C H2S H2D H2DPRO"},
	{"online.ext", "X1C H2D H2DPRO", "A1 A1MINI A2L P1P P1S P2S H2S X2D"},
	{"online.rfid", "A1 A1MINI A2L P1P P1S", "X1C P2S H2S H2D H2DPRO X2D"},
	{"t_utc", "X1C P2S H2S", "A1 A1MINI A2L P1P P1S H2D H2DPRO X2D"},
}

// at tells whether a report has a key, given by its path; of a list the first counts.
func at(r any, path string) bool {
	for key := range strings.SplitSeq(path, ".") {
		if list, ok := r.([]any); ok && len(list) > 0 {
			r = list[0]
		}
		object, _ := r.(map[string]any)
		next, has := object[key]
		if !has {
			return false
		}
		r = next
	}
	return true
}

// The blocks inside a report have the keys that recordings of the model have, whether
// a spool of the external holder is known or not.
func TestNestedKeys(t *testing.T) {
	eachModel(t, allModels(), func(t *testing.T, p *Printer, e *ear) {
		check := func(when string) {
			r := report(t, e.pushAll())
			for _, g := range nestedKeys {
				for path := range strings.FieldsSeq(g.paths) {
					if slices.Contains(strings.Fields(g.with), p.model.Code) && !at(r, path) {
						t.Errorf("%s: no %s", when, path)
					}
					if slices.Contains(strings.Fields(g.absent), p.model.Code) && at(r, path) {
						t.Errorf("%s: %s is there", when, path)
					}
				}
			}
		}
		check("idle")
		e.ask("print", "ams_filament_setting", `,"ams_id":255,"slot_id":0,"tray_id":254,"tray_info_idx":"GFG99","tray_color":"FFFFFFFF","nozzle_temp_min":220,"nozzle_temp_max":270,"tray_type":"PETG"`)
		check("with a spool")
	})
}

// A printer says the firmware and the parts that were recorded of its model.
func TestModules(t *testing.T) {
	const old, named = "project", "product"
	for model, want := range map[string]struct{ form, firmware, modules string }{
		"A1":     {old, "01.05.00.00", "ota:OTA esp32:AP05 mc:MC02 th:TH01 ams_f1/0:AMS_F102"},
		"A1MINI": {named, "01.07.02.00", "ota:OTA esp32:AP05 mc:MC02 th:TH03 ams_f1/0:AMS_F102=AMS Lite"},
		"A2L":    {named, "01.01.00.00", "ota:OTA ap:AP03 mc:MC04 th:TH03 smc:SMC03 ams_f1/16:AMS_F102=AMS lite"},
		"P1P":    {old, "01.07.00.00", "ota:OTA esp32:AP04 mc:MC07 th:TH09 ams/0:AMS08"},
		"P1S":    {old, "01.07.00.00", "ota:OTA esp32:AP04 mc:MC07 th:TH09 ams/0:AMS08"},
		"X1C":    {named, "01.09.00.01", "ota:N/A ams/0:AMS08=AMS (1) ahb:AHB01=AMS Hub mc:MC07 mc-sub:N/A th:TH09 ap:AP05"},
		"X1E":    {named, "01.02.00.00", "ota:N/A ams/0:AMS08=AMS (1) ahb:AHB01=AMS Hub mc:MC07 mc-sub:N/A th:TH09 ap:AP02"},
		"P2S":    {named, "01.01.00.00", "ota:N/A n3f/0:N3F05=AMS 2 Pro (1) ahb:AHB-N703=Filament Buffer - for P2 th:TH03 smc:SMC01 mc:MC06 ap:AP04"},
		"H2S":    {named, "01.01.00.00", "ota:N/A n3f/0:N3F05=AMS 2 Pro (1) ahb:AHB02 mc-sub:N/A th:TH04 smc:SMC09 mc:MC09 ap:AP05"},
		"H2D":    {named, "01.01.01.00", "ota:N/A n3f/0:N3F05=AMS 2 Pro (1) ahb:AHB02 mc:MC09 mc-sub:N/A th:TH08 ext:EXT07 smc:SMC09 ap:AP05"},
		"H2DPRO": {named, "01.01.00.00", "ota:N/A n3f/0:N3F05=AMS 2 Pro (1) ahb:AHB02 mc-sub:N/A th:TH08 ext:EXT07 smc:SMC09 mc:MC09 ap:AP01"},
		"X2D": {
			named, "01.01.00.00", "ota:N/A n3f/0:N3F05=AMS 2 Pro (1) ahb:AHB-N602=Filament Buffer - for X2 eef:EEF01=Bambu Lab External Exhaust Fan " +
				"ixmj:N/A th:TH06 smc:SMC03 mc:MC12 ap2:AP04",
		},
	} {
		t.Run(model, func(t *testing.T) {
			m, _ := bambu.ModelByCode(model)
			v := newMachine(m, 1)
			v.flash(firmwares[model])
			var got []string
			for i, one := range v.modules(m.Prefix + "00A000000001") {
				line := fmt.Sprintf("%s:%s", one["name"], one["hw_ver"])
				if product, _ := one["product_name"].(string); product != "" && i > 0 {
					line += "=" + product
				}
				got = append(got, line)
				checkModule(t, one, want.form == old)
			}
			if all := strings.Join(got, " "); all != want.modules {
				t.Errorf("modules\n%s, not\n%s", all, want.modules)
			}
			if v.firmware != want.firmware {
				t.Errorf("firmware %s", v.firmware)
			}
		})
	}
}

// checkModule: firmware names its project or its product, never both.
func checkModule(t *testing.T, one obj, old bool) {
	t.Helper()
	_, project := one["project_name"]
	product, hasProduct := one["product_name"].(string)
	visible, hasVisible := one["visible"].(bool)
	switch {
	case project != old || hasProduct == old || hasVisible == old || visible != (product != ""):
		t.Errorf("%v", one)
	case len(one["sn"].(string)) != 15 || one["sw_ver"] == "":
		t.Errorf("%v", one)
	}
}

// An A1 or P1 says which project it is until its firmware has the names of products.
func TestProjectNames(t *testing.T) {
	for _, c := range []struct{ model, firmware, project string }{
		{"A1", "01.05.00.00", "N2S"},
		{"A1MINI", "01.05.00.00", "N1"},
		{"P1P", "01.07.00.00", "C11"},
		{"P1S", "01.07.00.00", "C12"},
		{"A1", "01.07.02.00", ""},
		{"P1S", "01.08.02.00", ""},
		{"A2L", "01.01.00.00", ""},
		{"X1C", "01.05.00.00", ""},
	} {
		m, _ := bambu.ModelByCode(c.model)
		v := newMachine(m, 1)
		v.flash(c.firmware)
		ota := v.modules("x")[0]
		if got, _ := ota["project_name"].(string); got != c.project || (ota["product_name"] == nil) != (c.project != "") {
			t.Errorf("%s %s: %v", c.model, c.firmware, ota)
		}
	}
}

// The file of a print without a title has its own name.
func TestFileWithoutTitle(t *testing.T) {
	eachModel(t, []string{"A1", "A1MINI", "P1S"}, func(t *testing.T, p *Printer, e *ear) {
		if err := p.Storage().Put("/cache/cube.gcode.3mf", []byte("x")); err != nil {
			t.Fatal(err)
		}
		e.accepted("print", "project_file", `,"param":"Metadata/plate_1.gcode","file":"cube.gcode.3mf"`)
		if got := e.raw("gcode_file"); got != "cube.gcode.3mf" {
			t.Errorf("%v", got)
		}
	})
}

// A title that ends like a file is not given the ending twice.
func TestTitleWithEnding(t *testing.T) {
	eachModel(t, []string{"A1"}, func(t *testing.T, p *Printer, e *ear) {
		e.accepted("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"cube.3mf"`)
		if got := e.raw("gcode_file"); got != "cube.3mf" {
			t.Errorf("%v", got)
		}
	})
}

// A sequence id that is a number comes back with its digits.
func TestNumericSequence(t *testing.T) {
	eachModel(t, []string{"A1", "X1C"}, func(_ *testing.T, _ *Printer, e *ear) {
		for _, request := range []string{
			`{"info":{"sequence_id":2147483647,"command":"get_version"}}`, `{"system":{"sequence_id":2147483647,"command":"get_access_code"}}`,
			`{"print":{"sequence_id":2147483647,"command":"print_speed","param":"2"}}`,
		} {
			e.send(request)
			e.until(5*time.Second, "answer", func(f []byte) bool {
				return len(e.last.Acks) == 1 && e.last.Acks[0].SequenceID == "2147483647" && strings.Contains(string(f), `"2147483647"`)
			})
		}
	})
}

// info.temp has the target in its high half on the H2 alone, as an H2S was recorded.
func TestInfoTemp(t *testing.T) {
	for model, want := range map[string]int64{"X1C": 40, "X1E": 40, "P2S": 40, "X2D": 40, "H2S": 60<<16 | 40, "H2DPRO": 60<<16 | 40} {
		m, _ := bambu.ModelByCode(model)
		v := newMachine(m, 1)
		v.chamber = heater{now: 40.2, target: 60}
		info, _ := v.tree(identity{})["info"].(obj)
		if got := fmt.Sprint(info["temp"]); got != fmt.Sprint(want) {
			t.Errorf("%s: %s", model, got)
		}
	}
}

// The X1, P2, X2 and H2 families send everything once a minute, and in between what
// changed; who lays one over the other knows what the whole reports say.
func TestWholeReports(t *testing.T) {
	var models []string
	for _, code := range allModels() {
		if m, _ := bambu.ModelByCode(code); m.Reports == bambu.StyleFull {
			models = append(models, code)
		}
	}
	eachFast(t, 10, models, func(t *testing.T, p *Printer, e *ear) {
		if err := p.Start(PrintJob{Name: "part", Minutes: 60}); err != nil {
			t.Fatal(err)
		}
		whole, partial := 0, 0
		for end := time.Now().Add(5*time.Minute + time.Second); time.Now().Before(end); {
			frame := e.take(time.Until(end))
			if frame == nil {
				break
			}
			msg, said := report(t, frame)["msg"]
			if said == p.silentKind() || said && (msg == 0.0) != e.last.Full {
				t.Fatalf("msg %v, whole: %v", msg, e.last.Full)
			}
			if !e.last.Full {
				partial++
				continue
			}
			whole++
		}
		if whole < 5 || whole > 7 || partial < 200 {
			t.Errorf("%d whole, %d partial reports", whole, partial)
		}
	})
}

// What partial reports leave a client with is what a whole one says, through all that
// can happen to filament.
func TestPartialReports(t *testing.T) {
	eachModel(t, []string{"X1C", "P2S", "H2S", "H2D", "H2DPRO", "X2D"}, func(t *testing.T, p *Printer, e *ear) {
		e.print()
		for _, kind := range []string{spoolUnknown, spoolOut, doorOpen, warning, amsUnplugged} {
			for _, d := range []time.Duration{0, -1} { // begins, ends
				if err := p.Fault(kind, d); err != nil {
					t.Fatal(err)
				}
				agrees(t, p, e, fmt.Sprintf("%s %d", kind, d))
			}
		}
		e.accepted("print", "gcode_line", `,"param":"M106 P1 S128\nM140 S45"`)
		agrees(t, p, e, "gcode")
		e.ask("print", "ams_filament_setting", `,"ams_id":0,"slot_id":1,"tray_id":1,"tray_info_idx":"GFG99","tray_color":"FFFFFFFF","nozzle_temp_min":220,"nozzle_temp_max":270,"tray_type":"PETG"`)
		agrees(t, p, e, "setting")
	})
}

// agrees lets the printer report what changed, and compares.
func agrees(t *testing.T, p *Printer, e *ear, after string) {
	t.Helper()
	p.mu.Lock()
	p.whole = time.Now() // no whole report in between, which would hide what is missed
	p.mu.Unlock()
	for range 3 {
		e.take(2 * time.Second)
	}
	synctest.Wait()
	for len(e.frames) > 0 {
		e.take(time.Second)
	}
	before := fmt.Sprintf("%+v", shown(e.status()))
	p.mu.Lock()
	whole := bambu.State{}
	whole.AssumeModel(p.model.Code)
	p.report(true)
	p.mu.Unlock()
	frame := e.until(5*time.Second, "whole report", func([]byte) bool { return e.last.Full })
	if _, err := whole.Apply(frame); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%+v", shown(whole.Status())); before != want {
		t.Errorf("after %s:\n%s\nnot\n%s", after, before, want)
	}
}

// shown is a status without what only versions tell.
func shown(s bambu.Status) any {
	return []any{s.Job.GcodeState, s.Job.Stage, s.Fans, s.Lights, s.Temps.BedTarget, s.Temps.NozzleTarget, s.Filament, s.Machine.DoorOpen, s.Faults}
}

// A partial report names the slot that changed, and nothing of the others.
func TestPartialSlots(t *testing.T) {
	eachModel(t, []string{"X1C", "H2S"}, func(t *testing.T, p *Printer, e *ear) {
		if err := p.Fault(spoolOut, 0); err != nil {
			t.Fatal(err)
		}
		frame := e.until(5*time.Second, "the slot", func(f []byte) bool { return report(t, f)["ams"] != nil })
		ams := report(t, frame)["ams"].(map[string]any)
		units, _ := ams["ams"].([]any)
		if len(units) != 1 || e.last.Full {
			t.Fatalf("%v", ams)
		}
		slots, _ := units[0].(map[string]any)["tray"].([]any)
		if len(slots) != 1 || fmt.Sprint(slots[0]) != "map[id:0 state:0]" || ams["tray_now"] != nil {
			t.Errorf("%v", ams)
		}
		if u := e.status().Filament.Units[0]; u.Slots[0].Present || !u.Slots[1].Present || u.Slots[1].Type != "PLA" {
			t.Errorf("%+v", u)
		}
	})
}
