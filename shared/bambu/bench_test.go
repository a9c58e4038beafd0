package bambu

import (
	"bytes"
	"encoding/json"
	"testing"
)

// BenchmarkApply merges a frame and renders the status, as a session does for
// every report. Frames alternate with one that differs, so that work is real.
//
//	go test -run xxx -bench Apply ./shared/bambu
func BenchmarkApply(b *testing.B) {
	other := delta(`"wifi_signal":"-70dBm","nozzle_temper":100,"mc_percent":99,"layer_num":1`)
	for _, bb := range []struct{ name, version, frame string }{
		{"A1-delta", "a1-version.json", "a1-delta.json"},
		{"A1-full", "a1-version.json", "a1-full.json"},
		{"P1S-full", "", "p1s-full.json"},
		{"P2S-full", "p2s-version.json", "p2s-full.json"},
		{"X1C-full", "x1c-version.json", "x1c-full.json"},
		{"H2D-full", "h2d-version.json", "h2d-full.json"},
	} {
		frame := []byte(fixture(b, bb.frame))
		forms := map[string][]byte{bb.name: frame}
		if bytes.ContainsRune(frame, '\n') { // sent pretty-printed
			var dense bytes.Buffer
			if err := json.Compact(&dense, frame); err != nil {
				b.Fatal(err)
			}
			forms[bb.name+"-compact"] = dense.Bytes()
		}
		for name, frame := range forms {
			b.Run(name, func(b *testing.B) {
				var s State
				if bb.version != "" {
					apply(b, &s, fixture(b, bb.version))
				}
				reports := 0
				b.ReportAllocs()
				b.SetBytes(int64(len(frame)))
				for b.Loop() {
					b.StopTimer()
					apply(b, &s, other)
					s.Status()
					b.StartTimer()
					if _, err := s.Apply(frame); err != nil {
						b.Fatal(err)
					}
					s.Status()
					reports++
				}
				b.ReportMetric(float64(reports)/b.Elapsed().Seconds(), "reports/s")
			})
		}
	}
}
