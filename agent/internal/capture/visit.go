package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"bambuddy/agent/internal/outbox"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// visit does what is due in one lane.
type visit struct {
	*Capture
	ctx     context.Context //nolint:containedctx // of one call, which the visit is
	serial  string
	log     *slog.Logger
	status  bambu.Status
	items   []*item // the printer's open tasks
	touched bool    // an operation was done on the printer
}

// houseError is a failure of this side: of the journal or the disk.
type houseError struct{ err error }

func (e *houseError) Error() string { return e.err.Error() }
func (e *houseError) Unwrap() error { return e.err }

// house marks an error as one of this side.
func house(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &houseError{fmt.Errorf(format+": %w", append(args, err)...)}
}

// visit works in a lane until nothing is due there, and gives the time it shall rest.
func (c *Capture) visit(ctx context.Context, l lane) time.Duration {
	v := &visit{Capture: c, ctx: ctx, serial: l.serial, log: c.o.Log.With("printer", l.serial)}
	work := v.files
	if l.photo {
		work = v.photos
	}
	err := work()
	if err == nil || ctx.Err() != nil {
		return 0
	}
	v.log.Error("captures of a printer stand still for a moment", "err", err)
	return journalAge
}

// files does what is due of a printer's files. Its errors are of this side.
func (v *visit) files() error {
	for v.ctx.Err() == nil {
		if err := v.load(); err != nil {
			return err
		}
		i := v.pick()
		if i == nil {
			return nil
		}
		err := v.reachable()
		if err == nil {
			err = v.step(i)
		}
		var mine *houseError
		switch {
		case err == nil || v.ctx.Err() != nil:
		case errors.As(err, &mine):
			return err
		default:
			if err := v.unreached(err); err != nil {
				return err
			}
		}
	}
	return nil
}

// load reads the tasks and hands out the news among them.
func (v *visit) load() error {
	tasks, err := v.o.Outbox.OpenTasks(v.ctx, v.serial)
	if err != nil {
		return house(err, "read the tasks")
	}
	slices.SortFunc(tasks, func(a, b outbox.Task) int { return cmp.Compare(a.ID, b.ID) })
	v.items = read(tasks)
	notes := slices.DeleteFunc(slices.Clone(v.items), func(i *item) bool { return !i.note() })
	for _, n := range notes {
		if err := v.fold(n); err != nil {
			return err
		}
	}
	return nil
}

// fold gives a note's news to the captures of its print. Should this process die in
// between, the note is there still, and to hear it twice changes nothing.
func (v *visit) fold(n *item) error {
	c := v.change(n)
	for _, i := range v.items {
		if i.note() || i.RunID != n.RunID || i.Role == wire.RoleFinish {
			continue
		}
		renamed, ended := i.Job.learn(n.Job), n.Job.Ended
		i.over = i.over || ended
		switch {
		case i.Role == wire.RoleModel && (renamed || ended):
			i.in(0)
			if renamed {
				i.Misses = 0
			}
		case i.Role == wire.RoleTimelapse && ended:
			i.in(firstLook)
		}
		if err := v.save(i); err != nil {
			return err
		}
	}
	if n.Job.Timelapse.Value && find(v.items, n.RunID, wire.RoleTimelapse) == nil {
		// Recording was off when the print began.
		s := state{Job: n.Job}
		c.Tasks = []outbox.Task{{Serial: v.serial, RunID: n.RunID, Role: wire.RoleTimelapse, State: s.json(), NextMS: n.NextMS}}
	}
	if _, err := v.o.Outbox.Commit(v.ctx, c); err != nil {
		return house(err, "take news of a print in")
	}
	if len(c.Tasks) > 0 {
		v.Wake()
	}
	return nil
}

// pick chooses what to do first: what videos there are must be known before a print
// ends, and its model is wanted more than its video.
func (v *visit) pick() *item {
	var best *item
	urgency := func(i *item) int {
		switch {
		case i.Role == wire.RoleTimelapse && !i.Known:
			return 0
		case i.Role == wire.RoleModel:
			return 1
		default:
			return 2
		}
	}
	now := time.Now()
	for _, i := range v.items {
		if i.note() || i.Role == wire.RoleFinish || !i.due(now) {
			continue
		}
		if best == nil || urgency(i) < urgency(best) {
			best = i
		}
	}
	return best
}

// reachable asks the printer's session before anything is tried.
func (v *visit) reachable() error {
	status, online := v.o.Live(v.serial)
	if !online {
		return farm.Errorf(farm.PrinterNotConnected, "the printer is not connected")
	}
	v.status = status
	return nil
}

// step does one task's next step.
func (v *visit) step(i *item) error {
	switch i.Role {
	case wire.RoleModel:
		return v.model(i)
	case wire.RoleTimelapse:
		return v.video(i)
	case wire.RoleThumbnail: // it comes with the model
		if find(v.items, i.RunID, wire.RoleModel) != nil {
			i.in(asleep)
			return v.save(i)
		}
		return v.unavailable(i, "the print's 3MF was not got")
	default:
		return v.unavailable(i, "this version of the agent cannot get this kind of file")
	}
}

// unreached puts off everything that is due at a printer that could not be asked.
func (v *visit) unreached(why error) error {
	now := time.Now()
	for _, i := range v.items {
		if i.note() || i.Role == wire.RoleFinish || !i.due(now) {
			continue
		}
		i.Fails++
		if i.Fails > maxFails {
			if err := v.giveUp(i, "the printer's files could not be reached for a long time: "+detail(why)); err != nil {
				return err
			}
			continue
		}
		wait := doubled(failPause, longestFail, i.Fails)
		if i.Role == wire.RoleTimelapse && !i.Known && i.Fails <= quickFails { // it must be known before the print ends
			wait = quickFail
		}
		i.in(wait)
		v.log.Debug("a capture waits for the printer", "run", i.RunID, "role", string(i.Role), "tries", i.Fails, "again_in", wait, "err", why)
		if err := v.save(i); err != nil {
			return err
		}
	}
	return nil
}

// breathe leaves a printer in peace between two operations.
func (v *visit) breathe() error {
	if v.touched && !pause(v.ctx, breath) {
		return v.ctx.Err()
	}
	v.touched = true
	return nil
}

// list gives the files of a folder; one that is not there is empty.
func (v *visit) list(dir string) (wire.FileList, error) {
	if err := v.breathe(); err != nil {
		return wire.FileList{}, err
	}
	list, err := v.o.Files.List(v.ctx, v.serial, dir)
	switch farm.CodeOf(err) {
	case farm.FileUnavailable, farm.PrinterRefused:
		return wire.FileList{Path: dir}, nil
	default:
		return list, err
	}
}

// download fetches a file into the outbox's store. The caller keeps or aborts it.
func (v *visit) download(path string) (*outbox.Spool, error) {
	if err := v.breathe(); err != nil {
		return nil, err
	}
	s, err := v.o.Outbox.Create(v.ctx)
	if err != nil {
		return nil, house(err, "begin a file")
	}
	err = v.o.Files.Download(v.ctx, v.serial, path, func(int64) {}, marked{s})
	if err != nil {
		s.Abort()
		return nil, err
	}
	return s, nil
}

// broke notes a transfer that was broken off. One that always is has an end: each
// keeps the printer busy.
func (v *visit) broke(i *item, err error) error {
	var mine *houseError
	if errors.As(err, &mine) || v.ctx.Err() != nil {
		return err
	}
	if i.Broke++; i.Broke > maxBroke {
		return v.giveUp(i, "the file could not be transferred: "+detail(err))
	}
	return err
}

// marked marks errors of writing as ours.
type marked struct{ io.Writer }

func (m marked) Write(b []byte) (int, error) {
	n, err := m.Writer.Write(b)
	return n, house(err, "write what was received")
}

// change is one that ends a task.
func (v *visit) change(i *item) outbox.Change {
	return outbox.Change{Serial: v.serial, Fence: v.o.Fence(v.serial), EndTask: i.ID}
}

// save writes a task down.
func (v *visit) save(i *item) error {
	i.State = i.json()
	return house(v.o.Outbox.SaveTask(v.ctx, i.Task), "write a capture down")
}

// detail is an error as a person may read it.
func detail(err error) string {
	var known *farm.Error
	if errors.As(err, &known) {
		return known.Detail
	}
	return "an unexpected error"
}
