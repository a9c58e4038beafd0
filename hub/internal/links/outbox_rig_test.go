package links

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// story is what happened between an agent's outbox and the prints, in order.
type story struct {
	mu    sync.Mutex
	lines []string
}

func (s *story) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// take gives what was told since it was called last.
func (s *story) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.lines
	s.lines = nil
	return out
}

// testOutbox is an agent's, of records that hold nothing but their numbers.
type testOutbox struct {
	story *story

	mu     sync.Mutex
	epoch  string
	last   int64
	limit  int64 // of a page
	news   chan struct{}
	stale  bool  // answers with what was read before
	ackErr error // of the next acknowledgement
	other  string
}

func newOutbox(s *story, epoch string, last int64) *testOutbox {
	return &testOutbox{story: s, epoch: epoch, last: last, limit: 3, news: make(chan struct{})}
}

func (o *testOutbox) named() string {
	if o == nil {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.epoch
}

// set changes it, and wakes who waits for records.
func (o *testOutbox) set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
	close(o.news)
	o.news = make(chan struct{})
}

func (o *testOutbox) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/outbox/ack" {
		o.ack(w, r)
		return
	}
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	limit := r.URL.Query().Get("limit")
	patience := time.After(wire.OutboxWait * time.Second)
	for waiting := true; ; {
		o.mu.Lock()
		epoch, last, news, stale := o.epoch, o.last, o.news, o.stale
		most, other := o.limit, o.other
		o.mu.Unlock()
		switch {
		case r.URL.Query().Get("epoch") != epoch || after > last:
			tunnel.Answer(w, farm.Errorf(farm.Conflict, "another epoch"), 0)
			return
		case limit != strconv.Itoa(wire.MaxOutboxPage):
			tunnel.Answer(w, farm.Errorf(farm.Invalid, "limit %s", limit), 0)
			return
		}
		page := wire.OutboxPage{Epoch: epoch, First: 1, Last: last, Clock: wire.Clock{ProcessID: "boot"}}
		if other != "" {
			page.Epoch = other
		}
		from := after
		if stale {
			from = max(0, after-2)
		}
		for n := from + 1; n <= min(last, from+most); n++ {
			page.Records = append(page.Records, wire.OutboxRecord{N: n})
		}
		if len(page.Records) > 0 || !waiting {
			_ = json.NewEncoder(w).Encode(page)
			return
		}
		select {
		case <-news:
		case <-patience:
			waiting = false
		case <-r.Context().Done():
			return
		}
	}
}

func (o *testOutbox) ack(w http.ResponseWriter, r *http.Request) {
	var ack wire.OutboxAck
	_ = json.NewDecoder(r.Body).Decode(&ack)
	o.mu.Lock()
	err := o.ackErr
	o.ackErr = nil
	o.mu.Unlock()
	if err != nil {
		o.story.tell("ack %s %d refused", ack.Epoch, ack.N)
		tunnel.Answer(w, err, 0)
		return
	}
	o.story.tell("ack %s %d", ack.Epoch, ack.N)
	if ack.HubID != testHubID || ack.Generation != 4 {
		o.story.tell("of another hub: %+v", ack)
	}
	_, _ = w.Write([]byte("{}"))
}

// memPrints applies pages: it keeps the marks, and tells.
type memPrints struct {
	story *story

	mu      sync.Mutex
	marks   map[string]int64
	failing error
	hang    chan struct{} // not nil: Apply waits until it is closed
	late    []time.Duration
}

func newPrints(s *story) *memPrints { return &memPrints{story: s, marks: map[string]int64{}} }

func markKey(agentID int64, epoch string) string { return fmt.Sprintf("%d %s", agentID, epoch) }

func (p *memPrints) Mark(_ context.Context, agentID int64, epoch string) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.story.tell("mark %s", markKey(agentID, epoch))
	return p.marks[markKey(agentID, epoch)], p.failing
}

func (p *memPrints) Apply(ctx context.Context, agent farm.Agent, page wire.OutboxPage, at time.Time) (int64, error) {
	p.mu.Lock()
	hang := p.hang
	p.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = append(p.late, time.Since(at))
	if p.failing != nil {
		p.story.tell("apply failed")
		return 0, p.failing
	}
	key := markKey(agent.ID, page.Epoch)
	p.story.tell("apply %s %d-%d", key, page.Records[0].N, page.Records[len(page.Records)-1].N)
	p.marks[key] = max(p.marks[key], page.Records[len(page.Records)-1].N)
	return p.marks[key], nil
}

func (p *memPrints) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// reader is a hub that reads the outbox of agent 1, which is not up yet.
func reader(t *testing.T, last int64) (*rig, *testAgent, *memPrints, *story) {
	t.Helper()
	s := &story{}
	prints := newPrints(s)
	r := newRig(t, func(o *Options) { o.Prints, o.Generation = prints, 4 })
	a := r.enrolled(1)
	a.capabilities = append(a.capabilities, wire.CapOutbox)
	a.outbox = newOutbox(s, "E1", last)
	return r, a, prints, s
}

func wantStory(t *testing.T, s *story, want ...string) {
	t.Helper()
	if got := s.take(); !slices.Equal(got, want) {
		t.Errorf("happened:\n%q\nwant:\n%q", got, want)
	}
}
