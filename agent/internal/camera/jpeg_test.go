package camera

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"image/jpeg"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/simprinter/simcam"
)

// foreign is a TLS template that never accepts.
func foreign(r *rig) *tls.Config {
	cfg := r.target.TLS.Clone()
	cfg.VerifyConnection = func(tls.ConnectionState) error { return errors.New("certificate is of another") }
	return cfg
}

var good = []byte{0xff, 0xd8, 0xff, 0xe0, 1, 2, 3, 0xff, 0xd9}

// pack puts the head of a picture before data.
func pack(size int, data []byte) []byte {
	head := make([]byte, headSize)
	binary.LittleEndian.PutUint32(head, uint32(size))
	binary.LittleEndian.PutUint32(head[8:], 1)
	return append(head, data...)
}

func TestLogin(t *testing.T) {
	got := login(Target{AccessCode: code})
	want := append([]byte("\x40\x00\x00\x00\x00\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00bblp"), make([]byte, 60)...)
	copy(want[48:], code.Reveal())
	if !bytes.Equal(got, want) {
		t.Errorf("% x", got)
	}
	if got := login(Target{AccessCode: farm.Secret(bytes.Repeat([]byte("x"), 99))}); len(got) != loginSize {
		t.Errorf("%d bytes", len(got))
	}
}

// TestBadPictures has what a camera may send between two good pictures.
func TestBadPictures(t *testing.T) {
	tests := map[string]struct {
		bad       []byte
		reconnect bool
	}{
		"nothing":          {bad: pack(0, nil)},
		"no picture":       {bad: pack(5, []byte("hello"))},
		"half a picture":   {bad: pack(5, good[:5])},
		"padded":           {bad: nil},
		"too long":         {bad: pack(maxPicture+1, nil), reconnect: true},
		"absurdly long":    {bad: pack(0xfffffff0, nil), reconnect: true},
		"an end in a head": {bad: []byte{1, 2, 3}, reconnect: true},
		"an end in data":   {bad: pack(1<<20, good), reconnect: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				r := fakeRig(t, bambu.CameraJPEG, func(n int, c net.Conn) {
					calls = n
					_, _ = io.ReadFull(c, make([]byte, loginSize))
					time.Sleep(100 * time.Millisecond) // else the picture before has not been seen
					_, _ = c.Write(pack(len(good), good))
					if n > 1 {
						_, _ = io.Copy(io.Discard, c)
						return
					}
					time.Sleep(100 * time.Millisecond)
					_, _ = c.Write(tt.bad)
					if tt.reconnect {
						return
					}
					padded := append(bytes.Clone(good), 0, 0)
					_, _ = c.Write(pack(len(padded), padded))
					_, _ = io.Copy(io.Discard, c)
				})
				defer r.close()
				v := r.watch(JPEG, 0)
				next(t, v, time.Second)
				frame := next(t, v, 5*time.Second)
				if !isJPEG(frame.Data) {
					t.Errorf("% x", frame.Data)
				}
				if want := map[bool]int{false: 1, true: 2}[tt.reconnect]; calls != want {
					t.Errorf("%d connections, want %d", calls, want)
				}
			})
		})
	}
}

func TestACameraThatSendsNoPicturesIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fakeRig(t, bambu.CameraJPEG, func(_ int, c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, loginSize))
			for {
				if _, err := c.Write(pack(5, []byte("hello"))); err != nil {
					return
				}
			}
		})
		defer r.close()
		begin := time.Now()
		wantEnd(t, r.watch(JPEG, 0), farm.PrinterNotConnected)
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestAStallReconnects(t *testing.T) {
	for name, dribble := range map[string]bool{"silent": false, "byte by byte": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := fakeRig(t, bambu.CameraJPEG, func(n int, c net.Conn) {
					_, _ = io.ReadFull(c, make([]byte, loginSize))
					_, _ = c.Write(pack(len(good), good))
					for dribble && n == 1 {
						if _, err := c.Write([]byte{200}); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
					_, _ = io.Copy(io.Discard, c)
				})
				defer r.close()
				v := r.watch(JPEG, 0)
				first := next(t, v, time.Second)
				second := next(t, v, time.Minute)
				if gap := second.At.Sub(first.At); gap < stall || gap > stall+3*time.Second {
					t.Errorf("reconnected after %v", gap)
				}
			})
		})
	}
}

func TestACameraThatVanishesIsWaitedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, cam := cheapRig(t)
		defer r.close()
		v := r.watch(JPEG, 0)
		next(t, v, 2*time.Second)
		cam.off.Store(true)
		time.Sleep(30 * time.Second)
		cam.off.Store(false)
		_, _, _ = v.take()
		next(t, v, 10*time.Second) // back
		cam.off.Store(true)
		begin := time.Now()
		wantEnd(t, v, farm.PrinterNotConnected)
		if took := time.Since(begin); took < patient-time.Second || took > patient+10*time.Second {
			t.Errorf("given up after %v", took)
		}
	})
}

// TestSimulatedPrinter has a whole picture from the simulator.
func TestSimulatedPrinter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memRig(t, bambu.CameraJPEG, simcam.Quirks{}, Options{})
		defer r.close()
		picture, err := r.Snapshot(t.Context(), serial)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := jpeg.DecodeConfig(bytes.NewReader(picture)); err != nil || c.Width != simcam.Width || c.Height != simcam.Height {
			t.Errorf("%+v %v", c, err)
		}
		for name, q := range map[string]simcam.Quirks{
			"truncated": {Truncated: true}, "over-long": {Overlong: true}, "no picture": {NotJPEG: true}, "drop": {Drop: true},
		} {
			v := r.watch(JPEG, 0)
			next(t, v, 5*time.Second)
			r.cam.Tune(q)
			time.Sleep(3 * time.Second)
			r.cam.Tune(simcam.Quirks{})
			_, _, _ = v.take()
			if frame := next(t, v, 30*time.Second); time.Since(frame.At) > time.Second {
				t.Errorf("%s: an old picture", name)
			}
			v.Close()
		}
	})
}

// TestAFloodIsSlowedDown has a camera that sends valid pictures as fast as it can.
func TestAFloodIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fakeRig(t, bambu.CameraJPEG, func(_ int, c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, loginSize))
			for {
				if _, err := c.Write(pack(len(good), good)); err != nil {
					return
				}
			}
		})
		defer r.close()
		v := r.watch(JPEG, 0)
		begin, got := time.Now(), 0
		for time.Since(begin) < 10*time.Second {
			next(t, v, time.Second)
			got++
		}
		if limit := 11 * pace / frameCost; got > limit {
			t.Errorf("%d pictures in 10 s, more than %d", got, limit)
		}
	})
}

func TestRoomIsMadeForWhatComes(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readBounded(bytes.NewReader(good), maxPicture); err == nil {
		t.Error("nine bytes are not ten million")
	}
	runtime.ReadMemStats(&after)
	if room := after.TotalAlloc - before.TotalAlloc; room > 1<<20 {
		t.Errorf("%d bytes of room for nine bytes", room)
	}
}
