package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"bambuddy/agent/internal/printer"
	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// seenEvery is how often a printer is told of that reports, but nothing new.
const seenEvery = 10 * time.Second

// errWatcherClosed is what Next gives after Close.
var errWatcherClosed = errors.New("watcher is closed")

// Watcher follows all printers of a Fleet. However slow its reader is, it holds
// no more than one entry per printer: the newest state always arrives, not every
// step to it. Next belongs to one goroutine; Close may be called by any.
type Watcher struct {
	fleet  *Fleet
	wake   chan struct{} // holds one
	once   sync.Once
	closed chan struct{}

	begun bool
	sent  map[string]sent // what the reader knows

	mu    sync.Mutex
	dirty map[string]struct{}
}

// sent is the last frame of a printer, as far as the next one depends on it.
type sent struct {
	status     bambu.Status
	connection wire.Connection
	fence      int64
	seen       string
	outbox     int64
	at         time.Time
}

// Watch begins to follow. Close the Watcher when done.
func (f *Fleet) Watch() *Watcher {
	w := &Watcher{
		fleet: f, wake: make(chan struct{}, 1), closed: make(chan struct{}),
		sent: map[string]sent{}, dirty: map[string]struct{}{},
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[w] = struct{}{}
	for serial := range f.members {
		w.dirty[serial] = struct{}{}
	}
	return w
}

// Close ends the watching; a Next that waits returns an error.
func (w *Watcher) Close() {
	w.once.Do(func() {
		w.fleet.mu.Lock()
		delete(w.fleet.watchers, w)
		w.fleet.mu.Unlock()
		close(w.closed)
	})
}

// tell marks a printer as changed for every watcher. Callers hold f.mu.
func (f *Fleet) tell(serial string) {
	for w := range f.watchers {
		w.mark(serial)
	}
}

func (w *Watcher) mark(serial string) {
	w.mu.Lock()
	w.dirty[serial] = struct{}{}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Next waits for changes and gives one frame per changed printer. The first call
// does not wait: it gives a whole frame of every printer, or none when there is
// no printer.
func (w *Watcher) Next(ctx context.Context) ([]wire.StateFrame, error) {
	for {
		frames := w.frames()
		if len(frames) > 0 || !w.begun {
			w.begun = true
			return frames, nil
		}
		select {
		case <-w.wake:
		case <-w.closed:
			return nil, errWatcherClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *Watcher) frames() []wire.StateFrame {
	w.mu.Lock()
	dirty := w.dirty
	w.dirty = make(map[string]struct{}, len(dirty))
	w.mu.Unlock()
	frames := make([]wire.StateFrame, 0, len(dirty))
	for serial := range dirty {
		if frame, ok := w.frame(serial); ok {
			frames = append(frames, frame)
		}
	}
	return frames
}

// frame tells what is new of one printer, false when nothing is.
func (w *Watcher) frame(serial string) (wire.StateFrame, bool) {
	now := time.Now()
	last, known := w.sent[serial]
	fence, snap, seen, held := w.fleet.look(serial)
	if !held {
		delete(w.sent, serial)
		return wire.StateFrame{Serial: serial, Fence: last.fence, Removed: true, SeenAgoMS: -1}, known
	}
	frame := wire.StateFrame{Serial: serial, Fence: fence, Outbox: snap.Outbox, SeenAgoMS: seenAgo(snap, now), SeenAddress: seen}
	switch {
	case !known || last.fence != fence: // another assignment: nothing said before counts
		frame.Whole, frame.Patch, frame.Connection = true, snap.Status.Whole(), &snap.Connection
	default:
		frame.Patch = snap.Status.Since(last.status)
		if snap.Connection != last.connection {
			frame.Connection = &snap.Connection
		}
		if frame.Patch.Empty() && frame.Connection == nil && seen == last.seen && snap.Outbox == last.outbox && now.Sub(last.at) < seenEvery {
			return frame, false
		}
	}
	w.sent[serial] = sent{status: snap.Status, connection: snap.Connection, fence: fence, seen: seen, outbox: snap.Outbox, at: now}
	return frame, true
}

func (f *Fleet) look(serial string) (fence int64, snap printer.Snapshot, seen string, held bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.members[serial]
	if !ok {
		return 0, snap, "", false
	}
	snap = m.session.Snapshot()
	return m.cfg.Fence, snap, m.seenElsewhere(snap), true
}

func seenAgo(s printer.Snapshot, now time.Time) int64 {
	if s.LastReport.IsZero() {
		return -1
	}
	return max(0, now.Sub(s.LastReport).Milliseconds())
}
