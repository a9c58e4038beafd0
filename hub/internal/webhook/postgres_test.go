package webhook

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/hub/internal/events"
	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/hub/internal/store/pgtest"
	"bambuddy/shared/farm"
)

// Two hubs on one PostgreSQL, over real sockets: every event arrives in its printer's
// order, and none is sent by both.
func TestTwoHubsOnPostgreSQL(t *testing.T) {
	server, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	address := server.URL(t)
	e := &endpoint{}
	e.set(func(w http.ResponseWriter, _ *http.Request, got received) {
		if got.event%25 == 7 && e.tries(got.event) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "not \x00 now")
		}
	})
	receiver := httptest.NewServer(e)
	defer receiver.Close()

	var hubs []*Webhooks
	var dbs []*store.DB
	for range 2 {
		log := events.New()
		db, err := store.Open(t.Context(), store.Config{URL: address, Wake: log.Wake})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		log.Read(db)
		box, err := secrets.Open(t.Context(), secrets.Options{Keys: []farm.Secret{farm.Secret(strings.Repeat("0f", 32))}, Canary: db})
		if err != nil {
			t.Fatal(err)
		}
		w := New(Options{Store: db, Events: log, Sealer: box, Config: func() Config {
			c := Defaults
			c.AllowPrivate = true
			return c
		}, Log: quiet()})
		defer running(t, w)()
		hubs, dbs = append(hubs, w), append(dbs, db)
	}
	hook, secret, err := hubs[0].Create(t.Context(), farm.Webhook{Name: "w", URL: receiver.URL, Enabled: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	const all = 100
	for i := range int64(all) {
		r := &rig{t: t, db: dbs[i%2]}
		r.happen(i%5, i)
	}
	kept := func() []farm.Delivery {
		done, _, err := hubs[1].Deliveries(t.Context(), hook.ID, farm.DeliveryDelivered, 0, 200, 0)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); len(kept()) < all; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%d of %d within a minute", len(kept()), all)
		}
	}
	requests, order := map[string]int{}, map[int64][]int64{}
	for _, g := range e.all() {
		requests[g.uid]++
		if of := order[g.printer]; len(of) == 0 || of[len(of)-1] != g.event {
			order[g.printer] = append(of, g.event)
		}
		if !genuine(g, secret) {
			t.Errorf("event %d is not signed", g.event)
		}
	}
	for _, v := range kept() {
		if requests[v.UID] != int(v.Tries) {
			t.Errorf("delivery %d: %d requests, %d tries", v.ID, requests[v.UID], v.Tries)
		}
	}
	if len(requests) != all {
		t.Errorf("%d deliveries arrived", len(requests))
	}
	for p, of := range order {
		if !slices.IsSorted(of) || len(of) != all/5 {
			t.Errorf("of printer %d: %v", p, of)
		}
	}
}
