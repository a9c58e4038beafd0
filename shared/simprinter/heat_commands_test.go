package simprinter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/bambu"
)

// unknownTo tells whether a printer says it does not know a command.
func unknownTo(e *ear, command, more string) bool {
	a := e.ask("print", command, more)
	return a.Result == bambu.Failed && a.Reason == "unknown command"
}

// The commands of newer firmware: whose fun has the bits knows them, and refuses
// what the machine does not bear.
func TestHeatCommands(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		m := p.model
		if slices.Contains([]string{"A1MINI", "A1", "P1S", "X1C"}, m.Code) {
			if !unknownTo(e, "set_bed_temp", `,"temp":50`) || !unknownTo(e, "set_nozzle_temp", `,"extruder_index":0,"target_temp":200`) {
				t.Error("it knows commands its firmware has not")
			}
		} else {
			e.accepted("print", "set_bed_temp", fmt.Sprintf(`,"temp":%d`, m.BedMax))
			e.refused("print", "set_bed_temp", fmt.Sprintf(`,"temp":%d`, m.BedMax+1))
			e.accepted("print", "set_nozzle_temp", fmt.Sprintf(`,"extruder_index":0,"target_temp":%d`, m.NozzleMax))
			e.refused("print", "set_nozzle_temp", fmt.Sprintf(`,"extruder_index":0,"target_temp":%d`, m.NozzleMax+1))
			e.refused("print", "set_nozzle_temp", `,"extruder_index":7,"target_temp":100`)
			e.untilStatus(10*time.Second, "targets", func(s bambu.Status) bool {
				return s.Temps.BedTarget.Value == float64(m.BedMax) && s.Temps.NozzleTarget.Value == float64(m.NozzleMax)
			})
		}
		if !m.ChamberHeater {
			if !unknownTo(e, "set_ctt", `,"ctt_val":45`) {
				t.Error("it heats a chamber it cannot heat")
			}
			return
		}
		e.accepted("print", "set_ctt", `,"ctt_val":45,"temper_check":true`)
		e.refused("print", "set_ctt", fmt.Sprintf(`,"ctt_val":%d`, m.ChamberMax+1))
		e.untilStatus(10*time.Minute, "warm chamber", func(s bambu.Status) bool { return s.Temps.ChamberTarget.Value == 45 && s.Temps.Chamber.Value >= 44 })
	})
}

// G-code that heats names its nozzle; the others keep theirs.
func TestGcodeNozzles(t *testing.T) {
	eachModel(t, []string{"H2D", "X2D"}, func(t *testing.T, _ *Printer, e *ear) {
		e.accepted("print", "gcode_line", `,"param":"M104 S200 T0\nM104 T1 S180 ; left\n"`)
		e.untilStatus(10*time.Second, "both", func(s bambu.Status) bool {
			return s.Temps.NozzleTarget.Value == 200 && s.Temps.Nozzle2Target.Value == 180
		})
		e.accepted("print", "gcode_line", `,"param":"; M104 S0 T1\nM104 S0\nM1004 S1"`)
		e.untilStatus(10*time.Second, "one", func(s bambu.Status) bool {
			return s.Temps.NozzleTarget.Value == 0 && s.Temps.Nozzle2Target.Value == 180
		})
	})
}

// Fans, by G-code and by name, are those of the model, and stay as they are set in a print.
func TestFans(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		e.print()
		e.accepted("print", "gcode_line", `,"param":"M106 P1 S51\nM106 P2 S255\nM106 P3 S128\n"`)
		e.untilStatus(20*time.Second, "fans", func(s bambu.Status) bool {
			return s.Fans.Part.Value == 20 && (!p.model.AuxFan || s.Fans.Aux.Value == 100) && (!p.model.ChamberFan || s.Fans.Chamber.Value == 50)
		})
		time.Sleep(20 * time.Second)
		if e.pushAll(); e.status().Fans.Part.Value != 20 || e.status().Fans.Aux.Known != p.model.AuxFan {
			t.Errorf("%+v", e.status().Fans)
		}
		e.accepted("print", "gcode_line", `,"param":"M107"`)
		e.untilStatus(10*time.Second, "off", func(s bambu.Status) bool { return s.Fans.Part.Value == 0 })
		if !p.body.can(funBed) {
			return
		}
		e.accepted("print", "set_fan", `,"fan_index":1,"speed":70`)
		e.refused("print", "set_fan", `,"fan_index":1,"speed":101`)
		e.refused("print", "set_fan", `,"fan_index":5,"speed":50`)
		e.untilStatus(10*time.Second, "70 %", func(s bambu.Status) bool { return s.Fans.Part.Value == 70 })
	})
}

func TestAirduct(t *testing.T) {
	eachModel(t, []string{"A1", "A2L", "X1C", "P2S", "H2D", "X2D"}, func(t *testing.T, p *Printer, e *ear) {
		if slices.Contains([]string{"A1", "A2L", "X1C"}, p.model.Code) {
			if !unknownTo(e, "set_airduct", `,"modeId":1,"submode":-1`) {
				t.Error("it has no air duct")
			}
			return
		}
		e.accepted("print", "set_airduct", `,"modeId":1,"submode":-1`)
		e.refused("print", "set_airduct", `,"modeId":9,"submode":-1`)
		device, _ := e.raw("device").(map[string]any)
		if duct, _ := device["airduct"].(map[string]any); duct["modeCur"] != 1.0 {
			t.Errorf("%v", duct)
		}
	})
}

// Homing and moving take their time without a print, and are refused in one.
func TestMotion(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		homed := func() bool { flags, _ := e.raw("home_flag").(float64); return int64(flags)&7 == 7 }
		if homed() {
			t.Error("it is homed before it moved")
		}
		command, more := "gcode_line", `,"param":"G28\n"`
		if p.body.can(funBackToCenter) {
			command, more = "back_to_center", ""
		}
		e.accepted("print", command, more)
		e.untilStatus(5*time.Second, "homing", func(s bambu.Status) bool { return s.Job.Stage.Value == 13 && s.Job.GcodeState == "IDLE" })
		if command == "back_to_center" {
			e.refused("print", command, more)
		}
		e.untilStatus(time.Minute, "homed", func(s bambu.Status) bool { return s.Job.Stage.Value != 13 })
		if !homed() {
			t.Error("not homed")
		}
		if p.body.can(funJog) {
			e.accepted("print", "xyz_ctrl", `,"axis":"X","dir":1,"mode":1`)
			e.refused("print", "xyz_ctrl", `,"axis":"W","dir":1,"mode":1`)
			e.refused("print", "xyz_ctrl", `,"axis":"X","dir":0,"mode":1`)
			if a := e.refused("print", "set_extrusion_length", `,"extruder_index":0,"length":10`); !strings.Contains(a.Reason, "cold") {
				t.Errorf("%+v", a)
			}
			e.accepted("print", "gcode_line", `,"param":"M104 S200"`)
			e.untilStatus(2*time.Minute, "heat", func(s bambu.Status) bool { return s.Temps.Nozzle.Value > 190 })
			e.accepted("print", "set_extrusion_length", `,"extruder_index":0,"length":10`)
		}
		e.print()
		for command, more := range map[string]string{"back_to_center": "", "xyz_ctrl": `,"axis":"X","dir":1,"mode":1`, "set_extrusion_length": `,"extruder_index":0,"length":1`} {
			if a := e.refused("print", command, more); p.body.can(funJog) && !strings.Contains(a.Reason, "busy") {
				t.Errorf("%s: %+v", command, a)
			}
		}
	})
}

// The nozzle in use changes on machines with two; none is in use meanwhile.
func TestSelectExtruder(t *testing.T) {
	eachModel(t, []string{"P2S", "H2D", "X2D"}, func(t *testing.T, p *Printer, e *ear) {
		if p.model.Code == "P2S" {
			if !unknownTo(e, "select_extruder", `,"extruder_index":0`) {
				t.Error("it has one nozzle")
			}
			return
		}
		e.accepted("print", "select_extruder", `,"extruder_index":1`)
		device, _ := e.raw("device").(map[string]any)
		if ex, _ := device["extruder"].(map[string]any); ex["state"] != float64(2|0xF<<4|1<<8) {
			t.Errorf("%v", ex["state"])
		}
		e.untilStatus(20*time.Second, "left", func(s bambu.Status) bool { return s.Machine.ActiveExtruder == bambu.Some(1) })
		e.refused("print", "select_extruder", `,"extruder_index":2`)
	})
}
