package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"bambuddy/shared/farm"
)

// cursor names the follower, and cursorEvery is after how many events that nobody
// wants its cursor is kept at the latest.
const (
	cursor      = "webhooks"
	cursorEvery = 1000
)

func (w *Webhooks) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.followOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errMoved):
			continue
		}
		w.log.Warn("events could not be followed, will be tried again", "err", err)
		if !wait(ctx, retryEvery) {
			return
		}
	}
}

// followOnce puts down what there is to deliver of each event. Webhooks are read after
// the events: one that was made before an event happened is there then.
func (w *Webhooks) followOnce(ctx context.Context) error {
	kept, err := w.o.Store.Cursor(ctx, cursor)
	if err != nil {
		return err
	}
	return w.o.Events.FollowPages(ctx, kept, func(page []farm.Event) error {
		hooks, err := w.o.Store.Webhooks(ctx)
		if err != nil {
			return err
		}
		for i := range hooks {
			if hooks[i], err = w.owned(ctx, hooks[i]); err != nil {
				return err
			}
		}
		all := w.deliveries(hooks, page)
		last := page[len(page)-1].ID
		if len(all) == 0 && last < kept+cursorEvery {
			return nil
		}
		moved, err := w.o.Store.AddDeliveries(ctx, cursor, kept, last, all)
		if err != nil {
			return err
		}
		if !moved {
			return errMoved
		}
		kept = last
		if len(all) > 0 {
			w.nudge()
		}
		return nil
	})
}

// owned is a webhook as far as its owner goes: it is told of what they may see, and of
// nothing while they are disabled.
func (w *Webhooks) owned(ctx context.Context, h farm.Webhook) (farm.Webhook, error) {
	if h.OwnerID == 0 {
		return h, nil
	}
	owner, err := w.o.Store.User(ctx, h.OwnerID)
	if farm.Is(err, farm.NotFound) { // removed just now, and it with them
		h.Enabled = false
		return h, nil
	}
	if err != nil {
		return h, err
	}
	h.Enabled, h.Sites = h.Enabled && !owner.Disabled, owner.Narrow(h.Sites)
	return h, nil
}

// deliveries is what becomes of events: one for each webhook that wants it.
func (w *Webhooks) deliveries(hooks []farm.Webhook, page []farm.Event) (all []farm.Delivery) {
	now := time.Now()
	for _, e := range page {
		var body []byte
		for _, h := range hooks {
			if !h.Enabled || e.ID <= h.SinceEvent || !h.Wants(e.Kind, e.PrinterID, e.SiteID) {
				continue
			}
			if body == nil {
				var err error
				if body, err = Body(e.Kind, e.At, e.Data); err != nil {
					w.log.Error("an event's data is not readable, it is delivered without", "event", e.ID, "err", err)
				}
			}
			all = append(all, farm.Delivery{
				UID: uuid.NewString(), WebhookID: h.ID, EventID: e.ID, Event: e.Kind, PrinterID: e.PrinterID, SiteID: e.SiteID,
				At: e.At, Body: body, CreatedAt: now,
			})
		}
	}
	return all
}
