package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
)

func itoa(n int) string { return strconv.Itoa(n) }

// serve puts a rig's API behind a real http.Server on a network in memory. It
// must be called inside a bubble.
func (r *rig) serve() (client *http.Client, stop func()) {
	network := memnet.New()
	l, err := network.Listen("hub:8000")
	if err != nil {
		r.t.Fatal(err)
	}
	srv := &http.Server{Handler: r.router, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	tr := &http.Transport{DialContext: network.Dialer("client")}
	return &http.Client{Transport: tr}, func() {
		tr.CloseIdleConnections()
		_ = srv.Close()
		<-done
	}
}

// follower reads a stream frame by frame.
type follower struct {
	t      testing.TB
	resp   *http.Response
	lines  *bufio.Reader
	cancel context.CancelFunc
}

type sseFrame struct{ id, event, data, comment string }

func (r *rig) follow(client *http.Client, key string, header ...string) *follower {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://hub:8000"+base+"/events", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req) //nolint:bodyclose // the follower's close does it
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		r.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return &follower{t: r.t, resp: resp, lines: bufio.NewReaderSize(resp.Body, 1<<20), cancel: cancel}
}

func (f *follower) close() {
	f.cancel()
	_ = f.resp.Body.Close()
}

// next reads one frame; ok is false at the end of the stream.
func (f *follower) next() (fr sseFrame, ok bool) {
	for {
		line, err := f.lines.ReadString('\n')
		if err != nil {
			return fr, false
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "":
			return fr, true
		case name == "id":
			fr.id = value
		case name == "event":
			fr.event = value
		case name == "data":
			fr.data = value
		case name == "":
			fr.comment = value
		}
	}
}

// drain reads until the stream ends, which must be within a time.
func (f *follower) drain(within time.Duration) (frames int) {
	f.t.Helper()
	began := time.Now()
	for {
		if _, ok := f.next(); !ok {
			return frames
		}
		frames++
		if time.Since(began) > within {
			f.t.Fatalf("the stream still lives after %v", within)
		}
	}
}

// want reads the next frame that is no comment.
func (f *follower) want(event string) sseFrame {
	f.t.Helper()
	for {
		fr, ok := f.next()
		if !ok {
			f.t.Fatalf("the stream ended before %q", event)
		}
		if fr.comment != "" && fr.event == "" {
			continue
		}
		if fr.event != event {
			f.t.Fatalf("got %+v, want %q", fr, event)
		}
		return fr
	}
}

func (fr sseFrame) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(fr.data), v); err != nil {
		t.Fatalf("%v: %s", err, fr.data)
	}
}

// looseSnapshot is a Snapshot as a client reads it.
type looseSnapshot struct {
	LastEventID int64 `json:"last_event_id"`
	Printers    []struct {
		Printer map[string]any `json:"printer"`
		Status  map[string]any `json:"status"`
	} `json:"printers"`
	Agents []map[string]any `json:"agents"`
}

type looseState struct {
	PrinterID int64                      `json:"printer_id"`
	Changed   map[string]json.RawMessage `json:"changed"`
	Removed   bool                       `json:"removed"`
}

// bubble runs a test of a stream in virtual time with printer 1 seeded.
func bubble(t *testing.T, test func(t *testing.T, r *rig, client *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.seed(printingReport)
		client, stop := r.serve()
		defer stop()
		test(t, r, client)
	})
}

func TestStreamBeginsWithASnapshot(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, client *http.Client) {
		r.events.add(farm.Event{Kind: "printer_added", PrinterID: 1, SiteID: 1})
		f := r.follow(client, r.admin)
		defer f.close()
		var snap looseSnapshot
		fr := f.want("snapshot")
		fr.decode(t, &snap)
		if fr.id != "" || snap.LastEventID != 1 || len(snap.Printers) != 1 || len(snap.Agents) != 1 {
			t.Fatalf("%+v", fr)
		}
		if p := snap.Printers[0]; p.Printer["name"] != "Workshop X1C" || p.Status["progress"] != 45.0 || p.Status["state"] != "printing" {
			t.Errorf("%+v", p)
		}
		// The status in a snapshot and the one of GET are the same.
		want := r.get(base + "/printers/1/status").object(t)
		if len(want) != len(snap.Printers[0].Status) {
			t.Errorf("snapshot has %d keys, GET %d", len(snap.Printers[0].Status), len(want))
		}
	})
}

func TestStreamTellsWhatChanges(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, client *http.Client) {
		f := r.follow(client, r.admin)
		defer f.close()
		f.want("snapshot")
		st := r.server.mustView(t, 1).Status
		st.Job.Progress = bambu.Some(46)
		began := time.Now()
		r.fleet.Apply(1, frameOf("01P00A000000001", st))
		fr := f.want("state")
		var got looseState
		fr.decode(t, &got)
		if fr.id != "" || got.PrinterID != 1 || string(got.Changed["progress"]) != "46" || len(got.Changed) != 1 {
			t.Errorf("%+v", fr)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v: something waits", d)
		}
		ev := r.events.add(farm.Event{Kind: "printer_offline", PrinterID: 1, AgentID: 1, SiteID: 1, Data: []byte(`{"printer_id":1,"printer_name":"Workshop X1C"}`)})
		fr = f.want("printer_offline")
		compareJSON(t, fr.data, `{"event":"printer_offline","timestamp":"2024-01-15T13:30:00Z","data":{"printer_id":1,"printer_name":"Workshop X1C"},"printer_id":1,"agent_id":1,"site_id":1}`)
		if fr.id != strconv.FormatInt(ev.ID, 10) {
			t.Errorf("id %q", fr.id)
		}
		r.put(farm.Printer{ID: 2, Serial: "01P00A000000002", Name: "New", SiteID: 1})
		f.want("state").decode(t, &got)
		if got.PrinterID != 2 || len(got.Changed) != len(statusKeys) {
			t.Errorf("of a new printer: %+v", got)
		}
		r.fleet.Remove(2)
		got = looseState{}
		f.want("state").decode(t, &got)
		if got.PrinterID != 2 || !got.Removed {
			t.Errorf("of a removed printer: %+v", got)
		}
	})
}

func compareJSON(t *testing.T, got, want string) {
	t.Helper()
	var g, w any
	if json.Unmarshal([]byte(got), &g) != nil || json.Unmarshal([]byte(want), &w) != nil {
		t.Fatalf("no JSON: %s", got)
	}
	compare(t, "frame", w, g)
	compare(t, "frame", g, w)
}

func TestStreamResumes(t *testing.T) {
	for _, c := range []struct {
		name   string
		header []string
		prune  int64
		reset  bool
		ids    []string
	}{
		{name: "from the end", ids: nil},
		{name: "after an event", header: []string{"Last-Event-ID", "2"}, ids: []string{"3", "4"}},
		{name: "after the last", header: []string{"Last-Event-ID", "4"}},
		{name: "from the beginning", header: []string{"Last-Event-ID", "0"}, ids: []string{"1", "2", "3", "4"}},
		{name: "exactly before what is kept", header: []string{"Last-Event-ID", "2"}, prune: 3, ids: []string{"3", "4"}},
		{name: "older than what is kept", header: []string{"Last-Event-ID", "1"}, prune: 3, reset: true, ids: []string{"3", "4"}},
		{name: "nothing is kept", header: []string{"Last-Event-ID", "1"}, prune: 5, reset: true},
		{name: "nothing is kept and nothing missed", header: []string{"Last-Event-ID", "4"}, prune: 5},
		{name: "of another life", header: []string{"Last-Event-ID", "900"}, reset: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig, client *http.Client) {
				for range 4 {
					r.events.add(farm.Event{Kind: "printer_updated", PrinterID: 1, SiteID: 1})
				}
				if c.prune > 0 {
					r.events.prune(c.prune)
					r.events.rows = r.events.rows[c.prune-1:]
				}
				f := r.follow(client, r.admin, c.header...)
				defer f.close()
				f.want("snapshot")
				if c.reset {
					f.want("reset")
				}
				for _, id := range c.ids {
					if fr := f.want("printer_updated"); fr.id != id {
						t.Fatalf("id %s, want %s", fr.id, id)
					}
				}
				live := r.events.add(farm.Event{Kind: "printer_removed", PrinterID: 1, SiteID: 1})
				if fr := f.want("printer_removed"); fr.id != strconv.FormatInt(live.ID, 10) {
					t.Errorf("live id %s", fr.id)
				}
			})
		})
	}
}

func TestStreamKeepsToTheScope(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, client *http.Client) {
		r.put(farm.Printer{ID: 2, Serial: "01P00A000000002", Name: "Elsewhere", SiteID: 2})
		r.registry.agents = append(r.registry.agents, farm.Agent{ID: 2, Name: "elsewhere", SiteID: 2})
		key := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read}, Sites: []int64{1}})
		f := r.follow(client, key)
		defer f.close()
		var snap looseSnapshot
		f.want("snapshot").decode(t, &snap)
		if len(snap.Printers) != 1 || len(snap.Agents) != 1 {
			t.Fatalf("%+v", snap)
		}
		r.put(farm.Printer{ID: 2, Serial: "01P00A000000002", Name: "Still elsewhere", SiteID: 2})
		r.events.add(farm.Event{Kind: "printer_updated", PrinterID: 2, SiteID: 2})
		r.events.add(farm.Event{Kind: "printer_updated", PrinterID: 2}) // of which the site is not known
		r.events.add(farm.Event{Kind: "agent_online", AgentID: 2, SiteID: 2})
		r.events.add(farm.Event{Kind: "agent_online", AgentID: 1, SiteID: 1})
		var ev Event
		f.want("agent_online").decode(t, &ev)
		if *ev.AgentID != 1 {
			t.Errorf("%+v", ev)
		}
		p := r.registry.printers[1] // moves away
		p.SiteID = 2
		r.put(p)
		var got looseState
		f.want("state").decode(t, &got)
		if got.PrinterID != 1 || !got.Removed {
			t.Errorf("%+v", got)
		}
	})
}

// elsewhere changes a key past this hub's own API.
func (r *rig) elsewhere(id int64, change func(*farm.APIKey)) {
	r.t.Helper()
	k, err := r.keys.Key(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	change(&k)
	if err := r.keys.UpdateKey(context.Background(), k); err != nil {
		r.t.Fatal(err)
	}
}

func TestStreamEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(r *rig)
		within time.Duration
	}{
		"key deleted":           {func(r *rig) { r.do(r.admin, http.MethodDelete, base+"/api-keys/2", "") }, 0},
		"key limited":           {func(r *rig) { r.do(r.admin, http.MethodPatch, base+"/api-keys/2", `{"printer_ids":[]}`) }, 0},
		"key changed elsewhere": {func(r *rig) { r.elsewhere(2, func(k *farm.APIKey) { k.Printers = []int64{7} }) }, beatEvery},
		"key expires":           {nil, time.Hour - time.Minute},
		"key cannot be checked": {func(r *rig) { r.keys.fail(errors.New("gone")) }, 90 * time.Second},
		"the hub stops":         {func(r *rig) { close(r.ending) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig, client *http.Client) {
				f := r.follow(client, r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read}, ExpiresAt: time.Now().Add(time.Hour)}))
				defer f.close()
				f.want("snapshot")
				pass(time.Minute)
				began := time.Now()
				if c.end != nil {
					c.end(r)
				}
				f.drain(2 * time.Hour)
				if d := time.Since(began); d > c.within {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

func TestStreamBeatsAndLives(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, client *http.Client) {
		f := r.follow(client, r.admin)
		defer f.close()
		f.want("snapshot")
		began := time.Now()
		for range 40 {
			if fr, ok := f.next(); !ok || fr.comment != "beat" {
				t.Fatalf("after %v: %+v %v", time.Since(began), fr, ok)
			}
		}
		if d := time.Since(began); d != 40*beatEvery {
			t.Errorf("40 beats took %v", d)
		}
		if a := r.do(r.admin, http.MethodHead, base+"/events", ""); a.status != 200 || a.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("HEAD: %d %v", a.status, a.header)
		}
	})
}

// A client that does not read is cut off, holds up nobody and costs no memory:
// nothing is queued for it.
func TestStreamCutsOffTheSlow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, client *http.Client) {
		slow, quick := r.follow(client, r.admin), r.follow(client, r.admin)
		defer slow.close()
		defer quick.close()
		slow.want("snapshot")
		quick.want("snapshot")
		st := r.server.mustView(t, 1).Status
		for i := range 3000 { // some 300 KiB, more than any buffer on the way
			st.Temps.Nozzle = bambu.Some(float64(i))
			r.fleet.Apply(1, frameOf("01P00A000000001", st))
			quick.want("state")
			synctest.Wait() // the slow one's stream has written this too, or waits
		}
		pass(writeTime + time.Second)
		if n := slow.drain(time.Minute); n == 0 || n >= 3000 {
			t.Errorf("the slow one got %d frames", n)
		}
		r.put(farm.Printer{ID: 2, Serial: "B", SiteID: 1})
		quick.want("state")
		quick.close()
		synctest.Wait()
		r.fleet.Remove(2) // nobody is there to be told
		late := r.follow(client, r.admin)
		defer late.close()
		late.want("snapshot")
		if n := len(r.server.feed.latest); n != 1 {
			t.Errorf("%d renditions kept of one printer", n)
		}
	})
}

// A slow reader that comes back in time gets the newest state, not every step.
func TestStreamNewestWins(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, client *http.Client) {
		f := r.follow(client, r.admin)
		defer f.close()
		f.want("snapshot")
		st := r.server.mustView(t, 1).Status
		for i := range 20000 {
			st.Temps.Nozzle = bambu.Some(float64(i))
			r.fleet.Apply(1, frameOf("01P00A000000001", st))
		}
		for {
			var got looseState
			f.want("state").decode(t, &got)
			var temps Temperatures
			if err := json.Unmarshal(got.Changed["temperatures"], &temps); err != nil {
				t.Fatal(err)
			}
			if *temps.Nozzle == 19999 {
				return
			}
		}
	})
}
