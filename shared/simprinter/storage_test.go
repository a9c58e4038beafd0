package simprinter

import (
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// A start finds its file by every form of its name that the model knows, and ends in
// a card error when it is not there.
func TestCarries(t *testing.T) {
	for _, test := range []struct {
		model, url, file string
		found            bool
	}{
		{"A1", "ftp://part.gcode.3mf", "", true},
		{"A1", "ftp:///part.gcode.3mf", "", true},
		{"A1", "ftp:///cache/deep.3mf", "", true},
		{"A1", "file:///sdcard/part.gcode.3mf", "", true},
		{"A1", "file:///mnt/sdcard/part.gcode.3mf", "", false},
		{"A1", "file:///media/usb0/part.gcode.3mf", "", false},
		{"A1", "ftp://other.3mf", "part.gcode.3mf", false},
		{"A1", "ftp:///../../cache/deep.3mf", "", true},
		{"A1", "ftp:///cache", "", false},
		{"A1", "", "deep.3mf", true},
		{"A1", "", "other.3mf", false},
		{"A1", "", "", true},
		{"P1S", "file:///sdcard/cache/deep.3mf", "", true},
		{"X1C", "file:///mnt/sdcard/part.gcode.3mf", "", true},
		{"P2S", "file:///media/usb0/part.gcode.3mf", "", true},
		{"P2S", "file:///sdcard/part.gcode.3mf", "", false},
		{"P2S", "brtc://emmc/part.gcode.3mf", "part.gcode.3mf", false},
		{"H2D", "ftp:///part.gcode.3mf", "", true},
		{"H2D", "https://cloud.example/x", "", true},
	} {
		f, err := NewFarm(specs(t, 1, test.model), Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := f.Printers()[0]
		for _, name := range []string{"/part.gcode.3mf", "/cache/deep.3mf"} {
			if err := p.Storage().Put(name, []byte(name)); err != nil {
				t.Fatal(err)
			}
		}
		var j PrintJob
		if got := p.carries(request{body: obj{"url": test.url, "file": test.file}}, &j); got != test.found {
			t.Errorf("%+v: %t", test, got)
		}
		if j.path != "" {
			if sum, _ := p.Storage().Sum(j.path); sum != j.SHA256 || sum == "" {
				t.Errorf("%+v: sum %q", test, j.SHA256)
			}
		}
	}
}

func TestMissingFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, model := range []string{"A1", "X1C"} {
			farm, dial := virtual(t, Options{}, model)
			e := listen(t, farm.Printers()[0], dial)
			e.pushAll()
			if a := e.ask("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"part","url":"ftp://part.3mf"`); a.Result != bambu.OK {
				t.Fatalf("%s: %+v", model, a)
			}
			e.untilStatus(10*time.Second, "error", func(s bambu.Status) bool { return s.Faults.PrintError == errCard })
			time.Sleep(time.Minute)
			if l := farm.Ledger(); len(l) != 0 {
				t.Errorf("%s: %+v", model, l)
			}
		}
	})
}

// Each source puts its file where it does on real printers.
func TestPlaces(t *testing.T) {
	for _, test := range []struct{ model, source, path string }{
		{"A1", "slicer", "/a_b.gcode.3mf"},
		{"A1", "cloud", "/cache/a_b.3mf"},
		{"A1", "screen", "/model/a_b.gcode.3mf"},
		{"P1S", "screen", "/a_b.gcode.3mf"},
		{"X1C", "slicer", "/a_b.gcode.3mf"},
		{"P2S", "slicer", ""},
		{"H2D", "slicer", "/a_b.gcode.3mf"},
	} {
		f, err := NewFarm(specs(t, 1, test.model), Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := f.Printers()[0]
		if err := p.Start(PrintJob{Name: "a:b", Source: test.source, Plate: 3}); err != nil {
			t.Fatal(err)
		}
		sum, err := p.Storage().Sum(test.path)
		if l := f.Ledger(); test.path != "" && (err != nil || sum != l[0].SHA256) || len(l[0].SHA256) != 64 {
			t.Errorf("%+v: %v %+v", test, err, l)
		}
		if free := p.Storage().Free(); (free == cardSize) != (test.path == "") {
			t.Errorf("%+v: %d bytes free", test, free)
		}
	}
}

// Newer machines show the file of a cloud job some seconds after it began to run.
func TestCloudFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{}, "X1C")
		p := farm.Printers()[0]
		e := listen(t, p, dial)
		e.pushAll()
		if err := p.Start(PrintJob{Name: "title", Source: "cloud"}); err != nil {
			t.Fatal(err)
		}
		e.untilStatus(time.Minute, "print", func(s bambu.Status) bool { return s.Job.GcodeState == "RUNNING" })
		if _, err := p.Storage().Sum("/cache/title.3mf"); err == nil {
			t.Error("the file was there at once")
		}
		time.Sleep(10 * time.Second)
		if sum, err := p.Storage().Sum("/cache/title.3mf"); err != nil || sum != farm.Ledger()[0].SHA256 {
			t.Errorf("%s %v", sum, err)
		}
	})
}
