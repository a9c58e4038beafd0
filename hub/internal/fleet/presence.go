package fleet

import (
	"context"
	"encoding/json"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// announced is what has been told of something that comes and goes: the event of
// going waits for a while, so that a short absence is none.
type announced struct {
	online   bool
	deadline time.Time // when to tell that it is gone; zero: it is here, or told
}

// AgentUp notes that an agent's session has begun. Its printers stay offline
// until their first frame.
func (f *Fleet) AgentUp(agentID int64, _ wire.Hello) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.agent(agentID)
	a.up = true
	f.follow(&a.online, true, func() farm.Event { return agentEvent(farm.EventAgentOnline, agentID, a) })
	f.agentChanged(agentID)
}

// AgentDown notes that an agent's session is over.
func (f *Fleet) AgentDown(agentID int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.agents[agentID]
	if !ok {
		return // removed; its session ends a moment later
	}
	a.up = false
	f.follow(&a.online, false, nil)
	f.agentChanged(agentID)
}

// AgentConnected tells whether an agent's control lane is up.
func (f *Fleet) AgentConnected(agentID int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.agents[agentID]
	return ok && a.up
}

// PutAgent takes in an agent as it is registered now, for the events that name it.
func (f *Fleet) PutAgent(a farm.Agent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.agent(a.ID)
	p.siteID, p.name = a.SiteID, a.Name
}

// RemoveAgent forgets an agent.
func (f *Fleet) RemoveAgent(agentID int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.agents, agentID)
	delete(f.settled, agentID)
	f.agentChanged(agentID)
}

func (f *Fleet) agent(id int64) *presence {
	a, ok := f.agents[id]
	if !ok {
		a = &presence{}
		f.agents[id] = a
	}
	return a
}

func (f *Fleet) agentChanged(agentID int64) {
	for _, e := range f.printers {
		if e.view.Printer.AgentID == agentID {
			e.fresh = false
			f.change(e, func(*View) {})
		}
	}
}

// follow keeps an announcement in step with the truth: coming is told at once,
// going when the deadline passes. f.mu is held.
func (f *Fleet) follow(a *announced, here bool, came func() farm.Event) {
	switch {
	case here && !a.online:
		a.online = true
		a.deadline = time.Time{}
		f.tell(came())
	case here:
		a.deadline = time.Time{}
	case a.online && a.deadline.IsZero():
		a.deadline = time.Now().Add(f.offlineAfter())
	}
}

// tell queues an event for Run. f.mu is held.
func (f *Fleet) tell(e farm.Event) {
	f.news = append(f.news, e)
	f.nudge()
}

// expire tells of everything that has been away too long. f.mu is not held.
func (f *Fleet) expire(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, a := range f.agents {
		if a.online.due(now) {
			a.online = announced{}
			f.tell(agentEvent(farm.EventAgentOffline, id, a))
		}
	}
	for _, e := range f.printers {
		if e.online.due(now) {
			e.online = announced{}
			e.dirty = true
			f.tell(printerEvent(farm.EventPrinterOffline, e.view))
		}
	}
}

func (a announced) due(now time.Time) bool {
	return !a.deadline.IsZero() && !now.Before(a.deadline)
}

func printerEvent(kind string, v *View) farm.Event {
	data, _ := json.Marshal(map[string]any{"printer_id": v.Printer.ID, "printer_name": v.Printer.Name}) // plain values always marshal
	return farm.Event{
		At: time.Now(), Kind: kind, PrinterID: v.Printer.ID, AgentID: v.Printer.AgentID, SiteID: v.Printer.SiteID, Data: data,
	}
}

func agentEvent(kind string, id int64, a *presence) farm.Event {
	data, _ := json.Marshal(map[string]any{"agent_id": id, "agent_name": a.name}) // plain values always marshal
	return farm.Event{At: time.Now(), Kind: kind, AgentID: id, SiteID: a.siteID, Data: data}
}

// Load fills the picture from the database, before Run and before any link. What
// was online when the hub went down has StartGrace to come back.
func (f *Fleet) Load(ctx context.Context) error {
	printers, err := f.store.Printers(ctx)
	if err != nil {
		return err
	}
	agents, err := f.store.Agents(ctx)
	if err != nil {
		return err
	}
	states, err := f.store.States(ctx)
	if err != nil {
		return err
	}
	remembered := make(map[int64]farm.PrinterState, len(states))
	for _, s := range states {
		remembered[s.PrinterID] = s
	}
	back := time.Now().Add(f.startGrace)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range printers {
		e := &entry{view: &View{Printer: p, State: Offline}}
		if s, ok := remembered[p.ID]; ok {
			f.remember(e, s, back)
		}
		f.printers[p.ID], f.bySerial[p.Serial] = e, e
	}
	for _, a := range agents {
		pr := &presence{siteID: a.SiteID, name: a.Name}
		if a.Online {
			pr.online = announced{online: true, deadline: back}
		}
		f.agents[a.ID] = pr
	}
	return nil
}

func (f *Fleet) remember(e *entry, s farm.PrinterState, back time.Time) {
	if s.Connected {
		e.online = announced{online: true, deadline: back}
	}
	e.view.LastSeen = s.SeenAt
	if err := json.Unmarshal(s.Status, &e.view.Status); err != nil {
		f.log.Warn("remembered state of a printer is not readable", "printer", s.PrinterID, "err", err)
		return
	}
	e.view.Known = true
	e.did = stateWord(true, e.view.Status.Job.GcodeState)
	e.saved, e.savedOnline = e.view, s.Connected
}
