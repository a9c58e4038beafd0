package record

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"bambuddy/agent/internal/outbox"
	"bambuddy/agent/internal/printer"
	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

const serial = "01P00A000000001"

// disk is a real outbox whose commits can be made to fail, and that notes them.
type disk struct {
	*outbox.Outbox
	fail    error
	changes []outbox.Change
}

func (d *disk) Commit(ctx context.Context, c outbox.Change) (int64, error) {
	if _, limited := ctx.Deadline(); !limited {
		panic("a session would wait for the disk without end") //nolint:forbidigo // a test
	}
	if d.fail != nil {
		return 0, d.fail
	}
	d.changes = append(d.changes, c)
	return d.Outbox.Commit(ctx, c)
}

// rig is a site's books, told pictures of one printer.
type rig struct {
	written bool // of the last picture
	t       *testing.T
	dir     string
	disk    *disk
	books   *Recorder
	book    printer.Book
	log     *strings.Builder
	wakes   int
	now     time.Time
	job     bambu.Job
	fault   []bambu.HMS
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: &strings.Builder{}, now: time.Now()}
	r.job = bambu.Job{GcodeState: "IDLE", SubtaskID: "7", Name: "vase"}
	r.start()
	return r
}

// start is an agent process that begins with what is on disk.
func (r *rig) start() {
	r.t.Helper()
	box, err := outbox.Open(r.t.Context(), outbox.Options{Dir: r.dir, ProcessID: "boot", Quota: 1 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = box.Close() })
	r.disk = &disk{Outbox: box}
	r.books, err = Open(r.t.Context(), Options{
		Journal: r.disk, Tasks: tasks, Wake: func() { r.wakes++ }, Started: r.now, Log: slog.New(slog.NewTextHandler(r.log, nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.book = r.books.Book(serial, 3)
}

// restart ends the process, as a crash may, and begins another.
func (r *rig) restart(away time.Duration) {
	r.t.Helper()
	if err := r.disk.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.now = r.now.Add(away)
	r.start()
}

// tasks wants the model of every print.
func tasks(serial string, rec wire.OutboxRecord) []outbox.Task {
	if rec.Print == nil || rec.Kind == wire.PrintFinished {
		return nil
	}
	return []outbox.Task{{Serial: serial, RunID: rec.Print.RunID, Role: wire.RoleModel, State: []byte("{}"), NextMS: 1}}
}

// picture enters what the printer shows after some seconds.
func (r *rig) picture(seconds int, change ...func(*printer.Picture)) (last int64, due time.Time) {
	r.now = r.now.Add(time.Duration(seconds) * time.Second)
	p := printer.Picture{At: r.now}
	for _, c := range change {
		c(&p)
	}
	p.Status.Job, p.Status.Faults.HMS = r.job, r.fault
	last, due, r.written = r.book.Enter(p)
	return last, due
}

func fresh(p *printer.Picture)   { p.Fresh = true }
func stopped(p *printer.Picture) { p.Stopped = true }

// printing lets a print begin before everybody's eyes.
func (r *rig) printing() {
	r.t.Helper()
	r.picture(1, fresh)
	r.job.SubtaskID, r.job.Name, r.job.GcodeState = "8", "cube", "PREPARE"
	r.picture(1)
	r.job.GcodeState, r.job.Progress = "RUNNING", bambu.Some(1)
	r.picture(1)
	if got := r.told(); got != "print_started" {
		r.t.Fatalf("told %q", got)
	}
}

func (r *rig) records() []wire.OutboxRecord {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 200*time.Millisecond) // an empty page waits
	defer cancel()
	page, err := r.disk.Page(ctx, r.disk.Epoch(), 0, wire.MaxOutboxPage)
	if err != nil && ctx.Err() == nil {
		r.t.Fatal(err)
	}
	return page.Records
}

func (r *rig) told() string {
	r.t.Helper()
	var out []string
	for _, rec := range r.records() {
		text := string(rec.Kind)
		if rec.Kind == wire.PrintFinished {
			text += ":" + string(rec.Print.Outcome)
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}
