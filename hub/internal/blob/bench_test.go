package blob_test

import (
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/hub/internal/blob/s3test"
)

// zeros is an endless body that costs nothing to make.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func body(size int64) io.Reader { return io.LimitReader(zeros{}, size) }

// TestMemoryDoesNotGrowWithTheObject allocates for a large object what it does for one
// of a few parts.
func TestMemoryDoesNotGrowWithTheObject(t *testing.T) {
	server := s3test.Start(t)
	for name, s := range map[string]blob.Store{"files": files(t, t.TempDir()), "s3": s3(t, server, nil)} {
		for _, size := range []int64{96 << 20, -1} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := s.Put(t.Context(), "big", body(96<<20), size, blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			r, _, err := s.Get(t.Context(), "big", 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n != 96<<20 {
				t.Fatalf("read %d bytes, %v", n, err)
			}
			_ = r.Close()
			runtime.ReadMemStats(&after)
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 40 {
				t.Errorf("%s, size %d: allocated %d MiB in all for 96 MiB", name, size, used)
			}
		}
	}
}

// Run with -benchtime 5x; peak-MiB is the heap in use at its highest, with the
// benchmark's own.
func Benchmark(b *testing.B) {
	server := s3test.Start(b)
	for _, name := range []string{"files", "s3"} {
		var s blob.Store = files(b, b.TempDir())
		if name == "s3" {
			s = s3(b, server, nil)
		}
		for _, size := range []int64{100 << 10, 1 << 20, 20 << 20, 200 << 20} {
			b.Run(fmt.Sprintf("%s/put/%dK", name, size>>10), func(b *testing.B) {
				b.SetBytes(size)
				peak := watchHeap()
				for i := 0; b.Loop(); i++ {
					if _, err := s.Put(b.Context(), fmt.Sprintf("bench/%d", size), body(size), size, blob.PutOptions{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(peak())/(1<<20), "peak-MiB")
			})
			b.Run(fmt.Sprintf("%s/get/%dK", name, size>>10), func(b *testing.B) {
				b.SetBytes(size)
				for b.Loop() {
					r, _, err := s.Get(b.Context(), fmt.Sprintf("bench/%d", size), 0, -1)
					if err != nil {
						b.Fatal(err)
					}
					if n, err := io.Copy(io.Discard, r); err != nil || n != size {
						b.Fatal(n, err)
					}
					_ = r.Close()
				}
			})
		}
		b.Run(name+"/range/64K", func(b *testing.B) {
			for i := int64(0); b.Loop(); i++ {
				r, _, err := s.Get(b.Context(), fmt.Sprintf("bench/%d", 20<<20), i%300<<16, 64<<10)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				_ = r.Close()
			}
		})
	}
}

// watchHeap looks at the heap until the function it gives is called, which tells the
// highest it was.
func watchHeap() func() uint64 {
	end := make(chan struct{})
	var highest uint64
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			highest = max(highest, sample[0].Value.Uint64())
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	return func() uint64 {
		close(end)
		wg.Wait()
		return highest
	}
}
