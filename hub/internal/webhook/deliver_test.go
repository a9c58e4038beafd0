package webhook

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
)

func TestAnEventArrives(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", func(w http.ResponseWriter, _ *http.Request, _ received) {
			w.Header().Set("X-Seen", "yes")
			_, _ = fmt.Fprint(w, "thanks")
		})
		r.happen(1, 1) // before the webhook was made
		pass(time.Second)
		w, secret := r.hook("a")
		r.happen(1, 2)
		pass(time.Second)
		got := e.all()
		if len(got) != 1 || got[0].event != 2 || got[0].kind != "print_started" || !signed(got[0], secret) {
			t.Fatalf("%+v", got)
		}
		h := got[0].header
		if h.Get("Content-Type") != "application/json" || !strings.HasPrefix(h.Get("User-Agent"), "Bambuddy/") || h.Get("Accept-Encoding") != "" {
			t.Errorf("%v", h)
		}
		kept := r.kept(w, "")
		if len(kept) != 1 || kept[0].State != farm.DeliveryDelivered || kept[0].UID != got[0].uid || kept[0].Tries != 1 || kept[0].Last.Status != 200 ||
			string(kept[0].Body) != got[0].body || kept[0].EndedAt.IsZero() || !strings.HasSuffix(kept[0].Last.Response, "thanks") || !strings.Contains(kept[0].Last.Response, "X-Seen: yes") {
			t.Errorf("%+v", kept)
		}
		if !strings.HasPrefix(secret.Reveal(), "whsec_") || len(secret) < 40 {
			t.Errorf("%d characters of secret", len(secret))
		}
	})
}

// What of one printer fails holds up what comes after it there, and nothing else.
func TestOrderUnderRetries(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", nil)
		e.set(func(w http.ResponseWriter, _ *http.Request, got received) {
			if got.printer == 1 && e.tries(got.event) <= 3 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		w, _ := r.hook("a")
		for archive := range int64(5) {
			r.happen(1, 10+archive)
			pass(10 * time.Millisecond)
			r.happen(2, 20+archive)
			r.happen(0, 30+archive)
		}
		pass(time.Hour)
		of := map[int64][]int64{}
		last := map[int64]time.Time{}
		for _, g := range e.all() {
			of[g.printer] = append(of[g.printer], g.event)
			last[g.printer] = g.at
		}
		if want := []int64{10, 10, 10, 10, 11, 11, 11, 11, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14}; !slices.Equal(of[1], want) {
			t.Errorf("of the printer that fails: %v", of[1])
		}
		if !slices.Equal(of[2], []int64{20, 21, 22, 23, 24}) || !slices.Equal(of[0], []int64{30, 31, 32, 33, 34}) {
			t.Errorf("of the others: %v %v", of[2], of[0])
		}
		if !last[2].Before(last[1]) || !last[0].Before(last[1]) {
			t.Errorf("the others waited: %v", last)
		}
		for _, v := range r.kept(w, "") {
			if v.State != farm.DeliveryDelivered || v.PrinterID == 1 && v.Tries != 4 || v.PrinterID != 1 && v.Tries != 1 {
				t.Errorf("%+v", v)
			}
		}
		uids := map[string]int64{}
		for _, g := range e.all() {
			if was, is := uids[g.uid]; is && was != g.event {
				t.Errorf("delivery %s is of two events", g.uid)
			}
			uids[g.uid] = g.event
		}
		if len(uids) != 15 {
			t.Errorf("%d deliveries by their names, want 15", len(uids))
		}
	})
}

func TestWhatIsRefusedLetsTheRestFlow(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", func(w http.ResponseWriter, _ *http.Request, got received) {
			if got.event == 1 {
				w.WriteHeader(http.StatusNotFound)
			}
		})
		w, _ := r.hook("a")
		r.happen(1, 1)
		r.happen(1, 2)
		pass(time.Second)
		if !slices.Equal(e.events(), []int64{1, 2}) {
			t.Fatalf("%v", e.events())
		}
		dead := r.kept(w, farm.DeliveryDead)
		if len(dead) != 1 || dead[0].Tries != 1 || dead[0].Last.Status != 404 || dead[0].Last.Error != "answered 404 Not Found" {
			t.Errorf("%+v", dead)
		}
		if got := r.now(w); got.Failures != 0 || !got.FailingSince.IsZero() {
			t.Errorf("%+v", got)
		}
		// By hand it can be sent again; the name stays.
		e.set(nil)
		if _, err := r.Redeliver(t.Context(), w.ID, dead[0].ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		got := e.all()
		if len(got) != 3 || got[2].uid != dead[0].UID || got[2].body != got[0].body || len(r.kept(w, farm.DeliveryDelivered)) != 2 {
			t.Errorf("%v", got)
		}
	})
}

func TestAnEndpointAsksToBeLeftAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", nil)
		e.set(func(w http.ResponseWriter, _ *http.Request, _ received) {
			if len(e.all()) == 1 {
				w.Header().Set("Retry-After", "600")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		r.hook("a")
		r.happen(1, 1)
		pass(time.Hour)
		got := e.all()
		if len(got) != 2 {
			t.Fatalf("%d tries", len(got))
		}
		if waited := got[1].at.Sub(got[0].at); waited < 600*time.Second || waited > 661*time.Second {
			t.Errorf("tried again after %s", waited)
		}
	})
}

func TestGivingUp(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.configure(func(c *Config) { c.RetryFor = 3 * time.Hour })
		e := r.listen("a", status(http.StatusBadGateway))
		w, secret := r.hook("a")
		r.happen(1, 1)
		pass(2 * time.Hour)
		if v := r.kept(w, farm.DeliveryPending); len(v) != 1 {
			t.Fatalf("after 2 hours: %+v", v)
		}
		pass(2 * time.Hour)
		v := r.kept(w, "")[0]
		got := e.all()
		if v.State != farm.DeliveryDead || v.Last.Status != 502 || int(v.Tries) != len(got) || len(got) < 12 || len(got) > 80 {
			t.Errorf("after 4 hours, %d requests: %+v", len(got), v)
		}
		if lasted := got[len(got)-1].at.Sub(got[0].at); lasted < 3*time.Hour-time.Second || lasted > 3*time.Hour+time.Minute {
			t.Errorf("it was tried for %s", lasted)
		}
		for _, g := range got {
			if !signed(g, secret) {
				t.Fatal("a try is not signed for the moment it was made")
			}
		}
		tried := len(got)
		pass(time.Hour)
		if n := len(e.all()); n != tried {
			t.Errorf("%d more tries of a dead one", n-tried)
		}
	})
}

func TestSwitchedOffAfterFailingTooLong(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.configure(func(c *Config) { c.DisableAfter = 4 * time.Hour })
		bad, watch := r.listen("bad", status(http.StatusServiceUnavailable)), r.listen("watch", nil)
		w, _ := r.hook("bad")
		r.hook("watch", func(w *farm.Webhook) { w.Events = []string{farm.EventWebhookDisabled} })
		r.hook("watch", func(w *farm.Webhook) { w.Events, w.Sites = []string{farm.EventWebhookDisabled}, []int64{1} })
		for hour := range int64(3) {
			r.happen(1, hour)
			pass(time.Hour)
		}
		if got := r.now(w); !got.Enabled || got.FailingSince.IsZero() || got.Failures < 5 {
			t.Fatalf("after 3 hours: %+v", got)
		}
		pass(2 * time.Hour)
		got := r.now(w)
		if got.Enabled || !strings.Contains(got.DisabledReason, "503") {
			t.Errorf("after 5 hours: %+v", got)
		}
		if told := watch.all(); len(told) != 1 || told[0].kind != farm.EventWebhookDisabled || !strings.Contains(told[0].body, `"webhook_name":"bad","reason":"nothing has got through`) {
			t.Errorf("%+v", told)
		}
		for _, v := range r.kept(w, "") {
			if v.State != farm.DeliveryDead {
				t.Errorf("%+v", v)
			}
		}
		// Nothing is kept for it, nothing is sent to it.
		tried, kept := len(bad.all()), len(r.kept(w, ""))
		r.happen(1, 100)
		pass(time.Hour)
		if len(bad.all()) != tried || len(r.kept(w, "")) != kept {
			t.Error("a disabled webhook goes on")
		}
		if _, err := r.Redeliver(t.Context(), w.ID, r.kept(w, "")[0].ID); !farm.Is(err, farm.Conflict) {
			t.Errorf("sent again though disabled: %v", err)
		}
		// Enabled again it begins anew.
		bad.set(nil)
		got.Enabled = true
		if got, err := r.Change(t.Context(), got); err != nil || !got.Enabled || got.DisabledReason != "" || got.Failures != 0 || !got.FailingSince.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		r.happen(1, 101)
		pass(time.Hour)
		if got := bad.events()[tried:]; !slices.Equal(got, []int64{101}) {
			t.Errorf("after that it got %v", got)
		}
	})
}

// Two slips, however far apart, are no outage.
func TestAFewFailuresSwitchNothingOff(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.configure(func(c *Config) { c.DisableAfter = time.Hour })
		r.listen("a", status(http.StatusGone))
		w, _ := r.hook("a")
		for i := range int64(4) {
			r.happen(1, i)
			pass(3 * time.Hour)
		}
		if got := r.now(w); !got.Enabled || got.Failures != 4 {
			t.Errorf("%+v", got)
		}
		r.happen(1, 5)
		pass(time.Minute)
		if got := r.now(w); got.Enabled {
			t.Errorf("%+v", got)
		}
	})
}

func TestSwitchedOffByHand(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", status(http.StatusServiceUnavailable))
		w, _ := r.hook("a")
		r.happen(1, 1)
		pass(time.Minute)
		w.Enabled, w.DisabledReason = false, "disabled by somebody"
		w, err := r.Change(t.Context(), w)
		if err != nil || w.Enabled || w.DisabledReason != "disabled by somebody" {
			t.Fatalf("%+v, %v", w, err)
		}
		tried := len(e.all())
		r.happen(1, 2)
		pass(time.Hour)
		if v := r.kept(w, ""); len(e.all()) != tried || len(v) != 1 || v[0].State != farm.DeliveryDead || !strings.Contains(v[0].Last.Error, "disabled") {
			t.Errorf("%d tries, %+v", len(e.all()), v)
		}
		// What was given up by that can be sent again later.
		e.set(nil)
		w.Enabled = true
		if w, err = r.Change(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Redeliver(t.Context(), w.ID, r.kept(w, "")[0].ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if v := r.kept(w, farm.DeliveryDelivered); len(v) != 1 {
			t.Errorf("%+v", v)
		}
	})
}

// A dead endpoint and a slow one keep nobody waiting.
func TestNoEndpointDelaysAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		release := make(chan struct{})
		r.listen("dead", nil)
		r.net.Cut("dead")
		r.listen("hangs", func(_ http.ResponseWriter, q *http.Request, _ received) {
			select {
			case <-release:
			case <-q.Context().Done():
			}
		})
		slow := r.listen("slow", func(_ http.ResponseWriter, q *http.Request, _ received) { wait(q.Context(), 9*time.Second) })
		good := r.listen("good", nil)
		var hooks []farm.Webhook
		for _, host := range []string{"dead", "hangs", "slow", "good"} {
			w, _ := r.hook(host)
			hooks = append(hooks, w)
		}
		lag := time.Duration(0)
		for i := range int64(300) { // of 20 printers, at 1,000 a minute
			before, at := len(good.all()), time.Now()
			r.happen(i%20+1, i)
			pass(60 * time.Millisecond)
			if got := good.all(); len(got) != before+1 || got[before].event != i {
				t.Fatalf("event %d has not arrived", i)
			} else {
				lag = max(lag, got[before].at.Sub(at))
			}
		}
		if lag > 50*time.Millisecond {
			t.Errorf("a healthy endpoint waited %s", lag)
		}
		if n := len(slow.all()); n < 4 || n > 12 { // four at once, nine seconds each
			t.Errorf("the slow one got %d in 18 seconds", n)
		}
		for _, w := range hooks[:2] {
			if got := r.now(w); got.Failures == 0 || !strings.HasPrefix(r.kept(w, "")[0].Last.Error, "no answer within 10 s") {
				t.Errorf("%s: %+v %+v", w.Name, got, r.kept(w, "")[0].Last)
			}
		}
		close(release)
	})
}

// That something works again is known first to who tries it by hand.
func TestATestThatWorksHastensWhatWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", status(http.StatusServiceUnavailable))
		w, secret := r.hook("a")
		r.happen(1, 1)
		pass(2 * time.Hour)
		v, err := r.Test(t.Context(), w.ID)
		if err != nil || v.State != farm.DeliveryDead || v.Last.Status != 503 || v.Last.Error == "" {
			t.Fatalf("%+v, %v", v, err)
		}
		failures := r.now(w).Failures
		e.set(nil)
		if v, err = r.Test(t.Context(), w.ID); err != nil || v.State != farm.DeliveryDelivered || v.Last.Status != 200 {
			t.Fatalf("%+v, %v", v, err)
		}
		pass(time.Second)
		got := e.all()
		test := got[len(got)-2]
		if test.kind != "test" || !signed(test, secret) || test.uid != v.UID || !strings.Contains(test.body, `"event":"test"`) {
			t.Errorf("%+v", test)
		}
		if got[len(got)-1].event != 1 || len(r.kept(w, farm.DeliveryDelivered)) != 1 || failures == 0 || r.now(w).Failures != 0 {
			t.Errorf("%+v", got[len(got)-1])
		}
		// One that is off can be tried, too, and stays off.
		w.Enabled = false
		if _, err = r.Change(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if v, err = r.Test(t.Context(), w.ID); err != nil || v.State != farm.DeliveryDelivered || r.now(w).Enabled {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestFilters(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := map[string]*endpoint{}
		for host, change := range map[string]func(*farm.Webhook){
			"all":      func(*farm.Webhook) {},
			"ends":     func(w *farm.Webhook) { w.Events = []string{farm.EventPrintComplete, farm.EventPrintFailed} },
			"none":     func(w *farm.Webhook) { w.Events = []string{} },
			"printer1": func(w *farm.Webhook) { w.Printers = []int64{1} },
			"site2":    func(w *farm.Webhook) { w.Sites = []int64{2} },
			"nowhere":  func(w *farm.Webhook) { w.Printers = []int64{} },
		} {
			e[host] = r.listen(host, nil)
			r.hook(host, change)
		}
		for i, ev := range []farm.Event{
			{Kind: farm.EventPrintStarted, PrinterID: 1, SiteID: 1},
			{Kind: farm.EventPrintComplete, PrinterID: 2, SiteID: 2},
			{Kind: farm.EventPrintFailed, SiteID: 2}, // its printer was removed
			{Kind: farm.EventAgentOnline, AgentID: 1, SiteID: 1},
			{Kind: farm.EventAgentOffline, AgentID: 2, SiteID: 2},
			{Kind: farm.EventWebhookDisabled},
			{Kind: farm.EventPrinterAdded, PrinterID: 1, SiteID: 1},   // nobody's
			{Kind: farm.EventArchiveUpdated, PrinterID: 1, SiteID: 1}, // nobody's
		} {
			ev.Data = fmt.Appendf(nil, `{"n":%d}`, i)
			r.tell(ev)
		}
		pass(time.Second)
		for host, want := range map[string]string{
			"all":  "print_started print_complete print_failed agent_online agent_offline webhook_disabled",
			"ends": "print_complete print_failed", "none": "", "printer1": "print_started", "site2": "print_complete print_failed agent_offline", "nowhere": "",
		} {
			var got []string
			for _, g := range e[host].all() {
				got = append(got, g.kind)
			}
			slices.Sort(got)
			wanted := strings.Fields(want)
			slices.Sort(wanted)
			if !slices.Equal(got, wanted) {
				t.Errorf("%s got %v, want %v", host, got, wanted)
			}
		}
	})
}

// Whose allow-lists are narrowed is told nothing more of the rest, not even what waits.
func TestANarrowedFilter(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", status(http.StatusServiceUnavailable))
		w, _ := r.hook("a")
		r.happen(1, 1)
		r.happen(2, 2)
		r.tell(farm.Event{Kind: farm.EventPrintStopped, PrinterID: 2, SiteID: 1, Data: []byte(`{"printer_id":2,"archive_id":3}`)})
		pass(time.Minute)
		w.Printers, w.Events = []int64{2}, []string{farm.EventPrintStopped}
		if _, err := r.Change(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		e.set(nil)
		before := len(e.all())
		pass(time.Hour)
		if got := e.events()[before:]; !slices.Equal(got, []int64{3}) {
			t.Errorf("it got %v", got)
		}
		if kept := r.kept(w, ""); len(kept) != 1 || kept[0].State != farm.DeliveryDelivered {
			t.Errorf("%+v", kept)
		}
	})
}

func TestDeletingEndsEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", status(http.StatusServiceUnavailable))
		w, _ := r.hook("a")
		r.happen(1, 1)
		pass(time.Minute)
		if err := r.Delete(t.Context(), w.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.mu.Lock()
		lanes := len(r.lanes)
		r.mu.Unlock()
		tried := len(e.all())
		r.happen(1, 2)
		pass(time.Hour)
		if len(e.all()) != tried || lanes != 0 || len(r.kept(w, "")) != 0 {
			t.Errorf("%d more tries, %d lanes", len(e.all())-tried, lanes)
		}
		if err := r.Delete(t.Context(), w.ID); !farm.Is(err, farm.NotFound) {
			t.Error(err)
		}
	})
}

func TestAnotherSecret(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", nil)
		w, first := r.hook("a")
		_, second, err := r.Rotate(t.Context(), w.ID)
		if err != nil || second == first {
			t.Fatal(err)
		}
		r.happen(1, 1)
		pass(time.Second)
		if got := e.all(); len(got) != 1 || signed(got[0], first) || !signed(got[0], second) {
			t.Errorf("%+v", got)
		}
		mine, brought, err := r.Create(t.Context(), farm.Webhook{Name: "mine", URL: "http://a/", Enabled: true}, "a-secret-of-my-own")
		if err != nil || brought != "a-secret-of-my-own" || mine.ID == w.ID {
			t.Errorf("%v", err)
		}
		if has, err := r.db.HasSecrets(t.Context()); !has || err != nil {
			t.Errorf("a lost key would not be noticed: %v", err)
		}
	})
}

func TestWhatIsNoWebhook(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		good := farm.Webhook{Name: "x", URL: "https://a.example/", Enabled: true}
		for field, change := range map[string]func(*farm.Webhook) farm.Secret{
			"name: ":   func(w *farm.Webhook) farm.Secret { w.Name = "  "; return "" },
			"name: 1":  func(w *farm.Webhook) farm.Secret { w.Name = "a\r\nX-Evil: 1"; return "" },
			"name: 1 ": func(w *farm.Webhook) farm.Secret { w.Name = strings.Repeat("x", 101); return "" },
			"url: ":    func(w *farm.Webhook) farm.Secret { w.URL = "https://a.example/\r\nX-Evil: 1"; return "" },
			"events: ": func(w *farm.Webhook) farm.Secret { w.Events = []string{"queue_waiting"}; return "" },
			"secret: ": func(*farm.Webhook) farm.Secret { return "short" },
			"secret:":  func(*farm.Webhook) farm.Secret { return "with a space in it, too" },
		} {
			w := good
			secret := change(&w)
			if _, _, err := r.Create(t.Context(), w, secret); !farm.Is(err, farm.Invalid) || !strings.HasPrefix(err.Error(), strings.TrimRight(field, " 1")) {
				t.Errorf("%s: %v", field, err)
			}
		}
		w := good
		w.Events, w.Sites = []string{farm.EventPrintFailed, farm.EventPrintFailed}, []int64{1, 1}
		if w, _, err := r.Create(t.Context(), w, ""); err != nil || len(w.Events) != 1 || len(w.Sites) != 1 {
			t.Errorf("%+v, %v", w, err)
		}
		for range maxWebhooks - 1 {
			r.hook("a")
		}
		if _, _, err := r.Create(t.Context(), good, ""); !farm.Is(err, farm.Conflict) {
			t.Errorf("one more than there can be: %v", err)
		}
	})
}

func TestOldDeliveriesAreDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.configure(func(c *Config) { c.KeepFor = 10 * time.Hour })
		r.listen("a", nil)
		w, _ := r.hook("a")
		r.happen(1, 1)
		pass(6 * time.Hour)
		r.happen(1, 2)
		pass(3 * time.Hour)
		if n := len(r.kept(w, "")); n != 2 {
			t.Errorf("%d are kept after 9 hours", n)
		}
		pass(2 * time.Hour)
		if kept := r.kept(w, ""); len(kept) != 1 || !strings.Contains(string(kept[0].Body), `"archive_id":2`) {
			t.Errorf("%+v", kept)
		}
	})
}

// A webhook is told of nothing its owner may not see.
func TestAWebhookGoesAsFarAsItsOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", nil)
		person := func(name string) farm.User {
			t.Helper()
			u, err := r.db.CreateUser(t.Context(), farm.User{Username: name, Role: farm.Administrator, CreatedAt: time.Now(), UpdatedAt: time.Now()}, "x", false)
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
		person("the one that must stay")
		owner := person("ann")
		w, _ := r.hook("a", func(w *farm.Webhook) { w.OwnerID = owner.ID })
		tell := func(archive, site int64) {
			r.tell(farm.Event{Kind: farm.EventPrintStarted, PrinterID: site, SiteID: site, Data: fmt.Appendf(nil, `{"printer_id":%d,"archive_id":%d}`, site, archive)})
			pass(time.Second)
		}
		change := func(how func(*farm.User)) {
			t.Helper()
			how(&owner)
			if _, err := r.db.UpdateUser(t.Context(), owner); err != nil {
				t.Fatal(err)
			}
		}
		tell(1, 1)
		tell(2, 2)
		change(func(u *farm.User) { u.Sites = []int64{2} })
		tell(3, 1)
		tell(4, 2)
		e.set(status(http.StatusServiceUnavailable))
		tell(5, 2)
		change(func(u *farm.User) { u.Disabled = true })
		tried := len(e.all())
		tell(6, 2)
		pass(time.Hour)
		if got := e.events(); !slices.Equal(slices.Compact(got), []int64{1, 2, 4, 5}) {
			t.Errorf("it got %v", got)
		}
		if n := len(e.all()); n != tried || len(r.kept(w, farm.DeliveryPending)) != 0 {
			t.Errorf("%d more tries while its owner is disabled", n-tried)
		}
		if dead := r.kept(w, farm.DeliveryDead); len(dead) != 1 {
			t.Errorf("%d given up", len(dead))
		} else if _, err := r.Redeliver(t.Context(), w.ID, dead[0].ID); !farm.Is(err, farm.Conflict) {
			t.Errorf("delivered again for who is disabled: %v", err)
		}
		// It goes on when they are back, with what happens from then on.
		e.set(nil)
		change(func(u *farm.User) { u.Disabled = false })
		tell(7, 2)
		pass(time.Hour)
		if got := e.events(); got[len(got)-1] != 7 || len(r.kept(w, farm.DeliveryDelivered)) != 4 {
			t.Errorf("it got %v", got)
		}
	})
}
