package fleet

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Watcher hears of changes, newest wins: however slow it is, it holds no more
// than a set of ids, and Next gives each changed printer as it is by then.
type Watcher struct {
	fleet *Fleet
	mu    sync.Mutex
	dirty map[int64]struct{}
	ready chan struct{}
}

// Watch makes a watcher; the first Next gives every printer. Close it.
func (f *Fleet) Watch() *Watcher {
	w := &Watcher{fleet: f, dirty: map[int64]struct{}{}, ready: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[w] = struct{}{}
	for id := range f.printers {
		w.dirty[id] = struct{}{}
	}
	w.ready <- struct{}{} // even an empty farm is an answer
	return w
}

// Next waits for changes and gives them by printer id, with the ids of printers
// that are gone. It ends with ctx. One goroutine calls it.
func (w *Watcher) Next(ctx context.Context) (changed []View, gone []int64, err error) {
	select {
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-w.ready:
	}
	w.mu.Lock()
	dirty := w.dirty
	w.dirty = make(map[int64]struct{}, len(dirty))
	w.mu.Unlock()
	for id := range dirty {
		if v, ok := w.fleet.View(id); ok {
			changed = append(changed, v)
		} else {
			gone = append(gone, id)
		}
	}
	slices.SortFunc(changed, func(a, b View) int { return cmp.Compare(a.Printer.ID, b.Printer.ID) })
	slices.Sort(gone)
	return changed, gone, nil
}

// Close ends the watching.
func (w *Watcher) Close() {
	w.fleet.mu.Lock()
	delete(w.fleet.watchers, w)
	w.fleet.mu.Unlock()
}

func (w *Watcher) mark(id int64) {
	w.mu.Lock()
	w.dirty[id] = struct{}{}
	w.mu.Unlock()
	select {
	case w.ready <- struct{}{}:
	default:
	}
}
