// Package webhook tells endpoints of other people's of what happens here. It follows
// the event table with a cursor of its own: what a webhook wants becomes a row in the
// table of deliveries, in the transaction that moves the cursor, so that each event
// makes one delivery a webhook, whoever dies in between.
//
// From that table each webhook's own lane sends, so that no endpoint waits for another
// one: at most perEndpoint at once, and of each printer one after the other. A delivery
// is tried until the endpoint took it, refused it for good, or Config.RetryFor is over.
// It may arrive more than once, never not at all. Every try is claimed by a
// compare-and-set with an end, so that two hubs on one database do not both send, and
// what a hub that died was sending is sent again.
package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"bambuddy/shared/farm"
)

// Config is what people set.
type Config struct {
	AllowPrivate bool          // loopback and private addresses may be sent to
	RetryFor     time.Duration // how long a delivery is tried
	DisableAfter time.Duration // how long a webhook may fail without a break
	KeepFor      time.Duration // how long the log of deliveries goes back
}

// Defaults are the settings of a hub nobody has set up.
var Defaults = Config{RetryFor: 24 * time.Hour, DisableAfter: 72 * time.Hour, KeepFor: 30 * 24 * time.Hour}

// Store keeps webhooks and deliveries. What its methods promise is said there.
type Store interface {
	Cursor(ctx context.Context, name string) (int64, error)
	AddDeliveries(ctx context.Context, cursor string, from, to int64, all []farm.Delivery) (bool, error)

	Webhooks(ctx context.Context) ([]farm.Webhook, error)
	Webhook(ctx context.Context, id int64) (farm.Webhook, []byte, error)
	CreateWebhook(ctx context.Context, w farm.Webhook, sealed []byte) (farm.Webhook, error)
	UpdateWebhook(ctx context.Context, w farm.Webhook, now time.Time) (farm.Webhook, error)
	SetWebhookSecret(ctx context.Context, id int64, sealed []byte, now time.Time) error
	DeleteWebhook(ctx context.Context, id int64) error

	User(ctx context.Context, id int64) (farm.User, error)

	WaitingWebhooks(ctx context.Context) ([]int64, error)
	DeliveryHeads(ctx context.Context, webhookID int64) ([]farm.DeliveryHead, error)
	ClaimDelivery(ctx context.Context, id int64, claim string, now, until time.Time) (farm.Delivery, bool, error)
	ReleaseDelivery(ctx context.Context, id int64, claim string) error
	EndAttempt(ctx context.Context, o farm.DeliveryOutcome) (disabled bool, err error)
	DropDelivery(ctx context.Context, id int64, claim string) error
	HastenDeliveries(ctx context.Context, webhookID int64, now time.Time) error
	Redeliver(ctx context.Context, webhookID, id int64, now time.Time) (farm.Delivery, error)
	Delivery(ctx context.Context, webhookID, id int64) (farm.Delivery, error)
	Deliveries(ctx context.Context, webhookID int64, state farm.DeliveryState, before int64, limit, offset int) ([]farm.Delivery, int, error)
	PruneDeliveries(ctx context.Context, before time.Time) (int64, error)
}

// Events is the event table and the news of it.
type Events interface {
	FollowPages(ctx context.Context, after int64, fn func([]farm.Event) error) error
}

// Sealer seals secrets for the place they are kept at.
type Sealer interface {
	Seal(place string, value farm.Secret) []byte
	Open(place string, sealed []byte) (farm.Secret, error)
}

// Options are what webhooks need.
type Options struct {
	Store  Store
	Events Events
	Sealer Sealer
	Config func() Config // asked anew each time; nil: Defaults
	Log    *slog.Logger

	// For tests. Dial takes the place of the network, and of the look at addresses
	// that goes with it; Resolver that of the system's.
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Resolver *net.Resolver
}

// Webhooks delivers events to endpoints. Its methods may be called at the same time.
type Webhooks struct {
	o      Options
	sender *sender
	log    *slog.Logger
	news   chan struct{} // there may be something to send

	mu    sync.Mutex
	lanes map[int64]*lane // by webhook
}

// New builds it. Nothing is sent before Run; the API's methods work without.
func New(o Options) *Webhooks {
	if o.Config == nil {
		o.Config = func() Config { return Defaults }
	}
	return &Webhooks{o: o, sender: newSender(o), log: o.Log, news: make(chan struct{}, 1), lanes: map[int64]*lane{}}
}

// retryEvery is how long is waited when the database does not answer, and pollEvery
// how long until it is looked what another hub has put down.
const (
	retryEvery = 5 * time.Second
	pollEvery  = 5 * time.Second
	pruneEvery = time.Hour
)

// Run follows events and sends until ctx ends. A try that ctx breaks off is made again
// by whoever runs next.
func (w *Webhooks) Run(ctx context.Context) error {
	defer w.sender.close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { w.follow(ctx); return nil })
	group.Go(func() error { w.send(ctx); return nil })
	group.Go(func() error { w.prune(ctx); return nil })
	return group.Wait()
}

// nudge says that there may be something to send.
func (w *Webhooks) nudge() { poke(w.news) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send runs a lane for each webhook that something is waiting for.
func (w *Webhooks) send(ctx context.Context) {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		ids, err := w.o.Store.WaitingWebhooks(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("what is to be delivered could not be read, will be tried again", "err", err)
		}
		for _, id := range ids {
			l, fresh := w.lane(id)
			if fresh {
				lanes.Go(func() { l.run(ctx) })
			}
			poke(l.wake)
		}
		w.wakeIdle(ids)
		select {
		case <-ctx.Done():
			return
		case <-w.news:
		case <-poll.C:
		}
	}
}

func (w *Webhooks) lane(id int64) (l *lane, fresh bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l = w.lanes[id]; l != nil {
		return l, false
	}
	l = &lane{w: w, id: id, wake: make(chan struct{}, 1), done: make(chan struct{}, perEndpoint)}
	w.lanes[id] = l
	return l, true
}

// wakeIdle lets the lanes that have nothing to send look whether their webhook is still
// there: it may have gone with its owner, or by another hub.
func (w *Webhooks) wakeIdle(busy []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, l := range w.lanes {
		if !slices.Contains(busy, id) {
			poke(l.wake)
		}
	}
}

// leave ends a lane.
func (w *Webhooks) leave(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.lanes, id)
}

// prune drops what the log of deliveries no longer goes back to, now and then.
func (w *Webhooks) prune(ctx context.Context) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if _, err := w.o.Store.PruneDeliveries(ctx, time.Now().Add(-w.o.Config().KeepFor)); err != nil && ctx.Err() == nil {
			w.log.Error("old deliveries not dropped, will be tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// wait waits and tells whether ctx still lives.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

var errMoved = errors.New("another hub has put these events down")
