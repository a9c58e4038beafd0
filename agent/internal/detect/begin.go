package detect

import (
	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// begin opens a run. Its beginning was seen when the picture before showed that
// nothing ran, unless it is one that comes back after a power cut.
func (d *step) begin() {
	p := d.pic
	back := d.lost(p.ID)
	seen := d.Known && !d.fresh && !back
	r := &Run{Print: wire.PrintRecord{RunID: d.in.NewRun}}
	if d.Known {
		r.Stale = d.Last.Numbers
		r.NameOld = p.Name != "" && p.Name == d.Last.Name
	}
	if d.lagging(p) {
		r.OldID = p.ID
	}
	if d.Pending != nil && d.Pending.ID == p.ID {
		d.Pending = nil
	}
	d.Open = r
	r.adopt(p, d.in.AtMS)
	r.number(p)
	kind := wire.PrintObserved
	switch {
	case seen:
		kind, r.StartMS = wire.PrintStarted, bambu.Some(d.in.AtMS)
	case back && d.Ended.StartMS.Known:
		r.StartMS = d.Ended.StartMS
	default:
		r.StartMS = d.guessStart()
	}
	d.tell(kind, func(rec *wire.OutboxRecord) {
		rec.Estimated = !seen
		if !seen {
			rec.Print.StartedAgoMS = d.startedAgo()
		}
	})
	// Milestones of which nobody saw the passing are not told: a journal before
	// this one may have told them.
	r.Mark = milestone(r.Print.Progress.Value)
	d.pauses()
}

// lagging: the id is the one of the print before (#1204), for certain or, where this
// journal has not seen where it comes from, as long as the print is prepared.
func (d *step) lagging(p Picture) bool {
	first := d.Pending != nil && d.Pending.ID == p.ID && d.Pending.First
	return p.ID != "" && (d.accounted(p.ID) || first && preparing(p.Word))
}

// guessStart works out when a print began that was found under way: from how far
// it is, and not before the picture that showed that nothing ran.
func (d *step) guessStart() bambu.Opt[int64] {
	ago, known := int64(0), preparing(d.pic.Word)
	n := d.Open.Print
	if done, left := int64(n.Progress.Value), int64(n.Remaining.Value); !known && done > 0 && done < 100 && left > 0 {
		ago, known = left*1000*done/(100-done), true
	}
	if d.Known {
		if !known && d.gap <= shortGap {
			ago, known = d.gap, true
		}
		ago = min(ago, d.gap)
	}
	if !known {
		return bambu.Opt[int64]{}
	}
	return bambu.Some(d.in.AtMS - ago)
}

// startedAgo is how long ago the open print began.
func (d *step) startedAgo() bambu.Opt[int64] {
	if !d.Open.StartMS.Known {
		return bambu.Opt[int64]{}
	}
	return bambu.Some(max(0, d.in.AtMS-d.Open.StartMS.Value))
}

// tell adds a record of the open run.
func (d *step) tell(kind wire.RecordKind, fill func(*wire.OutboxRecord)) {
	d.Open.Print.Seq++
	body := d.Open.Print
	rec := wire.OutboxRecord{Kind: kind, Print: &body}
	if fill != nil {
		fill(&rec)
	}
	d.out = append(d.out, rec)
}
