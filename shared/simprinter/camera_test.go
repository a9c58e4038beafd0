package simprinter

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/memnet"
	"bambuddy/shared/simprinter/simcam"
)

// lens connects to a printer's camera, the certificate checked.
func lens(t *testing.T, p *Printer, dial dialer) (*tls.Conn, error) {
	t.Helper()
	s := p.Spec()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := dial(ctx, "tcp", net.JoinHostPort(s.Address, fmt.Sprint(s.CameraPort)))
	if err != nil {
		return nil, err
	}
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error { // verified below
		if cn := cs.PeerCertificates[0].Subject.CommonName; cn != s.Serial || cs.Version != tls.VersionTLS12 {
			return fmt.Errorf("certificate of %q, TLS %x", cn, cs.Version)
		}
		return nil
	}})
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return tc, nil
}

// look logs in at a JPEG camera and takes a picture.
func look(c net.Conn, code string) error {
	b := make([]byte, 80)
	b[0], b[5] = 0x40, 0x30
	copy(b[16:], "bblp")
	copy(b[48:], code)
	if _, err := c.Write(b); err != nil {
		return err
	}
	return picture(c)
}

func picture(c net.Conn) error {
	var head [16]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	r := io.LimitReader(c, int64(binary.LittleEndian.Uint32(head[:])))
	if _, err := jpeg.Decode(r); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, r)
	return err
}

// A printer's camera knows its access code and its certificate, and shares its
// power, its cable and its faults.
func TestCamera(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		s, err := Specs(1, []string{"P1S"}, "p", 8883)
		if err != nil {
			t.Fatal(err)
		}
		p := live(t, s, Options{Listen: network.Listen}).Printers()[0]
		dial := network.Dialer("viewer")
		see := func(code string) error {
			t.Helper()
			c, err := lens(t, p, dial)
			if err != nil {
				return err
			}
			defer func() { _ = c.Close(); synctest.Wait() }()
			return look(c, code)
		}
		right := p.Spec().AccessCode
		if err := see(right); err != nil {
			t.Fatal(err)
		}
		if err := see("wrong"); !errors.Is(err, io.EOF) {
			t.Errorf("wrong code: %v", err)
		}
		for _, kind := range []string{wrongCode, cameraOff, cameraMissing, cameraNotJPEG, cameraDrop, powerCut, networkLoss} {
			if err := p.Fault(kind, time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := see(right); err == nil {
				t.Errorf("%s: a picture", kind)
			}
			if err := p.Fault(kind, -1); err != nil {
				t.Fatal(err)
			}
			if err := see(right); err != nil {
				t.Errorf("after %s: %v", kind, err)
			}
		}
		if err := p.Fault(cameraFarKeys, 0); err == nil || len(p.State().Faults) > 0 {
			t.Errorf("a fault of other cameras: %v %v", err, p.State().Faults)
		}
		c, err := lens(t, p, dial)
		if err != nil || look(c, right) != nil {
			t.Fatal(err)
		}
		if err := p.Fault(cameraOff, time.Second); err != nil {
			t.Fatal(err)
		}
		if err := picture(c); err == nil {
			t.Error("off, but the picture goes on")
		}
		_ = c.Close()
		time.Sleep(3 * time.Second)
		if err := see(right); err != nil {
			t.Errorf("the fault does not end: %v", err)
		}
		if got := p.CameraStats(); got.Viewers != 0 || got.Opened < 9 {
			t.Errorf("%+v", got)
		}
	})
}

// The report tells where the camera is, and when it is not.
func TestCameraReport(t *testing.T) {
	p := one(t, "H2D", Options{})
	e := listen(t, p, overTCP)
	at := fmt.Sprintf("rtsps://127.0.0.1:%d/streaming/live/1", p.Spec().CameraPort)
	says := func(dev, url any) {
		t.Helper()
		e.until(10*time.Second, fmt.Sprint("camera ", dev, " ", url), func(frame []byte) bool {
			c, ok := report(t, frame)["ipcam"].(map[string]any)
			return ok && c["ipcam_dev"] == dev && c["rtsp_url"] == url
		})
	}
	says("1", at)
	for kind, dev := range map[string]string{cameraOff: "1", cameraMissing: "0"} {
		if err := p.Fault(kind, 0); err != nil {
			t.Fatal(err)
		}
		says(dev, "disable")
		if err := p.Fault(kind, -1); err != nil {
			t.Fatal(err)
		}
		says("1", at)
	}
	c, err := lens(t, p, overTCP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "RTSP/1.0 200") {
		t.Errorf("%q %v", line, err)
	}
}

// Every fault of a camera can be had by one, and told apart by its name.
func TestCameraFaults(t *testing.T) {
	f := live(t, specs(t, 2, "A1", "X1C"), Options{})
	for kind, c := range cameraQuirks {
		had := 0
		for _, p := range f.Printers() {
			if p.Fault(kind, 0) == nil {
				had++
				if p.camera.Quirks() == (simcam.Quirks{}) {
					t.Errorf("%s does nothing", kind)
				}
				if err := p.Fault(kind, -1); err != nil || p.camera.Quirks() != (simcam.Quirks{}) {
					t.Errorf("%s does not end: %v", kind, err)
				}
			}
		}
		if want := map[bool]int{true: 2, false: 1}[c.kind == ""]; had != want {
			t.Errorf("%s: %d printers", kind, had)
		}
	}
}
