package links

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

func TestSessionFromHelloToGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		if _, known := r.links.Status(1); known {
			t.Error("an agent that never came has a status")
		}
		control := a.up()
		bulk, err := a.connect(tunnel.Bulk, control.session)
		if err != nil {
			t.Fatal(err)
		}
		a.states <- frame("S1") + frame("S2")
		synctest.Wait()
		if got := a.gotConfigs(); !reflect.DeepEqual(got, []int64{1}) || r.store.ackedRevision(1) != 1 {
			t.Errorf("configs %v, acknowledged %d", got, r.store.ackedRevision(1))
		}
		if r.live.count(1) != 2 || !r.live.isUp(1) {
			t.Errorf("the live picture got %d frames", r.live.count(1))
		}
		s, _ := r.links.Status(1)
		if !s.Connected || !s.BulkConnected || s.Session != control.session || s.Hello.Version != "1.2.3" || s.Remote == "" ||
			s.Config.Revision != 1 || s.Config.Problem != "" || s.Control.Received == 0 || s.Bulk.Sent == 0 || s.StateAt.IsZero() || s.Duplicate {
			t.Errorf("status %+v", s)
		}
		got, err := r.links.Command(t.Context(), 1, "S1", wire.Command{Kind: wire.Refresh, ValidMS: 1000})
		if err != nil || len(got.ID) != 32 {
			t.Errorf("command: %+v, %v", got, err)
		}
		time.Sleep(10 * time.Minute) // beats keep the stream alive
		if n, seen := a.streamCount(), r.store.seenCount(1); n != 1 || seen != 1 {
			t.Errorf("%d streams, seen %d times", n, seen)
		}
		control.stop()
		if err := <-control.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("control ended with %v", err)
		}
		if closed := bulk.closed(t); closed.Status != tunnel.StatusReplaced {
			t.Errorf("bulk was told %v", closed)
		}
		synctest.Wait()
		if s, known := r.links.Status(1); !known || s.Connected || s.BulkConnected || time.Since(s.Since) > time.Second || r.live.isUp(1) {
			t.Errorf("afterwards %+v", s)
		}
		if n := r.store.seenCount(1); n != 2 {
			t.Errorf("seen %d times", n)
		}
		if _, err := r.links.Command(t.Context(), 1, "S1", wire.Command{}); !farm.Is(err, farm.AgentOffline) {
			t.Errorf("command: %v", err)
		}
		if _, err := r.links.bulk(1, wire.CapRefresh); !farm.Is(err, farm.AgentOffline) {
			t.Errorf("bulk: %v", err)
		}
		a.parts.Wait()
	})
}

func TestConfigFollowsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a, b := r.enrolled(1), r.enrolled(2)
		a.up()
		b.up()
		synctest.Wait()
		r.store.change(func() { r.store.revisions[1] = 5 })
		r.events.happen(farm.EventPrinterAdded)
		synctest.Wait()
		if got := a.gotConfigs(); !reflect.DeepEqual(got, []int64{1, 5}) {
			t.Errorf("configs of the agent that is concerned: %v", got)
		}
		r.store.change(func() { r.store.revisions[1] = 6 }) // by another process: no event is seen
		time.Sleep(lookEvery + time.Second)
		for range 20 {
			r.events.happen(farm.EventPrinterUpdated)
		}
		synctest.Wait()
		if got := a.gotConfigs(); !reflect.DeepEqual(got, []int64{1, 5, 6}) {
			t.Errorf("configs: %v", got)
		}
		if got := b.gotConfigs(); !reflect.DeepEqual(got, []int64{1}) {
			t.Errorf("configs of the other agent: %v", got)
		}
	})
}

func TestFailingConfigPushIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		a.config = func(wire.Config) error { return farm.Errorf(farm.Internal, "disk full") }
		a.up()
		time.Sleep(10 * time.Minute)
		n := len(a.gotConfigs())
		if n < 8 || n > 60 {
			t.Errorf("tried %d times in 10 minutes", n)
		}
		if s, _ := r.links.Status(1); !strings.Contains(s.Config.Problem, "disk full") || s.Config.Newer || !s.Connected {
			t.Errorf("status %+v", s.Config)
		}
		if c := r.log.count("does not have its config"); c != 1 {
			t.Errorf("logged %d times:\n%s", c, r.log)
		}
		a.set(func() { a.config = nil })
		time.Sleep(time.Minute + time.Second)
		if s, _ := r.links.Status(1); s.Config.Problem != "" || s.Config.Revision != 1 {
			t.Errorf("status %+v", s.Config)
		}
	})
}

// A hub restored from a backup has an older config than its agents.
func TestAgentWithANewerConfigStaysVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		a.config = func(wire.Config) error {
			return farm.Errorf(farm.Conflict, "the config is older than the one this agent holds (1, 9)")
		}
		a.up()
		a.states <- frame("S1")
		for range 30 {
			r.events.happen(farm.EventPrinterUpdated) // news must not make it push faster
			time.Sleep(time.Minute)
		}
		if n := len(a.gotConfigs()); n < 5 || n > 7 {
			t.Errorf("pushed %d times in 30 minutes, want every 5 minutes or a little more", n)
		}
		s, _ := r.links.Status(1)
		if !s.Connected || !s.Config.Newer || !strings.Contains(s.Config.Problem, "older than the one") {
			t.Errorf("status %+v", s)
		}
		if r.live.count(1) != 1 || time.Since(s.StateAt) > time.Minute {
			t.Errorf("%d frames, the last %v ago: state must flow", r.live.count(1), time.Since(s.StateAt))
		}
		if c := r.log.count("does not have its config"); c != 1 {
			t.Errorf("logged %d times:\n%s", c, r.log)
		}
		r.store.change(func() { r.store.revisions[1] = 10 })
		a.set(func() { a.config = nil })
		r.events.happen(farm.EventPrinterUpdated)
		synctest.Wait()
		if s, _ := r.links.Status(1); s.Config.Newer || s.Config.Revision != 10 {
			t.Errorf("after the hub has caught up: %+v", s.Config)
		}
	})
}

func TestBadLinesAreCountedAndHinderNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		a.up()
		a.states <- frame("S1")
		a.states <- "garbage\n" + frame("S2")
		a.states <- strings.Repeat("x", wire.MaxStateLine+5) + "\n" + frame("S3")
		a.states <- `{"serial":17}` + "\n\n" + frame("S4")
		synctest.Wait()
		if r.live.count(1) != 4 {
			t.Errorf("%d frames arrived, want 4", r.live.count(1))
		}
		if s, _ := r.links.Status(1); s.BadLines != 4 {
			t.Errorf("%d bad lines, want 4", s.BadLines)
		}
		if c := r.log.count("cannot be read"); c != 1 {
			t.Errorf("logged %d times:\n%s", c, r.log)
		}
	})
}

func TestSilentStateStreamIsOpenedAgainThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		a.noBeats = true
		control := a.up()
		a.states <- frame("S1")
		time.Sleep(stateSilence - time.Second)
		if n := a.streamCount(); n != 1 {
			t.Errorf("%d streams before its time is over", n)
		}
		time.Sleep(5 * time.Second)
		if n := a.streamCount(); n != 2 {
			t.Errorf("%d streams after %v of silence", n, stateSilence)
		}
		start := time.Now()
		if closed := control.closed(t); closed.Reason != "no state arrives" {
			t.Errorf("the stuck agent was told %v", closed)
		}
		if took := time.Since(start); took > stateSilence {
			t.Errorf("the stuck agent was kept for %v more", took)
		}
		synctest.Wait()
		if s, _ := r.links.Status(1); s.Connected {
			t.Error("it still counts as connected")
		}
	})
}

func TestStateStreamThatEndsIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		var refuse atomic.Bool
		refuse.Store(true)
		s, err := tunnel.Dial(t.Context(), a.hub(), a.who, tunnel.Control, "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		a.parts.Go(func() {
			_ = s.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.URL.Path == "/v1/state" && refuse.Load() {
					a.set(func() { a.streams++ })
					tunnel.Answer(w, farm.Errorf(farm.Internal, "no state"), 0)
					return
				}
				a.serve(w, req)
			}), r.links.log)
		})
		time.Sleep(10 * time.Minute)
		if n := a.streamCount(); n < 8 || n > 60 {
			t.Errorf("asked %d times in 10 minutes", n)
		}
		if c := r.log.count("state stream ended"); c != 1 {
			t.Errorf("logged %d times:\n%s", c, r.log)
		}
		refuse.Store(false)
		a.states <- frame("S1")
		time.Sleep(time.Minute + time.Second)
		if r.live.count(1) != 1 {
			t.Error("no state after the agent has recovered")
		}
		stop()
		a.parts.Wait()
	})
}

func TestCommandAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		a.up()
		synctest.Wait()
		for _, tc := range []struct {
			answer error
			want   farm.Code
		}{
			{farm.Errorf(farm.PrinterNotConnected, "off"), farm.PrinterNotConnected},
			{farm.Errorf(farm.NotFound, "no such printer"), farm.PrinterNotConnected},
			{farm.Errorf(farm.OutcomeUnknown, "no answer"), farm.OutcomeUnknown},
			{farm.Errorf(farm.Unsupported, "dance"), farm.Unsupported},
		} {
			a.set(func() { a.command = func(_ context.Context, w http.ResponseWriter) { tunnel.Answer(w, tc.answer, 0) } })
			if _, err := r.links.Command(t.Context(), 1, "S1", wire.Command{}); !farm.Is(err, tc.want) {
				t.Errorf("%v became %v", tc.answer, err)
			}
		}
		a.set(func() { a.command = func(ctx context.Context, _ http.ResponseWriter) { <-ctx.Done() } })
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()
		start := time.Now()
		if _, err := r.links.Command(ctx, 1, "S1", wire.Command{}); !farm.Is(err, farm.OutcomeUnknown) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestOldAgentIsNotSentWhatItDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		a.capabilities = []wire.Capability{wire.CapState}
		a.up()
		synctest.Wait()
		_, err := r.links.Command(t.Context(), 1, "S1", wire.Command{Kind: wire.Refresh, ValidMS: 1000})
		if !farm.Is(err, farm.Unsupported) {
			t.Errorf("it was sent: %v", err)
		}
	})
}

func TestStuckAgentDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		stuck, fine := r.enrolled(1), r.enrolled(2)
		stuck.config = func(wire.Config) error { time.Sleep(50 * time.Second); return nil }
		stuck.command = func(ctx context.Context, _ http.ResponseWriter) { <-ctx.Done() }
		stuck.noBeats = true
		stuck.up()
		synctest.Wait()
		start := time.Now()
		fine.up()
		fine.states <- frame("S1")
		synctest.Wait()
		if _, err := r.links.Command(t.Context(), 2, "S1", wire.Command{}); err != nil || time.Since(start) > time.Second || r.live.count(2) != 1 {
			t.Errorf("the other agent: %v after %v, %d frames", err, time.Since(start), r.live.count(2))
		}
	})
}

func TestSlowDatabaseDelaysNoState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		slow := make(chan struct{})
		r.store.change(func() { r.store.slow = slow })
		a := r.enrolled(1)
		a.up()
		for range 50 {
			a.states <- frame("S1")
		}
		time.Sleep(stateAfterPush)
		synctest.Wait()
		if n := r.live.count(1); n != 50 {
			t.Errorf("%d of 50 frames got through while the database hung", n)
		}
		close(slow)
	})
}

// Ten transfers that nobody reads: a command still goes through at once.
func TestStalledTransfersDelayNoCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		a.bulk = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/v1/hello" {
				a.serve(w, req)
				return
			}
			chunk := make([]byte, 32<<10)
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		})
		control := a.up()
		if _, err := r.links.bulk(1, wire.CapRefresh); !farm.Is(err, farm.Unavailable) && !farm.Is(err, farm.AgentOffline) {
			t.Errorf("bulk before it is there: %v", err)
		}
		if _, err := a.connect(tunnel.Bulk, control.session); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		bulk, err := r.links.bulk(1, wire.CapRefresh)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://agent/v1/files/x", nil)
			resp, err := bulk.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
		}
		synctest.Wait()
		start := time.Now()
		for range 20 {
			if _, err := r.links.Command(t.Context(), 1, "S1", wire.Command{}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("20 commands took %v", took)
		}
	})
}
