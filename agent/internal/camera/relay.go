package camera

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"sync"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

// Options are what a Relay is made of.
type Options struct {
	// Target finds a printer's camera; farm.NotFound when the agent does not hold
	// the printer. It is asked anew for every connection.
	Target func(serial string) (Target, error)
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	// LiveViewOff tells whether a printer reports that its live view is off, so that
	// a failure can say so. It may be nil.
	LiveViewOff func(serial string) bool
	FFmpeg      string // path of the program, "" when there is none
	Log         *slog.Logger
}

// Relay holds the cameras that somebody watches. All methods are safe for
// concurrent use.
type Relay struct {
	o    Options
	wake chan struct{} // holds one; Run looks at starting
	stew chan struct{} // a token per still that is being decoded

	mu       sync.Mutex // before feed.mu
	over     bool
	starting []func(context.Context) // what Run has to start
	feeds    map[string]*feed
	shots    map[string]*shot
}

// maxStills is how many stills are decoded at a time: each costs 70 MB and a
// tenth of a second of one core.
func maxStills() int { return max(2, runtime.NumCPU()) }

// New makes a Relay. Nothing is opened before Run.
func New(o Options) *Relay {
	return &Relay{
		o: o, wake: make(chan struct{}, 1), stew: make(chan struct{}, maxStills()),
		feeds: map[string]*feed{}, shots: map[string]*shot{},
	}
}

// Run serves viewers until ctx ends. It returns nil when every connection,
// process and goroutine of theirs is gone.
func (r *Relay) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	for {
		r.mu.Lock()
		r.over = r.over || ctx.Err() != nil
		for _, part := range r.starting { // after the end too: they have viewers to tell
			parts.Go(func() { part(ctx) })
		}
		r.starting = nil
		over := r.over
		r.mu.Unlock()
		if over {
			break
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
	parts.Wait()
	return nil
}

// start hands a part to Run. Callers hold r.mu and have seen that it is not over.
func (r *Relay) start(part func(context.Context)) {
	r.starting = append(r.starting, part)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Watch begins to watch a printer's camera. It does not wait for the camera:
// that is what the first Next does. fps limits pictures per second; 0 means as
// they come (from H.264: ten). H.264 always comes whole. Close the Viewer when
// done. Errors: farm.NotFound, farm.Unsupported when the model has no such
// camera, farm.FFmpegMissing for pictures of an H.264 camera without ffmpeg,
// farm.Unavailable when the agent is ending.
func (r *Relay) Watch(ctx context.Context, serial string, kind Kind, fps float64) (*Viewer, error) {
	camera, err := r.camera(serial)
	switch {
	case err != nil:
		return nil, err
	case kind != JPEG && kind != H264:
		return nil, farm.Errorf(farm.Invalid, "a camera shows %s or %s, not %q", JPEG, H264, kind)
	case kind == H264 && camera != bambu.CameraRTSP:
		return nil, farm.Errorf(farm.Unsupported, "the camera of this model sends pictures, not H.264")
	case kind == JPEG && camera == bambu.CameraRTSP && r.o.FFmpeg == "":
		return nil, noFFmpeg()
	}
	return r.join(ctx, serial, camera, &Viewer{kind: kind, fps: max(0, fps)})
}

func noFFmpeg() error {
	return farm.Errorf(farm.FFmpegMissing, "the camera of this model sends H.264, and the agent has no ffmpeg to make pictures of it")
}

func (r *Relay) camera(serial string) (bambu.Camera, error) {
	t, err := r.o.Target(serial)
	if err != nil {
		return "", err
	}
	return t.kind()
}

// join adds a viewer to the printer's feed, which begins if there is none.
func (r *Relay) join(ctx context.Context, serial string, camera bambu.Camera, v *Viewer) (*Viewer, error) {
	v.wake = make(chan struct{}, 1)
	for {
		f, err := r.feed(serial, camera)
		if err != nil {
			return nil, err
		}
		if f.join(v) {
			return v, nil
		}
		// The printer takes one connection at a time: let the old one end first.
		select {
		case <-f.gone:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *Relay) feed(serial string, camera bambu.Camera) (*feed, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return nil, farm.Errorf(farm.Unavailable, "the agent is ending")
	}
	f := r.feeds[serial]
	if f == nil {
		f = newFeed(r, serial, camera)
		r.feeds[serial] = f
		r.start(f.run)
	}
	return f, nil
}

// forget takes a feed that has ended out of the list.
func (r *Relay) forget(f *feed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.feeds, f.serial)
}

// Stop ends the stream of everyone who watches this printer, closes its camera
// and tells how many streams there were.
func (r *Relay) Stop(serial string) int {
	r.mu.Lock()
	f := r.feeds[serial]
	r.mu.Unlock()
	if f == nil {
		return 0
	}
	return f.stop()
}
