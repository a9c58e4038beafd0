package record

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"bambuddy/agent/internal/detect"
	"bambuddy/agent/internal/outbox"
	"bambuddy/agent/internal/printer"
	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

var errFull = errors.New("the disk is full")

// A record, the detector's state and the captures it calls for are one transaction.
func TestWhatHappensIsOneChange(t *testing.T) {
	r := newRig(t)
	r.picture(1, fresh)
	r.job.SubtaskID, r.job.GcodeState = "8", "RUNNING"
	last, due := r.picture(1)
	if last != 1 || !due.IsZero() || r.wakes != 1 {
		t.Errorf("number %d, due %v, woken %d times\n%s", last, due, r.wakes, r.log)
	}
	c := r.disk.changes[len(r.disk.changes)-1]
	var state detect.State
	if err := json.Unmarshal(c.State, &state); err != nil {
		t.Fatal(err)
	}
	run, open := state.Run()
	switch {
	case len(c.Records) != 1 || c.Records[0].Kind != wire.PrintStarted || len(c.Tasks) != 1 || c.Serial != serial || c.Fence != 3:
		t.Errorf("change %+v", c)
	case !open || run.Print.RunID != c.Records[0].Print.RunID || c.Tasks[0].RunID != run.Print.RunID || len(run.Print.RunID) != 36:
		t.Errorf("state %+v, tasks %+v", run, c.Tasks)
	}
	due0, err := r.disk.DueTasks(t.Context(), r.now.UnixMilli(), 10)
	if err != nil || len(due0) != 1 || due0[0].Role != wire.RoleModel {
		t.Errorf("tasks on disk %+v, %v", due0, err)
	}
	if got := r.records(); len(got) != 1 || got[0].Serial != serial || got[0].Fence != 3 || got[0].N != 1 {
		t.Errorf("records %+v", got)
	}
}

// Reports come every second and print nothing new: the disk is not worn out by that.
func TestTheStateAloneIsWrittenNowAndThen(t *testing.T) {
	r := newRig(t)
	r.printing()
	before := len(r.disk.changes)
	for i := range 150 {
		r.job.Progress = bambu.Some(1 + i/50)
		r.picture(1)
	}
	if n := len(r.disk.changes) - before; n < 2 || n > 3 {
		t.Errorf("written %d times in two and a half minutes", n)
	}
	r.job.GcodeState = "PAUSE"
	if r.picture(1); r.told() != "print_started print_paused" {
		t.Errorf("told %q", r.told())
	}
}

func TestDiskTrouble(t *testing.T) {
	r := newRig(t)
	r.picture(1, fresh)
	r.disk.fail = errFull
	r.job.SubtaskID, r.job.GcodeState = "8", "RUNNING"
	for range 3 {
		if last, due := r.picture(1); last != 0 || due.Sub(r.now) != retryAfter || r.wakes != 0 || r.written {
			t.Errorf("number %d, due in %v, woken %d times", last, due.Sub(r.now), r.wakes)
		}
	}
	if n := strings.Count(r.log.String(), errFull.Error()); n != 1 || r.told() != "" {
		t.Errorf("logged %d times, told %q", n, r.told())
	}
	r.disk.fail = nil
	if last, due := r.picture(1); last != 1 || !due.IsZero() || r.told() != "print_started" || r.wakes != 1 {
		t.Errorf("then number %d, due %v, told %q, woken %d times", last, due, r.told(), r.wakes)
	}
	if !strings.Contains(r.log.String(), "written down again") {
		t.Error("that it works again is not logged")
	}
	r.job.GcodeState, r.job.Progress = "FINISH", bambu.Some(100)
	r.disk.fail = errFull
	if last, _ := r.picture(60); last != 1 {
		t.Errorf("an end that is not on disk is told with number %d", last)
	}
	r.disk.fail = nil
	if last, _ := r.picture(5); last != 2 || r.told() != "print_started print_finished:success" {
		t.Errorf("number %d, told %q", last, r.told())
	}
}

// What a picture alone has told must not be lost with it.
func TestWhatAPictureThatWasNotWrittenTold(t *testing.T) {
	for name, c := range map[string]struct {
		before  func(*printer.Picture)
		outcome wire.Outcome
	}{
		"that there was a gap":      {fresh, wire.Unknown},
		"that somebody stopped it":  {stopped, wire.Aborted},
		"nothing":                   {func(*printer.Picture) {}, wire.Failed},
		"a gap, and a stop as well": {func(p *printer.Picture) { fresh(p); stopped(p) }, wire.Aborted},
	} {
		r := newRig(t)
		r.printing()
		r.job.GcodeState = "FAILED"
		if name != "nothing" && c.outcome == wire.Unknown {
			r.job.GcodeState = "IDLE" // it was off meanwhile
		}
		r.disk.fail = errFull
		r.picture(1, c.before)
		r.disk.fail = nil
		r.picture(5)
		r.picture(15)
		if got, want := r.told(), "print_started print_finished:"+string(c.outcome); got != want {
			t.Errorf("%s: told %q, want %q", name, got, want)
		}
	}
}

func TestAStopIsToldOfOnePrintOnly(t *testing.T) {
	r := newRig(t)
	r.printing()
	r.job.GcodeState = "FAILED"
	r.picture(1, stopped)
	r.job.GcodeState, r.job.SubtaskID = "RUNNING", "9"
	r.picture(1)
	r.job.GcodeState = "FAILED"
	r.picture(1)
	r.picture(15)
	if got, want := r.told(), "print_started print_finished:stopped print_started print_finished:failed"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestARestartInTheMiddle(t *testing.T) {
	r := newRig(t)
	r.printing()
	run := r.records()[0].Print.RunID
	r.restart(time.Minute)
	if last, _ := r.picture(1); last != 1 { // the session does not know that the process is new
		t.Errorf("after the restart the number is %d", last)
	}
	r.job.GcodeState = "PAUSE"
	r.picture(1)
	r.restart(10 * time.Minute)
	r.job.GcodeState, r.job.Progress = "FINISH", bambu.Some(100)
	last, _ := r.picture(1)
	got := r.records()
	if len(got) != 3 || last != 3 || r.told() != "print_started print_paused print_finished:success" {
		t.Fatalf("number %d, told %q", last, r.told())
	}
	for i, rec := range got {
		if rec.Print.RunID != run || rec.Print.Seq != int64(i+1) {
			t.Errorf("record %d is of run %s, number %d of it", rec.N, rec.Print.RunID, rec.Print.Seq)
		}
	}
	if !got[2].Estimated {
		t.Error("nobody saw the end, yet its time is told as certain")
	}
}

// A process that begins has missed something, whatever the session says.
func TestAPowerCutOfBoth(t *testing.T) {
	r := newRig(t)
	r.printing()
	r.restart(time.Hour)
	r.job.GcodeState = "IDLE"
	if r.picture(1); r.told() != "print_started print_finished:unknown" {
		t.Errorf("told %q", r.told())
	}
}

func TestTheBookGoesOnUnderANewAssignment(t *testing.T) {
	r := newRig(t)
	r.printing()
	r.book = r.books.Book(serial, 4)
	r.job.GcodeState = "PAUSE"
	r.picture(1)
	got := r.records()
	if len(got) != 2 || got[0].Fence != 3 || got[1].Fence != 4 || got[0].Print.RunID != got[1].Print.RunID {
		t.Errorf("records %+v", got)
	}
}

func TestPrintersAreToldApart(t *testing.T) {
	r := newRig(t)
	r.printing()
	first := r.book
	r.book = r.books.Book("ANOTHER", 1)
	if last, _ := r.picture(1, fresh); last != 2 || r.told() != "print_started print_observed" {
		t.Errorf("number %d, told %q", last, r.told())
	}
	r.book = first
	if last, _ := r.picture(1); last != 1 {
		t.Errorf("the first one's number is %d", last)
	}
}

func TestAPrinterThatIsHeldNoLonger(t *testing.T) {
	r := newRig(t)
	r.printing()
	r.books.Forget(serial)
	r.book = r.books.Book(serial, 5)
	r.picture(60, fresh)
	got := r.records()
	if len(got) != 2 || got[1].Kind != wire.PrintObserved || got[1].Print.RunID == got[0].Print.RunID {
		t.Errorf("told %q", r.told())
	}
}

// What is held back is told when it is due, though no report comes.
func TestWhatIsHeldBack(t *testing.T) {
	r := newRig(t)
	r.printing()
	r.job.GcodeState = "FAILED"
	_, due := r.picture(5)
	if wait := due.Sub(r.now); wait <= 0 || wait > time.Minute || r.told() != "print_started" {
		t.Fatalf("due in %v, told %q", wait, r.told())
	}
	r.now = due
	if _, due := r.picture(0); !due.IsZero() || r.told() != "print_started print_finished:failed" {
		t.Errorf("due %v, told %q", due, r.told())
	}
	if rec := r.records()[1]; rec.AgoMS != due.Sub(r.now).Milliseconds()+10_000 {
		t.Errorf("it ended %d ms before", rec.AgoMS)
	}
}

// Somebody sets the clock of the site's computer: prints get no longer by that.
func TestTheClockOfTheProcess(t *testing.T) {
	r := &Recorder{o: Options{Started: time.Now()}}
	at := r.o.Started.Add(90 * time.Second)
	if got := r.clock(at) - r.clock(r.o.Started); got != 90_000 || r.clock(r.o.Started) != r.o.Started.UnixMilli() {
		t.Errorf("%d ms passed", got)
	}
}

// odd is a journal that holds what nobody can read.
type odd struct {
	Journal
	err error
}

func (o odd) Printers(context.Context) (map[string]outbox.Kept, error) {
	return map[string]outbox.Kept{serial: {State: json.RawMessage(`"?"`), Outbox: 3}, "EMPTY": {}}, o.err
}

func TestWhatTheJournalHolds(t *testing.T) {
	r := newRig(t)
	o := r.books.o
	o.Journal = odd{r.disk, nil}
	books, err := Open(t.Context(), o)
	if err != nil || !strings.Contains(r.log.String(), "looked at anew") {
		t.Fatalf("%v\n%s", err, r.log)
	}
	r.book = books.Book(serial, 1)
	r.job.GcodeState = "RUNNING"
	if r.picture(1); r.told() != "print_observed" {
		t.Errorf("told %q", r.told())
	}
	o.Journal = odd{r.disk, errFull}
	if _, err := Open(t.Context(), o); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}
