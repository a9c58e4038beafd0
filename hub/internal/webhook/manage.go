package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"bambuddy/shared/farm"
)

// maxName is how long a webhook's name may be, in characters; minSecret and maxSecret
// how long a secret that somebody brings along.
const (
	maxName   = 100
	minSecret = 16
	maxSecret = 200
)

// place is where a secret is kept, for its seal.
func place(uid string) string { return "webhooks/secret/" + uid }

// newSecret makes a secret of 256 bits.
func newSecret() farm.Secret {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return farm.Secret("whsec_" + base64.RawURLEncoding.EncodeToString(b[:]))
}

// check brings a webhook into form and tells what is wrong with it. An address that is
// as it was is not judged anew: what may be sent to may have changed, and is looked at
// when it is sent.
func (w *Webhooks) check(h *farm.Webhook, was string) (err error) {
	if h.Name = strings.TrimSpace(h.Name); h.Name == "" || utf8.RuneCountInString(h.Name) > maxName || strings.ContainsFunc(h.Name, unicode.IsControl) {
		return farm.Errorf(farm.Invalid, "name: 1 to %d characters, on one line", maxName)
	}
	if h.URL != was {
		if h.URL, err = w.sender.guard.checkURL(h.URL, w.o.Config().AllowPrivate); err != nil {
			return err
		}
	}
	for _, kind := range h.Events {
		if !slices.Contains(farm.WebhookEvents, kind) {
			return farm.Errorf(farm.Invalid, "events: there is no event %q to deliver; there are: %s", kind, strings.Join(farm.WebhookEvents, ", "))
		}
	}
	h.Events, h.Printers, h.Sites = unique(h.Events), unique(h.Printers), unique(h.Sites)
	return nil
}

// unique leaves out what is there twice; nil stays nil.
func unique[T comparable](list []T) (out []T) {
	if list == nil {
		return nil
	}
	out = []T{}
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// List gives all webhooks by id.
func (w *Webhooks) List(ctx context.Context) ([]farm.Webhook, error) { return w.o.Store.Webhooks(ctx) }

// Create makes a webhook and gives its secret, this once: the given one, or a new one.
func (w *Webhooks) Create(ctx context.Context, h farm.Webhook, secret farm.Secret) (farm.Webhook, farm.Secret, error) {
	if err := w.check(&h, ""); err != nil {
		return h, "", err
	}
	all, err := w.o.Store.Webhooks(ctx)
	if err != nil {
		return h, "", err
	}
	if len(all) >= maxWebhooks {
		return h, "", farm.Errorf(farm.Conflict, "there are %d webhooks, which is as many as there can be: delete one first", maxWebhooks)
	}
	if secret == "" {
		secret = newSecret()
	}
	if n := len(secret.Reveal()); n < minSecret || n > maxSecret || strings.ContainsFunc(secret.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return h, "", farm.Errorf(farm.Invalid, "secret: %d to %d letters, digits and signs, without spaces", minSecret, maxSecret)
	}
	h.UID, h.CreatedAt = uuid.NewString(), time.Now()
	h, err = w.o.Store.CreateWebhook(ctx, h, w.o.Sealer.Seal(place(h.UID), secret))
	return h, secret, err
}

// Change writes what people may change of a webhook. One that is disabled gives up
// what was on its way, DisabledReason says why; one that is enabled begins anew, with
// the events from now on.
func (w *Webhooks) Change(ctx context.Context, h farm.Webhook) (farm.Webhook, error) {
	was, _, err := w.o.Store.Webhook(ctx, h.ID)
	if err != nil {
		return h, err
	}
	if err := w.check(&h, was.URL); err != nil {
		return h, err
	}
	h, err = w.o.Store.UpdateWebhook(ctx, h, time.Now())
	w.nudge()
	return h, err
}

// Delete ends a webhook, with what was on its way and the log of it.
func (w *Webhooks) Delete(ctx context.Context, id int64) error {
	err := w.o.Store.DeleteWebhook(ctx, id)
	w.laneGone(id)
	return err
}

// laneGone lets the lane of a webhook find out that it is gone.
func (w *Webhooks) laneGone(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.lanes[id]; l != nil {
		poke(l.wake)
	}
}

// Rotate gives a webhook a new secret. What is sent from now on is signed with it.
func (w *Webhooks) Rotate(ctx context.Context, id int64) (farm.Webhook, farm.Secret, error) {
	h, _, err := w.o.Store.Webhook(ctx, id)
	if err != nil {
		return h, "", err
	}
	secret := newSecret()
	if err := w.o.Store.SetWebhookSecret(ctx, id, w.o.Sealer.Seal(place(h.UID), secret), time.Now()); err != nil {
		return h, "", err
	}
	h, _, err = w.o.Store.Webhook(ctx, id)
	return h, secret, err
}

// Test sends an event of its own to a webhook, enabled or not, waits for the answer
// and tells what it was. Nothing of it is kept; but when the endpoint took it, what was
// waiting is sent at once.
func (w *Webhooks) Test(ctx context.Context, id int64) (farm.Delivery, error) {
	h, sealed, err := w.o.Store.Webhook(ctx, id)
	if err != nil {
		return farm.Delivery{}, err
	}
	secret, err := w.o.Sealer.Open(place(h.UID), sealed)
	if err != nil {
		return farm.Delivery{}, err
	}
	now := time.Now()
	data, err := json.Marshal(map[string]any{"webhook_id": h.ID, "webhook_name": h.Name, "message": "This is a test. Nothing has happened."})
	if err != nil {
		return farm.Delivery{}, err
	}
	v := farm.Delivery{UID: uuid.NewString(), WebhookID: id, Event: farm.EventWebhookTest, At: now, State: farm.DeliveryDead, Tries: 1, TriedAt: now, CreatedAt: now}
	if v.Body, err = Body(v.Event, now, data); err != nil {
		return v, err
	}
	v.Last, _ = w.sender.try(ctx, message{
		url: h.URL, event: v.Event, uid: v.UID, secret: secret, body: v.Body, allowPrivate: w.o.Config().AllowPrivate,
	})
	if judge(v.Last.Status) != taken {
		return v, ctx.Err()
	}
	v.State = farm.DeliveryDelivered
	err = w.o.Store.HastenDeliveries(ctx, id, time.Now())
	w.nudge()
	return v, err
}

// Deliveries gives up to limit deliveries of a webhook with ids below before (0: the
// newest), newest first, and how many there are in all. An empty state means all.
func (w *Webhooks) Deliveries(ctx context.Context, webhookID int64, state farm.DeliveryState, before int64, limit, offset int) ([]farm.Delivery, int, error) {
	return w.o.Store.Deliveries(ctx, webhookID, state, before, limit, offset)
}

// Delivery gives one delivery of a webhook.
func (w *Webhooks) Delivery(ctx context.Context, webhookID, id int64) (farm.Delivery, error) {
	return w.o.Store.Delivery(ctx, webhookID, id)
}

// Redeliver sends a delivery again that has ended; CONFLICT when it is on its way, or
// the webhook is disabled. It waits for no other one.
func (w *Webhooks) Redeliver(ctx context.Context, webhookID, id int64) (farm.Delivery, error) {
	h, _, err := w.o.Store.Webhook(ctx, webhookID)
	if err != nil {
		return farm.Delivery{}, err
	}
	if h, err = w.owned(ctx, h); err != nil {
		return farm.Delivery{}, err
	}
	was, err := w.o.Store.Delivery(ctx, webhookID, id)
	switch {
	case err != nil:
		return was, err
	case !h.Enabled:
		return was, farm.Errorf(farm.Conflict, "webhook %d, or its owner, is disabled: enable it first", webhookID)
	case !h.Wants(was.Event, was.PrinterID, was.SiteID):
		return was, farm.Errorf(farm.Conflict, "webhook %d does not ask for %s any more: change its events first", webhookID, was.Event)
	}
	v, err := w.o.Store.Redeliver(ctx, webhookID, id, time.Now())
	w.nudge()
	return v, err
}
