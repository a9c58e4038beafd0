package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// feed follows /events as a dashboard does: it comes back where it was, over
// restarts of the hub, and keeps the table events it saw.
type feed struct {
	rig    *rig
	cancel context.CancelFunc
	over   chan struct{}

	mu     sync.Mutex
	last   string
	events []event
	states int
}

// event is a table event as the stream tells it.
type event struct {
	ID        int64
	Kind      string
	PrinterID int64 `json:"printer_id"`
	AgentID   int64 `json:"agent_id"`
}

func (r *rig) follow() *feed {
	ctx, cancel := context.WithCancel(context.Background())
	f := &feed{rig: r, cancel: cancel, over: make(chan struct{}), last: "0"}
	go func() {
		defer close(f.over)
		for ctx.Err() == nil {
			f.read(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return f
}

func (f *feed) close() {
	f.cancel()
	<-f.over
}

func (f *feed) read(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+hubAddress+"/api/v1/events", nil)
	if err != nil {
		return
	}
	req.Header.Set("X-API-Key", f.rig.key)
	req.Header.Set("Last-Event-ID", f.last)
	res, err := f.rig.client.Do(req)
	if err != nil {
		return
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	var e event
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			e.Kind = value
		case "id":
			e.ID, _ = strconv.ParseInt(value, 10, 64)
		case "data":
			_ = json.Unmarshal([]byte(value), &e)
		case "":
			f.take(e)
			e = event{}
		}
	}
}

func (f *feed) take(e event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case e.ID != 0:
		f.last = strconv.FormatInt(e.ID, 10)
		f.events = append(f.events, e)
	case e.Kind == "state":
		f.states++
	}
}

// kinds are the events of a printer, or those of agents and sites for 0, so far.
func (f *feed) kinds(printer int64) (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.PrinterID == printer {
			out = append(out, e.Kind)
		}
	}
	return out
}

// count is how often something happened.
func (f *feed) count(kind string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
