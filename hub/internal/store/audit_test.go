package store

import (
	"fmt"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

func TestAuditIsReadNewestFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		for i := range 5 {
			a := farm.Audit{At: time.UnixMilli(int64(i)), Who: "key", Action: "gcode", PrinterID: int64(i), SiteID: 1, Data: fmt.Appendf(nil, `{"gcode":"G%d"}`, i)}
			if err := db.AppendAudit(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		first := must[[]farm.Audit](t)(db.AuditBefore(t.Context(), 0, 3, 0))
		rest := must[[]farm.Audit](t)(db.AuditBefore(t.Context(), first[2].ID+1, 3, 1))
		var order []int64
		for _, a := range append(first, rest...) {
			order = append(order, a.PrinterID)
		}
		if fmt.Sprint(order) != "[4 3 2 1 0]" {
			t.Errorf("order %v", order)
		}
		if a := first[0]; a.Who != "key" || a.Action != "gcode" || string(a.Data) != `{"gcode":"G4"}` || a.At.UnixMilli() != 4 {
			t.Errorf("%+v", a)
		}
	})
}
