package fleet

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// settled is a fleet whose two printers are online, saved, and without news.
func settled(t *testing.T, test func(r *rig)) {
	t.Helper()
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(40)))
		r.Apply(1, online("S2", running(40)))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.store.forgetSaves()
		test(r)
	})
}

// A hub that is killed has the time for no last save, so what matters of a
// printer must be in its row within a second.
func TestWhatMattersIsSavedWithinASecond(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(40)))
		time.Sleep(time.Second)
		synctest.Wait()
		next := New(Options{Store: r.store, Log: slog.New(slog.DiscardHandler)}) // the first is killed now
		if err := next.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v, _ := next.View(1); !v.Known || v.Status.Job.Progress.Value != 40 || v.LastSeen.IsZero() || !next.InPrint(1) {
			t.Errorf("a new printer after a second: %+v", v)
		}
	})
	for name, change := range map[string]func(s *bambu.Status){
		"state":         func(s *bambu.Status) { s.Job.GcodeState = "PAUSE" },
		"file":          func(s *bambu.Status) { s.Job.File = "b.3mf" },
		"name":          func(s *bambu.Status) { s.Job.Name = "b" },
		"job":           func(s *bambu.Status) { s.Job.SubtaskID = "12" },
		"plate":         func(s *bambu.Status) { s.Job.Plate = bambu.Some(2) },
		"print error":   func(s *bambu.Status) { s.Faults.PrintError = 0x0500803C },
		"health":        func(s *bambu.Status) { s.Faults.HMS = []bambu.HMS{{Attr: 83887616, Code: 131184}} },
		"health anew":   func(s *bambu.Status) { s.Faults.HMS = []bambu.HMS{{Attr: 83887616, Code: 131185}} },
		"back to empty": func(s *bambu.Status) { *s = bambu.Status{} },
	} {
		t.Run(name, func(t *testing.T) {
			settled(t, func(r *rig) {
				status := running(41)
				change(&status)
				r.Apply(1, online("S1", status))
				r.Apply(1, online("S2", running(41))) // the other one can wait
				time.Sleep(time.Second)
				synctest.Wait()
				if s := r.store.savedStatus(1); !reflect.DeepEqual(s.Job, status.Job) || !reflect.DeepEqual(s.Faults, status.Faults) {
					t.Errorf("after a second: %+v", s)
				}
				if !slices.Equal(r.store.saves, []int{1}) {
					t.Errorf("saves: %v", r.store.saves)
				}
			})
		})
	}
}

// That a printer is offline is remembered with the news of it.
func TestAnAbsenceIsSavedAsItIsTold(t *testing.T) {
	settled(t, func(r *rig) {
		time.Sleep(2 * time.Second) // so that it is told between two saves of everything
		r.Apply(1, wire.StateFrame{Serial: "S1", Fence: 5, SeenAgoMS: -1, Connection: &wire.Connection{State: wire.Silent}})
		time.Sleep(time.Minute)
		r.wantEvents("agent_online", "printer_online", "printer_online", "printer_offline")
		if r.store.states[1].Connected || !r.store.states[2].Connected {
			t.Errorf("remembered: %+v", r.store.states)
		}
	})
}

// Everything else is at most five seconds old, and nothing is written twice.
func TestTheRestIsSavedEvery5Seconds(t *testing.T) {
	settled(t, func(r *rig) {
		for i := range 60 {
			r.Apply(1, online("S1", running(i)))
			time.Sleep(time.Second)
			synctest.Wait()
			if s := r.store.savedStatus(1); i > 5 && i-s.Job.Progress.Value > 4 {
				t.Errorf("at %d the row has %d", i, s.Job.Progress.Value)
			}
		}
		if want := slices.Repeat([]int{1}, 12); !slices.Equal(r.store.saves, want) {
			t.Errorf("saves in a minute: %v", r.store.saves)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(r.store.saves) > 13 { // the last seconds' change, and nothing after
			t.Errorf("saved without a change: %v", r.store.saves)
		}
	})
}

// What is remembered at a start is in its row already.
func TestAStartSavesNothing(t *testing.T) {
	store := twoPrinters()
	store.states[1] = remembered(t, 1, true, running(40))
	inBubble(t, store, func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(40)))
		time.Sleep(time.Second)
		synctest.Wait()
		if len(store.saves) != 0 {
			t.Errorf("saves: %v", store.saves)
		}
	})
}

func TestASaveThatFailsIsTriedAgain(t *testing.T) {
	settled(t, func(r *rig) {
		r.store.fail(errDown)
		paused := running(41)
		paused.Job.GcodeState = "PAUSE"
		r.Apply(1, online("S1", paused))
		r.Apply(1, online("S2", running(42)))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		r.store.fail(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := r.store.savedStatus(1); s.Job.GcodeState != "PAUSE" {
			t.Errorf("a second after the database came back: %+v", s.Job)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if s := r.store.savedStatus(2); s.Job.Progress.Value != 42 {
			t.Errorf("five seconds after: %+v", s.Job)
		}
		if n := len(r.store.saves); n < 1 || n > 2 {
			t.Errorf("saves: %v", r.store.saves)
		}
	})
}

// A database that hangs holds up nobody but Run, and what changes meanwhile is
// saved after.
func TestNobodyWaitsForADatabaseThatHangs(t *testing.T) {
	settled(t, func(r *rig) {
		hang := make(chan struct{})
		r.store.hangOn(hang)
		job := running(41)
		job.Job.Name = "one"
		r.Apply(1, online("S1", job))
		time.Sleep(time.Second)
		synctest.Wait() // Run waits for the save now
		job.Job.Name = "two"
		r.Apply(1, online("S1", job))
		r.Apply(1, online("S2", job))
		if v := r.view(1); v.Status.Job.Name != "two" || len(r.Views()) != 2 {
			t.Errorf("while the database hangs: %+v", v)
		}
		close(hang)
		time.Sleep(time.Second)
		synctest.Wait()
		if a, b := r.store.savedStatus(1), r.store.savedStatus(2); a.Job.Name != "two" || b.Job.Name != "two" {
			t.Errorf("after it: %+v, %+v", a.Job, b.Job)
		}
	})
}

// An agent whose printers are all off was here nevertheless.
func TestAnAgentWithoutALivePrinterIsRemembered(t *testing.T) {
	store := twoPrinters()
	inBubble(t, store, func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.wantEvents("agent_online")
	})
	inBubble(t, store, func(r *rig) {
		time.Sleep(100 * time.Second)
		r.AgentUp(1, wire.Hello{})
		time.Sleep(time.Hour)
		r.wantEvents("agent_online")
	})
	inBubble(t, store, func(r *rig) {
		time.Sleep(3 * time.Minute) // it does not come back
		r.wantEvents("agent_online", "agent_offline")
	})
	inBubble(t, store, func(r *rig) {
		time.Sleep(3 * time.Minute)
		r.wantEvents("agent_online", "agent_offline")
		r.AgentUp(1, wire.Hello{})
		r.wantEvents("agent_online", "agent_offline", "agent_online")
	})
}

// BenchmarkTick is what Run costs each second with a thousand printers of which
// every one has a report, and each fifth second, without the database.
func BenchmarkTick(b *testing.B) {
	store := newMemStore()
	status := printed(b, "h2d-full")
	for i := range 1000 {
		store.printers = append(store.printers, farm.Printer{ID: int64(i + 1), Serial: fmt.Sprint("S", i), AgentID: 1, Fence: 5})
	}
	f := New(Options{Store: store, Log: slog.New(slog.DiscardHandler)})
	if err := f.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	f.AgentUp(1, wire.Hello{})
	report := func() {
		for _, p := range store.printers {
			f.Apply(1, online(p.Serial, status))
		}
	}
	report()
	f.save(b.Context(), everything)
	report()
	b.Run("second", func(b *testing.B) {
		for b.Loop() {
			f.save(b.Context(), urgent)
		}
	})
	b.Run("fifth second", func(b *testing.B) {
		for b.Loop() {
			report()
			f.save(b.Context(), everything)
		}
	})
}
