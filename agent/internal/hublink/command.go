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
	run, known := a.commands.begin(c.ID, serial, c.Kind)
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

// commandRun is one command's course.
type commandRun struct {
	id, serial string
	kind       wire.CommandKind

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
	case c.serial != serial || c.kind != kind:
		return wire.CommandResult{}, farm.Errorf(farm.Conflict, "the id %s was used for another command", c.id)
	case !c.done:
		return wire.CommandResult{}, farm.Errorf(farm.OutcomeUnknown, "the command %s was begun before and has not ended", c.id)
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

// commandTable remembers the commands of this process. A command's id is entered
// before it acts, so that a repeated one never acts again.
type commandTable struct {
	mu    sync.Mutex
	most  int
	byID  map[string]*commandRun
	order []*commandRun // oldest first
}

func newCommandTable(most int) *commandTable {
	return &commandTable{most: most, byID: map[string]*commandRun{}}
}

// begin enters an id, or gives the run that had it before.
func (t *commandTable) begin(id, serial string, kind wire.CommandKind) (run *commandRun, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if run, known = t.byID[id]; known {
		return run, true
	}
	run = &commandRun{id: id, serial: serial, kind: kind}
	t.byID[id] = run
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
		delete(t.byID, t.order[i].id)
		t.order = append(t.order[:i], t.order[i+1:]...)
	}
}
