package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/simprinter"
)

// BenchmarkControlRoundTrip measures a command from the request at the hub's API,
// through the tunnel and the agent, to the printer's acknowledgement and back.
func BenchmarkControlRoundTrip(b *testing.B) {
	specs, err := simprinter.Specs(5, []string{"X1C", "A1", "P1S", "H2D", "P2S"}, "127.0.0.1", 0)
	if err != nil {
		b.Fatal(err)
	}
	v := startLive(b, specs)
	waitFor(b, "every printer", func() bool {
		text, err := get(v.url+"/api/v1/printers", v.key)
		return err == nil && strings.Count(string(text), `"connected":true`) == len(specs)
	})
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		body := strings.NewReader(fmt.Sprintf(`{"on":%t}`, i/len(specs)%2 == 0))
		req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("%s/api/v1/printers/%d/light", v.url, i%len(specs)+1), body)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("X-API-Key", v.key)
		req.Header.Set("Content-Type", "application/json")
		start := time.Now()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			b.Fatalf("%s %s", res.Status, text)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
