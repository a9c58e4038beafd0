package simprinter

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// What the report says of a job's file, where it lies and what the ledger says of it,
// by model and source (protocol/ftps.md §3).
func TestForms(t *testing.T) {
	for _, test := range []struct{ model, source, name, gcode, path string }{
		{"X1C", "slicer", "Parts Box", "/data/Metadata/plate_2.gcode", "/Parts Box.gcode.3mf"},
		{"X1C", "cloud", "A: title", "/data/Metadata/plate_2.gcode", "/cache/A_ title.3mf"},
		{"P1S", "slicer", "36mm", "36mm.gcode.3mf", "/36mm.gcode.3mf"},
		{"P1S", "cloud", "title", "title.3mf", "/cache/title.3mf"},
		{"A1", "slicer", "name.3mf", "name.3mf", "/name.gcode.3mf"},
		{"A1", "cloud", "Size: M", "Size: M.3mf", "/cache/Size_ M.3mf"},
		{"P2S", "slicer", "title", "/data/Metadata/plate_2.gcode", ""},
		{"P2S", "cloud", "title", "/data/Metadata/plate_2.gcode", "/cache/title.3mf"},
	} {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{}, test.model)
			p := farm.Printers()[0]
			e := listen(t, p, dial)
			e.pushAll()
			if err := p.Start(PrintJob{Name: test.name, Source: test.source, Plate: 2, Plates: 3}); err != nil {
				t.Fatal(err)
			}
			e.untilStatus(time.Minute, "print", func(s bambu.Status) bool { return s.Job.GcodeState == "RUNNING" })
			time.Sleep(10 * time.Second)
			full := report(t, e.pushAll())
			if full["gcode_file"] != test.gcode || full["subtask_name"] != test.name {
				t.Errorf("%+v: %v, %v", test, full["gcode_file"], full["subtask_name"])
			}
			l := farm.Ledger()[0]
			if l.Path != test.path || l.Plate != 2 || l.File == "" || l.Name != test.name {
				t.Errorf("%+v: %+v", test, l)
			}
			if sum, err := p.Storage().Sum(test.path); test.path != "" && (err != nil || sum != l.SHA256) {
				t.Errorf("%+v: %v", test, err)
			}
		})
	}
}

// A file that is late comes when the print runs, on any model.
func TestLateFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, _ := virtual(t, Options{}, "P1S")
		p := farm.Printers()[0]
		if err := p.FaultValue(lateFile, 40); err != nil {
			t.Fatal(err)
		}
		if err := p.Fault(lateFile, 0); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(PrintJob{Name: "part", Source: "slicer"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second) // the first of them it does not run yet
		if _, err := p.Storage().Stat("/part.gcode.3mf"); err == nil || farm.Ledger()[0].Path != "" {
			t.Errorf("the file was there at once: %+v", farm.Ledger())
		}
		time.Sleep(20 * time.Second)
		if sum, err := p.Storage().Sum("/part.gcode.3mf"); err != nil || sum != farm.Ledger()[0].SHA256 || farm.Ledger()[0].Path != "/part.gcode.3mf" {
			t.Errorf("%v: %+v", err, farm.Ledger())
		}
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		// One that ends before its file came leaves none.
		if err := p.Start(PrintJob{Name: "short", Source: "slicer"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if _, err := p.Storage().Stat("/short.gcode.3mf"); err == nil || farm.Ledger()[1].Path != "" {
			t.Errorf("a stopped print got its file: %+v", farm.Ledger()[1])
		}
	})
}

// A print that is late with its name shows the last one's, with its ids.
func TestLateName(t *testing.T) {
	for _, model := range []string{"A1", "X1C", "P2S"} {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{}, model)
			p := farm.Printers()[0]
			e := listen(t, p, dial)
			e.pushAll()
			start := func(name string) {
				t.Helper()
				if err := p.Start(PrintJob{Name: name, Source: "cloud", Minutes: 1}); err != nil {
					t.Fatal(err)
				}
			}
			start("first")
			e.untilStatus(10*time.Minute, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FINISH" })
			old := e.status().Job
			if err := p.Fault(lateName, 0); err != nil {
				t.Fatal(err)
			}
			start("second")
			e.untilStatus(time.Minute, "print", func(s bambu.Status) bool { return s.Job.GcodeState == "RUNNING" })
			if j := e.status().Job; j.Name != "first" || j.SubtaskID != old.SubtaskID {
				t.Errorf("%s: %+v", model, j)
			}
			e.untilStatus(15*time.Second, "name", func(s bambu.Status) bool { return s.Job.Name == "second" })
			e.pushAll()
			if l, id := farm.Ledger()[1], e.status().Job.SubtaskID; l.Name != "second" || l.SubtaskID != id || id == old.SubtaskID {
				t.Errorf("%s: %s %+v", model, id, l)
			}
		})
	}
}

// Files in the internal storage are nowhere to be seen, and known in the ledger.
func TestInternalStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, _ := virtual(t, Options{}, "H2D")
		p := farm.Printers()[0]
		if err := p.Fault(internalStorage, 0); err != nil {
			t.Fatal(err)
		}
		filmed(t, p, "part", true)
		time.Sleep(20 * time.Minute)
		if l := farm.Ledger()[0]; l.Outcome != "success" || l.Path != "" || l.File != "part.gcode.3mf" || len(l.SHA256) != 64 || l.Timelapse != "" {
			t.Errorf("%+v", l)
		}
		if free := p.Storage().Free(); free != cardSize {
			t.Errorf("%d bytes free", free)
		}
	})
}

// Some firmware removes the file of a print that ended; then nothing replays it.
func TestEatsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, _ := virtual(t, Options{}, "A1")
		p := farm.Printers()[0]
		if err := p.Fault(eatsFile, 0); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(PrintJob{Name: "part", Source: "slicer", Minutes: 1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if _, err := p.Storage().Stat("/part.gcode.3mf"); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Minute)
		if _, err := p.Storage().Stat("/part.gcode.3mf"); err == nil {
			t.Error("the file is still there")
		}
		if l := farm.Ledger()[0]; l.Outcome != "success" || l.Path != "/part.gcode.3mf" {
			t.Errorf("%+v", l)
		}
		if err := p.Fault(ghostReplay, 0); err == nil {
			t.Error("it prints a file that is gone")
		}
	})
}

// A file that is brought along is printed from its first sliced plate.
func TestOwnPlate(t *testing.T) {
	f, err := NewFarm(specs(t, 1, "A1"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := bambu.ModelByCode("A1")
	p, own := f.Printers()[0], filepath.Join(t.TempDir(), "own.3mf")
	if err := os.WriteFile(own, new(samples).archive(PrintJob{Name: "own", Plate: 5}, m), 0o600); err != nil {
		t.Fatal(err)
	}
	j := PrintJob{Name: "part", Source: "slicer", File: own}
	if err := p.Start(j); err != nil {
		t.Fatal(err)
	}
	if l := f.Ledger()[0]; l.Plate != 5 {
		t.Errorf("%+v", l)
	}
}
