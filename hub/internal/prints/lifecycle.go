package prints

import (
	"fmt"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// print applies a record of a print. That of a run that is known needs no other proof
// than the run's id, whoever brings it: an agent that was enrolled anew goes on with its
// journal, and one that gave its printer up may tell late what it had seen.
func (b *batch) print(r wire.OutboxRecord) error {
	p, seq, known, err := b.tx.Run(r.Print.RunID)
	switch {
	case err != nil:
		return err
	case known && r.Print.Seq <= seq && r.Kind != wire.PrintFinished:
		return nil // told before, in another epoch: an end is known by the status instead
	case !known:
		if p, err = b.meet(r); err != nil || p.ID == 0 {
			return err
		}
	default:
		if err := b.tx.SetSeq(r.Print.RunID, r.Print.Seq); err != nil {
			return err
		}
	}
	if !p.DeletedAt.IsZero() {
		return nil // somebody deleted it: what comes now is of no use
	}
	own, err := b.goesOn(p, r)
	switch {
	case err != nil:
		return err
	case own:
		p.AgentID = b.agent.ID
	case r.Print.Outcome == wire.Unknown:
		return nil // another agent has gone on with it, and may know better
	}
	return b.move(p, r)
}

// goesOn tells whether it is this agent that goes on with a print: it did so far, or
// holds the printer now.
func (b *batch) goesOn(p farm.Print, r wire.OutboxRecord) (bool, error) {
	if p.AgentID == b.agent.ID || p.AgentID == 0 {
		return true, nil
	}
	printer, err := b.printer(r.Serial)
	return printer.AgentID == b.agent.ID, err
}

// meet finds or makes the print of a run that is heard of for the first time. It
// gives none when the record is not this agent's to tell.
func (b *batch) meet(r wire.OutboxRecord) (farm.Print, error) {
	printer, err := b.printer(r.Serial)
	if err != nil {
		return farm.Print{}, err
	}
	if b.foreign(printer, r) {
		return farm.Print{}, b.pass(r, errForeign)
	}
	open, isOpen := farm.Print{}, false
	if printer.ID != 0 {
		if open, isOpen, err = b.tx.Open(printer.ID); err != nil {
			return farm.Print{}, err
		}
	}
	if isOpen && same(open, r) {
		return b.adopt(open, r)
	}
	if !isOpen && r.Kind == wire.PrintObserved && r.Print.SubtaskID != "" && printer.ID != 0 {
		before, found, err := b.tx.BySubtask(printer.ID, r.Print.SubtaskID)
		if err != nil {
			return farm.Print{}, err
		}
		if found && before.DeletedAt.IsZero() {
			return b.revive(before, r)
		}
	}
	if isOpen {
		if err := b.displace(open, r); err != nil {
			return farm.Print{}, err
		}
	}
	return b.begin(printer, r)
}

// same tells whether a run that is heard of for the first time is the print that
// is open already. A start that was seen is one of its own, unless the printer's id
// says otherwise.
func same(open farm.Print, r wire.OutboxRecord) bool {
	if open.Subtask != "" && r.Print.SubtaskID != "" {
		return open.Subtask == r.Print.SubtaskID
	}
	if r.Kind != wire.PrintObserved {
		return false
	}
	_, filename := names(r.Print)
	return filename == open.Filename || r.Print.Name == "" && r.Print.File == ""
}

// adopt links a run to a print that is known by another one.
func (b *batch) adopt(p farm.Print, r wire.OutboxRecord) (farm.Print, error) {
	if at, estimated := b.happened(r); r.Kind == wire.PrintStarted && p.TimeEstimated && !estimated {
		p.CreatedAt, p.StartedAt, p.TimeEstimated = at, at, false
	}
	p.AgentID = b.agent.ID
	return p, b.tx.Link(r.Print.RunID, p.ID, r.Print.Seq)
}

// revive links a run to a print that has ended, as far as was known. When nobody
// knew how, it has not: it goes on.
func (b *batch) revive(p farm.Print, r wire.OutboxRecord) (farm.Print, error) {
	if p.Status == farm.StatusUnknown {
		p.Status, p.FinishedAt, p.Duration = farm.StatusPrinting, time.Time{}, nil
		if err := b.save(p); err != nil {
			return p, err
		}
	}
	return b.adopt(p, r)
}

// displace ends the print that is open at a printer where another one runs now: it
// ended unseen.
func (b *batch) displace(open farm.Print, r wire.OutboxRecord) error {
	at, _ := b.happened(r)
	_, err := b.giveUp(open, at)
	return err
}

// begin makes the print of a run.
func (b *batch) begin(printer farm.Printer, r wire.OutboxRecord) (farm.Print, error) {
	at, estimated := b.happened(r)
	began := at
	if ago := r.Print.StartedAgoMS; r.Kind != wire.PrintStarted {
		estimated = true
		if ago.Known {
			began = at.Add(-time.Duration(ago.Value) * time.Millisecond)
		}
	}
	name, filename := names(r.Print)
	p := farm.Print{
		Kind: farm.KindPrint, Status: farm.StatusPrinting, RunID: r.Print.RunID, Source: source(r.Print),
		PrinterID: printer.ID, PrinterName: printer.Name, Serial: r.Serial, SiteID: printer.SiteID, AgentID: b.agent.ID,
		Name: name, Filename: filename, CreatedAt: began, StartedAt: began, TimeEstimated: estimated,
		FileStatus: farm.FilePending, Tags: []string{}, Filaments: []farm.PrintFilament{},
	}
	fill(&p, r.Print)
	if r.Kind == wire.PrintObserved { // nobody saw it pass these
		p.Milestone = p.Progress / 5 * 5
	}
	if err := b.tx.Insert(&p); err != nil {
		return p, err
	}
	p.Dir = farm.PrintDir(p)
	if err := b.save(p); err != nil {
		return p, err
	}
	if err := b.tx.Link(r.Print.RunID, p.ID, r.Print.Seq); err != nil {
		return p, err
	}
	b.tell(farm.EventPrintStarted, began, p, nil)
	if printer.ID == 0 { // removed: its agent is told so, and may never tell how it ended
		return b.giveUp(p, at)
	}
	return p, nil
}

// giveUp ends a print of which nobody knows how it ended, or ever will. An end that is
// proven later still counts.
func (b *batch) giveUp(p farm.Print, noticed time.Time) (farm.Print, error) {
	p.Status, p.TimeEstimated, p.Paused = farm.StatusUnknown, true, false
	p.Weigh(b.prices)
	if err := b.save(p); err != nil {
		return p, err
	}
	b.tell(farm.EventPrintComplete, noticed, p, nil)
	return p, nil
}

// move takes over what a record says of a print and carries out its kind.
func (b *batch) move(p farm.Print, r wire.OutboxRecord) error {
	if p.Status.Ended() {
		if r.Kind != wire.PrintFinished {
			return nil
		}
		return b.proveEnd(p, r)
	}
	before := p
	fill(&p, r.Print)
	at, _ := b.happened(r)
	switch r.Kind {
	case wire.PrintProgress:
		if r.Print.Milestone <= p.Milestone {
			break
		}
		passed := highest(b.milestones, p.Milestone, r.Print.Milestone)
		if p.Milestone = r.Print.Milestone; passed > 0 {
			b.tell(farm.EventPrintProgress, at, p, map[string]any{"progress": passed})
		}
	case wire.PrintPaused, wire.PrintResumed:
		paused := r.Kind == wire.PrintPaused
		if p.Paused == paused {
			break
		}
		p.Paused = paused
		kind := farm.EventPrintResumed
		if paused {
			kind = farm.EventPrintPaused
		}
		b.tell(kind, at, p, nil)
	case wire.PrintFinished:
		b.finish(&p, r)
		b.tell(endEvent(p.Status), endOf(p, at), p, endMore(p))
	}
	if r.Kind == wire.PrintDetails && (before.Name != p.Name || before.Filename != p.Filename || before.Plate != p.Plate) {
		b.tell(farm.EventArchiveUpdated, at, p, nil)
	}
	return b.save(p)
}

// highest is the highest milestone beyond one percentage and up to another; 0: none.
func highest(milestones []int, beyond, upTo int) (m int) {
	for _, one := range milestones {
		if one > beyond && one <= upTo {
			m = max(m, one)
		}
	}
	return m
}

// finish ends a print as its last record says.
func (b *batch) finish(p *farm.Print, r wire.OutboxRecord) {
	at, estimated := b.happened(r)
	p.Status, p.Paused, p.FailureReason = statusOf(r.Print.Outcome), false, r.Print.Reason
	p.TimeEstimated = p.TimeEstimated || estimated
	p.FinishedAt, p.Duration = time.Time{}, nil
	if p.Status != farm.StatusUnknown {
		if at.Before(p.StartedAt) {
			at, p.TimeEstimated = p.StartedAt, true
		}
		seconds := int64(at.Sub(p.StartedAt).Round(time.Second) / time.Second)
		p.FinishedAt, p.Duration = at, &seconds
	}
	if p.Status == farm.StatusSuccess {
		p.Progress = 100
		p.Layer = max(p.Layer, p.TotalLayers)
	}
	p.Weigh(b.prices)
}

// proveEnd takes over the outcome of a print that had been given up as unknown. Its
// end was told already: that it is known now is a change of the archive.
func (b *batch) proveEnd(p farm.Print, r wire.OutboxRecord) error {
	if p.Status != farm.StatusUnknown || statusOf(r.Print.Outcome) == farm.StatusUnknown {
		return nil
	}
	fill(&p, r.Print)
	b.finish(&p, r)
	b.tell(farm.EventArchiveUpdated, b.at, p, nil)
	return b.save(p)
}

func (b *batch) save(p farm.Print) error {
	p.UpdatedAt = b.at
	if err := b.tx.Save(p); err != nil {
		return fmt.Errorf("save print %d: %w", p.ID, err)
	}
	b.touched[p.ID] = p
	return nil
}

// tell writes an event of a print, with the keys of the contract.
func (b *batch) tell(kind string, at time.Time, p farm.Print, more map[string]any) {
	data := map[string]any{
		"printer_id": orNil(p.PrinterID), "printer_name": p.PrinterName, "archive_id": p.ID, "filename": p.Filename,
		"duration": p.Duration, "status": string(p.Status),
	}
	for k, v := range more {
		data[k] = v
	}
	b.tx.Tell(farm.Event{Kind: kind, At: at, PrinterID: p.PrinterID, SiteID: p.SiteID, AgentID: b.agent.ID, Data: object(data)})
}

func orNil(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

func statusOf(o wire.Outcome) farm.PrintStatus {
	switch o {
	case wire.Success:
		return farm.StatusSuccess
	case wire.Failed:
		return farm.StatusFailed
	case wire.Aborted:
		return farm.StatusStopped
	default:
		return farm.StatusUnknown
	}
}

func endEvent(s farm.PrintStatus) string {
	switch s {
	case farm.StatusFailed:
		return farm.EventPrintFailed
	case farm.StatusStopped:
		return farm.EventPrintStopped
	default:
		return farm.EventPrintComplete
	}
}

// endOf is when a print ended, or when that was noticed.
func endOf(p farm.Print, noticed time.Time) time.Time {
	if p.FinishedAt.IsZero() {
		return noticed
	}
	return p.FinishedAt
}

func endMore(p farm.Print) map[string]any {
	if p.Status != farm.StatusFailed {
		return nil
	}
	if p.FailureReason == "" {
		return map[string]any{"failure_reason": nil}
	}
	return map[string]any{"failure_reason": p.FailureReason}
}
