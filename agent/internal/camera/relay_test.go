package camera

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/simprinter/simcam"
)

func TestOneUpstreamForAllWhoWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, cam := cheapRig(t)
		defer r.close()
		var viewers []*Viewer
		for range 100 {
			viewers = append(viewers, r.watch(JPEG, 0))
		}
		var first Frame
		for i, v := range viewers {
			frame := next(t, v, 3*time.Second)
			if i == 0 {
				first = frame
			}
			if &frame.Data[0] != &first.Data[0] || !frame.Key {
				t.Fatal("the viewers have different pictures")
			}
		}
		if opened, open := cam.opened.Load(), cam.open.Load(); opened != 1 || open != 1 {
			t.Errorf("opened %d, %d open", opened, open)
		}
		for _, v := range viewers[1:] {
			v.Close()
		}
		time.Sleep(time.Minute)
		if cam.open.Load() != 1 {
			t.Error("closed although somebody watches")
		}
		viewers[0].Close()
		if _, err := viewers[0].Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after Close: %v", err)
		}
		time.Sleep(linger - 100*time.Millisecond)
		if cam.open.Load() != 1 {
			t.Error("closed before its time")
		}
		time.Sleep(200 * time.Millisecond)
		sent := cam.sent.Load()
		time.Sleep(time.Minute)
		if cam.open.Load() != 0 || cam.sent.Load() != sent {
			t.Error("still open with nobody there")
		}
	})
}

func TestWhoComesBackInTimeFindsTheCameraOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, cam := cheapRig(t)
		defer r.close()
		for range 10 {
			v := r.watch(JPEG, 0)
			next(t, v, 2*time.Second)
			v.Close()
			time.Sleep(3 * time.Second)
		}
		if opened := cam.opened.Load(); opened != 1 {
			t.Errorf("opened %d times", opened)
		}
	})
}

func TestWhoComesLateWaitsForTheEndOfTheOldUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memRig(t, bambu.CameraRTSP, simcam.Quirks{}, Options{}) // serves one, refuses others
		defer r.close()
		for range 20 {
			v := r.watch(H264, 0)
			if frame := next(t, v, 3*time.Second); !frame.Key {
				t.Fatal("does not begin with a key frame")
			}
			if n := r.Stop(serial); n != 1 {
				t.Fatalf("stopped %d", n)
			}
		}
	})
}

func TestStopEndsEveryStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, cam := cheapRig(t)
		defer r.close()
		if n := r.Stop(serial); n != 0 {
			t.Errorf("stopped %d of none", n)
		}
		a, b := r.watch(JPEG, 0), r.watch(JPEG, 1)
		next(t, a, 2*time.Second)
		if n := r.Stop(serial); n != 2 {
			t.Errorf("stopped %d", n)
		}
		for _, v := range []*Viewer{a, b} {
			if _, err := v.Next(t.Context()); !errors.Is(err, io.EOF) {
				t.Errorf("after Stop: %v", err)
			}
			v.Close()
		}
		time.Sleep(50 * time.Millisecond)
		if cam.open.Load() != 0 {
			t.Error("the camera stays open")
		}
		next(t, r.watch(JPEG, 0), 3*time.Second)
	})
}

func TestWhoComesBeforeRunIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		l, err := network.Listen("cam:1")
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Dial: network.Dialer("agent"), Log: slog.New(slog.DiscardHandler)}
		o.Target = func(string) (Target, error) { return targetAt(bambu.CameraJPEG, "cam:1"), nil }
		r := &rig{t: t, Relay: New(o), over: make(chan error, 1)}
		r.serve(bambu.CameraJPEG, simcam.Quirks{}, l)
		v := r.watch(JPEG, 0)
		var ctx context.Context
		ctx, r.cancel = context.WithCancel(context.Background())
		go func() { r.over <- r.Run(ctx) }()
		next(t, v, 2*time.Second)
		r.close()
	})
}

func TestTheEndOfRunEndsViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memRig(t, bambu.CameraJPEG, simcam.Quirks{Stall: true}, Options{})
		v := r.watch(JPEG, 0)
		time.Sleep(time.Second)
		r.close()
		if _, err := v.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
		v.Close()
		if _, err := r.Watch(t.Context(), serial, JPEG, 0); !farm.Is(err, farm.Unavailable) {
			t.Errorf("after the end: %v", err)
		}
		if _, err := r.Snapshot(t.Context(), serial); !farm.Is(err, farm.Unavailable) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestWhatCannotBeWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memRig(t, bambu.CameraJPEG, simcam.Quirks{}, Options{})
		defer r.close()
		check := func(s string, kind Kind, want farm.Code) {
			t.Helper()
			if _, err := r.Watch(t.Context(), s, kind, 0); farm.CodeOf(err) != want {
				t.Errorf("%s of %s: %v, want %s", kind, s, err, want)
			}
		}
		check("nobody", JPEG, farm.NotFound)
		check(serial, H264, farm.Unsupported)
		check(serial, "gif", farm.Invalid)
		r.target.Model, _ = bambu.ModelByCode("X1C")
		check(serial, JPEG, farm.FFmpegMissing)
		if _, err := r.Snapshot(t.Context(), serial); !farm.Is(err, farm.FFmpegMissing) {
			t.Errorf("snapshot: %v", err)
		}
		r.target.Model, _ = bambu.ModelByCode("N8")
		check(serial, JPEG, farm.Unsupported)
		r.target.Model = bambu.Model{}
		r.target.Serial = "999"
		check(serial, JPEG, farm.Unsupported)
	})
}

func TestTheProtocolOfAnUnknownModel(t *testing.T) {
	for _, tt := range []struct {
		serial, address string
		want            bambu.Camera
	}{
		{"999", "10.0.0.1:6000", bambu.CameraJPEG},
		{"999", "[fe80::1]:322", bambu.CameraRTSP},
		{"01P00A000000001", "10.0.0.1:40000", bambu.CameraJPEG},
		{"00M00A000000001", "10.0.0.1:40000", bambu.CameraRTSP},
		{"00M00A000000001", "10.0.0.1:6000", bambu.CameraJPEG},
	} {
		if got, err := (Target{Serial: tt.serial, Address: tt.address}).kind(); got != tt.want || err != nil {
			t.Errorf("%s at %s: %q %v", tt.serial, tt.address, got, err)
		}
	}
}

func TestASlowViewerGetsTheNewestPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := cheapRig(t)
		defer r.close()
		slow, quick := r.watch(JPEG, 0), r.watch(JPEG, 0)
		var newest Frame
		for range 20 {
			newest = next(t, quick, 2*time.Second)
		}
		if frame := next(t, slow, time.Second); !frame.At.Equal(newest.At) {
			t.Errorf("a picture of %v ago", newest.At.Sub(frame.At))
		}
	})
}

func TestAViewerGetsAsManyPicturesAsItWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := cheapRig(t)
		defer r.close()
		for fps, want := range map[float64]int{1: 30, 2: 60, 10: 60, 0.2: 6} { // of a camera with two a second
			v := r.watch(JPEG, fps)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			got := 0
			for {
				if _, err := v.Next(ctx); err != nil {
					break
				}
				got++
			}
			cancel()
			v.Close()
			if got < want-2 || got > want+2 {
				t.Errorf("%v a second: %d in 30 s", fps, got)
			}
		}
	})
}

func TestSnapshotsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, cam := cheapRig(t)
		defer r.close()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				data, err := r.Snapshot(t.Context(), serial)
				if err != nil || !isJPEG(data) {
					t.Errorf("%d bytes, %v", len(data), err)
				}
			})
		}
		wg.Wait()
		begin := time.Now()
		if _, err := r.Snapshot(t.Context(), serial); err != nil || time.Since(begin) > 0 {
			t.Errorf("a fresh picture took %v: %v", time.Since(begin), err)
		}
		if opened := cam.opened.Load(); opened != 1 {
			t.Errorf("opened %d times", opened)
		}
		if n := r.Stop(serial); n != 0 {
			t.Errorf("a snapshot counts as %d viewers", n)
		}
	})
}

func TestASnapshotDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memRig(t, bambu.CameraJPEG, simcam.Quirks{Stall: true}, Options{})
		defer r.close()
		begin := time.Now()
		_, err := r.Snapshot(t.Context(), serial)
		if took := time.Since(begin); !farm.Is(err, farm.PrinterNotConnected) || took != snapshotTime {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Snapshot(ctx, serial); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller's own limit: %v", err)
		}
	})
}

func TestReasonsAreForPeople(t *testing.T) {
	tests := map[string]struct {
		kind   bambu.Camera
		quirks simcam.Quirks
		change func(*rig)
		off    bool
		want   string
	}{
		"pictures, wrong code":  {kind: bambu.CameraJPEG, change: func(r *rig) { r.target.AccessCode = "wrong" }, want: "access code is wrong"},
		"video, wrong code":     {kind: bambu.CameraRTSP, change: func(r *rig) { r.target.AccessCode = "wrong" }, want: "refuses the access code"},
		"video, live view off":  {kind: bambu.CameraRTSP, quirks: simcam.Quirks{Off: true}, want: "switch on LAN live view"},
		"video, reported off":   {kind: bambu.CameraRTSP, quirks: simcam.Quirks{Off: true}, off: true, want: "reports that its live view is off"},
		"nobody there":          {kind: bambu.CameraJPEG, change: func(r *rig) { r.target.Address = "cam:2" }, want: "cannot be reached"},
		"another's certificate": {kind: bambu.CameraJPEG, change: func(r *rig) { r.target.TLS = foreign(r) }, want: "not this printer's: certificate is of another"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := memRig(t, tt.kind, tt.quirks, Options{LiveViewOff: func(string) bool { return tt.off }})
				defer r.close()
				if tt.change != nil {
					tt.change(r)
				}
				kind := map[bambu.Camera]Kind{bambu.CameraJPEG: JPEG, bambu.CameraRTSP: H264}[tt.kind]
				begin := time.Now()
				reason := wantEnd(t, r.watch(kind, 0), farm.PrinterNotConnected)
				if !strings.Contains(reason, tt.want) {
					t.Errorf("%q does not tell %q", reason, tt.want)
				}
				if took := time.Since(begin); took > 3*time.Second {
					t.Errorf("known only after %v", took)
				}
				if strings.Contains(reason, code.Reveal()) {
					t.Error("the access code is in the error")
				}
			})
		})
	}
}
