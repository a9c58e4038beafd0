package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/events"
	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
)

// rig is webhooks over the real database, in a bubble, with endpoints on a network in
// memory.
type rig struct {
	*Webhooks
	t    testing.TB
	net  *memnet.Network
	db   *store.DB
	log  *events.Log
	seal *secrets.Box
	cfg  atomic.Pointer[Config]
	life *mortal
	stop func()

	servers []func() // to close
}

// mortal is a store that a process loses which is killed: nothing it does arrives.
type mortal struct {
	*store.DB
	dead   atomic.Bool
	before func(step string) // called before a step is committed
}

var errKilled = errors.New("killed")

func (m *mortal) step(name string) error {
	if m.before != nil {
		m.before(name)
	}
	if m.dead.Load() {
		return errKilled
	}
	return nil
}

func (m *mortal) AddDeliveries(ctx context.Context, cursor string, from, to int64, all []farm.Delivery) (bool, error) {
	if err := m.step("add"); err != nil {
		return false, err
	}
	return m.DB.AddDeliveries(ctx, cursor, from, to, all)
}

func (m *mortal) ClaimDelivery(ctx context.Context, id int64, claim string, now, until time.Time) (farm.Delivery, bool, error) {
	if err := m.step("claim"); err != nil {
		return farm.Delivery{}, false, err
	}
	return m.DB.ClaimDelivery(ctx, id, claim, now, until)
}

func (m *mortal) ReleaseDelivery(ctx context.Context, id int64, claim string) error {
	if err := m.step("release"); err != nil {
		return err
	}
	return m.DB.ReleaseDelivery(ctx, id, claim)
}

func (m *mortal) EndAttempt(ctx context.Context, o farm.DeliveryOutcome) (bool, error) {
	if err := m.step("end"); err != nil {
		return false, err
	}
	return m.DB.EndAttempt(ctx, o)
}

func inBubble(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		test(t, r)
	})
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, net: memnet.New(), log: events.New()}
	r.configure(func(c *Config) { *c = Defaults })
	var err error
	if r.db, err = store.Open(t.Context(), store.Config{Dir: t.TempDir(), Wake: r.log.Wake}); err != nil {
		t.Fatal(err)
	}
	r.log.Read(r.db)
	if r.seal, err = secrets.Open(t.Context(), secrets.Options{Dir: t.TempDir(), Canary: r.db}); err != nil {
		t.Fatal(err)
	}
	r.start()
	return r
}

func (r *rig) close() {
	r.stop()
	for _, stop := range r.servers {
		stop()
	}
	if err := r.db.Close(); err != nil {
		r.t.Error(err)
	}
}

// configure changes the settings.
func (r *rig) configure(change func(*Config)) {
	var c Config
	if was := r.cfg.Load(); was != nil {
		c = *was
	}
	change(&c)
	r.cfg.Store(&c)
}

// another is a second hub on the same database.
func (r *rig) another(life *mortal) *Webhooks {
	return New(Options{
		Store: life, Events: r.log, Sealer: r.seal, Config: func() Config { return *r.cfg.Load() }, Log: quiet(), Dial: r.net.Dialer("hub"),
	})
}

// start runs webhooks; stop waits until they are gone.
func (r *rig) start() {
	r.life = &mortal{DB: r.db}
	r.Webhooks = r.another(r.life)
	r.stop = running(r.t, r.Webhooks)
}

func running(t testing.TB, w *Webhooks) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() { cancel(); done.Wait() }
}

// kill ends the process at once: nothing it does from now on arrives anywhere.
func (r *rig) kill() {
	r.life.dead.Store(true)
	r.stop()
}

// received is one request an endpoint got.
type received struct {
	at        time.Time
	uid, kind string
	event     int64 // the id of the archive it speaks of, by which tests tell events apart
	printer   int64
	header    http.Header
	body      string
}

// endpoint is somebody's receiver.
type endpoint struct {
	mu     sync.Mutex
	got    []received
	answer func(w http.ResponseWriter, r *http.Request, got received)
}

// listen opens an endpoint at http://host/; a nil answer is 200.
func (r *rig) listen(host string, answer func(w http.ResponseWriter, r *http.Request, got received)) *endpoint {
	r.t.Helper()
	l, err := r.net.Listen(host + ":80")
	if err != nil {
		r.t.Fatal(err)
	}
	e := &endpoint{answer: answer}
	s := &http.Server{Handler: e, ReadHeaderTimeout: time.Minute}
	var done sync.WaitGroup
	done.Go(func() { _ = s.Serve(l) })
	r.servers = append(r.servers, func() { _ = s.Close(); done.Wait() })
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var body struct {
		Data struct {
			Archive int64 `json:"archive_id"`
			Printer int64 `json:"printer_id"`
		} `json:"data"`
	}
	_ = json.Unmarshal(b, &body)
	got := received{time.Now(), r.Header.Get("X-Bambuddy-Delivery"), r.Header.Get("X-Bambuddy-Event"), body.Data.Archive, body.Data.Printer, r.Header, string(b)}
	e.mu.Lock()
	e.got = append(e.got, got)
	answer := e.answer
	e.mu.Unlock()
	if answer != nil {
		answer(w, r, got)
	}
}

// set makes it answer otherwise from now on; nil is 200.
func (e *endpoint) set(answer func(http.ResponseWriter, *http.Request, received)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

// tries is how often it got an event.
func (e *endpoint) tries(event int64) (n int) {
	for _, g := range e.all() {
		if g.event == event {
			n++
		}
	}
	return n
}

func (e *endpoint) all() []received {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// events are the events it got, in order.
func (e *endpoint) events() (out []int64) {
	for _, g := range e.all() {
		out = append(out, g.event)
	}
	return out
}

// hook makes a webhook for everything, or as changed.
func (r *rig) hook(host string, change ...func(*farm.Webhook)) (farm.Webhook, farm.Secret) {
	r.t.Helper()
	w := farm.Webhook{Name: host, URL: "http://" + host + "/hook", Enabled: true, CreatedBy: "test"}
	for _, c := range change {
		c(&w)
	}
	w, secret, err := r.Create(r.t.Context(), w, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return w, secret
}

// happen appends an event of a print, told apart by the archive it speaks of.
func (r *rig) happen(printer, archive int64) {
	r.t.Helper()
	r.tell(farm.Event{Kind: farm.EventPrintStarted, PrinterID: printer, SiteID: 1, Data: fmt.Appendf(nil, `{"printer_id":%d,"archive_id":%d}`, printer, archive)})
}

func (r *rig) tell(e farm.Event) {
	r.t.Helper()
	e.At = time.Now()
	if _, err := r.db.AppendEvent(r.t.Context(), e); err != nil {
		r.t.Fatal(err)
	}
}

// pass lets virtual time pass, and everything be done that is due then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// kept is the log of a webhook, oldest first.
func (r *rig) kept(w farm.Webhook, state farm.DeliveryState) []farm.Delivery {
	r.t.Helper()
	all, total, err := r.Deliveries(r.t.Context(), w.ID, state, 0, 10000, 0)
	if err != nil || total != len(all) {
		r.t.Fatalf("%d of %d: %v", len(all), total, err)
	}
	slices.Reverse(all)
	return all
}

func (r *rig) now(w farm.Webhook) farm.Webhook {
	r.t.Helper()
	w, _, err := r.db.Webhook(r.t.Context(), w.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

// genuine checks a signature as docs/webhooks.md says, with nothing of this package.
func genuine(g received, secret farm.Secret) bool {
	t, v1, _ := strings.Cut(g.header.Get("X-Bambuddy-Signature"), ",v1=")
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	mac.Write([]byte(strings.TrimPrefix(t, "t=") + "." + g.body))
	return hex.EncodeToString(mac.Sum(nil)) == v1
}

// signed tells, in a bubble, that it is genuine and of the moment it was sent.
func signed(g received, secret farm.Secret) bool {
	return genuine(g, secret) && strings.HasPrefix(g.header.Get("X-Bambuddy-Signature"), fmt.Sprintf("t=%d,", g.at.Unix()))
}

func status(code int) func(http.ResponseWriter, *http.Request, received) {
	return func(w http.ResponseWriter, _ *http.Request, _ received) { w.WriteHeader(code) }
}
