package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWritingAfterAResetSaysSo(t *testing.T) {
	n := New()
	near, far := pairOf(t, n)
	n.Reset("b")
	for _, c := range []net.Conn{near, far} {
		if _, err := c.Write([]byte("x")); !errors.Is(err, ErrReset) {
			t.Errorf("writing after a reset gave %v", err)
		}
	}
	if conns := n.Conns("a"); len(conns) != 0 {
		t.Errorf("broken connections are listed: %v", conns)
	}
}

// A closed end is closed for its owner at once, though the news does not reach
// the other while the cable is out.
func TestClosingWhileCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		near, far := pairOf(t, n)
		n.Cut("b")
		if err := near.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing to what is closed gave %v", err)
		}
		told := make(chan error, 1)
		go func() {
			_, err := far.Read(make([]byte, 1))
			told <- err
		}()
		synctest.Wait()
		select {
		case err := <-told:
			t.Fatalf("the news went through a cut: %v", err)
		default:
		}
		n.Heal("b")
		if err := <-told; !errors.Is(err, ErrReset) {
			t.Errorf("after the cut: %v", err)
		}
	})
}

// A connection is accepted, or refused; none is left hanging when the listener
// closes beside the dial.
func TestDialsWhileTheListenerCloses(t *testing.T) {
	for range 300 {
		n := New()
		l, err := n.Listen("b:1")
		if err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Go(func() {
			c, err := n.Dialer("a")(t.Context(), "tcp", "b:1")
			if err != nil {
				return
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("read something from nobody")
			}
			_ = c.Close()
		})
		both.Go(func() { _ = l.Close() })
		both.Wait()
		if conns := n.Conns("a"); len(conns) != 0 {
			t.Fatalf("left open: %v", conns)
		}
	}
}

func TestADialEndsWithItsContext(t *testing.T) {
	n := New()
	l, err := n.Listen("b:1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := n.Dialer("a")(ctx, "tcp", "b:1"); !errors.Is(err, context.Canceled) {
			t.Fatalf("dialled with a context that is over: %v", err)
		}
	}
	if conns := n.Conns("a"); len(conns) != 0 {
		t.Errorf("left open: %v", conns)
	}
}

func TestCloseWakesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := pairOf(t, New())
		read, written := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := near.Read(make([]byte, 1))
			read <- err
		}()
		go func() {
			_, err := near.Write(make([]byte, 2*buffer))
			written <- err
		}()
		synctest.Wait()
		if err := near.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-read; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the reader was told %v", err)
		}
		if err := <-written; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the writer was told %v", err)
		}
	})
}

// The slower host sets the pace, in each direction.
func TestTheSlowerHostSetsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.Throttle("a", 5000)
		n.Throttle("b", 1000)
		near, far := pairOf(t, n)
		start := time.Now()
		go func() { _, _ = far.Write(make([]byte, 3000)) }()
		if _, err := io.ReadFull(near, make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("3,000 bytes took %v", took)
		}
		n.Throttle("a", 0)
		n.Throttle("b", 0)
		fast, fastFar := pairOf(t, n)
		start = time.Now()
		send(t, fast, "quick")
		wantRead(t, fastFar, "quick")
		if took := time.Since(start); took != 0 {
			t.Errorf("without a limit it took %v", took)
		}
	})
}

func TestHTTPInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		l, err := n.Listen("web:80")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(time.Hour): // of the bubble
				w.WriteHeader(http.StatusNoContent)
			case <-r.Context().Done():
			}
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		client := &http.Client{Transport: &http.Transport{DialContext: n.Dialer("browser")}}
		start := time.Now()
		res, err := client.Get("http://web:80/")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if took := time.Since(start); res.StatusCode != http.StatusNoContent || took != time.Hour {
			t.Errorf("%s after %v", res.Status, took)
		}
		client.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}
