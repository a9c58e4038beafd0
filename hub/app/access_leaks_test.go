package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// lists are the routes with many things, with whatever could make them tell of a site
// that the caller does not see.
func (w *world) lists() []string {
	b := w.attic
	printer, site := itoa(b.of["printer"]), itoa(b.site)
	return []string{
		"/printers", "/printers?site_id=" + site, "/printers?limit=200&offset=1", "/agents", "/agents?limit=1&offset=1", "/sites", "/projects",
		"/api-keys", "/users", "/s3-credentials", "/webhooks", "/agents/enrolment-tokens", "/auth/me",
		"/archives?limit=200", "/archives?site_id=" + site, "/archives?printer_id=" + printer, "/archives?search=" + mark, "/archives?search=notes",
		"/archives?search=" + mark + "*", "/archives?tag=" + mark + "-1", "/archives?limit=1&offset=1", "/archives?project_id=" + itoa(w.project),
		"/archives/export?format=csv", "/archives/export?format=xlsx", "/archives/export?format=csv&site_id=" + site,
		"/archives/export?format=xlsx&search=" + mark, "/archives/export?format=csv&printer_id=" + printer,
	}
}

// limited are those who do not see the attic.
func (w *world) limited() (out []visitor) {
	for _, v := range w.visitors() {
		if !v.out && !v.foreign && (farm.APIKey{Permissions: v.may}).May(farm.Read) && !v.sees("printer", w.attic) {
			out = append(out, v)
		}
	}
	return out
}

// No list, search, count or export tells of what the caller does not see, and what is
// added there changes none of its answers.
func TestNothingOfAnotherSiteInLists(t *testing.T) {
	w := newWorld(t)
	visitors := w.limited()
	if len(visitors) < 9 {
		t.Fatalf("only %d", len(visitors))
	}
	totals := func() map[string]string {
		out := map[string]string{}
		for _, v := range append(visitors, visitor{name: "all", header: []string{"X-API-Key", w.key}}) {
			for _, path := range w.lists() {
				for _, method := range []string{"GET", "HEAD"} {
					a := w.look(v.header, method, path, nil)
					if word := leaks(a); word != "" && v.name != "all" {
						t.Errorf("%s, %s %s: reads %q: %.300s", v.name, method, path, word, a.body)
					}
					if a.status >= 500 {
						t.Errorf("%s, %s %s: %d", v.name, method, path, a.status)
					}
					if total := a.header.Get("X-Total-Count"); total != "" {
						out[v.name+" "+method+" "+path] = total
					}
				}
			}
		}
		return out
	}
	before := totals()
	for _, kind := range []string{"printer", "agent", "archive", "key", "s3", "webhook", "enrolment", "user"} {
		w.fresh(kind, w.attic)
	}
	more := 0
	for what, total := range totals() {
		switch changed := total != before[what]; {
		case strings.HasPrefix(what, "all "):
			if changed {
				more++
			}
		case changed:
			t.Errorf("%s: %s has become %s", what, before[what], total)
		}
	}
	if more < 20 {
		t.Errorf("only %d lists of who sees everything have grown", more)
	}
}

// A cursor of somebody who sees more is no way to see more.
func TestACursorOfSomebodyElse(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.fresh("archive", w.attic)
	}
	var page struct {
		Next string `json:"next_cursor"`
	}
	w.get("/archives?limit=1").want(200).into(&page)
	for _, v := range w.limited() {
		if a := w.look(v.header, "GET", "/archives?limit=200&cursor="+page.Next, nil); leaks(a) != "" || a.status >= 500 {
			t.Errorf("%s: %d %.300s", v.name, a.status, a.body)
		}
	}
}

// The stream tells nothing of another site: not in the snapshot, in what is told again
// after Last-Event-ID, in what happens meanwhile, or in the frames of states.
func TestNothingOfAnotherSiteOnTheStream(t *testing.T) {
	w := newWorld(t)
	visitors := w.limited()
	var taps []*tap
	for _, v := range visitors {
		taps = append(taps, w.open(v.header, "/events"), w.open(append(v.header, "Last-Event-ID", "0"), "/events"), w.open(v.header, "/events?last_event_id=1"))
	}
	everything := w.open([]string{"X-API-Key", w.key, "Last-Event-ID", "0"}, "/events")
	for _, kind := range []string{"printer", "agent", "archive", "site"} {
		w.fresh(kind, w.attic)
	}
	w.ask("PATCH", fmt.Sprintf("/archives/%d", w.attic.of["archive"]), object("name", mark+" renamed")).want(200)
	w.ask("PATCH", fmt.Sprintf("/sites/%d", w.attic.site), object("name", mark+" renamed attic")).want(200)
	w.ask("PATCH", fmt.Sprintf("/agents/%d", w.attic.of["agent"]), object("name", mark+" renamed")).want(200)
	w.ask("PATCH", fmt.Sprintf("/printers/%d", w.attic.of["printer"]), object("name", mark+" renamed")).want(200)
	w.ask("DELETE", fmt.Sprintf("/archives/%d", w.fresh("archive", w.attic)), nil).want(200)
	w.upload(w.key, "?site_id="+itoa(w.attic.site), mark+".3mf", model3MF(mark, 10)).want(201)
	if _, err := w.db.AppendEvent(t.Context(), farm.Event{At: time.Now(), Kind: "of_the_hub", Data: object("name", mark)}); err != nil {
		t.Fatal(err)
	}
	w.ask("POST", "/projects", object("name", "The end")).want(201) // of everybody
	everything.await("event: of_the_hub", "The end", "event: snapshot", "event: printer_added", "event: archive_added", "event: site_updated", mark, "event: state")
	for i, p := range taps {
		p.await("The end", "event: snapshot")
		p.alive()
		if word := leaks(reply{body: []byte(p.text())}); word != "" {
			at := strings.Index(strings.ToLower(p.text()), word)
			t.Errorf("%s hears %q: %.200s", visitors[i/3].name, word, p.text()[max(0, at-100):])
		}
	}
}

// What belongs to no printer, as an upload does, is not heard of by who is limited to
// printers and cannot see it.
func TestUploadsAreNotHeardOfByKeysOfPrinters(t *testing.T) {
	w := newWorld(t)
	ofPrinter := w.open([]string{"X-API-Key", w.scoped([]string{"read"}, []int64{w.workshop.of["printer"]}, nil)}, "/events")
	ofSite := w.open([]string{"X-API-Key", w.scoped([]string{"read"}, nil, []int64{w.workshop.site})}, "/events")
	ofPrinter.await("event: snapshot")
	ofSite.await("event: snapshot")
	var made struct{ ID int64 }
	w.upload(w.key, "", "Secret.3mf", model3MF("Secret", 10)).want(201).into(&made)
	w.ask("PATCH", "/archives/"+itoa(made.ID), object("name", "Secret too")).want(200)
	w.ask("DELETE", "/archives/"+itoa(made.ID), nil).want(200)
	w.ask("POST", "/projects", object("name", "The end")).want(201)
	ofSite.await("archive_added", "archive_updated", "archive_deleted", "Secret", "The end")
	ofPrinter.await("The end")
	if strings.Contains(ofPrinter.text(), "Secret") {
		t.Errorf("it hears %s", ofPrinter.text())
	}
}

// The same 3MF at another site is nothing the caller hears of.
func TestADuplicateAtAnotherSite(t *testing.T) {
	w := newWorld(t)
	model := model3MF("same", 10)
	var there, here struct {
		ID        int64
		Duplicate *int64 `json:"duplicate_of"`
	}
	w.upload(w.key, "?site_id="+itoa(w.attic.site), "a.3mf", model).want(201).into(&there)
	w.upload(w.key, "?site_id="+itoa(w.workshop.site), "b.3mf", model).want(201).into(&here)
	if here.Duplicate == nil || *here.Duplicate != there.ID {
		t.Errorf("who sees both: %+v", here)
	}
	key := w.scoped([]string{"read", "queue"}, nil, []int64{w.workshop.site})
	for _, a := range []reply{w.as(key, "GET", "/archives/"+itoa(here.ID), nil), w.upload(key, "", "c.3mf", model), w.as(key, "PATCH", "/archives/"+itoa(here.ID), object("favorite", true))} {
		if strings.Contains(string(a.body), fmt.Sprintf(`"duplicate_of":%d,`, there.ID)) || a.status >= 300 {
			t.Errorf("%s: %d %s", a.what, a.status, a.body)
		}
	}
	for _, path := range []string{"/archives", "/archives/export", "/archives/export?format=xlsx"} {
		a := w.as(key, "GET", path, nil).want(200)
		if strings.Contains(string(a.body), fmt.Sprintf(`"duplicate_of":%d,`, there.ID)) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

// An id of another site in a body is answered as one that is not there.
func TestIdsOfAnotherSiteInBodies(t *testing.T) {
	w := newWorld(t)
	w.person("wim", farm.Administrator, "Workshop")
	a, b := w.workshop, w.attic
	key := w.scoped([]string{"read", "queue", "control", "admin"}, nil, []int64{a.site})
	ownKey := w.as(key, "POST", "/api-keys", object("name", "n", "permissions", []string{"read"}, "site_ids", []int64{a.site})).want(201)
	var made struct{ ID int64 }
	ownKey.into(&made)
	for _, c := range []struct {
		method, path, kind string
		body               func(id int64) []byte
	}{
		{"POST", "/api-keys", "printer", func(id int64) []byte {
			return object("name", "n", "permissions", []string{"read"}, "site_ids", []int64{a.site}, "printer_ids", []int64{id})
		}},
		{"PATCH", "/api-keys/" + itoa(made.ID), "printer", func(id int64) []byte { return object("printer_ids", []int64{a.of["printer"], id}) }},
		{"POST", "/api-keys", "site", func(id int64) []byte {
			return object("name", "n", "permissions", []string{"read"}, "site_ids", []int64{id})
		}},
		{"POST", "/users", "site", func(id int64) []byte {
			return object("username", "new", "password", battery, "role", "viewer", "site_ids", []int64{id})
		}},
		{"PATCH", "/users/" + itoa(a.of["user"]), "site", func(id int64) []byte { return object("site_ids", []int64{id}) }},
		{"POST", "/s3-credentials", "site", func(id int64) []byte { return object("name", "n", "site_ids", []int64{id}) }},
		{"POST", "/agents/enrolment-tokens", "site", func(id int64) []byte { return object("site_id", id) }},
		{"PATCH", "/agents/" + itoa(a.of["agent"]), "site", func(id int64) []byte { return object("site_id", id) }},
		{"PATCH", "/printers/" + itoa(a.of["printer"]), "site", func(id int64) []byte { return object("site_id", id) }},
		{"PATCH", "/printers/" + itoa(a.of["printer"]), "agent", func(id int64) []byte { return object("agent_id", id) }},
		{"POST", "/printers", "agent", func(id int64) []byte {
			return object("name", "n", "serial_number", "00M00A5", "access_code", "12345678", "ip_address", "192.0.2.9", "agent_id", id)
		}},
		{"POST", "/media-links", "printer", func(id int64) []byte { return object("path", fmt.Sprintf("/printers/%d/camera/stream", id)) }},
	} {
		if c.path == "/media-links" { // it opens nothing, see TestMediaLinksOfEveryPath
			w.as(key, c.method, c.path, c.body(b.of[c.kind])).want(201)
			w.as(key, c.method, c.path, c.body(missing)).want(201)
			continue
		}
		there, gone := w.as(key, c.method, c.path, c.body(b.of[c.kind])), w.as(key, c.method, c.path, c.body(missing))
		same := strings.ReplaceAll(string(there.body), " "+itoa(b.of[c.kind]), "") == strings.ReplaceAll(string(gone.body), " "+itoa(missing), "")
		if there.status != gone.status || !same || there.status < 400 {
			t.Errorf("%s %s, %s: %d %s, and of none %d %s", c.method, c.path, c.kind, there.status, there.body, gone.status, gone.body)
		}
	}
}

// A printer that is moved to another site is gone from that moment on: the stream says no
// more than that, and its camera ends.
func TestAPrinterThatMovesAway(t *testing.T) {
	w := newWorld(t)
	key := w.scoped([]string{"read"}, nil, []int64{w.workshop.site})
	printer := "/printers/" + itoa(w.second.of["printer"])
	events := w.open([]string{"X-API-Key", key}, "/events")
	camera := w.open([]string{"X-API-Key", key}, printer+"/camera/stream")
	events.await("event: snapshot")
	camera.await("Workshop")
	w.ask("PATCH", printer+"?force=true", object("name", mark+" moved", "location", mark, "site_id", w.attic.site, "agent_id", w.attic.of["agent"])).want(200)
	events.await(fmt.Sprintf(`"printer_id":%d,"changed":{},"removed":true`, w.second.of["printer"]))
	<-camera.ended
	w.as(key, "GET", printer, nil).want(404)
	again := w.open([]string{"X-API-Key", key, "Last-Event-ID", "1"}, "/events")
	w.ask("POST", "/projects", object("name", "The end")).want(201)
	events.await("The end")
	again.await("The end")
	for _, p := range []*tap{events, again} {
		if word := leaks(reply{body: []byte(p.text())}); word != "" {
			t.Errorf("hears %q", word)
		}
	}
}
