package simprinter

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/memnet"
)

// header reads an announcement.
func header(t *testing.T, datagram []byte) textproto.MIMEHeader {
	t.Helper()
	first, rest, _ := bytes.Cut(datagram, []byte("\r\n"))
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(rest))).ReadMIMEHeader()
	if err != nil || string(first) != "NOTIFY * HTTP/1.1" || !bytes.HasSuffix(datagram, []byte("\r\n\r\n")) || bytes.Contains(datagram, []byte("\r\n\r\n\r\n")) {
		t.Fatalf("%v: %q", err, datagram)
	}
	return h
}

// Printers announce themselves every five seconds, one after the other, as long as
// they have power and network.
func TestAnnouncements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Specs(2, []string{"P2S", "A1"}, "192.0.2.10", 8883)
		if err != nil {
			t.Fatal(err)
		}
		s[1].Cloud = true
		heard := make(chan []byte, 100)
		network := memnet.New()
		f := live(t, s, Options{Listen: network.Listen, Announce: func(b []byte) error { heard <- b; return nil }})
		time.Sleep(14 * time.Second)
		synctest.Wait()
		counts := map[string]int{}
		for len(heard) > 0 {
			h := header(t, <-heard)
			p := f.Printer(h.Get("USN"))
			if p == nil {
				t.Fatal(h)
			}
			counts[p.Spec().Model]++
			want := map[string]string{
				"Location": "192.0.2.10", "NT": "urn:bambulab-com:device:3dprinter:1", "NTS": "ssdp:alive", "DevName.bambu.com": p.Spec().Name,
				"DevModel.bambu.com": map[string]string{"P2S": "N7", "A1": "N2S"}[p.Spec().Model], "DevVersion.bambu.com": p.Spec().Firmware,
				"DevConnect.bambu.com": "lan", "DevBind.bambu.com": "free", "Devseclink.bambu.com": "secure", "DevCap.bambu.com": "1",
			}
			if p.Spec().Cloud {
				want["DevConnect.bambu.com"], want["DevBind.bambu.com"] = "cloud", "occupied"
			}
			for name, value := range want {
				if h.Get(name) != value {
					t.Errorf("%s: %q, not %q", name, h.Get(name), value)
				}
			}
		}
		if counts["P2S"] != 3 || counts["A1"] != 3 {
			t.Errorf("in 14 s: %v", counts)
		}
		if err := f.Printers()[0].Fault(powerCut, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for len(heard) > 0 {
			if h := header(t, <-heard); h.Get("USN") == s[0].Serial {
				t.Error("announced without power")
			}
		}
	})
}

// With an address for them, announcements are datagrams; a broadcast of the
// loopback reaches a listener at every address.
func TestAnnouncementsByUDP(t *testing.T) {
	for _, c := range []struct{ at, to string }{{"127.0.0.1:0", "127.0.0.1"}, {"0.0.0.0:0", "127.255.255.255"}} {
		l, err := net.ListenPacket("udp4", c.at)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.LocalAddr().String())
		s := specs(t, 1, "X1C")
		live(t, s, Options{SSDP: net.JoinHostPort(c.to, port)})
		_ = l.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 4096)
		n, _, err := l.ReadFrom(b)
		_ = l.Close()
		if err != nil {
			t.Fatalf("%s: %v", c.to, err)
		}
		if h := header(t, b[:n]); h.Get("USN") != s[0].Serial || h.Get("DevModel.bambu.com") != "BL-P001" {
			t.Error(h)
		}
	}
	f, err := NewFarm(specs(t, 1, "X1C"), Options{SSDP: "nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Error(err)
	}
}

// The handshake tells who is there, in the model's way, in clear and with TLS.
func TestDetect(t *testing.T) {
	for model, want := range map[string]string{
		"A1MINI": `{"bind":"free","command":"detect","connect":"lan","dev_cap":1,"id":"03000A000000001","model":"N1","name":"A1 mini 1","sequence_id":"20000","version":"01.07.02.00"}`,
		"P2S":    `{"bind":"free","command":"detect","connect":"lan","dev_cap":1,"id":"22E00A000000001","model":"N7","name":"P2S 1","sequence_id":3021,"version":"01.01.00.00"}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			s, err := Specs(1, []string{model}, "p", 8883)
			if err != nil {
				t.Fatal(err)
			}
			s[0].DetectPort, s[0].DetectTLSPort = 3000, 3002
			network := memnet.New()
			live(t, s, Options{Listen: network.Listen})
			for port, secure := range map[int]bool{3000: false, 3002: true} {
				got := ask(t, network, port, secure, detectFrame([]byte(`{"login":{"command":"detect","sequence_id":"20000"}}`)))
				body, err := readDetect(bytes.NewReader(got))
				if err != nil || len(got) != len(body)+6 {
					t.Fatalf("%v: %q", err, got)
				}
				var login struct {
					Login json.RawMessage `json:"login"`
				}
				if err := json.Unmarshal(body, &login); err != nil || string(login.Login) != want {
					t.Errorf("%d: %s", port, body)
				}
			}
		})
	}
}

// ask sends bytes and gives what comes back until the end.
func ask(t *testing.T, network *memnet.Network, port int, secure bool, b []byte) []byte {
	t.Helper()
	c, err := network.Dialer("slicer")(context.Background(), "tcp", fmt.Sprint("p:", port))
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // a printer of our own
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// To anything else the printer is silent.
func TestDetectRefused(t *testing.T) {
	for name, frame := range map[string][]byte{
		"command":   detectFrame([]byte(`{"login":{"command":"login","sequence_id":"20000"}}`)),
		"section":   detectFrame([]byte(`{"print":{"command":"detect"}}`)),
		"no json":   detectFrame([]byte(`hello`)),
		"no head":   []byte("GET / HTTP/1.1\r\n\r\n"),
		"no tail":   []byte("\xA5\xA5\x08\x00{}xx"),
		"too short": []byte("\xA5\xA5\x02\x00\xA7\xA7"),
		"too long":  []byte("\xA5\xA5\xFF\xFF"),
		"half":      []byte("\xA5\xA5\x20\x00{"),
	} {
		synctest.Test(t, func(t *testing.T) {
			s, err := Specs(1, []string{"A1"}, "p", 8883)
			if err != nil {
				t.Fatal(err)
			}
			s[0].DetectPort = 3000
			network := memnet.New()
			live(t, s, Options{Listen: network.Listen})
			begun := time.Now()
			if got := ask(t, network, 3000, false, frame); len(got) > 0 {
				t.Errorf("%s: %q", name, got)
			}
			if took := time.Since(begun); took > detectPatience {
				t.Errorf("%s: after %s", name, took)
			}
		})
	}
}

// Printers of a farm can stand at addresses of their own, as real ones do.
// The ports are those of real printers, the camera's by its kind.
func TestRealPorts(t *testing.T) {
	s, err := Specs(3, []string{"P1S", "X1C", "A1MINI"}, "127.0.1.1", 18883)
	if err != nil {
		t.Fatal(err)
	}
	RealPorts(s)
	for i, camera := range []int{6000, 322, 6000} {
		if s[i].MQTTPort != 8883 || s[i].FTPSPort != 990 || s[i].CameraPort != camera {
			t.Errorf("%+v", s[i])
		}
	}
}

func TestSpread(t *testing.T) {
	s, err := Specs(3, []string{"A1"}, "127.0.1.255", 8883)
	if err != nil {
		t.Fatal(err)
	}
	if err := Spread(s); err != nil || s[0].Address != "127.0.1.255" || s[2].Address != "127.0.2.1" || s[2].MQTTPort != 8883 || s[2].CameraPort != s[0].CameraPort {
		t.Errorf("%v %+v", err, s)
	}
	for _, address := range []string{"printer", "::1", "255.255.255.254"} {
		s[0].Address = address
		if err := Spread(s); err == nil {
			t.Error(address)
		}
	}
	if err := Spread(nil); err != nil {
		t.Error(err)
	}
}
