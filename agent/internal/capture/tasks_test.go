package capture

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

func TestTasks(t *testing.T) {
	yes, no := bambu.Some(true), bambu.Some(false)
	for _, c := range []struct {
		kind      wire.RecordKind
		timelapse bambu.Opt[bool]
		want      []string
	}{
		{wire.PrintStarted, yes, []string{"model", "thumbnail", "timelapse"}},
		{wire.PrintStarted, bambu.Opt[bool]{}, []string{"model", "thumbnail", "timelapse"}},
		{wire.PrintStarted, no, []string{"model", "thumbnail"}},
		{wire.PrintObserved, yes, []string{"model", "thumbnail", "timelapse"}},
		{wire.PrintDetails, yes, []string{"note:4"}},
		{wire.PrintFinished, yes, []string{"finish", "note:4"}},
		{wire.PrintProgress, yes, nil},
		{wire.PrintPaused, yes, nil},
	} {
		p := &wire.PrintRecord{RunID: runA, Seq: 4, Timelapse: c.timelapse}
		var got []string
		for _, task := range Tasks(serial, wire.OutboxRecord{Kind: c.kind, Print: p}) {
			got = append(got, string(task.Role))
			if task.Serial != serial || task.RunID != runA || !json.Valid(task.State) {
				t.Errorf("%s: not a sound task: %+v", c.kind, task)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, timelapse %v: %v, want %v", c.kind, c.timelapse, got, c.want)
		}
	}
	if got := Tasks(serial, wire.OutboxRecord{Kind: wire.FaultRaised, Fault: &wire.FaultRecord{}}); got != nil {
		t.Errorf("a fault gives %v", got)
	}
}

// A finished record's times are those of the end, not of its writing.
func TestTasksOfTheEnd(t *testing.T) {
	p := &wire.PrintRecord{RunID: runA, StartedAgoMS: bambu.Some[int64](3_600_000)}
	tasks := Tasks(serial, wire.OutboxRecord{Kind: wire.PrintFinished, AgoMS: 60_000, Print: p})
	i := read(tasks)[0]
	if ago := time.Since(time.UnixMilli(i.Job.EndMS)); !i.over || ago < time.Minute || ago > 2*time.Minute {
		t.Errorf("ended %v ago: %+v", ago, i.Job)
	}
	if ago := time.Since(time.UnixMilli(i.Job.StartMS)); ago < time.Hour || ago > time.Hour+time.Minute {
		t.Errorf("started %v ago", ago)
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		job  job
		have string
		want int // -1: does not fit
	}{
		{job{Name: "36mm", File: "36mm.gcode.3mf"}, "36mm.gcode.3mf", fitFile},
		{job{Name: "36mm", File: "36mm.gcode.3mf"}, "36mm.3mf", fitExact},
		{job{Name: "Clamshell Parts Box", File: "/data/Metadata/plate_1.gcode"}, "Clamshell Parts Box.gcode.3mf", fitExact},
		{job{Name: "Clamshell Parts Box"}, "Clamshell_Parts_Box.3mf", fitPlain},
		{job{Name: "Clamshell_Parts_Box"}, "clamshell parts box.3MF", fitPlain},
		{job{Name: "Shirt Size: M"}, "Shirt Size_ M.3mf", fitPlain},
		{job{Name: "Shirt Size: M"}, "Shirt Size M.3mf", fitLetters},
		{job{Name: "50% bigger & better"}, "50 bigger better.3mf", fitLetters},
		{job{Name: "Würfel gross"}, "W_rfel gross.3mf", fitLatin},
		{job{Name: "测试 calibration"}, "模型 calibration.3mf", -1},
		{job{Name: "name.3mf", File: "name.3mf"}, "name.gcode.3mf", fitExact},
		{job{Name: "", File: "/cache/box_plate_3.gcode"}, "box.3mf", fitExact},
		{job{Name: "a very long title of a model that nobody would type"}, "a very long title of a model.3mf", fitCut},
		{job{Name: "box lid"}, "box.3mf", -1},
		{job{Name: "box"}, "box lid.3mf", -1},
		{job{Name: "box"}, "box.gcode", -1},
		{job{Name: "box"}, "box", -1},
		{job{Name: "a:"}, "a?.3mf", fitPlain},
		{job{Name: "?!"}, "#.3mf", -1},
		{job{File: "/data/Metadata/plate_1.gcode"}, "plate_1.3mf", -1},
		{job{}, ".3mf", -1},
	} {
		rank, ok := wantedOf(c.job).fit(c.have)
		if !ok {
			rank = -1
		}
		if rank != c.want {
			t.Errorf("%+v: %q fits %d, want %d", c.job, c.have, rank, c.want)
		}
	}
}

func TestWanted(t *testing.T) {
	w := wantedOf(job{Name: "A: b", File: "/cache/A_ b.3mf"})
	if w.dir != "/cache" || w.file != "A_ b.3mf" {
		t.Errorf("%+v", w)
	}
	want := []string{"A_ b.3mf", "A_ b.gcode.3mf", "A__b.gcode.3mf", "A__b.3mf"}
	if got := w.direct(); !slices.Equal(got, want) {
		t.Errorf("direct names %q, want %q", got, want)
	}
}

func TestFolderOf(t *testing.T) {
	for file, want := range map[string]string{
		"x.gcode.3mf": "", "/x.gcode.3mf": "", "/cache/x.3mf": "/cache", "/model/x.3mf": "/model", "/a/b/x.3mf": "/a/b",
		"/sdcard/x.3mf": "", "/sdcard/cache/x.3mf": "/cache", "/mnt/sdcard/model/x.3mf": "/model", "/media/usb0/x.3mf": "",
		"/data/Metadata/plate_1.gcode": "", "/usr/etc/print/x.gcode": "", "/sdcards/x.3mf": "/sdcards", "../../x": "", "/../cache/x": "/cache",
	} {
		if got := folderOf(file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestDoubled(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 10 * time.Second, 1: 10 * time.Second, 2: 20 * time.Second, 5: 160 * time.Second, 99: longestFail} {
		if got := doubled(failPause, longestFail, n); got != want {
			t.Errorf("after %d: %v, want %v", n, got, want)
		}
	}
}

// Names from printers do no harm, and a name always fits itself.
func FuzzFit(f *testing.F) {
	for _, name := range []string{"box", "Size: M", "测试.gcode.3mf", "../..", "plate_1.gcode", "\xff\x00", ".3mf.3mf"} {
		f.Add(name, "/cache/"+name)
	}
	f.Fuzz(func(t *testing.T, name, file string) {
		w := wantedOf(job{Name: name, File: file})
		for _, n := range w.direct() {
			if !is3MF(n) {
				t.Errorf("%q is no 3MF", n)
			}
		}
		for _, stem := range w.stems {
			if _, ok := w.fit(stem + ".3mf"); !ok {
				t.Errorf("%q does not fit itself: %+v", stem, w)
			}
		}
		if rank, ok := w.fit(file); ok != (rank <= fitCut && is3MF(file)) {
			t.Errorf("%q fits %d, %v", file, rank, ok)
		}
	})
}
