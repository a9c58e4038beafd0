package simprinter

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"bambuddy/shared/bambu"
)

// fault is what t does with one printer of a model while a client listens.
func withFault(t *testing.T, model, kind string, d time.Duration, check func(t *testing.T, f *Farm, p *Printer, e *ear, dial dialer)) {
	t.Helper()
	t.Run(kind+" "+model, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{}, model)
			p := farm.Printers()[0]
			e := listen(t, p, dial)
			e.pushAll()
			if err := p.Start(PrintJob{Name: "part", Minutes: 30}); err != nil {
				t.Fatal(err)
			}
			e.untilStatus(10*time.Minute, "layers", func(s bambu.Status) bool { return s.Job.Layer.Value > 3 })
			if err := p.Fault(kind, d); err != nil {
				t.Fatal(err)
			}
			check(t, farm, p, e, dial)
		})
	})
}

func TestUnknownFault(t *testing.T) {
	p := one(t, "A1", Options{})
	err := p.Fault("coffee", time.Second)
	if err == nil {
		t.Fatal("no error")
	}
	for _, kind := range strings.Fields("power_cut network_loss silent wrong_code garbage non_utf8 oversized hostile stalled_publish puback_loss verification_on print_error runout start_ignored ack_lost slow_parse card_missing swap_spool reconnect_storm cert_change") {
		if !strings.Contains(err.Error(), kind) {
			t.Errorf("%s is not in: %v", kind, err)
		}
	}
}

func TestConnectionFaults(t *testing.T) {
	withFault(t, "P1S", powerCut, 3*time.Minute, func(t *testing.T, f *Farm, p *Printer, e *ear, dial dialer) {
		e.client.Publish("device/"+p.Spec().Serial+"/request", 0, false, `{"print":{"sequence_id":"1","command":"print_speed","param":"4"}}`)
		e.gone() // nobody answers the pings
		if _, _, err := login(t, p, dial, p.Spec().AccessCode); err == nil {
			t.Error("it answers without power")
		}
		if l := f.Ledger(); l[0].Outcome != "failed" {
			t.Errorf("ledger %+v", l)
		}
		if err := p.Start(PrintJob{}); err == nil {
			t.Error("it prints without power")
		}
		time.Sleep(3 * time.Minute)
		again := listen(t, p, dial)
		if again.pushAll(); again.status().Job.GcodeState != "IDLE" || again.status().Job.Name != "" || again.status().Job.SpeedLevel.Value != 2 {
			t.Errorf("it remembers %+v", again.status().Job)
		}
	})
	withFault(t, "X1C", networkLoss, 3*time.Minute, func(t *testing.T, f *Farm, p *Printer, e *ear, dial dialer) {
		synctest.Wait()
		for len(e.frames) > 0 {
			e.take(time.Second)
		}
		if frame := e.take(20 * time.Second); frame != nil {
			t.Error("something came through")
		}
		if _, _, err := login(t, p, dial, p.Spec().AccessCode); err == nil {
			t.Error("a login came through")
		}
		e.gone() // nobody answers the pings
		time.Sleep(3 * time.Minute)
		listen(t, p, dial).pushAll()
		if f.Ledger()[0].EndedAt != nil {
			t.Error("the print ended")
		}
	})
	withFault(t, "A1", wrongCode, time.Minute, func(t *testing.T, _ *Farm, p *Printer, e *ear, dial dialer) {
		e.gone()
		if _, _, err := login(t, p, dial, p.Spec().AccessCode); err == nil {
			t.Error("the old code is good")
		}
		time.Sleep(time.Minute + 2*time.Second)
		listen(t, p, dial).pushAll()
	})
	withFault(t, "H2D", certChange, 0, func(t *testing.T, _ *Farm, p *Printer, e *ear, dial dialer) {
		e.gone()
		again := listen(t, p, dial)
		if again.serial.Load() == e.serial.Load() {
			t.Error("the same certificate")
		}
		if len(p.State().Faults) != 0 {
			t.Errorf("it goes on: %v", p.State().Faults)
		}
	})
	withFault(t, "A1", reconnectStorm, 30*time.Second, func(t *testing.T, _ *Farm, p *Printer, e *ear, dial dialer) {
		e.gone()
		_, again, err := login(t, p, dial, p.Spec().AccessCode)
		if err == nil { // it can come in before the next second
			again.gone()
		}
		time.Sleep(32 * time.Second)
		last := listen(t, p, dial)
		for range 3 {
			if last.take(10*time.Second) == nil {
				t.Error("it is not over")
			}
		}
	})
	withFault(t, "P2S", silent, time.Minute, func(t *testing.T, _ *Farm, p *Printer, e *ear, _ dialer) {
		for e.take(time.Second) != nil {
		}
		e.send(string(bambu.PushAll("20001")))
		if e.take(30*time.Second) != nil || !e.client.IsConnectionOpen() {
			t.Error("it is not silent, or gone")
		}
		if e.take(time.Minute) == nil {
			t.Error("it is not over")
		}
		if len(p.State().Faults) != 0 {
			t.Errorf("it is not over: %v", p.State().Faults)
		}
	})
	withFault(t, "P1S", stalledPublish, 0, func(t *testing.T, _ *Farm, p *Printer, e *ear, _ dialer) {
		for e.take(3*time.Second) != nil {
		}
		if a := e.ask("print", "pause", ""); a.Result != bambu.OK || p.State().GcodeState != "PAUSE" {
			t.Errorf("%+v", a)
		}
		if err := p.Fault(stalledPublish, -1); err != nil || e.take(10*time.Second) == nil {
			t.Errorf("it is not over: %v", err)
		}
	})
}

// Frames no decoder likes, in between good ones, which still arrive.
func TestFrameFaults(t *testing.T) {
	for kind, is := range map[string]func([]byte) bool{
		garbage:   func(f []byte) bool { return f[0] == 0 },
		nonUTF8:   func(f []byte) bool { return !utf8.Valid(f) && f[0] == '{' },
		oversized: func(f []byte) bool { return len(f) > bambu.MaxPayload },
		hostile:   func(f []byte) bool { return strings.Contains(string(f), "[[[[[[[[") },
	} {
		for _, model := range []string{"A1", "X1C"} {
			withFault(t, model, kind, 20*time.Second, func(t *testing.T, _ *Farm, _ *Printer, e *ear, _ dialer) {
				before := e.status().Job.Progress.Value
				e.until(10*time.Second, kind, is)
				e.untilStatus(10*time.Minute, "progress", func(s bambu.Status) bool {
					return s.Job.Progress.Value == before+2 && s.Job.GcodeState == "RUNNING"
				})
				for len(e.frames) > 0 {
					e.take(time.Second)
				}
				time.Sleep(time.Minute)
				for len(e.frames) > 0 {
					if is(e.take(time.Second)) {
						t.Fatal("it is not over")
					}
				}
			})
		}
	}
}

func TestPrintFaults(t *testing.T) {
	for kind, want := range map[string]uint32{printError: errNozzle, runout: errRunout} {
		for _, model := range []string{"A1", "H2D"} {
			withFault(t, model, kind, time.Hour, func(t *testing.T, f *Farm, p *Printer, e *ear, _ dialer) {
				e.untilStatus(5*time.Second, "pause", func(s bambu.Status) bool {
					return s.Job.GcodeState == "PAUSE" && s.Faults.PrintError == want
				})
				if err := p.Resume(); err != nil {
					t.Fatal(err)
				}
				e.untilStatus(time.Hour, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FINISH" && s.Faults.PrintError == 0 })
				if l := f.Ledger(); l[0].Outcome != "success" {
					t.Errorf("%+v", l)
				}
			})
		}
	}
	for _, model := range []string{"P1S", "X1C"} {
		withFault(t, model, verification, time.Minute, func(t *testing.T, _ *Farm, p *Printer, e *ear, _ dialer) {
			if a := e.ask("print", "pause", ""); !a.Unverified() || p.State().GcodeState != "RUNNING" {
				t.Errorf("%+v", a)
			}
			if a := e.ask("system", "ledctrl", `,"led_node":"chamber_light","led_mode":"on"`); a.Result != bambu.OK {
				t.Errorf("%+v", a)
			}
			if e.pushAll(); model == "X1C" && e.status().Machine.SignedCommands != bambu.Some(true) {
				t.Errorf("%+v", e.status().Machine)
			}
			time.Sleep(time.Minute)
			if a := e.ask("print", "pause", ""); a.Result != bambu.OK {
				t.Errorf("it is not over: %+v", a)
			}
		})
		withFault(t, model, ackLost, time.Minute, func(t *testing.T, _ *Farm, p *Printer, e *ear, _ dialer) {
			e.send(`{"print":{"sequence_id":"20099","command":"pause"}}`)
			e.until(5*time.Second, "pause", func(frame []byte) bool {
				if len(e.last.Acks) > 0 {
					t.Errorf("answered: %s", frame)
				}
				return e.status().Job.GcodeState == "PAUSE"
			})
		})
	}
}

// begun tells whether a print left the state the printer waited in; a P2S shows no PREPARE.
func begun(s bambu.Status) bool {
	return s.Job.GcodeState == "PREPARE" || s.Job.GcodeState == "RUNNING"
}

// Faults that matter when a print is started.
func TestStartFaults(t *testing.T) {
	const start = `,"param":"Metadata/plate_1.gcode","subtask_name":"late"`
	for _, model := range []string{"A1", "P2S"} {
		for kind, check := range map[string]func(f *Farm, e *ear) error{
			startIgnored: func(f *Farm, e *ear) error {
				time.Sleep(5 * time.Minute)
				if e.pushAll(); e.status().Job.GcodeState != "IDLE" || len(f.Ledger()) > 0 {
					return fmt.Errorf("it started")
				}
				return nil
			},
			cardMissing: func(f *Farm, e *ear) error {
				e.untilStatus(10*time.Second, "error", func(s bambu.Status) bool {
					return s.Faults.PrintError == errCard && s.Machine.Storage == bambu.Some(false)
				})
				if len(f.Ledger()) > 0 {
					return fmt.Errorf("it started")
				}
				return nil
			},
			finishDwell: func(f *Farm, e *ear) error {
				before := time.Now()
				e.untilStatus(10*time.Minute, "start", begun)
				if d := time.Since(before); d < 170*time.Second || e.states[0] != "FINISH" || len(e.states) != 2 {
					return fmt.Errorf("after %s: %v", d, e.states)
				}
				return nil
			},
			slowParse: func(f *Farm, e *ear) error {
				before := time.Now()
				e.untilStatus(10*time.Minute, "start", begun)
				if d := time.Since(before); d < 110*time.Second || len(f.Ledger()) != 1 {
					return fmt.Errorf("after %s, %v", d, f.Ledger())
				}
				return nil
			},
		} {
			t.Run(kind+" "+model, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					farm, dial := virtual(t, Options{}, model)
					p := farm.Printers()[0]
					e := listen(t, p, dial)
					if kind == finishDwell {
						if err := p.Start(PrintJob{Name: "before", Minutes: 1}); err != nil {
							t.Fatal(err)
						}
						e.untilStatus(10*time.Minute, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FINISH" })
						e.states = nil
					}
					e.pushAll()
					if err := p.Fault(kind, 0); err != nil {
						t.Fatal(err)
					}
					if a := e.ask("print", "project_file", start); a.Result != bambu.OK {
						t.Fatalf("%+v", a)
					}
					if err := check(farm, e); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// A file left on the card is printed again, hours later and by itself.
func TestGhost(t *testing.T) {
	withFault(t, "P1S", powerCut, time.Minute, func(t *testing.T, f *Farm, p *Printer, _ *ear, dial dialer) {
		time.Sleep(2 * time.Minute)
		e := listen(t, p, dial)
		e.pushAll()
		if err := p.Fault(ghostReplay, 0); err != nil {
			t.Fatal(err)
		}
		e.untilStatus(time.Minute, "print", func(s bambu.Status) bool { return s.Job.GcodeState == "RUNNING" && s.Job.Name == "part" })
		l := f.Ledger()
		if len(l) != 2 || l[1].Source != "ghost" || l[1].SubtaskID == l[0].SubtaskID || l[1].SubtaskID != e.status().Job.SubtaskID {
			t.Errorf("%+v", l)
		}
		if err := p.Fault(ghostReplay, 0); err == nil {
			t.Error("a busy printer began anew")
		}
	})
	if err := one(t, "A1", Options{}).Fault(ghostReplay, 0); err == nil {
		t.Error("an empty card was printed")
	}
}

// A spool swapped behind the printer's back shows in the next full report, not before.
func TestSwapSpool(t *testing.T) {
	withFault(t, "A1", swapSpool, 0, func(t *testing.T, _ *Farm, _ *Printer, e *ear, _ dialer) {
		for range 10 {
			e.take(5 * time.Second)
		}
		if got := e.status().Filament.Units[0].Slots[0].Type; got != "PLA" {
			t.Errorf("%s too early", got)
		}
		if e.pushAll(); e.status().Filament.Units[0].Slots[0].Type != "ABS" {
			t.Errorf("%+v", e.status().Filament.Units[0].Slots[0])
		}
	})
}

// A capture is played in place of the printer's own reports, at its pace.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{Speed: 2}, "A1")
		p := farm.Printers()[0]
		e := listen(t, p, dial)
		e.pushAll()
		if err := p.Replay([]byte("nonsense")); err == nil {
			t.Error("nonsense is a capture")
		}
		capture := `{"t":0,"report":{"print":{"command":"push_status","msg":0,"gcode_state":"RUNNING","mc_percent":7}}}
{"t":20,"report":{"print":{"command":"push_status","msg":1,"mc_percent":8}}}
`
		before := time.Now()
		if err := p.Replay([]byte(capture)); err != nil {
			t.Fatal(err)
		}
		if err := p.Replay([]byte(capture)); err == nil {
			t.Error("two at once")
		}
		e.untilStatus(time.Minute, "7 %", func(s bambu.Status) bool { return s.Job.Progress.Value == 7 })
		if f := e.take(time.Minute); !strings.Contains(string(f), `"mc_percent":8`) || time.Since(before) != 10*time.Second {
			t.Errorf("after %s: %s", time.Since(before), f)
		}
		e.untilStatus(10*time.Second, "own reports", func(s bambu.Status) bool { return s.Job.GcodeState == "IDLE" && s.Job.Progress.Value == 0 })
	})
}

// The captures of the project's shelf are played when they are there.
func TestReplayShelf(t *testing.T) {
	files, err := filepath.Glob("/work/shared/protocol/captures/*-*.json*")
	if err != nil || len(files) == 0 {
		t.Skip("no captures here")
	}
	for _, name := range files {
		if strings.Contains(name, "ack-examples") || strings.Contains(name, "h2d-deltas") { // answers, and fragments without an order
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if frames, err := readCapture(b); err != nil || len(frames) == 0 {
			t.Errorf("%s: %d frames, %v", name, len(frames), err)
		}
	}
}
