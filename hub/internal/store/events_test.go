package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

func TestEvents(t *testing.T) {
	for _, e := range []engine{sqlite, postgres} {
		t.Run(string(e), func(t *testing.T) {
			var woken atomic.Int64
			c := config(t, e)
			c.Wake = func() { woken.Add(1) }
			db, ctx := opened(t, c), t.Context()
			if first, last, err := db.EventRange(ctx); first != 0 || last != 0 || err != nil {
				t.Errorf("range of none: %d..%d, %v", first, last, err)
			}
			at := time.UnixMilli(1700000000456).UTC()
			in := farm.Event{At: at, Kind: "printer_online", PrinterID: 1, AgentID: 2, SiteID: 3, Data: []byte(`{"x":1}`)}
			got := must[farm.Event](t)(db.AppendEvent(ctx, in))
			in.ID = 1
			if read := must[[]farm.Event](t)(db.EventsAfter(ctx, 0, 10)); fmt.Sprint(got) != fmt.Sprint(in) || fmt.Sprint(read[0]) != fmt.Sprint(in) {
				t.Errorf("appended %v, read %v, want %v", got, read, in)
			}
			must[farm.Event](t)(db.AppendEvent(ctx, farm.Event{Kind: "later"}))
			if woken.Load() != 2 {
				t.Errorf("followers woken %d times", woken.Load())
			}
			if n := must[int64](t)(db.PruneEvents(ctx, at.Add(time.Second))); n != 1 {
				t.Errorf("pruned %d", n)
			}
			if first, last, err := db.EventRange(ctx); first != 2 || last != 2 || err != nil {
				t.Errorf("range: %d..%d, %v", first, last, err)
			}
			must[int64](t)(db.PruneEvents(ctx, time.Now().Add(time.Hour)))
			if first, last, err := db.EventRange(ctx); first != 0 || last != 2 || err != nil {
				t.Errorf("range with all pruned: %d..%d, %v", first, last, err)
			}
		})
	}
}

func TestARefusedChangeTellsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		fault := errors.New("no")
		err := db.change(t.Context(), func(tx *tx) error {
			tx.tell(farm.Event{Kind: "never"})
			return fault
		})
		if !errors.Is(err, fault) || len(kinds(t, db)) != 0 {
			t.Errorf("%v, events %v", err, kinds(t, db))
		}
	})
}

// A reader must never see event n+1 before n: it would move its cursor past n
// and miss it. While one transaction that has taken an id stays open, the next
// one has to wait for it.
func TestEventIDsBecomeVisibleInOrder(t *testing.T) {
	db := fresh(t, postgres)
	ctx := t.Context()
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // as change does, but stopped between the event and the commit
		sqlTx, err := db.write.BeginTx(ctx, nil)
		if err != nil {
			t.Error(err)
			close(held)
			return
		}
		if err := (&tx{Tx: sqlTx}).append(ctx, &farm.Event{Kind: "first"}); err != nil {
			t.Error(err)
		}
		close(held)
		<-release
		if err := sqlTx.Commit(); err != nil {
			t.Error(err)
		}
	})
	<-held
	second := make(chan farm.Event, 1)
	wg.Go(func() {
		e, err := db.AppendEvent(ctx, farm.Event{Kind: "second"})
		if err != nil {
			t.Error(err)
		}
		second <- e
	})
	waitForLock(t, db)
	if n := len(kinds(t, db)); n != 0 {
		t.Errorf("%d events are visible while the first transaction is open", n)
	}
	close(release)
	if e := <-second; e.ID != 2 {
		t.Errorf("the second event has id %d", e.ID)
	}
	wg.Wait()
	if got := kinds(t, db); fmt.Sprint(got) != "[first second]" {
		t.Errorf("events %v", got)
	}
}

// waitForLock waits until some session of the server waits for a row lock.
func waitForLock(t *testing.T, db *DB) {
	t.Helper()
	for {
		var waiting bool
		err := db.read.QueryRowContext(t.Context(),
			`SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
	}
}

func TestAClosedDatabaseSaysSo(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := db.AppendEvent(ctx, farm.Event{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(t.Context()); err == nil {
			t.Error("a closed database answers")
		}
		if _, err := db.Printers(t.Context()); err == nil || farm.CodeOf(err) != farm.Internal {
			t.Errorf("printers of a closed database: %v", err)
		}
	})
}

func BenchmarkAppendEvent(b *testing.B) {
	db := fresh(b, sqlite)
	for b.Loop() {
		must[farm.Event](b)(db.AppendEvent(b.Context(), farm.Event{Kind: "x", Data: []byte(`{"printer_id":1}`)}))
	}
}

func BenchmarkThousandPrinters(b *testing.B) {
	db := fresh(b, sqlite)
	var states []farm.PrinterState
	for i := range 1000 {
		p := must[farm.Printer](b)(db.CreatePrinter(b.Context(), printer(fmt.Sprintf("S%d", i), farm.Agent{}), []byte("x")))
		states = append(states, farm.PrinterState{PrinterID: p.ID, Status: make([]byte, 4096)})
	}
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			must[[]farm.Printer](b)(db.Printers(b.Context()))
		}
	})
	b.Run("save", func(b *testing.B) {
		for b.Loop() {
			if err := db.SaveStates(b.Context(), states); err != nil {
				b.Fatal(err)
			}
		}
	})
}
