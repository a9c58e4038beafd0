package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func TestWhatIsCommittedIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	epoch := b.Epoch()
	commit(t, b, Change{
		Serial: "P1", Fence: 3, State: json.RawMessage(`{"a":1}`), Records: []wire.OutboxRecord{started("r1")},
		Tasks: []Task{{Serial: "P1", RunID: "r1", Role: wire.RoleModel, State: json.RawMessage(`{"x":2}`), NextMS: 5}},
	})
	if n := commit(t, b, Change{Serial: "P2", Records: []wire.OutboxRecord{started("r2"), started("r3")}}); n != 3 {
		t.Errorf("the last record of P2 is %d", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir, func(o *Options) { o.ProcessID = "boot 2" })
	if b.Epoch() != epoch || b.Last() != 3 || b.LastOf("P1") != 1 || b.LastOf("P2") != 3 || b.LastOf("P3") != 0 {
		t.Errorf("epoch kept %v, last %d, of P1 %d, of P2 %d", b.Epoch() == epoch, b.Last(), b.LastOf("P1"), b.LastOf("P2"))
	}
	p := page(t, b, 0)
	if len(p.Records) != 3 || p.First != 1 || p.Last != 3 || p.Clock.ProcessID != "boot 2" {
		t.Fatalf("page %s", text(p))
	}
	if r := p.Records[0]; r.N != 1 || r.Serial != "P1" || r.Fence != 3 || r.ProcessID != "boot" || r.WallMS == 0 || r.Print.RunID != "r1" {
		t.Errorf("record %s", text(r))
	}
	known, err := b.Printers(t.Context())
	if err != nil || string(known["P1"].State) != `{"a":1}` || known["P1"].Outbox != 1 || known["P2"].Outbox != 3 {
		t.Errorf("printers %s, %v", text(known), err)
	}
	tasks, err := b.OpenTasks(t.Context(), "P1")
	if err != nil || len(tasks) != 1 || string(tasks[0].State) != `{"x":2}` || tasks[0].Role != wire.RoleModel {
		t.Errorf("tasks %s, %v", text(tasks), err)
	}
}

func TestAStateAloneChangesNoNumber(t *testing.T) {
	b := open(t, t.TempDir())
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r1")}})
	if n := commit(t, b, Change{Serial: "P1", State: json.RawMessage(`{}`)}); n != 1 || b.Last() != 1 {
		t.Errorf("last of P1 %d, last %d", n, b.Last())
	}
}

func TestAPageWaitsForTheFirstRecord(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := open(t, dir)
		defer func() { _ = b.Close() }()
		begin := time.Now()
		p := page2(t, b, 0)
		if len(p.Records) != 0 || p.First != 1 || time.Since(begin) != wire.OutboxWait*time.Second {
			t.Errorf("after %v: %s", time.Since(begin), text(p))
		}
		go func() {
			time.Sleep(3 * time.Second)
			_, _ = b.Commit(context.Background(), Change{Serial: "P1", Records: []wire.OutboxRecord{started("r1")}})
		}()
		begin = time.Now()
		if p := page2(t, b, 0); len(p.Records) != 1 || time.Since(begin) != 3*time.Second {
			t.Errorf("after %v: %s", time.Since(begin), text(p))
		}
	})
}

func page2(t *testing.T, b *Outbox, after int64) wire.OutboxPage {
	t.Helper()
	p, err := b.Page(context.Background(), b.Epoch(), after, 10)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPagesAreBounded(t *testing.T) {
	b := open(t, t.TempDir())
	long := started("r")
	long.Print.Reason = strings.Repeat("x", 10_000)
	var all []wire.OutboxRecord
	for range 200 {
		all = append(all, long)
	}
	commit(t, b, Change{Serial: "P1", Records: all})
	seen := int64(0)
	for pages := 0; seen < 200; pages++ {
		p := page(t, b, seen)
		if n := len(text(p)); n > wire.MaxMessage || len(p.Records) == 0 || pages > 10 {
			t.Fatalf("page %d has %d bytes, %d records", pages, n, len(p.Records))
		}
		seen = p.Records[len(p.Records)-1].N
	}
	if _, err := b.Commit(t.Context(), Change{Serial: "P1", Records: []wire.OutboxRecord{{Kind: wire.PrintStarted, Print: &wire.PrintRecord{RunID: strings.Repeat("x", 20_000)}}}}); err == nil || b.Last() != 200 {
		t.Errorf("a record that fits nowhere: %v, last %d", err, b.Last())
	}
}

func TestAcknowledging(t *testing.T) {
	b := open(t, t.TempDir())
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r1"), started("r2")}})
	ack := wire.OutboxAck{HubID: "hub", Generation: 2, Epoch: b.Epoch(), N: 2}
	for name, c := range map[string]func(*wire.OutboxAck){
		"another hub":   func(a *wire.OutboxAck) { a.HubID = "other" },
		"another epoch": func(a *wire.OutboxAck) { a.Epoch = "other" },
		"the future":    func(a *wire.OutboxAck) { a.N = 3 },
		"less than 0":   func(a *wire.OutboxAck) { a.N = -1 },
	} {
		bad := ack
		c(&bad)
		if err := b.Ack(t.Context(), bad, "hub"); !farm.Is(err, farm.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 {
		if err := b.Ack(t.Context(), ack, "hub"); err != nil {
			t.Fatal(err)
		}
	}
	older := ack
	older.Generation = 1
	if err := b.Ack(t.Context(), older, "hub"); !farm.Is(err, farm.Conflict) {
		t.Errorf("an older generation: %v", err)
	}
	if p := page(t, b, 0); len(p.Records) != 2 {
		t.Errorf("what is acknowledged is gone: %s", text(p))
	}
}

func TestWhatIsKeptOfTheAcknowledged(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := open(t, dir, func(o *Options) { o.KeepBytes = 1000 })
		defer func() { _ = b.Close() }()
		write := func(n int) {
			for range n {
				if _, err := b.Commit(context.Background(), Change{Serial: "P1", Records: []wire.OutboxRecord{started("r")}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		ackTo := func(n int64) {
			if err := b.Ack(context.Background(), wire.OutboxAck{HubID: "hub", Epoch: b.Epoch(), N: n}, "hub"); err != nil {
				t.Fatal(err)
			}
			if err := b.prune(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		write(3)
		ackTo(1)
		time.Sleep(6 * 24 * time.Hour)
		write(1)
		ackTo(2)
		if p := page2(t, b, 0); p.First != 1 {
			t.Errorf("after six days it begins with %d", p.First)
		}
		time.Sleep(2 * 24 * time.Hour)
		ackTo(2)
		if p := page2(t, b, 0); p.First != 3 || len(p.Records) != 2 {
			t.Errorf("after eight days: %s", text(p))
		}
		write(10)
		ackTo(14)
		if p := page2(t, b, 0); p.Last != 14 || p.First < 10 {
			t.Errorf("of too many bytes: first %d, last %d", p.First, p.Last)
		}
	})
}

// A journal that was put back from a copy of the disk is older than what the hub has
// seen: its numbers would be given out twice, so another epoch begins.
func TestAJournalOlderThanTheHub(t *testing.T) {
	b := open(t, t.TempDir())
	commit(t, b, Change{Serial: "P1", State: json.RawMessage(`{"run":1}`), Records: []wire.OutboxRecord{started("r1")}})
	epoch := b.Epoch()
	if _, err := b.Page(t.Context(), epoch, 7, 10); !farm.Is(err, farm.Conflict) {
		t.Fatalf("error %v", err)
	}
	if b.Epoch() == epoch || b.Last() != 1 || b.LastOf("P1") != 1 {
		t.Errorf("the epoch changed: %v, last %d", b.Epoch() != epoch, b.Last())
	}
	known, err := b.Printers(t.Context())
	if err != nil || string(known["P1"].State) != `{"run":1}` {
		t.Errorf("printers %s, %v", text(known), err)
	}
	if _, err := b.Page(t.Context(), epoch, 1, 10); !farm.Is(err, farm.Conflict) {
		t.Errorf("of the former epoch: %v", err)
	}
}

func TestTheCapIsTold(t *testing.T) {
	b := open(t, t.TempDir(), func(o *Options) { o.MaxBytes = 1000 })
	for range 20 {
		commit(t, b, Change{Serial: "P1", State: json.RawMessage(`{}`), Records: []wire.OutboxRecord{started("r")}})
	}
	p := page(t, b, 0)
	last := p.Records[len(p.Records)-1]
	if last.Kind != wire.GapKind || len(p.Records) > 10 || len(p.Records) < 3 {
		t.Fatalf("%d records, the last %s", len(p.Records), text(last))
	}
	if err := b.Ack(t.Context(), wire.OutboxAck{HubID: "hub", Epoch: b.Epoch(), N: last.N}, "hub"); err != nil {
		t.Fatal(err)
	}
	if n := commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r9")}}); n != last.N+1 {
		t.Errorf("then the next is %d, want %d", n, last.N+1)
	}
}

func TestTasks(t *testing.T) {
	b := open(t, t.TempDir())
	commit(t, b, Change{Serial: "P1", Tasks: []Task{
		{Serial: "P1", RunID: "r1", Role: wire.RoleModel, State: json.RawMessage(`1`), NextMS: 200},
		{Serial: "P1", RunID: "r1", Role: wire.RoleFinish, State: json.RawMessage(`2`), NextMS: 100},
	}})
	due, err := b.DueTasks(t.Context(), 150, 10)
	if err != nil || len(due) != 1 || due[0].Role != wire.RoleFinish {
		t.Fatalf("due %s, %v", text(due), err)
	}
	due[0].NextMS, due[0].Tries, due[0].State = 300, 1, json.RawMessage(`3`)
	if err := b.SaveTask(t.Context(), due[0]); err != nil {
		t.Fatal(err)
	}
	commit(t, b, Change{Serial: "P1", EndTask: due[0].ID})
	if err := b.SaveTask(t.Context(), due[0]); err != nil {
		t.Fatal(err)
	}
	if open, err := b.OpenTasks(t.Context(), "P1"); err != nil || len(open) != 1 || open[0].Role != wire.RoleModel {
		t.Errorf("open %s, %v", text(open), err)
	}
}

func TestAChangeIsWholeOrNot(t *testing.T) {
	b := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Commit(ctx, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r1")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if b.Last() != 0 || b.LastOf("P1") != 0 {
		t.Errorf("last %d", b.Last())
	}
	if n := commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r1")}}); n != 1 {
		t.Errorf("the first is %d", n)
	}
}
