package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// Webhooks are endpoints that are told of events, and the log of that.
type Webhooks interface {
	List(ctx context.Context) ([]farm.Webhook, error)
	// Create makes one and gives its secret, this once: the given one, or a new one.
	Create(ctx context.Context, w farm.Webhook, secret farm.Secret) (farm.Webhook, farm.Secret, error)
	Change(ctx context.Context, w farm.Webhook) (farm.Webhook, error)
	Delete(ctx context.Context, id int64) error
	Rotate(ctx context.Context, id int64) (farm.Webhook, farm.Secret, error)
	// Test sends an event of its own and waits for the answer.
	Test(ctx context.Context, id int64) (farm.Delivery, error)
	// Deliveries gives a page of the log, newest first, before an id (0: from the
	// newest), of a state ("": all), and how many there are in all.
	Deliveries(ctx context.Context, webhookID int64, state farm.DeliveryState, before int64, limit, offset int) ([]farm.Delivery, int, error)
	Delivery(ctx context.Context, webhookID, id int64) (farm.Delivery, error)
	Redeliver(ctx context.Context, webhookID, id int64) (farm.Delivery, error)
}

// webhookEvent is the name of an event that webhooks deliver.
type webhookEvent string

// Schema describes it.
func (webhookEvent) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Examples: []any{farm.EventPrintComplete}}
	for _, kind := range farm.WebhookEvents {
		s.Enum = append(s.Enum, kind)
	}
	return s
}

// kinds turns what a body names into what there is; nil stays nil.
func kinds(named []webhookEvent) []string {
	if named == nil {
		return nil
	}
	return mapped(named, func(e webhookEvent) string { return string(e) })
}

// allowList is null for all.
func allowList[T any](l []T) nullable[[]T] {
	if l == nil {
		return nullable[[]T]{}
	}
	return some(l)
}

// Webhook is an endpoint without its secret.
type Webhook struct {
	ID             int64                    `json:"id" doc:"Its id." example:"1"`
	Name           string                   `json:"name" doc:"What it is for." example:"Home automation"`
	URL            string                   `json:"url" doc:"Where events are sent to, by POST." example:"https://hooks.example.com/bambuddy"`
	Events         nullable[[]webhookEvent] `json:"events" doc:"Only these events; null: all, empty: none." example:"[\"print_complete\",\"print_failed\"]"`
	PrinterIDs     nullable[[]int64]        `json:"printer_ids" doc:"Only what is of these printers; null: all, empty: none." example:"[1]"`
	SiteIDs        nullable[[]int64]        `json:"site_ids" doc:"Only what is of these sites; null: all, empty: none." example:"[1]"`
	Enabled        bool                     `json:"enabled" doc:"False: nothing is sent and nothing is kept for later." example:"true"`
	DisabledReason *string                  `json:"disabled_reason" doc:"Why it is not enabled; null while it is." example:"disabled by Home automation"`
	FailingSince   nullable[instant]        `json:"failing_since" doc:"When it first failed since anything got through; null: the last try got through, or there was none."`
	Failures       int64                    `json:"failures" doc:"How many tries have failed since anything got through." example:"0"`
	OwnerID        *int64                   `json:"owner_id" doc:"The person it belongs to: it is told of no more than they may see, and ends with them. Null: the hub's own." example:"1"`
	CreatedBy      string                   `json:"created_by" doc:"The name of who made it." example:"Home automation"`
	CreatedAt      instant                  `json:"created_at" doc:"When it was made."`
	UpdatedAt      instant                  `json:"updated_at" doc:"When it was last changed."`
}

// WebhookWithSecret is a webhook with its secret, for the one and only time.
type WebhookWithSecret struct {
	Webhook
	Secret string `json:"secret" doc:"What deliveries are signed with. It is shown here once." example:"whsec_m1Xh0bQ4v9yZ3tUe7Jr2KdLw8sNf5aGc6PiOqRxTzB0"`
}

// NewWebhook is the body of POST /webhooks.
type NewWebhook struct {
	Name       string                   `json:"name" minLength:"1" maxLength:"100" doc:"What it is for." example:"Home automation"`
	URL        string                   `json:"url" minLength:"1" maxLength:"2048" doc:"https:// or http://, without a name and password and without a fragment. Addresses that are loopback or private are refused unless the settings allow them; link-local ones always. Checked again each time it is connected to." example:"https://hooks.example.com/bambuddy"`
	Secret     string                   `json:"secret,omitempty" doc:"To sign with, 16 to 200 letters, digits and signs; absent: one is made." example:"whsec_m1Xh0bQ4v9yZ3tUe7Jr2KdLw8sNf5aGc6PiOqRxTzB0"`
	Events     optional[[]webhookEvent] `json:"events,omitempty" doc:"Only these events, see above; null or absent: all, empty: none." example:"[\"print_complete\",\"print_failed\"]"`
	PrinterIDs optional[[]int64]        `json:"printer_ids,omitempty" doc:"Only what is of these printers; null or absent: all, empty: none. With a list, what is of no printer (agents) is not sent." example:"[1]"`
	SiteIDs    optional[[]int64]        `json:"site_ids,omitempty" doc:"Only what is of these sites; null or absent: all, empty: none." example:"[1]"`
	Enabled    *bool                    `json:"enabled,omitempty" doc:"Absent: true." example:"true"`
}

// WebhookChange is the body of PATCH /webhooks/{id}: any subset.
type WebhookChange struct {
	Name       *string                  `json:"name,omitempty" minLength:"1" maxLength:"100" doc:"What it is for." example:"Home automation"`
	URL        *string                  `json:"url,omitempty" minLength:"1" maxLength:"2048" doc:"What is on its way goes to the new one." example:"https://hooks.example.com/bambuddy"`
	Events     optional[[]webhookEvent] `json:"events,omitempty" doc:"Null: all, empty: none." example:"[\"print_complete\"]"`
	PrinterIDs optional[[]int64]        `json:"printer_ids,omitempty" doc:"Null: all, empty: none. Deliveries of others are dropped, from the log too." example:"[1]"`
	SiteIDs    optional[[]int64]        `json:"site_ids,omitempty" doc:"Null: all, empty: none. Deliveries of others are dropped, from the log too." example:"[1]"`
	Enabled    *bool                    `json:"enabled,omitempty" doc:"False: what is on its way is given up, and can be sent again by hand later. True, after false: begins anew, with the events from now on." example:"true"`
}

func (s *server) webhookRoutes(webhooks Webhooks) {
	if webhooks == nil {
		return
	}
	h := webhookHandlers{s, webhooks}
	s.documentWebhooks()
	const tag = "Webhooks"
	register(s, route{
		id: "list_webhooks", method: http.MethodGet, path: "/webhooks", tag: tag, summary: "List Webhooks",
		about: "Those that are told of nothing the caller does not see.", needs: farm.Admin, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, h.list)
	register(s, route{
		id: "create_webhook", method: http.MethodPost, path: "/webhooks", tag: tag, summary: "Create Webhook",
		about: fmt.Sprintf(webhooksAbout, strings.Join(farm.WebhookEvents, "`, `")),
		needs: farm.Admin, limit: auth.WriteClass, created: true, errors: []farm.Code{farm.NotFound, farm.Conflict},
	}, granted(h.server, h.create))
	register(s, route{
		id: "get_webhook", method: http.MethodGet, path: "/webhooks/{id}", tag: tag, summary: "Get Webhook",
		about: "One webhook, without its secret.", needs: farm.Admin, limit: auth.ReadClass,
	}, h.get)
	register(s, route{
		id: "update_webhook", method: http.MethodPatch, path: "/webhooks/{id}", tag: tag, summary: "Update Webhook",
		about: "Any subset of the fields.", needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, granted(h.server, h.update))
	register(s, route{
		id: "delete_webhook", method: http.MethodDelete, path: "/webhooks/{id}", tag: tag, summary: "Delete Webhook",
		about: "What is on its way is dropped, and the log of it.", needs: farm.Admin, limit: auth.WriteClass,
	}, h.remove)
	register(s, route{
		id: "rotate_webhook_secret", method: http.MethodPost, path: "/webhooks/{id}/rotate-secret", tag: tag, summary: "Rotate Webhook Secret",
		about: "What is sent from now on is signed with the new secret, which is in the answer, once.", needs: farm.Admin, limit: auth.WriteClass,
	}, h.rotate)
	register(s, route{
		id: "test_webhook", method: http.MethodPost, path: "/webhooks/{id}/test", tag: tag, summary: "Test Webhook",
		about: "Sends an event `test`, once, waits for the answer and tells what it was; 200 also when it failed. It is not in the log. When the endpoint took it, what is waiting is sent at once.",
		needs: farm.Admin, limit: auth.WriteClass,
	}, h.test)
	register(s, route{
		id: "list_webhook_deliveries", method: http.MethodGet, path: "/webhooks/{id}/deliveries", tag: tag, summary: "List Webhook Deliveries",
		about: "Newest first.", needs: farm.Admin, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, h.deliveries)
	register(s, route{
		id: "get_webhook_delivery", method: http.MethodGet, path: "/webhooks/{id}/deliveries/{delivery_id}", tag: tag, summary: "Get Webhook Delivery",
		about: "With what was sent and what was answered.", needs: farm.Admin, limit: auth.ReadClass,
	}, h.delivery)
	register(s, route{
		id: "redeliver_webhook_delivery", method: http.MethodPost, path: "/webhooks/{id}/deliveries/{delivery_id}/redeliver", tag: tag, summary: "Redeliver",
		about: "Sends one again that has ended, with the same `X-Bambuddy-Delivery`. It waits for no other one, and no other one for it.",
		needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, h.redeliver)
}

// webhookHandlers are the handlers of these routes.
type webhookHandlers struct {
	*server
	webhooks Webhooks
}

// mayTell tells whether a webhook is told of nothing that the caller does not see.
func mayTell(who auth.Principal, w farm.Webhook) bool {
	return who.May(farm.Read) && exceeds(who, w) == ""
}

// exceeds names the allow-list of a webhook that goes beyond the caller's own.
func exceeds(who auth.Principal, w farm.Webhook) string {
	switch who.Exceeds(farm.APIKey{Printers: w.Printers, Sites: w.Sites, ExpiresAt: who.Until()}) {
	case "printers":
		return "printer_ids"
	case "sites":
		return "site_ids"
	}
	return ""
}

// given are the webhooks a caller may know of.
func (h webhookHandlers) given(ctx context.Context) ([]farm.Webhook, error) {
	all, err := h.webhooks.List(ctx)
	if err != nil {
		return nil, err
	}
	who := auth.From(ctx)
	return slices.DeleteFunc(all, func(w farm.Webhook) bool { return !mayTell(who, w) }), nil
}

// one is one of them.
func (h webhookHandlers) one(ctx context.Context, id int64) (farm.Webhook, error) {
	given, err := h.given(ctx)
	if err != nil {
		return farm.Webhook{}, err
	}
	if i := slices.IndexFunc(given, func(w farm.Webhook) bool { return w.ID == id }); i >= 0 {
		return given[i], nil
	}
	return farm.Webhook{}, farm.Errorf(farm.NotFound, "there is no webhook %d", id)
}

func (h webhookHandlers) list(ctx context.Context, in *Page) (*listing[Webhook], error) {
	given, err := h.given(ctx)
	if err != nil {
		return nil, err
	}
	wanted := paged(given, *in)
	return &listing[Webhook]{Total: wanted.Total, Body: mapped(wanted.Body, webhookOf)}, nil
}

func (h webhookHandlers) get(ctx context.Context, in *ByID) (*body[Webhook], error) {
	w, err := h.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[Webhook]{webhookOf(w)}, nil
}

// checkScope refuses a webhook that would be told of more than the caller sees, or of
// what there is not. What it has named before stays, though it be gone since.
func (h webhookHandlers) checkScope(ctx context.Context, w, was farm.Webhook) error {
	if err := lasting(ctx); err != nil {
		return err
	}
	who := auth.From(ctx)
	if !who.May(farm.Read) {
		return farm.Errorf(farm.Forbidden, "you lack the permission %q, which is what a webhook does", farm.Read)
	}
	if field := exceeds(who, w); field != "" {
		return farm.Errorf(farm.Forbidden, "%s: a webhook cannot be told of more than you see; name what you do", field)
	}
	for _, id := range w.Printers {
		if v, ok := h.fleet.View(id); ok && !who.Sees(id, v.Printer.SiteID) && !slices.Contains(was.Printers, id) {
			return farm.Errorf(farm.NotFound, "printer_ids: there is no printer %d", id)
		}
	}
	return h.areThere(ctx, w.Printers, w.Sites, farm.APIKey{Printers: was.Printers, Sites: was.Sites})
}

func (h webhookHandlers) create(ctx context.Context, in *struct{ Body NewWebhook }) (*body[WebhookWithSecret], error) {
	b := in.Body
	owner, _ := auth.From(ctx).User()
	w := farm.Webhook{
		OwnerID: owner.ID, Name: b.Name, URL: b.URL, Events: kinds(b.Events.Value), Printers: b.PrinterIDs.Value, Sites: b.SiteIDs.Value,
		CreatedBy: auth.From(ctx).Name(), Enabled: b.Enabled == nil || *b.Enabled,
	}
	if !w.Enabled {
		w.DisabledReason = byHand(ctx)
	}
	if err := h.checkScope(ctx, w, farm.Webhook{}); err != nil {
		return nil, err
	}
	return withSecret(h.webhooks.Create(ctx, w, farm.Secret(b.Secret)))
}

func byHand(ctx context.Context) string { return "disabled by " + auth.From(ctx).Name() }

func withSecret(w farm.Webhook, secret farm.Secret, err error) (*body[WebhookWithSecret], error) {
	if err != nil {
		return nil, err
	}
	return &body[WebhookWithSecret]{WebhookWithSecret{webhookOf(w), secret.Reveal()}}, nil
}

type updateWebhookInput struct {
	ByID
	Body WebhookChange
}

func (h webhookHandlers) update(ctx context.Context, in *updateWebhookInput) (*body[Webhook], error) {
	was, err := h.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	w, b := was, in.Body
	if b.Name != nil {
		w.Name = *b.Name
	}
	if b.URL != nil {
		w.URL = *b.URL
	}
	if b.Events.Set {
		w.Events = kinds(b.Events.Value)
	}
	if b.PrinterIDs.Set {
		w.Printers = b.PrinterIDs.Value
	}
	if b.SiteIDs.Set {
		w.Sites = b.SiteIDs.Value
	}
	if b.Enabled != nil {
		w.Enabled = *b.Enabled
	}
	w.DisabledReason = byHand(ctx) // counts only if it is disabled now
	if err := h.checkScope(ctx, w, was); err != nil {
		return nil, err
	}
	if w, err = h.webhooks.Change(ctx, w); err != nil {
		return nil, err
	}
	return &body[Webhook]{webhookOf(w)}, nil
}

func (h webhookHandlers) remove(ctx context.Context, in *ByID) (*body[Deleted], error) {
	if _, err := h.one(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := h.webhooks.Delete(ctx, in.ID); err != nil {
		return nil, err
	}
	return deleted(), nil
}

func (h webhookHandlers) rotate(ctx context.Context, in *ByID) (*body[WebhookWithSecret], error) {
	if _, err := h.one(ctx, in.ID); err != nil {
		return nil, err
	}
	return withSecret(h.webhooks.Rotate(ctx, in.ID))
}

// WebhookTest is how a test went.
type WebhookTest struct {
	Delivered bool            `json:"delivered" doc:"The endpoint took it: it answered 2xx." example:"true"`
	Status    *int            `json:"status" doc:"The HTTP status of the answer; null: none came." example:"200"`
	Error     *string         `json:"error" doc:"Why it failed; null: it did not." example:"no answer within 10 s"`
	TookMS    int64           `json:"took_ms" doc:"Milliseconds it took." example:"87"`
	Request   string          `json:"request" doc:"The head of the request, its first 2 KiB." example:"POST /bambuddy\nHost: hooks.example.com\n"`
	Body      json.RawMessage `json:"body" doc:"What was sent." example:"{\"event\":\"test\",\"timestamp\":\"2024-01-15T14:30:00Z\",\"data\":{\"webhook_id\":1,\"webhook_name\":\"Home automation\",\"message\":\"This is a test. Nothing has happened.\"}}"`
	Response  *string         `json:"response" doc:"The beginning of the answer: 2 KiB of its head, 4 KiB of its body; null: none came." example:"200 OK\nContent-Type: text/plain\n\nok"`
}

func (h webhookHandlers) test(ctx context.Context, in *ByID) (*body[WebhookTest], error) {
	if _, err := h.one(ctx, in.ID); err != nil {
		return nil, err
	}
	v, err := h.webhooks.Test(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[WebhookTest]{WebhookTest{
		Delivered: v.State == farm.DeliveryDelivered, Status: orNull(v.Last.Status), Error: orNull(v.Last.Error), TookMS: v.Last.Took.Milliseconds(),
		Request: v.Last.Request, Body: v.Body, Response: orNull(v.Last.Response),
	}}, nil
}

func webhookOf(w farm.Webhook) Webhook {
	out := Webhook{
		ID: w.ID, OwnerID: orNull(w.OwnerID), Name: w.Name, URL: w.URL, PrinterIDs: allowList(w.Printers), SiteIDs: allowList(w.Sites), Enabled: w.Enabled, DisabledReason: orNull(w.DisabledReason), FailingSince: someTime(w.FailingSince),
		Failures: w.Failures, CreatedBy: w.CreatedBy, CreatedAt: instant{w.CreatedAt}, UpdatedAt: instant{w.UpdatedAt},
	}
	if w.Events != nil {
		out.Events = some(mapped(w.Events, func(kind string) webhookEvent { return webhookEvent(kind) }))
	}
	return out
}
