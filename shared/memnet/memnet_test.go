package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pairOf is a connection between host a and a listener of host b.
func pairOf(t *testing.T, n *Network) (near, far net.Conn) {
	t.Helper()
	l, err := n.Listen("b:0")
	if err != nil {
		t.Fatal(err)
	}
	if near, err = n.Dialer("a")(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, 64)
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("read %q, %v, want %q", b[:n], err, want)
	}
}

func TestBytesAndTheEnd(t *testing.T) {
	near, far := pairOf(t, New())
	send(t, near, "ping")
	wantRead(t, far, "ping")
	send(t, far, "pong")
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	wantRead(t, near, "pong") // what was sent before the end still arrives
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if _, err := near.Write([]byte("x")); !errors.Is(err, ErrReset) {
		t.Errorf("writing to nobody: %v", err)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading what is closed: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	n := New()
	if _, err := n.Dialer("a")(t.Context(), "tcp", "b:1"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("dialled nobody: %v", err)
	}
	l, err := n.Listen("b:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Listen("b:1"); err == nil {
		t.Error("an address was taken twice")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting when closed: %v", err)
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := pairOf(t, New())
		start := time.Now()
		if err := near.SetReadDeadline(start.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("read gave %v after %v", err, time.Since(start))
		}
		if err := near.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		send(t, far, "late")
		wantRead(t, near, "late")
		if err := near.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := near.Write(make([]byte, 2*buffer)); !errors.Is(err, os.ErrDeadlineExceeded) || n != buffer {
			t.Errorf("a write that nobody reads gave %d, %v", n, err)
		}
	})
}

func TestACutLosesWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		quiet, quietFar := pairOf(t, n)
		near, far := pairOf(t, n)
		n.Cut("a")
		send(t, near, "lost")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dialer("a")(ctx, "tcp", "b:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialling through a cut: %v", err)
		}
		if err := far.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("through a cut came %v", err)
		}
		n.Heal("a")
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
				t.Errorf("a connection that lost bytes gave %v", err)
			}
		}
		send(t, quiet, "still here")
		wantRead(t, quietFar, "still here")
	})
}

func TestResetBreaksAHostsConnections(t *testing.T) {
	n := New()
	near, far := pairOf(t, n)
	if conns := n.Conns("a"); len(conns) != 1 || conns[0] != near {
		t.Errorf("connections of a: %v", conns)
	}
	n.Reset("a")
	for _, c := range []net.Conn{near, far} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
			t.Errorf("after a reset: %v", err)
		}
	}
}

func TestASlowWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.Throttle("a", 1000)
		near, far := pairOf(t, n)
		start := time.Now()
		go func() { _, _ = near.Write(make([]byte, 10_000)) }()
		if _, err := io.ReadFull(far, make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("10,000 bytes at 1,000 a second took %v", took)
		}
	})
}

func TestHTTPWorksOnIt(t *testing.T) {
	n := New()
	l, err := n.Listen("web:80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})}
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }()
	client := &http.Client{Transport: &http.Transport{DialContext: n.Dialer("browser")}}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://web:80/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
}
