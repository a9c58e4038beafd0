package store

import (
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// Behind an endpoint that is dead for a day much may wait. What is next is found by
// the index, in the time that the number of printers takes and not that of what waits.
func TestManyDeliveriesThatWait(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		const waiting, lines = 8_000, 20
		w := webhook(t, db, "w")
		err := db.change(t.Context(), func(tx *tx) error {
			for n := range int64(waiting) {
				v := delivery(w, n+1)
				v.PrinterID = 0
				if n >= waiting-lines { // of the last printer last
					v.PrinterID = waiting - n
				}
				if err := tx.addDelivery(t.Context(), v); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		const rounds = 20
		for range rounds {
			if h := must[[]farm.DeliveryHead](t)(db.DeliveryHeads(t.Context(), w.ID)); len(h) != lines+1 {
				t.Fatalf("%d heads", len(h))
			}
		}
		if each := time.Since(began) / rounds; each > 20*time.Millisecond { // by reading all that waits it takes longer
			t.Errorf("it took %s to find the heads among %d", each, waiting)
		}
	})
}
