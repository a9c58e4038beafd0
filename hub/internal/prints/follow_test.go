package prints

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// news are the events that follow one another; who follows hears of those that come.
type news struct {
	events chan farm.Event
	afters []int64 // where each Follow began
}

func (n *news) Follow(ctx context.Context, after int64, fn func(farm.Event) error) error {
	n.afters = append(n.afters, after)
	for {
		select {
		case e := <-n.events:
			if err := fn(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// following lets the prints of a rig follow events, in a bubble.
func following(t *testing.T, test func(r *rig, n *news)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, n := newRig(t), &news{events: make(chan farm.Event)}
		r.prints = New(Options{Store: memoryStore{r.table}, Events: n, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- r.prints.Run(ctx) }()
		synctest.Wait()
		test(r, n)
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func (n *news) happens(e farm.Event) {
	n.events <- e
	synctest.Wait()
}

func updated(printerID, printID int64) farm.Event {
	return farm.Event{ID: 50, Kind: farm.EventArchiveUpdated, PrinterID: printerID, Data: fmt.Appendf(nil, `{"id":%d}`, printID)}
}

func TestAnOpenPrintThatPeopleChange(t *testing.T) {
	following(t, func(r *rig, n *news) {
		r.says(rec(wire.PrintStarted, "r1", 1, nil))
		rename := func(name string) {
			p := r.table.prints[1]
			p.Name, p.Renamed = name, true
			r.table.prints[1] = p
		}
		name := func() string { p, _ := r.prints.Current(1); return p.Name }
		rename("Boat")
		for _, other := range []farm.Event{
			updated(1, 9), updated(2, 1),
			{Kind: farm.EventArchiveUpdated, PrinterID: 1, Data: []byte("?")},
			{Kind: farm.EventArchiveAdded, PrinterID: 1, Data: []byte(`{"id":1}`)},
		} {
			if n.happens(other); name() != "Benchy" {
				t.Fatalf("%+v changed it", other)
			}
		}
		if n.happens(updated(1, 1)); name() != "Boat" {
			t.Errorf("it is shown as %q", name())
		}
		rename("Ship")
		e := updated(1, 1)
		e.Data = []byte(`{"archive_id":1}`) // as our own events name it
		if n.happens(e); name() != "Ship" {
			t.Errorf("it is shown as %q", name())
		}
		delete(r.table.prints, 1)
		n.happens(updated(1, 1))
		if len(n.afters) != 1 {
			t.Errorf("a print that is gone broke it off: began after %v", n.afters)
		}
	})
}

// A print that ends while it is read again has ended.
func TestAnEndWhileAPrintIsReadAgain(t *testing.T) {
	r := newRig(t)
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	ended := make(chan struct{})
	r.reading = func() {
		r.reading = nil
		go func() {
			defer close(ended)
			r.n++
			one := rec(wire.PrintFinished, "r1", 2, func(p *wire.PrintRecord) { p.Outcome = wire.Success })
			one.N = r.n
			if err := r.apply(one); err != nil {
				t.Error(err)
			}
		}()
		select { // it waits for its turn; what it does if it does not, it has done by then
		case <-ended:
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := r.prints.reload(t.Context(), updated(1, 1)); err != nil {
		t.Fatal(err)
	}
	<-ended
	if p, open := r.prints.Current(1); open {
		t.Errorf("it is under way again: %+v", p)
	}
}

func TestAPrinterThatIsRemovedWhileItPrints(t *testing.T) {
	following(t, func(r *rig, n *news) {
		r.says(rec(wire.PrintStarted, "r1", 1, nil))
		r.printers["P2"] = farm.Printer{ID: 2, Serial: "P2", Name: "Two", SiteID: 3, AgentID: 7}
		other := rec(wire.PrintStarted, "r2", 1, nil)
		other.Serial = "P2"
		r.says(other)
		at := began.Add(time.Minute)
		delete(r.printers, "P1")
		n.happens(farm.Event{ID: 7, Kind: farm.EventPrinterRemoved, PrinterID: 1, At: at})
		p := r.table.prints[1]
		if p.Status != farm.StatusUnknown || !p.TimeEstimated || !p.FinishedAt.IsZero() || p.Duration != nil {
			t.Errorf("it ended as %+v", p)
		}
		if _, open := r.prints.Current(1); open {
			t.Error("it is still under way")
		}
		if p, open := r.prints.Current(2); !open || p.Status != farm.StatusPrinting {
			t.Errorf("the other printer's is %+v", p)
		}
		want := []string{"print_started", "print_started", "print_complete"}
		if got := r.kinds(); !slices.Equal(got, want) || !r.events[2].At.Equal(at) || r.events[2].SiteID != 3 {
			t.Errorf("events %v, the last %+v", got, r.events[2])
		}
		if r.cursor != 7 {
			t.Errorf("the cursor is at %d", r.cursor)
		}
		n.happens(farm.Event{ID: 7, Kind: farm.EventPrinterRemoved, PrinterID: 1, At: at}) // again, as after a crash
		n.happens(farm.Event{ID: 8, Kind: farm.EventPrinterRemoved, PrinterID: 9})         // that printed nothing
		if len(r.events) != 3 || r.cursor != 8 {
			t.Errorf("then events %v, cursor %d", r.kinds(), r.cursor)
		}
		r.now = began.Add(time.Hour)
		r.says(rec(wire.PrintFinished, "r1", 2, ended(wire.Success))) // its agent saw the end before it heard
		if p := r.table.prints[1]; p.Status != farm.StatusSuccess {
			t.Errorf("with a proven end it is %s", p.Status)
		}
	})
}

func TestWhatCannotBeFollowedIsTriedAgain(t *testing.T) {
	following(t, func(r *rig, n *news) {
		r.cursor = 3
		r.says(rec(wire.PrintStarted, "r1", 1, nil))
		r.fail = errors.New("the database is down")
		n.happens(farm.Event{ID: 7, Kind: farm.EventPrinterRemoved, PrinterID: 1, At: began})
		if r.cursor != 3 || r.only().Status != farm.StatusPrinting {
			t.Errorf("cursor %d, status %s", r.cursor, r.only().Status)
		}
		if _, open := r.prints.Current(1); !open {
			t.Error("it is shown as ended, and is not")
		}
		time.Sleep(retryEvery)
		synctest.Wait()
		if !slices.Equal(n.afters, []int64{0, 3}) {
			t.Fatalf("followed after %v", n.afters)
		}
		n.happens(farm.Event{ID: 7, Kind: farm.EventPrinterRemoved, PrinterID: 1, At: began})
		if r.cursor != 7 || r.only().Status != farm.StatusUnknown {
			t.Errorf("cursor %d, status %s", r.cursor, r.only().Status)
		}
	})
}

func TestTheCursorIsKeptNowAndThen(t *testing.T) {
	following(t, func(r *rig, n *news) {
		for id := int64(1); id <= 2*cursorEvery+500; id++ {
			n.events <- farm.Event{ID: id, Kind: farm.EventPrintProgress}
		}
		synctest.Wait()
		if r.cursor != 2*cursorEvery {
			t.Errorf("it is at %d", r.cursor)
		}
	})
}

// What was under way is so again after a restart of the hub.
func TestLoad(t *testing.T) {
	r := newRig(t)
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	settled := map[int64]int64{}
	again := New(Options{
		Store: memoryStore{r.table}, Settled: func(agentID, n int64) { settled[agentID] = n }, Log: slog.New(slog.DiscardHandler),
	})
	if err := again.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, open := again.Current(1); !open || p.RunID != "r1" {
		t.Errorf("under way is %+v, %v", p, open)
	}
	if mark, err := again.Mark(t.Context(), 7, "E1"); err != nil || mark != 1 || settled[7] != 1 {
		t.Errorf("mark %d, %v, settled %v", mark, err, settled)
	}
}
