package ftps

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bambuddy/shared/farm"
)

// lane is the queue of one printer, and what was learnt of it. Whoever has the
// turn owns clear.
type lane struct {
	turn  chan struct{} // holds one token: the turn
	users int           // waiting or at work; owned by lanes.mu
	clear bool          // data connections are not encrypted
}

// lanes are the queues of all printers. A lane is kept while somebody is in it,
// or while it has something to remember.
type lanes struct {
	mu   sync.Mutex
	open map[string]*lane
}

// turnWait is how long an operation waits for its turn. Whoever asked from afar
// gives up at some time, and could not tell then whether it has begun.
const turnWait = 40 * time.Second

// enter waits for the turn.
func (s *lanes) enter(ctx context.Context, serial string) (*lane, error) {
	s.mu.Lock()
	l := s.open[serial]
	if l == nil {
		l = &lane{turn: make(chan struct{}, 1)}
		s.open[serial] = l
	}
	l.users++
	s.mu.Unlock()
	limit := time.NewTimer(turnWait)
	defer limit.Stop()
	select {
	case l.turn <- struct{}{}:
		return l, nil
	case <-limit.C:
	case <-ctx.Done():
	}
	s.drop(serial, l)
	if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, farm.Errorf(farm.PrinterBusy, "another file operation is running on this printer, and lasts; nothing was done")
	}
	return nil, fmt.Errorf("wait for the printer's other file operation: %w", ctx.Err())
}

// leave gives the turn to who waits longest.
func (s *lanes) leave(serial string, l *lane) {
	<-l.turn
	s.drop(serial, l)
}

func (s *lanes) drop(serial string, l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.users--
	if l.users == 0 && !l.clear {
		delete(s.open, serial)
	}
}
