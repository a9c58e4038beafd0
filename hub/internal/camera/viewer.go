package camera

import (
	"context"
	"sync"
	"time"
)

// Bounds of what waits for a slow viewer of a video.
const (
	queueFrames = 150
	queueBytes  = 4 << 20
)

// Viewer is one who looks at a camera. One goroutine uses it, and closes it.
type Viewer struct {
	stream *stream
	every  time.Duration // between two pictures, 0: all there are
	last   time.Time     // when one was given; Next's alone
	wake   chan struct{}
	ended  chan struct{} // closed with err

	mu      sync.Mutex
	queue   []Frame
	bytes   int
	skipped bool // parts of a video are missing: go on with a key frame
	err     error
}

// Next waits for the next frame: of pictures the newest there is, of a video the
// next one, or the next key frame when too many were waiting. It ends with ctx, or
// with the error that ended the stream.
func (v *Viewer) Next(ctx context.Context) (Frame, error) {
	if err := v.pace(ctx); err != nil {
		return Frame{}, err
	}
	for {
		f, ok, err := v.take()
		if ok || err != nil {
			v.last = time.Now()
			return f, err
		}
		select {
		case <-v.wake:
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// pace waits until another picture is due. A camera's own beat is not exact, so
// that a tenth of a beat too early is in time.
func (v *Viewer) pace(ctx context.Context) error {
	if v.every == 0 || v.last.IsZero() {
		return nil
	}
	due := time.NewTimer(v.every*9/10 - time.Since(v.last))
	defer due.Stop()
	select {
	case <-due.C:
		return nil
	case <-v.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *Viewer) take() (Frame, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return Frame{}, false, v.err
	}
	if len(v.queue) == 0 {
		return Frame{}, false, nil
	}
	f := v.queue[0]
	v.queue[0] = Frame{} // or the array would hold it
	v.queue = v.queue[1:]
	v.bytes -= len(f.Data)
	return f, true, nil
}

// offer gives the viewer a frame and never waits.
func (v *Viewer) offer(f Frame, kind Kind) {
	v.mu.Lock()
	switch {
	case kind == JPEG:
		v.queue, v.bytes = append(v.queue[:0:0], f), len(f.Data)
	case v.skipped && !f.Key:
	case f.Key && v.skipped, len(v.queue) >= queueFrames, v.bytes+len(f.Data) > queueBytes:
		v.queue, v.bytes, v.skipped = nil, 0, true
		if f.Key {
			v.queue, v.bytes, v.skipped = []Frame{f}, len(f.Data), false
		}
	default:
		v.queue = append(v.queue, f)
		v.bytes += len(f.Data)
	}
	v.mu.Unlock()
	v.nudge()
}

func (v *Viewer) fail(err error) {
	v.mu.Lock()
	v.err = err
	v.mu.Unlock()
	close(v.ended)
	v.nudge()
}

func (v *Viewer) nudge() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Close ends the looking.
func (v *Viewer) Close() { v.stream.leave(v) }
