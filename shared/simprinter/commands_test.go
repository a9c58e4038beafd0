package simprinter

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// families is a model of each kind of firmware.
var families = []string{"A1MINI", "A1", "A2L", "P1S", "X1C", "P2S", "H2S", "H2D", "X2D"}

// eachModel runs a test with a printer of each model, each in its own bubble.
func eachModel(t *testing.T, models []string, check func(t *testing.T, p *Printer, e *ear)) {
	t.Helper()
	eachFast(t, 1, models, check)
}

// eachFast does so in faster time.
func eachFast(t *testing.T, speed float64, models []string, check func(t *testing.T, p *Printer, e *ear)) {
	t.Helper()
	for _, model := range models {
		t.Run(model, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				farm, dial := virtual(t, Options{Speed: speed}, model)
				p := farm.Printers()[0]
				e := listen(t, p, dial)
				e.state.AssumeModel(model)
				e.pushAll()
				check(t, p, e)
			})
		})
	}
}

// reply sends a request and gives the answer as it came.
func (e *ear) reply(section, command, more string) map[string]any {
	e.t.Helper()
	seq := fmt.Sprint(20000 + clientNumber.Add(1))
	e.send(fmt.Sprintf(`{%q:{"sequence_id":%q,"command":%q%s}}`, section, seq, command, more))
	var out map[string]any
	e.until(20*time.Second, "answer to "+command, func(f []byte) bool {
		var frame map[string]map[string]any
		if json.Unmarshal(f, &frame) != nil || frame[section]["sequence_id"] != seq {
			return false
		}
		out = frame[section]
		return true
	})
	return out
}

// refused asks for what must not be possible.
func (e *ear) refused(section, command, more string) bambu.Ack {
	e.t.Helper()
	a := e.ask(section, command, more)
	if a.Result != bambu.Failed {
		e.t.Errorf("%s: %s%s was not refused: %+v", e.p.model.Code, command, more, a)
	}
	return a
}

// accepted asks for what must be possible.
func (e *ear) accepted(section, command, more string) {
	e.t.Helper()
	if a := e.ask(section, command, more); a.Result != bambu.OK {
		e.t.Errorf("%s: %s%s: %+v", e.p.model.Code, command, more, a)
	}
}

// print begins a print of an hour and waits for its layers.
func (e *ear) print() {
	e.t.Helper()
	if err := e.p.Start(PrintJob{Name: "part", Minutes: 60}); err != nil {
		e.t.Fatal(err)
	}
	e.untilStatus(10*time.Minute, "layers", func(s bambu.Status) bool { return s.Job.Layer.Value > 1 })
}

// raw gives a key of a full report.
func (e *ear) raw(key string) any {
	e.t.Helper()
	return report(e.t, e.pushAll())[key]
}

// Every answer repeats the request on A and P machines, and is short on the others;
// one that says no result is of a setting.
func TestAnswerForms(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		full := p.model.Reports == bambu.StyleFull
		a := e.reply("print", "pause", `,"param":"x","extra":1`)
		if _, echo := a["extra"]; echo == full || a["result"] != "fail" || a["command"] != "pause" || full && a["is_from_mqtt"] != true {
			t.Errorf("pause: %v", a)
		}
		a = e.reply("print", "clean_print_error", `,"extra":1`)
		if want := map[bool]string{true: "SUCCESS", false: "success"}[full]; a["result"] != want || a["reason"] != want {
			t.Errorf("clean: %v", a)
		}
		a = e.reply("print", "ams_user_setting", `,"ams_id":-1,"startup_read_option":true,"tray_read_option":false,"calibrate_remain_flag":true`)
		if _, has := a["result"]; has || a["tray_read_option"] != false {
			t.Errorf("setting: %v", a)
		}
		ams, _ := e.raw("ams").(map[string]any)
		if ams["power_on_flag"] != true || ams["insert_flag"] != false || ams["calibrate_remain_flag"] != true {
			t.Errorf("ams %v", ams)
		}
		a = e.reply("camera", "ipcam_record_set", `,"control":"enable"`)
		if a["result"] != 0.0 || a["control"] != "enable" {
			t.Errorf("camera: %v", a)
		}
		if a = e.reply("camera", "ipcam_record_set", `,"control":"perhaps"`); a["result"] != -1.0 {
			t.Errorf("camera: %v", a)
		}
	})
}

// No command, however wrong its fields are, does more than be refused.
func TestWrongFields(t *testing.T) {
	eachModel(t, []string{"A1", "X2D"}, func(t *testing.T, p *Printer, e *ear) {
		for name := range handlers {
			if name == "system.reboot" {
				continue
			}
			section, command, _ := cut(name)
			for _, fields := range []string{
				``, `,"param":7,"ams_id":"x","slot_id":-3,"target":1e300,"obj_list":7,"err":null,"option":-1,"temp":"hot","cali_idx":1e9,"filaments":[7]`,
				`,"param":[],"ams_id":255,"slot_id":1e99,"tray_id":-1,"extruder_index":99,"axis":7,"dir":0,"mode":-4,"led_mode":{},"module_name":"","target":[]`,
				`,"ams_mapping":{"a":1},"obj_list":[{}],"err":"-1","k_value":1e99,"tar_temp":-5,"target":254`,
			} {
				e.send(fmt.Sprintf(`{%q:{"sequence_id":"20001","command":%q%s}}`, section, command, fields))
			}
			time.Sleep(20 * time.Second)
		}
		time.Sleep(5 * time.Minute) // what they began is over
		e.pushAll()
		if s := e.status(); s.Temps.BedTarget.Value != 0 || s.Job.Name != "" && s.Job.Name != "auto_cali" {
			t.Errorf("%+v %+v", s.Temps, s.Job)
		}
		if len(p.farm.Ledger()) != 0 {
			t.Errorf("%+v", p.farm.Ledger())
		}
	})
}

func cut(name string) (section, command string, ok bool) {
	for i := range name {
		if name[i] == '.' {
			return name[:i], name[i+1:], true
		}
	}
	return "", "", false
}
