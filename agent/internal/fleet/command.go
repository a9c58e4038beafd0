package fleet

import (
	"context"
	"time"

	"bambuddy/agent/internal/printer"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Command carries out one act at a printer. The caller has made sure that its id
// is new.
//
// Errors: farm.Invalid, farm.NotFound (no such printer here), farm.Conflict (the
// fence is of another assignment), farm.Unsupported (unknown kind),
// farm.PrinterNotConnected, farm.PrinterBusy (not begun in time), and those of
// printer.Session.Do.
func (f *Fleet) Command(ctx context.Context, serial string, c wire.Command) (wire.CommandResult, error) {
	begun := time.Now()
	if c.ValidMS <= 0 || c.ValidMS > wire.MaxValidMS {
		return wire.CommandResult{}, farm.Errorf(farm.Invalid, "valid_ms: 1 to %d", wire.MaxValidMS)
	}
	session, err := f.sessionFor(serial, c.Fence)
	if err != nil {
		return wire.CommandResult{}, err
	}
	startBy := begun.Add(time.Duration(c.ValidMS) * time.Millisecond)
	switch c.Kind {
	case wire.Refresh:
		return refresh(ctx, session, c, startBy)
	case wire.Control:
		return control(ctx, session, c, startBy)
	}
	return wire.CommandResult{}, farm.Errorf(farm.Unsupported, "this agent does not know the command %.50q", c.Kind)
}

// sessionFor finds a printer's session, provided that the command is meant for
// the assignment that this agent holds.
func (f *Fleet) sessionFor(serial string, fence int64) (*printer.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.members[serial]
	switch {
	case !ok:
		return nil, notHeld(serial)
	case fence > m.cfg.Fence:
		return nil, farm.Errorf(farm.Conflict, "the printer's settings were just changed and have not reached the agent yet; nothing was done, try again in a moment")
	case fence != m.cfg.Fence:
		return nil, farm.Errorf(farm.Conflict, "the command is of assignment %d of printer %s, the agent holds assignment %d", fence, serial, m.cfg.Fence)
	}
	return m.session, nil
}

func refresh(ctx context.Context, session *printer.Session, c wire.Command, startBy time.Time) (wire.CommandResult, error) {
	ctx, cancel := context.WithDeadline(ctx, startBy)
	defer cancel()
	deferred, err := session.Refresh(ctx)
	if err != nil {
		return wire.CommandResult{}, err
	}
	return wire.CommandResult{ID: c.ID, Deferred: deferred}, nil
}

func control(ctx context.Context, session *printer.Session, c wire.Command, startBy time.Time) (wire.CommandResult, error) {
	if c.Control == nil {
		return wire.CommandResult{}, farm.Errorf(farm.Invalid, "control: what is to be done?")
	}
	result, err := session.Do(ctx, *c.Control, startBy)
	if err != nil {
		return wire.CommandResult{}, err
	}
	return wire.CommandResult{ID: c.ID, Confirmed: result.Confirmed}, nil
}
