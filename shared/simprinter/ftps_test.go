package simprinter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jlaffaye/ftp"

	"bambuddy/shared/bambu"
)

// fileTLS is TLS as a client of the file server needs it.
func fileTLS(s Spec) *tls.Config {
	return &tls.Config{
		ServerName: s.Serial, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(4),
		InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error { // checked here
			if name := cs.PeerCertificates[0].Subject.CommonName; name != s.Serial {
				return fmt.Errorf("certificate of %q", name)
			}
			return nil
		},
	}
}

// filer logs in to a printer's file server at the loopback.
func filer(t *testing.T, p *Printer, code string) (*ftp.ServerConn, error) {
	t.Helper()
	s := p.Spec()
	c, err := ftp.Dial(fmt.Sprintf("%s:%d", s.Address, s.FTPSPort), ftp.DialWithTLS(fileTLS(s)), ftp.DialWithTimeout(10*time.Second), ftp.DialWithShutTimeout(10*time.Second))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Quit() })
	return c, c.Login("bblp", code)
}

func codeOf(err error) int {
	var e *textproto.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// From the upload to the ledger: what a client stored is what prints.
func TestUploadAndPrint(t *testing.T) {
	for _, model := range []string{"A1", "P1S", "X1C", "H2D"} {
		t.Run(model, func(t *testing.T) {
			farm := live(t, specs(t, 1, model), Options{Speed: 300})
			p := farm.Printers()[0]
			if got := farm.Inventory()[0].FTPSPort; got == 0 || got != p.Spec().FTPSPort {
				t.Errorf("port %d in the inventory", got)
			}
			if _, err := filer(t, p, "00000000"); codeOf(err) != 530 {
				t.Errorf("wrong code: %v", err)
			}
			c, err := filer(t, p, p.Spec().AccessCode)
			if err != nil {
				t.Fatal(err)
			}
			data := bytes.Repeat([]byte("a 3mf"), 100000)
			if err := c.Stor("/part 1.gcode.3mf", bytes.NewReader(data)); err != nil {
				t.Fatal(err)
			}
			e := listen(t, p, overTCP)
			e.pushAll()
			if a := e.ask("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"part","subtask_id":"4711","url":"ftp://part 1.gcode.3mf","file":"part 1.gcode.3mf"`); a.Result != bambu.OK {
				t.Fatalf("%+v", a)
			}
			e.untilStatus(20*time.Second, "print", func(s bambu.Status) bool { return s.Job.GcodeState == "RUNNING" })
			sum := sha256.Sum256(data)
			if l := farm.Ledger(); len(l) != 1 || l[0].SHA256 != hex.EncodeToString(sum[:]) || l[0].SubtaskID != "4711" {
				t.Errorf("%+v", l)
			}
		})
	}
}

// The faults show on the wire, with the measure given.
func TestFTPSFaults(t *testing.T) {
	farm := live(t, specs(t, 1, "A1"), Options{})
	p := farm.Printers()[0]
	server := httptest.NewServer(farm.Control())
	defer server.Close()
	at := "/printers/" + p.Spec().Serial + "/fault"
	c, err := filer(t, p, p.Spec().AccessCode)
	if err != nil {
		t.Fatal(err)
	}
	store := func() int {
		err := c.Stor("part.3mf", strings.NewReader("data"))
		return codeOf(err)
	}
	call(t, server, "POST", at, `{"kind":"card_missing"}`, 200, nil)
	if list, err := c.List("/"); err != nil || len(list) != 0 || store() != 553 {
		t.Errorf("%v %v", list, err)
	}
	call(t, server, "POST", at, `{"kind":"card_missing","seconds":-1}`, 200, nil)
	if list, err := c.List("/"); err != nil || len(list) != 5 || store() != 0 {
		t.Errorf("%v %v", list, err)
	}
	call(t, server, "POST", at, `{"kind":"ftps_full"}`, 200, nil)
	if code := store(); code != 552 {
		t.Error(code)
	}
	call(t, server, "POST", at, `{"kind":"ftps_full","seconds":-1}`, 200, nil)
	call(t, server, "POST", at, `{"kind":"ftps_late","value":1}`, 200, nil)
	if begun := time.Now(); store() != 0 || time.Since(begun) < time.Second {
		t.Error("it came at once")
	}
	call(t, server, "POST", at, `{"kind":"ftps_late","seconds":-1}`, 200, nil)
	call(t, server, "POST", at, `{"kind":"ftps_pasv_zero"}`, 200, nil)
	call(t, server, "POST", at, `{"kind":"ftps_pasv_elsewhere"}`, 200, nil)
	call(t, server, "POST", at, `{"kind":"ftps_false_426"}`, 200, nil)
	if code := store(); code != 426 { // the address of the EPSV it uses is right
		t.Error(code)
	}
	for _, bad := range []string{`{"kind":"ftps_late","value":0}`, `{"kind":"ftps_full","value":3}`, `{"kind":"coffee","value":3}`} {
		call(t, server, "POST", at, bad, 400, nil)
	}
	for kind := range ftpsQuirks {
		if _, known := faultKinds[kind]; !known {
			t.Errorf("%s cannot be switched on", kind)
		}
	}
	call(t, server, "POST", at, `{"kind":"wrong_code"}`, 200, nil)
	if _, err := filer(t, p, p.Spec().AccessCode); codeOf(err) != 530 {
		t.Errorf("wrong code: %v", err)
	}
}

// Without power nothing gets through, in the middle of a transfer too; what lay on
// the card is there when the power is back.
func TestFTPSPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{}, "X1C")
		p := farm.Printers()[0]
		if err := p.Storage().Put("/part.3mf", []byte("data")); err != nil {
			t.Fatal(err)
		}
		connect := func(ctx context.Context) (*tls.Conn, error) {
			raw, err := dial(ctx, "tcp", fmt.Sprintf("printers:%d", p.Spec().FTPSPort))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = raw.Close() })
			c := tls.Client(raw, fileTLS(p.Spec()))
			return c, c.HandshakeContext(ctx)
		}
		c, err := connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text := textproto.NewConn(c)
		if _, _, err := text.ReadResponse(220); err != nil {
			t.Fatal(err)
		}
		if err := p.Fault(powerCut, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := text.PrintfLine("NOOP"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := text.ReadLine(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("answered without power: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if _, err := connect(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadAll(c); err == nil {
			t.Error("the old connection came through")
		}
		if _, err := p.Storage().Stat("/part.3mf"); err != nil {
			t.Error(err)
		}
	})
}

// Ports count on from the base, one block for each kind.
func TestPortBlocks(t *testing.T) {
	s, err := Specs(3, []string{"X1C"}, "127.0.0.1", 20000)
	if err != nil {
		t.Fatal(err)
	}
	if got := s[2]; got.MQTTPort != 20002 || got.FTPSPort != 20005 || got.CameraPort != 20008 {
		t.Errorf("%+v", got)
	}
}
