package detect

import (
	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// follow goes on with the open run.
func (d *step) follow() {
	r := d.Open
	late := d.settled() && d.believe()
	if (r.adopt(d.pic, d.in.AtMS) || late) && r.Details < maxDetails {
		r.Details++
		d.tell(wire.PrintDetails, nil)
	}
	r.number(d.pic)
	d.pauses()
	if m := milestone(r.Print.Progress.Value); m > r.Mark {
		r.Mark = m
		d.tell(wire.PrintProgress, func(rec *wire.OutboxRecord) { rec.Print.Milestone = m })
	}
}

// believe takes an id that might have been of the print before, and has not changed
// since, for the open print's own.
func (d *step) believe() bool {
	r := d.Open
	if r.Print.SubtaskID != "" || r.OldID == "" || r.OldID != d.pic.ID || d.accounted(r.OldID) {
		return false
	}
	r.Print.SubtaskID, r.OldID = r.OldID, ""
	return true
}

// milestone is the highest multiple of 5 that a progress has passed, up to 95. Which of
// them are worth telling people is for the hub to know.
func milestone(percent int) int { return min(percent, 95) / 5 * 5 }

// pauses tells of a change between PAUSE and RUNNING.
func (d *step) pauses() {
	switch r := d.Open; {
	case d.pic.Word == wordPause && !r.Paused:
		r.Paused = true
		d.tell(wire.PrintPaused, nil)
	case d.pic.Word == wordRunning && r.Paused:
		r.Paused = false
		d.tell(wire.PrintResumed, nil)
	}
}

// adopt takes over what a picture says about which print it is, and tells whether
// that is news.
func (r *Run) adopt(p Picture, atMS int64) (news bool) {
	if p.ID != "" && p.ID != r.OldID && p.ID != r.Print.SubtaskID {
		if r.Print.SubtaskID != "" {
			r.OldID = r.Print.SubtaskID
		}
		r.Print.SubtaskID, r.RanMS, news = p.ID, bambu.Opt[int64]{}, true
	}
	if !r.RanMS.Known && !preparing(p.Word) {
		r.RanMS = bambu.Some(atMS)
	}
	if p.Name != "" && p.Name != r.Print.Name {
		r.NameOld = r.NameOld && r.Print.Name == ""
		r.Print.Name, news = p.Name, true
	}
	// A path that every print has does not replace a name that tells something.
	if f := p.File; f != "" && !p.internal() && f != r.Print.File && (r.Print.File == "" || !plain(f) || plain(r.Print.File)) {
		r.Print.File, news = f, true
	}
	if k := p.Kind; k != "" && k != "idle" && k != r.Print.PrintKind {
		r.Print.PrintKind, news = k, true
	}
	if p.Plate.Known && p.Plate != r.Print.Plate {
		r.Print.Plate, news = p.Plate, true
	}
	// Recording once is recording: the switch may be turned back during the print.
	if p.Timelapse.Known && !r.Print.Timelapse.Value && p.Timelapse != r.Print.Timelapse {
		r.Print.Timelapse, news = p.Timelapse, true
	}
	if p.Nozzle.Known {
		r.Print.Nozzle = p.Nozzle
	}
	return news
}

// number takes over how far a picture says the print is. What was shown before the
// start is not of this print until it has changed; printers reset the numbers when
// a print is cancelled, so the last above zero is kept.
func (r *Run) number(p Picture) {
	n := p.Numbers
	if preparing(p.Word) {
		r.Stale = n
		return
	}
	if n.Layers.Value > 0 {
		r.Print.TotalLayers = n.Layers
	}
	if changed(&r.Stale.Progress, n.Progress) && n.Progress.Value > 0 {
		r.Print.Progress = n.Progress
	}
	total := r.Print.TotalLayers
	if changed(&r.Stale.Layer, n.Layer) && n.Layer.Value > 0 && (!total.Known || n.Layer.Value <= total.Value) {
		r.Print.Layer = n.Layer
	}
	if changed(&r.Stale.Remaining, n.Remaining) && n.Remaining.Known {
		r.Print.Remaining = n.Remaining
	}
}

// changed tells whether a number is no longer the stale one; from then on it is not.
func changed(stale *bambu.Opt[int], now bambu.Opt[int]) bool {
	if stale.Known && now == *stale {
		return false
	}
	if now.Known {
		*stale = bambu.Opt[int]{}
	}
	return true
}
