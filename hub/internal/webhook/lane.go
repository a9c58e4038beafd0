package webhook

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"bambuddy/shared/farm"
)

// How much is sent at once: to one endpoint, and to one that failed last. As there is
// a bound on webhooks there is one on all of it, and none of them waits for another.
const (
	perEndpoint = 4
	perFailing  = 1
	maxWebhooks = 64
)

// claimFor is how long a try keeps other hubs away: longer than it can take.
const claimFor = 3 * tryTime

// endTime bounds how long it may take to note what became of a try.
const endTime = 3 * time.Second

// lane sends to one webhook.
type lane struct {
	w    *Webhooks
	id   int64
	wake chan struct{}
	done chan struct{} // a try has ended

	inFlight int
	trouble  string // what keeps it from sending, as last told
}

func (l *lane) run(ctx context.Context) {
	var tries sync.WaitGroup
	defer tries.Wait()
	for {
		next, err := l.round(ctx, &tries)
		switch {
		case ctx.Err() != nil:
			return
		case farm.Is(err, farm.NotFound):
			l.w.leave(l.id)
			return
		case err != nil:
			if l.trouble != err.Error() {
				l.trouble = err.Error()
				l.w.log.Warn("deliveries not sent, will be tried again", "webhook", l.id, "err", err)
			}
			next = time.Now().Add(retryEvery)
		default:
			l.trouble = ""
		}
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-due:
		case <-l.done:
			l.inFlight--
		}
	}
}

// round begins as many tries as are due and there is room for, and tells when to look
// again if nothing happens before.
func (l *lane) round(ctx context.Context, tries *sync.WaitGroup) (next time.Time, err error) {
	hook, sealed, err := l.w.o.Store.Webhook(ctx, l.id)
	if err != nil {
		return time.Time{}, err
	}
	if hook, err = l.w.owned(ctx, hook); err != nil || !hook.Enabled {
		return time.Time{}, err
	}
	room := perEndpoint
	if hook.Failures > 0 {
		room = perFailing
	}
	if room -= l.inFlight; room <= 0 {
		return time.Time{}, nil // a try that ends leads here again
	}
	heads, err := l.w.o.Store.DeliveryHeads(ctx, l.id)
	if err != nil {
		return time.Time{}, err
	}
	due, next := choose(heads, time.Now(), room)
	if len(due) == 0 {
		return next, nil
	}
	secret, err := l.w.o.Sealer.Open(place(hook.UID), sealed)
	if err != nil {
		return time.Time{}, err
	}
	for _, id := range due {
		claim := uuid.NewString()
		v, ok, err := l.w.o.Store.ClaimDelivery(ctx, id, claim, time.Now(), time.Now().Add(claimFor))
		if err != nil {
			return time.Time{}, err
		}
		if !ok {
			continue // another hub's; it is looked at again soon
		}
		l.inFlight++
		tries.Go(func() {
			l.deliver(ctx, hook, secret, v, claim)
			l.done <- struct{}{}
		})
	}
	return next, nil
}

// deliver makes one try and notes what became of it. When that cannot be noted the
// claim runs out, and it is tried again.
func (l *lane) deliver(ctx context.Context, hook farm.Webhook, secret farm.Secret, v farm.Delivery, claim string) {
	log := l.w.log.With("webhook", hook.ID, "delivery", v.ID)
	if !hook.Wants(v.Event, v.PrinterID, v.SiteID) {
		if err := l.w.o.Store.DropDelivery(ctx, v.ID, claim); err != nil && ctx.Err() == nil {
			log.Warn("a delivery that is not wanted any more was not dropped", "err", err)
		}
		return
	}
	cfg := l.w.o.Config()
	attempt, asked := l.w.sender.try(ctx, message{
		url: hook.URL, event: v.Event, uid: v.UID, secret: secret, body: v.Body, allowPrivate: cfg.AllowPrivate,
	})
	ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if ctx.Err() != nil && attempt.Status == 0 {
		if err := l.w.o.Store.ReleaseDelivery(ended, v.ID, claim); err != nil {
			log.Warn("a delivery that was broken off is tried again late", "err", err)
		}
		return
	}
	now := time.Now()
	state, next := decide(now, v, attempt.Status, asked, cfg.RetryFor)
	disabled, err := l.w.o.Store.EndAttempt(ended, farm.DeliveryOutcome{
		Delivery: v, Claim: claim, At: now, Attempt: attempt, State: state, NextAt: next, DisableAfter: cfg.DisableAfter,
	})
	if err != nil {
		log.Warn("what became of a delivery was not noted, it is tried again", "err", err)
		return
	}
	l.tell(hook, state, attempt, disabled)
}

// tell logs when a webhook begins to fail, works again or is switched off.
func (l *lane) tell(hook farm.Webhook, state farm.DeliveryState, a farm.Attempt, disabled bool) {
	log := l.w.log.With("webhook", hook.ID, "name", hook.Name)
	switch {
	case disabled:
		log.Error("webhook disabled, it has failed too long", "err", a.Error)
	case state == farm.DeliveryDelivered && hook.Failures > 0:
		log.Info("webhook works again", "failures", hook.Failures)
	case state != farm.DeliveryDelivered && hook.Failures == 0:
		log.Warn("webhook fails", "err", a.Error, "state", string(state))
	}
}

func sortHeads(heads []farm.DeliveryHead) {
	slices.SortFunc(heads, func(a, b farm.DeliveryHead) int {
		return cmp.Or(a.NextAt.Compare(b.NextAt), cmp.Compare(a.ID, b.ID))
	})
}
