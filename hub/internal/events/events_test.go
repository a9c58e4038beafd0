package events

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
)

// table is an event table in memory.
type table struct {
	mu   sync.Mutex
	rows []farm.Event
	err  error
}

func (t *table) append(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range n {
		t.rows = append(t.rows, farm.Event{ID: int64(len(t.rows) + 1)})
	}
}

func (t *table) EventsAfter(_ context.Context, after int64, limit int) ([]farm.Event, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := t.rows[min(int(after), len(t.rows)):]
	return slices.Clone(rows[:min(limit, len(rows))]), t.err
}

func (t *table) EventRange(context.Context) (first, last int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return 0, 0, nil
	}
	return 1, int64(len(t.rows)), nil
}

func TestFollowersHearEverythingInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, log := &table{}, New()
		log.Read(rows)
		rows.append(page*2 + 7) // more than two reads
		ctx, cancel := context.WithCancel(t.Context())
		heard := make([][]int64, 20)
		var wg sync.WaitGroup
		for i := range heard {
			wg.Go(func() {
				err := log.Follow(ctx, int64(i), func(e farm.Event) error {
					heard[i] = append(heard[i], e.ID)
					return nil
				})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("follower %d ended with %v", i, err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		rows.append(3)
		log.Wake()
		synctest.Wait()
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a wake-up took %v", waited)
		}
		cancel()
		wg.Wait()
		for i, ids := range heard {
			if len(ids) != page*2+10-i || ids[0] != int64(i+1) || !slices.IsSorted(ids) {
				t.Errorf("follower %d heard %d events from %d", i, len(ids), ids[0])
			}
		}
	})
}

func TestRowsOfAnotherProcessAreFoundByPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, log := &table{}, New()
		log.Read(rows)
		got := make(chan int64, 1)
		done := make(chan error, 1)
		stop := errors.New("enough")
		go func() {
			done <- log.Follow(t.Context(), 0, func(e farm.Event) error { got <- e.ID; return stop })
		}()
		synctest.Wait()
		rows.append(1) // nobody wakes us
		start := time.Now()
		if id := <-got; id != 1 || time.Since(start) > Poll {
			t.Errorf("event %d after %v", id, time.Since(start))
		}
		if err := <-done; !errors.Is(err, stop) {
			t.Errorf("Follow gave %v, want the follower's own error", err)
		}
	})
}

func TestFollowGivesTheTablesFault(t *testing.T) {
	fault := errors.New("disk on fire")
	log := New()
	log.Read(&table{err: fault})
	if err := log.Follow(t.Context(), 0, func(farm.Event) error { return nil }); !errors.Is(err, fault) {
		t.Errorf("Follow gave %v", err)
	}
}
