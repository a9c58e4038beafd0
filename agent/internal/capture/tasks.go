package capture

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"bambuddy/agent/internal/outbox"
	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// noteRole marks tasks that bring news of a print to its captures. They have no file
// and end without a record.
const noteRole = "note:"

// job is what the captures of a print know of it.
type job struct {
	Name      string          `json:"name,omitempty"`
	File      string          `json:"file,omitempty"`
	Kind      string          `json:"kind,omitempty"`
	SubtaskID string          `json:"subtask_id,omitempty"`
	Plate     bambu.Opt[int]  `json:"plate"`
	Layers    bambu.Opt[int]  `json:"layers"`
	Timelapse bambu.Opt[bool] `json:"timelapse"`
	StartMS   int64           `json:"start_ms"` // when it was told of; wall clock
	EndMS     int64           `json:"end_ms,omitempty"`
	Ended     bool            `json:"ended,omitempty"`
	Barely    bool            `json:"barely,omitempty"` // it ended without a layer, or nobody knows how: perhaps with the power
}

// state is a task's own memory, kept in the journal.
type state struct {
	Job   job `json:"job"`
	Fails int `json:"fails,omitempty"` // times in a row that the printer could not be asked
	Broke int `json:"broke,omitempty"` // transfers that were broken off

	// Of the search for the 3MF.
	Misses  int       `json:"misses,omitempty"`
	Waits   int       `json:"waits,omitempty"` // looks that did not count
	Refused []refusal `json:"refused,omitempty"`

	// Of the video: sizes by name before the print ended, and what others took.
	Before  map[string]int64 `json:"before,omitempty"`
	Known   bool             `json:"known,omitempty"` // Before was taken
	Claimed []string         `json:"claimed,omitempty"`
	Looks   int              `json:"looks,omitempty"`
	Doubts  int              `json:"doubts,omitempty"` // looks that found one that may be a later print's

	Seen sighting `json:"seen"`
}

// sighting is a file whose size is believed when it is seen again.
type sighting struct {
	Path string `json:"path,omitempty"`
	Size int64  `json:"size,omitempty"`
}

// Tasks gives the captures that a record calls for, to be journalled with it. It reads
// nothing but the clock.
func Tasks(serial string, r wire.OutboxRecord) []outbox.Task {
	if r.Print == nil {
		return nil
	}
	now := time.Now()
	task := func(role wire.FileRole, due time.Time) outbox.Task {
		s := state{Job: jobOf(r, now)}
		return outbox.Task{Serial: serial, RunID: r.Print.RunID, Role: role, State: s.json(), NextMS: due.UnixMilli()}
	}
	note := task(wire.FileRole(fmt.Sprint(noteRole, r.Print.Seq)), now)
	switch r.Kind {
	case wire.PrintStarted, wire.PrintObserved:
		tasks := []outbox.Task{task(wire.RoleModel, now), task(wire.RoleThumbnail, now.Add(asleep))}
		if !off(r.Print.Timelapse) {
			tasks = append(tasks, task(wire.RoleTimelapse, now))
		}
		return tasks
	case wire.PrintDetails:
		return []outbox.Task{note}
	case wire.PrintFinished:
		return []outbox.Task{task(wire.RoleFinish, now), note}
	default:
		return nil
	}
}

func jobOf(r wire.OutboxRecord, now time.Time) job {
	p := r.Print
	j := job{
		Name: p.Name, File: p.File, Kind: p.PrintKind, SubtaskID: p.SubtaskID,
		Plate: p.Plate, Layers: p.TotalLayers, Timelapse: p.Timelapse, StartMS: now.UnixMilli(),
	}
	if r.Kind == wire.PrintFinished {
		j.Ended, j.EndMS = true, now.UnixMilli()-r.AgoMS
		j.Barely = p.Outcome == wire.Unknown || p.Outcome != wire.Success && p.Layer.Value == 0
	}
	if p.StartedAgoMS.Known {
		j.StartMS = now.UnixMilli() - p.StartedAgoMS.Value
	}
	return j
}

// learn takes over what a later record says, and tells whether it may help to find
// the file.
func (j *job) learn(news job) (renamed bool) {
	renamed = news.Name != j.Name || news.File != j.File || news.Plate != j.Plate
	start := j.StartMS
	*j = news
	j.StartMS = start
	return renamed
}

func off(o bambu.Opt[bool]) bool { return o.Known && !o.Value }

// text is what a person would call the print.
func (j job) text() string {
	if j.Name != "" {
		return j.Name
	}
	return path.Base("/" + j.File)
}

// gcode: it was started from a bare G-code file, not from one out of a 3MF.
func (j job) gcode() bool {
	return strings.HasSuffix(strings.ToLower(j.File), ".gcode") && !plateFile(path.Base(j.File))
}

func (s state) json() json.RawMessage {
	b, _ := json.Marshal(s) // plain values
	return b
}

// item is a task with its memory at hand.
type item struct {
	outbox.Task
	state
	over bool // the print has ended, as far as is known
}

func (i *item) note() bool { return strings.HasPrefix(string(i.Role), noteRole) }

func (i *item) due(now time.Time) bool { return i.NextMS <= now.UnixMilli() }

func (i *item) in(d time.Duration) { i.NextMS = time.Now().Add(d).UnixMilli() }

// read takes tasks apart. A memory that cannot be read is an empty one: the task then
// ends as one about which nothing is known.
func read(tasks []outbox.Task) []*item {
	items := make([]*item, len(tasks))
	for n, t := range tasks {
		items[n] = &item{Task: t}
		if err := json.Unmarshal(t.State, &items[n].state); err != nil {
			items[n].state = state{}
		}
	}
	for _, i := range items {
		i.over = i.Job.Ended
		for _, later := range items { // one print at a time: a later one proves the end
			i.over = i.over || later.ID > i.ID && later.RunID != i.RunID && later.Role == wire.RoleModel
		}
	}
	return items
}

// find gives the open task of a run with a role.
func find(items []*item, run string, role wire.FileRole) *item {
	for _, i := range items {
		if i.RunID == run && i.Role == role {
			return i
		}
	}
	return nil
}
