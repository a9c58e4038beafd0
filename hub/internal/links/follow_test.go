package links

import (
	"testing"
	"testing/synctest"

	"bambuddy/shared/farm"
)

// Events of prints come by the hundred; they must not have the database asked each time.
func TestOnlyWhatChangesAConfigIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		synctest.Wait()
		looks := func() (n int) {
			r.store.change(func() { n = r.store.looks })
			return n
		}
		before := looks()
		for _, kind := range []string{
			farm.EventPrintStarted, farm.EventPrintProgress, farm.EventArchiveUpdated, farm.EventPrinterError, farm.EventPrinterOnline, farm.EventAgentGap, "something new",
		} {
			r.events.happen(kind)
			synctest.Wait()
		}
		if n := looks() - before; n != 0 {
			t.Errorf("looked %d times", n)
		}
		r.events.happen(farm.EventSiteUpdated)
		synctest.Wait()
		if n := looks() - before; n != 1 {
			t.Errorf("looked %d times after a site was changed", n)
		}
	})
}
