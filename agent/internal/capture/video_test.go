package capture

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func jpeg(n int) []byte { return append([]byte{0xFF, 0xD8, 0xFF}, make([]byte, n)...) }

func recorded(on bambu.Opt[bool]) wire.PrintRecord {
	return wire.PrintRecord{Name: "x", File: "x.gcode.3mf", Plate: bambu.Some(1), Timelapse: on}
}

// The video of a print is what was not there before, whatever its date says; it counts
// when it has stopped to grow.
func TestVideo(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		video := bytes.Repeat([]byte("RIFF"), 5000)
		r.put("/timelapse/video_2031-01-01_00-00-00.avi", []byte("of before, by a wrong clock"))
		r.start(runA, recorded(bambu.Some(true)))
		r.after(time.Hour)
		r.finish(runA, recorded(bambu.Some(true)))
		r.after(40 * time.Second)
		r.put("/timelapse/readme.txt", []byte("no video"))
		for n := 1000; n < len(video); n += 4000 {
			r.put("/timelapse/video_2024-01-01_00-00-00.avi", video[:n])
			r.after(10 * time.Second)
		}
		r.put("/timelapse/video_2024-01-01_00-00-00.avi", video)
		r.pending(runA, wire.RoleTimelapse)
		r.after(time.Minute)
		r.got(runA, wire.RoleTimelapse, video)
		if f := r.of(runA, wire.RoleTimelapse); f.Name != "video_2024-01-01_00-00-00.avi" {
			t.Errorf("its name is %q", f.Name)
		}
	})
}

// Some firmware begins the file when the print begins.
func TestVideoFromTheStart(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		r.put("/timelapse/old.mp4", []byte("old"))
		r.put("/timelapse/new.mp4", []byte("beginning"))
		r.start(runA, recorded(bambu.Some(true)))
		r.after(time.Hour)
		r.put("/timelapse/new.mp4", []byte("beginning and end"))
		r.finish(runA, recorded(bambu.Some(true)))
		r.after(time.Minute)
		r.got(runA, wire.RoleTimelapse, []byte("beginning and end"))
	})
}

func TestNoVideo(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		r.start(runA, recorded(bambu.Opt[bool]{}))
		r.after(time.Hour)
		r.finish(runA, recorded(bambu.Opt[bool]{}))
		r.after(14 * time.Minute)
		r.pending(runA, wire.RoleTimelapse)
		r.after(3 * time.Minute)
		r.lacks(runA, wire.RoleTimelapse, "no new video")

		// It turned out that none was wanted: there is nothing to tell.
		r.start(runB, recorded(bambu.Opt[bool]{}))
		r.after(time.Hour)
		r.finish(runB, recorded(bambu.Some(false)))
		r.after(time.Hour)
		r.pending(runB, wire.RoleTimelapse)
		if tasks, err := r.outbox.OpenTasks(r.ctx, serial); err != nil || len(tasks) > 0 && tasks[0].Role != wire.RoleModel && tasks[0].Role != wire.RoleThumbnail {
			t.Errorf("left: %v, %v", tasks, err)
		}
	})
}

// Without a look at the folder before the end, nothing tells what is new.
func TestVideoUnseen(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		r.put("/timelapse/a.mp4", []byte("whose?"))
		p := recorded(bambu.Some(true))
		r.stop()
		r.tell(wire.PrintObserved, runA, p, nil)
		r.tell(wire.PrintFinished, runA, p, nil)
		r.run()
		r.after(time.Minute)
		r.lacks(runA, wire.RoleTimelapse, "not known which videos")
	})
}

// Recording may be switched on during a print.
func TestVideoSwitchedOn(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		r.start(runA, recorded(bambu.Some(false)))
		r.after(time.Minute)
		r.tell(wire.PrintDetails, runA, recorded(bambu.Some(true)), nil)
		r.after(time.Minute)
		r.finish(runA, recorded(bambu.Some(true)))
		r.put("/timelapse/a.mp4", []byte("a"))
		r.after(time.Minute)
		r.got(runA, wire.RoleTimelapse, []byte("a"))
	})
}

// Two short prints follow each other, and the videos come late: each is one print's,
// in their order.
func TestVideosOfTwo(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		p := recorded(bambu.Some(true))
		r.start(runA, p)
		r.after(time.Minute)
		r.finish(runA, p)
		r.after(20 * time.Second)
		r.start(runB, p)
		r.after(2 * time.Minute)
		r.put("/timelapse/video_1.mp4", []byte("first"))
		r.finish(runB, p)
		r.after(5 * time.Second)
		r.put("/timelapse/video_2.mp4", []byte("second"))
		r.after(3 * time.Minute)
		r.got(runA, wire.RoleTimelapse, []byte("first"))
		r.got(runB, wire.RoleTimelapse, []byte("second"))
	})
}

// A print that went with the power has no video: the next one that there is belongs to
// the print after it, though the first one waits for longer.
func TestVideoOfTheNext(t *testing.T) {
	for name, end := range map[string]wire.PrintRecord{
		"power cut":        {Outcome: wire.Unknown, Layer: bambu.Some(20)},
		"before its start": {Outcome: wire.Aborted},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 0, func(r *rig) {
				p := recorded(bambu.Some(true))
				r.start(runA, p)
				r.after(time.Minute)
				p.Outcome, p.Layer = end.Outcome, end.Layer
				r.tell(wire.PrintFinished, runA, p, nil)
				r.after(20 * time.Second)
				p = recorded(bambu.Some(true))
				r.start(runB, p)
				r.after(2 * time.Minute)
				r.finish(runB, p)
				r.after(5 * time.Second)
				r.put("/timelapse/video_2.mp4", []byte("second"))
				r.after(3 * time.Minute)
				r.lacks(runA, wire.RoleTimelapse, "before a later print ended")
				r.got(runB, wire.RoleTimelapse, []byte("second"))
			})
		})
	}
}

// A print whose video nobody can see waits for it, and does not take the next print's.
func TestVideoOutOfSight(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		p := recorded(bambu.Some(true))
		r.start(runA, p)
		r.after(time.Minute)
		r.finish(runA, p)
		r.after(time.Minute)
		r.start(runB, p)
		r.after(2 * time.Minute)
		r.finish(runB, p)
		r.after(2 * time.Second)
		r.put("/timelapse/video_2.mp4", []byte("second"))
		r.after(3 * time.Minute)
		r.lacks(runA, wire.RoleTimelapse, "before a later print ended")
		r.got(runB, wire.RoleTimelapse, []byte("second"))
	})
}

// A video is never taken twice, also when the second print has none.
func TestVideoClaimedOnce(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		p := recorded(bambu.Some(true))
		r.start(runA, p)
		r.after(time.Minute)
		r.finish(runA, p)
		r.after(10 * time.Second)
		r.start(runB, recorded(bambu.Opt[bool]{}))
		r.after(time.Minute)
		r.put("/timelapse/video_1.mp4", []byte("first"))
		r.after(2 * time.Minute)
		r.got(runA, wire.RoleTimelapse, []byte("first"))
		r.finish(runB, recorded(bambu.Opt[bool]{}))
		r.after(20 * time.Minute)
		r.lacks(runB, wire.RoleTimelapse, "no new video")
	})
}

func TestPhoto(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		shots := 0
		r.photo = func() ([]byte, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if shots++; shots < 3 {
				return nil, farm.Errorf(farm.PrinterNotConnected, "the camera is busy")
			}
			return jpeg(100), nil
		}
		r.start(runA, recorded(bambu.Some(false)))
		r.after(time.Hour)
		r.pending(runA, wire.RoleFinish)
		r.finish(runA, recorded(bambu.Some(false)))
		r.after(20 * time.Second)
		r.got(runA, wire.RoleFinish, jpeg(100))
	})
}

func TestPhotoFails(t *testing.T) {
	for name, c := range map[string]struct {
		shot   []byte
		err    error
		agoMS  int64
		reason string
	}{
		"camera away":   {nil, farm.Errorf(farm.PrinterNotConnected, "the camera shows nothing"), 0, "shows nothing"},
		"no ffmpeg":     {nil, farm.Errorf(farm.FFmpegMissing, "ffmpeg is missing"), 0, "ffmpeg"},
		"no JPEG":       {[]byte("nothing"), nil, 0, "no picture"},
		"secret inside": {nil, errors.New("dial with " + code), 0, "unexpected"},
		"too late":      {jpeg(10), nil, 11 * 60_000, "too long ago"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 0, func(r *rig) {
				r.photo = func() ([]byte, error) { return c.shot, c.err }
				r.tell(wire.PrintFinished, runA, recorded(bambu.Some(false)), func(rec *wire.OutboxRecord) { rec.AgoMS = c.agoMS })
				r.after(11 * time.Minute)
				r.lacks(runA, wire.RoleFinish, c.reason)
				r.idle()
			})
		})
	}
}
