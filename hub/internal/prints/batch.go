package prints

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// batch is one page being applied in one transaction.
type batch struct {
	tx    Tx
	agent farm.Agent
	clock wire.Clock // the agent's, when the hub's showed at
	at    time.Time
	log   *slog.Logger

	milestones []int // of which progress is told
	prices     farm.Prices

	mark    int64
	before  time.Time // when the last page came: nothing in this one was written before
	pulls   bool
	touched map[int64]farm.Print // by id, as saved last
}

func (b *batch) apply(page wire.OutboxPage) error {
	b.mark, b.before = b.tx.Mark()
	if page.First > b.mark+1 {
		b.gap(wire.GapRecord{From: b.mark + 1, To: page.First - 1, Reason: "the agent no longer keeps them"})
		b.mark = page.First - 1
	}
	for _, r := range page.Records {
		if r.N <= b.mark {
			continue
		}
		if told := r.Kind == wire.GapKind && r.Gap != nil && r.Gap.From <= b.mark+1; r.N > b.mark+1 && !told {
			b.gap(wire.GapRecord{From: b.mark + 1, To: r.N - 1, Reason: "the agent left them out"})
		}
		if err := b.record(clean(r)); err != nil {
			return fmt.Errorf("record %d (%s): %w", r.N, r.Kind, err)
		}
		b.mark = r.N
	}
	b.tx.SetMark(b.mark, b.at)
	return nil
}

// record applies one record. What cannot be understood is told in the log and
// passed over: a record that an agent will never write otherwise must not stop the
// ones behind it.
func (b *batch) record(r wire.OutboxRecord) error {
	switch r.Kind {
	case wire.GapKind:
		if r.Gap != nil {
			b.gap(*r.Gap)
		}
		return nil
	case wire.FaultRaised, wire.FaultCleared:
		if r.Fault != nil {
			return b.fault(r)
		}
	case wire.FileReady, wire.FileUnavailable:
		if r.File != nil {
			return b.file(r)
		}
	case wire.PrintStarted, wire.PrintObserved, wire.PrintDetails, wire.PrintProgress, wire.PrintPaused, wire.PrintResumed, wire.PrintFinished:
		if r.Print != nil && r.Print.RunID != "" {
			return b.print(r)
		}
	}
	b.log.Warn("a record of an agent is not understood and passed over", "agent", b.agent.ID, "n", r.N, "kind", string(r.Kind))
	return nil
}

func (b *batch) gap(g wire.GapRecord) {
	b.log.Error("records of an agent are missing", "agent", b.agent.ID, "from", g.From, "to", g.To, "reason", g.Reason)
	b.tx.Tell(farm.Event{
		Kind: farm.EventAgentGap, At: b.at, AgentID: b.agent.ID, SiteID: b.agent.SiteID,
		Data: object(map[string]any{"agent_id": b.agent.ID, "from": g.From, "to": g.To, "reason": g.Reason}),
	})
}

// happened places a record on the hub's clock. A record of the process that
// answered is placed by the clock that nobody can set; an older one by the wall
// clock, as far as that is off now.
func (b *batch) happened(r wire.OutboxRecord) (at time.Time, estimated bool) {
	if r.ProcessID == b.clock.ProcessID {
		at = b.at.Add(-time.Duration(b.clock.MonoMS-r.MonoMS) * time.Millisecond)
	} else {
		at, estimated = b.at.Add(-time.Duration(b.clock.WallMS-r.WallMS)*time.Millisecond), true
		if at.Before(b.before) {
			at = b.before // the clock was another one then
		}
	}
	at = at.Add(-time.Duration(r.AgoMS) * time.Millisecond)
	if at.After(b.at) {
		at = b.at
	}
	return at.UTC(), estimated || r.Estimated
}

// printer finds the printer a record speaks of. One that was removed meanwhile still
// has its prints, told by its serial number alone.
func (b *batch) printer(serial string) (farm.Printer, error) {
	p, err := b.tx.Printer(serial)
	if farm.Is(err, farm.NotFound) {
		return farm.Printer{Serial: serial, Name: serial, SiteID: b.agent.SiteID}, nil
	}
	return p, err
}

// foreign tells whether a record speaks of a printer that is none of its agent's:
// held by another, and not under an assignment of before.
func (b *batch) foreign(p farm.Printer, r wire.OutboxRecord) bool {
	return p.AgentID != 0 && p.AgentID != b.agent.ID && r.Fence >= p.Fence
}

var errForeign = errors.New("another agent holds this printer")

// pass logs what is passed over.
func (b *batch) pass(r wire.OutboxRecord, why error) error {
	b.log.Warn("a record of an agent is passed over", "agent", b.agent.ID, "n", r.N, "kind", string(r.Kind), "printer", r.Serial, "err", why)
	return nil
}

func (b *batch) fault(r wire.OutboxRecord) error {
	p, err := b.printer(r.Serial)
	if err != nil {
		return err
	}
	if b.foreign(p, r) {
		return b.pass(r, errForeign)
	}
	kind := farm.EventPrinterError
	if r.Kind == wire.FaultCleared {
		kind = farm.EventErrorCleared
	}
	at, _ := b.happened(r)
	b.tx.Tell(farm.Event{
		Kind: kind, At: at, PrinterID: p.ID, SiteID: p.SiteID, AgentID: b.agent.ID,
		Data: object(map[string]any{
			"printer_id": p.ID, "printer_name": p.Name, "code": r.Fault.Code, "severity": r.Fault.Severity, "message": r.Fault.Message,
		}),
	})
	return nil
}

// object is the JSON of an event's data.
func object(fields map[string]any) []byte {
	out, _ := json.Marshal(fields) // words and numbers always marshal
	return out
}
