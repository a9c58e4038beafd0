package fleet

import (
	"context"
	"encoding/json"
	"slices"

	"bambuddy/shared/farm"
)

// scope is which of the printers that changed are saved.
type scope bool

const (
	urgent     scope = false // those whose row is wrong in something that matters
	everything scope = true
)

// change is a printer as it is about to be saved.
type change struct {
	entry  *entry
	view   *View
	online bool
}

// urgent tells whether a hub that is killed now would come back with something
// wrong that matters: what was told of the printer, which job it has and how far
// that has come in words, its faults. Progress, temperatures and their like change
// all the time and may be some seconds old.
func (e *entry) urgent() bool {
	if e.saved == nil || e.savedOnline != e.online.online {
		return true
	}
	was, is := &e.saved.Status, &e.view.Status
	return was.Job.GcodeState != is.Job.GcodeState || was.Job.File != is.Job.File || was.Job.Name != is.Job.Name ||
		was.Job.SubtaskID != is.Job.SubtaskID || was.Job.Plate != is.Job.Plate ||
		was.Faults.PrintError != is.Faults.PrintError || !slices.Equal(was.Faults.HMS, is.Faults.HMS)
}

// save remembers the views that changed since they were last saved. What the
// database refuses stays as unsaved, and as urgent, as it was.
func (f *Fleet) save(ctx context.Context, s scope) {
	todo := f.unsaved(s)
	if len(todo) == 0 {
		return
	}
	states := make([]farm.PrinterState, len(todo))
	for i, c := range todo {
		status, _ := json.Marshal(c.view.Status) // a Status always marshals
		states[i] = farm.PrinterState{PrinterID: c.view.Printer.ID, Connected: c.online, SeenAt: c.view.LastSeen, Status: status}
	}
	if err := f.store.SaveStates(ctx, states); err != nil {
		f.picture.failed(ctx, f.log, f.keepUnsaved(todo), err)
		return
	}
	f.picture.worked(f.log)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range todo {
		c.entry.saved, c.entry.savedOnline = c.view, c.online
	}
}

// unsaved takes what is to be saved, as it is now. Views are never changed, so
// the caller reads them without holding anybody up.
func (f *Fleet) unsaved(s scope) (todo []change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.printers {
		if e.dirty && e.view.Known && (s == everything || e.urgent()) {
			e.dirty = false
			todo = append(todo, change{e, e.view, e.online.online})
		}
	}
	return todo
}

// keepUnsaved takes back what was not saved and tells how many printers wait.
func (f *Fleet) keepUnsaved(todo []change) (waiting int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range todo {
		c.entry.dirty = true
	}
	for _, e := range f.printers {
		if e.dirty && e.view.Known {
			waiting++
		}
	}
	return waiting
}
