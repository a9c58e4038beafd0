package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/memnet"
)

// withHub runs a hub in a bubble and gives a way to it, a key and its data directory.
func withHub(t *testing.T, fn func(dial func() net.Conn, key, dir string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		dir, network := t.TempDir(), memnet.New()
		l, err := network.Listen("hub:80")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			done <- Run(ctx, Options{DataDir: dir, Listener: l, Objects: NewMemoryObjects(), Log: slog.New(slog.DiscardHandler)})
		}()
		synctest.Wait()
		var open []net.Conn
		fn(func() net.Conn {
			t.Helper()
			conn, err := network.Dialer("client")(ctx, "tcp", "hub:80")
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn)
			return conn
		}, adminKey(t, dir), dir)
		for _, conn := range open {
			_ = conn.Close()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// ends reads an answer and tells when the hub closed the connection.
func ends(t *testing.T, conn net.Conn) (status int, after time.Duration) {
	t.Helper()
	began := time.Now()
	_ = conn.SetReadDeadline(began.Add(24 * time.Hour))
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	_, _ = io.Copy(io.Discard, in)
	return res.StatusCode, time.Since(began)
}

// Who says that a body comes and sends none, to whatever route, holds a connection for
// seconds and not for ever.
func TestBodiesThatNeverCome(t *testing.T) {
	for name, c := range map[string]struct {
		line   string
		key    bool
		status int
	}{
		"without a key":             {"POST /api/v1/sites", false, 401},
		"to a route with a body":    {"POST /api/v1/sites", true, 408},
		"to a route without a body": {"POST /api/v1/printers/9/refresh-status", true, 404},
		"where nothing is":          {"POST /api/v1/nowhere", true, 404},
		"a GET":                     {"GET /api/v1/printers", true, 200},
		"to the page":               {"GET /", false, 200},
	} {
		t.Run(name, func(t *testing.T) {
			withHub(t, func(dial func() net.Conn, key, _ string) {
				conn := dial()
				fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n", c.line)
				if c.key {
					fmt.Fprintf(conn, "X-API-Key: %s\r\n", key)
				}
				fmt.Fprint(conn, "\r\n{")
				if status, after := ends(t, conn); status != c.status || after > 30*time.Second {
					t.Errorf("%d after %v", status, after)
				}
			})
		})
	}
}

// An upload that comes byte by byte, each well in time, does not come for ever.
func TestAnUploadByDrops(t *testing.T) {
	withHub(t, func(dial func() net.Conn, key, _ string) {
		conn := dial()
		fmt.Fprintf(conn, "POST /api/v1/archives HTTP/1.1\r\nHost: hub\r\nX-API-Key: %s\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n", key)
		fmt.Fprint(conn, "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.3mf\"\r\n\r\n")
		began := time.Now()
		var drops sync.WaitGroup
		drops.Go(func() {
			for {
				time.Sleep(20 * time.Second)
				if _, err := conn.Write([]byte("P")); err != nil || time.Since(began) > time.Hour {
					return
				}
			}
		})
		if status, after := ends(t, conn); status != 408 || after > 3*time.Minute {
			t.Errorf("%d after %v", status, after)
		}
		_ = conn.Close()
		drops.Wait()
	})
}

func TestHeadersThatAreTooLargeOrSlow(t *testing.T) {
	withHub(t, func(dial func() net.Conn, _, _ string) {
		conn := dial()
		go func() {
			_, _ = fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: hub\r\nX-Large: %s\r\n\r\n", strings.Repeat("x", maxHeader+5000))
		}()
		if status, _ := ends(t, conn); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%d", status)
		}
		slow := dial()
		fmt.Fprint(slow, "GET /health HTTP/1.1\r\nHost: hub\r\n")
		began := time.Now()
		if n, _ := io.Copy(io.Discard, slow); time.Since(began) > 2*headerTime {
			t.Errorf("cut off after %v, with %d bytes", time.Since(began), n)
		}
		idle := dial()
		fmt.Fprint(idle, "GET /health HTTP/1.1\r\nHost: hub\r\n\r\n")
		if status, after := ends(t, idle); status != 200 || after > 2*idleTime {
			t.Errorf("%d, cut off after %v", status, after)
		}
	})
}

// Who asks and does not read holds his connection for a minute, and not for ever.
func TestAnswersThatNobodyReads(t *testing.T) {
	withHub(t, func(dial func() net.Conn, _, _ string) {
		const asked = 20
		conn := dial()
		var asking sync.WaitGroup
		asking.Go(func() {
			_, _ = fmt.Fprint(conn, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: hub\r\n\r\n", asked))
		})
		time.Sleep(5 * time.Minute)
		in, answers := bufio.NewReader(conn), 0
		for ; ; answers++ {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				break
			}
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if err != nil {
				break
			}
		}
		if answers == asked {
			t.Error("every one of them was still there")
		}
		_ = conn.Close()
		asking.Wait()
	})
}
