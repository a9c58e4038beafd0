package webhook

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// BenchmarkBesideADeadAndASlowEndpoint shows how fast a healthy endpoint is told of
// events, over real sockets and a real database, while another one answers nothing and
// a third takes five seconds each time: per second as fast as it goes, and how late at
// the pace that is asked for, 1,000 a minute.
func BenchmarkBesideADeadAndASlowEndpoint(b *testing.B) {
	r := newRig(b)
	defer func() {
		if err := r.db.Close(); err != nil {
			b.Error(err)
		}
	}()
	r.stop()
	r.configure(func(c *Config) { c.AllowPrivate = true })
	r.Webhooks = New(Options{Store: r.db, Events: r.log, Sealer: r.seal, Config: func() Config { return *r.cfg.Load() }, Log: quiet()})
	ended := make(chan struct{})
	serve := func(answer func(*http.Request)) string {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(io.Discard, q.Body)
			answer(q)
		}))
		b.Cleanup(s.Close)
		return s.URL
	}
	hang := func(q *http.Request, d time.Duration) {
		select {
		case <-time.After(d):
		case <-q.Context().Done():
		case <-ended:
		}
	}
	var mu sync.Mutex
	arrived := map[string]time.Time{}
	news := make(chan struct{}, 1)
	urls := []string{
		serve(func(q *http.Request) { hang(q, time.Hour) }),
		serve(func(q *http.Request) { hang(q, 5*time.Second) }),
		serve(func(q *http.Request) {
			mu.Lock()
			arrived[q.Header.Get("X-Bambuddy-Delivery")] = time.Now()
			mu.Unlock()
			poke(news)
		}),
	}
	var healthy farm.Webhook
	for i, u := range urls {
		w, _, err := r.Create(b.Context(), farm.Webhook{Name: fmt.Sprint(i), URL: u, Enabled: true}, "")
		if err != nil {
			b.Fatal(err)
		}
		healthy = w
	}
	defer running(b, r.Webhooks)()
	defer close(ended)
	until := func(n int) {
		for {
			mu.Lock()
			have := len(arrived)
			mu.Unlock()
			if have >= n {
				return
			}
			<-news
		}
	}
	sent := 0
	for b.Loop() {
		const paced, pace = 200, 60 * time.Millisecond
		tick := time.NewTicker(pace)
		for range paced {
			r.happen(int64(sent%20)+1, int64(sent))
			sent++
			<-tick.C
		}
		tick.Stop()
		until(sent)
		var late []time.Duration
		for _, v := range r.kept(healthy, farm.DeliveryDelivered) {
			late = append(late, arrived[v.UID].Sub(v.At))
		}
		slices.Sort(late)
		b.ReportMetric(float64(late[len(late)/2].Microseconds())/1000, "ms-late-p50")
		b.ReportMetric(float64(late[len(late)*99/100].Microseconds())/1000, "ms-late-p99")

		const flood = 1000
		began := time.Now()
		for range flood {
			r.happen(int64(sent%20)+1, int64(sent))
			sent++
		}
		until(sent)
		b.ReportMetric(flood/time.Since(began).Minutes(), "deliveries/min")
	}
}
