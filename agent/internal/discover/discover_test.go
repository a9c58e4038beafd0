package discover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/wire"
)

// listener runs a Discoverer that hears a socket.
type listener struct {
	*Discoverer
	socket *socket
	mu     sync.Mutex
	moves  []string
	stop   context.CancelFunc
	ended  chan error
}

func listening(t *testing.T) *listener {
	l := &listener{socket: newSocket(), ended: make(chan error, 1)}
	l.Discoverer = New(Options{
		Log:          logger(),
		ListenPacket: func(context.Context) (net.PacketConn, error) { return l.socket, nil },
		Moved: func(serial, address string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.moves = append(l.moves, serial+" "+address)
		},
	})
	var ctx context.Context
	ctx, l.stop = context.WithCancel(t.Context())
	go func() { l.ended <- l.Run(ctx) }()
	return l
}

func (l *listener) end(t *testing.T) {
	t.Helper()
	l.stop()
	if err := <-l.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func (l *listener) says(datagram []byte) {
	l.socket.heard <- datagram
	synctest.Wait()
}

func (l *listener) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.moves
	l.moves = nil
	return all
}

func TestAnnouncementsAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listening(t)
		l.says(notify(p2s, office))
		l.says(notify(p1s, shed, "DevModel.bambu.com", "C12"))
		l.says([]byte("rubbish"))
		seen := l.Seen()
		if len(seen) != 2 || seen[0].Serial != p1s || seen[0].Model != "P1S" || seen[1].Address != office || seen[1].SeenMS != time.Now().UnixMilli() {
			t.Errorf("%+v", seen)
		}
		l.says(notify(p1s, office, "NTS", "ssdp:byebye"))
		if seen := l.Seen(); len(seen) != 2 {
			t.Errorf("a farewell from another address: %+v", seen)
		}
		l.says(notify(p1s, shed, "NTS", "ssdp:byebye"))
		if seen := l.Seen(); len(seen) != 1 || seen[0].Serial != p2s {
			t.Errorf("after the farewell: %+v", seen)
		}
		time.Sleep(keepFor)
		if seen := l.Seen(); len(seen) != 0 {
			t.Errorf("after half an hour of silence: %+v", seen)
		}
		l.says([]byte("rubbish")) // any datagram lets it sweep
		if n := len(l.seen.all); n != 0 {
			t.Errorf("%d are kept", n)
		}
		l.end(t)
	})
}

func TestMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listening(t)
		for range 5 {
			l.says(notify(p2s, office))
			time.Sleep(5 * time.Second)
		}
		if got := l.told(); !slices.Equal(got, []string{p2s + " " + office}) {
			t.Errorf("told %v", got)
		}
		l.says(notify(p2s, office))
		l.says(notify(p2s, shed)) // somebody says the same number beside it
		if got := l.told(); len(got) != 0 || l.Seen()[0].Address != office {
			t.Errorf("told %v of a second machine", got)
		}
		time.Sleep(settled)
		l.says(notify(p2s, shed))
		if got := l.told(); !slices.Equal(got, []string{p2s + " " + shed}) || l.Seen()[0].Address != shed {
			t.Errorf("told %v of a printer that moved", got)
		}
		time.Sleep(remindsOf)
		l.says(notify(p2s, shed))
		if got := l.told(); !slices.Equal(got, []string{p2s + " " + shed}) {
			t.Errorf("a minute later it told %v", got)
		}
		l.end(t)
	})
}

func TestAFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listening(t)
		for i := range maxSeen + 500 {
			l.socket.heard <- notify(fmt.Sprintf("22E%012d", i), office)
			if i%500 == 0 {
				time.Sleep(time.Second)
			}
		}
		synctest.Wait()
		if seen := l.Seen(); len(seen) != maxSeen || seen[len(seen)-1].Serial != fmt.Sprintf("22E%012d", maxSeen+499) {
			t.Errorf("%d are kept", len(seen))
		}
		l.end(t)
	})
}

// recorder is a log that keeps its lines.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, string(b))
	return len(b), nil
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

func TestWithoutThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Bool
		s := newSocket()
		log := &recorder{}
		d := New(Options{Log: slog.New(slog.NewTextHandler(log, nil)), ListenPacket: func(context.Context) (net.PacketConn, error) {
			if !free.Load() {
				return nil, errors.New("address already in use")
			}
			return s, nil
		}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		time.Sleep(10*relisten + time.Second)
		if lines := log.all(); len(lines) != 1 || !strings.Contains(lines[0], "cannot be heard") {
			t.Errorf("log: %v", lines)
		}
		free.Store(true)
		time.Sleep(relisten)
		s.heard <- notify(p2s, office)
		synctest.Wait()
		if len(d.Seen()) != 1 || len(log.all()) != 2 {
			t.Errorf("with the port: %v, log %v", d.Seen(), log.all())
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestRealSocket hears a real datagram beside another listener on the same port.
func TestRealSocket(t *testing.T) {
	first, err := listenShared(t.Context())
	if err != nil {
		t.Skipf("UDP port %d is somebody's own: %v", Port, err)
	}
	defer func() { _ = first.Close() }()
	heard := make(chan string, 1)
	d := New(Options{Log: logger(), Moved: func(serial, address string) {
		if serial == p1s {
			heard <- address
		}
	}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	out, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	everybody := &net.UDPAddr{IP: net.IPv4(127, 255, 255, 255), Port: Port}
	limit := time.After(10 * time.Second)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for done := false; !done; {
		if _, err := out.WriteTo(notify(p1s, "127.0.0.9"), everybody); err != nil {
			t.Skipf("no broadcast on the loopback network: %v", err)
		}
		select {
		case address := <-heard:
			if address != "127.0.0.9" {
				t.Errorf("heard of %s", address)
			}
			done = true
		case <-again.C:
		case <-limit:
			t.Fatal("not heard")
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if found := d.Seen(); len(found) == 0 || found[0].Via != wire.ViaSSDP {
		t.Errorf("%+v", found)
	}
}
