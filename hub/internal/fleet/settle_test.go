package fleet

import (
	"testing"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// shows is a frame of S1 after that many records of it.
func shows(gcode string, outbox int64) wire.StateFrame {
	f := online("S1", bambu.Status{Job: bambu.Job{GcodeState: gcode}})
	f.Outbox = outbox
	return f
}

func (r *rig) wantState(state, when string) {
	r.t.Helper()
	if got := r.view(1).State; got != state {
		r.t.Errorf("%s it is %s, want %s", when, got, state)
	}
}

func TestAPrintIsOverWhenItsEndIsApplied(t *testing.T) {
	for gcode, word := range map[string]string{"FINISH": Finished, "FAILED": Failed, "IDLE": Idle} {
		inBubble(t, twoPrinters(), func(r *rig) {
			r.AgentUp(1, wire.Hello{})
			r.Settle(1, 4)
			r.Apply(1, shows("RUNNING", 4))
			r.Apply(1, shows(gcode, 6))
			r.wantState(Printing, "before its end is applied")
			if v := r.view(1); v.Status.Job.GcodeState != gcode || !v.InPrint() {
				t.Errorf("the status is %+v", v.Status.Job)
			}
			r.Settle(1, 5)
			r.wantState(Printing, "with half of it applied")
			r.Settle(2, 100)
			r.wantState(Printing, "with another agent's records applied")
			before := r.view(1).Version
			w := r.Watch()
			defer w.Close()
			r.Settle(1, 6)
			r.wantState(word, "when all is applied")
			after := r.view(1).Version
			if after == before {
				t.Error("nobody was told")
			}
			r.Settle(1, 7)
			if r.view(1).Version != after {
				t.Error("told again, though nothing changed")
			}
		})
	}
}

func TestWhatWaitsForNoRecord(t *testing.T) {
	for name, c := range map[string]struct {
		frames []wire.StateFrame
		want   string
	}{
		"an agent without an outbox": {[]wire.StateFrame{shows("RUNNING", 0), shows("FINISH", 0)}, Finished},
		"nothing new to apply":       {[]wire.StateFrame{shows("RUNNING", 4), shows("FINISH", 4)}, Finished},
		"a start":                    {[]wire.StateFrame{shows("IDLE", 4), shows("PREPARE", 5)}, Preparing},
		"a pause":                    {[]wire.StateFrame{shows("RUNNING", 4), shows("PAUSE", 5)}, Paused},
		"an end of which it held":    {[]wire.StateFrame{shows("RUNNING", 4), shows("FINISH", 5), shows("IDLE", 5)}, Printing},
		"the next print":             {[]wire.StateFrame{shows("RUNNING", 4), shows("FINISH", 5), shows("PREPARE", 6)}, Preparing},
		"a fault of an idle printer": {[]wire.StateFrame{shows("FINISH", 4), shows("IDLE", 5)}, Idle},
	} {
		inBubble(t, twoPrinters(), func(r *rig) {
			r.AgentUp(1, wire.Hello{})
			r.Settle(1, 4)
			for _, f := range c.frames {
				r.Apply(1, f)
			}
			r.wantState(c.want, name+":")
		})
	}
}

// The end comes while the site is out of contact: states come back before records.
func TestAPrintThatEndedOutOfContact(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Settle(1, 4)
		r.Apply(1, shows("PAUSE", 4))
		r.AgentDown(1)
		r.wantState(Offline, "out of contact")
		r.AgentUp(1, wire.Hello{})
		r.wantState(Offline, "before the first frame")
		r.Apply(1, shows("FINISH", 5))
		r.wantState(Paused, "back, before its end is applied")
		r.AgentDown(1)
		r.wantState(Offline, "out of contact again")
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, shows("FINISH", 5))
		r.wantState(Paused, "back again")
		r.Settle(1, 5)
		r.wantState(Finished, "when it is applied")
	})
}

// The same over a restart of the hub, which knows nothing of what is applied until
// the agent's outbox is read.
func TestAPrintThatEndedWhileTheHubWasDown(t *testing.T) {
	store := twoPrinters()
	store.states[1] = remembered(t, 1, true, running(40))
	inBubble(t, store, func(r *rig) {
		r.wantState(Offline, "remembered")
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, shows("FINISH", 9))
		r.wantState(Printing, "before the outbox is read")
		r.Settle(1, 8) // the mark of the database
		r.wantState(Printing, "before its end is applied")
		r.Settle(1, 9)
		r.wantState(Finished, "then")
	})
}

// An agent that lost its journal counts from the beginning.
func TestAnotherEpoch(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Settle(1, 900)
		r.Apply(1, shows("RUNNING", 900))
		r.AgentDown(1)
		r.AgentUp(1, wire.Hello{})
		r.Settle(1, 0)
		r.Apply(1, shows("RUNNING", 1))
		r.Apply(1, shows("FINISH", 2))
		r.wantState(Printing, "before its end is applied")
		r.Settle(1, 2)
		r.wantState(Finished, "then")
	})
}

func TestAnAgentThatIsRemovedIsForgotten(t *testing.T) {
	f := New(Options{Store: twoPrinters()})
	f.PutAgent(farm.Agent{ID: 1})
	f.Settle(1, 5)
	f.RemoveAgent(1)
	if len(f.settled) != 0 {
		t.Errorf("kept %v", f.settled)
	}
}
