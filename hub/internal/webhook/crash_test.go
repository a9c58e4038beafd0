package webhook

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// Wherever a hub is killed, every event arrives; twice at most, and then under the
// same name.
func TestKilledAnywhere(t *testing.T) {
	for _, at := range []string{"add", "claim", "sent", "end"} {
		for nth := range 3 {
			t.Run(at, func(t *testing.T) {
				inBubble(t, func(t *testing.T, r *rig) {
					passed := 0
					die := func(step string) {
						if step != at {
							return
						}
						if passed++; passed == nth+1 {
							r.life.dead.Store(true)
						}
					}
					r.life.before = die
					e := r.listen("a", func(http.ResponseWriter, *http.Request, received) { die("sent") })
					w, _ := r.hook("a")
					for i := range int64(6) {
						r.happen(i%2, i)
						pass(100 * time.Millisecond)
					}
					if !r.life.dead.Load() {
						t.Fatal("it was not killed")
					}
					r.kill()
					r.start()
					pass(5 * time.Minute)
					of, names := map[int64][]int64{}, map[string]int64{}
					for _, g := range e.all() {
						if !slices.Contains(of[g.printer], g.event) {
							of[g.printer] = append(of[g.printer], g.event)
						}
						if was, is := names[g.uid]; is && was != g.event {
							t.Errorf("%s is of two events", g.uid)
						}
						names[g.uid] = g.event
					}
					if !slices.Equal(of[0], []int64{0, 2, 4}) || !slices.Equal(of[1], []int64{1, 3, 5}) || len(names) != 6 || len(e.all()) > 6+2*perEndpoint {
						t.Errorf("%v, %d requests of %d deliveries", of, len(e.all()), len(names))
					}
					if done := r.kept(w, farm.DeliveryDelivered); len(done) != 6 {
						t.Errorf("%d delivered", len(done))
					}
				})
			})
		}
	}
}

// A hub that is stopped gives back what it was sending, which counts as no try.
func TestStoppedWhileSending(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", func(_ http.ResponseWriter, q *http.Request, _ received) { <-q.Context().Done() })
		w, _ := r.hook("a")
		r.happen(1, 1)
		pass(time.Second)
		began := time.Now()
		r.stop()
		if d := time.Since(began); d > time.Second {
			t.Errorf("stopping took %s", d)
		}
		if v := r.kept(w, farm.DeliveryPending); len(v) != 1 || v[0].Tries != 0 {
			t.Errorf("%+v", v)
		}
		e.set(nil)
		r.start()
		pass(time.Second)
		if v := r.kept(w, farm.DeliveryDelivered); len(v) != 1 || v[0].Tries != 1 || len(e.all()) != 2 {
			t.Errorf("%+v", v)
		}
	})
}

// Two hubs on one database share the work and send nothing twice.
func TestTwoHubs(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", nil)
		e.set(func(w http.ResponseWriter, _ *http.Request, got received) {
			time.Sleep(time.Second)
			if got.event%7 == 0 && e.tries(got.event) < 4 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		second := &mortal{DB: r.db}
		stop := running(t, r.another(second))
		defer stop()
		w, _ := r.hook("a")
		for i := range int64(60) {
			r.happen(i%10, i)
			if i%5 == 0 {
				pass(300 * time.Millisecond)
			}
		}
		pass(2 * time.Hour)
		tries, order := map[int64]int{}, map[int64][]int64{}
		for _, g := range e.all() {
			tries[g.event]++
			if of := order[g.printer]; len(of) == 0 || of[len(of)-1] != g.event {
				order[g.printer] = append(of, g.event)
			}
		}
		kept := r.kept(w, farm.DeliveryDelivered)
		if len(kept) != 60 {
			t.Fatalf("%d delivered", len(kept))
		}
		for i, v := range kept {
			if int(v.Tries) != tries[int64(i)] {
				t.Errorf("event %d: %d requests, %d tries", i, tries[int64(i)], v.Tries)
			}
		}
		for p, of := range order {
			if !slices.IsSorted(of) || len(of) != 6 {
				t.Errorf("of printer %d: %v", p, of)
			}
		}
	})
}
