package simprinter

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// Answers have the form of the model: A and P give back what they were sent.
func TestAnswers(t *testing.T) {
	answer := func(e *ear, payload, seq string) map[string]any {
		e.send(payload)
		frame := e.until(5*time.Second, "answer", func(f []byte) bool { return strings.Contains(string(f), seq) })
		return report(t, frame)
	}
	gcode := `{"print":{"sequence_id":"20777","command":"gcode_line","param":"M140 S45"}}`

	a1 := answer(listen(t, one(t, "A1", Options{}), overTCP), gcode, `"20777"`)
	if a1["command"] != "gcode_line" || a1["param"] != "M140 S45" || a1["result"] != "success" || a1["reason"] != "success" || a1["err_code"] != nil {
		t.Errorf("A1 %v", a1)
	}
	mini := answer(listen(t, one(t, "A1MINI", Options{}), overTCP), gcode, `"20777"`)
	if _, has := mini["command"]; has || mini["param"] != "M140 S45" {
		t.Errorf("A1 mini %v", mini)
	}
	p2s := answer(listen(t, one(t, "P2S", Options{}), overTCP), gcode, `"20777"`)
	if p2s["result"] != "SUCCESS" || p2s["reason"] != "SUCCESS" || p2s["is_from_mqtt"] != true || p2s["param"] != "M140 S45" || p2s["err_code"] != 0.0 {
		t.Errorf("P2S %v", p2s)
	}
	start := answer(listen(t, one(t, "P2S", Options{}), overTCP), `{"print":{"sequence_id":"20778","command":"project_file","param":"Metadata/plate_1.gcode","subtask_name":"part","md5":""}}`, `"20778"`)
	if _, has := start["md5"]; has || start["subtask_name"] != "part" || start["result"] != "SUCCESS" {
		t.Errorf("P2S start %v", start)
	}
}

// Each command does what it says.
func TestCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{}, "P1S", "H2D")
		for _, p := range farm.Printers() {
			e := listen(t, p, dial)
			e.pushAll()
			for _, c := range []struct {
				section, command, more string
				result                 bambu.Result
				effect                 func(bambu.Status) bool
			}{
				{"print", "print_speed", `,"param":"3"`, bambu.OK, func(s bambu.Status) bool {
					return s.Job.SpeedLevel.Value == 3 && s.Job.SpeedPercent.Value == 124
				}},
				{"print", "print_speed", `,"param":"9"`, bambu.Failed, nil},
				{"print", "gcode_line", `,"param":"M104 S200\nM140 S55\nM106 P2 S255\n"`, bambu.OK, func(s bambu.Status) bool {
					return s.Temps.NozzleTarget.Value == 200 && s.Temps.BedTarget.Value == 55 && s.Fans.Aux.Value == 100
				}},
				{"print", "gcode_line", `,"param":"M106 P1 S0"`, bambu.OK, func(s bambu.Status) bool { return s.Temps.Bed.Value > 50 }},
				{"system", "ledctrl", `,"led_node":"chamber_light","led_mode":"on"`, bambu.OK, func(s bambu.Status) bool {
					return len(s.Lights) > 0 && s.Lights[0] == bambu.Light{Node: "chamber_light", Mode: "on"}
				}},
				{"system", "ledctrl", `,"led_node":"disco","led_mode":"on"`, bambu.Failed, nil},
				{"print", "resume", "", bambu.Failed, nil},
				{"print", "stop", "", bambu.Failed, nil},
				{"print", "clean_print_error", "", bambu.OK, nil},
				{"print", "project_file", `,"param":"nonsense"`, bambu.Failed, nil},
				{"print", "brew_coffee", "", bambu.Failed, nil},
			} {
				if a := e.ask(c.section, c.command, c.more); a.Result != c.result {
					t.Errorf("%s: %s%s: %+v", p.model.Code, c.command, c.more, a)
				}
				if c.effect != nil {
					e.untilStatus(2*time.Minute, "effect of "+c.command, c.effect)
				}
			}
		}
	})
}

// What a client sends badly does no harm.
func TestBadRequests(t *testing.T) {
	p := one(t, "A1", Options{})
	e := listen(t, p, overTCP)
	for _, bad := range []string{"", "\x00", "{", "[]", `{"print":null}`, `{"print":[1]}`, `{"print":{}}`, `{"print":{"command":7,"sequence_id":8}}`, strings.Repeat("[", 1000)} {
		e.send(bad)
	}
	e.send("{\"info\":{\"sequence_id\":\"20002\",\"command\":\"get_version\"}}\x00") // as a slicer on Linux
	e.until(5*time.Second, "version", func([]byte) bool { return e.last.Kind == bambu.KindVersion })
}

// With RealLimits an A1 serves two clients and a full report in five minutes.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for model, sessions := range map[string]int{"A1": 2, "P1S": 4, "X1C": 4} {
			farm, dial := virtual(t, Options{RealLimits: true}, model)
			p := farm.Printers()[0]
			var ears []*ear
			for range sessions {
				ears = append(ears, listen(t, p, dial))
			}
			if _, _, err := login(t, p, dial, p.Spec().AccessCode); err == nil {
				t.Errorf("%s: %d clients", model, sessions+1)
			}
			ears[1].client.Disconnect(0)
			synctest.Wait()
			ears[1] = listen(t, p, dial)
			if model == "X1C" {
				continue
			}
			full := func(wait time.Duration) int {
				e := ears[0]
				e.send(string(bambu.PushAll("20001")))
				count := 0
				for end := time.Now().Add(wait); time.Now().Before(end); {
					if e.take(time.Until(end)) != nil && e.last.Full {
						count++
					}
				}
				return count
			}
			if n := full(time.Minute); n != 1 {
				t.Errorf("%s: first: %d full reports", model, n)
			}
			if n := full(4*time.Minute + 30*time.Second); n != 0 {
				t.Errorf("%s: too early: %d full reports", model, n)
			}
			if n := full(time.Minute); n != 1 {
				t.Errorf("%s: in time: %d full reports", model, n)
			}
		}
	})
}

// The printers of a farm are told as the hub wants to register them.
func TestInventory(t *testing.T) {
	farm := live(t, specs(t, 3, "A1", "X1C"), Options{})
	b, err := json.Marshal(farm.Inventory())
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 || list[1]["model"] != "X1C" || list[2]["model"] != "A1" {
		t.Fatalf("%s", b)
	}
	ports := map[any]bool{}
	for _, e := range list {
		for _, key := range []string{"name", "model", "serial_number", "access_code", "ip_address", "mqtt_port", "ftps_port", "camera_port"} {
			if e[key] == nil || e[key] == "" || e[key] == 0.0 {
				t.Errorf("%s of %v", key, e)
			}
		}
		if m, ok := bambu.ModelOfSerial(e["serial_number"].(string)); !ok || m.Code != e["model"] || len(e["serial_number"].(string)) != 15 || len(e["access_code"].(string)) != 8 {
			t.Errorf("%v", e)
		}
		ports[e["mqtt_port"]] = true
	}
	if len(ports) != 3 {
		t.Errorf("ports %v", ports)
	}
}

func TestSpecs(t *testing.T) {
	all, err := Specs(500, nil, "127.0.0.1", 20000)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, s := range all {
		if s.MQTTPort != 20000+i || seen[s.Serial] {
			t.Fatalf("%+v", s)
		}
		seen[s.Serial] = true
	}
	if _, err := Specs(1, []string{"Z9"}, "127.0.0.1", 0); err == nil {
		t.Error("a model that does not exist")
	}
	if _, err := Specs(100, nil, "127.0.0.1", 65500); err == nil {
		t.Error("ports beyond the last")
	}
	if _, err := NewFarm([]Spec{{Serial: "x", Model: "Z9"}}, Options{}); err == nil {
		t.Error("a model that does not exist")
	}
}
