package simprinter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/bambu"
)

// active is what the extruder in use holds.
func active(s bambu.Status) bambu.Active {
	for _, a := range s.Filament.Active {
		if a.Extruder == s.Machine.ActiveExtruder.Value {
			return a
		}
	}
	return bambu.Active{Unit: -2}
}

// Filament is loaded, changed and unloaded: the nozzle heats first, then the AMS
// works, and what is in use changes last.
func TestChangeFilament(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		unit := p.body.unit()
		load := func(slot int) string {
			return fmt.Sprintf(`,"ams_id":%d,"slot_id":%d,"target":%d,"curr_temp":220,"tar_temp":220`, unit, slot, slot)
		}
		unload := fmt.Sprintf(`,"ams_id":%d,"slot_id":255,"target":255,"curr_temp":220,"tar_temp":220`, unit)
		e.refused("print", "ams_change_filament", unload) // there is nothing
		e.accepted("print", "ams_change_filament", load(1))
		if a := e.refused("print", "ams_change_filament", load(2)); !strings.Contains(a.Reason, "busy") {
			t.Errorf("%+v", a)
		}
		if a := e.ask("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"x"`); a.ErrCode != errBusy {
			t.Errorf("%+v", a)
		}
		e.accepted("print", "clean_print_error", "")
		statuses := func(slot int) (out []int) {
			e.untilStatus(5*time.Minute, "loaded", func(s bambu.Status) bool {
				note(&out, s.Filament.Status.Value)
				a := active(s)
				return s.Filament.Status.Value == 0 && a.Unit == unit && a.Slot == slot
			})
			return out
		}
		if got := statuses(1); !slices.Equal(got, []int{258, 261, 262, 263, 0}) && !slices.Equal(got, []int{0, 258, 261, 262, 263, 0}) {
			t.Errorf("load: %v", got)
		}
		if s := e.status(); s.Temps.Nozzle.Value < 200 || s.Temps.NozzleTarget.Value != 0 || s.Job.GcodeState != "IDLE" {
			t.Errorf("after loading %+v", s.Temps)
		}
		e.accepted("print", "ams_change_filament", load(2))
		if got := statuses(2); !slices.Equal(got[len(got)-7:], []int{258, 259, 260, 261, 262, 263, 0}) {
			t.Errorf("change: %v", got)
		}
		e.accepted("print", "ams_change_filament", unload)
		e.untilStatus(3*time.Minute, "unloaded", func(s bambu.Status) bool { return active(s).Unit == -1 && s.Filament.Status.Value == 0 })
		e.refused("print", "ams_change_filament", `,"ams_id":9,"slot_id":1,"target":37`)
		e.accepted("print", "ams_change_filament", `,"ams_id":255,"slot_id":254,"target":254,"curr_temp":-1,"tar_temp":-1`)
		e.untilStatus(3*time.Minute, "external", func(s bambu.Status) bool { return active(s).Unit >= 254 && s.Job.Stage.Value != stageLoading })
		e.accepted("print", "unload_filament", "")
		e.untilStatus(3*time.Minute, "unloaded", func(s bambu.Status) bool { return active(s).Unit == -1 })
	})
}

// In a print filament is changed in a pause alone, and the print goes on with its own.
func TestChangeInPrint(t *testing.T) {
	eachModel(t, []string{"A1", "X1C"}, func(t *testing.T, _ *Printer, e *ear) {
		const load = `,"ams_id":0,"slot_id":1,"target":1,"curr_temp":220,"tar_temp":220`
		e.print()
		e.refused("print", "ams_change_filament", load)
		e.accepted("print", "pause", "")
		e.accepted("print", "ams_change_filament", load)
		e.refused("print", "resume", "")
		e.untilStatus(3*time.Minute, "loaded", func(s bambu.Status) bool { return active(s).Slot == 1 && s.Filament.Status.Value == 768 })
		e.untilStatus(5*time.Second, "pause", func(s bambu.Status) bool { return s.Job.GcodeState == "PAUSE" && s.Job.Stage.Value == 16 })
		e.accepted("print", "resume", "")
		e.untilStatus(time.Minute, "own", func(s bambu.Status) bool { return active(s).Slot == 0 && s.Job.GcodeState == "RUNNING" })
	})
}

// An empty slot, or an AMS that jams, makes the change wait for a person.
func TestStuckChange(t *testing.T) {
	eachModel(t, []string{"A1", "P1S", "P2S"}, func(t *testing.T, p *Printer, e *ear) {
		module := map[bool]string{true: "1200", false: "0700"}[p.model.Code == "A1"]
		stuck := func(code string) {
			t.Helper()
			e.untilStatus(3*time.Minute, "stuck", func(s bambu.Status) bool { return bambu.ErrorCode(s.Faults.PrintError) == module+code })
		}
		const load = `,"ams_id":0,"slot_id":%d,"target":%[1]d,"tar_temp":220`
		e.accepted("print", "ams_change_filament", fmt.Sprintf(load, 3)) // there is no spool
		stuck("-8011")
		e.accepted("print", "ams_control", `,"param":"abort"`)
		e.untilStatus(10*time.Second, "given up", func(s bambu.Status) bool { return s.Faults.PrintError == 0 && s.Filament.Status.Value == 0 })
		if err := p.Fault(feedError, 0); err != nil {
			t.Fatal(err)
		}
		e.accepted("print", "ams_change_filament", fmt.Sprintf(load, 1))
		stuck("-8006")
		e.accepted("print", "ams_control", `,"param":"resume"`)
		e.untilStatus(10*time.Second, "again", func(s bambu.Status) bool { return s.Faults.PrintError == 0 })
		stuck("-8006")
		e.refused("print", "ams_control", `,"param":"dance"`)
		e.accepted("print", "ams_control", `,"param":"done"`)
		e.untilStatus(2*time.Minute, "loaded", func(s bambu.Status) bool {
			return active(s).Slot == 1 && active(s).Unit == 0 && s.Faults.PrintError == 0
		})
		e.refused("print", "ams_control", `,"param":"resume"`)
	})
}

// When filament runs out the print waits for a new spool, or goes on with its twin.
func TestRunoutAndTwin(t *testing.T) {
	eachModel(t, []string{"A1", "H2D"}, func(t *testing.T, p *Printer, e *ear) {
		e.print()
		runOut := func() {
			if err := p.Fault(runout, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		runOut()
		e.untilStatus(5*time.Second, "pause", func(s bambu.Status) bool {
			return s.Job.GcodeState == "PAUSE" && s.Faults.PrintError == errRunout && !s.Filament.Units[0].Slots[0].Present
		})
		e.accepted("print", "ams_control", `,"param":"resume"`)
		e.untilStatus(5*time.Second, "resume", func(s bambu.Status) bool {
			return s.Job.GcodeState == "RUNNING" && s.Faults.PrintError == 0 && s.Filament.Units[0].Slots[0].Present
		})
		if err := p.Fault(runout, -1); err != nil {
			t.Fatal(err)
		}
		e.accepted("print", "ams_filament_setting", `,"ams_id":0,"slot_id":2,"tray_id":2,"tray_info_idx":"GFA00","setting_id":"GFSA00","tray_color":"5E43B7FF","nozzle_temp_min":190,"nozzle_temp_max":230,"tray_type":"PLA"`)
		runOut()
		e.untilStatus(time.Minute, "change", func(s bambu.Status) bool { return s.Job.Stage.Value == stageChanging && s.Job.GcodeState == "RUNNING" })
		e.untilStatus(2*time.Minute, "twin", func(s bambu.Status) bool { return active(s).Slot == 2 && s.Job.Stage.Value == 0 })
		e.untilStatus(2*time.Hour, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FINISH" })
	})
	// Without refilling it waits although there is a twin.
	v := body(t, "A1")
	v.set.refill = false
	v.setTray(1, v.trays[0])
	v.accept(PrintJob{})
	after(v, 5*time.Minute)
	if v.ranOut(); v.state != stPause {
		t.Errorf("%s", v.state)
	}
}

// What a person says is in a slot shows, in the AMS and beside it.
func TestDescribeTray(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		unit := p.body.unit()
		fields := func(unit, slot, tray int) string {
			return fmt.Sprintf(`,"ams_id":%d,"slot_id":%d,"tray_id":%d,"tray_info_idx":"GFG99","setting_id":"GFSG99","tray_color":"ff8000ff","nozzle_temp_min":220,"nozzle_temp_max":260,"tray_type":"PETG"`, unit, slot, tray)
		}
		a := e.reply("print", "ams_filament_setting", fields(unit, 1, 1))
		if _, has := a["result"]; has == (p.model.Code == "P1S") || a["tray_type"] != "PETG" || a["tray_info_idx"] != "GFG99" {
			t.Errorf("%v", a)
		}
		right := func(s bambu.Slot) bool {
			return s.Type == "PETG" && s.Color == "FF8000FF" && s.PresetID == "GFG99" && s.NozzleMin.Value == 220 && s.NozzleMax.Value == 260
		}
		e.untilStatus(5*time.Second, "slot", func(s bambu.Status) bool { return right(s.Filament.Units[0].Slots[1]) })
		e.refused("print", "ams_filament_setting", fields(unit, 3, 3)) // nothing is there
		e.refused("print", "ams_filament_setting", fields(7, 1, 1))
		e.refused("print", "ams_filament_setting", fmt.Sprintf(`,"ams_id":%d,"slot_id":1,"tray_color":"red"`, unit))
		e.reply("print", "ams_filament_setting", fields(255, 0, 254))
		e.untilStatus(5*time.Second, "external", func(s bambu.Status) bool {
			return slices.ContainsFunc(s.Filament.External, func(s bambu.Slot) bool { return right(s) && (p.model.Nozzles < 2 || s.ID == 255) })
		})
		e.reply("print", "ams_filament_setting", fmt.Sprintf(`,"ams_id":%d,"slot_id":1,"tray_id":1,"tray_info_idx":"","tray_color":"00000000","nozzle_temp_min":0,"nozzle_temp_max":0,"tray_type":""`, unit))
		e.untilStatus(5*time.Second, "cleared", func(s bambu.Status) bool {
			slot := s.Filament.Units[0].Slots[1]
			return slot.Type == "" && slot.Present
		})
	})
}

// Reading a chip takes its time, and shows the spool that was swapped in secret.
func TestReadChip(t *testing.T) {
	eachModel(t, []string{"A1", "P1S"}, func(t *testing.T, p *Printer, e *ear) {
		if err := p.Fault(swapSpool, 0); err != nil {
			t.Fatal(err)
		}
		e.refused("print", "ams_get_rfid", `,"ams_id":0,"slot_id":3`)
		e.refused("print", "ams_get_rfid", `,"ams_id":5,"slot_id":0`)
		e.accepted("print", "ams_get_rfid", `,"ams_id":0,"slot_id":0`)
		e.refused("print", "ams_get_rfid", `,"ams_id":0,"slot_id":1`)
		e.untilStatus(5*time.Second, "reading", func(s bambu.Status) bool { return s.Filament.Status.Value == 512 })
		e.untilStatus(time.Minute, "spool", func(s bambu.Status) bool {
			return s.Filament.Units[0].Slots[0].Type == "ABS" && s.Filament.Status.Value == 0
		})
	})
}

// The AMS dries for hours, counts them down, and cools; or it is stopped.
func TestDrying(t *testing.T) {
	const dry = `,"ams_id":0,"mode":1,"filament":"PLA","temp":55,"duration":2,"humidity":0,"rotate_tray":true,"cooling_temp":20,"close_power_conflict":false`
	eachFast(t, 20, []string{"A1", "P1S", "P2S", "H2D"}, func(t *testing.T, p *Printer, e *ear) {
		if !p.body.dries() {
			if !unknownTo(e, "ams_filament_drying", dry) {
				t.Error("its AMS cannot dry")
			}
			return
		}
		words := map[string][4]string{"P2S": {"1013", "141023", "1033", "1003"}, "H2D": {"2013", "142023", "2033", "2003"}}[p.model.Code]
		doing := func() string {
			ams, _ := e.raw("ams").(map[string]any)
			unit, _ := ams["ams"].([]any)[0].(map[string]any)
			return unit["info"].(string)
		}
		for _, wrong := range []string{`,"ams_id":0,"mode":1,"temp":70,"duration":2`, `,"ams_id":0,"mode":1,"temp":55,"duration":48`, `,"ams_id":3,"mode":1,"temp":55,"duration":2`} {
			e.refused("print", "ams_filament_drying", wrong)
		}
		e.accepted("print", "ams_filament_drying", dry)
		if got := doing(); got != words[0] {
			t.Errorf("checking: %s", got)
		}
		e.refused("print", "ams_filament_drying", dry)
		e.untilStatus(5*time.Minute, "warm", func(s bambu.Status) bool {
			return s.Filament.Units[0].Temperature.Value > 54 && s.Filament.Units[0].Drying.Value < 7200
		})
		if got := doing(); got != words[1] {
			t.Errorf("drying: %s", got)
		}
		if a := e.refused("print", "ams_change_filament", `,"ams_id":0,"slot_id":0,"target":0`); a.ErrCode != -4 {
			t.Errorf("%+v", a)
		}
		e.untilStatus(10*time.Minute, "dry", func(s bambu.Status) bool { return s.Filament.Units[0].Drying.Value == 0 })
		if got := doing(); got != words[2] || e.status().Filament.Units[0].Humidity.Value > 21 {
			t.Errorf("cooling: %s, %+v", got, e.status().Filament.Units[0])
		}
		time.Sleep(time.Minute)
		e.accepted("print", "ams_filament_drying", dry)
		time.Sleep(5 * time.Second)
		e.accepted("print", "auto_stop_ams_dry", "")
		e.untilStatus(5*time.Second, "stop", func(s bambu.Status) bool { return s.Filament.Units[0].Drying.Value == 0 })
		time.Sleep(10 * time.Second)
		if got := doing(); got != words[3] {
			t.Errorf("off: %s", got)
		}
		e.print()
		e.refused("print", "ams_filament_drying", dry)
	})
}

// Pressure advance: profiles are kept, found, chosen and deleted.
func TestProfiles(t *testing.T) {
	eachModel(t, []string{"P1S", "P2S"}, func(t *testing.T, _ *Printer, e *ear) {
		const find = `,"filament_id":"GFA00","nozzle_diameter":"0.4"`
		if a := e.reply("print", "extrusion_cali_get", find); a["result"] != "fail" || a["reason"] != "Not find" {
			t.Errorf("%v", a)
		}
		e.refused("print", "extrusion_cali_sel", `,"tray_id":1,"ams_id":0,"slot_id":1,"cali_idx":0`)
		e.accepted("print", "extrusion_cali_set", `,"nozzle_diameter":"0.4","filaments":[{"tray_id":2,"filament_id":"GFA00","name":"x","k_value":"0.02","n_coef":"0.0","cali_idx":-1}]`)
		e.refused("print", "extrusion_cali_set", `,"nozzle_diameter":"0.4","filaments":[{"filament_id":"GFA00","k_value":"9"}]`)
		a := e.reply("print", "extrusion_cali_get", find)
		list, _ := a["filaments"].([]any)
		if len(list) != 1 || list[0].(map[string]any)["k_value"] != "0.020000" {
			t.Fatalf("%v", a)
		}
		e.accepted("print", "extrusion_cali_sel", `,"tray_id":1,"ams_id":0,"slot_id":1,"cali_idx":0,"filament_id":"GFA00"`)
		index := func() any {
			ams, _ := e.raw("ams").(map[string]any)
			return ams["ams"].([]any)[0].(map[string]any)["tray"].([]any)[1].(map[string]any)["cali_idx"]
		}
		if index() != 0.0 {
			t.Errorf("%v", index())
		}
		e.accepted("print", "extrusion_cali_del", `,"filament_id":"GFA00","cali_idx":0,"nozzle_diameter":"0.4"`)
		e.refused("print", "extrusion_cali_del", `,"filament_id":"GFA00","cali_idx":0,"nozzle_diameter":"0.4"`)
		if index() != -1.0 {
			t.Errorf("%v", index())
		}
	})
}

// Spools and the AMS go and come back.
func TestSpoolFaults(t *testing.T) {
	eachModel(t, []string{"A1", "A2L", "P2S"}, func(t *testing.T, p *Printer, e *ear) {
		for kind, is := range map[string]func(bambu.Filament) bool{
			spoolOut:     func(f bambu.Filament) bool { return !f.Units[0].Slots[0].Present && f.Units[0].Slots[0].Type == "" },
			spoolUnknown: func(f bambu.Filament) bool { return f.Units[0].Slots[0].Present && f.Units[0].Slots[0].Type == "" },
			amsUnplugged: func(f bambu.Filament) bool { return len(f.Units) == 0 },
		} {
			if err := p.Fault(kind, 20*time.Second); err != nil {
				t.Fatal(err)
			}
			e.untilStatus(5*time.Second, kind, func(s bambu.Status) bool { return is(s.Filament) })
			e.untilStatus(30*time.Second, "end of "+kind, func(s bambu.Status) bool {
				return len(s.Filament.Units) == 1 && s.Filament.Units[0].Slots[0].Present && s.Filament.Units[0].Slots[0].Type == "PLA"
			})
		}
	})
}
