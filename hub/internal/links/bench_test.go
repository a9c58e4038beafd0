package links

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// line is a slow line that both lanes of an agent share, as at a router: each
// direction carries so many bytes a second, in pieces of a packet, first come
// first served. (memnet.Throttle gives each connection a line of its own, on which
// bulk could not delay control at all.)
type line struct {
	up, down direction
}

type direction struct {
	mu   sync.Mutex
	rate int // bytes a second
	free time.Time
}

const packet = 1400

func (d *direction) carry(n int) {
	d.mu.Lock()
	now := time.Now()
	if d.free.Before(now) {
		d.free = now
	}
	d.free = d.free.Add(time.Duration(n) * time.Second / time.Duration(d.rate))
	wait := d.free.Sub(now)
	d.mu.Unlock()
	<-time.After(wait)
}

func (l *line) dialer(dial tunnel.DialFunc) tunnel.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &slowConn{c, l}, err
	}
}

type slowConn struct {
	net.Conn
	line *line
}

func (c *slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b[:min(len(b), packet)])
	c.line.down.carry(n)
	return n, err
}

func (c *slowConn) Write(b []byte) (int, error) {
	sent := 0
	for len(b) > 0 {
		n := min(len(b), packet)
		c.line.up.carry(n)
		n, err := c.Conn.Write(b[:n])
		sent += n
		if err != nil {
			return sent, err
		}
		b = b[n:]
	}
	return sent, nil
}

// BenchmarkCommandBesideBulk measures a command on a slow line that eight
// transfers, four each way, saturate. Real time: run it with -benchtime 50x.
func BenchmarkCommandBesideBulk(b *testing.B) {
	for _, kbit := range []int{256, 1000} {
		for _, transfers := range []int{0, 8} {
			b.Run(fmt.Sprintf("%dkbit/transfers=%d", kbit, transfers), func(b *testing.B) {
				benchCommand(b, kbit*1000/8, transfers)
			})
		}
	}
}

func benchCommand(b *testing.B, rate, transfers int) {
	r := newRig(b)
	defer r.close()
	a := r.enrolled(1)
	l := &line{up: direction{rate: rate}, down: direction{rate: rate}}
	a.dial = l.dialer(a.dial)
	a.bulk = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.Method + req.URL.Path {
		case "GET/v1/hello":
			a.serve(w, req)
		case "PUT/v1/files/x":
			_, _ = io.Copy(io.Discard, req.Body)
		default:
			_, _ = io.Copy(w, endless{})
		}
	})
	control := a.up()
	if _, err := a.connect(tunnel.Bulk, control.session); err != nil {
		b.Fatal(err)
	}
	for r.store.ackedRevision(1) == 0 { // hello and config are through
		<-time.After(10 * time.Millisecond)
	}
	ctx, stop := context.WithCancel(b.Context())
	var moving sync.WaitGroup
	defer moving.Wait()
	defer stop()
	bulk, err := r.links.bulk(1, wire.CapRefresh)
	if err != nil {
		b.Fatal(err)
	}
	for i := range transfers {
		moving.Go(func() { transfer(ctx, bulk, i%2 == 0) })
	}
	<-time.After(2 * time.Second) // the windows fill
	var took []time.Duration
	before, began := bulkTraffic(r.links), time.Now()
	for b.Loop() {
		start := time.Now()
		if _, err := r.links.Command(ctx, 1, "S1", wire.Command{ID: "x", Kind: wire.Refresh, ValidMS: 1000}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	carried := float64(bulkTraffic(r.links)-before) * 8 / 1000 / time.Since(began).Seconds()
	b.ReportMetric(carried, "bulk-kbit/s") // both ways together
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func bulkTraffic(l *Links) int64 {
	s, _ := l.Status(1)
	return s.Bulk.Received + s.Bulk.Sent
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func transfer(ctx context.Context, bulk http.RoundTripper, up bool) {
	method, body := http.MethodPut, io.Reader(endless{})
	if up {
		method, body = http.MethodGet, nil
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent/v1/files/x", body)
	if err != nil {
		return
	}
	resp, err := bulk.RoundTrip(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// BenchmarkIdleAgents measures what a connected agent costs: both ends of both its
// lanes, and the network in memory between them.
func BenchmarkIdleAgents(b *testing.B) {
	const agents = 200
	for b.Loop() {
		r := newRig(b)
		before := usage()
		var wg sync.WaitGroup
		for id := range int64(agents) {
			a := r.enrolled(id + 1)
			wg.Go(func() {
				control, err := a.connect(tunnel.Control, "")
				if err == nil {
					_, err = a.connect(tunnel.Bulk, control.session)
				}
				if err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		for id := range int64(agents) {
			for r.store.ackedRevision(id+1) == 0 {
				<-time.After(10 * time.Millisecond)
			}
		}
		after := usage()
		b.ReportMetric(float64(after.bytes-before.bytes)/agents/1024, "KiB/agent")
		b.ReportMetric(float64(after.goroutines-before.goroutines)/agents, "goroutines/agent")
		r.close()
	}
}

type used struct{ bytes, goroutines int64 }

func usage() used {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return used{int64(m.HeapAlloc + m.StackInuse), int64(runtime.NumGoroutine())}
}
