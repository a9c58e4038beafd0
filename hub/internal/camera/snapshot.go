package camera

import (
	"context"
	"errors"
	"io"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// How old a picture of a running stream may be to serve as a snapshot, and how
// long one may take.
const (
	freshFor     = time.Second
	snapshotTime = 5 * time.Second
)

// shot is a snapshot under way, shared by all who ask for it meanwhile.
type shot struct {
	done chan struct{}
	data []byte
	err  error
}

// Snapshot gives one JPEG within 5 s. Callers at the same time share one.
func (r *Relay) Snapshot(ctx context.Context, src Source) ([]byte, error) {
	r.mu.Lock()
	if s := r.streams[streamKey{src, JPEG}]; s != nil {
		if f, age := s.newest(); age < freshFor {
			r.mu.Unlock()
			return f.Data, nil
		}
	}
	one := r.shots[src]
	switch {
	case one != nil:
	case r.ended:
		r.mu.Unlock()
		return nil, errEnded
	default:
		one = &shot{done: make(chan struct{})}
		r.shots[src] = one
		r.wg.Go(func() { r.take(r.base, src, one) })
	}
	r.mu.Unlock()
	select {
	case <-one.done:
		return one.data, one.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *Relay) take(ctx context.Context, src Source, one *shot) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	one.data, one.err = r.fetch(ctx, src)
	if one.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		one.err = farm.Wrap(farm.PrinterNotConnected, one.err, "the camera gave no picture within %d s", int(snapshotTime.Seconds()))
	}
	r.mu.Lock()
	delete(r.shots, src)
	r.mu.Unlock()
	close(one.done)
}

func (r *Relay) fetch(ctx context.Context, src Source) ([]byte, error) {
	body, err := r.open(ctx, src, "snapshot", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	b, err := io.ReadAll(io.LimitReader(body, wire.MaxFrame+1))
	switch {
	case err != nil:
		return nil, farm.Wrap(farm.Unavailable, err, "the agent broke off")
	case len(b) == 0 || len(b) > wire.MaxFrame:
		return nil, farm.Errorf(farm.Unavailable, "the agent sent something that is no picture")
	}
	return b, nil
}

// newest is the last picture there was, and how long ago it came.
func (s *stream) newest() (Frame, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.recent) == 0 {
		return Frame{}, time.Hour
	}
	return s.recent[len(s.recent)-1], time.Since(s.newAt)
}
