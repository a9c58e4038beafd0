package detect

import (
	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// end is how the open run ended.
type end struct {
	outcome wire.Outcome
	atMS    int64
	guessed bool // atMS was not seen
}

// ended reads a terminal picture that follows a busy one without a gap.
func (d *step) ended() {
	now := end{atMS: d.in.AtMS}
	if d.Open.RanMS.Known {
		d.believe()
	}
	switch d.pic.Word {
	case wordFinish:
		d.Open.last(d.pic)
		now.outcome = wire.Success
		d.finish(now)
	case wordFailed:
		d.Open.last(d.pic)
		d.failed(now)
	default: // IDLE: cancelled while it was paused, or before it ran
		now.outcome = wire.Aborted
		if d.troubled() && !d.stopped() {
			now.outcome = wire.Failed
		}
		d.finish(now)
	}
}

// endedAway reads a terminal picture after a gap.
func (d *step) endedAway() {
	d.believe()
	switch {
	case d.pic.Word == wordIdle: // it was off meanwhile
		d.lose()
	case !d.sameEnd():
		d.lose()
		d.unseen()
	default:
		d.Open.adopt(d.pic, d.in.AtMS)
		d.Open.last(d.pic)
		d.provenAway()
	}
}

// provenAway ends the open run as the picture says; when that was can only be
// worked out: a success when it was due, anything else after it was last seen.
func (d *step) provenAway() {
	e := end{atMS: d.SeenMS, guessed: true}
	if d.pic.Word == wordFailed {
		d.failed(e)
		return
	}
	e.outcome = wire.Success
	e.atMS = min(d.in.AtMS, d.SeenMS+int64(d.Open.Print.Remaining.Value)*1000)
	d.finish(e)
}

// failed ends the open run, or holds that back until it is clear why it failed.
func (d *step) failed(e end) {
	switch {
	case d.stopped():
		e.outcome = wire.Aborted
	case d.troubled():
		e.outcome = wire.Failed
	default:
		r := d.Open
		r.HeldMS, r.EndMS, r.Guessed = bambu.Some(d.in.AtMS), e.atMS, e.guessed
		return
	}
	d.finish(e)
}

// held reads a terminal picture while a FAILED is held back.
func (d *step) held() {
	r, p := d.Open, d.pic
	moved := p.Word != wordFailed || p.ID != "" && p.ID != r.OldID && r.Print.SubtaskID != "" && p.ID != r.Print.SubtaskID
	if !moved && !d.stopped() && !d.troubled() {
		return
	}
	d.endHeld()
	switch {
	case moved && d.fresh:
		d.unseen()
	case moved:
		d.resting()
	}
}

// endHeld ends a run whose FAILED was held back, by what is known now.
func (d *step) endHeld() {
	e := end{outcome: wire.Failed, atMS: d.Open.EndMS, guessed: d.Open.Guessed}
	if d.stopped() {
		e.outcome = wire.Aborted
	}
	d.finish(e)
}

// lose ends a run of which nobody knows how or when it ended; that somebody stopped
// it may still be known.
func (d *step) lose() {
	e := end{outcome: wire.Unknown, atMS: d.in.AtMS, guessed: true}
	if d.stopped() && d.pic.Word == wordIdle {
		e.outcome = wire.Aborted
	}
	d.finish(e)
}

// stopped: a person's wish to stop the print is proven, and not long ago.
func (d *step) stopped() bool {
	r := d.Open
	return r.StopMS.Known && d.in.AtMS-r.StopMS.Value <= stopCounts
}

// last takes the numbers of a terminal picture where they are more than those of
// the print under way: a FINISH says 100 percent, a cancelled print is set to 0.
func (r *Run) last(p Picture) {
	n := p.Numbers
	if changed(&r.Stale.Progress, n.Progress) && n.Progress.Value > r.Print.Progress.Value {
		r.Print.Progress = n.Progress
	}
	total := r.Print.TotalLayers
	if changed(&r.Stale.Layer, n.Layer) && n.Layer.Value > r.Print.Layer.Value && (!total.Known || n.Layer.Value <= total.Value) {
		r.Print.Layer = n.Layer
	}
}

// finish tells the end of the open run and closes it.
func (d *step) finish(e end) {
	r := d.Open
	d.tell(wire.PrintFinished, func(rec *wire.OutboxRecord) {
		rec.AgoMS, rec.Estimated = max(0, d.in.AtMS-e.atMS), e.guessed
		rec.Print.Outcome = e.outcome
		rec.Print.StartedAgoMS = d.startedAgo()
		if e.outcome == wire.Failed || e.outcome == wire.Unknown {
			rec.Print.Reason = d.reason()
		}
	})
	d.Ended = Ended{
		RunID: r.Print.RunID, ID: r.Print.SubtaskID, Name: r.Print.Name, File: r.Print.File,
		NameOld: r.NameOld, Outcome: e.outcome, StartMS: r.StartMS,
	}
	d.account(r.OldID)
	d.account(r.Print.SubtaskID)
	d.Open = nil
}
