package simprinter

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/ftpserver"
)

// cardSize is what a card holds when nothing else is said: some big jobs.
const cardSize = 256 << 20

// cloudFileAfter is how long after it began to run a newer printer has the file of
// a cloud job where others can see it.
const cloudFileAfter = 5 * time.Second

// delivery is a file that will come onto the card.
type delivery struct {
	path string
	data []byte
	wait time.Duration // from the time it runs
	due  time.Time     // zero: the print does not run yet
}

// newStorage makes the card of a model, as it is when it was used once.
func newStorage(m bambu.Model, size int64) *ftpserver.Memory {
	if size == 0 {
		size = cardSize
	}
	dirs := []string{"/cache", "/timelapse", "/timelapse/thumbnail", "/logger"}
	switch {
	case strings.HasPrefix(m.Code, "X1"):
		dirs = append(dirs, "/ipcam")
	case strings.HasPrefix(m.Code, "A"):
		dirs = append(dirs, "/image", "/model")
	case strings.HasPrefix(m.Code, "P1"):
		dirs = append(dirs, "/image")
	}
	return ftpserver.NewMemory(size, dirs...)
}

// Storage is what lies on the printer's card.
func (p *Printer) Storage() *ftpserver.Memory { return p.storage }

// read fetches the file that a print brings along.
func (j *PrintJob) read() (err error) {
	if j.File != "" && j.data == nil {
		j.data, err = os.ReadFile(j.File)
	}
	return err
}

// placeOf is where the file of a print ends up when a slicer, the cloud or a person
// at the screen starts it; inside is where nobody can see it.
func placeOf(m bambu.Model, j PrintJob) (place string, inside bool) {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, stem(j.Name))
	switch {
	case j.Source == "cloud":
		return "/cache/" + name + ".3mf", false
	case j.Source == "screen" && strings.HasPrefix(m.Code, "A"):
		return "/model/" + name + ".gcode.3mf", false
	}
	inside = j.Source == "slicer" && m.Code == "P2S" // its slicers fill the internal storage
	return "/" + name + ".gcode.3mf", inside
}

// placeFile puts the file of a print where its source does, and notes what it is. Prints
// that clients start with a file of their own are left alone. It gives what is still to
// come. The caller holds the lock.
func (p *Printer) placeFile(j *PrintJob) (coming *delivery) {
	if !slices.Contains([]string{"slicer", "screen", "cloud"}, j.Source) {
		return nil
	}
	if j.data == nil {
		j.data = p.farm.samples.archive(*j, p.model)
	} else if j.Plate == 0 {
		j.Plate = plateIn(j.data)
	}
	sum := sha256.Sum256(j.data)
	place, inside := placeOf(p.model, *j)
	j.SHA256, j.file, j.inside = hex.EncodeToString(sum[:]), path.Base(place), inside || p.has(internalStorage)
	d := &delivery{path: place, data: j.data}
	j.data = nil // the card has it
	switch {
	case j.inside || !p.body.card:
	case p.has(lateFile):
		d.wait = p.measure(lateFile)
		return d
	case j.Source == "cloud" && p.model.Reports == bambu.StyleFull:
		d.wait = cloudFileAfter
		return d
	case p.put(d):
		j.path = place
	}
	return nil
}

// put stores a file and tells whether it could.
func (p *Printer) put(d *delivery) bool {
	if err := p.storage.Put(d.path, d.data); err != nil {
		p.log.Warn("file not on the card", "path", d.path, "err", err)
		return false
	}
	return true
}

// deliver brings a file onto the card when it is time. The caller holds the lock.
func (p *Printer) deliver(now time.Time) {
	switch d := p.coming; {
	case d == nil:
	case !p.body.busy():
		p.coming = nil
	case p.body.state != stRunning:
	case d.due.IsZero():
		d.due = now.Add(p.hurried(d.wait))
	case !now.Before(d.due) && p.body.card:
		if p.coming = nil; p.put(d) {
			p.body.job.path, p.body.leftover.path = d.path, d.path
			p.farm.note(p.entry, func(e *LedgerEntry) { e.Path = d.path })
		}
	}
}

// hurried is a time of the printer's as it passes here.
func (p *Printer) hurried(d time.Duration) time.Duration {
	return time.Duration(float64(d) / p.farm.speed)
}

// eat removes the file of a print that ended, as some firmware does.
func (p *Printer) eat(j *job) {
	if !p.has(eatsFile) || j.path == "" || !p.body.card {
		return
	}
	if err := p.storage.Remove(j.path); err != nil {
		p.log.Warn("file not removed", "path", j.path, "err", err)
	}
	p.body.leftover = nil
}

// carries tells whether the file that a start names is on the card, and notes in
// the job which one it is. A start that names none, or one of the internet, is
// believed.
func (p *Printer) carries(r request, j *PrintJob) bool {
	names, known := p.named(r.text("url"), r.text("file"))
	if !known {
		return true
	}
	for _, name := range names {
		if sum, err := p.storage.Sum(name); err == nil {
			j.SHA256, j.path, j.file = sum, name, path.Base(name)
			return true
		}
	}
	return false
}

// named are the places where the file of a start may be, and whether it is one that
// can be looked for.
func (p *Printer) named(url, file string) (names []string, known bool) {
	scheme, rest, ok := strings.Cut(url, "://")
	switch {
	case !ok && file == "":
		return nil, false
	case !ok: // a file of the card, by its name alone
		name := path.Base("/" + file)
		return []string{"/" + name, "/cache/" + name, "/model/" + name}, true
	case scheme == "ftp":
		return []string{path.Clean("/" + rest)}, true
	case scheme == "file":
		for _, mount := range mounts(p.model) {
			if name, ok := strings.CutPrefix(rest, mount); ok {
				names = append(names, path.Clean(name))
			}
		}
		return names, true
	}
	return nil, scheme != "http" && scheme != "https"
}

// mounts are where a printer's own system has the card.
func mounts(m bambu.Model) []string {
	switch {
	case strings.HasPrefix(m.Code, "X1"):
		return []string{"/sdcard", "/mnt/sdcard"}
	case m.Reports == bambu.StyleDelta:
		return []string{"/sdcard"}
	}
	return []string{"/media/usb0"}
}
