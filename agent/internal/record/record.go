// Package record keeps the books of a site: every picture of every printer goes
// through its detector, and what comes out of that is on disk before anybody else is
// told of the picture. State of the detector, records and the captures they call for
// are one transaction, so a crash at any moment leaves a journal that goes on where
// it was.
package record

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"bambuddy/agent/internal/detect"
	"bambuddy/agent/internal/outbox"
	"bambuddy/agent/internal/printer"
	"bambuddy/shared/wire"
)

const (
	// commitPatience bounds how long a printer's session waits for the disk.
	commitPatience = 10 * time.Second
	// retryAfter is when a picture that could not be written down is tried again.
	retryAfter = 5 * time.Second
	// keepEvery is how often the detector's memory of a print under way is written
	// down though nothing happened: progress and time left serve to estimate an end
	// that nobody saw.
	keepEvery = time.Minute
)

// Journal is where it is written down.
type Journal interface {
	// Printers gives the detectors' states as they were written last.
	Printers(ctx context.Context) (map[string]outbox.Kept, error)
	// Commit writes a change in one transaction; it is durable when it returns.
	Commit(ctx context.Context, c outbox.Change) (last int64, err error)
	// LastOf is the number of the last record of a printer.
	LastOf(serial string) int64
}

// Options are the parts of a Recorder.
type Options struct {
	Journal Journal
	// Tasks gives the captures that a record calls for. nil: none.
	Tasks func(serial string, r wire.OutboxRecord) []outbox.Task
	// Wake hears that there are captures to do. It must not block. nil: nobody.
	Wake func()
	// Started is when the process began: the detectors' clock counts on from there, and
	// does not follow one that somebody sets. Zero: now.
	Started time.Time
	Log     *slog.Logger
}

// Recorder keeps the books of all printers.
type Recorder struct {
	o   Options
	log *slog.Logger

	mu    sync.Mutex
	books map[string]*ledger // by serial
}

// ledger is one printer's.
type ledger struct {
	mu      sync.Mutex // one picture at a time, also while sessions follow each other
	state   detect.State
	kept    []byte // as written last
	keptAt  time.Time
	gap     bool // something may have been missed, and no picture since is written down
	stopped bool // of pictures that could not be written down
	failing bool
}

// Open reads what the journal holds.
func Open(ctx context.Context, o Options) (*Recorder, error) {
	if o.Tasks == nil {
		o.Tasks = func(string, wire.OutboxRecord) []outbox.Task { return nil }
	}
	if o.Wake == nil {
		o.Wake = func() {}
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	r := &Recorder{o: o, log: o.Log, books: map[string]*ledger{}}
	kept, err := o.Journal.Printers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what is known of the prints: %w", err)
	}
	for serial, k := range kept {
		l := &ledger{gap: true}
		if len(k.State) > 0 {
			if err := json.Unmarshal(k.State, &l.state); err != nil {
				o.Log.Error("what was known of a printer's prints cannot be read, it is looked at anew", "printer", serial, "err", err)
				l.state = detect.State{}
			}
		}
		r.books[serial] = l
	}
	return r, nil
}

// Book gives the book of a printer under an assignment, for its session.
func (r *Recorder) Book(serial string, fence int64) printer.Book {
	return &book{recorder: r, serial: serial, fence: fence, ledger: r.ledger(serial)}
}

func (r *Recorder) ledger(serial string) *ledger {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.books[serial]
	if l == nil {
		l = &ledger{gap: true}
		r.books[serial] = l
	}
	return l
}

// Forget drops what is known of a printer that is held no longer: when it comes back,
// others may have printed with it. It works in memory; what is on disk would only
// tell, after a restart, that a print ended unseen.
func (r *Recorder) Forget(serial string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.books, serial)
}

// book is the book of one session.
type book struct {
	recorder *Recorder
	serial   string
	fence    int64
	ledger   *ledger
}

// Enter is printer.Book's.
func (b *book) Enter(p printer.Picture) (last int64, due time.Time, written bool) {
	l := b.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap, l.stopped = l.gap || p.Fresh, l.stopped || p.Stopped
	atMS := b.recorder.clock(p.At)
	next, records := l.state.Step(detect.Input{Status: p.Status, AtMS: atMS, Fresh: l.gap, NewRun: newRun(), Stopped: l.stopped})
	if err := b.write(next, records, p.At); err != nil {
		if !l.failing {
			l.failing = true
			b.recorder.log.Error("what happened at a printer was not written down, will be tried again", "printer", b.serial, "err", err)
		}
		return b.recorder.o.Journal.LastOf(b.serial), p.At.Add(retryAfter), len(records) == 0
	}
	if l.failing {
		l.failing = false
		b.recorder.log.Info("what happens at a printer is written down again", "printer", b.serial)
	}
	l.state, l.stopped, l.gap = next, false, false
	if at, ok := next.Due(atMS); ok {
		due = p.At.Add(time.Duration(at-atMS) * time.Millisecond)
	}
	return b.recorder.o.Journal.LastOf(b.serial), due, true
}

// clock is a moment on the detectors' clock, in milliseconds: the wall clock as it was
// when the process began, and what has passed since.
func (r *Recorder) clock(at time.Time) int64 {
	return r.o.Started.UnixMilli() + at.Sub(r.o.Started).Milliseconds()
}

// write puts down what a step gave. The state alone is written now and then only.
func (b *book) write(next detect.State, records []wire.OutboxRecord, at time.Time) error {
	l := b.ledger
	state, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("write the detector's state: %w", err)
	}
	if len(records) == 0 && !next.Differs(l.state) && (string(state) == string(l.kept) || at.Sub(l.keptAt) < keepEvery) {
		return nil
	}
	c := outbox.Change{Serial: b.serial, Fence: b.fence, State: state, Records: records}
	for _, r := range records {
		c.Tasks = append(c.Tasks, b.recorder.o.Tasks(b.serial, r)...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitPatience)
	defer cancel()
	if _, err := b.recorder.o.Journal.Commit(ctx, c); err != nil {
		return err
	}
	l.kept, l.keptAt = state, at
	for _, r := range records {
		b.tell(r)
	}
	if len(c.Tasks) > 0 {
		b.recorder.o.Wake()
	}
	return nil
}

// tell logs what happened, one line an event.
func (b *book) tell(r wire.OutboxRecord) {
	switch {
	case r.Print != nil && r.Kind == wire.PrintFinished:
		b.recorder.log.Info("print ended", "printer", b.serial, "run", r.Print.RunID, "name", r.Print.Name, "outcome", string(r.Print.Outcome))
	case r.Print != nil && (r.Kind == wire.PrintStarted || r.Kind == wire.PrintObserved):
		b.recorder.log.Info("print under way", "printer", b.serial, "run", r.Print.RunID, "name", r.Print.Name, "seen_starting", r.Kind == wire.PrintStarted)
	case r.Fault != nil && r.Kind == wire.FaultRaised:
		b.recorder.log.Warn("printer complains", "printer", b.serial, "code", r.Fault.Code, "severity", r.Fault.Severity, "message", r.Fault.Message)
	}
}

// newRun is an id for a run, should one begin: UUIDs of version 7 sort by their time.
func newRun() string {
	id, err := uuid.NewV7()
	if err != nil { // crypto/rand does not fail
		id = uuid.New()
	}
	return id.String()
}
