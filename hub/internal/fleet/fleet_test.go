package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func TestStateWords(t *testing.T) {
	for gcode, want := range map[string]string{
		"IDLE": Idle, "PREPARE": Preparing, "SLICING": Preparing, "INIT": Preparing, "RUNNING": Printing, "PAUSE": Paused,
		"FINISH": Finished, "FAILED": Failed, "": Idle, "SOMETHING NEW": Idle,
	} {
		if got := stateWord(true, gcode); got != want {
			t.Errorf("%q is %q, want %q", gcode, got, want)
		}
		if got := stateWord(false, gcode); got != Offline {
			t.Errorf("%q out of contact is %q", gcode, got)
		}
	}
}

func TestFramesBecomeTheView(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		if v := r.view(1); v.Connected || !v.AgentConnected || v.State != Offline {
			t.Errorf("before the first frame: %+v", v)
		}
		r.Apply(1, online("S1", running(10)))
		before := r.view(1)
		if !before.Connected || before.State != Printing || !before.InPrint() || !r.InPrint(1) {
			t.Errorf("after the first frame: %+v", before)
		}
		job := bambu.Job{GcodeState: "PAUSE", Progress: bambu.Some(11)}
		r.Apply(1, wire.StateFrame{Serial: "S1", Fence: 5, SeenAgoMS: 1500, Patch: bambu.Patch{Job: &job}})
		v := r.view(1)
		if v.State != Paused || v.Status.Job.Progress.Value != 11 || time.Since(v.LastSeen) != 1500*time.Millisecond || v.Version <= before.Version {
			t.Errorf("after a patch: %+v", v)
		}
		if before.State != Printing {
			t.Error("a view given out was changed")
		}
		whole := bambu.Status{Job: bambu.Job{GcodeState: "IDLE"}}
		r.Apply(1, online("S1", whole))
		if v := r.view(1); v.Status.Job.Progress.Known {
			t.Errorf("a whole frame left something behind: %+v", v.Status.Job)
		}
		r.Apply(1, wire.StateFrame{Serial: "S1", Fence: 5, SeenAgoMS: -1, Connection: &wire.Connection{State: wire.Silent, Detail: "no report"}})
		if v := r.view(1); v.Connected || v.Connection.Detail != "no report" {
			t.Errorf("a silent printer: %+v", v)
		}
		r.Apply(1, online("S1", whole))
		r.Apply(1, wire.StateFrame{Serial: "S1", Fence: 5, Removed: true})
		if v := r.view(1); v.Connected {
			t.Errorf("a printer its agent has let go: %+v", v)
		}
	})
}

func TestFramesUnderAnotherAssignmentChangeNothing(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.AgentUp(2, wire.Hello{})
		old := online("S1", running(1))
		old.Fence = 4
		for range 3 {
			r.Apply(1, old)
			r.Apply(2, online("S1", running(2)))
		}
		r.Apply(1, online("UNKNOWN", running(3)))
		if v := r.view(1); v.Connected || v.Known {
			t.Errorf("applied: %+v", v)
		}
		if n := strings.Count(r.log.String(), "another assignment"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		moved := printerRow(1)
		moved.AgentID, moved.Fence = 2, 6
		r.Apply(1, online("S1", running(3)))
		r.Put(moved)
		if v := r.view(1); v.Connected || v.Status.Job.Progress.Value != 3 {
			t.Errorf("just moved: %+v", v)
		}
	})
}

func TestPresenceBecomesEvents(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		r.wantEvents("agent_online", "printer_online")
		r.AgentDown(1)
		time.Sleep(50 * time.Second)
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		time.Sleep(5 * time.Minute)
		r.wantEvents("agent_online", "printer_online") // a short absence is none
		r.AgentDown(1)
		time.Sleep(59 * time.Second)
		r.wantEvents("agent_online", "printer_online")
		time.Sleep(2 * time.Second)
		r.wantEvents("agent_online", "printer_online", "agent_offline", "printer_offline")
		time.Sleep(time.Hour)
		r.AgentUp(1, wire.Hello{})
		r.wantEvents("agent_online", "printer_online", "agent_offline", "printer_offline", "agent_online")
		e := r.store.events[3]
		if e.PrinterID != 1 || e.AgentID != 1 || e.SiteID != 1 || string(e.Data) != `{"printer_id":1,"printer_name":"printer"}` {
			t.Errorf("the event: %+v %s", e, e.Data)
		}
	})
}

func TestAfterAStartOnlyWhatWasHereIsMissed(t *testing.T) {
	store := twoPrinters()
	store.agents[0].Online = true
	store.states[1] = remembered(t, 1, true, running(40))
	store.states[2] = remembered(t, 2, false, running(50))
	inBubble(t, store, func(r *rig) {
		if v := r.view(1); !v.Known || v.Connected || v.Status.Job.Progress.Value != 40 || v.State != Offline || v.LastSeen.IsZero() {
			t.Errorf("remembered: %+v", v)
		}
		time.Sleep(119 * time.Second)
		r.wantEvents()
		time.Sleep(2 * time.Second)
		r.wantEvents("agent_offline", "printer_offline")
		time.Sleep(time.Hour)
		r.wantEvents("agent_offline", "printer_offline")
	})
	inBubble(t, store, func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		// The agent has heard nothing of the printer yet: what is remembered stays.
		r.Apply(1, wire.StateFrame{Serial: "S1", Fence: 5, Whole: true, SeenAgoMS: -1, Connection: &wire.Connection{State: wire.Connecting}, Patch: bambu.Status{}.Whole()})
		if v := r.view(1); v.Connected || v.Status.Job.Progress.Value != 40 {
			t.Errorf("overwritten by nothing: %+v", v)
		}
	})
}

func TestAnUnreadableMemoryIsSkipped(t *testing.T) {
	store := twoPrinters()
	store.states[1] = farm.PrinterState{PrinterID: 1, Status: []byte("{")}
	inBubble(t, store, func(r *rig) {
		if v := r.view(1); v.Known || !strings.Contains(r.log.String(), "not readable") {
			t.Errorf("%+v\n%s", v, r.log)
		}
	})
}

func TestNothingIsLostWhileTheDatabaseIsDown(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.store.fail(errDown)
		status := running(1)
		status.Machine.Model = "X1C"
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", status))
		time.Sleep(time.Minute)
		r.wantEvents()
		r.store.fail(nil)
		time.Sleep(20 * time.Second)
		r.wantEvents("agent_online", "printer_online")
		if r.store.models[1] != "X1C" || r.view(1).Printer.ModelSeen != "X1C" {
			t.Errorf("models %v", r.store.models)
		}
		if len(r.store.states) != 1 {
			t.Errorf("saved: %v", r.store.states)
		}
	})
}

func TestWhatChangedIsSaved(t *testing.T) {
	store := twoPrinters()
	inBubble(t, store, func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(store.saves, []int{1}) {
			t.Errorf("saves: %v", store.saves)
		}
		r.Apply(1, online("S2", running(77)))
	})
	var s bambu.Status
	if err := json.Unmarshal(store.states[2].Status, &s); err != nil || s.Job.Progress.Value != 77 || !store.states[2].Connected {
		t.Errorf("not saved at the end: %+v, %v", store.states[2], err)
	}
}

func TestWatchersGetTheNewest(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		w := r.Watch()
		defer w.Close()
		changed, gone, err := w.Next(r.t.Context())
		if err != nil || len(changed) != 2 || changed[0].Printer.ID != 1 || len(gone) != 0 {
			t.Fatalf("first: %v, %v, %v", changed, gone, err)
		}
		r.AgentUp(1, wire.Hello{})
		for i := range 100 {
			r.Apply(1, online("S1", running(i)))
		}
		r.Remove(2)
		changed, gone, err = w.Next(r.t.Context())
		if err != nil || len(changed) != 1 || changed[0].Status.Job.Progress.Value != 99 || !slices.Equal(gone, []int64{2}) {
			t.Errorf("then: %v, %v, %v", changed, gone, err)
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		if _, _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing new gave %v", err)
		}
		if _, ok := r.View(2); ok || len(r.Views()) != 1 {
			t.Error("a removed printer is still there")
		}
	})
	inBubble(t, newMemStore(), func(r *rig) {
		w := r.Watch()
		defer w.Close()
		if changed, gone, err := w.Next(r.t.Context()); len(changed)+len(gone) != 0 || err != nil {
			t.Errorf("an empty farm: %v, %v, %v", changed, gone, err)
		}
	})
}

// Losing contact does not end a print, so what asks before it harms one must not
// take silence for its end.
func TestAPrintOutOfContactIsStillAPrint(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(40)))
		r.Apply(1, online("S2", bambu.Status{Job: bambu.Job{GcodeState: "FINISH"}}))
		r.AgentDown(1)
		if !r.InPrint(1) || r.InPrint(2) || r.InPrint(99) {
			t.Errorf("in print: %v, %v, %v", r.InPrint(1), r.InPrint(2), r.InPrint(99))
		}
		moved := printerRow(1)
		moved.Address = "192.0.2.99"
		r.Put(moved)
		if v := r.view(1); !r.InPrint(1) || v.State != Offline {
			t.Errorf("after another address: %+v", v)
		}
	})
}

func TestAgentsComeAndGo(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		if !r.AgentConnected(1) || r.AgentConnected(9) {
			t.Error("agents connected are wrong")
		}
		r.PutAgent(farm.Agent{ID: 1, Name: "renamed", SiteID: 1})
		r.RemoveAgent(1)
		if v := r.view(1); v.Connected || v.AgentConnected || r.AgentConnected(1) {
			t.Errorf("the printer of a removed agent: %+v", v)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	f := New(Options{Store: twoPrinters(), Log: slog.New(slog.DiscardHandler)})
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.AgentUp(1, wire.Hello{})
	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			w := f.Watch()
			defer w.Close()
			for {
				if _, _, err := w.Next(ctx); err != nil {
					return
				}
			}
		})
		writers.Go(func() {
			for i := range 500 {
				f.Apply(1, online("S1", running(i%100)))
				f.Put(printerRow(3))
				f.Remove(3)
				f.Views()
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
}

// BenchmarkIntake is the hub's share of a report, end to end: a line of the state
// stream decoded, merged into the picture and given to a reader of the feed.
func BenchmarkIntake(b *testing.B) {
	a1 := printed(b, "a1-full")
	delta := printed(b, "a1-full", "a1-delta").Since(a1)
	for name, frame := range map[string]wire.StateFrame{
		"A1-delta":  {Fence: 5, SeenAgoMS: 3, Patch: delta},
		"H2D-whole": online("", printed(b, "h2d-full")),
	} {
		b.Run(name, func(b *testing.B) { intake(b, frame) })
	}
}

// printed is what captured reports of a printer merge to.
func printed(b *testing.B, reports ...string) bambu.Status {
	b.Helper()
	var s bambu.State
	for _, name := range reports {
		payload, err := os.ReadFile("../../../shared/bambu/testdata/" + name + ".json")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Apply(payload); err != nil {
			b.Fatal(err)
		}
	}
	return s.Status()
}

func intake(b *testing.B, frame wire.StateFrame) {
	const printers = 1000
	store := newMemStore()
	var lines [][]byte
	for i := range printers {
		p := farm.Printer{ID: int64(i + 1), Serial: "S" + time.Duration(i).String(), AgentID: 1, Fence: 5}
		store.printers = append(store.printers, p)
		frame.Serial = p.Serial
		line, err := json.Marshal(frame)
		if err != nil {
			b.Fatal(err)
		}
		lines = append(lines, line)
	}
	f := New(Options{Store: store, Log: slog.New(slog.DiscardHandler)})
	if err := f.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	f.AgentUp(1, wire.Hello{})
	for _, p := range store.printers {
		f.Apply(1, online(p.Serial, running(1)))
	}
	ctx, cancel := context.WithCancel(b.Context())
	var reader sync.WaitGroup
	reader.Go(func() {
		w := f.Watch()
		defer w.Close()
		for {
			if _, _, err := w.Next(ctx); err != nil {
				return
			}
		}
	})
	b.ReportAllocs()
	b.SetBytes(int64(len(lines[0])))
	n := 0
	for b.Loop() {
		var in wire.StateFrame
		if err := json.Unmarshal(lines[n%printers], &in); err != nil {
			b.Fatal(err)
		}
		f.Apply(1, in)
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "frames/s")
	cancel()
	reader.Wait()
}

// How long an absence is an event can change at any time; it counts for who goes then.
func TestHowLongAnAbsenceIsAnEvent(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		long := 10 * time.Minute
		r.mu.Lock()
		r.offlineAfter = func() time.Duration { return long }
		r.mu.Unlock()
		r.AgentUp(1, wire.Hello{})
		r.AgentDown(1)
		time.Sleep(9 * time.Minute)
		r.wantEvents("agent_online")
		time.Sleep(2 * time.Minute)
		r.wantEvents("agent_online", "agent_offline")
		long = 5 * time.Second
		r.AgentUp(1, wire.Hello{})
		r.AgentDown(1)
		time.Sleep(10 * time.Second)
		r.wantEvents("agent_online", "agent_offline", "agent_online", "agent_offline")
	})
}
