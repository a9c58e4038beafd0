package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

func bigFarm(b *testing.B, n int64) *rig {
	r := newRig(b)
	r.seed(printingReport)
	st := r.server.mustView(b, 1).Status
	for id := int64(2); id <= n; id++ {
		serial := fmt.Sprintf("01P00A%09d", id)
		r.put(farm.Printer{ID: id, Serial: serial, Name: fmt.Sprint("Printer ", id), Address: "10.0.0.1", SiteID: 1, AgentID: 1, Fence: 1, MQTTPort: 8883, FTPSPort: 990})
		r.fleet.Apply(1, frameOf(serial, st))
	}
	return r
}

func BenchmarkListPrinters1000(b *testing.B) { benchmarkGet(b, bigFarm(b, 1000), "/printers") }

func BenchmarkGetStatus(b *testing.B) { benchmarkGet(b, bigFarm(b, 1), "/printers/1/status") }

func benchmarkGet(b *testing.B, r *rig, path string) {
	key := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read}, Limits: farm.Limits{Read: 1_000_000}})
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodGet, base+path, nil)
		req.Header.Set("X-API-Key", key)
		w := httptest.NewRecorder()
		r.router.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
		b.SetBytes(int64(w.Body.Len()))
	}
}

// One report of a printer on its way to a hundred streams.
func BenchmarkFanOut100(b *testing.B) {
	r := bigFarm(b, 1)
	v := r.server.mustView(b, 1)
	shown := make([]*rendition, 100)
	b.ReportAllocs()
	for b.Loop() {
		v.Version++
		v.Status.Temps.Nozzle = bambu.Some(float64(v.Version % 300))
		for i := range shown {
			next, err := r.server.feed.render(v)
			if err != nil {
				b.Fatal(err)
			}
			if shown[i] != nil && len(next.frameSince(1, shown[i])) == 0 {
				b.Fatal("no frame")
			}
			shown[i] = next
		}
	}
}
