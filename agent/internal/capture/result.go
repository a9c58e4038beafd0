package capture

import (
	"errors"

	"bambuddy/agent/internal/outbox"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// full is what the record says when the store takes no more.
const full = "agent storage full"

// isFull tells that the store takes no more files.
func isFull(err error) bool { return errors.Is(err, outbox.ErrFull) }

// ready makes a file durable and ends its task with the record of it.
func (v *visit) ready(i *item, s *outbox.Spool, name string) error {
	f, err := s.Keep()
	switch {
	case isFull(err):
		s.Abort()
		return v.unavailable(i, full)
	case err != nil:
		s.Abort()
		return house(err, "keep a file")
	}
	return v.end(i, &f, wire.OutboxRecord{Kind: wire.FileReady, File: &wire.FileRecord{
		RunID: i.RunID, Role: i.Role, SHA256: f.SHA256, Size: f.Size, Name: farm.SafeName(name, 200),
	}})
}

// unavailable ends a task without a file.
func (v *visit) unavailable(i *item, why string) error {
	return v.end(i, nil, wire.OutboxRecord{Kind: wire.FileUnavailable, File: &wire.FileRecord{
		RunID: i.RunID, Role: i.Role, Reason: why,
	}})
}

// giveUp is unavailable, for a model with the picture that would have been in it.
func (v *visit) giveUp(i *item, why string) error {
	if i.Role == wire.RoleModel {
		if t := find(v.items, i.RunID, wire.RoleThumbnail); t != nil {
			if err := v.unavailable(t, why); err != nil {
				return err
			}
		}
	}
	return v.unavailable(i, why)
}

// end ends a task and tells its record, in one transaction.
func (v *visit) end(i *item, f *outbox.NewFile, r wire.OutboxRecord) error {
	c := v.change(i)
	c.Records, c.File = []wire.OutboxRecord{r}, f
	if _, err := v.o.Outbox.Commit(v.ctx, c); err != nil {
		return house(err, "end a capture")
	}
	v.drop(i)
	if r.Kind == wire.FileReady {
		v.log.Info("file of a print captured", "run", i.RunID, "role", string(i.Role), "name", r.File.Name, "bytes", r.File.Size)
	} else {
		v.log.Warn("file of a print cannot be had", "run", i.RunID, "role", string(i.Role), "print", i.Job.text(), "why", r.File.Reason)
	}
	return nil
}

// drop forgets a task that has ended.
func (v *visit) drop(i *item) {
	for n, o := range v.items {
		if o == i {
			v.items = append(v.items[:n:n], v.items[n+1:]...)
			return
		}
	}
}
