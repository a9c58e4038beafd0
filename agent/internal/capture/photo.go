package capture

import (
	"bytes"
	"errors"
	"io"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// photos takes the photos that are due at a printer. Its errors are of this side.
func (v *visit) photos() error {
	tasks, err := v.o.Outbox.OpenTasks(v.ctx, v.serial)
	if err != nil {
		return house(err, "read the tasks")
	}
	v.items = read(tasks)
	now := time.Now()
	for _, i := range v.items {
		if i.Role != wire.RoleFinish || !i.due(now) {
			continue
		}
		if err := v.photo(i); err != nil || v.ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// photo takes one, or says why there is none.
func (v *visit) photo(i *item) error {
	if old := time.Since(time.UnixMilli(i.Job.EndMS)); old > photoAge {
		return v.unavailable(i, "the print ended too long ago to be photographed")
	}
	picture, err := v.o.Photos.Snapshot(v.ctx, v.serial)
	if err == nil && !bytes.HasPrefix(picture, []byte{0xFF, 0xD8}) {
		err = farm.Errorf(farm.Unavailable, "the camera gave no picture")
	}
	switch {
	case v.ctx.Err() != nil:
		return nil
	case err == nil:
		return v.copy(i, bytes.NewReader(picture), "finish.jpg")
	case farm.Is(err, farm.FFmpegMissing), farm.Is(err, farm.Unsupported):
		return v.unavailable(i, detail(err))
	}
	i.Fails++
	wait := doubled(photoPause, photoAge, i.Fails)
	if time.Until(time.UnixMilli(i.Job.EndMS).Add(photoAge)) < wait {
		return v.unavailable(i, detail(err))
	}
	i.in(wait)
	return v.save(i)
}

// copy makes a small file that is at hand the result of a task.
func (v *visit) copy(i *item, from io.Reader, name string) error {
	s, err := v.o.Outbox.Create(v.ctx)
	if err != nil {
		return v.unkept(i, house(err, "begin a file"))
	}
	if _, err = io.Copy(marked{s}, from); err != nil {
		s.Abort()
		return v.unkept(i, err)
	}
	return v.ready(i, s, name)
}

// unkept is for a file that did not get into the store.
func (v *visit) unkept(i *item, err error) error {
	var mine *houseError
	switch {
	case isFull(err):
		return v.unavailable(i, full)
	case errors.As(err, &mine):
		return err
	default:
		return v.unavailable(i, "the picture is damaged in the file it should come from")
	}
}
