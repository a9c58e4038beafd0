package outbox

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"bambuddy/shared/wire"
)

// A disk that is full at the start is no damage: the journal stays where it is, and
// goes on when there is room.
func TestAFullDiskAtTheStart(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skip("no small disk can be made here: ", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	b := open(t, dir)
	epoch := b.Epoch()
	commit(t, b, Change{Serial: "P1", Records: []wire.OutboxRecord{started("r1")}})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(ballast, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := ballast.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = Open(t.Context(), Options{Dir: dir, ProcessID: "boot", Log: slog.New(slog.DiscardHandler)}); err == nil {
		err = b.Close()
	}
	t.Logf("with a full disk: %v", err)
	if aside, err := filepath.Glob(filepath.Join(dir, "*damaged*")); err != nil || len(aside) != 0 {
		t.Errorf("a journal that is whole was set aside: %v, %v", aside, err)
	}
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir)
	if b.Epoch() != epoch || b.Last() != 1 {
		t.Errorf("the same epoch: %v, last %d", b.Epoch() == epoch, b.Last())
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
