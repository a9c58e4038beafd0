package store

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

func webhook(t testing.TB, db *DB, name string, change ...func(*farm.Webhook)) farm.Webhook {
	t.Helper()
	w := farm.Webhook{UID: name, Name: name, URL: "https://a.example/" + name, CreatedBy: "test", Enabled: true, CreatedAt: time.Now()}
	for _, c := range change {
		c(&w)
	}
	return must[farm.Webhook](t)(db.CreateWebhook(t.Context(), w, []byte("sealed "+name)))
}

// delivery is of event n, of printer n%3.
func delivery(w farm.Webhook, n int64) farm.Delivery {
	return farm.Delivery{
		UID: fmt.Sprintf("%s-%d", w.UID, n), WebhookID: w.ID, EventID: n, Event: farm.EventPrintStarted, PrinterID: n % 3, SiteID: 1,
		At: time.Now(), Body: fmt.Appendf(nil, `{"n":%d}`, n), CreatedAt: time.Now(),
	}
}

func TestWebhooksAreKept(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		if has, err := db.HasSecrets(ctx); has || err != nil {
			t.Fatalf("%v, %v", has, err)
		}
		if _, err := db.AppendEvent(ctx, farm.Event{Kind: farm.EventPrinterOnline}); err != nil {
			t.Fatal(err)
		}
		all := webhook(t, db, "all")
		few := webhook(t, db, "few", func(w *farm.Webhook) {
			w.Events, w.Printers, w.Sites, w.Enabled, w.DisabledReason = []string{}, []int64{}, []int64{2, 3}, false, "off"
		})
		if all.SinceEvent != 1 || all.Events != nil || all.Printers != nil || all.Sites != nil || !all.Enabled {
			t.Errorf("%+v", all)
		}
		if few.Events == nil || len(few.Events) != 0 || few.Printers == nil || len(few.Printers) != 0 || !slices.Equal(few.Sites, []int64{2, 3}) || few.DisabledReason != "off" {
			t.Errorf("%+v", few)
		}
		got, sealed, err := db.Webhook(ctx, few.ID)
		if err != nil || string(sealed) != "sealed few" || fmt.Sprint(got) != fmt.Sprint(few) {
			t.Errorf("%+v %q %v", got, sealed, err)
		}
		if list := must[[]farm.Webhook](t)(db.Webhooks(ctx)); len(list) != 2 || list[0].ID != all.ID {
			t.Errorf("%+v", list)
		}
		if has, err := db.HasSecrets(ctx); !has || err != nil {
			t.Errorf("%v, %v", has, err)
		}
		_, err = db.CreateWebhook(ctx, all, nil)
		wantCode(t, err, farm.Conflict)
		if err := db.SetWebhookSecret(ctx, few.ID, []byte("other"), time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, sealed, _ := db.Webhook(ctx, few.ID); string(sealed) != "other" {
			t.Errorf("%q", sealed)
		}
		_, err = db.UpdateWebhook(ctx, few, time.Now())
		wantCode(t, err, farm.Conflict) // it was changed since it was read
		if few, _, err = db.Webhook(ctx, few.ID); err != nil {
			t.Fatal(err)
		}
		// Enabling begins with the events from now on.
		few.Enabled = true
		if few = must[farm.Webhook](t)(db.UpdateWebhook(ctx, few, time.Now())); !few.Enabled || few.DisabledReason != "" || few.SinceEvent != 1 {
			t.Errorf("%+v", few)
		}
		if err := db.DeleteWebhook(ctx, few.ID); err != nil {
			t.Fatal(err)
		}
		_, _, err = db.Webhook(ctx, few.ID)
		wantCode(t, err, farm.NotFound)
		_, err = db.UpdateWebhook(ctx, few, time.Now())
		wantCode(t, err, farm.NotFound)
		wantCode(t, db.DeleteWebhook(ctx, few.ID), farm.NotFound)
		wantCode(t, db.SetWebhookSecret(ctx, few.ID, nil, time.Now()), farm.NotFound)
	})
}

// A step of the follower happens once: the cursor is where it was, or nothing happens.
func TestAStepOfTheFollowerHappensOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		w := webhook(t, db, "w")
		add := func(from, to int64, events ...int64) bool {
			t.Helper()
			var all []farm.Delivery
			for _, n := range events {
				all = append(all, delivery(w, n))
			}
			return must[bool](t)(db.AddDeliveries(ctx, "x", from, to, all))
		}
		count := func() int {
			_, n, err := db.Deliveries(ctx, w.ID, "", 0, 10, 0)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if !add(0, 2, 1, 2) || count() != 2 {
			t.Fatalf("%d", count())
		}
		if add(0, 2, 1, 2) || add(1, 3, 2, 3) || count() != 2 {
			t.Errorf("a step of before was taken again: %d", count())
		}
		// Even if a cursor were put back, as by a backup, an event makes one delivery.
		if _, err := db.write.ExecContext(ctx, `UPDATE cursors SET event_id = 0 WHERE name = 'x'`); err != nil {
			t.Fatal(err)
		}
		all := []farm.Delivery{delivery(w, 1), delivery(w, 2), delivery(w, 3)}
		for i := range all {
			all[i].UID += "-again"
		}
		if !must[bool](t)(db.AddDeliveries(ctx, "x", 0, 3, all)) || count() != 3 {
			t.Errorf("%d after the events of before came again", count())
		}
		if n := must[int64](t)(db.Cursor(ctx, "x")); n != 3 {
			t.Errorf("cursor %d", n)
		}
		// What is put down for a webhook that is gone or off by then is nobody's.
		w.Enabled = false
		must[farm.Webhook](t)(db.UpdateWebhook(ctx, w, time.Now()))
		if !add(3, 4, 4) || count() != 3 {
			t.Errorf("%d", count())
		}
		if err := db.DeleteWebhook(ctx, w.ID); err != nil {
			t.Fatal(err)
		}
		if !add(4, 5, 5) || count() != 0 {
			t.Errorf("%d", count())
		}
	})
}

// Two hubs that put down the same events at once: one of them does.
func TestFollowersRace(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		w := webhook(t, db, "w")
		var moved atomic.Int64
		var wg sync.WaitGroup
		for hub := range 8 {
			wg.Go(func() {
				v := delivery(w, 1)
				v.UID = fmt.Sprint(hub)
				ok, err := db.AddDeliveries(t.Context(), "x", 0, 1, []farm.Delivery{v})
				if err != nil {
					t.Error(err)
				}
				if ok {
					moved.Add(1)
				}
			})
		}
		wg.Wait()
		_, n, err := db.Deliveries(t.Context(), w.ID, "", 0, 10, 0)
		if moved.Load() != 1 || n != 1 || err != nil {
			t.Errorf("%d put it down, there are %d, %v", moved.Load(), n, err)
		}
	})
}

func TestLinesOfDeliveries(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		w, other := webhook(t, db, "w"), webhook(t, db, "other")
		var all []farm.Delivery
		for n := range int64(9) {
			all = append(all, delivery(w, n+1))
		}
		all = append(all, delivery(other, 1))
		must[bool](t)(db.AddDeliveries(ctx, "x", 0, 9, all))
		if ids := must[[]int64](t)(db.WaitingWebhooks(ctx)); !slices.Equal(ids, []int64{w.ID, other.ID}) {
			t.Errorf("%v wait", ids)
		}
		heads := func() (out []int64) {
			t.Helper()
			for _, h := range must[[]farm.DeliveryHead](t)(db.DeliveryHeads(ctx, w.ID)) {
				v := must[farm.Delivery](t)(db.Delivery(ctx, w.ID, h.ID))
				out = append(out, v.EventID)
			}
			slices.Sort(out)
			return out
		}
		if got := heads(); !slices.Equal(got, []int64{1, 2, 3}) {
			t.Fatalf("heads %v", got)
		}
		now := time.Now().Add(time.Second).Truncate(time.Millisecond)
		first := must[[]farm.DeliveryHead](t)(db.DeliveryHeads(ctx, w.ID))
		slices.SortFunc(first, func(a, b farm.DeliveryHead) int { return int(a.ID - b.ID) })
		v, ok, err := db.ClaimDelivery(ctx, first[0].ID, "me", now, now.Add(time.Minute))
		if err != nil || !ok || v.Tries != 1 || v.EventID != 1 || !v.TriedAt.Equal(now) || string(v.Body) != `{"n":1}` {
			t.Fatalf("%+v %v %v", v, ok, err)
		}
		if _, ok, err := db.ClaimDelivery(ctx, v.ID, "you", now, now.Add(time.Minute)); ok || err != nil {
			t.Errorf("claimed twice: %v", err)
		}
		end := func(state farm.DeliveryState, claim string, status int) bool {
			t.Helper()
			disabled, err := db.EndAttempt(ctx, farm.DeliveryOutcome{
				Delivery: v, Claim: claim, At: now, State: state, NextAt: now.Add(time.Hour), DisableAfter: time.Hour,
				Attempt: farm.Attempt{Status: status, Request: "POST", Response: "r", Error: "e", Took: 12 * time.Millisecond},
			})
			if err != nil {
				t.Fatal(err)
			}
			return disabled
		}
		end(farm.DeliveryDelivered, "you", 200)
		if got := must[farm.Delivery](t)(db.Delivery(ctx, w.ID, v.ID)); got.State != farm.DeliveryPending {
			t.Errorf("ended by who has not claimed it: %+v", got)
		}
		// To be tried again: it stays the head of its line, but not before its time.
		end(farm.DeliveryPending, "me", 500)
		if _, ok, _ := db.ClaimDelivery(ctx, v.ID, "you", now, now.Add(time.Minute)); ok {
			t.Error("tried before its time")
		}
		if got := heads(); !slices.Equal(got, []int64{1, 2, 3}) {
			t.Errorf("heads %v", got)
		}
		if err := db.HastenDeliveries(ctx, w.ID, now); err != nil {
			t.Fatal(err)
		}
		// A claim that ran out is anybody's; one that was broken off is no try.
		if _, ok, _ = db.ClaimDelivery(ctx, v.ID, "you", now, now.Add(time.Second)); !ok {
			t.Error("hastened, but not due")
		}
		later := now.Add(2 * time.Second)
		if v, ok, _ = db.ClaimDelivery(ctx, v.ID, "me", later, later.Add(time.Minute)); !ok || v.Tries != 3 {
			t.Errorf("%+v", v)
		}
		if err := db.ReleaseDelivery(ctx, v.ID, "me"); err != nil {
			t.Fatal(err)
		}
		if v, ok, _ = db.ClaimDelivery(ctx, v.ID, "me", later, later.Add(time.Minute)); !ok || v.Tries != 3 {
			t.Errorf("%+v", v)
		}
		end(farm.DeliveryDelivered, "me", 204)
		got := must[farm.Delivery](t)(db.Delivery(ctx, w.ID, v.ID))
		if got.State != farm.DeliveryDelivered || !got.EndedAt.Equal(now) || got.Last != (farm.Attempt{Status: 204, Request: "POST", Response: "r", Error: "e", Took: 12 * time.Millisecond}) {
			t.Errorf("%+v", got)
		}
		if got := heads(); !slices.Equal(got, []int64{2, 3, 4}) {
			t.Errorf("heads %v", got)
		}
		// Sent again by hand it waits for no other one, and no other one for it.
		if v, err = db.Redeliver(ctx, w.ID, v.ID, now); err != nil || v.State != farm.DeliveryPending || v.Tries != 0 || v.UID != "w-1" {
			t.Errorf("%+v %v", v, err)
		}
		if got := heads(); !slices.Equal(got, []int64{1, 2, 3, 4}) {
			t.Errorf("heads %v", got)
		}
		_, err = db.Redeliver(ctx, w.ID, v.ID, now)
		wantCode(t, err, farm.Conflict)
		_, err = db.Redeliver(ctx, other.ID, v.ID, now)
		wantCode(t, err, farm.NotFound)
		_, err = db.Delivery(ctx, other.ID, v.ID)
		wantCode(t, err, farm.NotFound)
	})
}

// Of many that want to try one delivery, one does.
func TestClaimsRace(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		w := webhook(t, db, "w")
		must[bool](t)(db.AddDeliveries(t.Context(), "x", 0, 1, []farm.Delivery{delivery(w, 1)}))
		id := must[[]farm.DeliveryHead](t)(db.DeliveryHeads(t.Context(), w.ID))[0].ID
		now := time.Now().Add(time.Second)
		var won atomic.Int64
		var wg sync.WaitGroup
		for hub := range 12 {
			wg.Go(func() {
				_, ok, err := db.ClaimDelivery(t.Context(), id, fmt.Sprint(hub), now, now.Add(time.Minute))
				if err != nil {
					t.Error(err)
				}
				if ok {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d claimed it", won.Load())
		}
	})
}

func TestAWebhookIsSwitchedOffWithTheNewsOfIt(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		w := webhook(t, db, "w")
		var all []farm.Delivery
		for n := range int64(20) {
			v := delivery(w, n+1)
			v.PrinterID = n + 1
			all = append(all, v)
		}
		must[bool](t)(db.AddDeliveries(ctx, "x", 0, 20, all))
		now := time.Now().Add(time.Second).Truncate(time.Millisecond)
		fail := func(i int, at time.Time) bool {
			t.Helper()
			h := must[[]farm.DeliveryHead](t)(db.DeliveryHeads(ctx, w.ID))
			v, ok, err := db.ClaimDelivery(ctx, h[0].ID, fmt.Sprint(i), at, at.Add(time.Minute))
			if err != nil || !ok {
				t.Fatalf("%v %v", ok, err)
			}
			return must[bool](t)(db.EndAttempt(ctx, farm.DeliveryOutcome{
				Delivery: v, Claim: fmt.Sprint(i), At: at, State: farm.DeliveryDead, DisableAfter: time.Hour, Attempt: farm.Attempt{Error: "no"},
			}))
		}
		for i := range minFailures - 1 {
			if fail(i, now.Add(time.Duration(i)*time.Hour)) {
				t.Fatalf("off after %d failures", i+1)
			}
		}
		got, _, err := db.Webhook(ctx, w.ID)
		if err != nil || got.Failures != minFailures-1 || !got.FailingSince.Equal(now) {
			t.Errorf("%+v %v", got, err)
		}
		if !fail(9, now.Add(5*time.Hour)) {
			t.Fatal("still on")
		}
		got, _, _ = db.Webhook(ctx, w.ID)
		if got.Enabled || got.DisabledReason == "" || got.Failures != minFailures {
			t.Errorf("%+v", got)
		}
		if told := kinds(t, db); !slices.Equal(told, []string{farm.EventWebhookDisabled}) {
			t.Errorf("told %v", told)
		}
		if _, n, _ := db.Deliveries(ctx, w.ID, farm.DeliveryPending, 0, 10, 0); n != 0 {
			t.Errorf("%d wait", n)
		}
		if ids := must[[]int64](t)(db.WaitingWebhooks(ctx)); len(ids) != 0 {
			t.Errorf("%v wait", ids)
		}
	})
}

func TestPagesOfDeliveries(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		w := webhook(t, db, "w")
		var all []farm.Delivery
		for n := range int64(7) {
			all = append(all, delivery(w, n+1))
		}
		must[bool](t)(db.AddDeliveries(ctx, "x", 0, 7, all))
		page := func(state farm.DeliveryState, before int64, limit, offset int) (events []int64, last int64) {
			t.Helper()
			rows, total, err := db.Deliveries(ctx, w.ID, state, before, limit, offset)
			if want := map[farm.DeliveryState]int{"": 7, farm.DeliveryPending: 7, farm.DeliveryDead: 0}[state]; err != nil || total != want {
				t.Fatalf("%d %v", total, err)
			}
			for _, v := range rows {
				events, last = append(events, v.EventID), v.ID
			}
			return events, last
		}
		got, last := page("", 0, 3, 0)
		if !slices.Equal(got, []int64{7, 6, 5}) {
			t.Errorf("%v", got)
		}
		if got, _ = page(farm.DeliveryPending, last, 3, 0); !slices.Equal(got, []int64{4, 3, 2}) {
			t.Errorf("%v", got)
		}
		if got, _ = page("", 0, 3, 5); !slices.Equal(got, []int64{2, 1}) {
			t.Errorf("%v", got)
		}
		if got, _ = page(farm.DeliveryDead, 0, 3, 0); len(got) != 0 {
			t.Errorf("%v", got)
		}
		// What is pending is never dropped for its age.
		if n := must[int64](t)(db.PruneDeliveries(ctx, time.Now().Add(time.Hour))); n != 0 {
			t.Errorf("%d dropped", n)
		}
		w.Enabled = false
		must[farm.Webhook](t)(db.UpdateWebhook(ctx, w, time.Now()))
		if n := must[int64](t)(db.PruneDeliveries(ctx, time.Now().Add(-time.Hour))); n != 0 {
			t.Errorf("%d dropped", n)
		}
		if n := must[int64](t)(db.PruneDeliveries(ctx, time.Now().Add(time.Hour))); n != 7 {
			t.Errorf("%d dropped", n)
		}
	})
}

// Events that were read before a person was disabled leave nothing to be sent later.
func TestNothingIsPutDownForWhoIsDisabled(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		if _, err := db.CreateUser(ctx, someone("anna", farm.Administrator, nil), "hash", true); err != nil {
			t.Fatal(err)
		}
		bert := must[farm.User](t)(db.CreateUser(ctx, someone("bert", farm.Administrator, nil), "hash", false))
		own := webhook(t, db, "w")
		own.UID, own.OwnerID = "of bert", bert.ID
		own = must[farm.Webhook](t)(db.CreateWebhook(ctx, own, nil))
		for disabled, want := range map[bool]int{true: 0, false: 1} {
			bert.Disabled = disabled
			if _, err := db.UpdateUser(ctx, bert); err != nil {
				t.Fatal(err)
			}
			event := int64(1 + want)
			from := must[int64](t)(db.Cursor(ctx, "x"))
			must[bool](t)(db.AddDeliveries(ctx, "x", from, from+1, []farm.Delivery{delivery(own, event)}))
			all, _, err := db.Deliveries(ctx, own.ID, farm.DeliveryPending, 0, 10, 0)
			if err != nil || len(all) != want {
				t.Errorf("disabled %v: %d pending, %v", disabled, len(all), err)
			}
		}
	})
}
