package ftps

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/ftpserver"
	"bambuddy/shared/memnet"
)

// script is what a server of no known make answers, by command; "greeting" is
// the first. A command without an answer ends the connection.
type script map[string]string

// scripted runs a test against such a server. What a data connection brings is
// in "data".
func scripted(t *testing.T, says script, test func(t *testing.T, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		control, err := network.Listen("10.0.0.9:990")
		if err != nil {
			t.Fatal(err)
		}
		files, err := network.Listen("10.0.0.9:50077")
		if err != nil {
			t.Fatal(err)
		}
		cfg := &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{newCert(t, x1Serial)}}
		var wg sync.WaitGroup
		serve := func(l net.Listener, do func(conn *tls.Conn)) {
			wg.Go(func() {
				for {
					raw, err := l.Accept()
					if err != nil {
						return
					}
					wg.Go(func() {
						conn := tls.Server(raw, cfg)
						do(conn)
						_ = conn.Close()
					})
				}
			})
		}
		serve(control, says.control)
		serve(files, func(conn *tls.Conn) { _, _ = io.WriteString(conn, says["data"]) })
		defer func() {
			_, _ = control.Close(), files.Close()
			wg.Wait()
		}()
		test(t, New(Options{
			Target: func(serial string) (Target, error) {
				return Target{Serial: serial, Address: "10.0.0.9:990", AccessCode: code, TLS: template(serial)}, nil
			},
			Dial: network.Dialer("agent"), Log: slog.New(slog.DiscardHandler),
		}))
	})
}

func (s script) control(conn *tls.Conn) {
	if _, err := io.WriteString(conn, s["greeting"]+"\r\n"); err != nil {
		return
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		verb, _, _ := strings.Cut(lines.Text(), " ")
		answer, ok := s[verb]
		if !ok {
			return
		}
		if _, err := io.WriteString(conn, answer+"\r\n"); err != nil {
			return
		}
	}
}

// polite is a server that does as it should.
func polite(with ...string) script {
	s := script{
		"greeting": "220 hello", "USER": "331 password", "PASS": "230 in", "TYPE": "200 ok", "PBSZ": "200 ok", "PROT": "200 ok",
		"PASV": "227 Entering Passive Mode (10,0,0,9,195,157).", "CWD": "250 ok", "LIST": "150 comes\r\n226 done",
		"SIZE": "213 5", "RETR": "150 comes\r\n226 done", "DELE": "250 gone", "QUIT": "221 bye", "data": "",
	}
	for i := 0; i < len(with); i += 2 {
		s[with[i]] = with[i+1]
	}
	return s
}

func TestServersOfNoKnownMake(t *testing.T) {
	for what, test := range map[string]struct {
		says script
		want farm.Code
	}{
		"polite":                {polite(), ""},
		"many lines":            {polite("greeting", "220-hello\r\n 220 not yet\r\n220-nor now\r\n\r\n220 hello", "PASS", "230-a\r\n230 b"), ""},
		"no password":           {polite("USER", "230 come in"), ""},
		"PBSZ unknown":          {polite("PBSZ", "502 what"), ""},
		"PASV in another form":  {polite("PASV", "227 =10,0,0,9,195,157"), ""},
		"EPSV only":             {polite("PASV", "502 what", "EPSV", "229 Extended (|||50077|)"), ""},
		"neither":               {polite("PASV", "502 what", "EPSV", "502 what"), farm.PrinterRefused},
		"PASV of garbage":       {polite("PASV", "227 here (1,2,3)"), farm.PrinterNotConnected},
		"PASV of a forbidden":   {polite("PASV", "227 here (10,0,0,9,0,22)"), farm.PrinterNotConnected},
		"PASV of a closed port": {polite("PASV", "227 here (10,0,0,9,200,1)"), farm.PrinterNotConnected},
		"EPSV of garbage":       {polite("PASV", "502 what", "EPSV", "229 (|||65536|)"), farm.PrinterNotConnected},
		"too many sessions":     {polite("greeting", "421 too many"), farm.PrinterBusy},
		"no greeting of FTP":    {polite("greeting", "SSH-2.0-x"), farm.PrinterNotConnected},
		"reply without end":     {polite("greeting", "220-"+strings.Repeat("x\r\n", 1000)), farm.PrinterNotConnected},
		"line without end":      {polite("greeting", "220 "+strings.Repeat("x", 1<<20)), farm.PrinterNotConnected},
		"echo of the code":      {polite("PASS", "530 no such password: "+code), farm.PrinterNotConnected},
		"no encryption":         {polite("PROT", "536 no"), farm.PrinterNotConnected},
		"LIST fails at its end": {polite("LIST", "150 comes\r\n451 card is gone"), farm.Unavailable},
		"LIST without an end":   {polite("LIST", "150 comes"), farm.PrinterNotConnected},
		"gone":                  {polite("CWD", "421 idle for too long"), farm.PrinterBusy},
	} {
		t.Run(what, func(t *testing.T) {
			scripted(t, test.says, func(t *testing.T, c *Client) {
				begun := time.Now()
				_, err := c.List(t.Context(), x1Serial, "/")
				if farm.CodeOf(err) != test.want || err != nil && strings.Contains(err.Error(), code) {
					t.Errorf("%v (%s)", err, farm.CodeOf(err))
				}
				if took := time.Since(begun); took > 2*replyWait {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestDownloadsOfNoKnownMake(t *testing.T) {
	for what, test := range map[string]struct {
		says script
		want farm.Code
		got  string
	}{
		"whole":                    {polite("data", "hello"), "", "hello"},
		"whole, broken off":        {polite("data", "hello", "RETR", "150 comes\r\n426 oops"), "", "hello"},
		"whole, no word":           {polite("data", "hello", "RETR", "150 comes"), "", "hello"},
		"short":                    {polite("data", "hell"), farm.Unavailable, "hell"},
		"short, broken off":        {polite("data", "hell", "RETR", "150 comes\r\n426 oops"), farm.Unavailable, "hell"},
		"long":                     {polite("data", "hello world"), farm.Unavailable, "hello"},
		"size by listing":          {polite("SIZE", "502 what", "LIST", "150 x\r\n226 y", "data", "-rw 1 a b 5 Jun 17  2025 f\n"), farm.Unavailable, "-rw 1"},
		"not in the listing":       {polite("SIZE", "550 none", "data", ""), farm.FileUnavailable, ""},
		"a size that is none":      {polite("SIZE", "213 -5"), farm.FileUnavailable, ""},
		"a size of the other kind": {polite("SIZE", "213 99999999999999999999"), farm.FileUnavailable, ""},
	} {
		t.Run(what, func(t *testing.T) {
			scripted(t, test.says, func(t *testing.T, c *Client) {
				var got bytes.Buffer
				n, err := c.Download(t.Context(), x1Serial, "/f", 0, &got, nil)
				if farm.CodeOf(err) != test.want || got.String() != test.got || n != int64(got.Len()) {
					t.Errorf("%q, %v (%s)", got.String(), err, farm.CodeOf(err))
				}
			})
		})
	}
}

// A transfer that trickles is given up, in a time that depends on the size.
func TestATrickle(t *testing.T) {
	if least, most := timeFor(0), timeFor(100<<20); least != 10*time.Minute || most < time.Hour || most > 4*time.Hour {
		t.Errorf("%v, %v", least, most)
	}
	bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
		begun := time.Now()
		err := r.client.Upload(t.Context(), r.serial, "/a", trickle{}, 2<<20, nil)
		r.want("trickle", err, farm.PrinterNotConnected)
		if !errors.Is(err, errTooSlow) {
			t.Error(err)
		}
		r.took("trickle", begun, timeFor(2<<20), timeFor(2<<20)+2*time.Second)
	})
}

// trickle gives a kilobyte a second.
type trickle struct{}

func (trickle) Read(b []byte) (int, error) {
	time.Sleep(time.Second)
	return min(len(b), 1<<10), nil
}
