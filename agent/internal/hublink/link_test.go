package hublink

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

func TestBothLanesComeUpAndAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		defer h.stop()
		l, stop := h.run(quiet(), all(&fakeSite{}))
		control, bulk := h.next(tunnel.Control), h.next(tunnel.Bulk)
		if control.sess != "session-1" || bulk.sess != "session-1" {
			t.Errorf("sessions %q and %q", control.sess, bulk.sess)
		}
		for _, lane := range []*tunnel.Client{control.client, bulk.client} {
			var hello wire.Hello
			if err := lane.Call(t.Context(), "GET", "/v1/hello", nil, &hello); err != nil || hello.AgentID != testAgent || hello.BootID != "boot-1" || hello.Revision != 7 {
				t.Errorf("hello %+v, %v", hello, err)
			}
		}
		const picture = "/v1/printers/S1/camera/snapshot"
		if err := bulk.client.Call(t.Context(), "GET", picture, nil, nil); err != nil {
			t.Errorf("bulk gives no picture: %v", err)
		}
		if err := control.client.Call(t.Context(), "GET", picture, nil, nil); !farm.Is(err, farm.NotFound) {
			t.Errorf("control answers a bulk path with %v", err)
		}
		s := l.Status()
		if !s.Connected || !s.BulkConnected || s.Session != "session-1" || s.Control.Received == 0 || s.Bulk.Sent == 0 || s.Problem != "" {
			t.Errorf("status %+v", s)
		}
		stop()
		<-control.client.Done()
		<-bulk.client.Done()
	})
}

func TestWithoutASiteBulkHasOnlyHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		defer h.stop()
		_, stop := h.run(quiet(), Site{})
		h.next(tunnel.Control)
		bulk := h.next(tunnel.Bulk)
		if err := bulk.client.Call(t.Context(), "GET", "/v1/hello", nil, nil); err != nil {
			t.Error(err)
		}
		for _, path := range []string{"/v1/state", "/v1/files/1", "/"} {
			if err := bulk.client.Call(t.Context(), "GET", path, nil, nil); !farm.Is(err, farm.NotFound) {
				t.Errorf("%s: %v", path, err)
			}
		}
		stop()
	})
}

func TestControlLostEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		defer h.stop()
		l, stop := h.run(quiet(), Site{})
		control, bulk := h.next(tunnel.Control), h.next(tunnel.Bulk)
		time.Sleep(2 * time.Minute)
		start := time.Now()
		control.client.Close(tunnel.StatusReplaced, "test")
		<-bulk.client.Done()
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("bulk outlived control by %v", took)
		}
		again, bulkAgain := h.next(tunnel.Control), h.next(tunnel.Bulk)
		if again.sess != "session-2" || bulkAgain.sess != "session-2" {
			t.Errorf("back with sessions %q, %q", again.sess, bulkAgain.sess)
		}
		if took := again.at.Sub(start); took < time.Second || took > 2*time.Second+100*time.Millisecond {
			t.Errorf("back after %v, want 1 to 2 s after a stable session", took)
		}
		if s := l.Status(); s.Session != "session-2" {
			t.Errorf("status %+v", s)
		}
		stop()
	})
}

func TestBulkLostIsRedialledAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		defer h.stop()
		var log lines
		l, stop := h.run(logTo(&log), Site{})
		control, bulk := h.next(tunnel.Control), h.next(tunnel.Bulk)
		for range 3 {
			bulk.client.Close(tunnel.StatusReplaced, "test")
			synctest.Wait()
			if s := l.Status(); !s.Connected || s.BulkConnected {
				t.Errorf("while bulk is down: %+v", s)
			}
			bulk = h.next(tunnel.Bulk)
			if bulk.sess != "session-1" {
				t.Errorf("bulk came back for %q", bulk.sess)
			}
			if control.client.Err() != nil {
				t.Fatal("control went with bulk")
			}
		}
		if n := log.count("bulk lane lost"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &log)
		}
		stop()
	})
}

func TestRestartingHubIsVisitedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		defer h.stop()
		_, stop := h.run(quiet(), Site{})
		var soonest, latest time.Duration = time.Hour, 0
		control := h.next(tunnel.Control)
		for range 30 {
			h.next(tunnel.Bulk)
			start := time.Now()
			control.client.Close(tunnel.StatusRestart, "restart")
			control = h.next(tunnel.Control)
			took := control.at.Sub(start)
			soonest, latest = min(soonest, took), max(latest, took)
		}
		h.next(tunnel.Bulk)
		if latest > 10*time.Second+100*time.Millisecond || latest < 5*time.Second || soonest > 5*time.Second {
			t.Errorf("back after %v to %v, want a spread over 0 to 10 s", soonest, latest)
		}
		stop()
	})
}

func TestRefusalsEndNothing(t *testing.T) {
	for _, tc := range []struct {
		no       *tunnel.Refused
		min, max time.Duration
	}{
		{refused(farm.DuplicateIdentity, time.Minute), time.Minute, 66 * time.Second},
		{refused(farm.DuplicateIdentity, 0), time.Minute, 66 * time.Second},
		{refused(farm.Revoked, time.Second), 10 * time.Minute, 11 * time.Minute},
		{refused(farm.TooOld, 0), 10 * time.Minute, 11 * time.Minute},
		{refused(farm.Unauthorized, time.Minute), time.Minute, 66 * time.Second},
		{refused(farm.Unavailable, 100*time.Hour), time.Hour, 66 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub(t)
			defer h.stop()
			h.refuse(tc.no)
			var log lines
			l, stop := h.run(logTo(&log), Site{})
			last := h.next(tunnel.Control)
			for range 4 {
				next := h.next(tunnel.Control)
				if d := next.at.Sub(last.at); d < tc.min || d > tc.max+3*time.Second { // 3 s: dial and farewell
					t.Errorf("%s: tried again after %v, want %v to %v", tc.no.Code, d, tc.min, tc.max)
				}
				last = next
			}
			synctest.Wait()
			if s := l.Status(); s.Connected || s.Refusal != tc.no.Code || s.Problem == "" || s.NextTry.Before(time.Now()) {
				t.Errorf("status %+v", s)
			}
			if n := log.count("not connected"); n != 1 {
				t.Errorf("%s was logged %d times:\n%s", tc.no.Code, n, &log)
			}
			h.refuse(nil)
			h.next(tunnel.Control)
			synctest.Wait()
			if s := l.Status(); !s.Connected || s.Refusal != "" || s.Problem != "" {
				t.Errorf("after the hub changed its mind: %+v", s)
			}
			stop()
		})
	}
}

func TestDrainingHubIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		defer h.stop()
		h.answer = func(w http.ResponseWriter, _ *http.Request) {
			tunnel.Answer(w, farm.Errorf(farm.Unavailable, "restarting"), 40*time.Second)
		}
		_, stop := h.run(quiet(), Site{})
		last := h.next(tunnel.Control)
		for range 5 {
			next := h.next(tunnel.Control)
			if d := next.at.Sub(last.at); d < 40*time.Second || d > 62*time.Second {
				t.Errorf("tried again after %v", d)
			}
			last = next
		}
		stop()
	})
}

func TestUnreachableHubIsTriedWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		h.stop()
		var log lines
		l, stop := h.run(logTo(&log), Site{})
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if s := l.Status(); s.Connected || s.Problem == "" || time.Until(s.NextTry) > time.Minute {
			t.Errorf("status %+v", s)
		}
		if n := log.count("not connected"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &log)
		}
		h.start()
		start := time.Now()
		control := h.next(tunnel.Control)
		if took := control.at.Sub(start); took > time.Minute {
			t.Errorf("found the hub after %v", took)
		}
		// The session lasts, so its loss is a first failure again.
		h.next(tunnel.Bulk)
		time.Sleep(61 * time.Second)
		start = time.Now()
		h.network.Reset("agent")
		if took := h.next(tunnel.Control).at.Sub(start); took > 2*time.Second+100*time.Millisecond {
			t.Errorf("after a stable session the agent waited %v", took)
		}
		stop()
		h.stop()
	})
}

func TestShortSessionsDoNotResetThePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		defer h.stop()
		_, stop := h.run(quiet(), Site{})
		var longest time.Duration
		last := time.Now()
		for range 20 {
			control := h.next(tunnel.Control)
			longest = max(longest, control.at.Sub(last))
			last = time.Now()
			h.next(tunnel.Bulk)
			control.client.Close(tunnel.StatusReplaced, "flap")
		}
		if longest < 10*time.Second {
			t.Errorf("a hub that closes at once was never given more than %v", longest)
		}
		stop()
	})
}

func TestWrongHubIsReportedAndRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		defer h.stop()
		h.id.HubID = "the hub before"
		var log lines
		l, stop := h.run(logTo(&log), Site{})
		h.next(tunnel.Control)
		h.next(tunnel.Control)
		synctest.Wait()
		if s := l.Status(); s.Problem != tunnel.ErrWrongHub.Error() {
			t.Errorf("status %+v", s)
		}
		if n := log.count("not connected"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &log)
		}
		stop()
	})
}

func TestRunEndsInEveryState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, prepare := range map[string]func(*fakeHub){
			"connected":   func(*fakeHub) {},
			"refused":     func(h *fakeHub) { h.refuse(refused(farm.Revoked, 0)) },
			"unreachable": func(h *fakeHub) { h.network.Cut("agent") },
			"bulk refused": func(h *fakeHub) {
				h.verdict = func(lane tunnel.Lane) *tunnel.Refused {
					if lane == tunnel.Bulk {
						return refused(farm.Conflict, time.Second)
					}
					return nil
				}
			},
		} {
			h := newHub(t)
			prepare(h)
			_, stop := h.run(quiet(), Site{})
			time.Sleep(5 * time.Second)
			start := time.Now()
			stop()
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Errorf("%s: Run took %v to end", name, took)
			}
			h.stop()
		}
	})
}

func TestCutNetworkIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		l, stop := h.run(quiet(), Site{})
		h.next(tunnel.Control)
		h.next(tunnel.Bulk)
		time.Sleep(time.Minute)
		h.network.Cut("agent")
		time.Sleep(46 * time.Second)
		synctest.Wait()
		if s := l.Status(); s.Connected || s.BulkConnected {
			t.Errorf("46 s after the cut: %+v", s)
		}
		h.network.Heal("agent")
		start := time.Now()
		if k := h.next(tunnel.Control); k.at.Sub(start) > time.Minute {
			t.Errorf("back %v after the network", k.at.Sub(start))
		}
		stop()
		h.stop()
	})
}

func TestSleepIsCutShort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sleep(ctx, time.Hour) {
		t.Error("a sleep that was cut short says it was whole")
	}
}
