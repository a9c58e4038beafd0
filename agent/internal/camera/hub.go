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

// Options are what a Hub is made of.
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

// Hub holds the cameras that somebody watches. All methods are safe for
// concurrent use.
type Hub struct {
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

// New makes a Hub. Nothing is opened before Run.
func New(o Options) *Hub {
	return &Hub{
		o: o, wake: make(chan struct{}, 1), stew: make(chan struct{}, maxStills()),
		feeds: map[string]*feed{}, shots: map[string]*shot{},
	}
}

// Run serves viewers until ctx ends. It returns nil when every connection,
// process and goroutine of theirs is gone.
func (h *Hub) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	for {
		h.mu.Lock()
		h.over = h.over || ctx.Err() != nil
		for _, part := range h.starting { // after the end too: they have viewers to tell
			parts.Go(func() { part(ctx) })
		}
		h.starting = nil
		over := h.over
		h.mu.Unlock()
		if over {
			break
		}
		select {
		case <-h.wake:
		case <-ctx.Done():
		}
	}
	parts.Wait()
	return nil
}

// start hands a part to Run. Callers hold h.mu and have seen that it is not over.
func (h *Hub) start(part func(context.Context)) {
	h.starting = append(h.starting, part)
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Watch begins to watch a printer's camera. It does not wait for the camera:
// that is what the first Next does. fps limits pictures per second; 0 means as
// they come (from H.264: ten). H.264 always comes whole. Close the Viewer when
// done. Errors: farm.NotFound, farm.Unsupported when the model has no such
// camera, farm.FFmpegMissing for pictures of an H.264 camera without ffmpeg,
// farm.Unavailable when the agent is ending.
func (h *Hub) Watch(ctx context.Context, serial string, kind Kind, fps float64) (*Viewer, error) {
	camera, err := h.camera(serial)
	switch {
	case err != nil:
		return nil, err
	case kind != JPEG && kind != H264:
		return nil, farm.Errorf(farm.Invalid, "a camera shows %s or %s, not %q", JPEG, H264, kind)
	case kind == H264 && camera != bambu.CameraRTSP:
		return nil, farm.Errorf(farm.Unsupported, "the camera of this model sends pictures, not H.264")
	case kind == JPEG && camera == bambu.CameraRTSP && h.o.FFmpeg == "":
		return nil, noFFmpeg()
	}
	return h.join(ctx, serial, camera, &Viewer{kind: kind, fps: max(0, fps)})
}

func noFFmpeg() error {
	return farm.Errorf(farm.FFmpegMissing, "the camera of this model sends H.264, and the agent has no ffmpeg to make pictures of it")
}

func (h *Hub) camera(serial string) (bambu.Camera, error) {
	t, err := h.o.Target(serial)
	if err != nil {
		return "", err
	}
	return t.kind()
}

// join adds a viewer to the printer's feed, which begins if there is none.
func (h *Hub) join(ctx context.Context, serial string, camera bambu.Camera, v *Viewer) (*Viewer, error) {
	v.wake = make(chan struct{}, 1)
	for {
		f, err := h.feed(serial, camera)
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

func (h *Hub) feed(serial string, camera bambu.Camera) (*feed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return nil, farm.Errorf(farm.Unavailable, "the agent is ending")
	}
	f := h.feeds[serial]
	if f == nil {
		f = newFeed(h, serial, camera)
		h.feeds[serial] = f
		h.start(f.run)
	}
	return f, nil
}

// forget takes a feed that has ended out of the list.
func (h *Hub) forget(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.feeds, f.serial)
}

// Stop ends the stream of everyone who watches this printer, closes its camera
// and tells how many streams there were.
func (h *Hub) Stop(serial string) int {
	h.mu.Lock()
	f := h.feeds[serial]
	h.mu.Unlock()
	if f == nil {
		return 0
	}
	return f.stop()
}
