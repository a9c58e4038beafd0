package hublink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func journalIn(t *testing.T, dir string, most int) *Journal {
	t.Helper()
	j, err := openJournal(dir, most, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func noteAll(t *testing.T, j *Journal, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := j.note(journalEntry{fmt.Sprint(i), "S1", wire.Control}); err != nil {
			t.Fatal(err)
		}
	}
}

func ids(j *Journal) string {
	var all []string
	for _, e := range j.begun() {
		all = append(all, e.ID)
	}
	return strings.Join(all, " ")
}

func TestJournalOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir, 100)
	odd := journalEntry{"a \"b\"\n\x00ü", "S1", wire.Control}
	if err := j.note(odd); err != nil {
		t.Fatal(err)
	}
	noteAll(t, j, 0, 3)
	again := journalIn(t, dir, 100) // the first was never closed, as after a power cut
	if got := again.begun(); len(got) != 4 || got[0] != odd || got[3].ID != "2" {
		t.Errorf("%+v", got)
	}
	noteAll(t, again, 3, 5)
	if got := journalIn(t, dir, 100).begun(); len(got) != 6 || got[5].ID != "4" {
		t.Errorf("%+v", got)
	}
	if info, err := os.Stat(filepath.Join(dir, journalFile)); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestJournalIsBounded(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir, 10)
	noteAll(t, j, 0, 1000)
	if n := len(j.begun()); n < 5 || n >= 10 {
		t.Errorf("%d entries", n)
	}
	again := journalIn(t, dir, 10)
	if ids(again) != ids(j) || !strings.HasSuffix(ids(again), " 998 999") {
		t.Errorf("on disk %s, in memory %s", ids(again), ids(j))
	}
	if info, err := os.Stat(filepath.Join(dir, journalFile)); err != nil || info.Size() > 1000 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	if n := len(journalIn(t, dir, 3).begun()); n != 3 {
		t.Errorf("%d entries of a longer journal, want 3", n)
	}
}

func TestDamagedJournal(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut":            func(b []byte) []byte { return b[:len(b)-7] },
		"zeros at end":   func(b []byte) []byte { return append(b[:len(b)-20], make([]byte, 4096)...) },
		"garbage at end": func(b []byte) []byte { return append(b[:len(b)-30], "\xff\xfe no journal\n{}\n"...) },
		"a flipped bit":  func(b []byte) []byte { b[len(b)-4] ^= 1; return b },
		"no end of line": func(b []byte) []byte { return b[:len(b)-1] },
		"wrong sum's end": func(b []byte) []byte {
			return append(b[:strings.LastIndex(string(b), " ")-1], b[strings.LastIndex(string(b), " "):]...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			noteAll(t, journalIn(t, dir, 100), 0, 4)
			path := filepath.Join(dir, journalFile)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := damage(data)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			j := journalIn(t, dir, 100)
			if ids(j) != "0 1 2" {
				t.Errorf("kept %q", ids(j))
			}
			aside, err := os.ReadFile(path + ".unusable")
			if err != nil || string(aside) != string(bad) {
				t.Errorf("set aside %d bytes, %v; want all %d", len(aside), err, len(bad))
			}
			noteAll(t, j, 9, 10)
			if again := journalIn(t, dir, 100); ids(again) != "0 1 2 9" {
				t.Errorf("then %q", ids(again))
			}
		})
	}
}

func TestDamageInTheMiddleLosesOneLine(t *testing.T) {
	dir := t.TempDir()
	noteAll(t, journalIn(t, dir, 100), 0, 4)
	path := filepath.Join(dir, journalFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2+5] = 0
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := len(journalIn(t, dir, 100).begun()); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

func TestAFileThatIsNoJournalIsSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalFile)
	if err := os.WriteFile(path, make([]byte, maxJournal+1), 0o600); err != nil {
		t.Fatal(err)
	}
	j := journalIn(t, dir, 100)
	noteAll(t, j, 0, 1)
	if ids(j) != "0" {
		t.Errorf("%q", ids(j))
	}
	if _, err := os.Stat(path + ".unusable"); err != nil {
		t.Error(err)
	}
}

func TestJournalTakesManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir, 64)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 25 {
				if err := j.note(journalEntry{fmt.Sprint(i, "-", n), "S1", wire.Control}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if again := journalIn(t, dir, 64); ids(again) != ids(j) {
		t.Errorf("on disk %s, in memory %s", ids(again), ids(j))
	}
}

// control is a command of the kind Control for the rig's printer.
func control(id, do string) string {
	return fmt.Sprintf(`{"id":%q,"fence":2,"valid_ms":5000,"kind":"control","control":{"do":%q}}`, id, do)
}

func apiWith(f Fleet, j *Journal) http.Handler {
	return newAPI(Options{
		Identity: Identity{HubID: testHub, AgentID: testAgent}, BootID: "boot-1", Fleet: f, Journal: j,
		Log: slog.New(slog.DiscardHandler),
	}, time.Now()).control()
}

func TestARepeatedCommandDoesNotActAfterARestart(t *testing.T) {
	dir := t.TempDir()
	const path = "/v1/printers/S1/commands"
	f := &fakeFleet{}
	h := apiWith(f, journalIn(t, dir, 100))
	if w := call(h, "POST", path, control("c1", "stop")); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := call(h, "POST", path, control("c1", "stop")); w.Code != 200 || len(f.commands) != 1 {
		t.Fatalf("repeated in the same process: %d %s", w.Code, w.Body)
	}

	f = &fakeFleet{}
	h = apiWith(f, journalIn(t, dir, 100))
	w := call(h, "POST", path, control("c1", "stop"))
	var e wire.Error
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 504 || e.Code != farm.OutcomeUnknown {
		t.Errorf("repeated after the restart: %d %s", w.Code, w.Body)
	}
	if w := call(h, "POST", "/v1/printers/S2/commands", control("c1", "stop")); w.Code != 409 {
		t.Errorf("its id for another printer: %d %s", w.Code, w.Body)
	}
	if len(f.commands) != 0 {
		t.Errorf("the fleet got %+v", f.commands)
	}
	if w := call(h, "POST", path, control("c2", "stop")); w.Code != 200 || len(f.commands) != 1 || f.commands[0].Control.Do != "stop" {
		t.Errorf("a new one: %d %s", w.Code, w.Body)
	}
}

func TestACommandIsWrittenBeforeItActs(t *testing.T) {
	dir := t.TempDir()
	f := &fakeFleet{}
	f.carryOut = func(context.Context, string, wire.Command) (wire.CommandResult, error) {
		if data, err := os.ReadFile(filepath.Join(dir, journalFile)); err != nil || !strings.Contains(string(data), "c1") {
			t.Errorf("acts before it is on disk: %q, %v", data, err)
		}
		return wire.CommandResult{}, nil
	}
	if w := call(apiWith(f, journalIn(t, dir, 100)), "POST", "/v1/printers/S1/commands", control("c1", "home")); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestADiskThatTakesNothing(t *testing.T) {
	j := journalIn(t, t.TempDir(), 100)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.note(journalEntry{"1", "S1", wire.Control}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("err = %v", err)
	}
	f := &fakeFleet{}
	h := apiWith(f, j)
	for do, status := range map[string]int{"home": 503, "stop": 200, "pause": 200} {
		if w := call(h, "POST", "/v1/printers/S1/commands", control(do, do)); w.Code != status {
			t.Errorf("%s: %d %s, want %d", do, w.Code, w.Body, status)
		}
	}
	if len(f.commands) != 2 {
		t.Errorf("the fleet got %+v", f.commands)
	}
}

func BenchmarkJournal(b *testing.B) {
	j, err := OpenJournal(b.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // a benchmark
	for b.Loop() {
		if err := j.note(journalEntry{"0198c2f0a1b2c3d4", "00M00A000000001", wire.Control}); err != nil {
			b.Fatal(err)
		}
	}
}
