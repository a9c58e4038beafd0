// Package events is the news of the append-only event table: who follows it is
// woken when something was appended, and reads the rows themselves, in order and
// from where he was. A follower that dies loses nothing.
package events

import (
	"context"
	"sync"
	"time"

	"bambuddy/shared/farm"
)

// Poll is how long a follower waits for a wake-up before it looks by itself:
// other processes (the administrative commands) append without waking us.
const Poll = 5 * time.Second

// page is how many rows a follower reads at once.
const page = 500

// Store is the table.
type Store interface {
	EventsAfter(ctx context.Context, after int64, limit int) ([]farm.Event, error)
	EventRange(ctx context.Context) (first, last int64, err error)
}

// Log gives the events to any number of followers. Its methods may be called at
// the same time.
type Log struct {
	mu    sync.Mutex
	store Store
	news  chan struct{} // closed and replaced at each Wake
}

// New makes a Log. Its Wake is usually needed before the store it reads stands,
// so the store comes later, with Read.
func New() *Log { return &Log{news: make(chan struct{})} }

// Read sets the table, before anybody follows.
func (l *Log) Read(s Store) { l.store = s }

// Wake tells the followers that events were appended. It never waits.
func (l *Log) Wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.news)
	l.news = make(chan struct{})
}

// Range gives the first and last id kept; first is 0 when none is.
func (l *Log) Range(ctx context.Context) (first, last int64, err error) {
	return l.store.EventRange(ctx)
}

// Last gives the id of the newest event, 0 before the first.
func (l *Log) Last(ctx context.Context) (int64, error) {
	_, last, err := l.store.EventRange(ctx)
	return last, err
}

// After gives up to limit events with ids above after, in order.
func (l *Log) After(ctx context.Context, after int64, limit int) ([]farm.Event, error) {
	return l.store.EventsAfter(ctx, after, limit)
}

// Follow calls fn for each event with an id above after, in order, as they come,
// until ctx ends, fn fails or the table cannot be read, and gives the reason.
func (l *Log) Follow(ctx context.Context, after int64, fn func(farm.Event) error) error {
	return l.FollowPages(ctx, after, func(batch []farm.Event) error {
		for _, e := range batch {
			if err := fn(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// FollowPages is Follow for who writes down many events at once: fn gets as many as
// there are, at least one and at most a page.
func (l *Log) FollowPages(ctx context.Context, after int64, fn func([]farm.Event) error) error {
	poll := time.NewTimer(Poll)
	defer poll.Stop()
	for {
		l.mu.Lock()
		news := l.news // taken before reading: what is appended while we read wakes us
		l.mu.Unlock()
		batch, err := l.store.EventsAfter(ctx, after, page)
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := fn(batch); err != nil {
				return err
			}
			after = batch[len(batch)-1].ID
		}
		if len(batch) == page {
			continue
		}
		poll.Reset(Poll)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		case <-poll.C:
		}
	}
}
