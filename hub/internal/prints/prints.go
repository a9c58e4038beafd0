// Package prints is the life cycle of prints: the only code that moves a print
// from state to state. It reads what agents' outboxes tell, in their order, and
// turns it into rows, events and pulls, each record exactly once, however often it
// arrives: the mark of what has been applied is part of the same transaction.
//
// A print is known by its run id, which the agent mints. A run of an agent that
// lost its memory is linked to the print that is open at that printer when nothing
// disproves that it is the same.
package prints

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Store is the database. ApplyPrints runs fn in one write transaction, perhaps more
// than once.
type Store interface {
	ApplyPrints(ctx context.Context, agentID int64, epoch string, fn func(Tx) error) error
	OutboxMark(ctx context.Context, agentID int64, epoch string) (int64, error)
	OpenPrints(ctx context.Context) ([]farm.Print, error)
	Print(ctx context.Context, id int64) (farm.Print, error)
	Cursor(ctx context.Context, name string) (int64, error)
	SetCursor(ctx context.Context, name string, id int64) error
}

// Events is the news of the event table.
type Events interface {
	Follow(ctx context.Context, after int64, fn func(farm.Event) error) error
}

// Tx is one transaction of an agent's outbox.
type Tx interface {
	// Mark is the number of the last record of this agent and epoch that was applied.
	// and when it had come.
	Mark() (n int64, at time.Time)
	SetMark(n int64, at time.Time)
	// Printer finds a registered printer; NOT_FOUND without.
	Printer(serial string) (farm.Printer, error)
	// Run finds the print a run id belongs to, deleted ones too, and the last Seq of
	// that run.
	Run(runID string) (p farm.Print, seq int64, ok bool, err error)
	// Open finds the print that is under way at a printer.
	Open(printerID int64) (farm.Print, bool, error)
	// BySubtask finds the newest print of a printer with that id of a submission.
	BySubtask(printerID int64, subtask string) (farm.Print, bool, error)
	Insert(p *farm.Print) error
	Save(p farm.Print) error
	Link(runID string, printID, seq int64) error
	SetSeq(runID string, seq int64) error
	// PutFile notes how a file of a print stands; one that is stored stays so.
	PutFile(f farm.PrintFile) error
	// AddPull wants a captured file; the same one twice is one.
	AddPull(p farm.Pull) error
	Tell(e farm.Event)
}

// Options are the parts of Prints.
type Options struct {
	Store  Store
	Events Events
	// Settled hears, after a commit, up to which number an agent's records are
	// applied. It must not block. nil: nobody.
	Settled func(agentID, n int64)
	// Milestones are the percent at which progress is told, in order; nil: none.
	Milestones func() []int
	// Prices are what a print that ends costs; nil: nothing.
	Prices func() farm.Prices
	// Wanted hears that there may be files to fetch. It must not block. nil: nobody.
	Wanted func()
	Log    *slog.Logger
}

// alone is the share of the order of who wants nobody beside.
const alone = math.MaxInt64

// Prints applies outboxes. Its methods may be called concurrently.
type Prints struct {
	o   Options
	log *slog.Logger

	// order is held from the begin of a transaction until its outcome is in open, by any
	// number of them; who reads a print for open holds all of it, so that what was read
	// is not older than what is in open by then.
	order *semaphore.Weighted

	mu   sync.RWMutex
	open map[int64]farm.Print // by printer: what is under way, as committed
}

// New makes Prints; Load fills in what is under way.
func New(o Options) *Prints {
	if o.Settled == nil {
		o.Settled = func(int64, int64) {}
	}
	if o.Milestones == nil {
		o.Milestones = func() []int { return nil }
	}
	if o.Prices == nil {
		o.Prices = func() farm.Prices { return farm.Prices{} }
	}
	if o.Wanted == nil {
		o.Wanted = func() {}
	}
	return &Prints{o: o, log: o.Log, open: map[int64]farm.Print{}, order: semaphore.NewWeighted(alone)}
}

// Load reads the prints that are under way.
func (p *Prints) Load(ctx context.Context) error {
	open, err := p.o.Store.OpenPrints(ctx)
	if err != nil {
		return fmt.Errorf("load the open prints: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range open {
		p.open[one.PrinterID] = one
	}
	return nil
}

// Current is the print that is under way at a printer, as it was committed last.
func (p *Prints) Current(printerID int64) (farm.Print, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	one, ok := p.open[printerID]
	return one, ok
}

// Mark is how far an agent's outbox of that epoch has been applied.
func (p *Prints) Mark(ctx context.Context, agentID int64, epoch string) (int64, error) {
	mark, err := p.o.Store.OutboxMark(ctx, agentID, epoch)
	if err == nil {
		p.o.Settled(agentID, mark)
	}
	return mark, err
}

// Apply applies a page of an agent's outbox, which arrived at that moment of the
// hub's clock, and gives the number up to which everything is now applied. Either
// all of it is, or nothing.
func (p *Prints) Apply(ctx context.Context, agent farm.Agent, page wire.OutboxPage, at time.Time) (int64, error) {
	b, err := p.change(ctx, agent.ID, page.Epoch, batch{agent: agent, clock: page.Clock, at: at}, func(b *batch) error { return b.apply(page) })
	if err != nil {
		return 0, fmt.Errorf("apply the outbox of agent %d: %w", agent.ID, err)
	}
	p.o.Settled(agent.ID, b.mark)
	if b.pulls {
		p.o.Wanted()
	}
	return b.mark, nil
}

// change runs fn, perhaps more than once, in one transaction, and takes over what it
// has committed.
func (p *Prints) change(ctx context.Context, agentID int64, epoch string, with batch, fn func(*batch) error) (*batch, error) {
	if err := p.order.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer p.order.Release(1)
	var b *batch
	err := p.o.Store.ApplyPrints(ctx, agentID, epoch, func(tx Tx) error {
		one := with
		b = &one
		b.tx, b.log, b.touched = tx, p.log, map[int64]farm.Print{}
		b.milestones, b.prices = p.o.Milestones(), p.o.Prices()
		return fn(b)
	})
	if err == nil {
		p.keep(b.touched)
	}
	return b, err
}

// keep takes over what a transaction has committed.
func (p *Prints) keep(touched map[int64]farm.Print) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range touched {
		now, open := p.open[one.PrinterID]
		switch {
		case one.Status == farm.StatusPrinting && (!open || now.ID <= one.ID):
			p.open[one.PrinterID] = one
		case open && now.ID == one.ID:
			delete(p.open, one.PrinterID)
		}
	}
}
