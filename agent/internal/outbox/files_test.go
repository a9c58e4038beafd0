package outbox

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func TestAFileLivesAsLongAsSomebodyNeedsIt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		b := open(t, dir)
		defer func() { _ = b.Close() }()
		f := kept2(t, b, "content")
		for _, run := range []string{"r1", "r2"} {
			if _, err := b.Commit(ctx, Change{Serial: "P1", Records: []wire.OutboxRecord{ready(run, f)}, File: &f}); err != nil {
				t.Fatal(err)
			}
		}
		there := func() bool {
			file, size, err := b.OpenFile(ctx, f.SHA256)
			if err != nil {
				return false
			}
			data, err := io.ReadAll(file)
			return err == nil && file.Close() == nil && string(data) == "content" && size == 7
		}
		release := func(run string, want bool) {
			if err := b.Release(ctx, f.SHA256, wire.RunRef(run)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(25 * time.Hour)
			if err := b.prune(ctx); err != nil {
				t.Fatal(err)
			}
			if there() != want {
				t.Errorf("after %s was released it is there: %v", run, !want)
			}
		}
		release("nobody", true)
		release("r1", true)
		release("r1", true)
		release("r2", false)
		if b.files.used != 0 {
			t.Errorf("%d bytes are still counted", b.files.used)
		}
	})
}

func kept2(t *testing.T, b *Outbox, text string) NewFile {
	t.Helper()
	s, err := b.Create(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(s, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	f, err := s.Keep()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What was released goes when there is no room; what the hub has not fetched never does.
func TestTheQuota(t *testing.T) {
	b := open(t, t.TempDir(), func(o *Options) { o.Quota = 100 })
	first := kept(t, b, strings.Repeat("a", 60))
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{ready("r1", first)}, File: &first})
	s, err := b.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(make([]byte, 60)); !errors.Is(err, ErrFull) || b.Alarm() == "" {
		t.Fatalf("error %v, alarm %q", err, b.Alarm())
	}
	s.Abort()
	if err := b.Release(t.Context(), first.SHA256, wire.RunRef("r1")); err != nil {
		t.Fatal(err)
	}
	kept(t, b, strings.Repeat("b", 60))
	if _, _, err := b.OpenFile(t.Context(), first.SHA256); !farm.Is(err, farm.FileUnavailable) {
		t.Errorf("the released one: %v", err)
	}
}

func TestTheSameContentIsOneFile(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	for run := range 1000 {
		f := kept(t, b, "same")
		if run%100 == 0 {
			commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{ready("r", f)}, File: &f})
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, filesDir)); err != nil || len(left) != 1 || b.files.used != 4 {
		t.Errorf("%d files, %d bytes, %v", len(left), b.files.used, err)
	}
}

// What a process left in the middle goes at the next start; a file that vanished from
// the disk is told.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	lost, whole, untold := kept(t, b, "lost"), kept(t, b, "whole"), kept(t, b, "untold")
	for run, f := range map[string]NewFile{"r1": lost, "r2": whole} {
		commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{ready(run, f)}, File: &f})
	}
	half, err := b.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(half.file.Close(), b.Close(), os.Remove(b.files.path(lost.SHA256))); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir)
	left, err := os.ReadDir(filepath.Join(dir, filesDir))
	if err != nil || len(left) != 1 || left[0].Name() != whole.SHA256 || b.files.used != 5 {
		t.Errorf("left %v, %d bytes, %v (untold was %s)", left, b.files.used, err, untold.SHA256)
	}
	p := page(t, b, 0)
	p.Records = p.Records[2:]
	if len(p.Records) != 1 || p.Records[0].Kind != wire.FileUnavailable || p.Records[0].File.RunID != "r1" || p.Records[0].File.Role != wire.RoleModel {
		t.Errorf("told %s", text(p.Records))
	}
}

func TestNamesThatAreNoHash(t *testing.T) {
	b := open(t, t.TempDir())
	for _, name := range []string{"", "../outbox.db", "x", strings.Repeat("A", 64)} {
		if _, _, err := b.OpenFile(t.Context(), name); !farm.Is(err, farm.Invalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
