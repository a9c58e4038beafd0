package ftpserver

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func (r *rig) set(q Quirks) { r.quirks.Store(&q) }

func TestUploadQuirks(t *testing.T) {
	bubble(t, VSFTPD(), func(r *rig) {
		c := r.login("agent")
		r.set(Quirks{LateReply: 40 * time.Second})
		begun := time.Now()
		if c.put(226, "late.3mf", "data"); time.Since(begun) != 40*time.Second {
			t.Errorf("after %s", time.Since(begun))
		}
		r.set(Quirks{FalseFailure: true})
		c.put(426, "whole.3mf", "data")
		contains(t, c.do(213, "SIZE whole.3mf"), "4")
		r.set(Quirks{Full: true})
		c.do(552, "STOR full.3mf")
		r.set(Quirks{Rate: 1000})
		begun = time.Now()
		if c.put(226, "slow.3mf", strings.Repeat("x", 20000)); time.Since(begun) != 20*time.Second {
			t.Errorf("after %s", time.Since(begun))
		}
		r.set(Quirks{LoseReply: true})
		d := c.open("STOR lost.3mf")
		if _, err := io.WriteString(d, "data"); err != nil {
			t.Fatal(err)
		}
		_ = d.CloseWrite()
		c.ended()
		c = r.login("agent")
		contains(t, c.do(213, "SIZE lost.3mf"), "4")
		r.set(Quirks{DropAfter: 1000})
		d = c.open("STOR cut.3mf")
		_, _ = io.WriteString(d, strings.Repeat("x", 5000))
		c.ended()
		c = r.login("agent")
		contains(t, c.do(213, "SIZE cut.3mf"), "1000")
		d = c.open("RETR slow.3mf")
		if b, _ := io.ReadAll(d); len(b) != 1000 {
			t.Errorf("%d bytes came", len(b))
		}
		c.ended()
	})
}

// Fragile TLS never comes to an end; in clear all is well.
func TestFragile(t *testing.T) {
	bubble(t, A1(), func(r *rig) {
		r.set(Quirks{FragileTLS: true})
		c := r.login("agent")
		d := c.open("STOR part.3mf")
		if _, err := io.WriteString(d, "data"); err != nil {
			t.Fatal(err)
		}
		_ = d.CloseWrite()
		_ = c.conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		if line, err := c.text.ReadLine(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s %v", line, err)
		}
		c.close()
		c = r.login("agent")
		c.do(550, "SIZE part.3mf")
		c.do(200, "PROT C")
		clear := c.passive(c.dial)
		c.do(150, "STOR part.3mf")
		if _, err := io.WriteString(clear, "data"); err != nil {
			t.Fatal(err)
		}
		_ = clear.Close()
		c.expect(226)
	})
}

func TestPassiveHost(t *testing.T) {
	bubble(t, A1(), func(r *rig) {
		c := r.login("agent")
		contains(t, c.do(227, "PASV"), "(0,0,0,0,")
		r.set(Quirks{PassiveHost: "192.0.2.7"})
		contains(t, c.do(227, "PASV"), "(192,0,2,7,")
		if got := c.get("LIST /cache"); got != "" { // the port is right
			t.Error(got)
		}
	})
}

// A mute server takes connections and never says a word, not even of TLS.
func TestMute(t *testing.T) {
	bubble(t, A1(), func(r *rig) {
		old := r.login("agent")
		r.set(Quirks{Mute: true})
		c := r.connect("agent")
		_ = c.conn.SetDeadline(time.Now().Add(time.Minute))
		if err := c.conn.HandshakeContext(r.t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		_ = old.conn.SetReadDeadline(time.Now().Add(time.Minute))
		if err := old.text.PrintfLine("NOOP"); err != nil {
			t.Fatal(err)
		}
		if _, err := old.text.ReadLine(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestListQuirks(t *testing.T) {
	bubble(t, VSFTPD(), func(r *rig) {
		c := r.login("agent")
		r.set(Quirks{HostileNames: true})
		contains(t, c.get("LIST"), " cache\r\n", " ../../etc/passwd\r\n", "\x1b[31m", "\x00", " W\xfcrfel.3mf", "-> /etc/shadow")
		r.set(Quirks{EndlessLists: true})
		d := c.open("LIST")
		in := bufio.NewReader(d)
		for range 20000 {
			if _, err := in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		_ = d.NetConn().Close()
		c.expect(426)
	})
}

func TestNoCard(t *testing.T) {
	bubble(t, A1(), func(r *rig) {
		c := r.login("agent")
		c.put(226, "part.3mf", "data")
		r.set(Quirks{NoCard: true})
		if got := c.get("LIST"); got != "" {
			t.Error(got)
		}
		c.do(250, "CWD /")
		c.do(550, "CWD /cache")
		c.do(550, "LIST /cache")
		c.do(553, "STOR part.3mf")
		c.do(550, "RETR part.3mf")
		c.do(550, "DELE part.3mf")
		c.do(550, "MKD new")
		c.do(550, "RMD cache")
		r.set(Quirks{})
		contains(t, c.do(213, "SIZE part.3mf"), "4") // the card is back
	})
}

func TestOneSession(t *testing.T) {
	bubble(t, VSFTPD(), func(r *rig) {
		first := r.login("agent")
		second := r.login("agent")
		r.set(Quirks{OneSession: true})
		second.passive(second.dial)
		second.do(425, "LIST")
		first.get("LIST")
		first.do(221, "QUIT")
		first.ended()
		second.get("LIST")
	})
}
