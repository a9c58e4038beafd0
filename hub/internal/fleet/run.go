package fleet

import (
	"context"
	"encoding/json"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

// How often Run looks at deadlines, saves what changed, and how long the last
// save at shutdown may take.
const (
	tickEvery = time.Second
	saveEvery = 15 * time.Second
	lastSave  = 5 * time.Second
)

// Run writes what the picture has to tell and to remember, until ctx ends; then
// it saves once more. It is the only part that waits for the database.
func (f *Fleet) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	saved := time.Now()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
			defer cancel()
			f.flush(last)
			f.save(last)
			return nil
		case <-f.wake:
			f.flush(ctx)
		case now := <-tick.C:
			f.expire(now)
			f.flush(ctx)
			if now.Sub(saved) >= saveEvery {
				saved = now
				f.save(ctx)
			}
		}
	}
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
		e := f.news[0]
		f.mu.Unlock()
		if _, err := f.store.AppendEvent(ctx, e); err != nil {
			f.log.Error("event not written, will be tried again", "event", e.Kind, "printer", e.PrinterID, "agent", e.AgentID, "err", err)
			return
		}
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
			f.log.Error("models of printers not written, will be tried again", "printers", len(models), "err", err)
			f.keepModels(models)
			return
		}
		delete(models, id)
	}
}

// keepModels keeps what could not be written, unless there is newer or the
// printer is gone.
func (f *Fleet) keepModels(models map[int64]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, m := range models {
		_, newer := f.models[id]
		if _, here := f.printers[id]; here && !newer {
			f.models[id] = m
		}
	}
}

// save remembers every view that changed since it was last saved.
func (f *Fleet) save(ctx context.Context) {
	type change struct {
		entry *entry
		state farm.PrinterState
		st    bambu.Status
	}
	var todo []change
	f.mu.Lock()
	for id, e := range f.printers {
		if e.dirty && e.view.Known {
			e.dirty = false
			todo = append(todo, change{e, farm.PrinterState{PrinterID: id, Connected: e.online.online, SeenAt: e.view.LastSeen}, e.view.Status})
		}
	}
	f.mu.Unlock()
	if len(todo) == 0 {
		return
	}
	states := make([]farm.PrinterState, len(todo))
	for i, c := range todo {
		c.state.Status, _ = json.Marshal(c.st) // a Status always marshals
		states[i] = c.state
	}
	if err := f.store.SaveStates(ctx, states); err != nil {
		f.log.Error("live picture not saved, will be tried again", "printers", len(states), "err", err)
		f.mu.Lock()
		for _, c := range todo {
			c.entry.dirty = true
		}
		f.mu.Unlock()
	}
}
