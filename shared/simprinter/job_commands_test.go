package simprinter

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"bambuddy/shared/bambu"
)

// Objects are skipped only while it prints; the next print has them all.
func TestSkipObjects(t *testing.T) {
	eachModel(t, []string{"A1", "P1S", "P2S"}, func(t *testing.T, p *Printer, e *ear) {
		e.refused("print", "skip_objects", `,"obj_list":[69]`)
		e.print()
		e.refused("print", "skip_objects", `,"obj_list":[]`)
		e.refused("print", "skip_objects", `,"obj_list":["69"]`)
		e.accepted("print", "skip_objects", `,"obj_list":[69,104]`)
		e.accepted("print", "skip_objects", `,"obj_list":[69,7]`)
		e.untilStatus(10*time.Second, "skipped", func(s bambu.Status) bool { return slices.Equal(s.Job.Skipped, []int{69, 104, 7}) })
		e.accepted("print", "stop", "")
		time.Sleep(20 * time.Second)
		if err := p.Start(PrintJob{Name: "next"}); err != nil {
			t.Fatal(err)
		}
		e.untilStatus(10*time.Second, "none skipped", func(s bambu.Status) bool { return len(s.Job.Skipped) == 0 })
	})
}

// A print pauses for the wrong plate or nozzle. A plain resume meets the same check
// again; ignore, with the code in decimal, does not.
func TestChecks(t *testing.T) {
	for kind, code := range map[string]uint32{plateCheck: 83918929, nozzleMismatch: 83918908} {
		eachModel(t, []string{"A1", "P2S"}, func(t *testing.T, p *Printer, e *ear) {
			if err := p.Fault(kind, 0); err != nil {
				t.Fatal(err)
			}
			if err := p.Start(PrintJob{Name: "part", Minutes: 10}); err != nil {
				t.Fatal(err)
			}
			paused := func(s bambu.Status) bool { return s.Job.GcodeState == "PAUSE" && s.Faults.PrintError == code }
			e.untilStatus(time.Minute, "check", paused)
			e.accepted("print", "resume", "")
			e.untilStatus(5*time.Second, "resume", func(s bambu.Status) bool { return s.Job.GcodeState == "RUNNING" && s.Faults.PrintError == 0 })
			e.untilStatus(20*time.Second, "check again", paused)
			e.refused("print", "ignore", fmt.Sprintf(`,"err":"%08X","param":"reserve"`, code))
			e.refused("print", "ignore", `,"err":"12345"`)
			e.accepted("print", "ignore", fmt.Sprintf(`,"err":"%d","param":"reserve","job_id":"1"`, code))
			e.untilStatus(30*time.Minute, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FINISH" })
			if n := len(e.states); n < 5 || !slices.Equal(e.states[n-5:], []string{"PAUSE", "RUNNING", "PAUSE", "RUNNING", "FINISH"}) {
				t.Errorf("%v", e.states)
			}
		})
	}
}

// An error that is none of a check is ignored and the print goes on; clean closes
// only what it names.
func TestIgnoreAndClean(t *testing.T) {
	eachModel(t, []string{"A1", "X1C"}, func(t *testing.T, p *Printer, e *ear) {
		e.print()
		if err := p.Fault(printError, 0); err != nil {
			t.Fatal(err)
		}
		e.untilStatus(5*time.Second, "pause", func(s bambu.Status) bool { return s.Job.GcodeState == "PAUSE" && s.Faults.PrintError == errNozzle })
		e.accepted("print", "clean_print_error", `,"subtask_id":"0","print_error":1`)
		if e.pushAll(); e.status().Faults.PrintError != errNozzle {
			t.Error("another error was closed")
		}
		e.accepted("print", "ignore", fmt.Sprintf(`,"err":"%d"`, errNozzle))
		e.untilStatus(5*time.Second, "print", func(s bambu.Status) bool { return s.Job.GcodeState == "RUNNING" && s.Faults.PrintError == 0 })
		e.refused("print", "idle_ignore", fmt.Sprintf(`,"err":"%d","type":0`, errNozzle))
	})
}

// A calibration runs as a job of the printer's own, that no ledger has.
func TestCalibration(t *testing.T) {
	eachModel(t, families, func(t *testing.T, p *Printer, e *ear) {
		e.refused("print", "calibration", `,"option":0`)
		e.accepted("print", "calibration", `,"option":6`)
		e.refused("print", "calibration", `,"option":6`)
		e.refused("print", "pause", "")
		if a := e.ask("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"x"`); a.ErrCode != errBusy {
			t.Errorf("%+v", a)
		}
		var stages []int
		e.untilStatus(10*time.Minute, "end", func(s bambu.Status) bool {
			if s.Job.GcodeState == "RUNNING" {
				note(&stages, s.Job.Stage.Value)
			}
			if s.Job.GcodeState == "RUNNING" && s.Job.Kind != "system" {
				t.Errorf("print_type %q", s.Job.Kind)
			}
			return s.Job.GcodeState == "FINISH"
		})
		if !slices.Equal(stages, []int{14, 3, 1}) {
			t.Errorf("stages %v", stages)
		}
		if len(p.farm.Ledger()) != 0 {
			t.Errorf("ledger %+v", p.farm.Ledger())
		}
		e.accepted("print", "calibration", `,"option":8`)
		e.accepted("print", "stop", "")
		e.untilStatus(10*time.Second, "stop", func(s bambu.Status) bool { return s.Job.GcodeState == "FAILED" })
	})
}

// Files of the printer's own are run by the X1, not by A and P.
func TestGcodeFile(t *testing.T) {
	eachModel(t, []string{"A1MINI", "P1S", "X1C"}, func(t *testing.T, p *Printer, e *ear) {
		const cali = `,"param":"/usr/etc/print/auto_cali_for_user.gcode"`
		if p.model.Code != "X1C" {
			e.refused("print", "gcode_file", cali)
			return
		}
		e.refused("print", "gcode_file", `,"param":"/etc/passwd"`)
		e.accepted("print", "gcode_file", cali)
		e.untilStatus(10*time.Second, "stage", func(s bambu.Status) bool { return s.Job.Stage.Value == 14 })
	})
}

// A table of filaments that makes no sense is accepted, and then an error.
func TestBadMapping(t *testing.T) {
	eachModel(t, []string{"A1", "H2D"}, func(t *testing.T, p *Printer, e *ear) {
		for _, mapping := range []string{`[254]`, `[0,7]`, `[255]`, `["0"]`, `[-2]`} {
			e.accepted("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"x","use_ams":true,"ams_mapping":`+mapping)
			e.untilStatus(5*time.Second, "error", func(s bambu.Status) bool { return bambu.ErrorCode(s.Faults.PrintError) == "0700-8012" })
			e.accepted("print", "clean_print_error", "")
			e.untilStatus(5*time.Second, "no error", func(s bambu.Status) bool { return s.Faults.PrintError == 0 })
		}
		if len(p.farm.Ledger()) > 0 || e.status().Job.GcodeState != "IDLE" {
			t.Errorf("it started: %+v", e.status().Job)
		}
	})
}

// An A1 mini was seen to cancel what it printed when another start came.
func TestStartCancels(t *testing.T) {
	withFault(t, "A1MINI", startCancels, 0, func(t *testing.T, f *Farm, _ *Printer, e *ear, _ dialer) {
		if a := e.ask("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"second"`); a.Result != bambu.Failed {
			t.Errorf("%+v", a)
		}
		e.untilStatus(5*time.Second, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FAILED" && s.Faults.PrintError == errBusy })
		if l := f.Ledger(); len(l) != 1 || l[0].Outcome != "stopped" {
			t.Errorf("%+v", l)
		}
	})
}

// Answers that come late, or without the request's id.
func TestOddAnswers(t *testing.T) {
	withFault(t, "P1S", lateAck, time.Minute, func(t *testing.T, _ *Farm, _ *Printer, e *ear, _ dialer) {
		before := time.Now()
		e.send(`{"print":{"sequence_id":"20990","command":"pause"}}`)
		e.untilStatus(3*time.Second, "pause", func(s bambu.Status) bool { return s.Job.GcodeState == "PAUSE" })
		e.until(20*time.Second, "answer", func([]byte) bool { return len(e.last.Acks) == 1 && e.last.Acks[0].SequenceID == "20990" })
		if d := time.Since(before); d < 14*time.Second {
			t.Errorf("after %s", d)
		}
	})
	withFault(t, "H2D", ackNoID, time.Minute, func(t *testing.T, _ *Farm, _ *Printer, e *ear, _ dialer) {
		e.send(`{"print":{"sequence_id":"20991","command":"pause"}}`)
		e.until(5*time.Second, "answer", func([]byte) bool {
			return len(e.last.Acks) == 1 && e.last.Acks[0].Command == "pause" && e.last.Acks[0].SequenceID == "" && e.last.Acks[0].Result == bambu.OK
		})
	})
}

// Signed commands only: refused with the codes of firmware, or not answered at all.
func TestVerification(t *testing.T) {
	withFault(t, "A1", verification, 0, func(t *testing.T, _ *Farm, _ *Printer, e *ear, _ dialer) {
		for _, want := range []int64{errUnsigned, errRepeated} {
			e.send(`{"print":{"sequence_id":"20001","command":"gcode_line","param":"G28"}}`)
			e.until(5*time.Second, "answer", func([]byte) bool {
				return len(e.last.Acks) == 1 && e.last.Acks[0].Unverified() && e.last.Acks[0].ErrCode == want
			})
		}
		e.untilStatus(5*time.Second, "message", func(s bambu.Status) bool {
			return slices.Contains(s.Faults.HMS, bambu.HMS{Attr: 0x05000500, Code: 0x00010007})
		})
	})
	withFault(t, "X1C", verificationSilent, time.Minute, func(t *testing.T, _ *Farm, p *Printer, e *ear, _ dialer) {
		e.send(`{"print":{"sequence_id":"20001","command":"pause"}}`)
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
			if e.take(time.Second); len(e.last.Acks) > 0 || e.status().Job.GcodeState != "RUNNING" {
				t.Fatalf("%+v, %s", e.last, e.status().Job.GcodeState)
			}
		}
		time.Sleep(time.Minute)
		e.accepted("print", "pause", "")
	})
}
