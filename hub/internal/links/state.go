package links

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

const (
	stateSilence = 45 * time.Second // three beats
	// stateAfterPush is how long the state stream waits for the first config push,
	// so that its first frames already speak of the printers that are wanted.
	stateAfterPush = 5 * time.Second
)

var errSilent = errors.New("no line for 45 s")

// readStates reads the agent's state stream into the live picture and opens it
// again when it ends. An agent whose stream stays silent twice in a row is stuck:
// its session is ended, so that it connects anew.
func (s *session) readStates(ctx context.Context, pushed <-chan struct{}) {
	select {
	case <-pushed:
	case <-time.After(stateAfterPush):
	case <-ctx.Done():
		return
	}
	var wait backoff.Backoff
	silent, said := 0, false
	for {
		began := time.Now()
		lines, err := s.readStream(ctx)
		if ctx.Err() != nil {
			return
		}
		if lines > 0 {
			silent, said = 0, false
		}
		if errors.Is(err, errSilent) {
			silent++
		}
		if !said {
			said = true
			s.links.log.Warn("state stream ended", "agent", s.agent.ID, "reason", err)
		}
		if silent == 2 {
			s.finish(tunnel.StatusReplaced, "no state arrives")
			return
		}
		select {
		case <-time.After(wait.NextAfter(time.Since(began))):
		case <-ctx.Done():
			return
		}
	}
}

// readStream reads one stream to its end: it returns how many lines came, and why
// no more do.
func (s *session) readStream(ctx context.Context) (lines int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var silent atomic.Bool
	watch := time.AfterFunc(stateSilence, func() {
		silent.Store(true)
		cancel()
	})
	defer watch.Stop()
	defer func() {
		if silent.Load() {
			err = errSilent
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/v1/state", nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.control.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the agent answered %d", resp.StatusCode)
	}
	in := newLineReader(resp.Body, wire.MaxStateLine)
	for {
		line, err := in.next()
		switch {
		case errors.Is(err, errLongLine):
			s.badLine(err)
		case errors.Is(err, io.EOF):
			return lines, errors.New("the agent ended it")
		case err != nil:
			return lines, err
		default:
			s.apply(line)
		}
		lines++
		watch.Reset(stateSilence)
	}
}

// apply hands one line to the live picture, which takes it in memory at once: while
// unread bytes wait in the lane, nothing here waits for anything else.
func (s *session) apply(line []byte) {
	var f wire.StateFrame
	if err := json.Unmarshal(line, &f); err != nil {
		s.badLine(err)
		return
	}
	s.mu.Lock()
	s.is.stateAt = time.Now()
	s.mu.Unlock()
	if f.Serial != "" { // else a beat
		s.links.o.Live.Apply(s.agent.ID, f)
	}
}

// badLine counts a line that cannot be read; the first of a session is logged.
func (s *session) badLine(err error) {
	s.mu.Lock()
	s.is.badLines++
	first := s.is.badLines == 1
	s.mu.Unlock()
	if first {
		s.links.log.Warn("the agent sends states that cannot be read; more of them are only counted", "agent", s.agent.ID, "err", clip(err.Error(), 200))
	}
}
