package camera

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"bambuddy/shared/bambu"
)

const (
	linger = 5 * time.Second // the camera stays open this long after the last viewer
	fresh  = time.Second     // a frame this young passes for the present
)

// A group of pictures is kept for those who come in the middle of it, within
// these bounds. Some printers send a key frame only every ten seconds.
const (
	maxGroup      = 600     // frames
	maxGroupBytes = 8 << 20 // of one printer that is being watched
)

// feed is one printer's camera: one upstream and everyone who watches it.
type feed struct {
	relay   *Relay
	serial  string
	camera  bambu.Camera
	log     *slog.Logger
	gone    chan struct{} // closed when all is over and another feed may begin
	turnout chan struct{} // holds one: viewers came or went
	rate    chan struct{} // holds one: the wanted rate of pictures may be another

	mu      sync.Mutex
	viewers map[*Viewer]struct{}
	closing bool    // no viewer may join
	hurry   bool    // close as soon as nobody watches
	picture Frame   // the last JPEG
	group   []Frame // the last key frame of H.264 and what came after it, nil: unknown
	bytes   int     // of group
}

func newFeed(r *Relay, serial string, camera bambu.Camera) *feed {
	return &feed{
		relay: r, serial: serial, camera: camera, log: r.o.Log.With("serial", serial),
		gone: make(chan struct{}), turnout: make(chan struct{}, 1), rate: make(chan struct{}, 1),
		viewers: map[*Viewer]struct{}{},
	}
}

// run lives until nobody has watched for a while, the camera cannot be had or
// ctx ends.
func (f *feed) run(ctx context.Context) {
	defer close(f.gone)
	defer f.relay.forget(f)
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := f.pump(ctx); err != nil {
			f.finish(err)
			cancel()
		}
	})
	if f.camera == bambu.CameraRTSP && f.relay.o.FFmpeg != "" {
		parts.Go(func() { f.transcode(ctx) })
	}
	f.attend(ctx)
	cancel()
	parts.Wait()
	f.finish(nil)
}

// attend waits until nobody has watched for the time of linger.
func (f *feed) attend(ctx context.Context) {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for {
		watched, hurry := f.watched()
		switch {
		case watched:
			timer.Stop()
		case hurry:
			timer.Reset(0)
		default:
			timer.Reset(linger)
		}
		select {
		case <-ctx.Done():
			return
		case <-f.turnout:
		case <-timer.C:
			if f.deserted() {
				return
			}
		}
	}
}

func (f *feed) watched() (watched, hurry bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.viewers) > 0, f.hurry
}

// deserted closes the feed to newcomers if nobody is there.
func (f *feed) deserted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closing = f.closing || len(f.viewers) == 0
	return f.closing
}

// join adds a viewer and shows it what is known already; false when the feed is
// ending.
func (f *feed) join(v *Viewer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return false
	}
	v.feed = f
	f.viewers[v] = struct{}{}
	f.hurry = false
	f.show(v)
	signal(f.turnout)
	signal(f.rate)
	return true
}

// show gives a newcomer the last picture if it is fresh, or the group of
// pictures that is going on. Callers hold f.mu.
func (f *feed) show(v *Viewer) {
	if v.kind == JPEG {
		if f.picture.Data != nil && time.Since(f.picture.At) <= fresh {
			v.put(f.picture)
		}
		return
	}
	v.lost = true
	for _, frame := range f.group {
		v.put(frame)
	}
}

func (f *feed) leave(v *Viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.viewers, v)
	v.finish(nil)
	signal(f.turnout)
	signal(f.rate)
}

// stop ends the stream of all who watch and tells how many.
func (f *feed) stop() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hurry = true
	ended := 0
	for v := range f.viewers {
		if !v.hidden {
			delete(f.viewers, v)
			v.finish(nil)
			ended++
		}
	}
	signal(f.turnout)
	signal(f.rate)
	return ended
}

// finish ends the feed for everyone; nil is an end without a fault.
func (f *feed) finish(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closing = true
	for v := range f.viewers {
		delete(f.viewers, v)
		v.finish(err)
	}
}

// failPictures ends the stream of those who wait for pictures.
func (f *feed) failPictures(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for v := range f.viewers {
		if v.kind == JPEG {
			delete(f.viewers, v)
			v.finish(err)
		}
	}
	signal(f.turnout)
}

// publish hands a frame of the camera to whom it concerns.
func (f *feed) publish(frame Frame) {
	if f.camera == bambu.CameraJPEG {
		f.publishPicture(frame)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keep(frame)
	for v := range f.viewers {
		if v.kind == H264 {
			v.put(frame)
		}
	}
}

func (f *feed) publishPicture(frame Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.picture = frame
	for v := range f.viewers {
		if v.kind == JPEG {
			v.put(frame)
		}
	}
}

// keep adds to the group of pictures. One that grows beyond its bounds is given
// up, and newcomers wait for the next key frame.
func (f *feed) keep(frame Frame) {
	if frame.Key {
		clear(f.group)
		f.group, f.bytes = f.group[:0], 0
	} else if len(f.group) == 0 {
		return
	}
	if f.bytes += len(frame.Data); len(f.group) >= maxGroup || f.bytes > maxGroupBytes {
		f.group = nil
		return
	}
	f.group = append(f.group, frame)
}

// interrupted tells that the camera's next frame does not follow the last one.
func (f *feed) interrupted() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.group, f.bytes = nil, 0
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
