package hublink

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"bambuddy/shared/wire"
)

// getState streams the states of all printers, one JSON object a line, until the
// hub or the lane ends it. A hub that reads slowly makes the fleet's watcher
// merge; nothing piles up here. An idle stream carries a beat now and then.
func (a *api) getState(w http.ResponseWriter, r *http.Request) error {
	states := a.fleet.Watch()
	defer states.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	out := stateWriter{api: a, buf: bufio.NewWriterSize(w, 16<<10), flush: http.NewResponseController(w)}
	for {
		frames, err := next(r.Context(), states)
		if err != nil {
			return nil // the answer is under way: there is no other way to tell but to end it
		}
		if err := out.write(frames); err != nil {
			return nil
		}
	}
}

// next waits for changes, or makes a beat when none comes.
func next(ctx context.Context, states Watcher) ([]wire.StateFrame, error) {
	patience, cancel := context.WithTimeout(ctx, wire.StateBeat*time.Second)
	defer cancel()
	frames, err := states.Next(patience)
	if err != nil && ctx.Err() == nil && patience.Err() != nil {
		return []wire.StateFrame{{}}, nil
	}
	return frames, err
}

type stateWriter struct {
	api    *api
	buf    *bufio.Writer
	flush  *http.ResponseController
	warned bool
}

// write sends a batch of lines and flushes once.
func (s *stateWriter) write(frames []wire.StateFrame) error {
	for _, f := range frames {
		line, err := json.Marshal(f)
		if err != nil || len(line) >= wire.MaxStateLine {
			if !s.warned {
				s.warned = true
				s.api.log.Error("a printer's state cannot be sent to the hub", "printer", f.Serial, "bytes", len(line), "err", err)
			}
			continue
		}
		if _, err := s.buf.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if err := s.buf.Flush(); err != nil {
		return err
	}
	return s.flush.Flush()
}
