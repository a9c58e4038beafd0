package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
)

// inBubble runs a test of a whole hub, its agents and callers in virtual time.
func inBubble(t *testing.T, change func(*Options), test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { test(t, settle(runArchivesInMemory(t, change))) })
}

// ways are what somebody has open: by session, key and links.
type ways struct {
	w       *world
	user    int64
	cookie  string // that ends
	session int64
	key     string
	keyID   int64
	admin   string // an administrator's session, who does things to him
	taps    map[string]*tap
}

// newWays makes bert of the workshop with everything open there is.
func newWays(w *world) *ways {
	w.t.Helper()
	o := &ways{w: w, admin: w.person("anna", farm.Administrator), taps: map[string]*tap{}}
	o.cookie = w.person("bert", farm.Operator, "Workshop")
	u, _, err := w.db.UserByName(w.t.Context(), "bert")
	if err != nil {
		w.t.Fatal(err)
	}
	sessions, err := w.db.Sessions(w.t.Context(), u.ID)
	if err != nil || len(sessions) != 1 {
		w.t.Fatalf("%v %v", sessions, err)
	}
	o.user, o.session, o.key = u.ID, sessions[0].ID, w.keyOf("bert", []farm.Permission{farm.Read})
	keys, err := w.db.Keys(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, k := range keys {
		if k.OwnerID == o.user {
			o.keyID = k.ID
		}
	}
	camera := fmt.Sprintf("/printers/%d/camera/stream", w.workshop.of["printer"])
	by := map[string][]string{"session": {"Cookie", o.cookie}, "key": {"X-API-Key", o.key}}
	for who, header := range by {
		o.taps[who+" events"] = w.open(header, "/events")
		o.taps[who+" camera"] = w.open(header, camera)
		o.taps[who+" link"] = w.open(nil, w.link(header, camera))
	}
	for _, p := range o.taps {
		p.await("\n")
	}
	return o
}

// link is a media link of somebody to a path.
func (w *world) link(header []string, path string) string {
	w.t.Helper()
	var made struct{ URL string }
	w.look(append([]string{"Content-Type", "application/json"}, header...), "POST", "/media-links", object("path", path)).want(201).into(&made)
	return strings.TrimPrefix(made.URL, "/api/v1")
}

// Whatever ends somebody, or takes something from him, refuses the next request and ends
// what is open within a second; nobody else is touched by it.
func TestWhatEndsACallerEndsAllOfIt(t *testing.T) {
	session, key := []string{"session"}, []string{"key"}
	both := []string{"session", "key"}
	for name, c := range map[string]struct {
		do     func(o *ways)
		closes []string // whose streams end
		out    []string // who is refused afterwards
	}{
		"disabled": {func(o *ways) { o.w.with(o.admin, "PATCH", "/users/"+itoa(o.user), `{"disabled":true}`).want(200) }, both, both},
		"deleted":  {func(o *ways) { o.w.with(o.admin, "DELETE", "/users/"+itoa(o.user), "").want(200) }, both, both},
		"another role": {func(o *ways) {
			o.w.with(o.admin, "PATCH", "/users/"+itoa(o.user), `{"role":"viewer"}`).want(200)
		}, session, nil}, // the key may read, as before
		"another site": {func(o *ways) {
			o.w.with(o.admin, "PATCH", "/users/"+itoa(o.user), fmt.Sprintf(`{"site_ids":[%d]}`, o.w.attic.site)).want(200)
		}, both, nil},
		"signed out": {func(o *ways) { o.w.with(o.cookie, "POST", "/auth/logout", "").want(200) }, session, session},
		"session ended from elsewhere": {func(o *ways) {
			o.w.with(o.w.signIn("bert"), "DELETE", "/auth/sessions/"+itoa(o.session), "").want(200)
		}, session, session},
		"password changed elsewhere": {func(o *ways) {
			o.w.with(o.w.signIn("bert"), "POST", "/auth/password", `{"current_password":"`+battery+`","new_password":"another good one"}`).want(200)
		}, session, session},
		"password reset": {func(o *ways) {
			o.w.with(o.admin, "POST", "/users/"+itoa(o.user)+"/password", `{"password":"another good one"}`).want(200)
		}, session, session},
		"key revoked": {func(o *ways) { o.w.with(o.admin, "DELETE", "/api-keys/"+itoa(o.keyID), "").want(200) }, key, key},
		"key rotated": {func(o *ways) { o.w.with(o.admin, "POST", "/api-keys/"+itoa(o.keyID)+"/rotate", "").want(200) }, key, key},
		"key ended": {func(o *ways) {
			o.w.with(o.admin, "PATCH", "/api-keys/"+itoa(o.keyID), `{"expires_at":"1990-01-01T00:00:00Z"}`).want(200)
		}, key, key},
		"key narrowed": {func(o *ways) {
			o.w.with(o.admin, "PATCH", "/api-keys/"+itoa(o.keyID), `{"printer_ids":[]}`).want(200)
		}, key, nil},
		"nothing": {func(o *ways) { o.w.with(o.admin, "PATCH", "/users/"+itoa(o.user), `{"name":"Bert"}`).want(200) }, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, w *world) {
				o := newWays(w)
				camera := fmt.Sprintf("/printers/%d/camera/snapshot", w.workshop.of["printer"])
				links := map[string]string{"session": w.link([]string{"Cookie", o.cookie}, camera), "key": w.link([]string{"X-API-Key", o.key}, camera)}
				other := w.open([]string{"Cookie", o.admin}, "/events")
				synctest.Wait()
				c.do(o)
				for who, header := range map[string][]string{"session": {"Cookie", o.cookie}, "key": {"X-API-Key", o.key}} {
					want := 200
					if slices.Contains(c.out, who) {
						want = 401
					}
					w.look(header, "GET", "/auth/me", nil).want(want)
					if want == 401 {
						w.look(nil, "GET", links[who], nil).refused(farm.Unauthorized, "")
					}
					for what, p := range o.taps {
						switch kind, _, _ := strings.Cut(what, " "); {
						case kind != who:
						case slices.Contains(c.closes, who):
							p.what = what
							p.dies(name)
						default:
							p.alive()
						}
					}
				}
				other.alive()
			})
		})
	}
}

// A key or a session that runs out ends what is open at that moment.
func TestWhatRunsOutEndsWhatIsOpen(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		var made struct{ Key string }
		w.ask("POST", "/api-keys", object("name", "short", "permissions", []string{"read"}, "expires_at", time.Now().Add(time.Minute))).want(201).into(&made)
		p := w.open([]string{"X-API-Key", made.Key}, "/events")
		p.await("event: snapshot")
		link := w.link([]string{"X-API-Key", made.Key}, fmt.Sprintf("/printers/%d/camera/snapshot", w.workshop.of["printer"]))
		w.look(nil, "GET", link, nil).want(200)
		<-time.After(59 * time.Second)
		p.alive()
		<-time.After(time.Second)
		p.dies("run out")
		w.look(nil, "GET", link, nil).refused(farm.Unauthorized, "expired")
	})
}

// What another process changes, as the administrative commands do, is known within 15 s
// to a stream, and within a second to a request.
func TestAnotherProcessEndsAKey(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		o := newWays(w)
		if _, err := w.admin.ResetPassword(context.WithoutCancel(t.Context()), "bert", "another good one"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		w.look([]string{"Cookie", o.cookie}, "GET", "/auth/me", nil).refused(farm.Unauthorized, "")
		<-time.After(14 * time.Second)
		o.taps["session events"].dies("reset by a command")
		o.taps["session camera"].dies("reset by a command")
		o.taps["key events"].alive()
	})
}
