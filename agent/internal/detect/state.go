package detect

import (
	"reflect"
	"slices"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// How long things are waited for, in milliseconds.
const (
	// holdFailed: a P2S tells FAILED first and five seconds later that it was a
	// person's wish.
	holdFailed = 10_000
	// holdUnseen: an H2D shows the id of a print it has just taken for up to 210 s
	// while it still says FINISH of the one before.
	holdUnseen = 300_000
	// holdFault: complaints flicker while a print goes on.
	holdFault = 30_000
	// stopCounts is how long a proven stop explains an end.
	stopCounts = 300_000
	// settles is how long a print runs until its id is believed to be its own.
	settles = 60_000
	// quickest is how long the quickest print takes, from one end to the next.
	quickest = 60_000
	// shortGap is a gap in which a print that had not begun cannot have got far.
	shortGap = 300_000
)

// Bounds of what a State may grow to.
const (
	maxDone    = 16  // ids remembered
	maxFaults  = 256 // complaints remembered
	maxDetails = 32  // print_details of one print
)

// State is all that the detector knows of one printer between two pictures. The
// zero value is a new journal, which knows nothing of what was before. It is a
// value: Step never changes the State it is called on. Times are the caller's
// Input.AtMS. It goes through JSON unchanged.
type State struct {
	Known   bool     `json:"known"`    // Last is a picture of this journal
	Missed  bool     `json:"missed"`   // there was a gap, and no picture since that tells what came of it
	ClockMS int64    `json:"clock_ms"` // of the last Step
	SeenMS  int64    `json:"seen_ms"`  // of Last
	Last    Picture  `json:"last"`
	Open    *Run     `json:"open"`    // the print under way
	Ended   Ended    `json:"ended"`   // the print that ended last
	Done    []string `json:"done"`    // ids of prints that are over, newest last
	Pending *Pending `json:"pending"` // an id without a print, yet
	Unseen  *Unseen  `json:"unseen"`  // a print that seems to have begun and ended unseen
	Faults  []Fault  `json:"faults"`  // present complaints, and those gone a moment ago
}

// Run is a print under way.
type Run struct {
	Print   wire.PrintRecord `json:"print"`    // as of now; Seq is of the last record
	StartMS bambu.Opt[int64] `json:"start_ms"` // unknown: it was not seen to begin
	Paused  bool             `json:"paused"`

	OldID   string           `json:"old_id"`   // id of an earlier print that was still shown
	NameOld bool             `json:"name_old"` // the name is the one that was shown before the start
	Stale   Numbers          `json:"stale"`    // shown before the start, not believed until they change
	RanMS   bambu.Opt[int64] `json:"ran_ms"`   // first RUNNING or PAUSE with this id
	StopMS  bambu.Opt[int64] `json:"stop_ms"`  // a person wished to stop it
	Details int              `json:"details"`  // records of this kind so far
	Mark    int              `json:"mark"`     // highest milestone passed
	HeldMS  bambu.Opt[int64] `json:"held_ms"`  // FAILED was seen then, its cause is waited for
	EndMS   int64            `json:"end_ms"`   // while held: when it ended
	Guessed bool             `json:"guessed"`  // while held: EndMS was not seen
}

// Numbers are how far a print is.
type Numbers struct {
	Progress  bambu.Opt[int] `json:"progress"`  // percent
	Layer     bambu.Opt[int] `json:"layer"`     //
	Layers    bambu.Opt[int] `json:"layers"`    // of all
	Remaining bambu.Opt[int] `json:"remaining"` // seconds
}

// Ended is what is kept of the last print that ended.
type Ended struct {
	RunID   string           `json:"run_id"` // "" before the first
	ID      string           `json:"id"`
	Name    string           `json:"name"`
	File    string           `json:"file"`
	NameOld bool             `json:"name_old"` // its name may have been that of the one before
	Outcome wire.Outcome     `json:"outcome"`
	StartMS bambu.Opt[int64] `json:"start_ms"` // as in Run
}

// Pending is an id that a printer shows although nothing runs: of a print that is
// about to begin, or of one that is over.
type Pending struct {
	ID      string `json:"id"`
	SinceMS int64  `json:"since_ms"`
	First   bool   `json:"first"` // it was not seen to come: almost surely of a print that is over
	Old     bool   `json:"old"`   // it was taken but never begun
}

// Unseen is a print that was first seen when it was over.
type Unseen struct {
	RunID   string  `json:"run_id"`
	SinceMS int64   `json:"since_ms"`
	Picture Picture `json:"picture"`
	Stopped bool    `json:"stopped"` // a cancel echo came with it
}

// Busy tells whether the printer does something that must not be disturbed, as far
// as the last picture told: a print, a calibration, starting up.
func (s State) Busy() bool { return s.Open != nil || busyWord(s.Last.Word) || s.Last.Word == wordInit }

// Run is the print under way, with ok false when there is none. A print whose
// FAILED is held back is still under way.
func (s State) Run() (Run, bool) {
	if s.Open == nil {
		return Run{}, false
	}
	return *s.Open, true
}

// Due is when Step has to be called although no report came (with the last Status
// and Fresh false): something that was held back is then told. It is never before
// atMS; ok is false when nothing waits.
func (s State) Due(atMS int64) (ms int64, ok bool) {
	note := func(since, wait int64) {
		if !ok || since+wait < ms {
			ms, ok = since+wait, true
		}
	}
	if s.Open != nil && s.Open.HeldMS.Known {
		note(s.Open.HeldMS.Value, holdFailed)
	}
	if s.Unseen != nil {
		note(s.Unseen.SinceMS, holdUnseen)
	}
	for _, f := range s.Faults {
		if f.GoneMS.Known {
			note(f.GoneMS.Value, holdFault)
		}
	}
	if !ok {
		return 0, false
	}
	atMS = sane(atMS)
	if back := s.ClockMS - atMS; back > 0 { // as Step will do
		ms -= back
	}
	return max(ms, atMS), true
}

// Differs tells whether a State says more than an earlier one besides the time and
// how far the print is. Such a State has to be journalled although no record came
// with it; any other may wait for the next minute.
func (s State) Differs(old State) bool {
	return !reflect.DeepEqual(s.still(), old.still())
}

// still is the state without what changes all the time.
func (s State) still() State {
	s = s.clone()
	s.ClockMS, s.SeenMS = 0, 0
	s.Last.Numbers = Numbers{}
	if r := s.Open; r != nil {
		r.Stale = Numbers{}
		r.Print.Progress, r.Print.Layer, r.Print.Remaining = bambu.Opt[int]{}, bambu.Opt[int]{}, bambu.Opt[int]{}
	}
	return s
}

// clone shares nothing that Step writes.
func (s State) clone() State {
	s.Open, s.Pending, s.Unseen = copied(s.Open), copied(s.Pending), copied(s.Unseen)
	s.Done, s.Faults = slices.Clone(s.Done), slices.Clone(s.Faults)
	return s
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// shift moves all times: the clock was set back, and what happened before it
// happened as long ago as before.
func (s *State) shift(ms int64) {
	s.SeenMS += ms
	s.Ended.StartMS.Value += ms * bit(s.Ended.StartMS.Known)
	if r := s.Open; r != nil {
		r.EndMS += ms
		for _, t := range []*bambu.Opt[int64]{&r.StartMS, &r.RanMS, &r.StopMS, &r.HeldMS} {
			t.Value += ms * bit(t.Known)
		}
	}
	if s.Pending != nil {
		s.Pending.SinceMS += ms
	}
	if s.Unseen != nil {
		s.Unseen.SinceMS += ms
	}
	for i := range s.Faults {
		s.Faults[i].GoneMS.Value += ms * bit(s.Faults[i].GoneMS.Known)
	}
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// sane keeps times where sums of them cannot overflow.
func sane(ms int64) int64 { return min(max(ms, 0), 1<<52) }
