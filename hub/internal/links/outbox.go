package links

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Prints is where an agent's outbox is applied.
type Prints interface {
	// Mark is how far an agent's outbox of an epoch has been applied.
	Mark(ctx context.Context, agentID int64, epoch string) (int64, error)
	// Apply applies a page that arrived at that moment, and gives the number up to
	// which everything is applied and committed.
	Apply(ctx context.Context, agent farm.Agent, page wire.OutboxPage, at time.Time) (int64, error)
}

// pagePatience is how long a page may take: the agent's waiting, and a megabyte on
// a slow line.
const pagePatience = wire.OutboxWait*time.Second + 90*time.Second

// readOutbox reads the agent's outbox for as long as the session lives: page by
// page, each applied and committed before it is acknowledged and the next is asked
// for. Nothing of it waits unread in the lane while a database is busy.
func (s *session) readOutbox(ctx context.Context) {
	if s.links.o.Prints == nil || !slices.Contains(s.progress().hello.Capabilities, wire.CapOutbox) {
		return
	}
	var wait backoff.Backoff
	said := ""
	for ctx.Err() == nil {
		began := time.Now()
		err := s.followOutbox(ctx)
		if ctx.Err() != nil {
			return
		}
		if text := fmt.Sprint(err); text != said {
			said = text
			s.links.log.Warn("the outbox of an agent could not be read on, will be tried again", "agent", s.agent.ID, "err", err)
		}
		select {
		case <-time.After(wait.NextAfter(time.Since(began))):
		case <-ctx.Done():
			return
		}
	}
}

// followOutbox reads one epoch until something is wrong.
func (s *session) followOutbox(ctx context.Context) error {
	if err := s.greet(ctx); err != nil { // the epoch may be another one by now
		return err
	}
	epoch := s.progress().hello.Epoch
	mark, err := s.links.o.Prints.Mark(ctx, s.agent.ID, epoch)
	if err != nil {
		return err
	}
	for {
		page, err := s.page(ctx, epoch, mark)
		if err != nil {
			return err
		}
		at := time.Now()
		if len(page.Records) == 0 && page.First <= mark+1 {
			continue // nothing is new, and nothing is lost
		}
		applied, err := s.links.o.Prints.Apply(ctx, s.agent, page, at)
		if err != nil {
			return err
		}
		if applied <= mark { // it would be asked for again at once, and again
			return farm.Errorf(farm.Conflict, "the agent answered with records up to %d, after %d was asked for", applied, mark)
		}
		mark = applied
		if err := s.ack(ctx, epoch, mark); err != nil {
			return err
		}
	}
}

func (s *session) page(ctx context.Context, epoch string, after int64) (wire.OutboxPage, error) {
	ctx, cancel := context.WithTimeout(ctx, pagePatience)
	defer cancel()
	q := url.Values{"epoch": {epoch}, "after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(wire.MaxOutboxPage)}}
	var page wire.OutboxPage
	if err := s.control.Call(ctx, http.MethodGet, "/v1/outbox?"+q.Encode(), nil, &page); err != nil {
		return page, fmt.Errorf("read the outbox after %d: %w", after, err)
	}
	if page.Epoch != epoch {
		return page, farm.Errorf(farm.Conflict, "the agent answered of another epoch than was asked for")
	}
	return page, nil
}

// ack tells the agent what it need not keep for us any more. When the answer is
// lost, the next acknowledgement says the same and more.
func (s *session) ack(ctx context.Context, epoch string, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, helloPatience)
	defer cancel()
	ack := wire.OutboxAck{HubID: s.links.o.HubID, Generation: s.links.o.Generation, Epoch: epoch, N: n}
	if err := s.control.Call(ctx, http.MethodPost, "/v1/outbox/ack", ack, nil); err != nil {
		return fmt.Errorf("acknowledge the outbox up to %d: %w", n, err)
	}
	return nil
}

// File asks an agent for a captured file from an offset on, over the bulk lane. The
// caller drains or closes the body. FILE_UNAVAILABLE when the agent has it no more.
func (l *Links) File(ctx context.Context, agentID int64, sha256 string, offset int64) (*http.Response, error) {
	c, err := l.bulk(agentID, wire.CapCaptures)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/v1/files/"+sha256, nil)
	if err != nil {
		return nil, fmt.Errorf("make the request for a file: %w", err)
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	return roundTrip(c, req)
}

// Release tells an agent that a print's file is safe, so that it need not keep it.
func (l *Links) Release(ctx context.Context, agentID int64, sha256, ref string) error {
	c, err := l.bulk(agentID, wire.CapCaptures)
	if err != nil {
		return err
	}
	return c.Call(ctx, http.MethodDelete, "/v1/files/"+sha256+"?"+url.Values{"ref": {ref}}.Encode(), nil, nil)
}
