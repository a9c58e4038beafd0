package app

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// mark stands in everything that the attic has a name, a note or a file for. Nobody
// who is limited to the workshop may ever read it.
const mark = "Xanadu"

// secretOfAttic are the words that only the attic's own answers may hold.
var secretOfAttic = []string{strings.ToLower(mark), "attic"}

// world is a hub with a workshop and an attic, and one of everything at each.
type world struct {
	*archives
	workshop, attic place
	second          place // of another printer in the workshop
	project         int64
	count           int
}

// place is what is at a site, by id.
type place struct {
	name string
	site int64
	sees int64            // a printer: who sees it sees the site
	of   map[string]int64 // by kind
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return settle(runArchives(t, nil))
}

// settle puts a workshop and an attic into a hub.
func settle(r *archives) *world {
	t, w := r.t, &world{archives: r}
	t.Helper()
	w.workshop = place{"Workshop", 1, 1, map[string]int64{"site": 1, "printer": 1, "agent": w.agent.id}}
	w.ask("PATCH", "/settings", object("webhooks", map[string]bool{"allow_private": true})).want(200) // nobody listens there
	w.attic = place{mark + " attic", w.archives.second.ID, 0, map[string]int64{"site": w.archives.second.ID}}
	for _, p := range []place{w.workshop, w.attic} {
		w.ask("PATCH", fmt.Sprintf("/sites/%d", p.site), object("name", p.name)).want(200)
	}
	upstairs := newLoadAgent(t, w.db, 1)
	w.attic.of["agent"] = upstairs.id
	w.ask("PATCH", fmt.Sprintf("/agents/%d", upstairs.id), object("name", mark+"-pi", "site_id", w.attic.site)).want(200)
	w.ask("DELETE", "/printers/2", nil).want(200)
	w.attic.sees = w.fresh("printer", w.attic)
	w.attic.of["printer"] = w.attic.sees
	w.ask("PATCH", "/printers/"+itoa(w.attic.sees), object("location", mark, "tags", []string{mark})).want(200)
	w.second = place{"Workshop", 1, 1, map[string]int64{"site": 1, "agent": w.agent.id, "printer": w.fresh("printer", w.workshop)}}
	w.project = w.fresh("project", w.workshop)
	for _, p := range []*place{&w.workshop, &w.attic, &w.second} {
		for _, kind := range []string{"archive", "key", "s3", "webhook", "enrolment", "user", "session"} {
			p.of[kind] = w.fresh(kind, *p)
		}
		p.of["project"] = w.project
	}
	for _, one := range []struct {
		*loadAgent
		says string
	}{{w.agent, "Workshop"}, {upstairs, mark}} {
		stand := &standIn{loadAgent: one.loadAgent, says: one.says, news: make(chan struct{})}
		hub := tunnel.Hub{URL: w.url}
		if w.network != nil {
			hub.Dial = w.network.Dialer("10.1.1." + itoa(one.id))
		}
		w.parts.Go(func() { stand.run(w.ctx, w.hubID, hub) })
	}
	for _, p := range []place{w.workshop, w.attic, w.second} {
		(&client{t: t}).await("printer of "+p.name, func() bool {
			var st struct{ Connected bool }
			w.get(fmt.Sprintf("/printers/%d/status", p.of["printer"])).want(200).into(&st)
			var agent struct {
				Bulk bool `json:"bulk_connected"`
			}
			w.get(fmt.Sprintf("/agents/%d", p.of["agent"])).want(200).into(&agent)
			return st.Connected && agent.Bulk
		})
	}
	return w
}

// object is a JSON object of pairs.
func object(pairs ...any) []byte {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	b, _ := json.Marshal(m) // plain values
	return b
}

func (w *world) makes(path string, pairs ...any) int64 {
	w.t.Helper()
	var made struct{ ID int64 }
	w.ask("POST", path, object(pairs...)).want(201).into(&made)
	return made.ID
}

// next is a word nobody has used.
func (w *world) next(p place) string {
	w.count++
	return fmt.Sprintf("%s-%d", strings.Fields(p.name)[0], w.count)
}

// fresh makes one more of a kind at a place and gives its id.
func (w *world) fresh(kind string, p place) int64 {
	w.t.Helper()
	name, sites := w.next(p), []int64{p.site}
	switch kind {
	case "printer":
		serial := strings.ToUpper(strings.ReplaceAll("00M"+name, "-", ""))
		return w.makes("/printers", "name", name, "serial_number", serial, "access_code", "12345678", "ip_address", name+".local", "site_id", p.site, "agent_id", p.of["agent"])
	case "agent":
		a := newLoadAgent(w.t, w.db, 100+w.count)
		w.ask("PATCH", fmt.Sprintf("/agents/%d", a.id), object("name", name, "site_id", p.site)).want(200)
		return a.id
	case "site":
		return w.makes("/sites", "name", name)
	case "project":
		return w.makes("/projects", "name", name)
	case "key":
		return w.makes("/api-keys", "name", name, "permissions", []string{"admin"}, "site_ids", sites)
	case "s3":
		return w.makes("/s3-credentials", "name", name, "site_ids", sites)
	case "webhook":
		return w.makes("/webhooks", "name", name, "url", "http://127.0.0.1:9/"+name, "site_ids", sites, "enabled", false)
	case "enrolment":
		return w.makes("/agents/enrolment-tokens", "site_id", p.site)
	case "user":
		return w.makes("/users", "username", strings.ToLower(name), "name", name, "role", "viewer", "site_ids", sites, "password", battery)
	case "session":
		_, s := w.session(w.fresh("user", p), time.Now())
		return s.ID
	case "archive":
		return w.archive(p, name)
	}
	w.t.Fatalf("no way to make a %s", kind)
	return 0
}

// archive adds a print with all of its files.
func (w *world) archive(p place, name string) int64 {
	w.t.Helper()
	id := w.seed(with(benchy(), func(one *farm.Print) {
		one.SiteID, one.PrinterID, one.AgentID, one.PrinterName = p.site, p.of["printer"], p.of["agent"], p.name
		one.Name, one.Filename, one.Notes, one.Tags, one.Subtask, one.RunID = name, name+".3mf", "notes of "+name, []string{name}, name, name
		one.FilamentType, one.FailureReason, one.BedType = name, name, name
	}))[0]
	model := model3MF(name, 100)
	w.store(id, farm.RoleModel, name+".3mf", "application/x", model)
	w.store(id, farm.RoleThumbnail, "", "image/jpeg", []byte("thumbnail "+name))
	w.store(id, farm.RoleFinish, "", "image/jpeg", []byte("finish "+name))
	w.store(id, farm.RoleTimelapse, "", "video/mp4", []byte("film "+name))
	return id
}

// session puts a session into the database that began at a moment; it gives its cookie.
func (w *world) session(userID int64, at time.Time) (string, farm.Session) {
	w.t.Helper()
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // it never fails
	token := base64.RawURLEncoding.EncodeToString(raw[:])
	u, err := w.db.User(w.t.Context(), userID)
	if err != nil {
		w.t.Fatal(err)
	}
	_, password, err := w.db.UserByName(w.t.Context(), u.Username)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := w.db.CreateSession(w.t.Context(), farm.Session{UserID: userID, Hash: sha256.Sum256([]byte(token)), CreatedAt: at, Agent: "test"}, password)
	if err != nil {
		w.t.Fatal(err)
	}
	return "bambuddy_session=" + token, s
}

// standIn is an agent that holds whatever it is told to, shows pictures, lists files and
// takes every command.
type standIn struct {
	*loadAgent
	says string // in all that it tells

	mu   sync.Mutex
	held []wire.PrinterConfig
	news chan struct{} // closed and replaced when they change
}

func (a *standIn) run(ctx context.Context, hubID string, hub tunnel.Hub) {
	who := tunnel.Caller{HubID: hubID, AgentID: a.uid, BootID: a.uid, Key: a.key}
	quiet := slog.New(slog.DiscardHandler)
	for ctx.Err() == nil {
		control, err := tunnel.Dial(ctx, hub, who, tunnel.Control, "")
		if err != nil {
			continue
		}
		var bulk sync.WaitGroup
		bulk.Go(func() {
			if lane, err := tunnel.Dial(ctx, hub, who, tunnel.Bulk, control.Session); err == nil {
				_ = lane.Serve(ctx, a.pictures(), quiet)
			}
		})
		_ = control.Serve(ctx, a.calls(), quiet)
		bulk.Wait()
	}
}

func (a *standIn) calls() http.Handler {
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux.HandleFunc("GET /v1/hello", func(w http.ResponseWriter, _ *http.Request) {
		say(w, wire.Hello{AgentID: a.uid, BootID: a.uid, Version: a.says, Capabilities: []wire.Capability{
			wire.CapState, wire.CapRefresh, wire.CapControl, wire.CapFiles, wire.CapCamera, wire.CapProbe, wire.CapDiscover,
		}})
	})
	mux.HandleFunc("PUT /v1/config", func(w http.ResponseWriter, r *http.Request) {
		var c wire.Config
		_ = json.NewDecoder(r.Body).Decode(&c)
		a.mu.Lock()
		a.held = c.Printers
		close(a.news)
		a.news = make(chan struct{})
		a.mu.Unlock()
		say(w, wire.ConfigResult{Generation: c.Generation, Revision: c.Revision})
	})
	mux.HandleFunc("GET /v1/state", a.states)
	mux.HandleFunc("POST /v1/printers/{serial}/commands", func(w http.ResponseWriter, r *http.Request) {
		var c wire.Command
		_ = json.NewDecoder(r.Body).Decode(&c)
		say(w, wire.CommandResult{ID: c.ID, Confirmed: wire.ByAck})
	})
	mux.HandleFunc("GET /v1/printers/{serial}/files", func(w http.ResponseWriter, _ *http.Request) {
		say(w, wire.FileList{Path: "/", Entries: []wire.FileEntry{{Name: a.says + ".3mf", Size: 5}}})
	})
	mux.HandleFunc("DELETE /v1/printers/{serial}/files", func(w http.ResponseWriter, _ *http.Request) { say(w, struct{}{}) })
	mux.HandleFunc("POST /v1/probe", func(w http.ResponseWriter, _ *http.Request) {
		say(w, wire.Report{Name: a.says, Checks: []wire.Check{{ID: "x", Title: a.says, Result: wire.Pass, Detail: a.says}}})
	})
	mux.HandleFunc("POST /v1/discover", func(w http.ResponseWriter, _ *http.Request) { say(w, wire.DiscoverResult{}) })
	return mux
}

// states tells of all printers, again whenever there are others and now and then.
func (a *standIn) states(w http.ResponseWriter, r *http.Request) {
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	state := "IDLE"
	if a.says == mark {
		state = "RUNNING"
	}
	for n := 0; ; n++ {
		a.mu.Lock()
		held, news := a.held, a.news
		a.mu.Unlock()
		for _, p := range held {
			status := bambu.Status{Job: bambu.Job{GcodeState: state, Name: a.says, File: a.says + ".3mf", Progress: bambu.Some(n % 100)}}
			_ = out.Encode(wire.StateFrame{Serial: p.Serial, Fence: p.Fence, Whole: true, Connection: &wire.Connection{State: wire.Online}, Patch: status.Whole()})
		}
		if flush.Flush() != nil {
			return
		}
		again := time.NewTimer(100 * time.Millisecond)
		select {
		case <-r.Context().Done():
			again.Stop()
			return
		case <-news:
			again.Stop()
		case <-again.C:
		}
	}
}

func (a *standIn) pictures() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/printers/{serial}/files/download", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, a.says) })
	mux.HandleFunc("GET /v1/printers/{serial}/camera/snapshot", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(picture(a.says))
	})
	stream := func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for data := picture(a.says); ; {
			_, _ = w.Write(append(wire.FrameHeader{Length: len(data), Key: true, At: time.Now()}.Append(nil), data...))
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	}
	mux.HandleFunc("GET /v1/printers/{serial}/camera/stream", stream)
	mux.HandleFunc("GET /v1/printers/{serial}/camera/h264", stream)
	return mux
}

// picture looks like a JPEG to whoever does not look closely.
func picture(says string) []byte { return []byte("\xff\xd8\xff\xe0" + says + "\xff\xd9") }

// leaks names the first word of the attic in an answer, also inside of a spreadsheet.
func leaks(a reply) string {
	text := [][]byte{a.body}
	for name, values := range a.header {
		text = append(text, []byte(name+strings.Join(values, " ")))
	}
	if z, err := zip.NewReader(bytes.NewReader(a.body), int64(len(a.body))); err == nil {
		for _, f := range z.File {
			if in, err := f.Open(); err == nil {
				b, _ := io.ReadAll(in) // what can be read of it
				_ = in.Close()
				text = append(text, []byte(f.Name), b)
			}
		}
	}
	for _, t := range text {
		t = bytes.ToLower(t)
		for _, word := range secretOfAttic {
			if bytes.Contains(t, []byte(word)) {
				return word
			}
		}
	}
	return ""
}

// endless are the media types of answers that do not end by themselves.
var endless = []string{"text/event-stream", "multipart/x-mixed-replace", "video/h264"}

// look asks with nothing but the headers given, and reads the beginning of what has no end.
func (w *world) look(header []string, method, path string, body []byte) reply {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.url+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := w.http.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	var got []byte
	if method != http.MethodHead && slices.Contains(endless, kind) {
		got = make([]byte, 64<<10)
		n, err := res.Body.Read(got)
		if err != nil {
			w.t.Fatalf("%s %s: %v", method, path, err)
		}
		got = got[:n]
	} else if got, err = io.ReadAll(res.Body); err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{w.t, method + " " + path, res.StatusCode, res.Header, got}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
