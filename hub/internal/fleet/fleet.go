// Package fleet is the live picture: every registered printer as it is now, in
// memory, with the age of what is known, and who wants to hear of changes. It
// turns the comings and goings of printers and agents into events, and remembers
// the picture in the database so that a restarted hub still shows it.
//
// Data comes in by Apply (from links, one state frame at a time, never waiting
// for the database), goes out by View, Views and Watch.
package fleet

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Store is what the picture needs of the database.
type Store interface {
	Printers(ctx context.Context) ([]farm.Printer, error)
	Agents(ctx context.Context) ([]farm.Agent, error)
	States(ctx context.Context) ([]farm.PrinterState, error)
	SaveStates(ctx context.Context, states []farm.PrinterState) error
	SetPrinterModel(ctx context.Context, id int64, model string) error
	AppendEvent(ctx context.Context, e farm.Event) (farm.Event, error)
}

// Options are the parts and settings of a Fleet.
type Options struct {
	Store Store
	Log   *slog.Logger
	// OfflineAfter tells how long a printer or agent must be away before that is
	// an event, asked anew each time one goes; nil means 60 s.
	OfflineAfter func() time.Duration
	// StartGrace is the same for what was online when the hub went down; 0
	// means 120 s.
	StartGrace time.Duration
}

// Fleet is the live picture. All its methods may be called at the same time.
type Fleet struct {
	store        Store
	log          *slog.Logger
	offlineAfter func() time.Duration
	startGrace   time.Duration

	mu       sync.Mutex
	printers map[int64]*entry
	bySerial map[string]*entry
	agents   map[int64]*presence
	settled  map[int64]int64 // number up to which an agent's records are applied
	watchers map[*Watcher]struct{}
	news     []farm.Event // to be appended by Run, in order
	models   map[int64]string
	wake     chan struct{}

	unwritten, unreported, picture trouble // with events, with models, with saving; Run's alone
}

// entry is one printer. view is replaced, never changed.
type entry struct {
	view   *View
	fresh  bool // the agent's present session speaks of reports of the printer
	dirty  bool // not saved since the last change
	online announced
	warned bool   // a frame under a wrong fence was logged
	did    string // its word when it was in contact last, or was remembered to be

	saved       *View // as it is in the database; nil: it is not
	savedOnline bool  // and what was announced of it then
}

// presence is one agent's link.
type presence struct {
	siteID int64
	name   string
	up     bool
	online announced
}

// New makes an empty picture; Load fills it.
func New(o Options) *Fleet {
	f := &Fleet{
		store: o.Store, log: o.Log, offlineAfter: o.OfflineAfter, startGrace: o.StartGrace,
		printers: map[int64]*entry{}, bySerial: map[string]*entry{}, agents: map[int64]*presence{}, settled: map[int64]int64{},
		watchers: map[*Watcher]struct{}{}, models: map[int64]string{}, wake: make(chan struct{}, 1),
		unwritten:  trouble{fails: "events not written, will be tried again", works: "events are written again"},
		unreported: trouble{fails: "models not written, will be tried again", works: "models are written again"},
		picture:    trouble{fails: "live picture not saved, will be tried again", works: "live picture is saved again"},
	}
	if f.offlineAfter == nil {
		f.offlineAfter = func() time.Duration { return time.Minute }
	}
	if f.startGrace <= 0 {
		f.startGrace = 2 * time.Minute
	}
	return f
}

// View gives one printer.
func (f *Fleet) View(printerID int64) (View, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.printers[printerID]
	if !ok {
		return View{}, false
	}
	return *e.view, true
}

// Views gives all printers in the order of their ids.
func (f *Fleet) Views() []View {
	f.mu.Lock()
	all := make([]*View, 0, len(f.printers)) // a view is never changed, and large: it is copied once
	for _, e := range f.printers {
		all = append(all, e.view)
	}
	f.mu.Unlock()
	slices.SortFunc(all, func(a, b *View) int { return cmp.Compare(a.Printer.ID, b.Printer.ID) })
	out := make([]View, len(all))
	for i, v := range all {
		out[i] = *v
	}
	return out
}

// InPrint tells whether a print is under way at a printer by the last that is
// known of it: one out of contact may go on with its print.
func (f *Fleet) InPrint(printerID int64) bool {
	v, ok := f.View(printerID)
	v.State = stateWord(v.Known, v.Status.Job.GcodeState)
	return ok && v.InPrint()
}

// Put takes in a printer as it is registered now, new or changed.
func (f *Fleet) Put(p farm.Printer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.printers[p.ID]
	if !ok {
		e = &entry{view: &View{}}
		f.printers[p.ID] = e
		f.bySerial[p.Serial] = e
	}
	old := e.view.Printer
	moved := old.AgentID != p.AgentID || old.Fence != p.Fence || old.Address != p.Address
	if moved {
		e.fresh, e.warned = false, false // what the former session said no longer holds
	}
	f.change(e, func(v *View) {
		v.Printer = p
		if moved {
			v.SeenAddress = ""
		}
	})
}

// Remove forgets a printer.
func (f *Fleet) Remove(printerID int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.printers[printerID]
	if !ok {
		return
	}
	delete(f.printers, printerID)
	delete(f.bySerial, e.view.Printer.Serial)
	delete(f.models, printerID)
	for w := range f.watchers {
		w.mark(printerID)
	}
}

// Apply takes in one frame of an agent's state stream. A frame that is not the
// agent's business (a printer of another agent, or under an old fence) changes
// nothing and is logged once.
func (f *Fleet) Apply(agentID int64, frame wire.StateFrame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.bySerial[frame.Serial]
	if !ok {
		return // just removed; its tombstone is on the way to the agent
	}
	p := e.view.Printer
	if p.AgentID != agentID || p.Fence != frame.Fence {
		if !e.warned {
			e.warned = true
			f.log.Warn("state of a printer under another assignment ignored", "printer", p.ID, "agent", agentID,
				"fence", frame.Fence, "current_fence", p.Fence)
		}
		return
	}
	if frame.Removed {
		e.fresh = false
		f.change(e, func(*View) {})
		return
	}
	e.fresh = frame.SeenAgoMS >= 0 // else all there is was remembered
	f.change(e, func(v *View) {
		v.SeenAddress = frame.SeenAddress
		v.Outbox = frame.Outbox
		if frame.Connection != nil {
			v.Connection = *frame.Connection
		}
		if frame.SeenAgoMS >= 0 {
			v.LastSeen = time.Now().Add(-time.Duration(frame.SeenAgoMS) * time.Millisecond)
			v.Known = true
		}
		switch {
		case frame.SeenAgoMS < 0:
			// The agent has heard nothing yet: what is remembered stays.
		case frame.Whole:
			v.Status = bambu.Status{}.With(frame.Patch)
		default:
			v.Status = v.Status.With(frame.Patch)
		}
		if m := v.Status.Machine.Model; m != "" && m != v.Printer.ModelSeen {
			v.Printer.ModelSeen = m
			f.models[v.Printer.ID] = m
			f.nudge()
		}
	})
}

// change replaces an entry's view and tells the watchers. f.mu is held.
func (f *Fleet) change(e *entry, set func(*View)) {
	v := *e.view
	set(&v)
	a := f.agents[v.Printer.AgentID]
	v.AgentConnected = a != nil && a.up
	v.Connected = v.AgentConnected && e.fresh && v.Connection.State == wire.Online
	v.State = f.settledWord(e, v)
	if v.Connected {
		e.did = v.State
	}
	v.Version++
	e.view = &v
	e.dirty = true
	f.follow(&e.online, v.Connected, func() farm.Event { return printerEvent(farm.EventPrinterOnline, e.view) })
	for w := range f.watchers {
		w.mark(v.Printer.ID)
	}
}

func (f *Fleet) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}
