package app

import (
	"fmt"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// givers are callers with something less than everything, and what each may not give.
func (w *world) givers() map[string]struct {
	header []string
	bodies map[string][]byte // keys that are more than he is, by what is more
} {
	a, b := w.workshop, w.attic
	key := func(pairs ...any) string {
		var made struct{ Key string }
		w.ask("POST", "/api-keys", object(append([]any{"name", "giver"}, pairs...)...)).want(201).into(&made)
		return made.Key
	}
	body := func(pairs ...any) []byte { return object(append([]any{"name", "more"}, pairs...)...) }
	admin, everything := []string{"admin"}, []string{"read", "queue", "control", "admin"}
	site, printer := []int64{a.site}, []int64{a.of["printer"]}
	soon, later := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	slow := map[string]int{"read": 50, "write": 50, "control": 50}
	type giver = struct {
		header []string
		bodies map[string][]byte
	}
	sites := map[string][]byte{
		"all sites": body("permissions", admin), "null sites": body("permissions", admin, "site_ids", nil),
		"the other site": body("permissions", admin, "site_ids", []int64{b.site}), "both sites": body("permissions", admin, "site_ids", []int64{a.site, b.site}),
	}
	return map[string]giver{
		"admin only": {[]string{"X-API-Key", key("permissions", admin)}, map[string][]byte{
			"read": body("permissions", []string{"read"}), "all": body("permissions", everything),
		}},
		"of a site":           {[]string{"X-API-Key", key("permissions", everything, "site_ids", site)}, sites},
		"whose owner is":      {[]string{"X-API-Key", w.keyOf("wim", farm.Permissions)}, sites},
		"a person of a site":  {[]string{"Cookie", w.signIn("wim")}, sites},
		"of a printer":        {[]string{"X-API-Key", key("permissions", everything, "printer_ids", printer)}, map[string][]byte{"all printers": body("permissions", admin), "null": body("permissions", admin, "printer_ids", nil), "the other": body("permissions", admin, "printer_ids", []int64{w.second.of["printer"]})}},
		"with limits":         {[]string{"X-API-Key", key("permissions", everything, "limits", slow)}, map[string][]byte{"no limits": body("permissions", admin), "higher": body("permissions", admin, "limits", map[string]int{"read": 51, "write": 1, "control": 1})}},
		"that ends":           {[]string{"X-API-Key", key("permissions", everything, "expires_at", soon)}, map[string][]byte{"never": body("permissions", admin), "null": body("permissions", admin, "expires_at", nil), "later": body("permissions", admin, "expires_at", later)}},
		"of no site whatever": {[]string{"X-API-Key", key("permissions", everything, "site_ids", []int64{})}, map[string][]byte{"a site": body("permissions", admin, "site_ids", site), "all": body("permissions", admin)}},
	}
}

// Nobody makes a key that is more than he is, by whichever way.
func TestNobodyMakesAStrongerKey(t *testing.T) {
	w := newWorld(t)
	w.person("wim", farm.Administrator, "Workshop")
	for name, g := range w.givers() {
		header := append([]string{"Content-Type", "application/json"}, g.header...)
		var me struct {
			Printers []int64    `json:"printer_ids"`
			Sites    []int64    `json:"site_ids"`
			Expires  *time.Time `json:"expires_at"`
			Key      *struct {
				ID     int64
				Limits map[string]int
			}
			Permissions []string
		}
		w.look(g.header, "GET", "/auth/me", nil).into(&me)
		own := []any{"name", "same", "permissions", []string{"admin"}}
		if me.Sites != nil {
			own = append(own, "site_ids", me.Sites)
		}
		if me.Printers != nil {
			own = append(own, "printer_ids", me.Printers)
		}
		if me.Key != nil {
			own = append(own, "limits", me.Key.Limits)
			if me.Expires != nil {
				own = append(own, "expires_at", *me.Expires)
			}
		}
		var same struct {
			ID  int64
			Key string
		}
		w.look(header, "POST", "/api-keys", object(own...)).want(201).into(&same)
		for what, body := range g.bodies {
			for _, a := range []reply{w.look(header, "POST", "/api-keys", body), w.look(header, "PATCH", "/api-keys/"+itoa(same.ID), body)} {
				if a.status != 403 && a.status != 404 {
					// A change of what is not said stays as it was: only a whole body is more.
					if k := w.stored(same.ID); a.what != "POST /api-keys" && w.unchanged(k, own) {
						continue
					}
					t.Errorf("%s, %s: %s is %d %s", name, what, a.what, a.status, a.body)
				}
			}
			if me.Key == nil {
				continue
			}
			// Its own key as well, which it sees and may change.
			if a := w.look(header, "PATCH", "/api-keys/"+itoa(me.Key.ID), body); a.status == 200 {
				var now struct {
					Printers []int64    `json:"printer_ids"`
					Sites    []int64    `json:"site_ids"`
					Expires  *time.Time `json:"expires_at"`
				}
				a.into(&now)
				if len(now.Sites) != len(me.Sites) || len(now.Printers) != len(me.Printers) || (now.Expires == nil) != (me.Expires == nil) {
					t.Errorf("%s, %s: has become %s", name, what, a.body)
				}
			}
		}
		// Somebody's stronger key is not to be had by giving it another secret, either.
		stronger := w.makes("/api-keys", "name", "stronger", "permissions", []string{"read", "queue", "control", "admin"}, "limits", map[string]int{"read": 9999, "write": 9999, "control": 9999})
		for _, a := range []reply{
			w.look(header, "POST", fmt.Sprintf("/api-keys/%d/rotate", stronger), nil), w.look(header, "PATCH", fmt.Sprintf("/api-keys/%d", stronger), object("name", "mine")),
			w.look(header, "DELETE", fmt.Sprintf("/api-keys/%d", stronger), nil),
		} {
			a.refused(farm.NotFound, "")
		}
		var again struct{ Key string }
		w.look(header, "POST", fmt.Sprintf("/api-keys/%d/rotate", same.ID), nil).want(200).into(&again)
		if k := w.stored(same.ID); !w.unchanged(k, own) {
			t.Errorf("%s: another secret has made it %+v", name, k)
		}
		w.look([]string{"X-API-Key", same.Key}, "GET", "/api-keys", nil).want(401)
		w.look([]string{"X-API-Key", again.Key}, "GET", "/api-keys", nil).want(200)
	}
}

func (w *world) stored(id int64) farm.APIKey {
	w.t.Helper()
	k, err := w.db.Key(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// unchanged tells whether a key still carries what it was made with.
func (w *world) unchanged(k farm.APIKey, pairs []any) bool {
	for i := 0; i+1 < len(pairs); i += 2 {
		switch pairs[i] {
		case "permissions":
			if len(k.Permissions) != 1 {
				return false
			}
		case "site_ids":
			if want, _ := pairs[i+1].([]int64); k.Sites == nil || len(k.Sites) != len(want) {
				return false
			}
		case "printer_ids":
			if want, _ := pairs[i+1].([]int64); k.Printers == nil || len(k.Printers) != len(want) {
				return false
			}
		case "expires_at":
			if k.ExpiresAt.IsZero() {
				return false
			}
		case "limits":
			if want, _ := pairs[i+1].(map[string]int); k.Limits.Read != want["read"] {
				return false
			}
		}
	}
	return true
}

// Nobody makes a person, or a credential, that is more than he is or outlives him.
func TestNobodyMakesAStrongerPersonOrCredential(t *testing.T) {
	w := newWorld(t)
	w.person("anna", farm.Administrator)
	w.person("wim", farm.Administrator, "Workshop")
	a, b := w.workshop, w.attic
	var made struct{ Key string }
	w.ask("POST", "/api-keys", object("name", "that ends", "permissions", farm.Permissions, "expires_at", time.Now().Add(time.Hour))).want(201).into(&made)
	ends := []string{"X-API-Key", made.Key}
	wim, hisKey := []string{"Cookie", w.signIn("wim")}, []string{"X-API-Key", w.keyOf("wim", farm.Permissions)}
	ofPrinter := []string{"X-API-Key", w.scoped([]string{"read", "queue", "control", "admin"}, []int64{a.of["printer"]}, nil)}
	adminOnly := []string{"X-API-Key", w.scoped([]string{"admin"}, nil, nil)}

	person := func(pairs ...any) []byte {
		w.count++
		return object(append([]any{"username", fmt.Sprintf("p%d", w.count), "password", battery, "role", "viewer"}, pairs...)...)
	}
	mine, theirs, anna := w.fresh("user", a), w.fresh("user", b), w.userID("anna")
	own, all, none := []int64{a.site}, []int64{a.site, b.site}, []int64{b.site}
	for _, c := range []struct {
		who    string
		header []string
		method string
		path   string
		body   []byte
	}{
		{"of a site", wim, "POST", "/users", person()},
		{"of a site", wim, "POST", "/users", person("site_ids", nil)},
		{"of a site", wim, "POST", "/users", person("site_ids", all)},
		{"of a site", wim, "POST", "/users", person("site_ids", none)},
		{"of a site", hisKey, "POST", "/users", person()},
		{"of a site", wim, "PATCH", "/users/" + itoa(mine), object("site_ids", nil)},
		{"of a site", wim, "PATCH", "/users/" + itoa(mine), object("site_ids", all)},
		{"of a site", wim, "PATCH", "/users/" + itoa(w.userID("wim")), object("site_ids", nil)},
		{"of a site", hisKey, "PATCH", "/users/" + itoa(w.userID("wim")), object("site_ids", nil)},
		{"of a site", wim, "PATCH", "/users/" + itoa(theirs), object("site_ids", own)},
		{"of a site", wim, "PATCH", "/users/" + itoa(anna), object("role", "viewer")},
		{"of a site", wim, "POST", "/users/" + itoa(anna) + "/password", object("password", battery)},
		{"of a site", wim, "POST", "/users/" + itoa(theirs) + "/password", object("password", battery)},
		{"of a site", wim, "DELETE", "/users/" + itoa(anna), nil},
		{"of a site", wim, "POST", "/s3-credentials", object("name", "n")},
		{"of a site", wim, "POST", "/s3-credentials", object("name", "n", "site_ids", all)},
		{"of a site", hisKey, "POST", "/s3-credentials", object("name", "n", "site_ids", none)},
		{"of a site", wim, "POST", "/agents/enrolment-tokens", object("site_id", b.site)},
		{"of a site", wim, "POST", "/webhooks", object("name", "n", "url", "http://127.0.0.1:9/")},
		{"of a site", hisKey, "POST", "/webhooks", object("name", "n", "url", "http://127.0.0.1:9/", "site_ids", all)},
		{"of a printer", ofPrinter, "POST", "/webhooks", object("name", "n", "url", "http://127.0.0.1:9/", "site_ids", own)},
		{"who cannot read", adminOnly, "POST", "/webhooks", object("name", "n", "url", "http://127.0.0.1:9/")},
		{"who ends", ends, "POST", "/webhooks", object("name", "n", "url", "http://127.0.0.1:9/")},
		{"of a printer", ofPrinter, "POST", "/users", person()},
		{"of a printer", ofPrinter, "POST", "/users/" + itoa(mine) + "/password", object("password", battery)},
		{"of a printer", ofPrinter, "POST", "/s3-credentials", object("name", "n", "site_ids", own)},
		{"of a printer", ofPrinter, "POST", "/agents/enrolment-tokens", object("site_id", a.site)},
		{"who cannot read", adminOnly, "POST", "/users", person()},
		{"who cannot read", adminOnly, "PATCH", "/users/" + itoa(mine), object("role", "admin")},
		{"who cannot read", adminOnly, "POST", "/users/" + itoa(anna) + "/password", object("password", battery)},
		{"who cannot read", adminOnly, "POST", "/s3-credentials", object("name", "n")},
		// What he makes would be there when he is not any longer.
		{"who ends", ends, "POST", "/users", person("role", "admin")},
		{"who ends", ends, "PATCH", "/users/" + itoa(mine), object("role", "admin")},
		{"who ends", ends, "POST", "/users/" + itoa(anna) + "/password", object("password", battery)},
		{"who ends", ends, "POST", "/s3-credentials", object("name", "n")},
	} {
		a := w.look(append([]string{"Content-Type", "application/json"}, c.header...), c.method, c.path, c.body)
		if a.status != 403 && a.status != 404 {
			t.Errorf("somebody %s: %s %s is %d %s", c.who, a.what, c.body, a.status, a.body)
		}
	}
	for _, c := range []struct {
		header []string
		body   []byte
	}{{wim, person("role", "admin", "site_ids", own)}, {hisKey, person("site_ids", own)}, {[]string{"X-API-Key", w.key}, person("role", "admin")}} {
		w.look(append([]string{"Content-Type", "application/json"}, c.header...), "POST", "/users", c.body).want(201)
	}
}

func (w *world) userID(name string) int64 {
	w.t.Helper()
	u, _, err := w.db.UserByName(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.ID
}

// A key follows its owner at once, whatever it was made with.
func TestAKeyFollowsItsOwner(t *testing.T) {
	w := newWorld(t)
	w.person("anna", farm.Administrator)
	bert := w.person("bert", farm.Administrator, "Workshop")
	var made struct {
		ID  int64
		Key string
	}
	w.with(bert, "POST", "/api-keys", fmt.Sprintf(`{"name":"K","permissions":["read","queue","control","admin"],"site_ids":[%d]}`, w.workshop.site)).want(201).into(&made)
	wide := w.keyOf("bert", farm.Permissions) // of no sites of its own, as one of a former administrator
	here, there := "/printers/"+itoa(w.workshop.of["printer"]), "/printers/"+itoa(w.attic.of["printer"])
	user := "/users/" + itoa(w.userID("bert"))
	light := object("on", true)
	for _, k := range []string{made.Key, wide} {
		w.as(k, "GET", here, nil).want(200)
		w.as(k, "GET", there, nil).want(404)
		w.as(k, "GET", "/users", nil).want(200)
	}
	w.ask("PATCH", user, object("role", "operator")).want(200)
	for _, k := range []string{made.Key, wide} {
		w.as(k, "GET", "/users", nil).refused(farm.Forbidden, "admin")
		w.as(k, "PATCH", "/api-keys/"+itoa(made.ID), object("permissions", farm.Permissions)).refused(farm.Forbidden, "admin")
		w.as(k, "POST", fmt.Sprintf("/api-keys/%d/rotate", made.ID), nil).refused(farm.Forbidden, "admin")
		w.as(k, "POST", here+"/light", light).want(200)
	}
	w.ask("PATCH", user, object("role", "viewer")).want(200)
	for _, k := range []string{made.Key, wide} {
		w.as(k, "POST", here+"/light", light).refused(farm.Forbidden, "control")
		w.as(k, "GET", here, nil).want(200)
	}
	w.ask("PATCH", user, object("site_ids", []int64{w.attic.site})).want(200)
	w.as(made.Key, "GET", here, nil).want(404)
	w.as(made.Key, "GET", there, nil).want(404) // it is the workshop's, and its owner is not there
	w.as(wide, "GET", here, nil).want(404)
	w.as(wide, "GET", there, nil).want(200)
	// Given to somebody again by an administrator, it is still no more than its owner.
	w.ask("PATCH", "/api-keys/"+itoa(made.ID), object("site_ids", nil, "permissions", farm.Permissions)).want(200)
	w.as(made.Key, "GET", here, nil).want(404)
	w.as(made.Key, "GET", there, nil).want(200)
	w.as(made.Key, "GET", "/users", nil).refused(farm.Forbidden, "admin")
	w.as(made.Key, "GET", "/auth/sessions", nil).refused(farm.Invalid, "signed in")
	w.as(made.Key, "POST", "/auth/password", object("current_password", battery, "new_password", "another good one")).refused(farm.Invalid, "signed in")
}

// A session that somebody left open is not enough to take over an account.
func TestAPasswordIsChangedByWhoKnowsIt(t *testing.T) {
	w := &world{archives: runArchives(t, nil)}
	bert := w.person("bert", farm.Administrator)
	for _, body := range []string{
		`{"new_password":"another good one"}`, `{"current_password":"","new_password":"another good one"}`,
		`{"current_password":null,"new_password":"another good one"}`, `{"current_password":"wrong","new_password":"another good one"}`,
	} {
		if a := w.with(bert, "POST", "/auth/password", body); a.status != 403 && a.status != 400 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	w.signIn("bert")
	other := w.signIn("bert")
	w.with(bert, "POST", "/auth/password", `{"current_password":"`+battery+`","new_password":"another good one"}`).want(200)
	w.with(bert, "GET", "/auth/me", "").want(200)
	w.with(other, "GET", "/auth/me", "").want(401)
}
