package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/dirlock"
	"bambuddy/shared/farm"
)

// Printers that change places between two agents lock the agents' rows in opposite
// orders. Which of them PostgreSQL ends must be nobody's trouble.
func TestPrintersMayCrossBetweenAgents(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		agents := []farm.Agent{agent(t, db, farm.DefaultSiteID, "a"), agent(t, db, farm.DefaultSiteID, "b")}
		const movers, moves = 4, 25
		var wg sync.WaitGroup
		for m := range movers {
			wg.Go(func() {
				p, err := db.CreatePrinter(ctx, printer(fmt.Sprintf("S%d", m), agents[m%2]), []byte("x"))
				for i := 0; i < moves && err == nil; i++ {
					p.AgentID = agents[(m+i+1)%2].ID
					p, err = db.UpdatePrinter(ctx, p, nil)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var raised int64
		for i, r := range must[map[int64]farm.AgentRevision](t)(db.Revisions(ctx)) {
			raised += r.Revision - agents[i-1].Revision
		}
		if want := int64(movers * (1 + 2*moves)); raised != want { // a move is news for both
			t.Errorf("the agents' revisions rose by %d, want %d", raised, want)
		}
		if n, want := len(kinds(t, db)), 2+movers*(1+moves); n != want {
			t.Errorf("%d events, want %d: a change that began anew told twice or not at all", n, want)
		}
	})
}

// Two agents that enrol at once must not both hold the printers that waited.
func TestOnlyOneAgentAdopts(t *testing.T) {
	db := fresh(t, postgres) // SQLite has one writer at a time
	ctx := t.Context()
	first := agent(t, db, farm.DefaultSiteID, "first")
	p := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S1", farm.Agent{}), []byte("x")))
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.change(ctx, func(t *tx) error {
			err := t.adopt(ctx, first)
			close(held)
			<-release
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	wg.Go(func() { agent(t, db, farm.DefaultSiteID, "second") })
	waitForLock(t, db)
	close(release)
	wg.Wait()
	if p = must[farm.Printer](t)(db.Printer(ctx, p.ID)); p.AgentID != first.ID {
		t.Errorf("the printer was taken from the agent that had adopted it, without a tombstone: %+v", p)
	}
}

// A migration may take long; who opens the database meanwhile waits for its end.
func TestOpenWaitsForAMigration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(t, sqlite)
		lock, err := dirlock.Take(t.Context(), c.Dir, "migrate.lock")
		if err != nil {
			t.Fatal(err)
		}
		const long = time.Minute
		begun := time.Now()
		time.AfterFunc(long, func() {
			if err := lock.Release(); err != nil {
				t.Error(err)
			}
		})
		db := must[*DB](t)(Open(t.Context(), c))
		if waited := time.Since(begun); waited < long || waited > long+time.Second {
			t.Errorf("opened after %v, the migration took %v", waited, long)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// One damaged row must not keep an agent from its other printers.
func TestADamagedCodeIsOnePrintersTrouble(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		a := agent(t, db, farm.DefaultSiteID, "a")
		bad := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S1", a), []byte("sealed")))
		good := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S2", a), []byte("sealed")))
		if _, err := db.write.ExecContext(ctx, `UPDATE printer_secrets SET access_code = '!' WHERE printer_id = $1`, bad.ID); err != nil {
			t.Fatal(err)
		}
		c := must[farm.AgentConfig](t)(db.AgentConfig(ctx, a.ID))
		if len(c.Printers) != 2 || len(c.Codes[bad.ID]) != 0 || string(c.Codes[good.ID]) != "sealed" {
			t.Errorf("config: %+v", c)
		}
	})
}

// Two changes that wait for each other: PostgreSQL ends one, which begins anew, and may be
// ended again when it comes back before the other one was woken.
func TestADeadlockBeginsAnew(t *testing.T) {
	db := fresh(t, postgres)
	ctx := t.Context()
	const raise = `UPDATE counters SET value = value + 1 WHERE name = $1`
	for _, name := range []string{"x", "y"} {
		if _, err := db.write.ExecContext(ctx, `INSERT INTO counters (name, value) VALUES ($1, 0)`, name); err != nil {
			t.Fatal(err)
		}
	}
	var ran atomic.Int64
	var both sync.WaitGroup // have taken their first row
	both.Add(2)
	cross := func(first, second string) error {
		var taken sync.Once
		return db.change(ctx, func(tx *tx) error {
			ran.Add(1)
			tx.tell(farm.Event{Kind: "crossed"})
			if _, err := tx.ExecContext(ctx, raise, first); err != nil {
				return err
			}
			taken.Do(both.Done)
			both.Wait()
			_, err := tx.ExecContext(ctx, raise, second)
			return err
		})
	}
	var wg sync.WaitGroup
	for _, order := range [][2]string{{"x", "y"}, {"y", "x"}} {
		wg.Go(func() {
			if err := cross(order[0], order[1]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := fmt.Sprint(kinds(t, db)); ran.Load() < 3 || got != "[crossed crossed]" {
		t.Errorf("ran %d times, events %s", ran.Load(), got)
	}
}

// Nothing else does.
func TestAFaultDoesNotBeginAnew(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ran, fault := 0, errors.New("no")
		err := db.change(t.Context(), func(*tx) error { ran++; return fault })
		if !errors.Is(err, fault) || ran != 1 {
			t.Errorf("ran %d times, %v", ran, err)
		}
	})
}
