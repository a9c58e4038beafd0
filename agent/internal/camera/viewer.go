package camera

import (
	"context"
	"io"
	"sync"
	"time"
)

// Kind is the form of the frames a viewer gets.
type Kind string

// The kinds of frames.
const (
	JPEG Kind = "jpeg" // whole pictures
	H264 Kind = "h264" // access units in Annex B; only of models with RTSPS
)

// Frame is one picture or one H.264 access unit. Its data is shared by all
// viewers: nobody may change it.
type Frame struct {
	Data []byte    // a JPEG file, or an access unit in Annex B with four-byte start codes
	At   time.Time // when it was complete
	Key  bool      // can be shown without the frames before it; true for every picture
}

// Bounds of what waits for a slow H.264 viewer.
const (
	maxWaiting      = 900      // frames
	maxWaitingBytes = 12 << 20 // more than a replayed group of pictures
	fewWaiting      = 8        // frames that may wait when a key frame comes and still be shown
)

// Viewer is one who watches a camera. Next belongs to one goroutine; Close may
// be called by any.
type Viewer struct {
	feed   *feed
	kind   Kind
	fps    float64       // most pictures a second, 0: as they come
	hidden bool          // of our own doing: no viewer to anyone who counts
	wake   chan struct{} // holds one
	once   sync.Once

	// Guarded by feed.mu:
	waiting []Frame
	bytes   int       // of waiting
	lost    bool      // of H.264: useless until the next key frame
	due     time.Time // of JPEG: the next picture is wanted then
	end     error     // why there is no more, nil: there is
}

// Next waits for the next frame. Of pictures it is always the newest, and one
// that was given is never given again; H.264 begins with a key frame, and
// continues with one after a viewer was too slow. The error is io.EOF after
// Close, Relay.Stop or the end of Relay.Run, and a *farm.Error when the camera
// cannot be had (any more); the first call is where a caller learns that.
func (v *Viewer) Next(ctx context.Context) (Frame, error) {
	for {
		if frame, ok, err := v.take(); ok || err != nil {
			return frame, err
		}
		select {
		case <-v.wake:
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// Close ends the viewing; a Next that waits returns io.EOF.
func (v *Viewer) Close() { v.once.Do(func() { v.feed.leave(v) }) }

func (v *Viewer) take() (Frame, bool, error) {
	v.feed.mu.Lock()
	defer v.feed.mu.Unlock()
	if v.end != nil {
		return Frame{}, false, v.end
	}
	if len(v.waiting) == 0 {
		return Frame{}, false, nil
	}
	frame := v.waiting[0]
	v.waiting[0] = Frame{}
	v.waiting = v.waiting[1:]
	v.bytes -= len(frame.Data)
	return frame, true, nil
}

// put gives the viewer a frame of its kind. Callers hold feed.mu.
func (v *Viewer) put(frame Frame) {
	switch {
	case v.kind == JPEG && !v.wants(frame.At), v.kind == H264 && v.lost && !frame.Key:
		return
	case v.kind == JPEG, frame.Key && len(v.waiting) > fewWaiting:
		v.drop()
	case len(v.waiting) >= maxWaiting || v.bytes+len(frame.Data) > maxWaitingBytes:
		v.drop()
		if !frame.Key {
			v.lost = true
			return
		}
	}
	v.lost = false
	v.waiting = append(v.waiting, frame)
	v.bytes += len(frame.Data)
	v.nudge()
}

// wants thins pictures out to the viewer's rate. What came a little early counts
// as in time, so that a camera at just that rate loses none.
func (v *Viewer) wants(at time.Time) bool {
	if v.fps <= 0 {
		return true
	}
	every := time.Duration(float64(time.Second) / v.fps)
	if at.Add(every / 8).Before(v.due) {
		return false
	}
	v.due = v.due.Add(every)
	if v.due.Before(at) {
		v.due = at.Add(every)
	}
	return true
}

func (v *Viewer) drop() {
	clear(v.waiting)
	v.waiting, v.bytes = v.waiting[:0], 0
}

// finish ends the viewer's stream, once. Callers hold feed.mu.
func (v *Viewer) finish(err error) {
	if v.end != nil {
		return
	}
	if err == nil {
		err = io.EOF
	}
	v.drop()
	v.end = err
	v.nudge()
}

func (v *Viewer) nudge() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}
