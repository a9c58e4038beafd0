package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"bambuddy/shared/farm"
)

// A whole hub, as it comes: an event of its table is on its way to a webhook, and does
// not get to a service of this machine, by whatever name that goes.
func TestAHubsWebhooks(t *testing.T) {
	var visits atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	defer inside.Close()
	r := runArchives(t, nil)
	r.ask("POST", "/webhooks", []byte(`{"name":"inside","url":"`+inside.URL+`"}`)).refused(farm.Invalid, "url")
	byName := strings.Replace(inside.URL, "127.0.0.1", "localhost", 1)
	var made struct {
		ID     int64
		Secret string
	}
	r.ask("POST", "/webhooks", []byte(`{"name":"by name","url":"`+byName+`","site_ids":[1]}`)).want(201).into(&made)
	var tried struct {
		Delivered bool
		Error     string
	}
	r.ask("POST", "/webhooks/1/test", nil).want(200).into(&tried)
	if tried.Delivered || !strings.Contains(tried.Error, "loopback") || !strings.HasPrefix(made.Secret, "whsec_") {
		t.Errorf("%+v", tried)
	}
	for _, site := range []int64{1, r.second.ID} {
		if _, err := r.db.AppendEvent(t.Context(), farm.Event{Kind: farm.EventAgentOffline, AgentID: 1, SiteID: site, Data: []byte(`{"agent_id":1,"agent_name":"a"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	var deliveries []struct {
		Event, State, Error string
		Tries               int
	}
	(&client{t: t, url: r.url}).await("a try", func() bool {
		r.get("/webhooks/1/deliveries").want(200).into(&deliveries)
		return len(deliveries) > 0 && deliveries[0].Tries > 0 && deliveries[0].Error != ""
	})
	if len(deliveries) != 1 || deliveries[0].Event != farm.EventAgentOffline || deliveries[0].State != "pending" || !strings.Contains(deliveries[0].Error, "loopback") {
		t.Errorf("%+v", deliveries)
	}
	there := r.scoped([]string{"read", "admin"}, nil, []int64{r.second.ID})
	r.as(there, "GET", "/webhooks/1", nil).refused(farm.NotFound, "1")
	r.ask("DELETE", "/webhooks/1", nil).want(200)
	if n := visits.Load(); n != 0 {
		t.Errorf("%d got inside", n)
	}
}
