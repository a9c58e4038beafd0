package hublink

import (
	"net/http"
	"sync"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// maxCommands bounds how many command ids are remembered.
const maxCommands = 4096

// postCommand carries out a command, once per id.
func (a *api) postCommand(w http.ResponseWriter, r *http.Request) error {
	received := time.Now()
	c, err := decode[wire.Command](w, r, wire.MaxMessage)
	if err != nil {
		return err
	}
	switch {
	case c.ID == "" || len(c.ID) > 128:
		return farm.Errorf(farm.Invalid, "id must have 1 to 128 bytes")
	case c.ValidMS <= 0:
		return farm.Errorf(farm.Invalid, "valid_ms must be 1 to %d", wire.MaxValidMS)
	}
	c.ValidMS = min(c.ValidMS, wire.MaxValidMS)
	serial := r.PathValue("serial")
	run, known := a.commands.begin(journalEntry{c.ID, serial, c.Kind})
	if known {
		result, err := run.repeat(serial, c.Kind)
		if err != nil {
			return err
		}
		return reply(w, result)
	}
	result, err := a.carryOut(r, serial, c, received)
	run.finish(result, err)
	if err != nil {
		return err
	}
	return reply(w, result)
}

func (a *api) carryOut(r *http.Request, serial string, c wire.Command, received time.Time) (wire.CommandResult, error) {
	if err := a.write(serial, c); err != nil {
		return wire.CommandResult{}, err
	}
	c.ValidMS -= time.Since(received).Milliseconds() // a slow line may have eaten it up
	if c.ValidMS <= 0 {
		return wire.CommandResult{}, farm.Errorf(farm.Conflict, "the command came too late and was not carried out")
	}
	result, err := a.fleet.Command(r.Context(), serial, c)
	if err != nil && farm.Is(err, farm.Internal) && r.Context().Err() != nil {
		err = farm.Wrap(farm.OutcomeUnknown, err, "the hub went away while the command was being carried out")
	}
	result.ID = c.ID
	return result, err
}

// write puts a command in the journal before it acts. A refresh is not written: it
// changes nothing. A stop and a pause are carried out even when the disk is full.
func (a *api) write(serial string, c wire.Command) error {
	if a.journal == nil || c.Kind == wire.Refresh {
		return nil
	}
	err := a.journal.note(journalEntry{c.ID, serial, c.Kind})
	if err == nil {
		return nil
	}
	a.log.Error("a command could not be written to the journal", "printer", serial, "id", c.ID, "err", err)
	if c.Control != nil && c.Control.Overtakes() {
		return nil
	}
	return farm.Wrap(farm.Unavailable, err, "the agent cannot write to its disk, so the command was not carried out")
}

// commandRun is one command's course.
type commandRun struct {
	journalEntry

	mu     sync.Mutex
	done   bool
	result wire.CommandResult
	err    error
}

// repeat answers a command whose id was seen before.
func (c *commandRun) repeat(serial string, kind wire.CommandKind) (wire.CommandResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.Serial != serial || c.Kind != kind:
		return wire.CommandResult{}, farm.Errorf(farm.Conflict, "the id %s was used for another command", c.ID)
	case !c.done:
		return wire.CommandResult{}, farm.Errorf(farm.OutcomeUnknown, "the command %s was begun before and has not ended", c.ID)
	}
	return c.result, c.err
}

func (c *commandRun) finish(result wire.CommandResult, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done, c.result, c.err = true, result, err
}

func (c *commandRun) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// commandTable remembers the commands of this process, and which ones were begun
// by those before. A command's id is entered before it acts, so that a repeated one
// never acts again.
type commandTable struct {
	mu    sync.Mutex
	most  int
	byID  map[string]*commandRun
	order []*commandRun // oldest first
}

func newCommandTable(most int, before []journalEntry) *commandTable {
	t := &commandTable{most: most, byID: map[string]*commandRun{}}
	for _, e := range before {
		if run, known := t.begin(e); !known {
			run.finish(wire.CommandResult{}, farm.Errorf(farm.OutcomeUnknown, "the command %s was begun before the agent was restarted", e.ID))
		}
	}
	return t
}

// begin enters an id, or gives the run that had it before.
func (t *commandTable) begin(e journalEntry) (run *commandRun, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if run, known = t.byID[e.ID]; known {
		return run, true
	}
	run = &commandRun{journalEntry: e}
	t.byID[e.ID] = run
	t.order = append(t.order, run)
	t.forget()
	return run, false
}

// forget drops the oldest runs that have ended. Those that have not are few: the
// lane bounds how many requests run at a time.
func (t *commandTable) forget() {
	for i := 0; len(t.order) > t.most && i < len(t.order); {
		if !t.order[i].ended() {
			i++
			continue
		}
		delete(t.byID, t.order[i].ID)
		t.order = append(t.order[:i], t.order[i+1:]...)
	}
}
