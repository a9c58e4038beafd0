package simprinter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/simprinter/simcam"
)

// How long after the end of a print its film shows in the directory, and how long it
// grows there.
const (
	filmAfter = 8 * time.Second
	filmGrows = 12 * time.Second
)

// filmDir is where films are.
const filmDir = "/timelapse"

// film is one that the printer writes onto its card.
type film struct {
	name  string // without an extension
	path  string
	data  []byte
	begin time.Time // when its first bytes are there
	entry int       // of the ledger
}

// film makes the film of a print that ended, if it was filmed. One that ended before
// its first layer has none. The caller holds the lock.
func (p *Printer) film(j *job) {
	if !p.body.set.timelapse || j.done == 0 || j.inside || p.has(internalStorage) || !p.body.card {
		return
	}
	f := &film{begin: time.Now().Add(p.hurried(filmAfter)), entry: p.entry}
	shoot, extension := simcam.MP4, ".mp4"
	if p.model.Reports == bambu.StyleDelta {
		shoot, extension = simcam.AVI, ".avi"
	}
	var started time.Time
	p.farm.note(p.entry, func(e *LedgerEntry) { started = e.StartedAt })
	for at := started.Add(p.clockError()); ; at = at.Add(time.Second) {
		f.name = "video_" + at.Format("2006-01-02_15-04-05")
		f.path = filmDir + "/" + f.name + extension
		_, err := p.storage.Stat(f.path)
		if err != nil && !slices.ContainsFunc(p.films, func(o *film) bool { return o.path == f.path }) {
			break
		}
	}
	f.data = shoot(fmt.Sprintf("%s %d %s", p.spec.Serial, p.entry, j.Name))
	p.films = append(p.films, f)
}

// clockError is how wrong the printer's clock is: it shows the time of its makers, and
// some days ago.
func (p *Printer) clockError() time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(p.spec.Serial)) // never fails
	const most = 20 * 24 * 3600
	return 8*time.Hour - time.Duration(h.Sum32()%most)*time.Second
}

// develop writes on at the films. The caller holds the lock.
func (p *Printer) develop(now time.Time) {
	p.films = slices.DeleteFunc(p.films, func(f *film) bool {
		passed := now.Sub(f.begin)
		if passed < 0 {
			return false
		}
		return !p.body.card || !p.expose(f, passed)
	})
}

// expose brings a film onto the card as far as it is written, and tells whether
// something of it is still to come.
func (p *Printer) expose(f *film, passed time.Duration) (more bool) {
	grows := p.hurried(filmGrows)
	if more = passed < grows; more {
		tenths := 1 + int(9*passed/max(grows, 1))
		return p.put(&delivery{path: f.path, data: f.data[:len(f.data)*tenths/10]})
	}
	if p.put(&delivery{path: filmDir + "/thumbnail/" + f.name + ".jpg", data: simcam.Still()}) && p.put(&delivery{path: f.path, data: f.data}) {
		sum := sha256.Sum256(f.data)
		p.farm.note(f.entry, func(e *LedgerEntry) { e.Timelapse, e.TimelapseSHA256 = f.path, hex.EncodeToString(sum[:]) })
	}
	return false
}
