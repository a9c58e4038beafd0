package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/go-chi/chi/v5"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// walk calls every route of the router that is not public with a key.
func (r *rig) walk(ctx context.Context, key string, each func(what string, a answer)) (routes int) {
	r.t.Helper()
	public := []string{base + "/health", base + "/openapi.json", base + "/auth/setup", base + "/auth/login", "/health", "/openapi.json"}
	err := chi.Walk(r.router, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		for _, p := range public {
			if p == path {
				return nil
			}
		}
		routes++
		path = exactPath(path)
		req := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader("{}"))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-API-Key", key)
		w := httptest.NewRecorder()
		r.router.ServeHTTP(w, req)
		each(method+" "+path, answer{w.Code, w.Header(), w.Body.Bytes()})
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return routes
}

// A database that does not answer is no way in, not for a key that is right either.
func TestNobodyIsLetInWhileTheDatabaseIsAway(t *testing.T) {
	for name, err := range map[string]error{"an error": errors.New("disk I/O error"), "a code": farm.Errorf(farm.Unavailable, "away"), "cancelled": context.Canceled, "too late": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.seed(idleReport)
			key := r.key(auth.NewKey{Permissions: farm.Permissions, Limits: farm.Limits{Read: 1e6, Write: 1e6, Control: 1e6}})
			r.keys.fail(err)
			n := r.walk(t.Context(), key, func(what string, a answer) {
				if a.status != http.StatusServiceUnavailable || a.object(t)["code"] != string(farm.Unavailable) || strings.Contains(string(a.body), "disk I/O") {
					t.Errorf("%s: %d %s", what, a.status, a.body)
				}
			})
			if n < 70 {
				t.Errorf("only %d routes", n)
			}
			if len(r.links.commands) != 0 || len(r.links.asked) != 0 {
				t.Errorf("an agent was asked: %v %v", r.links.commands, r.links.asked)
			}
		})
	}
}

// A change that began before another one does not undo it, and who lost what he had
// while he waited gives nothing of it to anybody.
func TestChangesOfWhoMayWhatWaitForEachOther(t *testing.T) {
	type call struct{ method, path, body string }
	narrow := call{http.MethodPatch, "/api-keys/2", `{"permissions":["read"],"printer_ids":[]}`}
	for name, c := range map[string]struct {
		own        call // by key 2, which is narrowed
		ownIsFirst bool
		status     int // of its own call
	}{
		"a change begun before": {call{http.MethodPatch, "/api-keys/2", `{"name":"Mine"}`}, true, 200},
		"a change begun after":  {call{http.MethodPatch, "/api-keys/2", `{"permissions":["read","admin"]}`}, false, 401},
		"a new key":             {call{http.MethodPost, "/api-keys", `{"name":"More","permissions":["admin"]}`}, false, 401},
		"another secret":        {call{http.MethodPost, "/api-keys/1/rotate", ""}, false, 401},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				own := r.key(auth.NewKey{Name: "own", Permissions: farm.Permissions, Limits: farm.Limits{Read: 1e6, Write: 1e6, Control: 1e6}})
				goOn := make(chan struct{})
				var held atomic.Bool
				r.keys.read = func() {
					if held.CompareAndSwap(false, true) {
						<-goOn
					}
				}
				var all sync.WaitGroup
				var status int
				both := []func(){
					func() { status = r.do(own, c.own.method, base+c.own.path, c.own.body).status },
					func() { r.do(r.admin, narrow.method, base+narrow.path, narrow.body) },
				}
				if !c.ownIsFirst {
					slices.Reverse(both)
				}
				for _, do := range both {
					all.Go(do)
					synctest.Wait() // the first one holds, the other one waits
				}
				close(goOn)
				all.Wait()
				if k := r.keys.rows[1]; status != c.status || len(r.keys.rows) != 2 || k.Printers == nil || k.May(farm.Admin) {
					t.Errorf("%d; %d keys, his is %+v", status, len(r.keys.rows), k)
				}
			})
		})
	}
}

// cancelled is a store as a database is to a request that was given up.
type cancelled struct{ *keyStore }

func (c cancelled) KeyByHash(ctx context.Context, hash [32]byte) (farm.APIKey, error) {
	if err := ctx.Err(); err != nil {
		return farm.APIKey{}, err
	}
	return c.keyStore.KeyByHash(ctx, hash)
}

// A request that was given up while it is looked up who makes it does nothing.
func TestARequestThatWasGivenUp(t *testing.T) {
	store := &keyStore{}
	a := auth.New(auth.Options{Store: cancelled{store}})
	r := newRig(t, func(d *Deps) { d.Auth = a })
	r.seed(idleReport)
	secret, _, err := a.CreateKey(t.Context(), auth.NewKey{Name: "K", Permissions: farm.Permissions})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.walk(ctx, secret.Reveal(), func(what string, a answer) {
		if a.status < 400 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	})
	if len(r.links.commands) != 0 || len(r.links.asked) != 0 || len(r.audit.rows) != 0 {
		t.Errorf("something was done: %v %v", r.links.commands, r.links.asked)
	}
}
