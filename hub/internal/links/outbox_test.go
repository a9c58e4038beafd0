package links

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

func TestPagesAreAppliedThenAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a, _, s := reader(t, 7)
		defer r.close()
		a.up()
		synctest.Wait()
		wantStory(t, s, "mark 1 E1", "apply 1 E1 1-3", "ack E1 3", "apply 1 E1 4-6", "ack E1 6", "apply 1 E1 7-7", "ack E1 7")
		time.Sleep(10 * time.Minute)
		wantStory(t, s) // an empty page is asked for again and nothing else
		a.outbox.set(func() { a.outbox.last = 8 })
		synctest.Wait()
		wantStory(t, s, "apply 1 E1 8-8", "ack E1 8")
		if r.log.count("level=WARN") != 0 {
			t.Errorf("complaints:\n%s", r.log)
		}
	})
}

func TestWhatCannotBeAppliedIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a, prints, s := reader(t, 2)
		defer r.close()
		prints.set(func() { prints.marks["1 E1"], prints.hang = 1, make(chan struct{}) })
		a.up()
		synctest.Wait()
		wantStory(t, s, "mark 1 E1")
		prints.set(func() { close(prints.hang); prints.hang, prints.failing = nil, errors.New("the database is down") })
		time.Sleep(10 * time.Minute)
		tries := 0
		for _, line := range s.take() {
			switch line {
			case "apply failed", "mark 1 E1":
				tries++
			default:
				t.Errorf("happened: %s", line)
			}
		}
		if tries < 8 || tries > 100 {
			t.Errorf("tried %d times in ten minutes", tries)
		}
		if n := r.log.count("the database is down"); n == 0 || n > 2 {
			t.Errorf("logged %d times:\n%s", n, r.log)
		}
		prints.set(func() { prints.failing = nil })
		time.Sleep(2 * time.Minute)
		wantStory(t, s, "mark 1 E1", "apply 1 E1 2-2", "ack E1 2")
		if s, _ := r.links.Status(1); !s.Connected {
			t.Error("the session did not live through it")
		}
	})
}

func TestAnAcknowledgementThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a, _, s := reader(t, 2)
		defer r.close()
		a.outbox.ackErr = farm.Errorf(farm.Unavailable, "the agent's disk is full")
		a.up()
		time.Sleep(time.Minute)
		// What is applied is not applied again; the next acknowledgement tells it too.
		wantStory(t, s, "mark 1 E1", "apply 1 E1 1-2", "ack E1 2 refused", "mark 1 E1")
		a.outbox.set(func() { a.outbox.last = 3 })
		synctest.Wait()
		wantStory(t, s, "apply 1 E1 3-3", "ack E1 3")
	})
}

func TestAnotherEpochIsReadFromItsMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a, _, s := reader(t, 3)
		defer r.close()
		a.up()
		synctest.Wait()
		s.take()
		a.outbox.set(func() { a.outbox.epoch, a.outbox.last = "E2", 1 })
		time.Sleep(time.Minute)
		wantStory(t, s, "mark 1 E2", "apply 1 E2 1-1", "ack E2 1")
		a.outbox.set(func() { a.outbox.epoch, a.outbox.last = "E1", 4 }) // a journal that was put back
		time.Sleep(time.Minute)
		wantStory(t, s, "mark 1 E1", "apply 1 E1 4-4", "ack E1 4")
	})
}

// A hub restored from a copy begins where its database says; one that saw more than
// the agent wrote hears of another epoch.
func TestAHubThatBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a, prints, s := reader(t, 5)
		defer r.close()
		prints.marks["1 E1"] = 4
		prints.marks["2 E1"] = 5 // another agent's
		first := a.up()
		synctest.Wait()
		wantStory(t, s, "mark 1 E1", "apply 1 E1 5-5", "ack E1 5")
		first.stop()
		if err := <-first.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("control ended with %v", err)
		}
		prints.set(func() { prints.marks["1 E1"] = 9 })
		a.up()
		time.Sleep(30 * time.Second)
		a.outbox.set(func() { a.outbox.epoch = "E2" }) // as an outbox does that is asked for what it never wrote
		s.take()
		time.Sleep(2 * time.Minute)
		wantStory(t, s, "mark 1 E2", "apply 1 E2 1-3", "ack E2 3", "apply 1 E2 4-5", "ack E2 5")
	})
}

// A slow database holds up nothing else of the session.
func TestASlowApplyHoldsUpNoCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a, prints, s := reader(t, 2)
		defer r.close()
		until := make(chan struct{})
		prints.hang = until
		a.up()
		synctest.Wait()
		for range 20 {
			began := time.Now()
			if _, err := r.links.Command(t.Context(), 1, "S1", wire.Command{Kind: wire.Refresh, ValidMS: 1000}); err != nil || time.Since(began) > time.Second {
				t.Fatalf("%v after %v", err, time.Since(began))
			}
			a.states <- frame("S1")
			time.Sleep(10 * time.Second)
		}
		if n := r.live.count(1); n != 20 {
			t.Errorf("%d states came through", n)
		}
		wantStory(t, s, "mark 1 E1")
		close(until)
		synctest.Wait()
		wantStory(t, s, "apply 1 E1 1-2", "ack E1 2")
		if late := prints.late[0]; late < 200*time.Second {
			t.Errorf("the page is said to have come %v before it was applied", late) // else records would be placed too late
		}
	})
}

// A session that ends does not wait for the database.
func TestASlowApplyEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a, prints, s := reader(t, 2)
		prints.hang = make(chan struct{})
		control := a.up()
		synctest.Wait()
		control.stop()
		if err := <-control.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("control ended with %v", err)
		}
		synctest.Wait()
		if status, _ := r.links.Status(1); status.Connected {
			t.Error("the session is still there")
		}
		r.close()
		wantStory(t, s, "mark 1 E1")
	})
}

func TestAgentsThatAnswerStrangely(t *testing.T) {
	for name, change := range map[string]func(o *testOutbox){
		"what was read before":    func(o *testOutbox) { o.stale, o.limit = true, 1 },
		"of another epoch":        func(o *testOutbox) { o.other = "E9" },
		"never of the epoch told": func(o *testOutbox) { o.limit, o.last = 0, -1 },
	} {
		synctest.Test(t, func(t *testing.T) {
			r, a, prints, s := reader(t, 5)
			defer r.close()
			prints.marks["1 E1"] = 5
			a.outbox.set(func() { change(a.outbox) })
			a.up()
			time.Sleep(10 * time.Minute)
			if n := len(s.take()); n < 4 || n > 200 {
				t.Errorf("%s: %d steps in ten minutes", name, n)
			}
			if st, _ := r.links.Status(1); !st.Connected {
				t.Errorf("%s: the session ended", name)
			}
		})
	}
}

func TestAnAgentWithoutAnOutboxIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a, _, s := reader(t, 5)
		defer r.close()
		a.capabilities = []wire.Capability{wire.CapState}
		a.up()
		time.Sleep(time.Hour)
		wantStory(t, s)
		if r.log.count("outbox") != 0 {
			t.Errorf("complaints:\n%s", r.log)
		}
	})
}

const testSHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// noFile gives the error of asking for a file that is not to be had.
func (r *rig) noFile() error {
	resp, err := r.links.File(r.t.Context(), 1, testSHA, 0)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func TestFilesAndReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		a.capabilities = append(a.capabilities, wire.CapCaptures)
		var asked []string
		a.bulk = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path != "/v1/hello" {
				asked = append(asked, q.Method+" "+q.URL.String()+" "+q.Header.Get("Range"))
			}
			if q.Method == http.MethodDelete && q.URL.Query().Get("ref") == "run:gone" {
				tunnel.Answer(w, farm.Errorf(farm.FileUnavailable, "it is gone"), 0)
				return
			}
			if q.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusPartialContent)
			}
			_, _ = io.WriteString(w, "{}")
		})
		if err := r.noFile(); !farm.Is(err, farm.AgentOffline) {
			t.Errorf("of an agent that is away: %v", err)
		}
		control := a.up()
		if _, err := a.connect(tunnel.Bulk, control.session); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for offset, status := range map[int64]int{0: 200, 5: 206} {
			resp, err := r.links.File(t.Context(), 1, testSHA, offset)
			if err != nil || resp.StatusCode != status {
				t.Fatalf("from %d: %v, %v", offset, resp, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if err := r.links.Release(t.Context(), 1, testSHA, wire.RunRef("a&b")); err != nil {
			t.Error(err)
		}
		if err := r.links.Release(t.Context(), 1, testSHA, wire.RunRef("gone")); !farm.Is(err, farm.FileUnavailable) {
			t.Errorf("release: %v", err)
		}
		want := map[string]bool{
			"GET /v1/files/" + testSHA + " ": true, "GET /v1/files/" + testSHA + " bytes=5-": true,
			"DELETE /v1/files/" + testSHA + "?ref=run%3Aa%26b ": true, "DELETE /v1/files/" + testSHA + "?ref=run%3Agone ": true,
		}
		if len(asked) != len(want) {
			t.Errorf("asked %q", asked)
		}
		for _, q := range asked {
			if !want[q] {
				t.Errorf("asked %q", q)
			}
		}
		a.set(func() { a.capabilities = []wire.Capability{wire.CapState} })
		time.Sleep(2 * measureEvery)
		if err := r.noFile(); !farm.Is(err, farm.Unsupported) {
			t.Errorf("of an agent that keeps no files: %v", err)
		}
	})
}
