package capture

import (
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/ftpserver"
	"bambuddy/shared/wire"
)

func cloudPrint(name string, plate int) wire.PrintRecord {
	return wire.PrintRecord{
		Name: name, File: "/data/Metadata/plate_1.gcode", PrintKind: "cloud", SubtaskID: "777", Plate: bambu.Some(plate),
		TotalLayers: bambu.Some(50), Timelapse: bambu.Some(false),
	}
}

// A newer printer shows the file of a cloud job some seconds into the print.
func TestLateFile(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		model := sliced3MF(t, "a", 50, 1, 2)
		r.start(runA, cloudPrint("Size: M", 2))
		r.after(17 * time.Second)
		r.put("/cache/Size_ M.3mf", model)
		r.after(20 * time.Second)
		r.got(runA, wire.RoleModel, model)
		r.got(runA, wire.RoleThumbnail, picture(2))
		if told := r.told(runA); told[0].Role != wire.RoleThumbnail || told[1].Name != "Size_ M.3mf" {
			t.Errorf("told %+v", told)
		}
		r.idle()
	})
}

// Titles lag one print behind (#1204): the file of that name lacks the plate, and the
// right name comes later.
func TestStaleName(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		model := sliced3MF(t, "new", 50, 2)
		r.put("/cache/old.3mf", sliced3MF(t, "old", 50, 1))
		r.put("/cache/new.3mf", model)
		r.start(runA, cloudPrint("old", 2))
		r.after(40 * time.Second)
		r.pending(runA, wire.RoleModel)
		r.set(func() { r.status.Job.Name = "new" })
		r.tell(wire.PrintDetails, runA, cloudPrint("new", 2), nil)
		r.after(20 * time.Second)
		r.got(runA, wire.RoleModel, model)
		r.got(runA, wire.RoleThumbnail, picture(2))
		r.idle()
	})
}

// An older slicing of the same name is not taken while a better one may come, and at
// last it is: some prints count their layers in another way.
func TestOtherLayers(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		model := sliced3MF(t, "b", 50, 1)
		r.put("/cache/x.3mf", sliced3MF(t, "a", 49, 1))
		r.start(runA, cloudPrint("x", 1))
		r.after(30 * time.Second)
		r.pending(runA, wire.RoleModel)
		r.put("/cache/x.3mf", model)
		r.after(20 * time.Second)
		r.got(runA, wire.RoleModel, model)

		odd := sliced3MF(t, "c", 12, 1)
		r.put("/cache/y.3mf", odd)
		r.start(runB, cloudPrint("y", 1))
		r.after(30 * time.Second)
		r.pending(runB, wire.RoleModel)
		r.after(5 * time.Minute)
		r.got(runB, wire.RoleModel, odd)
		r.idle()
	})
}

func TestWrongFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file   []byte
		reason string
	}{
		"other plate":    {sliced3MF(t, "a", 50, 3), "plate 1 is not in it"},
		"project":        {sliced3MF(t, "a", 50), "not sliced"},
		"not an archive": {[]byte("this is not a 3MF at all, whatever its name says"), "x.3mf"},
		"none":           {nil, `no file for "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 0, func(r *rig) {
				if c.file != nil {
					r.put("/cache/x.3mf", c.file)
				}
				p := cloudPrint("x", 1)
				r.start(runA, p)
				r.after(10 * time.Minute)
				r.pending(runA, wire.RoleModel)
				r.finish(runA, p)
				r.after(10 * time.Minute)
				r.lacks(runA, wire.RoleModel, c.reason)
				r.lacks(runA, wire.RoleThumbnail, c.reason)
				r.lacks(runA, wire.RoleFinish, "no camera")
				r.idle()
			})
		})
	}
}

// A file is fetched when it has stopped to grow.
func TestGrowing(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		model := sliced3MF(t, "a", 50, 1)
		p := wire.PrintRecord{Name: "36mm", File: "36mm.gcode.3mf", Plate: bambu.Some(1), Timelapse: bambu.Some(false)}
		r.start(runA, p)
		for n := 100; n < len(model); n += 200 {
			r.put("/36mm.gcode.3mf", model[:n])
			r.after(4 * time.Second)
		}
		r.pending(runA, wire.RoleModel)
		r.put("/36mm.gcode.3mf", model)
		r.after(15 * time.Second)
		r.got(runA, wire.RoleModel, model)
	})
}

// While a printer cannot be reached nothing is known of its files, so the search goes
// on, however long that takes.
func TestUnreachable(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		model := sliced3MF(t, "a", 50, 1)
		r.put("/cache/x.3mf", model)
		r.quirks.Store(&ftpserver.Quirks{Mute: true})
		p := cloudPrint("x", 1)
		r.start(runA, p)
		r.after(2 * time.Hour)
		r.set(func() { r.offline = true })
		r.finish(runA, p)
		r.after(12 * time.Hour)
		r.pending(runA, wire.RoleModel)
		lists := r.lists
		r.after(time.Hour)
		if r.lists != lists {
			t.Errorf("%d attempts on a printer that is off", r.lists-lists)
		}
		r.quirks.Store(&ftpserver.Quirks{})
		r.set(func() { r.offline = false })
		r.after(20 * time.Minute)
		r.got(runA, wire.RoleModel, model)
		r.idle()
	})
}

// One that stays away is given up at last.
func TestNeverBack(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		r.offline = true
		r.start(runA, cloudPrint("x", 1))
		r.after(6 * 24 * time.Hour)
		r.pending(runA, wire.RoleModel)
		r.after(2 * 24 * time.Hour)
		r.lacks(runA, wire.RoleModel, "could not be reached")
		r.lacks(runA, wire.RoleThumbnail, "could not be reached")
		r.idle()
	})
}

// A transfer that breaks off is begun again, and nothing of it stays.
func TestBrokenTransfer(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		model := sliced3MF(t, "a", 50, 1)
		r.put("/cache/x.3mf", model)
		r.start(runA, cloudPrint("x", 1))
		r.after(time.Second)
		r.quirks.Store(&ftpserver.Quirks{DropAfter: int64(len(model)) - 10})
		r.after(time.Minute)
		r.pending(runA, wire.RoleModel)
		r.quirks.Store(&ftpserver.Quirks{})
		r.after(10 * time.Minute)
		r.got(runA, wire.RoleModel, model)
	})
}

// A transfer that always breaks off is given up, as it keeps the printer busy.
func TestAlwaysBroken(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		r.put("/cache/x.3mf", sliced3MF(t, "a", 50, 1))
		r.start(runA, cloudPrint("x", 1))
		r.after(time.Second)
		r.quirks.Store(&ftpserver.Quirks{DropAfter: 700})
		r.after(time.Hour)
		r.pending(runA, wire.RoleModel)
		r.after(5 * time.Hour)
		r.lacks(runA, wire.RoleModel, "could not be transferred")
		r.idle()
	})
}

func TestOutOfReach(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(r *rig)
		file    string
		reason  string
	}{
		"internal storage": {func(r *rig) { r.status.Machine.Model = "P2S" }, "/data/Metadata/plate_1.gcode", "internal storage"},
		"no card":          {func(r *rig) { r.status.Machine.Storage = bambu.Some(false) }, "x.3mf", "no card"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 0, func(r *rig) {
				c.prepare(r)
				r.start(runA, wire.PrintRecord{Name: "x", File: c.file, PrintKind: "local", Timelapse: bambu.Some(false)})
				r.after(5 * time.Minute)
				r.lacks(runA, wire.RoleModel, c.reason)
				r.lacks(runA, wire.RoleThumbnail, c.reason)
				r.idle()
			})
		})
	}
}

// The file that was written last is a guess, for which more must speak than its date.
func TestNewest(t *testing.T) {
	for name, c := range map[string]struct {
		title  string
		layers int
		plates []int
		ok     bool
	}{
		"fits":        {"X", 50, []int{1}, true},
		"untitled":    {"", 50, []int{1}, true},
		"title":       {"the one before", 50, []int{1}, false},
		"layers":      {"X", 51, []int{1}, false},
		"other plate": {"X", 50, []int{2}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 0, func(r *rig) {
				model := sliced3MF(t, c.title, c.layers, c.plates...)
				r.put("/elsewhere named.3mf", model)
				r.start(runA, cloudPrint("x", 1))
				r.after(time.Minute)
				r.pending(runA, wire.RoleModel)
				r.after(3 * time.Hour)
				if c.ok {
					r.got(runA, wire.RoleModel, model)
				} else {
					r.lacks(runA, wire.RoleModel, "elsewhere named.3mf")
				}
				r.idle()
			})
		})
	}
}

// What a slicer sends over the network to a printer with a storage of its own goes there,
// so the newest file on the stick is the one of a print before.
func TestNewestOnTheStick(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		r.status.Machine.Model = "P2S"
		r.put("/the one before.3mf", sliced3MF(t, "", 50, 1))
		r.start(runA, wire.PrintRecord{
			Name: "x", File: "x.3mf", PrintKind: "local", Plate: bambu.Some(1), TotalLayers: bambu.Some(50), Timelapse: bambu.Some(false),
		})
		r.after(3 * time.Hour)
		r.lacks(runA, wire.RoleModel, `no file for "x"`)
	})
}

// One that lay there for days is not the print's, whatever it holds.
func TestNewestIsOld(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		r.put("/elsewhere named.3mf", sliced3MF(t, "a", 50, 1))
		r.after(3 * 24 * time.Hour)
		r.start(runA, cloudPrint("x", 1))
		r.after(3 * time.Hour)
		r.lacks(runA, wire.RoleModel, `no file for "x"`)
	})
}

func TestFullStore(t *testing.T) {
	bubble(t, 600, func(r *rig) {
		r.put("/cache/x.3mf", sliced3MF(t, "a", 50, 1))
		r.photo = func() ([]byte, error) { return jpeg(2000), nil }
		p := cloudPrint("x", 1)
		r.start(runA, p)
		r.after(time.Minute)
		r.finish(runA, p)
		r.after(time.Minute)
		for _, role := range []wire.FileRole{wire.RoleModel, wire.RoleThumbnail, wire.RoleFinish} {
			r.lacks(runA, role, "agent storage full")
		}
		r.idle()
	})
}

// A restart at any moment of a search loses nothing and tells nothing twice.
func TestRestarts(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		model := sliced3MF(t, "a", 50, 1)
		p := cloudPrint("x", 1)
		p.Timelapse = bambu.Some(true)
		r.start(runA, p)
		again := func(n int, pause time.Duration) {
			for range n {
				r.after(pause)
				r.stop()
				r.run()
			}
		}
		again(10, 700*time.Millisecond)
		r.put("/cache/x.3mf", model)
		again(20, 2100*time.Millisecond)
		r.got(runA, wire.RoleModel, model)
		r.got(runA, wire.RoleThumbnail, picture(1))
		r.finish(runA, p)
		r.put("/timelapse/video_1.mp4", []byte("a video"))
		again(20, 2100*time.Millisecond)
		r.got(runA, wire.RoleTimelapse, []byte("a video"))
		r.idle()
	})
}
