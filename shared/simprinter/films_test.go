package simprinter

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// filmed starts a print that is filmed, or not.
func filmed(t *testing.T, p *Printer, name string, film bool) {
	t.Helper()
	if err := p.Start(PrintJob{Name: name, Source: "screen", Minutes: 3, Timelapse: &film}); err != nil {
		t.Fatal(err)
	}
}

func filmsOf(t *testing.T, p *Printer) []string {
	t.Helper()
	all, err := p.Storage().ReadDir(filmDir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, f := range all {
		if !f.IsDir() {
			out = append(out, f.Name())
		}
	}
	return out
}

// A film comes some seconds after the end, grows, and is in the ledger when it is whole.
func TestFilm(t *testing.T) {
	for model, kind := range map[string]struct{ end, begins string }{"A1": {".avi", "RIFF"}, "P1S": {".avi", "RIFF"}, "X1C": {".mp4", "\x00\x00\x00\x20ftyp"}, "H2D": {".mp4", "\x00\x00\x00\x20ftyp"}} {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{}, model)
			p := farm.Printers()[0]
			e := listen(t, p, dial)
			e.pushAll()
			filmed(t, p, "part", true)
			e.untilStatus(time.Minute, "switch", func(s bambu.Status) bool { return s.Job.Timelapse == bambu.Opt[bool]{Value: true, Known: true} })
			e.untilStatus(10*time.Minute, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FINISH" })
			time.Sleep(5 * time.Second)
			if got := filmsOf(t, p); len(got) != 0 {
				t.Fatalf("%s: too early: %v", model, got)
			}
			time.Sleep(6 * time.Second)
			names := filmsOf(t, p)
			if len(names) != 1 || !strings.HasPrefix(names[0], "video_") || !strings.HasSuffix(names[0], kind.end) {
				t.Fatalf("%s: %v", model, names)
			}
			half, err := p.Storage().Stat(filmDir + "/" + names[0])
			if err != nil || farm.Ledger()[0].Timelapse != "" {
				t.Errorf("%s: %v, ledger %+v", model, err, farm.Ledger())
			}
			time.Sleep(time.Minute)
			whole, err := p.Storage().Stat(filmDir + "/" + names[0])
			if err != nil || whole.Size() <= half.Size() {
				t.Errorf("%s: %v, it did not grow", model, err)
			}
			l := farm.Ledger()[0]
			if sum, err := p.Storage().Sum(l.Timelapse); err != nil || sum != l.TimelapseSHA256 || l.Timelapse != filmDir+"/"+names[0] {
				t.Errorf("%s: %v %+v", model, err, l)
			}
			if _, err := p.Storage().Stat(filmDir + "/thumbnail/" + strings.TrimSuffix(names[0], kind.end) + ".jpg"); err != nil {
				t.Errorf("%s: %v", model, err)
			}
			r, err := p.Storage().Open(l.Timelapse)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); err != nil || !strings.HasPrefix(string(b), kind.begins) {
				t.Errorf("%s: %v %q", model, err, b[:8])
			}
			at, err := time.Parse("video_2006-01-02_15-04-05", strings.TrimSuffix(names[0], kind.end))
			if err != nil || !at.Equal(l.StartedAt.Add(p.clockError()).Truncate(time.Second)) || p.clockError().Abs() < time.Minute {
				t.Errorf("%s: %v %s, started %s, clock %s", model, err, names[0], l.StartedAt, p.clockError())
			}
		})
	}
}

// The switch a client turns says whether there are films, and so does its start.
func TestFilmSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{}, "A1")
		p := farm.Printers()[0]
		e := listen(t, p, dial)
		e.pushAll()
		if err := p.Storage().Put("/part.3mf", []byte("a 3mf")); err != nil {
			t.Fatal(err)
		}
		for _, film := range []string{"true", "false", "true"} {
			if a := e.ask("print", "project_file", `,"param":"Metadata/plate_4.gcode","subtask_name":"part","url":"ftp://part.3mf","timelapse":`+film); a.Result != bambu.OK {
				t.Fatalf("%+v", a)
			}
			e.untilStatus(10*time.Minute, "print", func(s bambu.Status) bool { return s.Job.GcodeState == "RUNNING" })
			e.untilStatus(20*time.Minute, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FINISH" })
			time.Sleep(time.Minute)
		}
		e.reply("camera", "ipcam_timelapse", `,"control":"disable"`)
		if err := p.Start(PrintJob{Name: "screen", Source: "screen", Minutes: 1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		films := []bool{}
		for _, l := range farm.Ledger() {
			films = append(films, l.Timelapse != "")
		}
		if !slices.Equal(films, []bool{true, false, true, false}) || len(filmsOf(t, p)) != 2 {
			t.Errorf("%v %v", films, filmsOf(t, p))
		}
		if l := farm.Ledger()[0]; l.Plate != 4 || l.File != "part.3mf" || l.Path != "/part.3mf" {
			t.Errorf("%+v", l)
		}
	})
}

// What keeps a film from being seen: no layer, no power, no card, another storage. One
// that is stopped later has what was filmed.
func TestNoFilm(t *testing.T) {
	for name, test := range map[string]struct {
		model  string
		wait   time.Duration // until do
		do     func(p *Printer) error
		films  int
		ledger bool
	}{
		"stopped":         {"A1", 150 * time.Second, (*Printer).Stop, 1, true},
		"stopped at once": {"A1", 30 * time.Second, (*Printer).Stop, 0, false},
		"power":           {"A1", 150 * time.Second, func(p *Printer) error { return p.Fault(powerCut, time.Minute) }, 0, false},
		"power while film": {"A1", 150 * time.Second, func(p *Printer) error {
			if err := p.Stop(); err != nil {
				return err
			}
			time.Sleep(12 * time.Second)
			return p.Fault(powerCut, time.Minute)
		}, 1, false},
		"no card": {"A1", 150 * time.Second, func(p *Printer) error { return p.Fault(cardMissing, 0) }, 0, false},
		"inside":  {"P2S", 150 * time.Second, func(p *Printer) error { return p.Fault(internalStorage, 0) }, 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			farm, _ := virtual(t, Options{}, test.model)
			p := farm.Printers()[0]
			filmed(t, p, "part", true)
			time.Sleep(test.wait)
			if err := test.do(p); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			time.Sleep(20 * time.Minute)
			if l := farm.Ledger()[0]; len(filmsOf(t, p)) != test.films || (l.Timelapse != "") != test.ledger || l.EndedAt == nil {
				t.Errorf("%s: %v %+v", name, filmsOf(t, p), l)
			}
		})
	}
}

// A hundred prints in virtual time, each filmed, each with files of its own.
func TestManyPrints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, _ := virtual(t, Options{Speed: 100}, "X1C")
		p := farm.Printers()[0]
		for n := range 100 {
			filmed(t, p, "part "+itoa(n), true)
			for farm.Ledger()[n].EndedAt == nil {
				time.Sleep(time.Second)
			}
			time.Sleep(2 * time.Second) // the film is written
		}
		paths, sums := map[string]bool{}, map[string]bool{}
		for _, l := range farm.Ledger() {
			paths[l.Timelapse], sums[l.TimelapseSHA256] = true, true
			if sum, err := p.Storage().Sum(l.Path); err != nil || sum != l.SHA256 || l.Outcome != "success" {
				t.Errorf("%v %+v", err, l)
			}
		}
		if len(paths) != 100 || len(sums) != 100 || paths[""] {
			t.Errorf("%d films, %d contents", len(paths), len(sums))
		}
	})
}
