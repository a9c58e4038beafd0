package simcam

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// A client that knows the code sees the video: every frame whole and in order,
// from a key frame on, at its pace.
func TestVideo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bambu.CameraRTSP, Quirks{})
		defer r.stop()
		p := r.player()
		defer func() { _ = p.conn.Close() }()
		if status, header, _ := p.ask("OPTIONS", Path, ""); status != statusOK || !strings.Contains(header["public"], "DESCRIBE") {
			t.Error(status, header)
		}
		p.play()
		var last uint16
		var first uint32
		begun, film := time.Now(), near()
		for i := range 2 * len(film.frames) {
			u, err := p.unit(&last)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = u.time
			}
			want := film.frames[i%len(film.frames)].units
			if u.lost || u.time-first != uint32(i*clockRate/rate) || !slices.EqualFunc(u.units, want, bytes.Equal) {
				t.Fatalf("frame %d: %d units for %d, lost %t, time %d", i, len(u.units), len(want), u.lost, u.time-first)
			}
			if i%rate == 0 {
				p.reportBack()
			}
		}
		if took := time.Since(begun); took != time.Duration(2*len(film.frames)-1)*time.Second/rate {
			t.Errorf("it took %s", took)
		}
		if status, _, _ := p.ask("GET_PARAMETER", Path, code); status != statusOK {
			t.Error(status)
		}
		if status, _, _ := p.ask("TEARDOWN", Path, code); status != statusOK {
			t.Error(status)
		}
		if _, err := p.r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
		synctest.Wait()
		if s := r.camera.Stats(); s.Viewers != 0 || s.Opened != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// What a client may not do has its answer.
func TestRefusedRequests(t *testing.T) {
	tcp := "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
	for name, c := range map[string]struct {
		method, path, code string
		headers            []string
		want               string
	}{
		"wrong code":      {"DESCRIBE", Path, "87654321", nil, statusAuth},
		"no proof":        {"SETUP", Path + track, "", []string{tcp}, statusAuth},
		"other path":      {"DESCRIBE", "/streaming/live/2", code, nil, statusNotFound},
		"other track":     {"SETUP", Path + "/track2", code, []string{tcp}, statusNotFound},
		"udp":             {"SETUP", Path + track, code, []string{"Transport: RTP/AVP;unicast;client_port=5000-5001"}, statusUnsupported},
		"play at once":    {"PLAY", Path, code, nil, statusNoSession},
		"foreign session": {"TEARDOWN", Path, code, []string{"Session: 12345678"}, statusNoSession},
		"announce":        {"ANNOUNCE", Path, code, nil, statusMethod},
		"with a body":     {"GET_PARAMETER", Path, code, []string{"Content-Length: 0"}, statusOK},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, bambu.CameraRTSP, Quirks{})
			defer r.stop()
			p := r.player()
			defer func() { _ = p.conn.Close() }()
			p.ask("DESCRIBE", Path, "")
			if status, _, _ := p.ask(c.method, c.path, c.code, c.headers...); status != c.want {
				t.Errorf("%s: %s", name, status)
			}
		})
	}
}

// What is no request ends the connection.
func TestGarbage(t *testing.T) {
	for name, text := range map[string]string{
		"http":       "GET / HTTP/1.1\r\n\r\n",
		"no header":  "OPTIONS * RTSP/1.0\r\nhello\r\n\r\n",
		"long line":  "OPTIONS " + strings.Repeat("x", maxLine) + " RTSP/1.0\r\n\r\n",
		"many":       "OPTIONS * RTSP/1.0\r\n" + strings.Repeat("a: b\r\n", maxHeaders) + "\r\n",
		"large body": "OPTIONS * RTSP/1.0\r\nContent-Length: 999999999\r\n\r\n",
		"no number":  "OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, bambu.CameraRTSP, Quirks{})
			defer r.stop()
			p := r.player()
			defer func() { _ = p.conn.Close() }()
			if _, err := io.WriteString(p.conn, text); err != nil {
				t.Fatal(err)
			}
			if b, err := p.r.ReadByte(); err == nil {
				t.Errorf("%s: answered %q", name, b)
			}
		})
	}
}

// A client that sends no receiver reports, as ffmpeg over TCP, sees the video all
// the same; unless the camera needs them: then the picture stands still after ten
// seconds, and goes on with the next report.
func TestReceiverReports(t *testing.T) {
	for _, needed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, bambu.CameraRTSP, Quirks{NeedsReports: needed})
			defer r.stop()
			p := r.player()
			defer func() { _ = p.conn.Close() }()
			p.play()
			done := make(chan struct{})
			go func() {
				defer close(done)
				var last uint16
				for {
					if _, err := p.unit(&last); err != nil {
						return
					}
				}
			}()
			time.Sleep(time.Minute)
			synctest.Wait()
			want := int64(60*rate + 1)
			if needed {
				want = 10 * rate
			}
			if s := r.camera.Stats(); s.Sent != want {
				t.Errorf("needed %t: %d frames in a minute", needed, s.Sent)
			}
			p.reportBack()
			time.Sleep(time.Second)
			synctest.Wait()
			if s := r.camera.Stats(); s.Sent != want+rate {
				t.Errorf("needed %t: %d frames after a report", needed, s.Sent-want)
			}
			_ = p.conn.Close()
			<-done
		})
	}
}

// The sender reports tell what was sent.
func TestSenderReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bambu.CameraRTSP, Quirks{})
		defer r.stop()
		p := r.player()
		defer func() { _ = p.conn.Close() }()
		p.play()
		begun := time.Now()
		var at []time.Duration
		for len(at) < 2 {
			channel, b, err := p.packet()
			if err != nil {
				t.Fatal(err)
			}
			if channel == channelRTCP {
				at = append(at, time.Since(begun))
				if len(b) != 44 || b[0] != 0x80 || b[1] != 200 || b[29] != 202 {
					t.Errorf("report %x", b)
				}
			}
		}
		if at[0] != 0 || at[1] != reportEvery {
			t.Errorf("at %v", at)
		}
	})
}

// Each quirk of the video does what it says.
func TestVideoQuirks(t *testing.T) {
	key := func(u received) bool {
		return slices.ContainsFunc(u.units, func(b []byte) bool { return kind(b) == unitKey })
	}
	watch := func(t *testing.T, q Quirks, n int) (all []received, camera *Server, stop func()) {
		t.Helper()
		r := newRig(t, bambu.CameraRTSP, q)
		p := r.player()
		p.play()
		var last uint16
		for range n {
			u, err := p.unit(&last)
			if err != nil {
				break
			}
			all = append(all, u)
			if len(all)%rate == 0 {
				p.reportBack()
			}
		}
		return all, r.camera, func() { _ = p.conn.Close(); r.stop() }
	}
	for name, c := range map[string]struct {
		quirks Quirks
		fits   func(all []received) bool
	}{
		"far keys": {Quirks{FarKeys: true}, func(all []received) bool {
			return len(all) == 300 && key(all[0]) && !slices.ContainsFunc(all[1:250], key) && key(all[250])
		}},
		"mid group":      {Quirks{MidGroup: true}, func(all []received) bool { return !key(all[0]) && key(all[rate-rate/2]) }},
		"far, mid group": {Quirks{FarKeys: true, MidGroup: true}, func(all []received) bool { return !slices.ContainsFunc(all[:125], key) && key(all[125]) }},
		"stuck time":     {Quirks{StuckTime: true}, func(all []received) bool { return len(all) == 300 && all[0].time == all[299].time }},
		"lossy":          {Quirks{Lossy: true}, func(all []received) bool { return slices.ContainsFunc(all, func(u received) bool { return u.lost }) }},
		"drop":           {Quirks{Drop: true}, func(all []received) bool { return len(all) == 0 }},
	} {
		synctest.Test(t, func(t *testing.T) {
			all, _, stop := watch(t, c.quirks, 300)
			defer stop()
			if !c.fits(all) {
				t.Errorf("%s: %d frames", name, len(all))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		_, camera, stop := watch(t, Quirks{Stall: true}, 0)
		defer stop()
		time.Sleep(5 * time.Second)
		if s := camera.Stats(); s.Sent != 0 || s.Viewers != 1 {
			t.Errorf("stalled: %+v", s)
		}
	})
}

// A second viewer hears that there is no room for it.
func TestOneVideo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bambu.CameraRTSP, Quirks{})
		defer r.stop()
		first, second := r.player(), r.player()
		defer func() { _, _ = first.conn.Close(), second.conn.Close() }()
		first.play()
		second.ask("DESCRIBE", Path, "")
		if status, _, _ := second.ask("SETUP", Path+track, code, "Transport: RTP/AVP/TCP;interleaved=2-3"); status != statusBusy {
			t.Error(status)
		}
		r.camera.Tune(Quirks{Kick: true})
		second.play()
		for {
			if _, _, err := first.packet(); err != nil {
				break
			}
		}
	})
}

// The clips in the program are whole.
func TestClips(t *testing.T) {
	for name, c := range map[string]struct {
		clip   clip
		frames int
		keys   int
	}{"near": {near(), 100, 4}, "far": {far(), 250, 1}} {
		keys := 0
		for _, f := range c.clip.frames {
			if slices.ContainsFunc(f.units, func(u []byte) bool { return kind(u) == unitKey }) {
				keys++
			}
		}
		if len(c.clip.frames) != c.frames || keys != c.keys || kind(c.clip.sps) != unitSPS || kind(c.clip.pps) != unitPPS {
			t.Errorf("%s: %d frames, %d keys", name, len(c.clip.frames), keys)
		}
	}
	size := 0
	for _, name := range []string{"clips/near.h264", "clips/far.h264"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += int(info.Size())
	}
	if size > 150<<10 {
		t.Error(fmt.Sprint(size), "bytes of clips")
	}
}
