package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
)

const good = farm.Secret("correct horse battery")

// people is an Auth over a real database, with an administrator and an operator.
type people struct {
	*Auth
	t           *testing.T
	db          *store.DB
	anna, bert  farm.User
	annaP       Principal // signed in
	closedStore bool
}

func newPeople(t *testing.T, c Config) *people {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p := &people{t: t, db: db, Auth: New(Options{Store: db, Log: slog.New(slog.DiscardHandler), Config: func() Config { return c }})}
	t.Cleanup(p.close)
	setup, err := p.OpenSetup(t.Context())
	if err != nil || setup == "" {
		t.Fatalf("setup %v", err)
	}
	if _, p.annaP, err = p.SetUp(t.Context(), setup, NewUser{Username: " Anna ", Password: good}, Origin{Address: "10.0.0.1:5"}); err != nil {
		t.Fatal(err)
	}
	p.anna, _ = p.annaP.User()
	if p.bert, err = p.CreateUser(t.Context(), NewUser{Username: "bert", Role: farm.Operator, Sites: []int64{1}, Password: good}); err != nil {
		t.Fatal(err)
	}
	return p
}

// close may be called twice: a bubble must not end with a database open.
func (p *people) close() {
	if !p.closedStore {
		p.closedStore = true
		_ = p.db.Close()
	}
}

func (p *people) signIn(name string, password farm.Secret) (http.Header, error) {
	token, _, err := p.SignIn(p.t.Context(), name, password, Origin{Address: "10.0.0.2:5", Agent: "test"})
	return header("Cookie", SessionCookie+"="+token.Reveal()), err
}

func (p *people) mustSignIn(name string) http.Header {
	p.t.Helper()
	h, err := p.signIn(name, good)
	if err != nil {
		p.t.Fatal(err)
	}
	return h
}

func (p *people) mustKey(n NewKey) (http.Header, farm.APIKey) {
	p.t.Helper()
	secret, k, err := p.CreateKey(p.t.Context(), n)
	if err != nil {
		p.t.Fatal(err)
	}
	return header("X-API-Key", secret.Reveal()), k
}

func (p *people) in(h http.Header) bool {
	p.t.Helper()
	_, err := p.Authenticate(p.t.Context(), h)
	if err != nil && !farm.Is(err, farm.Unauthorized) {
		p.t.Fatal(err)
	}
	return err == nil
}

func TestTheSetupLinkWorksOnce(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	a := New(Options{Store: db})
	if _, _, err := a.SetUp(t.Context(), "", NewUser{Username: "eve", Password: good}, Origin{}); !farm.Is(err, farm.Forbidden) {
		t.Errorf("without a link there is an empty token: %v", err)
	}
	setup, err := a.OpenSetup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.SetUp(t.Context(), setup, NewUser{Username: "anna", Password: "short"}, Origin{}); !farm.Is(err, farm.Invalid) {
		t.Errorf("a short password: %v", err)
	}
	var wg sync.WaitGroup
	won := make(chan string, 8)
	for i := range cap(won) {
		wg.Go(func() {
			if _, who, err := a.SetUp(t.Context(), setup, NewUser{Username: fmt.Sprint("u", i), Password: good, Role: farm.Viewer}, Origin{}); err == nil {
				won <- who.Name()
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d people set the hub up", len(won))
	}
	all, err := a.Users(t.Context())
	if err != nil || len(all) != 1 || all[0].Role != farm.Administrator || all[0].Sites != nil {
		t.Errorf("%+v %v", all, err)
	}
	if again, err := a.OpenSetup(t.Context()); again != "" || err != nil {
		t.Errorf("another link: %v", err)
	}
}

func TestSigningIn(t *testing.T) {
	p := newPeople(t, DefaultConfig)
	h := p.mustSignIn(" BERT ")
	who, err := p.Authenticate(t.Context(), h)
	if err != nil || who.Name() != "bert" || who.Kind() != "user" || !who.May(farm.Control) || who.May(farm.Admin) || !who.SeesSite(1) || who.SeesSite(2) {
		t.Fatalf("%+v %v", who, err)
	}
	h.Set("X-API-Key", "bb_wrong")
	if p.in(h) {
		t.Error("a wrong key beside a good session is let in")
	}
	wrong := map[string]error{}
	for name, try := range map[string][2]string{
		"a wrong password": {"bert", "wrong horse battery"}, "nobody": {"nobody", good.Reveal()},
		"an endless password": {"bert", strings.Repeat("x", 1<<20)}, "no password": {"bert", ""},
	} {
		_, wrong[name] = p.signIn(try[0], farm.Secret(try[1]))
	}
	for name, err := range wrong {
		if !farm.Is(err, farm.Unauthorized) || err.Error() != wrong["nobody"].Error() {
			t.Errorf("%s is told as %v", name, err)
		}
	}
	if err := p.SignOut(t.Context(), who); err != nil {
		t.Fatal(err)
	}
	h.Del("X-API-Key")
	if p.in(h) {
		t.Error("signed out, and still in")
	}
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeople(t, Config{Idle: time.Hour, Absolute: 5 * time.Hour})
		defer p.close()
		idle, busy := p.mustSignIn("bert"), p.mustSignIn("bert")
		for range 5 {
			if !p.in(busy) {
				t.Fatal("a session that is used has ended")
			}
			<-time.After(59 * time.Minute)
		}
		if p.in(idle) {
			t.Error("an idle session goes on")
		}
		if !p.in(busy) {
			t.Error("ended before its time")
		}
		<-time.After(5 * time.Minute)
		if p.in(busy) {
			t.Error("a session goes on for ever")
		}
	})
}

func TestWhoIsDisabledIsOutAtOnce(t *testing.T) {
	p := newPeople(t, DefaultConfig)
	session := p.mustSignIn("bert")
	key, _ := p.mustKey(NewKey{Name: "K", OwnerID: p.bert.ID, Permissions: farm.Permissions})
	stream, err := p.Authenticate(t.Context(), session)
	if err != nil || !p.in(key) || p.Recheck(t.Context(), stream) != nil {
		t.Fatal(err)
	}
	changed := p.Changed()
	u := p.bert
	u.Disabled = true
	if _, err := p.SaveUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("streams were not told")
	}
	if p.in(session) || p.in(key) || p.Recheck(t.Context(), stream) == nil {
		t.Error("still in")
	}
	if _, err := p.signIn("bert", good); !farm.Is(err, farm.Unauthorized) {
		t.Errorf("signs in again: %v", err)
	}
	u.Disabled = false
	if _, err := p.SaveUser(t.Context(), u); err != nil || !p.in(key) || p.in(session) {
		t.Errorf("enabled again: %v", err)
	}
}

// A change by another process, as the administrative commands are, is known a second
// later.
func TestAnotherProcessDisablesSomebody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeople(t, DefaultConfig)
		defer p.close()
		key, _ := p.mustKey(NewKey{Name: "K", OwnerID: p.bert.ID, Permissions: farm.Permissions})
		if !p.in(key) {
			t.Fatal("not in at first")
		}
		u := p.bert
		u.Disabled = true
		if _, err := p.db.UpdateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		<-time.After(believeFor)
		if p.in(key) {
			t.Error("still in after a second")
		}
	})
}

func TestAKeyNeverExceedsItsOwner(t *testing.T) {
	p := newPeople(t, DefaultConfig)
	all, k := p.mustKey(NewKey{Name: "K", OwnerID: p.bert.ID, Permissions: farm.Permissions})
	two, _ := p.mustKey(NewKey{Name: "K", OwnerID: p.bert.ID, Permissions: farm.Permissions, Sites: []int64{1, 2}})
	for name, h := range map[string]http.Header{"all sites": all, "two sites": two} {
		who, err := p.Authenticate(t.Context(), h)
		if err != nil || who.May(farm.Admin) || !who.May(farm.Queue) || who.SeesSite(2) || !who.SeesSite(1) {
			t.Errorf("%s: %+v %v", name, who, err)
		}
	}
	who, _ := p.Authenticate(t.Context(), all)
	u := p.bert
	u.Role, u.Sites = farm.Viewer, []int64{}
	if _, err := p.SaveUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if p.Recheck(t.Context(), who) == nil {
		t.Error("an open stream keeps what its owner has lost")
	}
	who, err := p.Authenticate(t.Context(), all)
	if err != nil || who.May(farm.Queue) || who.SeesSite(1) || who.Sites() == nil {
		t.Errorf("after the demotion: %+v %v", who, err)
	}
	if stored, err := p.Key(t.Context(), k.ID); err != nil || len(stored.Permissions) != 4 {
		t.Errorf("the key itself changed: %+v %v", stored, err)
	}
	if err := p.DeleteUser(t.Context(), p.bert.ID); err != nil || p.in(all) {
		t.Errorf("outlived its owner: %v", err)
	}
}

func TestChangingAPassword(t *testing.T) {
	p := newPeople(t, DefaultConfig)
	here, there := p.mustSignIn("bert"), p.mustSignIn("bert")
	who, _ := p.Authenticate(t.Context(), here)
	if err := p.ChangePassword(t.Context(), who, "wrong horse battery", "another horse"); !farm.Is(err, farm.Forbidden) {
		t.Errorf("without the current one: %v", err)
	}
	for _, bad := range []farm.Secret{"short", "BERT", farm.Secret(strings.Repeat("x", maxPassword+1)), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if err := p.ChangePassword(t.Context(), who, good, bad); !farm.Is(err, farm.Invalid) || !strings.HasPrefix(err.Error(), "new_password: ") {
			t.Errorf("%q: %v", bad.Reveal(), err)
		}
	}
	if err := p.ChangePassword(t.Context(), who, good, "another horse"); err != nil {
		t.Fatal(err)
	}
	if !p.in(here) || p.in(there) {
		t.Error("this session must stay, the other one must end")
	}
	if _, err := p.signIn("bert", good); err == nil {
		t.Error("the old password still opens")
	}
	if _, err := p.signIn("bert", "another horse"); err != nil {
		t.Error(err)
	}
}

// Many tries at once are no way round the limit, and right ones do not count.
func TestGuessingPasswords(t *testing.T) {
	p := newPeople(t, DefaultConfig)
	for range 20 {
		p.mustSignIn("bert")
	}
	var wg sync.WaitGroup
	results := make(chan error, 50)
	for i := range cap(results) {
		wg.Go(func() {
			_, _, err := p.SignIn(context.Background(), "bert", farm.Secret(fmt.Sprint("guess number ", i)), Origin{Address: fmt.Sprintf("10.1.0.%d:1", i)})
			results <- err
		})
	}
	wg.Wait()
	close(results)
	tried := 0
	for err := range results {
		switch {
		case farm.Is(err, farm.Unauthorized):
			tried++
		case !farm.Is(err, farm.RateLimited):
			t.Errorf("%v", err)
		}
	}
	if tried != 10 {
		t.Errorf("%d guesses were looked at", tried)
	}
	if _, err := p.signIn("bert", good); !farm.Is(err, farm.RateLimited) {
		t.Errorf("after them: %v", err)
	}
	if _, err := p.signIn("anna", good); err != nil {
		t.Errorf("somebody else from elsewhere: %v", err)
	}
}

func TestMediaLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeople(t, DefaultConfig)
		defer p.close()
		h, k := p.mustKey(NewKey{Name: "K", OwnerID: p.bert.ID, Permissions: farm.Permissions})
		byKey, _ := p.Authenticate(t.Context(), h)
		session, _ := p.Authenticate(t.Context(), p.mustSignIn("bert"))
		const path = "/api/v1/printers/1/camera/snapshot"
		until := time.Now().Add(time.Minute)
		follow := func(link, path string, change ...string) (Principal, error) {
			u, err := url.Parse(link)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			for i := 0; i < len(change); i += 2 {
				q.Set(change[i], change[i+1])
			}
			return p.FollowLink(t.Context(), path, q)
		}
		links := map[string]string{"bert": p.MediaLink(session, path, until), "K": p.MediaLink(byKey, path, until)}
		for name, link := range links {
			who, err := follow(link, path, "fps", "5")
			if err != nil || who.Kind() != "link" || who.Name() != name || who.SeesSite(2) {
				t.Errorf("%s: %+v %v", name, who, err)
			}
			if err := p.Recheck(t.Context(), who); err != nil {
				t.Errorf("%s, its stream: %v", name, err)
			}
			for what, change := range map[string][]string{
				"later": {linkExpires, fmt.Sprint(until.Add(time.Hour).Unix())}, "somebody else": {linkCaller, "u1"}, "nobody": {linkCaller, ""}, "no signature": {linkSignature, ""},
			} {
				if _, err := follow(link, path, change...); !farm.Is(err, farm.Unauthorized) {
					t.Errorf("%s, %s: %v", name, what, err)
				}
			}
			if _, err := follow(link, "/api/v1/printers/2/camera/snapshot"); !farm.Is(err, farm.Unauthorized) {
				t.Errorf("%s, another path: %v", name, err)
			}
		}
		if err := p.DeleteKey(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := follow(links["K"], path); !farm.Is(err, farm.Unauthorized) {
			t.Errorf("of a key that is gone: %v", err)
		}
		<-time.After(time.Minute)
		if _, err := follow(links["bert"], path); !farm.Is(err, farm.Unauthorized) {
			t.Errorf("when its time is over: %v", err)
		}
	})
}

func TestWhoMayManageWhom(t *testing.T) {
	admin := func(sites []int64) Principal {
		return person(farm.User{ID: 1, Role: farm.Administrator, Sites: sites}, DefaultConfig)
	}
	for _, c := range []struct {
		name string
		who  Principal
		u    farm.User
		want bool
	}{
		{"another administrator", admin(nil), farm.User{Role: farm.Administrator}, true},
		{"of all sites, by one of one", admin([]int64{1}), farm.User{Role: farm.Viewer}, false},
		{"of another site", admin([]int64{1}), farm.User{Role: farm.Viewer, Sites: []int64{2}}, false},
		{"of the same site", admin([]int64{1}), farm.User{Role: farm.Administrator, Sites: []int64{1}}, true},
		{"of no site", admin([]int64{1}), farm.User{Role: farm.Viewer, Sites: []int64{}}, false},
		{"of no site, by one of all", admin(nil), farm.User{Role: farm.Viewer, Sites: []int64{}}, true},
		{"by a key of one printer", Principal{key: farm.APIKey{ID: 1, Permissions: farm.Permissions, Printers: []int64{1}}}, farm.User{Role: farm.Viewer}, false},
		{"an administrator, by a key that is less", Principal{key: farm.APIKey{ID: 1, Permissions: farm.Permissions[3:]}}, farm.User{Role: farm.Administrator}, false},
		{"by a key with limits and an end", Principal{key: farm.APIKey{ID: 1, Permissions: farm.Permissions, Limits: farm.Limits{Read: 1}, ExpiresAt: time.Now()}}, farm.User{Role: farm.Administrator}, true},
	} {
		if got := c.who.MayManage(c.u); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// A sign-in that has looked at the password of before does not outlive its change.
func TestASignInDuringAResetOpensNothing(t *testing.T) {
	p := newPeople(t, DefaultConfig)
	u, hash, err := p.verify(t.Context(), "bert", good, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ResetPassword(t.Context(), p.bert, "another horse"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.begin(t.Context(), u, hash, Origin{}); !farm.Is(err, farm.Unauthorized) {
		t.Errorf("%v", err)
	}
	if all, err := p.db.Sessions(t.Context(), p.bert.ID); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
}
