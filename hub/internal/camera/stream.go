package camera

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// How a stream that breaks off is opened again: the viewers see a picture that
// stands still, unless it stays away.
const (
	retryAtMost = 5 * time.Second
	giveUpAfter = time.Minute
)

// backlogBytes bounds what is kept of a video since its last key frame, so that a
// viewer who comes later need not wait for the next one.
const backlogBytes = 4 << 20

var (
	errStopped = farm.Errorf(farm.Unavailable, "the stream was stopped")
	errEnded   = farm.Errorf(farm.Unavailable, "the hub is stopping")
)

// stream is one copy of a camera on its way from an agent.
type stream struct {
	relay  *Relay
	key    streamKey
	cancel context.CancelFunc

	mu      sync.Mutex
	viewers map[*Viewer]struct{}
	err     error // why it is over
	fps     int   // as asked of the agent
	again   context.CancelFunc
	recent  []Frame   // the last picture, or the video since its last key frame
	size    int       // bytes in recent
	gap     bool      // the video is longer than what is kept of it
	newAt   time.Time // when the last frame came
}

func newStream(r *Relay, key streamKey) *stream {
	return &stream{relay: r, key: key, viewers: map[*Viewer]struct{}{}}
}

// join adds a viewer, who begins with what is there.
func (s *stream) join(fps int) *Viewer {
	v := &Viewer{stream: s, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	if fps > 0 {
		v.every = time.Second / time.Duration(fps)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		v.err = s.err
		return v
	}
	s.viewers[v] = struct{}{}
	for _, f := range s.recent {
		v.offer(f, s.key.kind)
	}
	v.skipped = v.skipped || s.gap
	if fps > s.fps {
		s.fps = fps
		if s.again != nil {
			s.again() // ask the agent for more
		}
	}
	return v
}

// leave takes a viewer away; the last one ends the stream.
func (s *stream) leave(v *Viewer) {
	s.relay.mu.Lock() // nobody may come in the meantime
	defer s.relay.mu.Unlock()
	s.mu.Lock()
	delete(s.viewers, v)
	last := len(s.viewers) == 0
	s.mu.Unlock()
	if last && s.relay.streams[s.key] == s {
		delete(s.relay.streams, s.key)
		s.end(errStopped)
	}
}

// end tells the viewers why it is over, once, and how many there were.
func (s *stream) end(err error) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0
	}
	s.err = err
	n := len(s.viewers)
	for v := range s.viewers {
		v.fail(err)
	}
	clear(s.viewers)
	if s.cancel != nil {
		s.cancel()
	}
	return n
}

// run reads the stream until nobody looks any more or it cannot be had.
func (s *stream) run(ctx context.Context) {
	defer s.relay.drop(s)
	var wait backoff.Backoff
	wait.Max = retryAtMost
	last := time.Now() // of a frame
	for {
		began := time.Now()
		got, err := s.read(ctx)
		if got {
			last = time.Now()
		}
		switch {
		case ctx.Err() != nil:
			s.end(errEnded)
			return
		case errors.Is(err, errAgain):
			continue
		case !s.started(), time.Since(last) > giveUpAfter, !passing(err):
			s.end(err)
			return
		}
		s.relay.log.Debug("camera stream broke off, will be opened again", "printer", s.key.source.PrinterID, "err", err)
		pause := time.NewTimer(wait.NextAfter(time.Since(began)))
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
}

// passing tells that the way to the agent is at fault, which mends itself. What the
// agent says of a camera is said after it has tried for a while.
func passing(err error) bool {
	return farm.Is(err, farm.AgentOffline) || farm.Is(err, farm.Unavailable)
}

// errAgain ends a request because another one is wanted.
var errAgain = errors.New("more frames are wanted")

func (s *stream) started() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.recent) > 0
}

// read opens the stream once and reads it until it breaks off; got tells whether
// there was a frame.
func (s *stream) read(ctx context.Context) (got bool, err error) {
	asked, again := context.WithCancel(ctx)
	defer again()
	s.mu.Lock()
	s.again = again
	fps := s.fps
	s.mu.Unlock()
	query := url.Values{}
	if s.key.kind == JPEG && fps > 0 {
		query.Set("fps", fmt.Sprint(fps))
	}
	body, err := s.relay.open(asked, s.key.source, string(s.key.kind), query)
	if err == nil {
		got, err = s.copy(body)
		_ = body.Close()
	}
	if asked.Err() != nil && ctx.Err() == nil {
		return got, errAgain
	}
	return got, err
}

// copy hands frames on until the body ends.
func (s *stream) copy(body io.Reader) (got bool, err error) {
	in := bufio.NewReaderSize(body, 64<<10)
	var head [wire.FrameHeaderSize]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return got, farm.Wrap(farm.Unavailable, err, "the agent ended the stream")
		}
		h, err := wire.ParseFrameHeader(head[:])
		if err != nil {
			return got, farm.Wrap(farm.Unavailable, err, "the agent sent something that is no stream")
		}
		data := make([]byte, h.Length)
		if _, err := io.ReadFull(in, data); err != nil {
			return got, farm.Wrap(farm.Unavailable, err, "the agent ended the stream")
		}
		s.hand(Frame{Data: data, Key: h.Key, At: h.At})
		got = true
	}
}

// hand gives a frame to everybody.
func (s *stream) hand(f Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newAt = time.Now()
	s.keep(f)
	for v := range s.viewers {
		v.offer(f, s.key.kind)
	}
}

// keep remembers what a new viewer begins with.
func (s *stream) keep(f Frame) {
	if s.key.kind == JPEG || f.Key {
		s.recent, s.size, s.gap = append(s.recent[:0:0], f), len(f.Data), false
		return
	}
	if len(s.recent) == 0 || s.gap {
		return
	}
	if s.size += len(f.Data); s.size > backlogBytes || len(s.recent) == queueFrames {
		s.recent, s.gap = []Frame{s.recent[0]}, true // a new viewer sees the key frame and waits for the next
		return
	}
	s.recent = append(s.recent, f)
}

// open asks an agent for something of a camera.
func (r *Relay) open(ctx context.Context, src Source, what string, query url.Values) (io.ReadCloser, error) {
	path := "/v1/printers/" + url.PathEscape(src.Serial) + "/camera/" + what
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	resp, err := r.links.Stream(ctx, src.AgentID, wire.CapCamera, path)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
