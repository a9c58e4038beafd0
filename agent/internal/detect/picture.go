package detect

import (
	"strings"

	"bambuddy/shared/bambu"
)

// The words of gcode_state that mean something here.
const (
	wordPrepare = "PREPARE"
	wordSlicing = "SLICING"
	wordInit    = "INIT"
	wordRunning = "RUNNING"
	wordPause   = "PAUSE"
	wordFinish  = "FINISH"
	wordFailed  = "FAILED"
	wordIdle    = "IDLE"
)

func busyWord(w string) bool { return preparing(w) || w == wordRunning || w == wordPause }

// preparing: the numbers that are shown are still those of the print before.
func preparing(w string) bool { return w == wordPrepare || w == wordSlicing }

func overWord(w string) bool { return w == wordFinish || w == wordFailed || w == wordIdle }

// Picture is what matters here of a status. What identifies nothing is "".
type Picture struct {
	Word      string             `json:"word"` // gcode_state
	ID        string             `json:"id"`   // subtask_id
	Name      string             `json:"name"` // subtask_name
	File      string             `json:"file"` // gcode_file
	Kind      string             `json:"kind"` // print_type
	Plate     bambu.Opt[int]     `json:"plate"`
	Timelapse bambu.Opt[bool]    `json:"timelapse"`
	Nozzle    bambu.Opt[float64] `json:"nozzle"` // mm, of the extruder in use
	Numbers   Numbers            `json:"numbers"`
}

func pictureOf(s bambu.Status) Picture {
	j := s.Job
	return Picture{
		Word: clean(j.GcodeState), ID: validID(j.SubtaskID), Name: named(j.Name), File: named(j.File), Kind: clean(j.Kind),
		Plate: known(j.Plate), Timelapse: known(j.Timelapse), Nozzle: known(nozzle(s.Machine)),
		Numbers: Numbers{Progress: known(j.Progress), Layer: known(j.Layer), Layers: known(j.TotalLayers), Remaining: known(j.Remaining)},
	}
}

func nozzle(m bambu.Machine) bambu.Opt[float64] {
	for _, n := range m.Nozzles {
		if n.Extruder == m.ActiveExtruder.Or(0) {
			return n.Diameter
		}
	}
	return bambu.Opt[float64]{}
}

// known makes all that is unknown equal, as JSON does.
func known[T comparable](o bambu.Opt[T]) bambu.Opt[T] {
	if !o.Known {
		return bambu.Opt[T]{}
	}
	return o
}

// clean makes a text one that JSON does not change.
func clean(t string) string { return strings.ToValidUTF8(strings.TrimSpace(t), "�") }

// named drops the "0" that firmware says for "none".
func named(t string) string {
	if t = clean(t); t == "0" {
		return ""
	}
	return t
}

// validID is a submission's id, "" when it identifies nothing: empty, zeros, or
// no number.
func validID(id string) string {
	id = strings.TrimSpace(id)
	if len(id) > 20 || strings.Trim(id, "0") == "" || strings.Trim(id, "0123456789") != "" {
		return ""
	}
	return id
}

// internal jobs are the printer's own: calibrations and the like.
func (p Picture) internal() bool {
	return strings.EqualFold(p.Kind, "system") || strings.HasPrefix(p.File, "/usr/")
}

// anonymous: nothing names what runs.
func (p Picture) anonymous() bool { return p.ID == "" && p.Name == "" && p.File == "" }

// stem makes names comparable: without folder and endings, and with blanks where a
// file system has underscores.
func stem(name string) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	for _, end := range []string{".3mf", ".gcode"} {
		name = strings.TrimSuffix(name, end)
	}
	return strings.TrimSpace(strings.ReplaceAll(name, "_", " "))
}

// plain: a file name that only says which plate it is, as every print's does.
func plain(file string) bool {
	name := file[strings.LastIndexByte(file, '/')+1:]
	return strings.HasPrefix(name, "plate_") && strings.HasSuffix(name, ".gcode")
}

// alike: both are there and name the same.
func alike(a, b string) bool { return a != "" && b != "" && stem(a) == stem(b) }

// unlike: both are there and name two things.
func unlike(a, b string) bool { return a != "" && b != "" && stem(a) != stem(b) }
