package fleet

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Reports that were never heard in this process cannot be live, whatever the
// session says and whatever is remembered.
func TestWhatIsRememberedIsNeverLive(t *testing.T) {
	store := twoPrinters()
	store.states[1] = remembered(t, 1, false, running(40))
	inBubble(t, store, func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		frame := online("S1", bambu.Status{})
		frame.SeenAgoMS = -1
		r.Apply(1, frame)
		if v := r.view(1); v.Connected || v.State != Offline || !v.Known || v.Status.Job.Progress.Value != 40 || v.InPrint() || !r.InPrint(1) {
			t.Errorf("remembered data passes for live: %+v", v)
		}
		r.wantEvents("agent_online")
		r.Apply(1, online("S1", running(41)))
		if v := r.view(1); !v.Connected || v.Status.Job.Progress.Value != 41 {
			t.Errorf("after its first report: %+v", v)
		}
		r.wantEvents("agent_online", "printer_online")
	})
}

// The session of an agent that was removed ends a moment later.
func TestARemovedAgentStaysRemoved(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		r.RemoveAgent(1)
		free := printerRow(1)
		free.AgentID = 0
		r.Put(free)
		r.AgentDown(1)
		if len(r.agents) != 0 {
			t.Errorf("agents in the picture: %v", r.agents)
		}
		time.Sleep(5 * time.Minute)
		r.wantEvents("agent_online", "printer_online", "printer_offline")
	})
}

// A new fence makes the former session's word void until a frame comes under it.
func TestANewFenceBeginsAnew(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		next := printerRow(1)
		next.Fence = 6
		r.Put(next)
		r.Apply(1, online("S1", running(2))) // still under fence 5
		if v := r.view(1); v.Connected || v.Status.Job.Progress.Value != 1 {
			t.Errorf("under the old fence: %+v", v)
		}
		frame := online("S1", running(3))
		frame.Fence = 6
		r.Apply(1, frame)
		if v := r.view(1); !v.Connected || v.Status.Job.Progress.Value != 3 {
			t.Errorf("under the new fence: %+v", v)
		}
		renamed := next
		renamed.Name = "renamed"
		r.Put(renamed)
		if v := r.view(1); !v.Connected || v.Printer.Name != "renamed" {
			t.Errorf("a new name ended its session: %+v", v)
		}
		time.Sleep(5 * time.Minute)
		r.wantEvents("agent_online", "printer_online")
	})
}

// A new session of an agent proves nothing of its printers; if one of them stays
// away, that is told 60 s after, and nothing is told of the other.
func TestAPrinterThatDoesNotComeBackWithItsAgent(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		r.Apply(1, online("S2", running(1)))
		r.AgentDown(1)
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S2", running(2)))
		if v := r.view(1); v.Connected || !v.AgentConnected {
			t.Errorf("before its frame: %+v", v)
		}
		time.Sleep(61 * time.Second)
		r.wantEvents("agent_online", "printer_online", "printer_online", "printer_offline")
		if e := r.store.events[3]; e.PrinterID != 1 {
			t.Errorf("the wrong one is offline: %+v", e)
		}
		r.Apply(1, online("S1", running(3)))
		r.wantEvents("agent_online", "printer_online", "printer_online", "printer_offline", "printer_online")
	})
}

// What came back within the grace after a start is no news at all, and what was
// announced offline before the hub went down is not announced again.
func TestAStartWithinTheGraceIsNoNews(t *testing.T) {
	store := twoPrinters()
	store.agents[0].Online = true
	store.states[1] = remembered(t, 1, true, running(40))
	store.states[2] = remembered(t, 2, false, running(50))
	inBubble(t, store, func(r *rig) {
		time.Sleep(100 * time.Second)
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(41)))
		time.Sleep(time.Hour)
		r.wantEvents()
	})
	if s := store.states[1]; !s.Connected {
		t.Errorf("remembered as away: %+v", s)
	}
	if s := store.states[2]; s.Connected {
		t.Errorf("remembered as here: %+v", s)
	}
}

// Within the grace of a start an absence is remembered as one, so that a second
// start still tells of it.
func TestAnOfflinePrinterIsRememberedAsTold(t *testing.T) {
	store := twoPrinters()
	inBubble(t, store, func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		time.Sleep(20 * time.Second)
		r.AgentDown(1)
	})
	if !store.states[1].Connected {
		t.Fatal("an absence that was not told yet is remembered as told")
	}
	inBubble(t, store, func(r *rig) {
		time.Sleep(3 * time.Minute)
		r.wantEvents("agent_online", "printer_online", "agent_offline", "printer_offline")
	})
	if store.states[1].Connected {
		t.Error("an absence that was told is remembered as not told")
	}
}

// A database that is down is not asked for every printer each second.
func TestModelsWaitForTheDatabase(t *testing.T) {
	store := twoPrinters()
	inBubble(t, store, func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		r.Apply(1, online("S2", running(1)))
		r.wantEvents("agent_online", "printer_online", "printer_online")
		r.store.fail(errDown)
		status := running(2)
		status.Machine.Model = "A1"
		r.Apply(1, online("S1", status))
		r.Apply(1, online("S2", status))
		synctest.Wait()
		before := r.store.timesAsked()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := r.store.timesAsked() - before; n != 10 {
			t.Errorf("asked %d times in 10 s", n)
		}
		status.Machine.Model = "A1 mini" // learnt while the first could not be written
		r.Apply(1, online("S2", status))
		r.store.fail(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.store.models[1] != "A1" || r.store.models[2] != "A1 mini" {
			t.Errorf("models: %v", r.store.models)
		}
	})
}

// Events are told in the order they happened, also when the store fails between.
func TestEventsKeepTheirOrder(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.wantEvents("agent_online")
		r.store.fail(errDown)
		began := time.Now()
		r.Apply(1, online("S2", running(1)))
		time.Sleep(10 * time.Second)
		r.Apply(1, online("S1", running(1)))
		r.AgentDown(1)
		time.Sleep(2 * time.Minute)
		r.store.fail(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if k := r.store.kinds(); len(k) != 6 || k[1] != "printer_online" || k[2] != "printer_online" || k[3] != "agent_offline" {
			t.Fatalf("events: %v", k)
		}
		if e := r.store.events[1]; e.PrinterID != 2 || !e.At.Equal(began) {
			t.Errorf("the first is not the first, or has the time of its writing: %+v", e)
		}
	})
}

// However long a watcher sleeps, it holds one mark for each printer.
func TestASlowWatcherIsBounded(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		w := r.Watch()
		defer w.Close()
		r.AgentUp(1, wire.Hello{})
		for i := range 10_000 {
			r.Apply(1, online("S1", running(i%100)))
			r.Put(printerRow(3))
			r.Remove(3)
		}
		if len(w.dirty) != 3 {
			t.Errorf("it holds %d marks", len(w.dirty))
		}
		w.Close()
		if r.Apply(1, online("S1", running(5))); len(r.watchers) != 0 {
			t.Error("a closed watcher is still told")
		}
	})
}

// Every way the database can refuse at the start is an error of the start.
func TestLoadFailsWithTheDatabase(t *testing.T) {
	store := twoPrinters()
	store.failing = errDown
	if err := New(Options{Store: store}).Load(t.Context()); err == nil {
		t.Error("loaded from a database that is down")
	}
}

func TestAModelOfAPrinterThatIsGoneIsDropped(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		r.wantEvents("agent_online", "printer_online")
		r.store.fail(farm.Errorf(farm.NotFound, "printer 1 does not exist"))
		status := running(2)
		status.Machine.Model = "A1"
		r.Apply(1, online("S1", status))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if strings.Contains(r.log.String(), "models not written") {
			t.Errorf("log: %s", r.log)
		}
	})
}
