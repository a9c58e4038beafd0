package simprinter

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"bambuddy/shared/bambu"
)

// Lamps are those of the model; some more are taken without effect.
func TestLamps(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		lamp := func(node, mode string) string { return `,"led_node":"` + node + `","led_mode":"` + mode + `"` }
		for _, mode := range []string{"on", "flashing", "off"} {
			e.accepted("system", "ledctrl", lamp("chamber_light", mode))
			e.untilStatus(5*time.Second, mode, func(s bambu.Status) bool {
				return slices.Contains(s.Lights, bambu.Light{Node: "chamber_light", Mode: mode})
			})
		}
		e.refused("system", "ledctrl", lamp("chamber_light", "purple"))
		e.accepted("system", "ledctrl", lamp("work_light", "on"))
		for _, node := range []string{"chamber_light2", "heatbed_light"} {
			if p.model.Code[:2] == "H2" {
				e.accepted("system", "ledctrl", lamp(node, "on"))
				continue
			}
			if a := e.refused("system", "ledctrl", lamp(node, "on")); a.Reason != "did not find the valid led: "+node {
				t.Errorf("%+v", a)
			}
		}
	})
}

// Switches show in the bits of the model's firmware.
func TestOptions(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		flagSet := func(n uint) bool { f, _ := e.raw("home_flag").(float64); return uint32(int64(f))>>n&1 == 1 }
		cfgSet := func(n uint) bool {
			word, _ := e.raw("cfg").(string)
			bits, err := strconv.ParseUint(word, 16, 64)
			return err == nil && bits>>n&1 == 1
		}
		_, hasCfg := e.raw("cfg").(string)
		for _, c := range []struct {
			more      string
			home, cfg uint
			want      bool
		}{
			{`,"auto_recovery":true,"option":1`, 4, 16, true},
			{`,"auto_switch_filament":false`, 10, 18, false},
			{`,"auto_switch_filament":true`, 10, 18, true},
			{`,"sound_enable":true`, 17, 22, true},
			{`,"filament_tangle_detect":true`, 20, 23, true},
			{`,"nozzle_blob_detect":false`, 24, 24, false},
			{`,"nozzle_blob_detect_v2":2`, 24, 24, true},
		} {
			e.accepted("print", "print_option", c.more)
			if got := flagSet(c.home); got != c.want {
				t.Errorf("%s: home_flag %v", c.more, got)
			}
			if hasCfg && cfgSet(c.cfg) != c.want {
				t.Errorf("%s: cfg", c.more)
			}
		}
		e.refused("print", "print_option", `,"brew_coffee":true`)
		e.reply("camera", "ipcam_timelapse", `,"control":"enable"`)
		e.reply("camera", "ipcam_record_set", `,"control":"enable"`)
		e.reply("camera", "ipcam_resolution_set", `,"resolution":"720p"`)
		if cam, _ := e.raw("ipcam").(map[string]any); cam["timelapse"] != "enable" || cam["ipcam_record"] != "enable" || cam["resolution"] != "720p" || !flagSet(5) {
			t.Errorf("%v", cam)
		}
		if hasCfg && (!cfgSet(3) || cfgSet(4) || !cfgSet(5)) {
			t.Error("cfg of the camera")
		}
		if a := e.reply("camera", "ipcam_get_media_info", `,"sub_command":"is_timelapse_storage_enough","storage":"internal","total_layer":50`); a["result"] != 0.0 || a["is_enough"] != true {
			t.Errorf("%v", a)
		}
		if a := e.ask("system", "set_door_stat", `,"config":2`); (a.Result == bambu.OK) != p.model.DoorSensor {
			t.Errorf("door: %+v", a)
		}
	})
}

// A machine that is told to pauses when its door opens.
func TestDoor(t *testing.T) {
	eachModel(t, []string{"X1C", "P2S", "A1"}, func(t *testing.T, p *Printer, e *ear) {
		sensor := p.model.DoorSensor
		if sensor {
			e.accepted("system", "set_door_stat", `,"config":2`)
		}
		e.print()
		if err := p.Fault(doorOpen, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		if !sensor {
			if e.pushAll(); e.status().Machine.DoorOpen.Known || e.status().Job.GcodeState != "RUNNING" {
				t.Errorf("%+v", e.status().Machine)
			}
			return
		}
		e.untilStatus(5*time.Second, "open", func(s bambu.Status) bool {
			return s.Machine.DoorOpen == bambu.Some(true) && s.Job.GcodeState == "PAUSE"
		})
		e.untilStatus(30*time.Second, "closed", func(s bambu.Status) bool { return s.Machine.DoorOpen == bambu.Some(false) })
		e.accepted("print", "resume", "")
	})
}

// Detectors are set where there are some, without a result.
func TestDetectors(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		const off = `,"module_name":"buildplate_marker_detector","control":false,"enable":false,"print_halt":true,"halt_print_sensitivity":"low"`
		if p.model.Code == "P1S" {
			e.refused("xcam", "xcam_control_set", off)
			return
		}
		if a := e.reply("xcam", "xcam_control_set", off); a["result"] != nil || a["module_name"] != "buildplate_marker_detector" {
			t.Errorf("%v", a)
		}
		if x, _ := e.raw("xcam").(map[string]any); x["buildplate_marker_detector"] != false {
			t.Errorf("%v", x)
		}
		const spaghetti = `,"module_name":"spaghetti_detector","control":true,"print_halt":true,"halt_print_sensitivity":"high"`
		if p.model.Reports != bambu.StyleFull {
			e.refused("xcam", "xcam_control_set", spaghetti)
			return
		}
		e.reply("xcam", "xcam_control_set", spaghetti)
		x, _ := e.raw("xcam").(map[string]any)
		if cfg, has := x["cfg"].(float64); has == (p.model.Code == "X1C") || has && int(cfg)>>7&7 != 7 {
			t.Errorf("%v", x)
		}
	})
}

// What nozzle it has is told to older machines, and told by the X1.
func TestNozzleData(t *testing.T) {
	eachModel(t, []string{"A1", "P1S", "X1C", "P2S", "H2D"}, func(t *testing.T, p *Printer, e *ear) {
		const steel = `,"accessory_type":"nozzle","nozzle_diameter":0.6,"nozzle_type":"hardened_steel"`
		if !p.body.tellsNozzle() {
			e.refused("system", "set_accessories", steel)
			return
		}
		e.accepted("system", "set_accessories", steel)
		e.refused("system", "set_accessories", `,"accessory_type":"nozzle","nozzle_diameter":0.5,"nozzle_type":"hardened_steel"`)
		e.untilStatus(5*time.Second, "nozzle", func(s bambu.Status) bool {
			return len(s.Machine.Nozzles) == 1 && s.Machine.Nozzles[0].Diameter.Value == 0.6 && s.Machine.Nozzles[0].Type == "hardened_steel"
		})
		if p.model.Code != "X1C" {
			e.refused("system", "get_accessories", `,"accessory_type":"none"`)
			return
		}
		if a := e.reply("system", "get_accessories", `,"accessory_type":"none"`); a["nozzle_diameter"] != 0.6 || a["nozzle_type"] != "hardened_steel" {
			t.Errorf("%v", a)
		}
	})
}

// A reboot breaks the connection without an answer; the print is lost, settings
// stay, and after a while the printer is back.
func TestReboot(t *testing.T) {
	withFault(t, "A1", plateCheck, -1, func(t *testing.T, f *Farm, p *Printer, e *ear, dial dialer) {
		e.accepted("print", "print_option", `,"sound_enable":true`)
		e.client.Publish("device/"+p.Spec().Serial+"/request", 0, false, `{"system":{"sequence_id":"1","command":"reboot"}}`)
		e.gone()
		if _, _, err := login(t, p, dial, p.Spec().AccessCode); err == nil {
			t.Error("it is back at once")
		}
		if l := f.Ledger(); l[0].Outcome != "failed" {
			t.Errorf("%+v", l)
		}
		time.Sleep(startup)
		again := listen(t, p, dial)
		if again.pushAll(); again.status().Job.GcodeState != "IDLE" || again.status().Job.Name != "" || len(p.State().Faults) != 0 {
			t.Errorf("%+v, faults %v", again.status().Job, p.State().Faults)
		}
		if flags, _ := again.raw("home_flag").(float64); int64(flags)>>17&1 != 1 || int64(flags)&7 != 0 {
			t.Errorf("home_flag %v", flags)
		}
	})
}

// An update is offered, installed with its progress, and there after a restart.
func TestUpdate(t *testing.T) {
	eachModel(t, []string{"P1S", "H2D"}, func(t *testing.T, p *Printer, e *ear) {
		const confirm = `,"src_id":1`
		e.refused("upgrade", "upgrade_confirm", confirm)
		if err := p.Fault(updateOffered, 0); err != nil {
			t.Fatal(err)
		}
		e.untilStatus(5*time.Second, "offer", func(s bambu.Status) bool { return s.Machine.UpdateAvailable == nextFirmware })
		e.accepted("upgrade", "upgrade_confirm", confirm)
		e.refused("upgrade", "upgrade_confirm", confirm)
		var words []string
		for e.take(3*time.Minute) != nil {
			p.mu.Lock()
			if s := p.body.update.status; s != "" && !slices.Contains(words, s) {
				words = append(words, s)
			}
			p.mu.Unlock()
		}
		if !slices.Equal(words, []string{"DOWNLOADING", "FLASHING"}) {
			t.Errorf("%v", words)
		}
		if p.Spec().Firmware != nextFirmware || len(p.State().Faults) != 0 {
			t.Errorf("%+v, faults %v", p.Spec(), p.State().Faults)
		}
	})
}

// A message that stops nothing.
func TestWarning(t *testing.T) {
	withFault(t, "X1C", warning, 10*time.Second, func(t *testing.T, _ *Farm, _ *Printer, e *ear, _ dialer) {
		e.untilStatus(5*time.Second, "message", func(s bambu.Status) bool {
			return slices.Contains(s.Faults.HMS, hmsWarning) && s.Job.GcodeState == "RUNNING"
		})
		e.untilStatus(20*time.Second, "no message", func(s bambu.Status) bool { return len(s.Faults.HMS) == 0 })
	})
}
