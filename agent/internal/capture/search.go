package capture

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// found is a file on a printer that may be a print's 3MF.
type found struct {
	path     string
	size     int64
	modified int64 // Unix ms of the printer's clock, 0 unknown
	rank     int
	blind    bool // nobody saw it: the folder could not be listed
	newest   bool // it is only the newest one
}

// refusal is a file that was fetched and is not the print's.
type refusal struct {
	Path     string `json:"path"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified,omitempty"`
	Why      string `json:"why"`
	Damaged  int    `json:"damaged,omitempty"` // times it was no whole 3MF
	Doubt    bool   `json:"doubt,omitempty"`   // only the number of layers speaks against it
	Layers   int    `json:"layers,omitempty"`  // of the print, then
}

// search is one look for the 3MF of a print.
type search struct {
	*visit
	i     *item
	now   bambu.Job // what the printer shows, if it is of this print
	live  bool      // now counts
	names wanted
	files []found // every 3MF that was listed
}

// folders are where to look, the likely one first.
func (s *search) folders() []string {
	all := []string{"/", "/cache"}
	if s.i.Job.Kind == "cloud" {
		all = []string{"/cache", "/"}
	}
	if m := s.status.Machine.Model; m == "" || strings.HasPrefix(m, "A") { // others have no such folder
		all = append(all, "/model")
	}
	if s.names.dir != "" {
		all = slices.DeleteFunc(all, func(d string) bool { return d == s.names.dir })
		all = slices.Insert(all, 0, s.names.dir)
	}
	return all
}

// candidates lists the folders until a name fits well, and gives what fits, the best
// first.
func (s *search) candidates() ([]found, error) {
	var fits []found
	for _, dir := range s.folders() {
		list, err := s.list(dir)
		switch {
		case farm.Is(err, farm.Unavailable): // a folder of endless length
			list = wire.FileList{Truncated: true}
		case err != nil:
			return nil, err
		}
		here := s.fitting(dir, list)
		fits = append(fits, here...)
		if slices.ContainsFunc(here, func(f found) bool { return !f.blind && f.rank <= fitPlain }) {
			break
		}
	}
	slices.SortStableFunc(fits, func(a, b found) int {
		return cmp.Or(
			compareBool(a.blind, b.blind), cmp.Compare(a.rank, b.rank),
			compareBool(!sliced(a.path), !sliced(b.path)), cmp.Compare(b.modified, a.modified),
		)
	})
	return fits, nil
}

// sliced tells the suffix that files with G-code have, outside of /cache.
func sliced(p string) bool {
	return strings.HasSuffix(strings.ToLower(p), ".gcode.3mf") || path.Dir(p) == "/cache"
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// fitting takes out of a folder what fits and was not refused.
func (s *search) fitting(dir string, list wire.FileList) (fits []found) {
	for _, e := range list.Entries {
		if e.Dir || e.Size == 0 || !is3MF(e.Name) {
			continue
		}
		f := found{path: path.Join(dir, e.Name), size: e.Size, modified: e.ModifiedMS}
		s.files = append(s.files, f)
		var ok bool
		if f.rank, ok = s.names.fit(e.Name); ok && !s.refused(f) {
			fits = append(fits, f)
		}
	}
	if !list.Truncated {
		return fits
	}
	for rank, name := range s.names.direct() {
		f := found{path: path.Join(dir, name), rank: rank, blind: true}
		if !slices.ContainsFunc(s.files, func(l found) bool { return l.path == f.path }) && !s.refused(f) {
			fits = append(fits, f)
		}
	}
	return fits
}

// newest gives the 3MF that was written last, if its date may be that of the print's
// start. Never the second newest: to guess once is enough.
func (s *search) newest() (found, bool) {
	if len(s.files) == 0 {
		return found{}, false
	}
	f := slices.MaxFunc(s.files, func(a, b found) int { return cmp.Compare(a.modified, b.modified) })
	f.newest = true
	off := time.Duration(f.modified-s.i.Job.StartMS) * time.Millisecond
	return f, f.modified > 0 && off.Abs() <= startSlack && !s.refused(f)
}

// refused tells that a file was fetched already, is the same still, and was not it.
func (s *search) refused(f found) bool {
	r := s.refusal(f)
	switch {
	case r == nil:
		return false
	case r.Damaged > 0:
		return r.Damaged >= maxDamaged
	case r.Doubt && !f.newest:
		return s.i.Misses < quickTries && r.Layers == s.layers()
	default:
		return true
	}
}

func (s *search) refusal(f found) *refusal {
	for n := range s.i.Refused {
		if r := &s.i.Refused[n]; r.Path == f.path && r.Size == f.size && r.Modified == f.modified {
			return r
		}
	}
	return nil
}

// refuse notes that a file is not the print's.
func (s *search) refuse(f found, why verdict) {
	s.i.Seen = sighting{}
	r := s.refusal(f)
	if r == nil {
		if len(s.i.Refused) >= maxRefused {
			s.i.Refused = slices.Delete(s.i.Refused, 0, 1)
		}
		s.i.Refused = append(s.i.Refused, refusal{Path: f.path, Size: f.size, Modified: f.modified})
		r = &s.i.Refused[len(s.i.Refused)-1]
	}
	r.Why, r.Doubt, r.Layers = why.problem, why.doubt, s.layers()
	if why.damaged {
		r.Damaged++
	}
}

// plate is the print's, 0 when nobody told.
func (s *search) plate() int {
	if p := s.i.Job.Plate.Value; p > 0 {
		return p
	}
	if s.live {
		return s.now.Plate.Value
	}
	return 0
}

// layers is how many the print has, 0 when nobody told.
func (s *search) layers() int {
	if n := s.i.Job.Layers.Value; n > 0 {
		return n
	}
	if s.live && (s.now.GcodeState == "RUNNING" || s.now.GcodeState == "PAUSE") { // before, it is of the print before
		return s.now.TotalLayers.Value
	}
	return 0
}

// preparing: the printer has not begun, so it may not have the file either.
func (s *search) preparing() bool {
	return s.live && (s.now.GcodeState == "PREPARE" || s.now.GcodeState == "SLICING")
}

// ofThis tells that a status shows this print, not one before or after it.
func (i *item) ofThis(j bambu.Job) bool {
	if i.over {
		return false
	}
	if number(i.Job.SubtaskID) && number(j.SubtaskID) {
		return i.Job.SubtaskID == j.SubtaskID
	}
	return i.Job.Name == j.Name
}

// number: an id that identifies something.
func number(id string) bool {
	return strings.Trim(id, "0") != "" && strings.Trim(id, "0123456789") == ""
}
