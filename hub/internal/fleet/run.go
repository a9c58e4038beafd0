package fleet

import (
	"context"
	"time"

	"bambuddy/shared/farm"
)

// How often Run looks at deadlines and saves what is urgent, how many times that
// until it saves all that changed, and how long the last save at shutdown may take.
const (
	tickEvery = time.Second
	saveEvery = 5 // ticks
	lastSave  = 5 * time.Second
)

// Run writes what the picture has to tell and to remember, until ctx ends; then
// it saves once more. It is the only part that waits for the database. A hub that
// is killed before that loses what happened in the last second, and of what
// changes all the time the last five.
func (f *Fleet) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for ticks := 0; ; {
		select {
		case <-ctx.Done():
			f.finish(context.WithoutCancel(ctx))
			return nil
		case <-f.wake:
			f.flush(ctx)
		case now := <-tick.C:
			f.expire(now)
			f.flush(ctx)
			what := urgent
			if ticks++; ticks%saveEvery == 0 {
				what = everything
			}
			f.save(ctx, what)
		}
	}
}

// finish writes what can be written before the process ends. What cannot is lost,
// so that is told whenever it was told before.
func (f *Fleet) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastSave)
	defer cancel()
	for _, t := range []*trouble{&f.unwritten, &f.unreported, &f.picture} {
		t.told = time.Time{}
	}
	f.flush(ctx)
	f.save(ctx, everything)
}

// flush appends the queued events in order and reports learned models. What the
// database refuses is kept for the next tick.
func (f *Fleet) flush(ctx context.Context) {
	for {
		f.mu.Lock()
		if len(f.news) == 0 {
			f.news = nil
			f.mu.Unlock()
			break
		}
		e, waiting := f.news[0], len(f.news)
		f.mu.Unlock()
		if _, err := f.store.AppendEvent(ctx, e); err != nil {
			f.unwritten.failed(ctx, f.log, waiting, err, "event", e.Kind, "printer", e.PrinterID, "agent", e.AgentID)
			return
		}
		f.unwritten.worked(f.log)
		f.mu.Lock()
		f.news = f.news[1:]
		f.mu.Unlock()
	}
	f.flushModels(ctx)
}

// flushModels reports learned models, until the database refuses one.
func (f *Fleet) flushModels(ctx context.Context) {
	f.mu.Lock()
	models := f.models
	f.models = map[int64]string{}
	f.mu.Unlock()
	for id, m := range models {
		err := f.store.SetPrinterModel(ctx, id, m)
		if err != nil && !farm.Is(err, farm.NotFound) {
			f.unreported.failed(ctx, f.log, f.keepModels(models), err)
			return
		}
		f.unreported.worked(f.log)
		delete(models, id)
	}
}

// keepModels keeps what could not be written, unless there is newer or the
// printer is gone, and tells how many wait.
func (f *Fleet) keepModels(models map[int64]string) (waiting int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, m := range models {
		_, newer := f.models[id]
		if _, here := f.printers[id]; here && !newer {
			f.models[id] = m
		}
	}
	return len(f.models)
}
