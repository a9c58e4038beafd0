package store

import (
	"errors"
	"fmt"
	"sync"
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

var errStop = errors.New("stop")

// A change that fails for good does not begin anew.
func TestOnlyADeadlockBeginsAnew(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ran := 0
		err := db.change(t.Context(), func(*tx) error { ran++; return errStop })
		if !errors.Is(err, errStop) || ran != 1 {
			t.Errorf("ran %d times, %v", ran, err)
		}
	})
}
