package app

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// operation is a route as the document tells of it.
type operation struct {
	id, method, path string
	needs            farm.Permission // "": public
}

// operations are all there are. Nothing reaches the router that is not in the document
// (hub/internal/api's adapter), so these are all routes.
func (w *world) operations() (out []operation) {
	w.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			ID       string                `json:"operationId"`
			Needs    farm.Permission       `json:"x-permission"`
			Security []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	w.look(nil, "GET", "/openapi.json", nil).want(200).into(&doc)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.ID == "" {
				continue
			}
			if (op.Needs == "") != (len(op.Security) == 0) {
				w.t.Errorf("%s says permission %q and security %v", op.ID, op.Needs, op.Security)
			}
			out = append(out, operation{op.ID, strings.ToUpper(method), path, op.Needs})
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	return out
}

// A new route is known here, with what it is called with and who is kept from it.
func TestEveryRouteIsDeclaredHere(t *testing.T) {
	w := &world{archives: runArchives(t, nil)}
	known := maps.Clone(deeds)
	for _, op := range w.operations() {
		d, is := known[op.id]
		switch {
		case !is:
			t.Errorf("%s %s (%s, needs %q) is not in deeds: say there who may call it", op.method, op.path, op.id, op.needs)
		case (d.kind != "") != strings.Contains(op.path, "{id}"):
			t.Errorf("%s %s: deeds says it is of a %q", op.method, op.path, d.kind)
		}
		delete(known, op.id)
	}
	for id := range known {
		t.Errorf("%s is in deeds and is no route", id)
	}
	if len(deeds) < 70 {
		t.Errorf("only %d routes", len(deeds))
	}
}

// visitors are all sorts of callers.
func (w *world) visitors() []visitor {
	w.t.Helper()
	a, b, all := w.workshop, w.attic, farm.Permissions
	key := func(name string, may []farm.Permission, printers, sites []int64) visitor {
		var words []string
		for _, p := range may {
			words = append(words, string(p))
		}
		return visitor{name: name, header: []string{"X-API-Key", w.scoped(words, printers, sites)}, may: may, printers: printers, sites: sites}
	}
	only := func(p farm.Permission) []farm.Permission { return []farm.Permission{p} }
	out := []visitor{
		key("a key that may everything", all, nil, nil),
		key("a key to read", only(farm.Read), nil, nil),
		key("a key to queue", only(farm.Queue), nil, nil),
		key("a key to control", only(farm.Control), nil, nil),
		key("a key to administer", only(farm.Admin), nil, nil),
		key("a key of the workshop", all, nil, []int64{a.site}),
		key("a key of the workshop's printer", all, []int64{a.of["printer"]}, nil),
		key("a key of both", all, []int64{a.of["printer"]}, []int64{a.site}),
		key("a key of printers and of another site", all, []int64{b.of["printer"]}, []int64{a.site}),
		key("a key of no site", all, nil, []int64{}),
		key("a key of no printer", all, []int64{}, nil),
		key("a key of nothing", all, []int64{}, []int64{}),
	}
	out = append(out, w.people()...)
	return append(out, w.strangers()...)
}

// people are those with sessions, and keys of theirs.
func (w *world) people() (out []visitor) {
	w.t.Helper()
	type someone struct {
		name string
		role farm.Role
		at   *place
	}
	for _, s := range []someone{
		{"vera", farm.Viewer, nil},
		{"otto", farm.Operator, nil},
		{"anna", farm.Administrator, nil},
		{"wim", farm.Administrator, &w.workshop},
		{"wanda", farm.Viewer, &w.workshop},
		{"olga", farm.Operator, &w.workshop},
	} {
		var sites []int64
		var names []string
		if s.at != nil {
			sites, names = []int64{s.at.site}, []string{s.at.name}
		}
		cookie := w.person(s.name, s.role, names...)
		v := visitor{name: s.name + "'s session", header: []string{"Cookie", cookie}, may: s.role.Permissions(), sites: sites, person: true}
		out = append(out, v)
		if s.name == "anna" {
			for how, header := range map[string][]string{"of another site": {"Sec-Fetch-Site", "cross-site"}, "with a foreign origin": {"Origin", "https://evil.example"}} {
				f := v
				f.name, f.foreign, f.header = "anna's browser "+how, true, append(slices.Clone(v.header), header...)
				out = append(out, f)
			}
		}
		// The key itself is not limited; its owner is.
		k := w.keyOf(s.name, farm.Permissions)
		out = append(out, visitor{name: s.name + "'s key", header: []string{"Authorization", "Bearer " + k}, may: v.may, sites: sites})
	}
	return out
}

// keyOf is a key of a person that carries what it is told to, whatever they have.
func (w *world) keyOf(username string, may []farm.Permission) string {
	w.t.Helper()
	secret, err := w.admin.NewKey(w.t.Context(), username, may, farm.Limits{Read: 1e6, Write: 1e6, Control: 1e6})
	if err != nil {
		w.t.Fatal(err)
	}
	u, _, err := w.db.UserByName(w.t.Context(), username)
	if err != nil {
		w.t.Fatal(err)
	}
	keys, err := w.db.Keys(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	k := keys[slices.IndexFunc(keys, func(k farm.APIKey) bool { return strings.HasPrefix(secret.Reveal(), k.Prefix) })]
	if err := w.db.DeleteKey(w.t.Context(), k.ID); err != nil {
		w.t.Fatal(err)
	}
	k.OwnerID = u.ID
	if _, err := w.db.CreateKey(w.t.Context(), k); err != nil {
		w.t.Fatal(err)
	}
	return secret.Reveal()
}

// strangers are those who are not let in at all.
func (w *world) strangers() []visitor {
	w.t.Helper()
	var made struct {
		ID  int64
		Key string
	}
	newKey := func(who string) (path, key string) {
		w.ask("POST", "/api-keys", object("name", who, "permissions", farm.Permissions)).want(201).into(&made)
		return "/api-keys/" + itoa(made.ID), made.Key
	}
	path, expired := newKey("expired")
	w.ask("PATCH", path, object("expires_at", time.Now().Add(-time.Hour))).want(200)
	path, revoked := newKey("revoked")
	w.ask("DELETE", path, nil).want(200)
	path, before := newKey("rotated")
	w.ask("POST", path+"/rotate", nil).want(200)

	signedOut := w.person("zoe", farm.Administrator)
	w.with(signedOut, "POST", "/auth/logout", "").want(200)
	zoe, _, err := w.db.UserByName(w.t.Context(), "zoe")
	if err != nil {
		w.t.Fatal(err)
	}
	idle, _ := w.session(zoe.ID, time.Now().Add(-8*24*time.Hour))
	old, s := w.session(zoe.ID, time.Now().Add(-31*24*time.Hour))
	if err := w.db.TouchSessions(w.t.Context(), map[int64]time.Time{s.ID: time.Now()}); err != nil {
		w.t.Fatal(err)
	}
	disabled := w.person("dora", farm.Administrator)
	keyOfDisabled := w.keyOf("dora", farm.Permissions)
	dora, _, err := w.db.UserByName(w.t.Context(), "dora")
	if err != nil {
		w.t.Fatal(err)
	}
	w.ask("PATCH", "/users/"+itoa(dora.ID), object("disabled", true)).want(200)
	admin := w.person("ada", farm.Administrator)
	wrong := "bb_" + strings.Repeat("A", 43)

	var out []visitor
	for name, header := range map[string][]string{
		"nobody":                        nil,
		"a wrong key":                   {"X-API-Key", wrong},
		"no key at all":                 {"X-API-Key", "hello"},
		"an empty bearer":               {"Authorization", "Bearer "},
		"basic authentication":          {"Authorization", "Basic " + w.key},
		"a wrong key beside a session":  {"X-API-Key", wrong, "Cookie", admin},
		"an expired key":                {"X-API-Key", expired},
		"a revoked key":                 {"X-API-Key", revoked},
		"a key before it was rotated":   {"X-API-Key", before},
		"a key of who is disabled":      {"X-API-Key", keyOfDisabled},
		"a session of who is disabled":  {"Cookie", disabled},
		"a session that was signed out": {"Cookie", signedOut},
		"a session that was idle":       {"Cookie", idle},
		"a session that is too old":     {"Cookie", old},
		"a session's token as a key":    {"X-API-Key", strings.TrimPrefix(admin, "bambuddy_session=")},
		"a key as a session's token":    {"Cookie", "bambuddy_session=" + w.key},
	} {
		out = append(out, visitor{name: name, header: header, out: true})
	}
	return out
}

// TestEveryRouteWithEveryCaller is the matrix: what is answered is what the route's
// declaration and the caller's permissions and scope say.
func TestEveryRouteWithEveryCaller(t *testing.T) {
	w := newWorld(t)
	operations := w.operations()
	cells := 0
	for _, v := range w.visitors() {
		for _, op := range operations {
			d := deeds[op.id]
			places := []place{w.workshop}
			if d.kind != "" || d.names != "" || d.gives != "" {
				places = []place{w.workshop, w.attic, w.second}
			}
			for _, p := range places {
				cells++
				w.cell(v, op, d, p)
			}
			if d.kind != "" && !v.out && !v.foreign {
				w.asIfMissing(v, op, d)
			}
		}
	}
	t.Logf("%d cells", cells)
	if cells < 4000 {
		t.Errorf("only %d cells", cells)
	}
}

// cell makes one call and compares.
func (w *world) cell(v visitor, op operation, d deed, p place) {
	w.t.Helper()
	write := op.method != "GET"
	status, lacks := v.expect(d, op.needs, write, p)
	if d.fresh && status < 400 {
		p.of = maps.Clone(p.of)
		p.of[d.kind] = w.fresh(d.kind, p)
		status, lacks = v.expect(d, op.needs, write, p)
	}
	if op.id == "sign_out" && status == 200 { // which ends the session it is called with
		v.header = []string{"Cookie", w.signIn(strings.TrimSuffix(v.name, "'s session"))}
	}
	a := w.call(v, op, d, p, p.of[d.kind])
	if a.status != status {
		w.t.Errorf("%s, %s at %s: %d %.200s, want %d", v.name, op.id, p.name, a.status, a.body, status)
		return
	}
	if a.status == 403 && lacks != bytes.Contains(a.body, []byte("you lack the permission")) {
		w.t.Errorf("%s, %s at %s: refused for another reason: %s", v.name, op.id, p.name, a.body)
	}
	limited := v.out || !v.sees("printer", w.attic)
	if word := leaks(a); limited && word != "" && !ownWord(d, p) {
		w.t.Errorf("%s, %s at %s reads %q: %.300s", v.name, op.id, p.name, word, a.body)
	}
	if a.status == 201 && op.id == "add_printer" {
		var made struct{ ID int64 }
		a.into(&made)
		w.ask("DELETE", "/printers/"+itoa(made.ID)+"?force=true", nil).want(200)
	}
}

// ownWord tells that an answer may repeat what the request said.
func ownWord(d deed, p place) bool { return d.gives != "" && strings.Contains(p.name, mark) }

// call calls a route in earnest.
func (w *world) call(v visitor, op operation, d deed, p place, id int64) reply {
	w.t.Helper()
	w.count++
	fill := strings.NewReplacer(
		"{id}", itoa(id), "{n}", "1", "{delivery_id}", itoa(missing), "{printer}", itoa(p.of["printer"]), "{site}", itoa(p.site), "{agent}", itoa(p.of["agent"]),
		"{word}", fmt.Sprintf("w%d", w.count), "{serial}", fmt.Sprintf("00M00A%09d", w.count),
	)
	path := fill.Replace(op.path)
	if d.query != "" {
		path += "?" + fill.Replace(d.query)
	}
	header := append([]string{"Content-Type", "application/json"}, v.header...)
	body := []byte(fill.Replace(d.body))
	if d.form {
		var kind string
		body, kind = form("file", "new.3mf", model3MF("New", 10))
		header[1] = kind
	}
	return w.look(header, op.method, path, body)
}

const missing = 999_999_999

// asIfMissing checks that what is not seen is answered as what is not there.
func (w *world) asIfMissing(v visitor, op operation, d deed) {
	w.t.Helper()
	gone := w.call(v, op, d, w.workshop, missing)
	for _, p := range []place{w.attic, w.second} {
		if status, _ := v.expect(d, op.needs, op.method != "GET", p); status != 404 || v.sees(d.kind, p) {
			continue
		}
		id := p.of[d.kind]
		a := w.call(v, op, d, p, id)
		if strings.ReplaceAll(string(a.body), " "+itoa(id), "") != strings.ReplaceAll(string(gone.body), " "+itoa(missing), "") || a.status != gone.status {
			w.t.Errorf("%s, %s: %d %s differs from what is not there: %d %s", v.name, op.id, a.status, a.body, gone.status, gone.body)
		}
	}
}
