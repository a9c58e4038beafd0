package app

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

const battery = "correct horse battery"

// person makes somebody and signs them in; it gives the cookie.
func (r *archives) person(name string, role farm.Role, sites ...string) string {
	r.t.Helper()
	if _, err := r.admin.NewUser(r.t.Context(), NewUser{Username: name, Role: role, Sites: sites, Password: battery}); err != nil {
		r.t.Fatal(err)
	}
	return r.signIn(name)
}

func (r *archives) signIn(name string) string {
	r.t.Helper()
	a := r.as("", "POST", "/auth/login", []byte(`{"username":"`+name+`","password":"`+battery+`"}`)).want(200)
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	return cookie
}

// with asks with a session.
func (r *archives) with(cookie, method, path, body string, header ...string) reply {
	r.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	return r.send("", method, path, in, append([]string{"Cookie", cookie}, header...)...)
}

func TestASessionIsHeldByACookie(t *testing.T) {
	r := runArchives(t, nil)
	r.person("anna", farm.Administrator)
	a := r.as("", "POST", "/auth/login", []byte(`{"username":"anna","password":"`+battery+`"}`)).want(200)
	set := a.header.Get("Set-Cookie")
	for _, part := range []string{"bambuddy_session=", "HttpOnly", "SameSite=Lax", "Path=/", "Expires="} {
		if !strings.Contains(set, part) {
			t.Errorf("%q lacks %s", set, part)
		}
	}
	if strings.Contains(set, "Secure") {
		t.Errorf("Secure without TLS would never come back: %q", set)
	}
	cookie, _, _ := strings.Cut(set, ";")
	var me struct {
		User        struct{ Username, Role string }
		Key         *struct{ ID int64 }
		Permissions []string
	}
	a = r.with(cookie, "GET", "/auth/me", "").want(200)
	if a.into(&me); me.User.Username != "anna" || me.User.Role != "admin" || me.Key != nil || len(me.Permissions) != 4 {
		t.Errorf("%s", a.body)
	}
	if got := a.header.Get("X-RateLimit-Limit"); got != "6000" {
		t.Errorf("a session may %s reads a minute", got)
	}
	r.send("bb_wrong", "GET", "/auth/me", nil, "Cookie", cookie).refused(farm.Unauthorized, "key")
	out := r.with(cookie, "POST", "/auth/logout", "").want(200)
	if set := out.header.Get("Set-Cookie"); !strings.Contains(set, "Max-Age=0") {
		t.Errorf("the cookie stays: %q", set)
	}
	r.with(cookie, "GET", "/auth/me", "").refused(farm.Unauthorized, "sign in")
	r.ask("POST", "/auth/logout", nil).refused(farm.Invalid, "signed in")
}

func TestAnotherSiteDoesNothingInTheNameOfAPerson(t *testing.T) {
	r := runArchives(t, nil)
	cookie := r.person("anna", farm.Administrator)
	const site = `{"name":"Moon"}`
	for name, header := range map[string][]string{
		"by what browsers tell": {"Sec-Fetch-Site", "cross-site"}, "of the same owner": {"Sec-Fetch-Site", "same-site"}, "an old browser": {"Origin", "https://evil.example"},
	} {
		r.with(cookie, "POST", "/sites", site, header...).refused(farm.Forbidden, "another site")
		r.as("", "POST", "/auth/login", []byte(`{"username":"anna","password":"`+battery+`"}`), header...).refused(farm.Forbidden, "another site")
		if a := r.with(cookie, "GET", "/sites", "", header...); a.status != 200 {
			t.Errorf("%s: a read is %d", name, a.status)
		}
		if a := r.ask("POST", "/sites", []byte(`{"name":"With a key `+name+`"}`), header...); a.status != 201 {
			t.Errorf("%s, with a key: %d %s", name, a.status, a.body)
		}
	}
	r.with(cookie, "POST", "/sites", site, "Sec-Fetch-Site", "same-origin", "Origin", r.url).want(201)
}

func TestPeopleAreManaged(t *testing.T) {
	r := runArchives(t, nil)
	anna := r.person("anna", farm.Administrator)
	a := r.with(anna, "POST", "/users", `{"username":"Bert","name":"Bert Klein","password":"`+battery+`","role":"operator","site_ids":[1]}`).want(201)
	var bert struct {
		ID      int64
		SiteIDs []int64 `json:"site_ids"`
	}
	if a.into(&bert); len(bert.SiteIDs) != 1 || strings.Contains(string(a.body), "assword") {
		t.Errorf("%s", a.body)
	}
	for body, mentions := range map[string]string{
		`{"username":"a b","password":"` + battery + `","role":"viewer"}`: "username: ",
		`{"username":"x","password":"short","role":"viewer"}`:             "password: ",
		`{"username":"x","password":"` + battery + `","role":"king"}`:     "role: ",
		`{"password":"` + battery + `","role":"viewer"}`:                  "username: ",
	} {
		r.with(anna, "POST", "/users", body).refused(farm.Invalid, mentions)
	}
	r.with(anna, "POST", "/users", `{"username":"x","password":"`+battery+`","role":"viewer","site_ids":[99]}`).refused(farm.NotFound, "site_ids: ")
	r.with(anna, "POST", "/users", `{"username":"BERT","password":"`+battery+`","role":"viewer"}`).refused(farm.Conflict, "username: ")
	r.with(anna, "PATCH", "/users/1", `{"disabled":true}`).refused(farm.Conflict, "yourself")
	r.with(anna, "DELETE", "/users/1", "").refused(farm.Conflict, "yourself")
	r.with(anna, "PATCH", "/users/1", `{"role":"viewer"}`).refused(farm.Conflict, "last administrator")
	r.ask("DELETE", "/users/1", nil).refused(farm.Conflict, "last administrator")
	r.with(anna, "GET", "/users/99", "").refused(farm.NotFound, "99")

	session := r.signIn("bert")
	r.with(session, "GET", "/users", "").refused(farm.Forbidden, "admin")
	r.with(session, "POST", "/auth/password", `{"current_password":"wrong","new_password":"`+battery+`2"}`).refused(farm.Forbidden, "current_password: ")
	r.with(anna, "POST", "/users/2/password", `{"password":"`+battery+`"}`).want(200)
	r.with(session, "GET", "/printers", "").refused(farm.Unauthorized, "sign in")
	r.with(anna, "DELETE", "/users/2", "").want(200)
	r.as("", "POST", "/auth/login", []byte(`{"username":"bert","password":"`+battery+`"}`)).refused(farm.Unauthorized, "wrong")
}

func TestAKeyIsRotated(t *testing.T) {
	r := runArchives(t, nil)
	anna := r.person("anna", farm.Administrator)
	var made, again struct {
		ID, OwnerID int64
		Key         string
	}
	r.with(anna, "POST", "/api-keys", `{"name":"K","permissions":["read"]}`).want(201).into(&made)
	r.as(made.Key, "GET", "/printers", nil).want(200)
	r.with(anna, "POST", "/api-keys/2/rotate", "").want(200).into(&again)
	if made.ID != 2 || again.ID != 2 || again.Key == made.Key {
		t.Errorf("%+v, then %+v", made.ID, again.ID)
	}
	r.as(made.Key, "GET", "/printers", nil).refused(farm.Unauthorized, "not valid")
	r.as(again.Key, "GET", "/printers", nil).want(200)
}

// Who is disabled is out at once: also of a stream that is open.
func TestWhoIsDisabledLosesOpenStreams(t *testing.T) {
	r := runArchives(t, nil)
	r.person("anna", farm.Administrator)
	bert := r.person("bert", farm.Operator)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", bert)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	stream := bufio.NewReader(res.Body)
	if _, err := stream.ReadString('{'); err != nil {
		t.Fatal(err)
	}
	r.ask("PATCH", "/users/2", []byte(`{"disabled":true}`)).want(200)
	told := time.Now()
	if _, err := io.Copy(io.Discard, stream); err != nil {
		t.Errorf("it did not end by itself: %v", err)
	}
	if took := time.Since(told); took > 10*time.Second { // it takes a moment; nobody tells it but the change
		t.Errorf("after %s", took)
	}
	r.with(bert, "GET", "/printers", "").refused(farm.Unauthorized, "sign in")
}

func TestAMediaLinkOpensOnePath(t *testing.T) {
	r := runArchives(t, nil)
	ids := r.seed(benchy())
	r.store(ids[0], farm.RoleThumbnail, "thumbnail.jpg", "image/jpeg", []byte("\xff\xd8\xff picture"))
	attic := r.person("attic", farm.Viewer, "Attic")
	anna := r.person("anna", farm.Viewer)
	link := func(cookie, path string) string {
		var made struct{ URL string }
		r.with(cookie, "POST", "/media-links", `{"path":"`+path+`"}`).want(201).into(&made)
		return strings.TrimPrefix(made.URL, "/api/v1")
	}
	thumbnail := "/archives/1/thumbnail"
	if a := r.as("", "GET", link(anna, thumbnail), nil); a.status != 200 || !strings.Contains(string(a.body), "picture") {
		t.Errorf("%d %.100s", a.status, a.body)
	}
	r.as("", "GET", link(attic, thumbnail), nil).refused(farm.NotFound, "")
	r.as("", "GET", strings.Replace(link(anna, thumbnail), "/1/", "/2/", 1), nil).refused(farm.Unauthorized, "not valid")
	_, query, _ := strings.Cut(link(anna, thumbnail), "?")
	r.as("", "GET", "/archives/1?"+query, nil).refused(farm.Unauthorized, "sign in")
	for _, path := range []string{"/archives/1/3mf", "/users", "/archives/0/thumbnail", thumbnail + "?x", "/../users"} {
		r.with(anna, "POST", "/media-links", `{"path":"`+path+`"}`).refused(farm.Invalid, "path: ")
	}
}
