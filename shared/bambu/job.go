package bambu

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Bounds of what a job may say; beyond is a slip of the firmware.
const (
	maxLayers  = 1_000_000
	maxMinutes = 366 * 24 * 60
	maxPlate   = 1000
	maxSkipped = 1024
)

// job is what the reports said of a job. Newer firmware repeats progress, time
// and layers under new keys; the old ones are everywhere and win.
type job struct {
	state, kind, file, name         string
	subtask, task, project          string
	stage, speedLevel, speedPercent Opt[int]
	percent, percentCopy            Opt[int]
	minutes, minutesCopy            Opt[int]
	layer, layerCopy                Opt[int]
	layers, layersCopy              Opt[int]
	prepare, prepareCopy            Opt[int]
	plateIndex, plateID             Opt[int]
	timelapse                       Opt[bool]
	skipped                         []int
}

var jobKeys = keys[job]{
	"gcode_state": func(j *job, v gjson.Result) bool {
		t, ok := text(v, 32)
		t = strings.ToUpper(strings.TrimSpace(t))
		return ok && t != "" && keep(&j.state, t)
	},
	"print_type":                 words(32, func(j *job) *string { return &j.kind }),
	"gcode_file":                 words(512, func(j *job) *string { return &j.file }),
	"subtask_name":               words(512, func(j *job) *string { return &j.name }),
	"subtask_id":                 words(64, func(j *job) *string { return &j.subtask }),
	"task_id":                    words(64, func(j *job) *string { return &j.task }),
	"project_id":                 words(64, func(j *job) *string { return &j.project }),
	"stg_cur":                    whole(-1, 1000, func(j *job) *Opt[int] { return &j.stage }),
	"spd_lvl":                    whole(1, 4, func(j *job) *Opt[int] { return &j.speedLevel }), // A1 says 253 for a moment at the end of a job
	"spd_mag":                    whole(1, 1000, func(j *job) *Opt[int] { return &j.speedPercent }),
	"mc_percent":                 whole(0, 100, func(j *job) *Opt[int] { return &j.percent }),
	"percent":                    whole(0, 100, func(j *job) *Opt[int] { return &j.percentCopy }),
	"layer_num":                  whole(0, maxLayers, func(j *job) *Opt[int] { return &j.layer }),
	"prepare_per":                whole(0, 100, func(j *job) *Opt[int] { return &j.prepareCopy }),
	"plate_idx":                  whole(0, maxPlate, func(j *job) *Opt[int] { return &j.plateIndex }),
	"plate_id":                   whole(0, maxPlate, func(j *job) *Opt[int] { return &j.plateID }),
	"remain_time":                whole(0, maxMinutes, func(j *job) *Opt[int] { return &j.minutesCopy }),
	"s_obj":                      readSkipped,
	"3D":                         within(job3DKeys),
	"ipcam":                      within(keys[job]{"timelapse": flag(func(j *job) *Opt[bool] { return &j.timelapse })}),
	"total_layer_num":            whole(0, maxLayers, func(j *job) *Opt[int] { return &j.layers }),
	"mc_remaining_time":          whole(0, maxMinutes, func(j *job) *Opt[int] { return &j.minutes }),
	"gcode_file_prepare_percent": whole(0, 100, func(j *job) *Opt[int] { return &j.prepare }),
}

var job3DKeys = keys[job]{
	"layer_num":       whole(0, maxLayers, func(j *job) *Opt[int] { return &j.layerCopy }),
	"total_layer_num": whole(0, maxLayers, func(j *job) *Opt[int] { return &j.layersCopy }),
}

func readSkipped(j *job, v gjson.Result) bool {
	if !v.IsArray() {
		return false
	}
	var ids []int
	v.ForEach(func(_, id gjson.Result) bool {
		if n, ok := integer(id); ok {
			ids = append(ids, int(n))
		}
		return len(ids) < maxSkipped
	})
	if slices.Equal(ids, j.skipped) {
		return false
	}
	j.skipped = ids
	return true
}

func (j *job) render() Job {
	remaining := first(j.minutes, j.minutesCopy)
	remaining.Value *= 60
	return Job{
		GcodeState:      j.state,
		Stage:           j.stage,
		Progress:        first(j.percent, j.percentCopy),
		Remaining:       remaining,
		Layer:           first(j.layer, j.layerCopy),
		TotalLayers:     first(j.layers, j.layersCopy),
		SpeedLevel:      j.speedLevel,
		SpeedPercent:    j.speedPercent,
		PrepareProgress: first(j.prepare, j.prepareCopy),
		Plate:           j.plate(),
		Timelapse:       j.timelapse,
		File:            j.file,
		Name:            j.name,
		Kind:            j.kind,
		SubtaskID:       j.subtask,
		TaskID:          j.task,
		ProjectID:       j.project,
		Skipped:         j.skipped,
	}
}

// plate is the reported number, where 0 is none, else that of the G-code's path
// (…/plate_3.gcode).
func (j *job) plate() Opt[int] {
	for _, n := range []Opt[int]{j.plateIndex, j.plateID} {
		if n.Value > 0 {
			return n
		}
	}
	_, tail, ok := strings.Cut(j.file, "/plate_")
	if !ok {
		return Opt[int]{}
	}
	digits, ok := strings.CutSuffix(tail, ".gcode")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > maxPlate {
		return Opt[int]{}
	}
	return Some(n)
}
