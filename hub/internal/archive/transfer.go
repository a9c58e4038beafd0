package archive

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"bambuddy/shared/farm"
)

// Transfer is a file on its way from an agent, as people may follow it.
type Transfer struct {
	PrintID   int64
	PrinterID int64
	SiteID    int64
	Role      string
	Bytes     int64
	Size      int64
	Done      bool   // nothing more comes: it is stored, or Error says why it is given up
	Error     string // why it stands still
}

// tellEvery is how often a transfer is told of while it moves.
const tellEvery = time.Second

// onWay is what is on its way, and who follows it.
type onWay struct {
	mu       sync.Mutex
	open     map[onWayKey]Transfer
	watchers map[*Watcher]struct{}
}

type onWayKey struct {
	printID int64
	role    string
}

func (o *onWay) set(t Transfer) {
	key := onWayKey{t.PrintID, t.Role}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[key] = t; t.Done {
		delete(o.open, key)
	}
	for w := range o.watchers {
		w.mark(key, t)
	}
}

// Arrived tells how many bytes of a file have come that is on its way.
func (a *Archive) Arrived(printID int64, role string) int64 {
	a.onWay.mu.Lock()
	defer a.onWay.mu.Unlock()
	return a.onWay.open[onWayKey{printID, role}].Bytes
}

// Watcher follows all transfers. However slow its reader is, it holds one entry for
// each file: the newest. Close it.
type Watcher struct {
	way  *onWay
	wake chan struct{}

	mu   sync.Mutex
	news map[onWayKey]Transfer
}

// Watch begins to follow: what is on its way comes first.
func (a *Archive) Watch() *Watcher {
	w := &Watcher{way: &a.onWay, wake: make(chan struct{}, 1), news: map[onWayKey]Transfer{}}
	a.onWay.mu.Lock()
	defer a.onWay.mu.Unlock()
	a.onWay.watchers[w] = struct{}{}
	for key, t := range a.onWay.open {
		w.mark(key, t)
	}
	return w
}

func (w *Watcher) mark(key onWayKey, t Transfer) {
	w.mu.Lock()
	w.news[key] = t
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Next waits for news and gives them, in no order.
func (w *Watcher) Next(ctx context.Context) ([]Transfer, error) {
	for {
		w.mu.Lock()
		news := slices.Collect(maps.Values(w.news))
		clear(w.news)
		w.mu.Unlock()
		if len(news) > 0 {
			return news, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the following.
func (w *Watcher) Close() {
	w.way.mu.Lock()
	defer w.way.mu.Unlock()
	delete(w.way.watchers, w)
}

// meter tells of a transfer now and then.
type meter struct {
	archive *Archive
	is      Transfer
	last    time.Time
}

func (m *meter) moved(n int) {
	m.is.Bytes += int64(n)
	if now := time.Now(); now.Sub(m.last) >= tellEvery {
		m.last = now
		m.archive.onWay.set(m.is)
	}
}

func (m *meter) end(err error) {
	m.is.Done = err == nil || farm.Is(err, farm.FileUnavailable)
	if err != nil {
		m.is.Error = detail(err)
	}
	m.archive.onWay.set(m.is)
}
