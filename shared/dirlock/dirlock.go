// Package dirlock lets one process at a time work on a data directory. The lock
// belongs to the process: it is gone when the process is, however it ended.
package dirlock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ErrHeld is what Take gives while another process holds the lock.
var ErrHeld = errors.New("another process works on this data directory")

// patience is how long Take tries: someone who only asks with Held holds the lock
// for a moment.
const (
	patience = time.Second
	interval = 50 * time.Millisecond
)

// Lock is a lock that is held.
type Lock struct{ file *os.File }

// Take locks dir by the file name in it, which it makes if needed. The directory
// must exist. End with Release, or with the process.
func Take(ctx context.Context, dir, name string) (*Lock, error) {
	f, err := open(dir, name)
	if err != nil {
		return nil, err
	}
	for waited := time.Duration(0); ; waited += interval {
		got, err := try(f, exclusive)
		switch {
		case got:
			return &Lock{file: f}, nil
		case err != nil:
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		case waited >= patience:
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), ErrHeld)
		}
		pause := time.NewTimer(interval)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), ctx.Err())
		}
	}
}

// Release gives the lock back. The file stays: to remove it would let two
// processes lock two files of one name.
func (l *Lock) Release() error { return l.file.Close() }

// Held tells whether a process holds the lock now. It makes no file: without one
// nobody does.
func Held(dir, name string) (bool, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // closing releases; nothing was written
	got, err := try(f, shared)
	if err != nil {
		return false, fmt.Errorf("look at lock %s: %w", f.Name(), err)
	}
	return !got, nil
}

func open(dir, name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
}

// mode is how try locks: shared locks exclude an exclusive one, not each other.
type mode int

const (
	shared mode = iota
	exclusive
)
