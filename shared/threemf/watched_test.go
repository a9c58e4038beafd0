package threemf

import (
	"io"
	"runtime"
	"sync/atomic"
)

// watched looks at every read how much memory is held.
type watched struct {
	io.ReaderAt
	reads  int
	base   uint64 // held before
	before uint64 // allocated before
	most   uint64 // held at most
}

func newWatched(r io.ReaderAt) *watched {
	w := &watched{ReaderAt: r}
	m := held()
	w.base, w.most, w.before = m.HeapAlloc, m.HeapAlloc, m.TotalAlloc
	return w
}

func held() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// ReadAt is io.ReaderAt's.
func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	if w.reads++; w.reads%16 == 1 { // it costs time
		w.most = max(w.most, held().HeapAlloc)
	}
	return w.ReaderAt.ReadAt(p, off)
}

// end gives how much was held at most and how much was allocated in all.
func (w *watched) end() (most, all uint64) {
	m := held()
	return max(w.most, m.HeapAlloc) - w.base, m.TotalAlloc - w.before
}

// broken fails at the n-th read.
type broken struct {
	io.ReaderAt
	left atomic.Int64
	err  error
}

// ReadAt is io.ReaderAt's.
func (b *broken) ReadAt(p []byte, off int64) (int, error) {
	if b.left.Add(-1) < 0 {
		return 0, b.err
	}
	return b.ReaderAt.ReadAt(p, off)
}
