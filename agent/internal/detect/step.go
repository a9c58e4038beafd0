package detect

import (
	"slices"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// Input is one picture of a printer and what is known about how it came.
type Input struct {
	// Status is the merged status, which rests on at least one full report of this
	// process.
	Status bambu.Status
	// AtMS is the time now: wall milliseconds that do not jump within a process
	// (wall at its start plus monotonic). When it goes back, the State's times do.
	AtMS int64
	// Fresh: the first picture after a (re)connect or the start of the process, so
	// something may have happened that was not seen.
	Fresh bool
	// NewRun is the id (UUIDv7) that a print gets if one begins: a new one for each
	// call, since a print that is held back keeps the id of the call that found it.
	NewRun string
	// Stopped: a stop command, of anybody, was acknowledged since the last input.
	Stopped bool
}

// step is one call of Step at work.
type step struct {
	State
	in     Input
	pic    Picture
	gap    int64 // since the last picture
	fresh  bool
	raised []Fault // complaints that were not there before
	out    []wire.OutboxRecord
}

// Step takes the next picture. It returns the State after it and what is to be
// told, oldest first: Kind and body with RunID and Seq, AgoMS and Estimated; the
// journal fills in the rest. The State must be durable before anybody hears of the
// records.
func (s State) Step(in Input) (next State, records []wire.OutboxRecord) {
	in.AtMS = sane(in.AtMS)
	d := &step{State: s.clone(), in: in, pic: pictureOf(in.Status), fresh: in.Fresh || s.Missed}
	if back := d.ClockMS - in.AtMS; back > 0 {
		d.shift(-back)
	}
	d.ClockMS, d.gap, d.Missed = in.AtMS, max(0, in.AtMS-d.SeenMS), d.fresh

	// A complaint belongs to the print it came in, also when it ends that print.
	under := d.Open != nil
	if under {
		d.complaints()
		d.stops()
	}
	d.job()
	if !under {
		d.complaints()
	}
	d.overdue()
	return d.State, d.out
}

// stops notes the proofs that a person wished the print to end.
func (d *step) stops() {
	if d.in.Stopped || slices.ContainsFunc(d.raised, func(f Fault) bool { return f.Echo }) {
		d.Open.StopMS = bambu.Some(d.in.AtMS)
	}
}

// job reads the picture's word.
func (d *step) job() {
	told := true
	switch {
	case busyWord(d.pic.Word):
		told = d.busy()
	case overWord(d.pic.Word):
		d.over()
	case d.pic.Word == wordInit:
		d.Last.Word = wordInit
		return
	default:
		return
	}
	if told {
		d.Missed = false
	}
	d.Known, d.Last, d.SeenMS = true, d.pic, d.in.AtMS
}

// busy: something runs. It returns false when nobody can tell yet what.
func (d *step) busy() bool {
	if d.pic.internal() {
		switch {
		case d.Open == nil:
		case d.Open.HeldMS.Known:
			d.endHeld()
		case d.fresh:
			d.lose()
		}
		return true
	}
	if d.Open != nil {
		switch {
		case d.Open.HeldMS.Known:
			d.endHeld()
		case d.another():
			d.lose()
		default:
			d.follow()
			return true
		}
	}
	if d.pic.anonymous() {
		return false
	}
	d.resolveUnseen()
	d.begin()
	return true
}

// over: nothing runs.
func (d *step) over() {
	switch {
	case d.Open != nil && d.Open.HeldMS.Known:
		d.held()
	case d.Open != nil && d.fresh:
		d.endedAway()
	case d.Open != nil:
		d.ended()
	case d.fresh && d.Known:
		d.unseen()
	default:
		d.resting()
	}
}

// overdue tells what was held back long enough.
func (d *step) overdue() {
	if d.Open != nil && d.Open.HeldMS.Known && d.in.AtMS-d.Open.HeldMS.Value >= holdFailed {
		d.endHeld()
	}
	if d.Unseen != nil && d.in.AtMS-d.Unseen.SinceMS >= holdUnseen {
		d.tellUnseen()
	}
	d.clearFaults()
}

// accounted: the id is of a print that is over and was told. A print that was lost
// sight of may come back under its id.
func (s *State) accounted(id string) bool {
	return !s.lost(id) && slices.Contains(s.Done, id)
}

// lost: the id is of the last print, of which nobody knows how it ended.
func (s *State) lost(id string) bool {
	return id != "" && id == s.Ended.ID && s.Ended.Outcome == wire.Unknown
}

// account remembers that the print with this id is over.
func (s *State) account(id string) {
	if id == "" {
		return
	}
	if s.Pending != nil && s.Pending.ID == id {
		s.Pending = nil
	}
	s.Done = append(slices.DeleteFunc(s.Done, func(old string) bool { return old == id }), id)
	if len(s.Done) > maxDone {
		s.Done = slices.Delete(s.Done, 0, len(s.Done)-maxDone)
	}
}
