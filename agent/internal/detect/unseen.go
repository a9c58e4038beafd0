package detect

import (
	"strings"

	"bambuddy/shared/wire"
)

// unseen looks at a terminal picture after a gap in which no run is open: it may
// show a print that began and ended while nobody looked. That is told only when the
// printer has stayed so for a while, since one that has just taken a print shows the
// new id long before it begins.
func (d *step) unseen() {
	p := d.pic
	if u := d.Unseen; u != nil {
		switch {
		case p.Word == wordIdle:
			return
		case samePrint(u.Picture, p): // what was shown before may have been the end of the one before
			u.Picture, u.Stopped = p, d.echoing()
			return
		}
		d.tellUnseen()
	}
	if p.Word == wordIdle || !d.isNew(p) {
		d.resting()
		return
	}
	if d.Pending != nil && d.Pending.ID != p.ID {
		d.account(d.Pending.ID) // what was shown before is over as well
	}
	d.Unseen = &Unseen{RunID: d.in.NewRun, SinceMS: d.in.AtMS, Picture: p, Stopped: d.echoing()}
}

// isNew: the picture shows a print that this journal has never told of.
func (d *step) isNew(p Picture) bool {
	switch {
	case p.internal() || strings.HasPrefix(p.Name, "auto_cali"):
		return false
	case p.ID != "" && (d.accounted(p.ID) || p.ID == d.Ended.ID):
		return false
	case p.ID != "" && d.Pending != nil && d.Pending.ID == p.ID && (d.Pending.First || d.Pending.Old):
		return false
	case d.Ended.RunID != "" && d.Ended.ID == "" && (d.Ended.NameOld || alike(p.Name, d.Ended.Name) || alike(p.Name, d.Ended.File)):
		return false // the id or name of the last print, which came late
	case p.ID != "":
		return true
	}
	// Without ids only another name tells, and never that of the last print.
	return p.Name != "" && stem(p.Name) != stem(d.Last.Name) && stem(p.Name) != stem(d.Ended.Name) && !d.Ended.NameOld
}

// samePrint: by their ids, or where one has none by their names.
func samePrint(a, b Picture) bool {
	if a.ID != "" && b.ID != "" {
		return a.ID == b.ID
	}
	return alike(a.Name, b.Name)
}

// resting looks at a terminal picture in which nothing is to be told.
func (d *step) resting() {
	p := d.pic
	if u := d.Unseen; u != nil && !d.fresh && p.Word != wordIdle {
		if !samePrint(u.Picture, p) {
			d.tellUnseen() // the printer has taken the next print, so this one was over
		} else if p.Word == u.Picture.Word {
			u.Stopped = u.Stopped || d.echoing()
		}
	}
	switch {
	case p.ID == "" || p.internal() || d.accounted(p.ID) || d.Unseen != nil && d.Unseen.Picture.ID == p.ID:
	case d.Pending == nil || d.Pending.ID != p.ID:
		if d.Pending != nil {
			d.account(d.Pending.ID)
		}
		d.Pending = &Pending{ID: p.ID, SinceMS: d.in.AtMS, First: !d.Known || d.fresh}
	case d.in.AtMS-d.Pending.SinceMS < holdUnseen:
	case d.Pending.First:
		d.account(p.ID)
	default:
		d.Pending.Old = true // it may still be begun, but is no news any more
	}
}

// resolveUnseen decides, when something runs, on a print that was held back: it
// only begins now, or it is over and another has begun.
func (d *step) resolveUnseen() {
	if d.Unseen == nil {
		return
	}
	now := d.pic
	if d.accounted(now.ID) {
		now.ID = "" // of a print before; its own comes later
	}
	if samePrint(d.Unseen.Picture, now) {
		d.Unseen = nil
		return
	}
	d.tellUnseen()
}

// tellUnseen tells of a print that was found ended.
func (d *step) tellUnseen() {
	u, open := d.Unseen, d.Open
	p := u.Picture
	r := &Run{Print: wire.PrintRecord{RunID: u.RunID}}
	r.adopt(p, u.SinceMS)
	r.number(p)
	d.Open, d.Unseen = r, nil
	guess := func(rec *wire.OutboxRecord) { rec.AgoMS, rec.Estimated = max(0, d.in.AtMS-u.SinceMS), true }
	d.tell(wire.PrintObserved, guess)
	e := end{outcome: wire.Success, atMS: u.SinceMS, guessed: true}
	switch {
	case d.fresh && !samePrint(p, d.pic):
		e.outcome = wire.Unknown // the word may have been of the one before, and nobody saw its own
	case p.Word == wordFailed && u.Stopped:
		e.outcome = wire.Aborted
	case p.Word == wordFailed:
		e.outcome = wire.Failed
	}
	d.finish(e)
	d.Open = open
}
