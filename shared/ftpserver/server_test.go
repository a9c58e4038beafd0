package ftpserver

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Every character serves a client that knows what real printers need.
func TestSession(t *testing.T) {
	for name, k := range map[string]Character{"neutral": Neutral(), "vsftpd": VSFTPD(), "A1": A1(), "P1": P1()} {
		t.Run(name, func(t *testing.T) {
			bubble(t, k, func(r *rig) {
				c := r.login("agent")
				big := strings.Repeat("0123456789abcdef", 12345)
				c.put(226, "Würfel groß.gcode.3mf", big)
				c.put(226, "/cache/empty", "")
				c.put(226, "a.3mf", "old")
				c.put(226, "a.3mf", "new")
				if got := c.get("RETR /Würfel groß.gcode.3mf"); got != big {
					t.Errorf("%d of %d bytes", len(got), len(big))
				}
				if got := c.get("RETR a.3mf"); got != "new" {
					t.Error(got)
				}
				if got := c.do(213, "SIZE /cache/empty"); got != "0" {
					t.Error(got)
				}
				if got := c.do(213, "MDTM a.3mf"); got != "20000101000000" {
					t.Error(got)
				}
				list := c.get("LIST /")
				contains(t, list, "drwxr-xr-x    2 1000     1000         4096 Jan  1 00:00 cache\r\n",
					"-rw-r--r--    1 1000     1000       197520 Jan  1 00:00 Würfel groß.gcode.3mf\r\n")
				if k.SortedLists == (strings.Index(list, "cache") < strings.Index(list, "Würfel")) {
					t.Errorf("order: %s", list)
				}
				if got := c.get("LIST -la /cache"); !strings.HasSuffix(got, " empty\r\n") || strings.Count(got, "\n") != 1 {
					t.Error(got)
				}
				want := "empty\r\n"
				if k.PathsInNLST {
					want = "/cache/empty\r\n"
				}
				if got := c.get("NLST /cache"); got != want {
					t.Error(got)
				}
				c.do(250, "CWD cache")
				contains(t, c.do(257, "PWD"), `"/cache"`)
				c.do(257, "MKD sub")
				c.do(550, "RMD /cache")
				c.do(250, "RMD sub")
				c.do(350, "RNFR empty")
				c.do(250, "RNTO ../moved")
				c.do(503, "RNTO again")
				c.do(250, "DELE /moved")
				c.do(550, "DELE /moved")
				c.do(550, "CWD /emmc")
				c.do(250, "CDUP")
				c.do(215, "SYST")
				c.do(200, "NOOP")
				for _, unknown := range []string{"REST 5", "APPE a.3mf", "MLSD", "PORT 1,2,3,4,5,6", "STAT", "AVBL", ""} {
					c.do(502, unknown)
				}
				c.do(221, "QUIT")
				c.ended()
			})
		})
	}
}

// The characters differ where printers do.
func TestCharacters(t *testing.T) {
	for name, want := range map[string]struct {
		k                       Character
		epsv, feat, lost, clear int
	}{
		"neutral": {Neutral(), 229, 211, 550, 150},
		"vsftpd":  {VSFTPD(), 229, 211, 226, 522},
		"A1":      {A1(), 229, 502, 550, 150},
		"P1":      {P1(), 502, 502, 550, 522},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, want.k, func(r *rig) {
				c := r.connect("agent")
				if banner := c.expect(220); strings.Contains(banner, "vsFTPd") != (name == "vsftpd") {
					t.Error(banner)
				}
				c.do(331, "USER bblp")
				c.do(230, "PASS "+secret)
				c.do(503, "PROT P")
				c.do(200, "PBSZ 0")
				c.do(200, "PROT P")
				c.do(want.epsv, "EPSV")
				c.do(want.feat, "FEAT")
				if want.lost == 226 {
					if got := c.get("LIST /nowhere"); got != "" {
						t.Error(got)
					}
				} else {
					c.do(want.lost, "LIST /nowhere")
				}
				c.do(200, "PROT C")
				d := c.passive(c.dial)
				c.do(want.clear, "STOR clear.3mf")
				if want.clear == 150 {
					if _, err := io.WriteString(d, "in clear"); err != nil {
						t.Fatal(err)
					}
					_ = d.Close()
					c.expect(226)
					contains(t, c.do(213, "SIZE clear.3mf"), "8")
				}
			})
		})
	}
}

// A data connection that resumes no session, or another one's, is refused where
// printers do so.
func TestReuse(t *testing.T) {
	bubble(t, VSFTPD(), func(r *rig) {
		other := r.login("agent")
		for _, cache := range []tls.ClientSessionCache{nil, other.config.ClientSessionCache} {
			c := r.login("agent")
			c.config.ClientSessionCache = cache
			d := c.open("LIST")
			_, _ = io.ReadAll(d)
			contains(t, c.expect(522), "reuse")
			c.ended()
		}
	})
}

// Who takes no session tickets cannot resume here, and is served all the same.
func TestReuseWithoutTickets(t *testing.T) {
	bubble(t, VSFTPD(), func(r *rig) {
		c := r.connect("agent")
		c.config.ClientSessionCache = nil
		c.login()
		c.put(226, "part.3mf", "data")
		if got := c.get("RETR part.3mf"); got != "data" {
			t.Error(got)
		}
	})
}

// A server that refuses its own tickets turns away who could resume elsewhere.
func TestRefusedTickets(t *testing.T) {
	k := VSFTPD()
	k.RefuseTickets = true
	bubble(t, k, func(r *rig) {
		c := r.login("agent")
		d := c.open("LIST")
		_, _ = io.ReadAll(d)
		contains(t, c.expect(522), "reuse")
		c.ended()
	})
}

// How an upload may end: with a close_notify everywhere, by closing the socket with
// the servers of A1 and P1 only. In the middle of a TLS record it is broken off.
func TestEndOfUpload(t *testing.T) {
	for name, want := range map[string]struct {
		k     Character
		plain int    // the answer to a plain end
		kept  string // after one
	}{
		"neutral": {Neutral(), 426, "old"}, "vsftpd": {VSFTPD(), 426, "new"}, "A1": {A1(), 226, "new"}, "P1": {P1(), 226, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, want.k, func(r *rig) {
				c := r.login("agent")
				d := c.open("STOR part.3mf")
				if _, err := io.WriteString(d, "old"); err != nil {
					t.Fatal(err)
				}
				_ = d.CloseWrite()
				c.expect(226)
				if !want.k.NoCloseNotify { // what it says after the handshake is an alert
					if b, err := io.ReadAll(d.NetConn()); err != nil || len(b) == 0 || b[0] != 0x15 {
						t.Errorf("its goodbye: %x %v", b, err)
					}
				}
				d = c.open("STOR part.3mf")
				if _, err := io.WriteString(d, "new"); err != nil {
					t.Fatal(err)
				}
				_ = d.NetConn().Close()
				c.expect(want.plain)
				if got := c.get("RETR part.3mf"); got != want.kept {
					t.Errorf("%q is there", got)
				}
				d = c.open("STOR cut.3mf")
				if _, err := io.WriteString(d, "whole"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(d.NetConn(), "\x17\x03\x03\x01\x00half a record"); err != nil {
					t.Fatal(err)
				}
				_ = d.NetConn().Close()
				c.expect(426)
			})
		})
	}
}

// The P1 answers an upload when the client has ended the data connection, and says
// nothing there itself.
func TestCloseNotify(t *testing.T) {
	bubble(t, P1(), func(r *rig) {
		c := r.login("agent")
		d := c.open("STOR part.3mf")
		if _, err := io.WriteString(d, "data"); err != nil {
			t.Fatal(err)
		}
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			c.expect(226)
		}()
		time.Sleep(50 * time.Second)
		select {
		case <-answered:
			t.Error("answered too early")
		default:
		}
		_ = d.CloseWrite()
		<-answered
		_ = d.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := d.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, io.EOF) { // the client waits in vain
			t.Errorf("%d %v", n, err)
		}
		c.put(226, "next.3mf", "the session goes on")
	})
}

// A server without the habit of printers keeps nothing of a broken upload.
func TestTemporary(t *testing.T) {
	bubble(t, Neutral(), func(r *rig) {
		c := r.login("agent")
		c.put(226, "part.3mf", "whole")
		d := c.open("STOR part.3mf")
		if _, err := io.WriteString(d, "half"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = d.NetConn().Close()
		c.expect(426)
		if got := c.get("RETR part.3mf"); got != "whole" {
			t.Error(got)
		}
		if free := r.files.Free(); free != 1<<20-5 {
			t.Errorf("%d bytes are free", free)
		}
	})
}

// TLS on the data connection begins after the 150; and only the control
// connection's peer gets one.
func TestStranger(t *testing.T) {
	bubble(t, A1(), func(r *rig) {
		c := r.login("agent")
		m := c.passive(r.network.Dialer("stranger")) // first in the queue
		go func() {
			_, err := m.Read(make([]byte, 1))
			if err == nil {
				t.Error("the stranger was served")
			}
		}()
		c.do(425, "LIST") // nobody else came
		c.do(425, "LIST")
		if got := c.get("LIST /cache"); got != "" {
			t.Error(got)
		}
	})
}

func TestRefusals(t *testing.T) {
	bubble(t, VSFTPD(), func(r *rig) {
		c := r.connect("agent")
		c.expect(220)
		c.do(530, "LIST")
		c.do(530, "PASS "+secret) // no user yet
		c.do(331, "USER bblp")
		c.do(530, "PASS wrong")
		c.do(331, "USER root")
		c.do(530, "PASS "+secret)
		c.ended()

		c = r.login("agent")
		for _, name := range []string{"", "/", "/cache", "/nowhere/x", "/a.3mf/x", "bell\x07.3mf", strings.Repeat("n", 256)} {
			c.do(553, "STOR "+name)
		}
		c.put(226, "../../../up.3mf", "it stays in the root")
		contains(t, c.do(213, "SIZE /up.3mf"), "20")
		c.do(550, "RETR /nowhere")
		c.do(550, "RETR /cache")
		c.do(550, "SIZE /cache")
		c.do(550, "MDTM /nowhere")
		c.do(550, "MKD /cache")
		c.do(550, "RNFR /nowhere")
		c.do(504, "TYPE X")
		c.do(504, "MODE Z")
		c.do(200, "STRU f")
		c.do(501, "OPTS MLST")
		c.do(200, "OPTS utf8 on")
		c.do(536, "PROT X")
		c.do(425, "RETR up.3mf")
		c.do(500, "NOOP "+strings.Repeat("x", maxLine))
		c.ended()

		c = r.login("agent")
		d := c.open("STOR big")
		_, _ = io.WriteString(d, strings.Repeat("x", 2<<20)) // more than there is room for
		c.expect(552)
	})
}

// Sessions are bounded, and idle ones end by themselves.
func TestSessions(t *testing.T) {
	bubble(t, A1(), func(r *rig) {
		for range 3 {
			r.login("agent")
		}
		r.connect("agent").expect(421)
		time.Sleep(idleTime + time.Second)
		r.login("agent").do(200, "NOOP")
	})
}

// Behind a firewall the data connections have few ports and another address.
func TestPorts(t *testing.T) {
	bubbleOf(t, Options{Ports: [2]int{50000, 50001}, Announce: "192.0.2.1"}, func(r *rig) {
		a, b, c := r.login("agent"), r.login("agent"), r.login("agent")
		contains(t, a.do(227, "PASV"), "(192,0,2,1,195,80)")
		contains(t, b.do(227, "PASV"), "(192,0,2,1,195,81)")
		c.do(425, "PASV")
		a.do(221, "QUIT")
		a.ended()
		contains(t, c.do(227, "PASV"), "(192,0,2,1,195,80)")
		if got := c.get("LIST /cache"); got != "" {
			t.Error(got)
		}
	})
}
