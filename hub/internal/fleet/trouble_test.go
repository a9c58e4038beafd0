package fleet

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// logged gives the lines of the log that hold a word, without their times.
func (r *rig) logged(word string) (out []string) {
	for line := range strings.Lines(r.log.String()) {
		if _, line, _ = strings.Cut(strings.TrimSpace(line), " "); strings.Contains(line, word) {
			out = append(out, line)
		}
	}
	return out
}

// Ten minutes without a database are ten lines for each thing that waits, not six
// hundred, and each says how much that is.
func TestADatabaseThatIsGoneIsToldOnceAMinute(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.wantEvents("agent_online")
		r.store.fail(errDown)
		r.Apply(1, online("S1", running(1)))
		time.Sleep(30 * time.Second)
		r.Apply(1, online("S2", running(1)))
		time.Sleep(9*time.Minute + 20*time.Second)
		synctest.Wait()
		for what, waiting := range map[string]string{"events not written": "waiting=2", "live picture not saved": "waiting=2"} {
			lines := r.logged(what)
			if len(lines) != 10 || !strings.Contains(lines[0], "waiting=1") || !strings.Contains(lines[0], errDown.Error()) {
				t.Fatalf("%s: %d lines: %s", what, len(lines), lines)
			}
			for _, line := range lines[1:] {
				if !strings.Contains(line, waiting) || !strings.Contains(line, "level=ERROR") {
					t.Errorf("%s: %s", what, line)
				}
			}
		}
		r.store.fail(nil)
		time.Sleep(10 * time.Second)
		r.wantEvents("agent_online", "printer_online", "printer_online")
		for _, what := range []string{"events are written again", "live picture is saved again"} {
			if lines := r.logged(what); len(lines) != 1 || !strings.Contains(lines[0], "level=INFO") || !strings.Contains(lines[0], "after=9m5") {
				t.Errorf("%s: %s", what, lines)
			}
		}
		before := r.log.String()
		r.Apply(1, online("S1", running(2)))
		time.Sleep(10 * time.Minute)
		if synctest.Wait(); r.log.String() != before {
			t.Errorf("logged without trouble: %s", strings.TrimPrefix(r.log.String(), before))
		}
	})
}

func TestModelsThatWaitAreToldOnceAMinute(t *testing.T) {
	inBubble(t, twoPrinters(), func(r *rig) {
		r.AgentUp(1, wire.Hello{})
		r.Apply(1, online("S1", running(1)))
		r.wantEvents("agent_online", "printer_online")
		r.store.fail(errDown)
		status := running(1)
		status.Machine.Model = "A1"
		r.Apply(1, online("S1", status))
		time.Sleep(90 * time.Second)
		r.store.fail(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if lines := r.logged("models not written"); len(lines) != 2 || !strings.Contains(lines[1], "waiting=1") {
			t.Errorf("failing: %s", lines)
		}
		if lines := r.logged("models are written again"); len(lines) != 1 || r.store.models[1] != "A1" {
			t.Errorf("working: %s, models %v", lines, r.store.models)
		}
	})
}

// The second outage is told like the first, however soon it comes.
func TestEachOutageIsTold(t *testing.T) {
	settled(t, func(r *rig) {
		for _, state := range []string{"PAUSE", "RUNNING"} {
			r.store.fail(errDown)
			r.Apply(1, online("S1", bambu.Status{Job: bambu.Job{GcodeState: state}}))
			time.Sleep(3 * time.Second)
			r.store.fail(nil)
			time.Sleep(3 * time.Second)
			synctest.Wait()
		}
		var levels []string
		for _, line := range r.logged("live picture") {
			level, _, _ := strings.Cut(line, " ")
			levels = append(levels, level)
		}
		if !slices.Equal(levels, []string{"level=ERROR", "level=INFO", "level=ERROR", "level=INFO"}) {
			t.Errorf("log: %s", r.log)
		}
	})
}

// What is lost for good is always told, also within the minute.
func TestWhatCannotBeWrittenAtTheEndIsTold(t *testing.T) {
	var r *rig
	settled(t, func(in *rig) {
		r = in
		r.store.fail(errDown)
		r.Apply(1, online("S1", bambu.Status{Job: bambu.Job{GcodeState: "PAUSE"}}))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if lines := r.logged("live picture not saved"); len(lines) != 1 {
			t.Errorf("before the end: %s", lines)
		}
	})
	if lines := r.logged("live picture not saved"); len(lines) != 2 || !strings.Contains(lines[1], "waiting=1") {
		t.Errorf("at the end: %s", lines)
	}
}

// The end of Run cuts a try short, which is no trouble; the last one may be.
func TestTheEndIsNoTrouble(t *testing.T) {
	var r *rig
	settled(t, func(in *rig) {
		r = in
		r.store.hangOn(make(chan struct{})) // for ever
		r.Apply(1, online("S1", bambu.Status{Job: bambu.Job{GcodeState: "PAUSE"}}))
		time.Sleep(3 * time.Second)
		synctest.Wait()
	})
	if lines := r.logged("not saved"); len(lines) != 1 || !strings.Contains(lines[0], "deadline exceeded") {
		t.Errorf("log: %s", r.log)
	}
}
