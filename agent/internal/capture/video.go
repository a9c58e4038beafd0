package capture

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// videos is where printers put their videos.
const videos = "/timelapse"

// video goes on with the video of a print: it notes what there is before the print
// ends, and looks for what is new afterwards.
func (v *visit) video(i *item) error {
	switch {
	case !i.over && i.Known: // nobody has told of the end, not even a later print
		return v.unavailable(i, "the end of the print was not seen")
	case !i.over:
		return v.before(i)
	case off(i.Job.Timelapse): // nobody wanted one, so none is missing
		return v.forget(i)
	case !i.Known:
		return v.unavailable(i, "it is not known which videos the printer had before")
	case v.others(i, true):
		return v.unavailable(i, "no video was there before a later print ended")
	case v.others(i, false): // an earlier print has the first choice
		i.in(lookPause)
		return v.save(i)
	default:
		return v.look(i)
	}
}

// before notes which videos there are while the print runs.
func (v *visit) before(i *item) error {
	list, err := v.list(videos)
	if err != nil {
		return err
	}
	i.Before, i.Known, i.Fails = map[string]int64{}, true, 0
	for _, e := range list.Entries {
		if isVideo(e) {
			i.Before[e.Name] = e.Size
		}
	}
	i.in(asleep)
	return v.save(i)
}

func isVideo(e wire.FileEntry) bool {
	suffix := strings.ToLower(path.Ext(e.Name))
	return !e.Dir && (suffix == ".mp4" || suffix == ".avi")
}

// others tells of another print of this printer that is over and waits for its video:
// of a later one, which makes it doubtful whose a new video is unless this print is
// known to have been recorded and to have come to something, or of an earlier one that
// was.
func (v *visit) others(i *item, later bool) bool {
	return slices.ContainsFunc(v.items, func(o *item) bool {
		if o.Role != wire.RoleTimelapse || o.RunID == i.RunID || !o.over || !o.Job.Timelapse.Value {
			return false
		}
		if later {
			return o.ID > i.ID && (!i.Job.Timelapse.Value || i.Job.Barely)
		}
		return o.ID < i.ID
	})
}

// look looks for a video that was not there before.
func (v *visit) look(i *item) error {
	list, err := v.list(videos)
	if err != nil {
		return err
	}
	i.Looks++
	e, ok, news := i.fresh(list.Entries)
	if ok && v.doubtful(i, news) {
		if i.Doubts++; i.Doubts > maxDoubts {
			return v.unavailable(i, "no video was there before a later print ended")
		}
		i.in(settlePause)
		return v.save(i)
	}
	if seen := (sighting{e.Name, e.Size}); ok && e.Size > 0 && i.Seen == seen && i.Looks <= maxGrowing {
		return v.fetch(i, e.Name)
	}
	i.Fails, i.Seen = 0, sighting{e.Name, e.Size}
	switch {
	case !ok && i.Looks > maxLooks && v.ownStorage():
		return v.unavailable(i, "the printer showed no new video within 15 minutes; it may be in its internal storage, which cannot be read over the network")
	case !ok && i.Looks > maxLooks:
		return v.unavailable(i, "the printer showed no new video within 15 minutes")
	case i.Looks > maxGrowing:
		return v.unavailable(i, "the printer did not finish the video")
	case !ok:
		i.in(lookPause)
	default:
		i.in(settlePause)
	}
	return v.save(i)
}

// doubtful: there are too few new videos for all prints that are over by now, and this
// one has looked before without seeing any. Its own may be where nobody can see it.
func (v *visit) doubtful(i *item, news int) bool {
	if i.Seen.Path != "" || i.Doubts == 0 && i.Looks <= sureLooks {
		return false
	}
	for _, o := range v.items {
		if o.Role == wire.RoleTimelapse && o.ID > i.ID && o.RunID != i.RunID && o.over && o.Job.Timelapse.Value && !o.Job.Barely {
			news--
		}
	}
	return news < 1
}

// fresh gives the first video that is new, or else one that has grown since: some
// firmware begins the file when the print begins. It tells how many there are.
func (i *item) fresh(entries []wire.FileEntry) (e wire.FileEntry, ok bool, count int) {
	var news []wire.FileEntry
	for _, e := range entries {
		if size, old := i.Before[e.Name]; isVideo(e) && !slices.Contains(i.Claimed, e.Name) && (!old || size != e.Size) {
			news = append(news, e)
		}
	}
	if len(news) == 0 {
		return wire.FileEntry{}, false, 0
	}
	return slices.MinFunc(news, func(a, b wire.FileEntry) int {
		_, oldA := i.Before[a.Name]
		_, oldB := i.Before[b.Name]
		return cmp.Or(compareBool(!oldA, !oldB), strings.Compare(a.Name, b.Name)) // names tell the order in time
	}), true, len(news)
}

// fetch gets the video.
func (v *visit) fetch(i *item, name string) error {
	file, err := v.download(path.Join(videos, name))
	switch {
	case isFull(err):
		return v.unavailable(i, full)
	case farm.Is(err, farm.FileUnavailable), farm.Is(err, farm.PrinterRefused): // it went
		i.Seen = sighting{}
		i.in(lookPause)
		return v.save(i)
	case err != nil:
		return v.broke(i, err)
	}
	if err := v.claim(i, name); err != nil {
		file.Abort()
		return err
	}
	return v.ready(i, file, name)
}

// claim tells every other print that waits for a video that this one is taken.
func (v *visit) claim(i *item, name string) error {
	for _, o := range v.items {
		if o == i || o.Role != wire.RoleTimelapse || slices.Contains(o.Claimed, name) {
			continue
		}
		o.Claimed = append(o.Claimed, name)
		if err := v.save(o); err != nil {
			return err
		}
	}
	return nil
}

// forget ends a task without a record.
func (v *visit) forget(i *item) error {
	if _, err := v.o.Outbox.Commit(v.ctx, v.change(i)); err != nil {
		return house(err, "end a capture")
	}
	v.drop(i)
	return nil
}
