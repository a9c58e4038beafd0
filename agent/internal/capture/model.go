package capture

import (
	"fmt"
	"path"
	"strings"

	"bambuddy/agent/internal/outbox"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// model looks for the 3MF of a print, once.
func (v *visit) model(i *item) error {
	s := &search{visit: v, i: i, names: wantedOf(i.Job)}
	if now := v.status.Job; i.ofThis(now) {
		s.now, s.live = now, true
	}
	fits, err := s.candidates()
	if err != nil {
		return err
	}
	if len(fits) > 0 {
		return s.take(fits[0])
	}
	if i.Misses >= quickTries && !s.hidden() {
		if f, ok := s.newest(); ok {
			return s.take(f)
		}
	}
	return s.miss()
}

// take fetches a file whose size was seen twice, and looks whether it is the one.
func (s *search) take(f found) error {
	if seen := (sighting{f.path, f.size}); !f.blind && s.i.Seen != seen {
		s.i.Seen, s.i.Fails = seen, 0
		if s.i.Waits++; s.i.Waits > maxPrepare { // it never ends to grow
			return s.miss()
		}
		s.i.in(quickPause)
		return s.save(s.i)
	}
	file, err := s.download(f.path)
	switch {
	case isFull(err):
		return s.giveUp(s.i, full)
	case farm.Is(err, farm.FileUnavailable), farm.Is(err, farm.PrinterRefused): // it went
		if f.blind {
			s.refuse(f, verdict{problem: "it is not there", damaged: true})
		}
		s.i.Seen = sighting{}
		return s.miss()
	case err != nil:
		return s.broke(s.i, err)
	}
	return s.judge(f, file)
}

// judge keeps a file that is the print's, and refuses one that is not.
func (s *search) judge(f found, file *outbox.Spool) error {
	model, no := open3MF(file, file.Size())
	plate := 0
	if no.problem == "" {
		plate, no = s.check(f, model)
	}
	if no.problem != "" {
		file.Abort()
		s.log.Info("a file on the printer is not the print's", "run", s.i.RunID, "path", f.path, "why", no.problem)
		s.refuse(f, no)
		return s.miss()
	}
	if err := s.thumbnail(model, plate); err != nil {
		file.Abort()
		return err
	}
	return s.ready(s.i, file, path.Base(f.path))
}

// verdict is what speaks against a file.
type verdict struct {
	problem string // "": nothing
	damaged bool   // it may be whole another time
	doubt   bool   // it may be it all the same
}

// check tells which plate of a file the print is of, or what speaks against it.
func (s *search) check(f found, m archive) (plate int, no verdict) {
	p, no := s.plateOf(m)
	if no.problem != "" || p.number == 0 {
		if f.newest && no.problem == "" {
			no.problem = "it has several plates, and nobody knows which is printed"
		}
		return 0, no
	}
	want := s.layers()
	switch {
	case f.newest && s.ofAnother(m.title):
		no.problem = fmt.Sprintf("it is %q", m.title)
	case f.newest && (want == 0 || p.layers == 0):
		no.problem = "nothing proves that it is this print's"
	case want > 0 && p.layers > 0 && want != p.layers && (f.newest || s.i.Misses < quickTries):
		no.problem, no.doubt = fmt.Sprintf("its plate has %d layers, the print %d", p.layers, want), true
	}
	return p.number, no
}

// ofAnother: a 3MF of that title is another print's. Layers and plate alone prove little:
// things that are printed one after the other are often equally high.
func (s *search) ofAnother(title string) bool {
	if title == "" || len(s.names.stems) == 0 {
		return false
	}
	_, ok := s.names.fit(title + ".3mf")
	return !ok
}

// plateOf finds the print's plate; one with number 0 is any of several.
func (s *search) plateOf(m archive) (plate, verdict) {
	want := s.plate()
	for _, p := range m.plates {
		if p.number == want {
			return p, verdict{}
		}
	}
	switch {
	case len(m.plates) == 0:
		return plate{}, verdict{problem: "it is a project that was not sliced"}
	case want > 0:
		return plate{}, verdict{problem: fmt.Sprintf("plate %d is not in it", want)}
	case len(m.plates) == 1:
		return m.plates[0], verdict{}
	default:
		return plate{}, verdict{}
	}
}

// miss notes a look without a result, or ends the search.
func (s *search) miss() error {
	s.i.Fails = 0
	if s.preparing() && s.i.Waits < maxPrepare {
		s.i.Waits++
		s.i.in(preparePause)
		return s.save(s.i)
	}
	s.i.Misses++
	if s.i.Misses >= s.patience() {
		return s.giveUp(s.i, s.why())
	}
	wait := quickPause
	if slow := s.i.Misses - quickTries; slow >= 0 {
		wait = doubled(slowPause, longestSlow, slow+1)
	}
	s.i.in(wait)
	return s.save(s.i)
}

// patience is how many misses a search takes.
func (s *search) patience() int {
	switch {
	case s.noCard() || s.inner():
		return quickTries + innerTries
	case s.i.over:
		return quickTries + lateTries
	default:
		return quickTries + slowTries
	}
}

// why tells a person why there is no 3MF.
func (s *search) why() string {
	switch {
	case len(s.i.Refused) > 0:
		last := s.i.Refused[len(s.i.Refused)-1]
		return fmt.Sprintf("the printer has %q, but %s", path.Base(last.Path), last.Why)
	case s.noCard():
		return "the printer has no card or stick, where others could read the file"
	case s.inner():
		return "the printer keeps the file in its internal storage, which cannot be read over the network"
	case len(s.names.stems) == 0:
		return "the printer told no name of the print, so its file cannot be found"
	case s.i.Job.gcode():
		return "it was printed from plain G-code: there is no 3MF on the printer"
	default:
		return fmt.Sprintf("there is no file for %q on the printer's storage", s.i.Job.text())
	}
}

func (s *search) noCard() bool { return off(s.status.Machine.Storage) }

// inner: the printer has a storage of its own, and names a path in it.
func (s *search) inner() bool {
	return s.ownStorage() && strings.HasPrefix(s.i.Job.File, "/data/") && s.i.Job.Kind != "cloud"
}

// hidden: the file may well be where nobody can see it, so the newest of those that can
// be seen is another print's.
func (s *search) hidden() bool { return s.ownStorage() && s.i.Job.Kind != "cloud" }

// ownStorage: models with a storage that their file server does not show.
func (v *visit) ownStorage() bool {
	m := v.status.Machine.Model
	return m == "P2S" || m == "X2D" || strings.HasPrefix(m, "H2")
}

// thumbnail takes the picture of the plate out of the 3MF. Its record comes before
// that of the model, so that the small file travels first.
func (s *search) thumbnail(m archive, plate int) error {
	t := find(s.items, s.i.RunID, wire.RoleThumbnail)
	switch {
	case t == nil: // got before a restart
		return nil
	case plate == 0:
		return s.unavailable(t, "the 3MF has several plates, and nobody knows which is printed")
	}
	picture, err := m.picture(plate)
	if err != nil {
		return s.unavailable(t, "the 3MF has no picture of the plate")
	}
	defer func() { _ = picture.Close() }()
	return s.copy(t, picture, fmt.Sprintf("plate_%d.png", plate))
}
