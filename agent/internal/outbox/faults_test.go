package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func ackTo(t *testing.T, b *Outbox, n int64) {
	t.Helper()
	if err := b.Ack(context.Background(), wire.OutboxAck{HubID: "hub", Epoch: b.Epoch(), N: n}, "hub"); err != nil {
		t.Fatal(err)
	}
}

func runs(p wire.OutboxPage) (out []string) {
	for _, r := range p.Records {
		if r.Print != nil {
			out = append(out, r.Print.RunID)
		} else {
			out = append(out, string(r.Kind))
		}
	}
	return out
}

// A disk put back from a copy goes on printing before the hub asks: what the hub has
// never seen is told in the new epoch.
func TestANewEpochTellsWhatIsNotAcknowledged(t *testing.T) {
	b := open(t, t.TempDir())
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r1"), started("r2")}})
	ackTo(t, b, 2)
	commit(t, b, Change{Serial: "P2", Records: []wire.OutboxRecord{started("new1"), started("new2")}})
	old := b.Epoch()
	if _, err := b.Page(t.Context(), old, 100, 10); !farm.Is(err, farm.Conflict) || b.Epoch() == old {
		t.Fatalf("error %v", err)
	}
	p := page(t, b, 0)
	if got := strings.Join(runs(p), " "); got != "new1 new2" || p.First != 1 || p.Last != 2 || p.Records[1].N != 2 {
		t.Errorf("told again %q: %s", got, text(p))
	}
	if b.LastOf("P1") != 0 || b.LastOf("P2") != 2 || b.Last() != 2 {
		t.Errorf("last of P1 %d, of P2 %d", b.LastOf("P1"), b.LastOf("P2"))
	}
	if n := commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("next")}}); n != 3 {
		t.Errorf("the next is %d", n)
	}
}

// A hub from an old backup asks for what is no longer kept: it waits like any other.
func TestNothingKeptIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := open(t, dir)
		defer func() { _ = b.Close() }()
		if _, err := b.Commit(context.Background(), Change{Serial: "P1", Records: []wire.OutboxRecord{started("r1")}}); err != nil {
			t.Fatal(err)
		}
		ackTo(t, b, 1)
		time.Sleep(8 * 24 * time.Hour)
		if err := b.prune(context.Background()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		p := page2(t, b, 0)
		if waited := time.Since(begin); waited != wire.OutboxWait*time.Second || p.First != 2 || p.Last != 1 {
			t.Errorf("answered after %v: %s", waited, text(p))
		}
	})
}

// An alarm of the files' storage stands until there is room, whatever the journal does.
func TestTheAlarmOfTheStorageStands(t *testing.T) {
	b := open(t, t.TempDir(), func(o *Options) { o.Quota = 100 })
	first := kept(t, b, strings.Repeat("a", 60))
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{ready("r1", first)}, File: &first})
	s, err := b.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Write(make([]byte, 60))
	s.Abort()
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r2")}})
	if b.Alarm() == "" {
		t.Error("a record of a print ended the alarm of the storage")
	}
	if err := b.Release(t.Context(), first.SHA256, wire.RunRef("r1")); err != nil {
		t.Fatal(err)
	}
	kept(t, b, strings.Repeat("b", 60))
	if b.Alarm() != "" {
		t.Errorf("there is room, and the alarm is %q", b.Alarm())
	}
}

// The gap at the cap is told once, also when states are written between.
func TestTheGapAtTheCapIsOne(t *testing.T) {
	b := open(t, t.TempDir(), func(o *Options) { o.MaxBytes = 1000 })
	for range 20 {
		commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r")}})
		commit(t, b, Change{Serial: "P1", State: json.RawMessage(`{}`)})
	}
	gaps := strings.Count(strings.Join(runs(page(t, b, 0)), " "), string(wire.GapKind))
	if gaps != 1 || b.Alarm() == "" {
		t.Errorf("%d gaps, alarm %q", gaps, b.Alarm())
	}
}

// A file of a print is not given up at the cap: its task waits.
func TestATaskWaitsAtTheCap(t *testing.T) {
	b := open(t, t.TempDir(), func(o *Options) { o.MaxBytes = 1000 })
	commit(t, b, Change{Serial: "P1", Tasks: []Task{{Serial: "P1", RunID: "r", Role: wire.RoleModel, State: json.RawMessage(`{}`)}}})
	for range 20 {
		commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r")}})
	}
	f := kept(t, b, "file")
	tasks, err := b.OpenTasks(t.Context(), "P1")
	if err != nil {
		t.Fatal(err)
	}
	end := Change{Serial: "P1", EndTask: tasks[0].ID, File: &f, Records: []wire.OutboxRecord{ready("r", f)}}
	if _, err := b.Commit(t.Context(), end); !farm.Is(err, farm.Unavailable) {
		t.Errorf("error %v", err)
	}
	if tasks, err = b.OpenTasks(t.Context(), "P1"); err != nil || len(tasks) != 1 {
		t.Fatalf("tasks %s, %v", text(tasks), err)
	}
	ackTo(t, b, b.Last())
	commit(t, b, end)
}

// A capture ends once: its second result is refused, as a whole.
func TestATaskEndsOnce(t *testing.T) {
	b := open(t, t.TempDir())
	commit(t, b, Change{Serial: "P1", Tasks: []Task{{Serial: "P1", RunID: "r", Role: wire.RoleModel, State: json.RawMessage(`{}`)}}})
	tasks, err := b.OpenTasks(t.Context(), "P1")
	if err != nil {
		t.Fatal(err)
	}
	end := Change{Serial: "P1", EndTask: tasks[0].ID, Records: []wire.OutboxRecord{{Kind: wire.FileUnavailable, File: &wire.FileRecord{RunID: "r", Role: wire.RoleModel}}}}
	commit(t, b, end)
	if _, err := b.Commit(t.Context(), end); !farm.Is(err, farm.NotFound) || b.Last() != 1 || b.Alarm() != "" {
		t.Errorf("error %v, last %d, alarm %q", err, b.Last(), b.Alarm())
	}
}

// A printer with a silly name prints like any other.
func TestALongTextDoesNotStopARecord(t *testing.T) {
	b := open(t, t.TempDir())
	r := started("r1")
	r.Print.Name = strings.Repeat("ä\x01", 20_000)
	long := r.Print.Name
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{r}})
	p := page(t, b, 0)
	if got := p.Records[0].Print; got.RunID != "r1" || got.Name == "" || len(text(p)) > wire.MaxOutboxRecord || r.Print.Name != long {
		t.Errorf("told %d bytes", len(text(p)))
	}
}

// One page that cannot be read costs the records on it, not those behind it.
func TestADamagedPageCostsItsOwnRecords(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	for range 200 {
		commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r")}})
	}
	var page int64
	if err := b.db.QueryRowContext(t.Context(), `SELECT pageno FROM dbstat WHERE name = 'records' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 1`).Scan(&page); err != nil {
		t.Skip("this SQLite is built without dbstat, by which a page of the table is found: ", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	zero(t, filepath.Join(dir, journalFile), 4096*(page-1), 4096)
	b = open(t, dir)
	if saved := b.Last() - 1; saved < 150 || saved >= 200 {
		t.Errorf("%d of 200 records were saved", saved)
	}
}

// What makes no sense in a damaged journal is passed over; the agent starts.
func TestNonsenseInADamagedJournal(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r")}, State: json.RawMessage(`{}`)})
	for _, q := range []string{
		`DROP TABLE tasks`,
		`CREATE TABLE tasks (id, serial, run_id, role, state, next_ms, tries)`,
		`INSERT INTO tasks VALUES (1, 'P1', 'r', 'model', 'text', 'never', 0)`,
		`UPDATE meta SET value = 'nonsense' WHERE key = 'last'`,
	} {
		if _, err := b.db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir)
	if got := strings.Join(runs(page(t, b, 0)), " "); got != "gap r" {
		t.Errorf("told %q", got)
	}
}

// A file that was kept again for a print whose Commit never came does not stay for ever.
func TestAFileKeptInVainGoes(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	f := kept(t, b, "content")
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{ready("r1", f)}, File: &f})
	if err := b.Release(t.Context(), f.SHA256, wire.RunRef("r1")); err != nil {
		t.Fatal(err)
	}
	kept(t, b, "content")
	if given, err := b.evict(t.Context()); err != nil || given {
		t.Errorf("a file about to be a print's went: %v, %v", given, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir)
	if given, err := b.evict(t.Context()); err != nil || !given {
		t.Errorf("it stays: %v, %v", given, err)
	}
	if left, err := os.ReadDir(b.files.dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// A tail that was cut costs what stood on it.
func TestACutTailCostsItsOwnRecords(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	for range 200 {
		commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r")}})
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, journalFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-4096); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir)
	if saved := b.Last() - 1; saved < 150 || saved >= 200 {
		t.Errorf("%d of 200 records were saved", saved)
	}
}

// A journal that was put back from a copy and has written on since, past what the hub has
// seen of it: its numbers stand for other records now.
func TestACopyThatHasWrittenOn(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	b := open(t, dir)
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r1")}})
	if p := page(t, b, 0); len(p.Records) != 1 {
		t.Fatalf("records %s", text(p.Records))
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r2"), started("r3")}})
	seen := page(t, b, 1).Last // 3, by the hub

	again := open(t, copied)
	old := again.Epoch()
	for _, run := range []string{"r4", "r5", "r6", "r7"} {
		commit(t, again, Change{Serial: "P1", Records: []wire.OutboxRecord{started(run)}})
	}
	if _, err := again.Page(t.Context(), old, seen, 10); !farm.Is(err, farm.Conflict) || again.Epoch() == old {
		t.Fatalf("error %v, another epoch %v", err, again.Epoch() != old)
	}
	var runs []string
	for _, r := range page(t, again, 0).Records {
		runs = append(runs, r.Print.RunID)
	}
	if got := strings.Join(runs, " "); got != "r1 r4 r5 r6 r7" {
		t.Errorf("told again are %s", got)
	}
}
