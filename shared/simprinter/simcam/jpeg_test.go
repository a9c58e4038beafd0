package simcam

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/jpeg"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// What a JPEG camera sends is what readers of real ones expect, at its pace.
func TestPictures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bambu.CameraJPEG, Quirks{})
		defer r.stop()
		c := r.watch(code)
		begun := time.Now()
		var first []byte
		for i := range 3 {
			head, b, err := picture(c)
			if err != nil {
				t.Fatal(err)
			}
			if binary.LittleEndian.Uint32(head[4:]) != 0 || binary.LittleEndian.Uint32(head[8:]) != 1 || binary.LittleEndian.Uint32(head[12:]) != 0 {
				t.Errorf("head %x", head)
			}
			if !bytes.HasPrefix(b, []byte{0xFF, 0xD8, 0xFF, 0xE0}) || !bytes.HasSuffix(b, []byte{0xFF, 0xD9}) {
				t.Errorf("picture %x … %x", b[:8], b[len(b)-4:])
			}
			if !bytes.Contains(b, []byte{0xFF, 0xC0, 0, 17, 8}) || bytes.Contains(b, []byte{0xFF, 0xC2, 0, 17, 8}) {
				t.Error("not a baseline picture")
			}
			m, err := jpeg.Decode(bytes.NewReader(b))
			if err != nil || m.Bounds().Dx() != Width || m.Bounds().Dy() != Height {
				t.Fatalf("%v", err)
			}
			if i == 0 {
				first = b
			}
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("three pictures took %s", took)
		}
		if file := os.Getenv("SIMCAM_PICTURE"); file != "" { // to be looked at
			if err := os.WriteFile(file, first, 0o600); err != nil {
				t.Error(err)
			}
		}
		if s := r.camera.Stats(); s.Viewers != 1 || s.Opened != 1 || s.Sent != 3 {
			t.Errorf("%+v", s)
		}
		_ = c.Close()
		synctest.Wait()
		if s := r.camera.Stats(); s.Viewers != 0 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute)
		if s := r.camera.Stats(); s.Sent != 3 {
			t.Errorf("nobody watches, but it sent %d", s.Sent)
		}
	})
}

// A login that is not right gets a handshake, and then nothing but the end.
func TestRefusedLogins(t *testing.T) {
	other := func(at int, b byte) []byte {
		l := login(code)
		l[at] = b
		return l
	}
	for name, l := range map[string][]byte{
		"code": login("87654321"), "no code": login(""), "longer code": login(code + "9"), "user": other(16, 'x'), "type": other(5, 0x31), "length": other(0, 0x41),
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, bambu.CameraJPEG, Quirks{})
			defer r.stop()
			c := r.dial()
			if _, err := c.Write(l); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("%s: %d %v", name, n, err)
			}
			_ = c.Close()
		})
	}
	synctest.Test(t, func(t *testing.T) { // nor does it wait forever
		r := newRig(t, bambu.CameraJPEG, Quirks{})
		defer r.stop()
		c, begun := r.dial(), time.Now()
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(begun) != patience {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		_ = c.Close()
	})
}

// One viewer at a time: the second is refused, or takes its place, or both watch.
func TestOneViewer(t *testing.T) {
	for name, c := range map[string]struct {
		quirks        Quirks
		first, second bool // go on
	}{
		"refused": {Quirks{}, true, false},
		"kick":    {Quirks{Kick: true}, false, true},
		"many":    {Quirks{Many: true}, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, bambu.CameraJPEG, c.quirks)
			defer r.stop()
			first := r.watch(code)
			if _, _, err := picture(first); err != nil {
				t.Fatal(err)
			}
			second := r.watch(code)
			if _, _, err := picture(second); (err == nil) != c.second {
				t.Errorf("%s: second %v", name, err)
			}
			if _, _, err := picture(first); (err == nil) != c.first {
				t.Errorf("%s: first %v", name, err)
			}
			_, _ = first.Close(), second.Close()
		})
	}
}

// Each quirk does what it says, and taking it away helps.
func TestJPEGQuirks(t *testing.T) {
	for name, c := range map[string]struct {
		quirks Quirks
		fits   func(b []byte, err error) bool
		breaks bool // the stream is of no use after it
	}{
		"truncated": {Quirks{Truncated: true}, func(b []byte, err error) bool {
			_, broken := jpeg.Decode(bytes.NewReader(b))
			return err == nil && len(b) > 1000 && broken != nil
		}, false},
		"not jpeg": {Quirks{NotJPEG: true}, func(b []byte, err error) bool {
			return err == nil && len(b) > 1000 && !bytes.HasPrefix(b, []byte{0xFF, 0xD8})
		}, false},
		"overlong": {Quirks{Overlong: true}, func(b []byte, err error) bool { return len(b) == 1<<20 }, true},
		"drop":     {Quirks{Drop: true}, func(b []byte, err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }, true},
		"stall": {Quirks{Stall: true}, func(b []byte, err error) bool {
			var late net.Error
			return errors.As(err, &late) && late.Timeout()
		}, true}, // a TLS connection does not survive a deadline
		"off": {Quirks{Off: true}, func(b []byte, err error) bool { return err != nil && b == nil }, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, bambu.CameraJPEG, c.quirks)
			defer r.stop()
			raw := r.dial()
			defer func() { _ = raw.Close() }()
			_, _ = raw.Write(login(code)) // fails when it is off
			_ = raw.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, b, err := picture(raw); !c.fits(b, err) {
				t.Errorf("%s: %d bytes, %v", name, len(b), err)
			}
			r.camera.Tune(Quirks{})
			if c.breaks {
				_ = raw.Close()
				synctest.Wait()
				raw = r.watch(code)
			}
			_, b, err := picture(raw)
			if _, broken := jpeg.Decode(bytes.NewReader(b)); err != nil || broken != nil {
				t.Errorf("%s: afterwards %v %v", name, err, broken)
			}
			_ = raw.Close()
		})
	}
}

// Off and Drop end what is open.
func TestOffAndDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bambu.CameraJPEG, Quirks{})
		defer r.stop()
		for _, end := range []func(){func() { r.camera.Tune(Quirks{Off: true}) }, r.camera.Drop} {
			r.camera.Tune(Quirks{})
			c := r.watch(code)
			if _, _, err := picture(c); err != nil {
				t.Fatal(err)
			}
			end()
			if _, _, err := picture(c); err == nil {
				t.Error("it goes on")
			}
			_ = c.Close()
			synctest.Wait()
		}
	})
}

func BenchmarkPicture(b *testing.B) {
	p := newPainter()
	for b.Loop() {
		out, err := p.paint(Scene{Serial: "01P00A000000001", Name: "P1S 1", State: "RUNNING", Percent: 42})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(out)))
	}
}
