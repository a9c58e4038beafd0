package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/fleet"
	"bambuddy/shared/farm"
)

// The times of a stream.
const (
	beatEvery = 15 * time.Second
	writeTime = 10 * time.Second // of one write; a client that takes longer is cut off
)

// stream is one open connection of /events. Four goroutines write to it, one
// after the other: changes of state, table events, transfers, and the beat. None of them
// queues anything: a slow client holds them up, and what they would say waits
// where it is kept anyway (the fleet's set of changed printers, the event table).
type stream struct {
	server *server
	caller auth.Principal
	shown  map[int64]*rendition // what the client has, by printer; only states uses it

	mu sync.Mutex // one write at a time
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newStream(s *server, caller auth.Principal, w http.ResponseWriter) *stream {
	return &stream{server: s, caller: caller, shown: map[int64]*rendition{}, w: w, rc: http.NewResponseController(w)}
}

// run serves the stream until the client, its key or the hub ends.
func (st *stream) run(ctx context.Context, from start, agents []Agent) {
	watch := st.server.fleet.Watch()
	defer watch.Close()
	defer func() { _ = st.rc.SetWriteDeadline(time.Time{}) }() // the connection may serve more requests

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return st.server.whileTrusted(ctx, st.caller) })
	g.Go(func() error { return st.beat(ctx) })
	g.Go(func() error {
		if err := st.begin(ctx, watch, from, agents); err != nil {
			return err
		}
		g.Go(func() error { return st.states(ctx, watch) })
		g.Go(func() error { return st.transfers(ctx) })
		return st.server.events.Follow(ctx, from.after, st.event)
	})
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		st.server.log.Debug("event stream ended", "caller", st.caller.Name(), "err", err)
	}
}

// begin sends what every stream begins with. The position in the event table was
// taken before the picture, so nothing falls in between.
func (st *stream) begin(ctx context.Context, watch *fleet.Watcher, from start, agents []Agent) error {
	views, _, err := watch.Next(ctx)
	if err != nil {
		return err
	}
	st.server.feed.keep(views)
	snap := Snapshot{LastEventID: from.after, Printers: make([]PrinterStatus, 0, len(views)), Agents: agents}
	for _, v := range views {
		if !st.caller.Sees(v.Printer.ID, v.Printer.SiteID) {
			continue
		}
		r, err := st.server.feed.render(v)
		if err != nil {
			return err
		}
		st.shown[v.Printer.ID] = r
		snap.Printers = append(snap.Printers, PrinterStatus{Printer: st.server.printerOf(v), Status: r.object()})
	}
	data, err := json.Marshal(snap)
	if err != nil {
		return fmt.Errorf("render the snapshot: %w", err)
	}
	out := append([]byte("retry: 2000\n"), frame("", "snapshot", data)...)
	if from.reset {
		data, _ := json.Marshal(Reset{Detail: "events before this are no longer kept", LastEventID: from.after}) // plain values always marshal
		out = append(out, frame("", "reset", data)...)
	}
	return st.write(out)
}

// states sends what changes, newest wins.
func (st *stream) states(ctx context.Context, watch *fleet.Watcher) error {
	for {
		changed, gone, err := watch.Next(ctx)
		if err != nil {
			return err
		}
		var out []byte
		for _, v := range changed {
			if !st.caller.Sees(v.Printer.ID, v.Printer.SiteID) {
				out = append(out, st.lost(v.Printer.ID)...)
				continue
			}
			r, err := st.server.feed.render(v)
			if err != nil {
				return err
			}
			out = append(out, r.frameSince(v.Printer.ID, st.shown[v.Printer.ID])...)
			st.shown[v.Printer.ID] = r
		}
		for _, id := range gone {
			st.server.feed.forget(id)
			out = append(out, st.lost(id)...)
		}
		if err := st.write(out); err != nil {
			return err
		}
	}
}

// lost tells that a printer the client has been shown is out of its sight.
func (st *stream) lost(printerID int64) []byte {
	if _, shown := st.shown[printerID]; !shown {
		return nil
	}
	delete(st.shown, printerID)
	return fmt.Appendf(nil, "event: state\ndata: {\"printer_id\":%d,\"changed\":{},\"removed\":true}\n\n", printerID)
}

// transfers sends how files get on that are on their way, newest wins.
func (st *stream) transfers(ctx context.Context) error {
	if st.server.archive == nil {
		return nil
	}
	watch := st.server.archive.Watch()
	defer watch.Close()
	for {
		news, err := watch.Next(ctx)
		if err != nil {
			return err
		}
		var out []byte
		for _, t := range news {
			if !st.caller.SeesPrint(farm.Print{PrinterID: t.PrinterID, SiteID: t.SiteID}) {
				continue
			}
			data, err := json.Marshal(TransferFrame{
				ArchiveID: t.PrintID, Role: t.Role, Bytes: t.Bytes, Size: t.Size, Done: t.Done, Error: orNull(t.Error),
			})
			if err != nil {
				return fmt.Errorf("render a transfer: %w", err)
			}
			out = append(out, frame("", "transfer", data)...)
		}
		if err := st.write(out); err != nil {
			return err
		}
	}
}

// event sends one table event, if the caller may see what it is about.
func (st *stream) event(e farm.Event) error {
	if !st.mayHear(e) {
		return nil
	}
	f, err := eventFrame(e)
	if err != nil {
		return fmt.Errorf("render event %d: %w", e.ID, err)
	}
	return st.write(f)
}

func (st *stream) mayHear(e farm.Event) bool {
	switch {
	case e.Kind == farm.EventWebhookDisabled: // it may be of everything
		return st.caller.AllPrinters() && st.caller.Sites() == nil
	case e.PrinterID != 0:
		return st.caller.Sees(e.PrinterID, e.SiteID)
	case e.AgentID != 0:
		return st.server.seesAgent(st.caller, e.AgentID, e.SiteID)
	case strings.HasPrefix(e.Kind, "archive_"): // of an upload, or its printer was removed
		return st.caller.SeesPrint(farm.Print{SiteID: e.SiteID})
	}
	if e.SiteID == 0 { // of the hub: projects are everybody's, and what else there will be is not
		return strings.HasPrefix(e.Kind, "project_") || st.caller.AllPrinters() && st.caller.Sites() == nil
	}
	return st.server.seesSite(st.caller, e.SiteID)
}

// beat shows that the connection lives.
func (st *stream) beat(ctx context.Context) error {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beat.C:
			if err := st.write([]byte(": beat\n\n")); err != nil {
				return err
			}
		}
	}
}

// write sends bytes at once. A client that does not take them in time is cut off.
func (st *stream) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.rc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := st.w.Write(b); err != nil {
		return err
	}
	if err := st.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
