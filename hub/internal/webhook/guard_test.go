package webhook

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"bambuddy/shared/farm"
)

func TestAddresses(t *testing.T) {
	const (
		always = iota
		whenAllowed
		neverEver
	)
	g := newGuard()
	for address, want := range map[string]int{
		"93.184.216.34": always, "1.1.1.1": always, "2606:4700:4700::1111": always, "::ffff:1.1.1.1": always,
		"127.0.0.1": whenAllowed, "127.255.255.254": whenAllowed, "10.1.2.3": whenAllowed, "172.16.0.1": whenAllowed, "172.31.255.255": whenAllowed,
		"192.168.1.100": whenAllowed, "100.64.0.1": whenAllowed, "::1": whenAllowed, "fd00::1": whenAllowed, "fc00::1": whenAllowed,
		"::ffff:127.0.0.1": whenAllowed, "::ffff:192.168.1.1": whenAllowed, "::ffff:7f00:1": whenAllowed,
		"0.0.0.0": neverEver, "0.1.2.3": neverEver, "::": neverEver, "::ffff:0.0.0.0": neverEver,
		"169.254.169.254": neverEver, "169.254.0.1": neverEver, "::ffff:169.254.169.254": neverEver, "::ffff:a9fe:a9fe": neverEver,
		"fe80::1": neverEver, "fe80::1%lo": neverEver, "fe80::1%eth0": neverEver, "febf::1": neverEver, "fd00:ec2::254": neverEver, "100.100.100.200": neverEver,
		"168.63.129.16": neverEver, "192.0.0.192": neverEver,
		"224.0.0.1": neverEver, "239.255.255.250": neverEver, "ff02::1": neverEver, "ff05::1": neverEver, "255.255.255.255": neverEver, "240.0.0.1": neverEver,
		"192.0.2.1": neverEver, "198.51.100.1": neverEver, "203.0.113.1": neverEver, "198.18.0.1": neverEver, "2001:db8::1": neverEver,
		"64:ff9b::7f00:1": neverEver, "64:ff9b::a9fe:a9fe": neverEver, "2002:7f00:1::": neverEver, "fec0::1": neverEver, "::127.0.0.1": neverEver,
	} {
		a := netip.MustParseAddr(address)
		if err := g.check(a, false); (err == nil) != (want == always) || err != nil && !errors.Is(err, errAddress) {
			t.Errorf("%s: %v", address, err)
		}
		if err := g.check(a, true); (err == nil) != (want != neverEver) || err != nil && !errors.Is(err, errAddress) {
			t.Errorf("%s, with private ones allowed: %v", address, err)
		}
	}
	for _, c := range [][2]string{{"unix", "/run/x.sock"}, {"udp4", "1.1.1.1:80"}, {"tcp4", "example.com:80"}} {
		if err := g.control(true)(c[0], c[1], nil); !errors.Is(err, errAddress) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestURLs(t *testing.T) {
	g := newGuard()
	for raw, want := range map[string]string{
		"https://hooks.example.com/x?token=y": "", " https://hooks.example.com:8443 ": "", "HTTP://hooks.example.com/": "", "http://[2606:4700:4700::1111]:80/": "",
		"https://münchen.example/": "",

		"": "characters", "https://a.example/" + strings.Repeat("x", 2048): "characters",
		"ftp://a.example": "https", "file:///etc/passwd": "https", "gopher://a.example/": "https", "javascript:alert(1)": "readable", "a.example/x": "https", "//a.example/": "https",
		"http:a.example": "readable", "http://": "host", "https:///x": "host", "http://:80/": "host",
		"https://user:secret@a.example/": "password", "https://user@a.example/": "password", "https://a.example/#x": "fragment", "https://a.example/#": "fragment",
		"http://a.example/\r\nX-Evil: 1": "readable", "http://a.example/\nx": "readable", "http://a.example/ x": "readable", "http://a.example\\@b.example/": "readable",
		"http://a.example:0/": "port", "http://a.example:65536/": "port", "http://a.example:x/": "readable", "http://a.example/%zz": "readable",
		"http://127.0.0.1:8000/": "address", "http://[::1]/": "address", "http://[::ffff:127.0.0.1]/": "address", "http://10.0.0.1/": "address",
		"http://0.0.0.0/": "address", "http://[::]/": "address", "http://169.254.169.254/latest/meta-data/": "address", "http://[fe80::1%25eth0]/": "address",
		"http://[fd00::1]/": "address",
	} {
		got, err := g.checkURL(raw, false)
		switch {
		case want == "" && (err != nil || !strings.HasPrefix(got, "http")):
			t.Errorf("%q: %q %v", raw, got, err)
		case want != "" && (!farm.Is(err, farm.Invalid) || !strings.HasPrefix(err.Error(), "url: ") || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want it to mention %s", raw, err, want)
		}
	}
	for raw, allowed := range map[string]bool{"http://127.0.0.1:8000/": true, "http://192.168.1.5/": true, "http://169.254.169.254/": false, "http://0.0.0.0/": false} {
		if _, err := g.checkURL(raw, true); (err == nil) != allowed {
			t.Errorf("%s, with private ones allowed: %v", raw, err)
		}
	}
}

// inside is a service that nobody may be led to, and counts who was.
func inside(t *testing.T) (port string, visits *atomic.Int64) {
	t.Helper()
	visits = &atomic.Int64{}
	// On every address of this machine, so that none of its names misses it.
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":0") //nolint:gosec // that is the point
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visits.Add(1)
		_, _ = io.WriteString(w, "inside")
	})}}
	s.Start()
	t.Cleanup(s.Close)
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, visits
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Whatever way this machine's own services are written, nothing gets there.
func TestNothingIsSentInside(t *testing.T) {
	port, visits := inside(t)
	s := newSender(Options{})
	defer s.close()
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "[fd00::1]",
		"2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.1", "127.0.0.1.", "0", "169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1%25lo]",
	} {
		a, _ := s.try(t.Context(), message{url: "http://" + host + ":" + port + "/", event: "test", uid: "u"})
		if a.Status != 0 || a.Error == "" {
			t.Errorf("%s: %+v", host, a)
		}
		if strings.Contains(a.Error, "http://") {
			t.Errorf("%s: the address, which may hold a secret, is in %q", host, a.Error)
		}
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d got inside", n)
	}
	if a, _ := s.try(t.Context(), message{url: "http://127.0.0.1:" + port + "/", allowPrivate: true}); a.Status != 200 || !strings.HasSuffix(a.Response, "\ninside") {
		t.Errorf("with private ones allowed: %+v", a)
	}
	if a, _ := s.try(t.Context(), message{url: "http://127.0.0.1:" + port + "/"}); a.Status != 0 || visits.Load() != 1 {
		t.Errorf("allowed no longer, but over the connection of before: %+v", a)
	}
	for _, tr := range []*http.Transport{s.public, s.open} {
		if tr.Proxy != nil {
			t.Error("a proxy of the environment would see, and send, what is refused here")
		}
	}
}

// A name is nothing to go by: what it means is known when it is connected to.
func TestANameThatMeansInside(t *testing.T) {
	port, visits := inside(t)
	var asked atomic.Int64
	s := newSender(Options{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer func() { _ = far.Close() }()
			asked.Add(1)
			answerLoopback(far)
		}()
		return near, nil
	}}})
	defer s.close()
	const name = "rebound.example.com"
	if _, err := s.guard.checkURL("http://"+name+":"+port+"/", false); err != nil {
		t.Fatalf("nothing is wrong with the name: %v", err)
	}
	a, _ := s.try(t.Context(), message{url: "http://" + name + ":" + port + "/"})
	if a.Status != 0 || !strings.Contains(a.Error, "loopback") || visits.Load() != 0 || asked.Load() == 0 {
		t.Errorf("%+v, %d visits, %d questions", a, visits.Load(), asked.Load())
	}
	if a, _ := s.try(t.Context(), message{url: "http://" + name + ":" + port + "/", allowPrivate: true}); a.Status != 200 {
		t.Errorf("with private ones allowed: %+v", a)
	}
}

// answerLoopback answers questions for a name, as a DNS server over TCP does: it is
// 127.0.0.1 and ::1.
func answerLoopback(c net.Conn) {
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		end := 12
		for q[end] != 0 {
			end += int(q[end]) + 1
		}
		end += 5 // the end of the name, its type and its class
		address := []byte(net.IPv6loopback)
		if q[end-3] == 1 {
			address = []byte{127, 0, 0, 1}
		}
		a := append([]byte{}, q[:end]...)
		a[2], a[3] = 0x81, 0x80                          // an answer
		copy(a[4:12], []byte{0, 1, 0, 1, 0, 0, 0, 0})    // a question and an answer
		a = append(a, 0xc0, 12)                          // of the name of the question
		a = append(a, q[end-4:end]...)                   // its type and class
		a = append(a, 0, 0, 0, 0, 0, byte(len(address))) // for no time at all
		a = append(a, address...)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	port, visits := inside(t)
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:"+port+"/", http.StatusTemporaryRedirect)
	}))
	defer outside.Close()
	s := newSender(Options{})
	defer s.close()
	a, _ := s.try(t.Context(), message{url: outside.URL, allowPrivate: true})
	if a.Status != 307 || !strings.Contains(a.Error, "redirects are not followed") || visits.Load() != 0 {
		t.Errorf("%+v, %d visits", a, visits.Load())
	}
}

func TestWhatIsKeptOfAnAnswer(t *testing.T) {
	var sent atomic.Int64
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/odd" {
			w.Header().Set("X-Odd", "\xff\xfe")
			_, _ = w.Write([]byte("a\x00b\xffc"))
			return
		}
		w.Header().Set("Content-Length", "10737418240")
		chunk := []byte(strings.Repeat("x", 1<<16))
		for range 10 << 14 { // 10 GiB
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	s := newSender(Options{})
	a, _ := s.try(t.Context(), message{url: endless.URL + "/?a=b", event: "print_started", uid: "u-1", body: []byte("{}"), allowPrivate: true})
	odd, _ := s.try(t.Context(), message{url: endless.URL + "/odd", allowPrivate: true})
	s.close()
	endless.Close()
	if a.Status != 200 || a.Error != "" || len(a.Response) > maxHead+maxExcerpt+1 || !strings.HasSuffix(a.Response, "xxx") || sent.Load() > 64<<20 {
		t.Errorf("status %d, error %q, %d bytes kept, %d sent", a.Status, a.Error, len(a.Response), sent.Load())
	}
	for _, want := range []string{"POST /?a=b\nHost: " + strings.TrimPrefix(endless.URL, "http://"), "X-Bambuddy-Event: print_started\n", "X-Bambuddy-Delivery: u-1\n", "X-Bambuddy-Signature: t="} {
		if !strings.Contains(a.Request, want) {
			t.Errorf("%q lacks %q", a.Request, want)
		}
	}
	if !strings.HasSuffix(odd.Response, "a\uFFFDb\uFFFDc") {
		t.Errorf("%q is no text for every database", odd.Response)
	}
}

func TestWhyNoAnswerCame(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&url.Error{Op: "Post", URL: "https://a.example/secret", Err: context.DeadlineExceeded}, "no answer within 10 s"},
		{&url.Error{Op: "Post", URL: "https://a.example/secret", Err: errors.New("connection refused")}, "connection refused"},
	} {
		if got := reason(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
