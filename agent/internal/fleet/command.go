package fleet

import (
	"context"
	"errors"
	"time"

	"bambuddy/agent/internal/printer"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Command carries out one act at a printer. The caller has made sure that its id
// is new; none of this release's commands does harm when it comes again.
//
// Errors: farm.Invalid, farm.NotFound (no such printer here), farm.Conflict (the
// fence is of another assignment), farm.Unsupported (unknown kind),
// farm.PrinterNotConnected, farm.PrinterBusy (not begun in time).
func (f *Fleet) Command(ctx context.Context, serial string, c wire.Command) (wire.CommandResult, error) {
	if c.ValidMS <= 0 || c.ValidMS > wire.MaxValidMS {
		return wire.CommandResult{}, farm.Errorf(farm.Invalid, "valid_ms: 1 to %d", wire.MaxValidMS)
	}
	f.mu.Lock()
	m, ok := f.members[serial]
	var fence int64
	var session *printer.Session
	if ok {
		fence, session = m.cfg.Fence, m.session
	}
	f.mu.Unlock()
	switch {
	case !ok:
		return wire.CommandResult{}, farm.Errorf(farm.NotFound, "this agent holds no printer %s", serial)
	case c.Fence != fence:
		return wire.CommandResult{}, farm.Errorf(farm.Conflict, "the command is of assignment %d of printer %s, the agent holds assignment %d", c.Fence, serial, fence)
	case c.Kind != wire.Refresh:
		return wire.CommandResult{}, farm.Errorf(farm.Unsupported, "this agent does not know the command %q", c.Kind)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.ValidMS)*time.Millisecond)
	defer cancel()
	deferred, err := session.Refresh(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = farm.Wrap(farm.PrinterBusy, err, "the command was not begun within its time and is not carried out")
	}
	if err != nil {
		return wire.CommandResult{}, err
	}
	return wire.CommandResult{ID: c.ID, Deferred: deferred}, nil
}
