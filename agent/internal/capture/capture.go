package capture

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"bambuddy/agent/internal/outbox"
	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// Outbox is where the tasks are, and where files and records go.
type Outbox interface {
	// DueTasks gives tasks that are due until then, the longest due first.
	DueTasks(ctx context.Context, nowMS int64, limit int) ([]outbox.Task, error)
	// OpenTasks gives all tasks of a printer.
	OpenTasks(ctx context.Context, serial string) ([]outbox.Task, error)
	// SaveTask writes down how far a task is.
	SaveTask(ctx context.Context, t outbox.Task) error
	// Commit writes a change in one transaction.
	Commit(ctx context.Context, c outbox.Change) (last int64, err error)
	// Create begins a file.
	Create(ctx context.Context) (*outbox.Spool, error)
}

// Files are the printers' storages. Errors are *farm.Error.
type Files interface {
	// List gives the content of a folder.
	List(ctx context.Context, serial, path string) (wire.FileList, error)
	// Download writes a file; size is told once, before its first byte.
	Download(ctx context.Context, serial, path string, size func(int64), to io.Writer) error
}

// Photos are the printers' cameras. Errors are *farm.Error.
type Photos interface {
	// Snapshot gives one JPEG.
	Snapshot(ctx context.Context, serial string) ([]byte, error)
}

// Options are the parts of a Capture.
type Options struct {
	Outbox Outbox
	Files  Files
	Photos Photos
	// Live gives a printer's status, and whether its session is up.
	Live func(serial string) (status bambu.Status, online bool)
	// Fence gives the assignment under which the agent holds a printer, which records
	// carry; 0 when it does not. nil: always 0.
	Fence   func(serial string) int64
	Workers int // printers whose files are worked on at the same time; 0: 4
	Log     *slog.Logger
}

// Capture gets the files of all printers' prints. Make one with New.
type Capture struct {
	o    Options
	wake chan struct{}
}

// New makes a Capture; Run makes it live.
func New(o Options) *Capture {
	if o.Workers <= 0 {
		o.Workers = 4
	}
	if o.Fence == nil {
		o.Fence = func(string) int64 { return 0 }
	}
	return &Capture{o: o, wake: make(chan struct{}, 1)}
}

// Wake tells that there are new tasks. It never blocks.
func (c *Capture) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// lane is what goes on one after the other. Photos have their own: they cannot wait
// until a big file has come.
type lane struct {
	serial string
	photo  bool
}

func laneOf(t outbox.Task) lane { return lane{t.Serial, t.Role == wire.RoleFinish} }

// crew is who works.
type crew struct {
	*Capture
	all     sync.WaitGroup
	done    chan ended
	busy    map[lane]bool
	resting map[lane]time.Time
	failing bool
}

// ended is a lane that has done what was due.
type ended struct {
	lane lane
	rest time.Duration
}

// Run works until ctx ends, and returns when everything it started has ended.
func (c *Capture) Run(ctx context.Context) error {
	w := &crew{Capture: c, done: make(chan ended, 2*c.o.Workers), busy: map[lane]bool{}, resting: map[lane]time.Time{}}
	defer w.all.Wait()
	for ctx.Err() == nil {
		w.wait(ctx, w.start(ctx))
	}
	return nil
}

// wait returns when there may be something to do.
func (w *crew) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-w.wake:
	case e := <-w.done:
		delete(w.busy, e.lane)
		if e.rest > 0 {
			w.resting[e.lane] = time.Now().Add(e.rest)
		}
	}
}

// start begins what is due and gives the time until something else will be.
func (w *crew) start(ctx context.Context) time.Duration {
	now := time.Now()
	tasks, err := w.o.Outbox.DueTasks(ctx, now.Add(lookAhead).UnixMilli(), maxRead)
	if err != nil {
		if !w.failing && ctx.Err() == nil {
			w.o.Log.Error("captures stand still: the journal cannot be read", "err", err)
		}
		w.failing = true
		return journalAge
	}
	w.failing = false
	for l, until := range w.resting {
		if !now.Before(until) {
			delete(w.resting, l)
		}
	}
	next := now.Add(lookAhead)
	for _, t := range tasks {
		if at := w.begin(ctx, t, now); at.Before(next) {
			next = at
		}
	}
	return time.Until(next)
}

// begin starts the lane of a task, or tells when to look at it again.
func (w *crew) begin(ctx context.Context, t outbox.Task, now time.Time) time.Time {
	l, never := laneOf(t), now.Add(lookAhead)
	if w.busy[l] {
		return never
	}
	if until, ok := w.resting[l]; ok {
		return until
	}
	if due := time.UnixMilli(t.NextMS); due.After(now) {
		return due
	}
	if w.working(l.photo) >= w.o.Workers {
		return never // whoever ends first makes room
	}
	w.busy[l] = true
	w.all.Go(func() { w.done <- ended{l, w.visit(ctx, l)} })
	return never
}

func (w *crew) working(photo bool) (n int) {
	for l := range w.busy {
		if l.photo == photo {
			n++
		}
	}
	return n
}

// pause waits and tells whether ctx still stands.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
