package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
)

// BenchmarkListPrintersAtARate asks a whole hub with a thousand printers for all of
// them, 200 times a second over loopback, by a key, and reports how long answers took
// from the moment they were due.
func BenchmarkListPrintersAtARate(b *testing.B) {
	const rate = 200
	url, key := thousandPrinters(b)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for b.Loop() {
		due := <-tick.C
		wg.Go(func() {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url+"/api/v1/printers", nil)
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("X-API-Key", key)
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			n, err := io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if err != nil || res.StatusCode != http.StatusOK || n < 100_000 {
				b.Errorf("%s, %d bytes: %v", res.Status, n, err)
			}
			mu.Lock()
			took = append(took, time.Since(due))
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[(len(took)-1)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
}

// thousandPrinters runs a hub with that many.
func thousandPrinters(b *testing.B) (url, key string) {
	dir := b.TempDir()
	ctx := b.Context()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	db, err := store.Open(ctx, store.Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	box, err := secrets.Open(ctx, secrets.Options{Dir: dir, Canary: db})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		serial := fmt.Sprintf("01P00A%09d", i)
		_, err := db.CreatePrinter(ctx, farm.Printer{
			Serial: serial, Name: fmt.Sprint("Printer ", i), ModelGiven: "P1S", SiteID: farm.DefaultSiteID, Address: "192.0.2.1", MQTTPort: 8883, FTPSPort: 990,
		}, box.Seal("printer_secrets/access_code/"+serial, "12345678"))
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- Run(run, Options{DataDir: dir, Listener: l, Log: slog.New(slog.DiscardHandler)}) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	url = "http://" + l.Addr().String()
	admin, err := OpenAdmin(ctx, dir, "")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	secret, err := admin.NewKey(ctx, "bench", []farm.Permission{farm.Read}, farm.Limits{Read: 1_000_000})
	if err != nil {
		b.Fatal(err)
	}
	return url, secret.Reveal()
}
