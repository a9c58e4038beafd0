package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/webhook"
	"bambuddy/shared/farm"
)

// memWebhooks is webhooks in memory, with as much of them as the API relies on. What
// really becomes of an event is shown in hub/internal/webhook.
type memWebhooks struct {
	rows       []farm.Webhook
	deliveries []farm.Delivery
	asked      struct {
		state         farm.DeliveryState
		before        int64
		limit, offset int
	}
	tested farm.Delivery
}

func (m *memWebhooks) List(context.Context) ([]farm.Webhook, error) {
	return slices.Clone(m.rows), nil
}

func (m *memWebhooks) Create(_ context.Context, w farm.Webhook, secret farm.Secret) (farm.Webhook, farm.Secret, error) {
	if strings.HasPrefix(w.URL, "ftp") {
		return w, "", farm.Errorf(farm.Invalid, "url: must begin with https:// or http://")
	}
	if secret == "" {
		secret = "whsec_made"
	}
	w.ID, w.CreatedAt, w.UpdatedAt = int64(len(m.rows)+1), seedTime, seedTime
	m.rows = append(m.rows, w)
	return w, secret, nil
}

func (m *memWebhooks) Change(_ context.Context, w farm.Webhook) (farm.Webhook, error) {
	if w.Enabled {
		w.DisabledReason = ""
	}
	i := slices.IndexFunc(m.rows, func(r farm.Webhook) bool { return r.ID == w.ID })
	m.rows[i] = w
	return w, nil
}

func (m *memWebhooks) Delete(_ context.Context, id int64) error {
	m.rows = slices.DeleteFunc(m.rows, func(w farm.Webhook) bool { return w.ID == id })
	return nil
}

func (m *memWebhooks) Rotate(_ context.Context, id int64) (farm.Webhook, farm.Secret, error) {
	i := slices.IndexFunc(m.rows, func(r farm.Webhook) bool { return r.ID == id })
	return m.rows[i], "whsec_other", nil
}

func (m *memWebhooks) Test(context.Context, int64) (farm.Delivery, error) { return m.tested, nil }

func (m *memWebhooks) Deliveries(_ context.Context, id int64, state farm.DeliveryState, before int64, limit, offset int) (out []farm.Delivery, total int, err error) {
	m.asked.state, m.asked.before, m.asked.limit, m.asked.offset = state, before, limit, offset
	for _, v := range m.deliveries {
		if v.WebhookID == id {
			out = append(out, v)
		}
	}
	return out[:min(limit, len(out))], len(out), nil
}

func (m *memWebhooks) Delivery(_ context.Context, webhookID, id int64) (farm.Delivery, error) {
	for _, v := range m.deliveries {
		if v.WebhookID == webhookID && v.ID == id {
			return v, nil
		}
	}
	return farm.Delivery{}, farm.Errorf(farm.NotFound, "webhook %d has no delivery %d", webhookID, id)
}

func (m *memWebhooks) Redeliver(ctx context.Context, webhookID, id int64) (farm.Delivery, error) {
	v, err := m.Delivery(ctx, webhookID, id)
	if err == nil && v.State == farm.DeliveryPending {
		return v, farm.Errorf(farm.Conflict, "delivery %d is on its way already", id)
	}
	v.State = farm.DeliveryPending
	return v, err
}

const hooksPath = base + "/webhooks"

func TestWebhooks(t *testing.T) {
	hooks := &memWebhooks{}
	r := newRig(t, func(d *Deps) { d.Webhooks = hooks })
	r.seed(idleReport)

	made := r.do(r.admin, http.MethodPost, hooksPath, `{"name":"Home","url":"https://hooks.example.com/x"}`)
	m := made.object(t)
	if made.status != http.StatusCreated || m["secret"] != "whsec_made" || m["enabled"] != true || m["events"] != nil || m["printer_ids"] != nil ||
		m["site_ids"] != nil || m["disabled_reason"] != nil || m["failing_since"] != nil || m["created_by"] != "admin" || m["created_at"] != "2024-01-15T13:30:00Z" {
		t.Errorf("%d %s", made.status, made.body)
	}
	made = r.do(r.admin, http.MethodPost, hooksPath, `{"name":"Few","url":"https://hooks.example.com/y","events":[],"printer_ids":[1],"site_ids":[1],"enabled":false,"secret":"mine-mine-mine-mine"}`)
	if m = made.object(t); m["secret"] != "mine-mine-mine-mine" || fmt.Sprint(m["events"], m["printer_ids"], m["site_ids"]) != "[] [1] [1]" || m["disabled_reason"] != "disabled by admin" {
		t.Errorf("%s", made.body)
	}
	for _, path := range []string{hooksPath, hooksPath + "/1", hooksPath + "/2"} {
		if a := r.get(path); a.status != http.StatusOK || strings.Contains(string(a.body), "secret") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := r.get(hooksPath); a.header.Get("X-Total-Count") != "2" {
		t.Errorf("%v", a.header)
	}

	changed := r.do(r.admin, http.MethodPatch, hooksPath+"/2", `{"events":null,"enabled":true,"printer_ids":null}`)
	if m = changed.object(t); m["events"] != nil || m["printer_ids"] != nil || fmt.Sprint(m["site_ids"]) != "[1]" || m["enabled"] != true || m["disabled_reason"] != nil {
		t.Errorf("%s", changed.body)
	}
	if m = r.do(r.admin, http.MethodPatch, hooksPath+"/2", `{"enabled":false}`).object(t); m["disabled_reason"] != "disabled by admin" || m["name"] != "Few" {
		t.Errorf("%v", m)
	}
	if a := r.do(r.admin, http.MethodPost, hooksPath+"/1/rotate-secret", ""); a.status != http.StatusOK || a.object(t)["secret"] != "whsec_other" {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, c := range []struct {
		body, field string
		code        farm.Code
	}{
		{`{"name":"","url":"https://a.example"}`, "name", farm.Invalid},
		{`{"name":"x"}`, "url", farm.Invalid},
		{`{"name":"x","url":"ftp://a.example"}`, "url", farm.Invalid},
		{`{"name":"x","url":"https://a.example","events":["queue_waiting"]}`, "events", farm.Invalid},
		{`{"name":"x","url":"https://a.example","events":["test"]}`, "events", farm.Invalid},
		{`{"name":"x","url":"https://a.example","printer_ids":[9]}`, "printer_ids", farm.NotFound},
		{`{"name":"x","url":"https://a.example","site_ids":[9]}`, "site_ids", farm.NotFound},
	} {
		r.wantError(r.do(r.admin, http.MethodPost, hooksPath, c.body), c.code, c.field)
	}
	if a := r.do(r.admin, http.MethodDelete, hooksPath+"/2", ""); a.status != http.StatusOK || len(hooks.rows) != 1 {
		t.Errorf("%d %s", a.status, a.body)
	}
	r.wantError(r.get(hooksPath+"/2"), farm.NotFound, "2")
	r.wantError(r.do(r.admin, http.MethodDelete, hooksPath+"/2", ""), farm.NotFound, "2")
	reader := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read, farm.Queue, farm.Control}})
	r.wantError(r.do(reader, http.MethodGet, hooksPath, ""), farm.Forbidden, "admin")
}

func TestWebhookDeliveries(t *testing.T) {
	body := []byte(`{"event":"print_started","timestamp":"2024-01-15T13:30:00Z","data":{}}`)
	hooks := &memWebhooks{
		rows: []farm.Webhook{{ID: 1, Name: "Home", Enabled: true}},
		deliveries: []farm.Delivery{
			{ID: 7, UID: "u7", WebhookID: 1, EventID: 70, Event: "print_started", PrinterID: 1, SiteID: 1, At: seedTime, Body: body, State: farm.DeliveryPending, NextAt: seedTime, CreatedAt: seedTime},
			{
				ID: 6, UID: "u6", WebhookID: 1, EventID: 60, Event: "agent_online", At: seedTime, Body: body, State: farm.DeliveryDead, Tries: 2, TriedAt: seedTime, EndedAt: seedTime,
				Last: farm.Attempt{Status: 404, Request: "POST /", Response: "404 Not Found", Error: "answered 404 Not Found", Took: 12 * time.Millisecond},
			},
		},
		tested: farm.Delivery{Body: body, State: farm.DeliveryDead, Last: farm.Attempt{Request: "POST /", Error: "no answer within 10 s", Took: 10 * time.Second}},
	}
	r := newRig(t, func(d *Deps) { d.Webhooks = hooks })
	const path = hooksPath + "/1/deliveries"

	a := r.get(path + "?state=dead&limit=2&offset=3&cursor=9")
	rows, _ := a.json(t).([]any)
	if len(rows) != 2 || a.header.Get("X-Total-Count") != "2" || a.header.Get("X-Next-Cursor") != "" ||
		hooks.asked.state != "dead" || hooks.asked.limit != 3 || hooks.asked.offset != 3 || hooks.asked.before != 9 {
		t.Fatalf("%s %+v", a.body, hooks.asked)
	}
	if first := r.get(path + "?limit=1"); len(first.json(t).([]any)) != 1 || first.header.Get("X-Next-Cursor") == "" {
		t.Errorf("the first of two pages: %s %v", first.body, first.header)
	}
	waiting, dead := rows[0].(map[string]any), rows[1].(map[string]any)
	if waiting["state"] != "pending" || waiting["took_ms"] != nil || waiting["next_attempt_at"] != "2024-01-15T13:30:00Z" || waiting["status"] != nil || waiting["event_id"] != 70.0 {
		t.Errorf("%v", waiting)
	}
	if dead["next_attempt_at"] != nil || dead["took_ms"] != 12.0 || dead["status"] != 404.0 || dead["printer_id"] != nil || dead["ended_at"] == nil || dead["delivery_id"] != "u6" {
		t.Errorf("%v", dead)
	}
	if a := r.get(path); hooks.asked.limit != 51 || a.header.Get("X-Next-Cursor") != "" {
		t.Errorf("%+v %v", hooks.asked, a.header)
	}
	for _, q := range []string{"limit=0", "limit=201", "state=lost", "offset=-1", "cursor=x"} {
		field, _, _ := strings.Cut(q, "=")
		r.wantError(r.get(path+"?"+q), farm.Invalid, field)
	}
	one := r.get(path + "/6").object(t)
	if one["request"] != "POST /" || one["response"] != "404 Not Found" || one["body"].(map[string]any)["event"] != "print_started" || one["error"] != "answered 404 Not Found" {
		t.Errorf("%v", one)
	}
	for _, id := range []string{"8", "0", "x", "01"} {
		r.wantError(r.get(path+"/"+id), farm.NotFound, "")
	}
	r.wantError(r.do(r.admin, http.MethodPost, path+"/7/redeliver", ""), farm.Conflict, "7")
	if a := r.do(r.admin, http.MethodPost, path+"/6/redeliver", ""); a.status != http.StatusOK || a.object(t)["state"] != "pending" {
		t.Errorf("%d %s", a.status, a.body)
	}
	tested := r.do(r.admin, http.MethodPost, hooksPath+"/1/test", "")
	if m := tested.object(t); tested.status != http.StatusOK || m["delivered"] != false || m["error"] != "no answer within 10 s" || m["took_ms"] != 10000.0 || m["status"] != nil || m["response"] != nil {
		t.Errorf("%d %s", tested.status, tested.body)
	}
}

// A webhook outlives the request that made it, so it must never be told of more than
// its maker sees; and what it is told of must be shown to nobody who sees less.
func TestScopeOfWebhooks(t *testing.T) {
	hooks := &memWebhooks{deliveries: []farm.Delivery{{ID: 1, WebhookID: 1, State: farm.DeliveryDead}}}
	r := newRig(t, func(d *Deps) { d.Webhooks = hooks })
	r.seed(idleReport)
	r.put(farm.Printer{ID: 2, Serial: "B", Name: "Elsewhere", SiteID: 2, AgentID: 2})
	r.registry.sites = append(r.registry.sites, farm.Site{ID: 2, Name: "Elsewhere"})
	hooks.rows = []farm.Webhook{
		{ID: 1, Name: "all"},
		{ID: 2, Name: "site 1", Sites: []int64{1}},
		{ID: 3, Name: "site 2", Sites: []int64{2}},
		{ID: 4, Name: "both", Sites: []int64{1, 2}},
		{ID: 5, Name: "printer 1", Printers: []int64{1}},
		{ID: 6, Name: "printer 1 of site 1", Printers: []int64{1}, Sites: []int64{1}},
		{ID: 7, Name: "nothing", Printers: []int64{}, Sites: []int64{}},
	}
	limits := farm.Limits{Read: 10000, Write: 10000, Control: 10000}
	for _, c := range []struct {
		name            string
		printers, sites []int64
		sees            []int64
	}{
		{"everything", nil, nil, []int64{1, 2, 3, 4, 5, 6, 7}},
		{"site 1", nil, []int64{1}, []int64{2, 6, 7}},
		{"site 2", nil, []int64{2}, []int64{3, 7}},
		{"sites 1 and 2", nil, []int64{1, 2}, []int64{2, 3, 4, 6, 7}},
		{"printer 1", []int64{1}, nil, []int64{5, 6, 7}},
		{"printer 1 of site 1", []int64{1}, []int64{1}, []int64{6, 7}},
		{"no site", nil, []int64{}, []int64{7}},
		{"no printer", []int64{}, nil, []int64{7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows := slices.Clone(hooks.rows)
			key := r.key(auth.NewKey{Permissions: farm.Permissions, Printers: c.printers, Sites: c.sites, Limits: limits})
			var sees []int64
			for _, w := range r.do(key, http.MethodGet, hooksPath, "").json(t).([]any) {
				sees = append(sees, int64(w.(map[string]any)["id"].(float64)))
			}
			if !slices.Equal(sees, c.sees) {
				t.Errorf("sees %v, want %v", sees, c.sees)
			}
			for _, w := range rows {
				if slices.Contains(c.sees, w.ID) {
					continue
				}
				at := fmt.Sprintf("%s/%d", hooksPath, w.ID)
				for _, q := range [][3]string{
					{"GET", at, ""},
					{"PATCH", at, `{"name":"X"}`},
					{"DELETE", at, ""},
					{"POST", at + "/test", ""},
					{"POST", at + "/rotate-secret", ""},
					{"GET", at + "/deliveries", ""},
					{"GET", at + "/deliveries/1", ""},
					{"POST", at + "/deliveries/1/redeliver", ""},
				} {
					r.wantError(r.do(key, q[0], q[1], q[2]), farm.NotFound, "")
				}
			}
			if fmt.Sprint(hooks.rows) != fmt.Sprint(rows) {
				t.Errorf("something changed: %v", hooks.rows)
			}
		})
	}
	// What a caller of site 1 may make, and make of it.
	one := r.key(auth.NewKey{Permissions: farm.Permissions, Sites: []int64{1}, Limits: limits})
	for body, code := range map[string]int{
		`{"name":"x","url":"https://a.example"}`:                                    403,
		`{"name":"x","url":"https://a.example","site_ids":null}`:                    403,
		`{"name":"x","url":"https://a.example","site_ids":[2]}`:                     403,
		`{"name":"x","url":"https://a.example","site_ids":[1,2]}`:                   403,
		`{"name":"x","url":"https://a.example","printer_ids":[1]}`:                  403,
		`{"name":"x","url":"https://a.example","site_ids":[1]}`:                     201,
		`{"name":"x","url":"https://a.example","site_ids":[]}`:                      201,
		`{"name":"x","url":"https://a.example","site_ids":[1],"printer_ids":[1]}`:   201,
		`{"name":"x","url":"https://a.example","site_ids":[1],"printer_ids":[1,2]}`: 404,
	} {
		if a := r.do(one, http.MethodPost, hooksPath, body); a.status != code {
			t.Errorf("%s: %d %s, want %d", body, a.status, a.body, code)
		}
	}
	for body, code := range map[string]int{`{"site_ids":null}`: 403, `{"site_ids":[1,2]}`: 403, `{"name":"Y"}`: 200, `{"printer_ids":[1]}`: 200} {
		if a := r.do(one, http.MethodPatch, hooksPath+"/2", body); a.status != code {
			t.Errorf("%s: %d %s, want %d", body, a.status, a.body, code)
		}
	}
}

func TestTheDocumentNamesEveryEventOfWebhooks(t *testing.T) {
	text := string(newRig(t).do("", http.MethodGet, base+"/openapi.json", "").body)
	for _, kind := range farm.WebhookEvents {
		if !strings.Contains(text, "`"+kind+"`") || !strings.Contains(text, `"`+kind+`"`) {
			t.Errorf("the document lacks %s", kind)
		}
	}
}

// That a webhook was switched off is told to who may know of every webhook.
func TestWhoHearsOfADisabledWebhook(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		key  auth.NewKey
		want bool
	}{
		{auth.NewKey{}, true},
		{auth.NewKey{Sites: []int64{1}}, false},
		{auth.NewKey{Printers: []int64{1}}, false},
	} {
		c.key.Permissions = []farm.Permission{farm.Read}
		who, err := r.auth.Authenticate(context.Background(), http.Header{"X-Api-Key": {r.key(c.key)}})
		if err != nil {
			t.Fatal(err)
		}
		st := &stream{server: r.server, caller: who}
		if got := st.mayHear(farm.Event{Kind: farm.EventWebhookDisabled}); got != c.want {
			t.Errorf("%+v hears it: %v", c.key, got)
		}
	}
}

// What the document says of a body is what is sent.
func TestTheDocumentDescribesEveryBody(t *testing.T) {
	r := newRig(t)
	var doc struct {
		Webhooks map[string]struct {
			Post struct {
				RequestBody struct {
					Content map[string]struct {
						Schema struct {
							Properties map[string]struct {
								Ref  string `json:"$ref"`
								Enum []string
							}
						}
					}
				}
			}
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(r.do("", http.MethodGet, base+"/openapi.json", "").body, &doc); err != nil {
		t.Fatal(err)
	}
	all := append([]string{farm.EventWebhookTest}, farm.WebhookEvents...)
	if len(doc.Webhooks) != len(all) {
		t.Errorf("%d are described, there are %d", len(doc.Webhooks), len(all))
	}
	for _, kind := range all {
		sent, err := webhook.Body(kind, seedTime, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Data map[string]any }
		if err := json.Unmarshal(sent, &body); err != nil {
			t.Fatal(err)
		}
		parts := doc.Webhooks[kind].Post.RequestBody.Content["application/json"].Schema.Properties
		data := doc.Components.Schemas[strings.TrimPrefix(parts["data"].Ref, "#/components/schemas/")].Properties
		if got, want := slices.Sorted(maps.Keys(data)), slices.Sorted(maps.Keys(body.Data)); !slices.Equal(got, want) || !slices.Equal(parts["event"].Enum, []string{kind}) {
			t.Errorf("%s: the document has %v, sent is %v", kind, got, want)
		}
	}
}
