package detect

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// real is a print as it really was.
type real struct {
	id      string
	outcome wire.Outcome
	busy    int  // pictures of it under way that were seen
	ending  bool // from the last picture under way until 20 s after the end everything was seen
	shown   bool // it was seen ended, for long enough to be told
}

// The printers of TestTruth.
const (
	prompt   = iota // shows an id when the print begins
	lags            // shows the id of the print before while it prepares
	early           // shows an id up to 200 s before the print begins
	nameless        // shows no ids: only the names differ
	habits
)

// TestTruth lets a printer print and looks at it only now and then: every print
// that was seen under way is told once, and how it ended is told right or not at all.
func TestTruth(t *testing.T) {
	unknown, unseen := 0, 0
	for seed := range uint64(400) {
		w := &world{player: newPlayer(t), rand: rand.New(rand.NewPCG(seed, 1)), looking: true, habit: int(seed % habits), outcomes: map[string][]wire.Outcome{}} //nolint:gosec // to be repeated
		w.status.Job.GcodeState = "FINISH"
		w.held = true
		w.tick(1) // what it shows when the journal begins is of no print of ours
		w.held = false
		for range 12 {
			w.print()
		}
		w.looking, w.held = true, true
		w.tick(40)
		for _, r := range w.prints {
			told := w.outcomes[r.id]
			switch {
			case len(told) > 1 || len(told) == 0 && (r.busy > 0 || r.shown && w.habit != lags):
				t.Errorf("seed %d: print %+v was told %d times", seed, r, len(told))
			case len(told) == 0:
			case told[0] != r.outcome && (told[0] != wire.Unknown || r.ending):
				t.Errorf("seed %d: print %+v was told as %s", seed, r, told[0])
			case told[0] == wire.Unknown:
				unknown++
			case r.busy == 0:
				unseen++
			}
		}
	}
	if unknown == 0 || unseen == 0 {
		t.Errorf("the test does not test: %d unknown, %d unseen", unknown, unseen)
	}
}

// world is a printer, looked at every ten seconds or not at all.
type world struct {
	*player
	rand     *rand.Rand
	looking  bool
	before   bool // it was looked at the last time
	habit    int
	held     bool // it is looked at all the time until this is false again
	prints   []*real
	outcomes map[string][]wire.Outcome
}

// tick lets n times ten seconds pass and tells how many of the pictures were seen.
func (w *world) tick(n int) (seen int) {
	for range n {
		w.now += 10
		if !w.held && w.rand.IntN(40) == 0 {
			w.looking = !w.looking
		}
		if !w.looking {
			w.before = false
			continue
		}
		w.minted++
		next, records := w.state.Step(Input{
			Status: w.status, AtMS: w.now * 1000, Fresh: !w.before, NewRun: fmt.Sprint("run-", w.minted),
		})
		w.state, w.before = next, true
		for _, r := range records {
			w.check(r)
			if r.Kind == wire.PrintFinished {
				id := r.Print.SubtaskID
				if w.habit == nameless {
					id = r.Print.Name
				}
				w.outcomes[id] = append(w.outcomes[id], r.Print.Outcome)
			}
		}
		seen++
	}
	return seen
}

// print is one print and the rest after it.
func (w *world) print() {
	r := &real{id: fmt.Sprint(100 + len(w.prints)), outcome: []wire.Outcome{wire.Success, wire.Success, wire.Failed, wire.Aborted}[w.rand.IntN(4)]}
	w.prints = append(w.prints, r)
	j := &w.status.Job
	w.status.Faults = bambu.Faults{}
	switch name := fmt.Sprint("thing ", w.rand.IntN(3)); w.habit {
	case lags:
		j.GcodeState = "PREPARE"
		w.tick(1 + w.rand.IntN(3))
		j.SubtaskID, j.Name = r.id, name
	case early:
		j.SubtaskID, j.Name = r.id, name
		w.tick(w.rand.IntN(21))
	case nameless:
		j.SubtaskID, j.Name = "0", r.id
	default:
		j.SubtaskID, j.Name = r.id, name
	}
	j.GcodeState = "PREPARE"
	r.busy += w.tick(1 + w.rand.IntN(3))
	if w.habit == nameless {
		r.busy = 0 // a name that was seen only then may be the one before
	}
	steps := 10 + w.rand.IntN(150)
	for i := range steps {
		j.GcodeState = "RUNNING"
		if i%40 > 36 {
			j.GcodeState = "PAUSE"
		}
		j.Progress, j.Remaining = bambu.Some(i*100/steps), bambu.Some((steps-i)*10)
		r.busy += w.tick(1)
	}
	held := w.before && w.looking
	w.held = held
	w.end(r)
	r.ending = held
	w.held = false
	rest := 35 + w.rand.IntN(60)
	r.shown = w.tick(rest) == rest && rest > 31
}

// end brings the printer to the end of a print, for 20 s.
func (w *world) end(r *real) {
	j := &w.status.Job
	switch r.outcome {
	case wire.Success:
		j.GcodeState, j.Progress, j.Remaining = "FINISH", bambu.Some(100), bambu.Some(0)
	case wire.Failed:
		j.GcodeState, w.status.Faults.PrintError = "FAILED", 0x03004006
	case wire.Aborted: // the echo stays: a printer out of sight would look failed otherwise
		j.GcodeState, j.Progress, w.status.Faults.PrintError = "FAILED", bambu.Some(0), 0x0300400C
	}
	w.tick(2)
}
