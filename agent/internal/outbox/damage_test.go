package outbox

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"bambuddy/shared/wire"
)

func TestAFlippedBitInARecordIsAGapInItsPlace(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	commit(t, b, Change{Serial: "P1", State: json.RawMessage(`{"a":1}`), Records: []wire.OutboxRecord{started("r1"), started("r2"), started("r3")}})
	for _, q := range []string{
		`UPDATE records SET body = CAST(replace(CAST(body AS TEXT), 'Benchy', 'Bunchy') AS BLOB) WHERE n = 2`,
		`UPDATE printers SET state = X'7B7D'`,
	} {
		if _, err := b.db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	p := page(t, b, 0)
	if len(p.Records) != 3 || p.Records[1].Kind != wire.GapKind || p.Records[1].Gap.From != 2 || p.Records[2].Print.RunID != "r3" {
		t.Errorf("records %s", text(p.Records))
	}
	if known, err := b.Printers(t.Context()); err != nil || known["P1"].State != nil {
		t.Errorf("what was damaged is used: %s, %v", text(known), err)
	}
}

// Whatever becomes of the file, the agent starts, and says what it lost.
func TestDamagedJournals(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, path string){
		"not a database": func(t *testing.T, path string) { write(t, path, []byte("garbage, and more of it, and so on")) },
		"empty":          func(t *testing.T, path string) { write(t, path, nil) },
		"tail cut":       func(t *testing.T, path string) { truncate(t, path, 3) },
		"half":           func(t *testing.T, path string) { truncate(t, path, 2) },
		"page zeroed":    func(t *testing.T, path string) { zero(t, path, 4096*2, 4096) },
		"header zeroed":  func(t *testing.T, path string) { zero(t, path, 0, 100) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir)
			for i := range 200 {
				commit(t, b, Change{Serial: "P1", State: json.RawMessage(`{}`), Records: []wire.OutboxRecord{started("r" + strconv.Itoa(i))}})
			}
			epoch := b.Epoch()
			if _, err := b.db.ExecContext(t.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
				t.Fatal(err)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			harm(t, filepath.Join(dir, journalFile))
			b = open(t, dir)
			if b.Epoch() == epoch {
				t.Error("the epoch is the former one")
			}
			n := commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("after")}})
			p := page(t, b, 0)
			if last := p.Records[len(p.Records)-1]; last.N != n || last.Print.RunID != "after" {
				t.Errorf("the last is %s", text(last))
			}
			if name != "empty" && p.Records[0].Kind != wire.GapKind {
				t.Errorf("the first is %s", text(p.Records[0]))
			}
			aside, err := filepath.Glob(filepath.Join(dir, journalFile+".damaged-*"))
			if err != nil || name != "empty" && len(aside) == 0 {
				t.Errorf("set aside: %v, %v", aside, err)
			}
			t.Logf("%d records were saved", len(p.Records)-2)
		})
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, part int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/part); err != nil {
		t.Fatal(err)
	}
}

func zero(t *testing.T, path string, at int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, n), at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A full disk refuses a change as a whole; when there is room again, it is made.
func TestADiskThatIsFull(t *testing.T) {
	b := open(t, t.TempDir())
	b.db.SetMaxOpenConns(1) // the bound is the connection's
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r0")}})
	if _, err := b.db.ExecContext(t.Context(), `PRAGMA max_page_count = 20`); err != nil {
		t.Fatal(err)
	}
	var failed error
	n := 1
	for ; failed == nil && n < 5000; n++ {
		_, failed = b.Commit(t.Context(), Change{Serial: "P1", Records: []wire.OutboxRecord{started(fmt.Sprint("r", n))}})
	}
	if failed == nil || b.Alarm() == "" {
		t.Fatalf("no error; alarm %q", b.Alarm())
	}
	last := b.Last()
	if _, err := b.db.ExecContext(t.Context(), `PRAGMA max_page_count = 100000`); err != nil {
		t.Fatal(err)
	}
	if got := commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("again")}}); got != last+1 || b.Alarm() != "" {
		t.Errorf("then %d, want %d; alarm %q", got, last+1, b.Alarm())
	}
}

// TestMain lets the test program be its own victim: a process that commits until it is
// killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("OUTBOX_VICTIM"); dir != "" {
		victim(dir)
		return
	}
	os.Exit(m.Run())
}

func victim(dir string) {
	b, err := Open(context.Background(), Options{Dir: dir, ProcessID: "victim", Started: time.Now(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		os.Exit(3)
	}
	for i := b.Last(); ; i++ {
		n, err := b.Commit(context.Background(), Change{
			Serial: "P1", State: json.RawMessage(fmt.Sprintf(`{"at":%d}`, i+1)), Records: []wire.OutboxRecord{started("r")},
		})
		if err != nil {
			os.Exit(4)
		}
		_, _ = fmt.Fprintln(os.Stdout, n)
	}
}

// What a process said it had committed is there after kill -9, with the detector's
// state that belongs to it.
func TestKilledWhileCommitting(t *testing.T) {
	dir := t.TempDir()
	told := int64(0)
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "OUTBOX_VICTIM="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 20+7*round && lines.Scan(); n++ {
			if told, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		b := open(t, dir)
		known, err := b.Printers(t.Context())
		if err != nil || b.Last() < told || string(known["P1"].State) != fmt.Sprintf(`{"at":%d}`, b.Last()) {
			t.Fatalf("round %d: %d were told, the last is %d, the state %s, %v", round, told, b.Last(), known["P1"].State, err)
		}
		if p := page(t, b, 0); int64(len(p.Records)) != min(b.Last(), wire.MaxOutboxPage) {
			t.Errorf("round %d: %d records of %d", round, len(p.Records), b.Last())
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	o, err := Open(b.Context(), Options{Dir: b.TempDir(), ProcessID: "boot", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	for b.Loop() {
		if _, err := o.Commit(b.Context(), Change{Serial: "P1", State: json.RawMessage(`{"a":1}`), Records: []wire.OutboxRecord{started("r")}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	o, err := Open(b.Context(), Options{Dir: b.TempDir(), ProcessID: "boot", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	var all []wire.OutboxRecord
	for range 10_000 {
		all = append(all, started("r"))
	}
	if _, err := o.Commit(b.Context(), Change{Serial: "P1", Records: all}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := o.Page(b.Context(), o.Epoch(), 0, wire.MaxOutboxPage); err != nil {
			b.Fatal(err)
		}
	}
}
