package camera

import (
	"bytes"
	"errors"
	"image/jpeg"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/simprinter/simcam"
)

func ffmpegPath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed:", err)
	}
	return path
}

// loopbackRig is a rig over loopback with a simulated RTSPS camera; processes
// cannot be waited for in a bubble.
func loopbackRig(t *testing.T, ffmpeg string, q simcam.Quirks) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	r := newRig(t, bambu.CameraRTSP, l.Addr().String(), Options{Dial: d.DialContext, FFmpeg: ffmpeg})
	r.serve(bambu.CameraRTSP, q, l)
	return r
}

func wantPicture(t *testing.T, data []byte) {
	t.Helper()
	if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
		t.Errorf("%d bytes: %v", len(data), err)
	}
}

func TestSnapshotOfVideo(t *testing.T) {
	r := loopbackRig(t, ffmpegPath(t), simcam.Quirks{FarKeys: true})
	defer r.close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			data, err := r.Snapshot(t.Context(), serial)
			if err != nil {
				t.Error(err)
				return
			}
			wantPicture(t, data)
		})
	}
	wg.Wait()
	v := r.watch(H264, 0)
	begin := time.Now()
	for time.Since(begin) < 1500*time.Millisecond { // the key frame is of the past now
		next(t, v, time.Second)
	}
	second := time.Now()
	data, err := r.Snapshot(t.Context(), serial)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("a still in the middle of a group took", time.Since(second))
	wantPicture(t, data)
	if opened := r.cam.Stats().Opened; opened != 1 {
		t.Errorf("opened %d times", opened)
	}
}

func TestPicturesOfVideo(t *testing.T) {
	r := loopbackRig(t, ffmpegPath(t), simcam.Quirks{})
	defer r.close()
	opened := time.Now()
	slow, quick := r.watch(JPEG, 1), r.watch(JPEG, 5)
	first := next(t, quick, 5*time.Second)
	t.Log("first picture after", time.Since(opened))
	wantPicture(t, first.Data)
	next(t, slow, 5*time.Second)
	begin, got := time.Now(), 0
	for time.Since(begin) < 3*time.Second {
		next(t, quick, 2*time.Second)
		got++
	}
	if got > 18 { // a busy machine may make fewer
		t.Errorf("%d pictures in 3 s, want 15", got)
	}
	if _, err := r.Snapshot(t.Context(), serial); err != nil {
		t.Errorf("a snapshot beside: %v", err)
	}
	if n := r.Stop(serial); n != 2 {
		t.Errorf("stopped %d", n)
	}
}

// fakeFFmpeg is a script in place of ffmpeg; each run adds its process id to a
// file.
func fakeFFmpeg(t *testing.T, script string) (path string, pids func() []int) {
	t.Helper()
	if _, err := exec.LookPath("/bin/sh"); err != nil {
		t.Skip("no shell:", err)
	}
	path, list := filepath.Join(t.TempDir(), "ffmpeg"), filepath.Join(t.TempDir(), "pids")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho $$ >> "+list+"\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, func() []int {
		text, _ := os.ReadFile(list) // may not be there yet
		var all []int
		for field := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, pid)
		}
		return all
	}
}

func TestAnFFmpegThatOnlyFails(t *testing.T) {
	path, pids := fakeFFmpeg(t, "echo 'it cannot be done' >&2; exit 1")
	r := loopbackRig(t, path, simcam.Quirks{})
	defer r.close()
	video, pictures := r.watch(H264, 0), r.watch(JPEG, 0)
	wantEnd(t, pictures, farm.Unavailable)
	next(t, video, 2*time.Second)
	if n := len(pids()); n != maxFailures {
		t.Errorf("tried %d times", n)
	}
	if _, err := r.Snapshot(t.Context(), serial); !farm.Is(err, farm.Unavailable) || !strings.Contains(err.Error(), "it cannot be done") {
		t.Errorf("snapshot: %v", err)
	}
}

// TestNoProcessIsLeft has an ffmpeg that neither reads nor writes nor listens.
func TestNoProcessIsLeft(t *testing.T) {
	path, pids := fakeFFmpeg(t, "trap '' TERM INT HUP PIPE; while :; do read x < /dev/zero; done")
	r := loopbackRig(t, path, simcam.Quirks{})
	defer r.close()
	v, video := r.watch(JPEG, 0), r.watch(H264, 0)
	for len(pids()) == 0 {
		next(t, video, 5*time.Second)
	}
	begin := time.Now()
	v.Close() // the decoder ends with the last who wants pictures, the camera stays
	for alive(t, pids()) {
		next(t, video, 5*time.Second)
		if time.Since(begin) > 10*time.Second {
			t.Fatal("still running")
		}
	}
	v = r.watch(JPEG, 0)
	for len(pids()) == 1 {
		next(t, video, 5*time.Second)
	}
	begin = time.Now()
	r.cancel()
	if err := <-r.over; err != nil {
		t.Error(err)
	}
	r.over <- nil
	if took := time.Since(begin); took > killDelay+time.Second || alive(t, pids()) {
		t.Errorf("ended after %v, alive %v", took, alive(t, pids()))
	}
	if _, err := v.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// alive tells whether one of the processes is there.
func alive(t *testing.T, pids []int) bool {
	t.Helper()
	for _, pid := range pids {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if errors.Is(err, os.ErrNotExist) {
			if _, err := os.Stat("/proc/self"); err != nil {
				t.Skip("no /proc:", err)
			}
			continue
		}
		if err != nil || !bytes.Contains(stat, []byte(") Z ")) {
			return true
		}
	}
	return false
}
