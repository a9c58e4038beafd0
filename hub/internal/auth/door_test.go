package auth

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// Neither a database that is gone nor a request that was given up lets anybody in, by
// whichever way.
func TestTheDoorStaysShutWithoutADatabase(t *testing.T) {
	for name, broken := range map[string]func(p *people) context.Context{
		"closed": func(p *people) context.Context { p.close(); return context.Background() },
		"given up": func(*people) context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeople(t, DefaultConfig)
			session := p.mustSignIn("bert")
			key, _ := p.mustKey(NewKey{Name: "K", OwnerID: p.bert.ID, Permissions: farm.Permissions})
			own, _ := p.mustKey(NewKey{Name: "K", Permissions: farm.Permissions})
			byKey, err := p.Authenticate(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			bySession, err := p.Authenticate(t.Context(), session)
			if err != nil {
				t.Fatal(err)
			}
			links := []string{p.MediaLink(byKey, "/x", time.Now().Add(time.Minute)), p.MediaLink(bySession, "/x", time.Now().Add(time.Minute))}
			p.tellChange() // nobody is believed any longer
			ctx := broken(p)
			check := func(what string, who Principal, err error) {
				t.Helper()
				if err == nil || farm.Is(err, farm.Unauthorized) || who.May(farm.Read) {
					t.Errorf("%s: %+v %v", what, who, err)
				}
			}
			for what, h := range map[string]http.Header{"session": session, "key": key, "the hub's key": own} {
				who, err := p.Authenticate(ctx, h)
				check(what, who, err)
			}
			for _, link := range links {
				u, err := url.Parse(link)
				if err != nil {
					t.Fatal(err)
				}
				who, err := p.FollowLink(ctx, "/x", u.Query())
				if err == nil || who.May(farm.Read) {
					t.Errorf("%s: %+v %v", link, who, err)
				}
			}
			if err := p.Recheck(ctx, byKey); err == nil {
				t.Error("a stream goes on as if it had been looked up")
			}
			if token, who, err := p.SignIn(ctx, "bert", good, Origin{Address: "10.0.0.9:1"}); err == nil || token != "" || who.May(farm.Read) {
				t.Errorf("signs in: %v", err)
			}
			if token, _, err := p.SetUp(ctx, "x", NewUser{Username: "eve", Password: good}, Origin{}); err == nil || token != "" {
				t.Errorf("sets up: %v", err)
			}
		})
	}
}
