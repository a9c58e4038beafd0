package camera

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"bambuddy/shared/wire"
)

// Links are the ways to the agents.
type Links interface {
	// Stream asks an agent for something over its bulk lane. The caller drains or
	// closes the body of the answer.
	Stream(ctx context.Context, agentID int64, need wire.Capability, path string) (*http.Response, error)
}

// Source is a camera to look at.
type Source struct {
	PrinterID int64
	AgentID   int64
	Serial    string
}

// Kind is what a stream carries.
type Kind string

// The kinds of streams.
const (
	JPEG Kind = "stream" // pictures
	H264 Kind = "h264"   // access units in Annex B
)

// Frame is one picture or access unit. It is shared and never changed.
type Frame struct {
	Data []byte
	Key  bool      // it can be shown without those before it
	At   time.Time // when it reached the agent
}

// Relay is all cameras that are being looked at. Its methods may be called
// concurrently.
type Relay struct {
	links Links
	log   *slog.Logger
	base  context.Context // of the upstreams; ends with Run
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu      sync.Mutex
	ended   bool
	streams map[streamKey]*stream
	shots   map[Source]*shot
}

type streamKey struct {
	source Source
	kind   Kind
}

// New makes a Relay; Run keeps it.
func New(links Links, log *slog.Logger) *Relay {
	base, stop := context.WithCancel(context.Background())
	return &Relay{links: links, log: log, base: base, stop: stop, streams: map[streamKey]*stream{}, shots: map[Source]*shot{}}
}

// Run ends every stream when ctx ends, and returns when they are gone.
func (r *Relay) Run(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.stop()
	r.wg.Wait()
	return nil
}

// Watch begins to look at a camera, with at most fps pictures a second. The stream
// from the agent is opened by the first viewer and closed with the last. The
// caller closes the viewer.
func (r *Relay) Watch(src Source, kind Kind, fps int) *Viewer {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := streamKey{src, kind}
	s := r.streams[key]
	if s == nil {
		s = newStream(r, key)
		if r.ended {
			s.end(errEnded)
		} else {
			r.streams[key] = s
			ctx, cancel := context.WithCancel(r.base)
			s.cancel = cancel
			r.wg.Go(func() {
				defer cancel()
				s.run(ctx)
			})
		}
	}
	return s.join(fps)
}

// drop forgets a stream that is over.
func (r *Relay) drop(s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.streams[s.key] == s {
		delete(r.streams, s.key)
	}
}

// Stop ends every viewer's stream of a printer and tells how many there were.
func (r *Relay) Stop(printerID int64) int {
	r.mu.Lock()
	var ending []*stream
	for key, s := range r.streams {
		if key.source.PrinterID == printerID {
			ending = append(ending, s)
			delete(r.streams, key)
		}
	}
	r.mu.Unlock()
	viewers := 0
	for _, s := range ending {
		viewers += s.end(errStopped)
	}
	return viewers
}
