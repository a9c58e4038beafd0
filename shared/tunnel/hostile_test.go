package tunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// frame is a masked websocket frame, its mask zero, that claims to hold n bytes.
func frame(opcode byte, n uint64) []byte {
	b := []byte{0x80 | opcode, 0x80 | 127}
	b = binary.BigEndian.AppendUint64(b, n)
	return append(b, 0, 0, 0, 0)
}

const (
	textFrame   = 1
	binaryFrame = 2
)

// What strangers send before they have proven anything ends in time, and the hub
// is left with nothing of it.
func TestStrangersAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			send func(net.Conn)
			most time.Duration
		}{
			"a slow header": {func(c net.Conn) {
				for i := 0; ; i = (i + 1) % 20 {
					if _, err := c.Write([]byte(upgradeRequest[i : i+1])); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}, 11 * time.Second},
			"silence after the upgrade": {func(c net.Conn) {
				_, _ = io.WriteString(c, upgradeRequest)
			}, handshakePatience + closePatience},
			"a slow answer": {func(c net.Conn) {
				_, _ = io.WriteString(c, upgradeRequest)
				_, _ = c.Write(frame(textFrame, 1000))
				for {
					if _, err := c.Write([]byte(" ")); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}, handshakePatience + closePatience},
			"a gigabyte of answer": {func(c net.Conn) {
				_, _ = io.WriteString(c, upgradeRequest)
				_, _ = c.Write(frame(textFrame, 1<<30))
				for {
					if _, err := c.Write(make([]byte, 16<<10)); err != nil {
						return
					}
				}
			}, closePatience},
			"an unmasked frame": {func(c net.Conn) {
				_, _ = io.WriteString(c, upgradeRequest)
				_, _ = c.Write([]byte{0x81, 2, '{', '}'})
			}, closePatience},
			"garbage": {func(c net.Conn) {
				_, _ = io.WriteString(c, upgradeRequest)
				_, _ = c.Write([]byte("\xff\xfe\xfd garbage garbage garbage"))
			}, closePatience},
			"binary": {func(c net.Conn) {
				_, _ = io.WriteString(c, upgradeRequest)
				_, _ = c.Write(append(frame(binaryFrame, 2), '{', '}'))
			}, closePatience},
		} {
			r := newRig(t)
			c := r.stranger()
			start := time.Now()
			var sending sync.WaitGroup
			sending.Go(func() { tc.send(c) })
			_, _ = io.Copy(io.Discard, c) // until the hub has closed
			if took := time.Since(start); took > tc.most {
				t.Errorf("%s: held the hub for %v, want at most %v", name, took, tc.most)
			}
			_ = c.Close()
			sending.Wait()
			r.close()
			select {
			case <-r.clients:
				t.Errorf("%s: was welcomed", name)
			default:
			}
		}
	})
}

// An agent that is welcomed and then floods without reading is cut off, by the
// write deadline: it answers no ping, yet it is never silent.
func TestPeerThatNeverReadsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		s, err := Dial(t.Context(), r.hub, r.who, Control, "")
		if err != nil {
			t.Fatal(err)
		}
		c := <-r.clients
		// Shorter than the ping's interval: net/http waits for its write lock with a
		// mutex then, and a bubble's clock stands still while anyone waits for one.
		c.conn.socket.patience = 10 * time.Second
		start := time.Now()
		go func() {
			settings := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
			ping := []byte{0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8} // each wants an answer
			_, err := s.conn.Write(settings)
			for err == nil {
				_, err = s.conn.Write(ping)
			}
		}()
		<-c.Done()
		if took := time.Since(start); took > 11*time.Second {
			t.Errorf("the hub was held for %v", took)
		}
		_ = s.conn.Close()
	})
}

func TestGarbageInsteadOfHTTP2EndsTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, attack := range map[string]func(*Server){
			"random":       func(s *Server) { _, _ = s.conn.Write([]byte("not HTTP/2 at all, not even nearly")) },
			"a huge frame": func(s *Server) { _, _ = s.conn.Write([]byte{0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1}) },
			"a text frame": func(s *Server) { _ = s.conn.ws.Write(context.Background(), websocket.MessageText, []byte("{}")) },
			"1 GB announced": func(s *Server) {
				_, _ = s.conn.socket.Write(frame(binaryFrame, 1<<30))
				for {
					if _, err := s.conn.socket.Write(make([]byte, 32<<10)); err != nil {
						return
					}
				}
			},
		} {
			r := newRig(t)
			s, err := Dial(t.Context(), r.hub, r.who, Control, "")
			if err != nil {
				t.Fatal(err)
			}
			c := <-r.clients
			start := time.Now()
			go attack(s)
			<-c.Done()
			if took := time.Since(start); took > 5*time.Second { // the library's own time for a close
				t.Errorf("%s: the lane lived for %v", name, took)
			}
			_ = s.conn.Close()
			r.close()
		}
	})
}

// A lane reads a message of a gigabyte as a stream: what it holds of it does not
// grow with its size.
func TestHugeMessageIsStreamed(t *testing.T) {
	const announced, sent = 1 << 30, 48 << 20
	var grown uint64
	var got int64
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		catch := &catcher{ResponseWriter: w}
		ws, err := websocket.Accept(catch, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		conn := newLaneConn(r.Context(), ws, catch.socket)
		defer func() { _ = conn.Close() }()
		buf := make([]byte, 4<<10)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for got < sent {
			n, err := conn.Read(buf)
			if err != nil {
				t.Error(err)
				return
			}
			got += int64(n)
		}
		runtime.ReadMemStats(&after)
		grown = after.Sys - before.Sys
	}))
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, upgradeRequest)
	_, _ = c.Write(frame(binaryFrame, announced))
	chunk := make([]byte, 1<<20)
	for range sent / len(chunk) {
		if _, err := c.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	if got < sent || grown > 16<<20 {
		t.Errorf("after %d MiB of one message the process has grown by %d KiB", got>>20, grown>>10)
	}
}

func TestNothingIsLeftOfAFailedHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		before := runtime.NumGoroutine()
		for range 200 {
			c := r.stranger()
			_, _ = io.WriteString(c, upgradeRequest)
			_ = c.Close()
			if err := <-r.failed; err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("the hub says %v", err)
			}
		}
		synctest.Wait()
		if after := runtime.NumGoroutine(); after > before+3 {
			t.Errorf("%d goroutines before, %d after 200 strangers", before, after)
		}
	})
}
