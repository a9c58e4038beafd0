package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

func entry(n int) farm.Audit {
	return farm.Audit{
		At: time.UnixMilli(int64(n)).UTC(), Who: fmt.Sprint("key ", n%2), Kind: "key", Action: "send_gcode", Method: "POST", Path: "/api/v1/printers/1/gcode",
		Remote: "192.0.2.1", RequestID: fmt.Sprint("r", n), PrinterID: int64(n), SiteID: int64(n % 3), Status: 100 * (n % 6), Code: "CONFLICT", Data: fmt.Appendf(nil, `{"gcode":"G%d"}`, n),
	}
}

func written(t *testing.T, db *DB, n int) {
	t.Helper()
	for i := range n {
		if err := db.AppendAudit(t.Context(), entry(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// printers are the printers of entries, which tell them apart.
func printers(rows []farm.Audit) string {
	var out []int64
	for _, a := range rows {
		out = append(out, a.PrinterID)
	}
	return fmt.Sprint(out)
}

func TestAuditIsReadNewestFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		written(t, db, 12)
		for name, c := range map[string]struct {
			query farm.AuditQuery
			want  string
			total int
		}{
			"all":             {farm.AuditQuery{Limit: 50}, "[11 10 9 8 7 6 5 4 3 2 1 0]", 12},
			"a page":          {farm.AuditQuery{Limit: 3}, "[11 10 9]", 12},
			"the next":        {farm.AuditQuery{Limit: 3, Before: 10}, "[8 7 6]", 12},
			"an offset":       {farm.AuditQuery{Limit: 3, Offset: 10}, "[1 0]", 12},
			"who":             {farm.AuditQuery{Limit: 50, Who: "key 1"}, "[11 9 7 5 3 1]", 6},
			"somebody else":   {farm.AuditQuery{Limit: 50, Who: "key 1' OR '1'='1"}, "[]", 0},
			"kind":            {farm.AuditQuery{Limit: 50, Kind: "user"}, "[]", 0},
			"action":          {farm.AuditQuery{Limit: 2, Action: "send_gcode"}, "[11 10]", 12},
			"another action":  {farm.AuditQuery{Limit: 2, Action: "x"}, "[]", 0},
			"printer":         {farm.AuditQuery{Limit: 50, PrinterID: 4}, "[4]", 1},
			"site":            {farm.AuditQuery{Limit: 50, SiteID: 2}, "[11 8 5 2]", 4},
			"since":           {farm.AuditQuery{Limit: 50, Since: time.UnixMilli(9)}, "[11 10 9]", 3},
			"until":           {farm.AuditQuery{Limit: 50, Until: time.UnixMilli(2)}, "[1 0]", 2},
			"begun":           {farm.AuditQuery{Limit: 50, Result: farm.AuditBegun}, "[6 0]", 2},
			"done":            {farm.AuditQuery{Limit: 50, Result: farm.AuditDone}, "[9 8 7 3 2 1]", 6},
			"refused":         {farm.AuditQuery{Limit: 50, Result: farm.AuditRefused}, "[10 4]", 2},
			"failed":          {farm.AuditQuery{Limit: 50, Result: farm.AuditFailed}, "[11 5]", 2},
			"several filters": {farm.AuditQuery{Limit: 50, Who: "key 1", Result: farm.AuditDone, Since: time.UnixMilli(2), Before: 10}, "[7 3]", 3},
		} {
			rows, total, err := db.Audit(t.Context(), c.query)
			if err != nil || printers(rows) != c.want || total != c.total {
				t.Errorf("%s: %s of %d, %v, want %s of %d", name, printers(rows), total, err, c.want, c.total)
			}
			var each []farm.Audit
			if c.query.Offset > 0 {
				continue
			}
			if err := db.EachAudit(t.Context(), c.query, func(a farm.Audit) error { each = append(each, a); return nil }); err != nil || printers(each) != c.want {
				t.Errorf("%s, one by one: %s, %v", name, printers(each), err)
			}
		}
		rows, _, _ := db.Audit(t.Context(), farm.AuditQuery{Limit: 1, PrinterID: 10})
		want := entry(10)
		if want.ID = 11; len(rows) != 1 || fmt.Sprintf("%+v", rows[0]) != fmt.Sprintf("%+v", want) {
			t.Errorf("%+v\nwant %+v", rows, want)
		}
	})
}

func TestAllOfALongAudit(t *testing.T) {
	db := fresh(t, sqlite)
	written(t, db, 2*auditPage+7)
	n, last := 0, int64(1<<40)
	err := db.EachAudit(t.Context(), farm.AuditQuery{}, func(a farm.Audit) error {
		if a.ID >= last {
			t.Errorf("%d behind %d", a.ID, last)
		}
		last = a.ID
		n++
		return nil
	})
	if c := must[farm.AuditCheck](t)(db.CheckAudit(t.Context())); err != nil || n != 2*auditPage+7 || c.Broken != 0 || int(c.Entries) != n {
		t.Errorf("%d entries, %v, %+v", n, err, c)
	}
}

// Nobody changes an entry by SQL, or drops one, and who takes the guard away first is
// found out.
func TestTheAuditIsAppendOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		written(t, db, 5)
		ways := []string{`UPDATE audit SET who = 'nobody' WHERE id = 3`, `DELETE FROM audit WHERE id = 3`, `DELETE FROM audit`, `UPDATE audit SET data = data`}
		if db.engine == sqlite {
			ways = append(ways, `REPLACE INTO audit SELECT * FROM audit WHERE id = 3`)
		}
		if db.engine == postgres {
			ways = append(ways, `TRUNCATE audit`)
		}
		for _, way := range ways {
			if _, err := db.write.ExecContext(ctx, way); err == nil || !strings.Contains(err.Error(), "audit is") {
				t.Errorf("%s: %v", way, err)
			}
		}
		if c := must[farm.AuditCheck](t)(db.CheckAudit(ctx)); c.Broken != 0 || c.Entries != 5 || c.First != 1 {
			t.Errorf("%+v", c)
		}
	})
}

func TestWhatWasDoneToTheAuditShows(t *testing.T) {
	for what, way := range map[string]string{
		"changed": `UPDATE audit SET who = 'nobody' WHERE id = 3`, "another time": `UPDATE audit SET at = at + 1 WHERE id = 3`,
		"a gap": `DELETE FROM audit WHERE id = 3`, "the end": `DELETE FROM audit WHERE id >= 3`, "all": `DELETE FROM audit`, "the beginning": `DELETE FROM audit WHERE id < 3`,
		"a hash of its own": `UPDATE audit SET hash = 'x' WHERE id = 3`,
	} {
		t.Run(what, func(t *testing.T) {
			db := fresh(t, sqlite)
			written(t, db, 5)
			for _, q := range []string{`DROP TRIGGER audit_is_never_changed`, `DROP TRIGGER audit_is_kept`, way} {
				if _, err := db.write.ExecContext(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
			want := int64(3)
			if what == "all" || what == "the beginning" {
				want = 1
			}
			if c := must[farm.AuditCheck](t)(db.CheckAudit(t.Context())); c.Broken != want {
				t.Errorf("%+v, want it to be broken at %d", c, want)
			}
		})
	}
}

func TestRetentionOfTheAudit(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		if n := must[int64](t)(db.PruneAudit(ctx, time.Now())); n != 0 {
			t.Errorf("%d of none", n)
		}
		written(t, db, 6)
		for _, c := range []struct {
			before, dropped int64
			left            string
		}{{0, 0, "[5 4 3 2 1 0]"}, {2, 2, "[5 4 3 2]"}, {2, 0, "[5 4 3 2]"}, {100, 4, "[]"}} {
			n, err := db.PruneAudit(ctx, time.UnixMilli(c.before))
			rows, _, _ := db.Audit(ctx, farm.AuditQuery{Limit: 50})
			if check := must[farm.AuditCheck](t)(db.CheckAudit(ctx)); err != nil || n != c.dropped || printers(rows) != c.left || check.Broken != 0 || int(check.Entries) != len(rows) {
				t.Errorf("before %d: %d dropped, %v, left %s, %+v", c.before, n, err, printers(rows), check)
			}
		}
		written(t, db, 2)
		if c := must[farm.AuditCheck](t)(db.CheckAudit(ctx)); c.Broken != 0 || c.Entries != 2 || c.First != 7 {
			t.Errorf("afterwards %+v", c)
		}
		if _, err := db.write.ExecContext(ctx, `DELETE FROM audit`); err == nil {
			t.Error("retention has left the door open")
		}
	})
}

// However many write at once, the chain is whole.
func TestManyWriteTheAudit(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if err := db.AppendAudit(t.Context(), entry(i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if c := must[farm.AuditCheck](t)(db.CheckAudit(t.Context())); c.Broken != 0 || c.Entries != 20 {
			t.Errorf("%+v", c)
		}
	})
}

// What was written before entries were chained is still there, as it was.
func TestTheAuditOfAFormerRelease(t *testing.T) {
	for _, e := range []engine{sqlite, postgres} {
		t.Run(string(e), func(t *testing.T) {
			c := config(t, e)
			db := opened(t, c)
			for _, back := range []string{
				`DROP TABLE audit`, `DELETE FROM counters WHERE name = 'audit'`, `DELETE FROM settings WHERE key = 'audit_anchor'`, `DELETE FROM goose_db_version WHERE version_id = 8`,
				`CREATE TABLE audit (id ` + strings.TrimPrefix(tokens[e].Replace("{{id}}"), "") + `, at BIGINT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, printer_id BIGINT NOT NULL, site_id BIGINT NOT NULL, data TEXT NOT NULL)`,
				`CREATE INDEX audit_at ON audit (at)`,
				`INSERT INTO audit (at, who, action, printer_id, site_id, data) VALUES (5, 'old', 'gcode', 7, 1, '{"gcode":"G28"}'), (6, 'old', 'gcode', 8, 1, '{}')`,
			} {
				if _, err := db.write.ExecContext(t.Context(), back); err != nil {
					t.Fatalf("%s: %v", back, err)
				}
			}
			db = opened(t, c)
			written(t, db, 2)
			rows, total, err := db.Audit(t.Context(), farm.AuditQuery{Limit: 50})
			if err != nil || total != 4 || printers(rows) != "[1 0 8 7]" || rows[3].Who != "old" || string(rows[3].Data) != `{"gcode":"G28"}` || rows[3].Result() != farm.AuditBegun {
				t.Errorf("%+v, %v", rows, err)
			}
			if check := must[farm.AuditCheck](t)(db.CheckAudit(t.Context())); check.Broken != 0 || check.Entries != 2 || check.First != 3 {
				t.Errorf("%+v", check)
			}
			n := must[int64](t)(db.PruneAudit(t.Context(), time.UnixMilli(6)))
			if check := must[farm.AuditCheck](t)(db.CheckAudit(t.Context())); n != 1 || check.Broken != 0 || check.First != 3 {
				t.Errorf("%d dropped, %+v", n, check)
			}
		})
	}
}

// What retention drops while the chain is walked is no fault of it, and of two hubs that
// drop at once the slower one does not put the beginning back.
func TestRetentionBesideACheck(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		const entries = 400
		written(t, db, entries)
		var all sync.WaitGroup
		for hub := range 3 {
			all.Go(func() {
				for n := hub; n < entries-20; n += 7 {
					if _, err := db.PruneAudit(t.Context(), time.UnixMilli(int64(n)).UTC()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 30 {
			if c, err := db.CheckAudit(t.Context()); err != nil || c.Broken != 0 {
				t.Errorf("%+v %v", c, err)
			}
		}
		all.Wait()
		if c, err := db.CheckAudit(t.Context()); err != nil || c.Broken != 0 || c.Entries == 0 {
			t.Errorf("at the end: %+v %v", c, err)
		}
	})
}
