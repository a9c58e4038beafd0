package dirlock

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

const name = "x.lock"

func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if held, err := Held(dir, name); held || err != nil {
			t.Fatalf("before anything: %v %v", held, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Error("Held made a file")
		}
		first, err := Take(t.Context(), dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if held, err := Held(dir, name); !held || err != nil {
			t.Errorf("while held: %v %v", held, err)
		}
		if _, err := Take(t.Context(), dir, name); !errors.Is(err, ErrHeld) {
			t.Errorf("a second: %v", err)
		}
		if err := first.Release(); err != nil {
			t.Fatal(err)
		}
		if held, err := Held(dir, name); held || err != nil {
			t.Errorf("after the release: %v %v", held, err)
		}
		second, err := Take(t.Context(), dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Release(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTakeOutlastsAGlanceAndEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f, err := open(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := try(f, shared); !got || err != nil {
			t.Fatal(got, err)
		}
		time.AfterFunc(300*time.Millisecond, func() { _ = f.Close() })
		lock, err := Take(t.Context(), dir, name)
		if err != nil {
			t.Fatalf("did not outlast a glance: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := Take(ctx, dir, name); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	if _, err := Take(t.Context(), dir, name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
	if held, err := Held(dir, name); held || err != nil {
		t.Errorf("%v %v", held, err)
	}
}

// TestAnotherProcess: the lock is seen by others, and gone with its process.
func TestAnotherProcess(t *testing.T) {
	if dir := os.Getenv("DIRLOCK_TEST_DIR"); dir != "" {
		if _, err := Take(t.Context(), dir, name); err != nil {
			t.Fatal(err)
		}
		return // ends without a release
	}
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAnotherProcess$")
	child.Env = append(os.Environ(), "DIRLOCK_TEST_DIR="+dir)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	if held, err := Held(dir, name); held || err != nil {
		t.Errorf("after its process ended: %v %v", held, err)
	}
	lock, err := Take(t.Context(), dir, name)
	if err != nil {
		t.Fatal(err)
	}
	child = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAnotherProcess$")
	child.Env = append(os.Environ(), "DIRLOCK_TEST_DIR="+dir)
	if err := child.Run(); err == nil {
		t.Error("another process took a lock that is held")
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}
