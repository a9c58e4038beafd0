package links

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

func refusal(t *testing.T, err error) *tunnel.Refused {
	t.Helper()
	var no *tunnel.Refused
	if !errors.As(err, &no) {
		t.Errorf("%v, want a refusal", err)
		return &tunnel.Refused{}
	}
	return no
}

func TestWhoIsNotLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			change func(*rig, *testAgent)
			code   farm.Code
			wait   time.Duration
		}{
			"unknown": {func(_ *rig, a *testAgent) { a.who.AgentID = "nobody" }, farm.Unauthorized, time.Minute},
			"wrong key": {func(_ *rig, a *testAgent) {
				_, a.who.Key, _ = ed25519.GenerateKey(nil)
			}, farm.Unauthorized, time.Minute},
			"revoked": {func(r *rig, _ *testAgent) {
				a := r.store.agents[1]
				a.Revoked = true
				r.store.agents[1] = a
			}, farm.Revoked, 10 * time.Minute},
			"too old":  {func(r *rig, _ *testAgent) { r.links.o.MinProtocol = tunnel.Protocol + 1 }, farm.TooOld, 10 * time.Minute},
			"database": {func(r *rig, _ *testAgent) { r.store.failing = errors.New("gone") }, farm.Unavailable, 0},
		} {
			r := newRig(t)
			a := r.enrolled(1)
			synctest.Wait()
			r.store.change(func() { tc.change(r, a) })
			_, err := a.connect(tunnel.Control, "")
			if no := refusal(t, err); no.Code != tc.code || tc.wait != 0 && no.RetryAfter != tc.wait || no.RetryAfter == 0 || strings.Contains(no.Detail, "gone") {
				t.Errorf("%s: %v, retry after %v", name, no, no.RetryAfter)
			}
			if r.live.isUp(1) || r.log.count("agent refused") != 1 {
				t.Errorf("%s: up %v, log:\n%s", name, r.live.isUp(1), r.log)
			}
			r.close()
		}
	})
}

func TestSameProcessReplacesItsSessionAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		first := a.up()
		bulk, err := a.connect(tunnel.Bulk, first.session)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		second := a.up()
		if took := time.Since(start); took > 100*time.Millisecond || second.session == first.session {
			t.Errorf("the second session came after %v", took)
		}
		for _, l := range []*lane{first, bulk} {
			if closed := l.closed(t); closed.Status != tunnel.StatusReplaced {
				t.Errorf("a replaced lane was told %v", closed)
			}
		}
		synctest.Wait()
		if got := r.live.story(); !reflect.DeepEqual(got, []string{"up boot-1", "down", "up boot-1"}) {
			t.Errorf("the live picture was told %v", got)
		}
		if _, err := a.connect(tunnel.Bulk, first.session); refusal(t, err).Code != farm.Conflict {
			t.Errorf("bulk of the old session: %v", err)
		}
		if r.store.eventCount() != 0 {
			t.Error("a reconnect is no duplicate")
		}
	})
}

func TestSecondLivingProcessIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		first := a.up()
		synctest.Wait()
		b := a.twin("boot-other", "elsewhere")
		for i := range 90 { // an hour and a half
			_, err := b.connect(tunnel.Control, "")
			if no := refusal(t, err); no.Code != farm.DuplicateIdentity || no.RetryAfter != time.Minute {
				t.Fatalf("try %d: %v after %v", i, no, no.RetryAfter)
			}
			if s, _ := r.links.Status(1); !s.Duplicate || !s.Connected || s.Session != first.session {
				t.Fatalf("try %d: status %+v", i, s)
			}
			time.Sleep(time.Minute)
		}
		if n := r.store.eventCount(); n != 2 {
			t.Errorf("%d events in an hour and a half, want 2", n)
		}
		if e := r.store.events[0]; e.Kind != farm.EventAgentDuplicate || e.AgentID != 1 || e.SiteID != 1 || !strings.Contains(string(e.Data), `"agent_name":"agent 1"`) {
			t.Errorf("event %+v %s", e, e.Data)
		}
		time.Sleep(duplicateLasts)
		if s, _ := r.links.Status(1); s.Duplicate {
			t.Error("the second process is gone, the status still speaks of it")
		}
	})
}

func TestDeadProcessIsReplacedAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		a.up()
		synctest.Wait()
		r.network.Cut("uid-1") // the machine is gone without a word
		b := a.twin("boot-2", "new machine")
		start := time.Now()
		second, err := b.connect(tunnel.Control, "")
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < alivePatience || took > alivePatience+3*time.Second {
			t.Errorf("let in after %v", took)
		}
		synctest.Wait()
		if s, _ := r.links.Status(1); !s.Connected || s.Session != second.session || s.Duplicate {
			t.Errorf("status %+v", s)
		}
		if got := r.live.story(); !reflect.DeepEqual(got, []string{"up boot-1", "down", "up boot-2"}) {
			t.Errorf("the live picture was told %v", got)
		}
		r.network.Heal("uid-1")
	})
}

func TestFrozenProcessIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		first := a.up()
		synctest.Wait()
		a.set(func() { a.mute = make(chan struct{}) }) // its connection lives, it answers nothing
		b := a.twin("boot-2", "new machine")
		if _, err := b.connect(tunnel.Control, ""); err != nil {
			t.Fatal(err)
		}
		if closed := first.closed(t); closed.Status != tunnel.StatusReplaced {
			t.Errorf("the frozen process was told %v", closed)
		}
	})
}

func TestRevokingClosesTheSocketsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, how := range []string{"revoked", "removed"} {
			r := newRig(t)
			a, other := r.enrolled(1), r.enrolled(2)
			control, others := a.up(), other.up()
			bulk, err := a.connect(tunnel.Bulk, control.session)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			r.store.change(func() {
				row := r.store.agents[1]
				row.Revoked = true
				r.store.agents[1] = row
				if how == "removed" {
					delete(r.store.agents, 1)
				}
			})
			start := time.Now()
			r.events.happen(farm.EventAgentRevoked)
			for _, l := range []*lane{control, bulk} {
				if closed := l.closed(t); closed.Status != tunnel.StatusForbidden {
					t.Errorf("%s: ended with %v", how, closed)
				}
			}
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Errorf("%s: it took %v", how, took)
			}
			synctest.Wait()
			if r.live.isUp(1) || !r.live.isUp(2) || len(others.ended) != 0 {
				t.Errorf("%s: up %v, other up %v", how, r.live.isUp(1), r.live.isUp(2))
			}
			want := map[string]farm.Code{"revoked": farm.Revoked, "removed": farm.Unauthorized}[how]
			if _, err := a.connect(tunnel.Control, ""); refusal(t, err).Code != want {
				t.Errorf("%s: back with %v", how, err)
			}
			r.close()
		}
	})
}

func TestLostBulkLaneLeavesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		a := r.enrolled(1)
		control := a.up()
		for range 3 {
			bulk, err := a.connect(tunnel.Bulk, control.session)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if s, _ := r.links.Status(1); !s.BulkConnected {
				t.Error("bulk is not up")
			}
			bulk.stop()
			if err := <-bulk.ended; !errors.Is(err, context.Canceled) {
				t.Errorf("bulk ended with %v", err)
			}
			synctest.Wait()
			if s, _ := r.links.Status(1); s.BulkConnected || !s.Connected || s.Session != control.session {
				t.Errorf("status %+v", s)
			}
			if _, err := r.links.bulk(1, wire.CapRefresh); !farm.Is(err, farm.Unavailable) {
				t.Errorf("a transfer meanwhile: %v", err)
			}
		}
		first, err := a.connect(tunnel.Bulk, control.session)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.connect(tunnel.Bulk, control.session); err != nil {
			t.Fatal(err)
		}
		if closed := first.closed(t); closed.Status != tunnel.StatusReplaced { // by the newer bulk lane
			t.Errorf("the older bulk lane was told %v", closed)
		}
		synctest.Wait()
		if s, _ := r.links.Status(1); !s.BulkConnected {
			t.Error("the newer bulk lane is not in use")
		}
		if _, err := a.connect(tunnel.Bulk, "made up"); refusal(t, err).Code != farm.Conflict {
			t.Errorf("bulk of no session: %v", err)
		}
	})
}

func TestDrainTellsEverybodyAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var all []*lane
		for id := range int64(20) {
			a := r.enrolled(id + 1)
			control := a.up()
			bulk, err := a.connect(tunnel.Bulk, control.session)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, control, bulk)
		}
		silent := r.enrolled(99)
		silent.up()
		synctest.Wait()
		r.network.Cut("uid-99")
		start := time.Now()
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		r.links.Drain(ctx)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, l := range all {
			if closed := l.closed(t); closed.Status != tunnel.StatusRestart {
				t.Errorf("an agent was told %v", closed)
			}
		}
		_, err := r.enrolled(1).connect(tunnel.Control, "")
		if no := refusal(t, err); no.Code != farm.Unavailable || no.RetryAfter < time.Second || no.RetryAfter > 10*time.Second {
			t.Errorf("a knock meanwhile: %v, %v", no, no.RetryAfter)
		}
		r.close()
		r.network.Heal("uid-99")
	})
}

func TestAgentThatDoesNotIntroduceItselfIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, h := range map[string]http.HandlerFunc{
			"nothing": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			"error":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
			"another": func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"agent_id":"uid-2","boot_id":"boot-1"}`)
			},
			"too much": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2*wire.MaxMessage)) },
		} {
			r := newRig(t)
			a := r.enrolled(1)
			s, err := tunnel.Dial(t.Context(), a.hub(), a.who, tunnel.Control, "")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if err := s.Serve(t.Context(), h, r.links.log); err == nil || time.Since(start) > helloPatience+time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
			synctest.Wait()
			if got := r.live.story(); len(got) != 0 || r.log.count("does not introduce itself") != 1 {
				t.Errorf("%s: told %v, log:\n%s", name, got, r.log)
			}
			r.close()
		}
	})
}

const upgradeRequest = "GET /agent/v1/connect?lane=control HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"

// A crowd of strangers fills the door and no more; whoever is inside stays, the log
// stays short, and afterwards nothing is left.
func TestStrangersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.MaxKnocks, o.MaxKnocksPerAddress = 8, 3 })
		defer r.close()
		a := r.enrolled(1)
		a.up()
		synctest.Wait()
		before := runtime.NumGoroutine()
		var strangers []net.Conn
		knock := func(host string) string {
			c, err := r.network.Dialer(host)(t.Context(), "tcp", "hub:80")
			if err != nil {
				t.Fatal(err)
			}
			strangers = append(strangers, c)
			_, _ = io.WriteString(c, upgradeRequest)
			answer := make([]byte, 12)
			_, _ = io.ReadFull(c, answer)
			return string(answer)
		}
		let := 0
		for i := range 40 {
			answer := knock(fmt.Sprintf("stranger-%d", i/10))
			switch {
			case strings.Contains(answer, "101"):
				let++
			case !strings.Contains(answer, "503"):
				t.Errorf("stranger %d got %q", i, answer)
			}
		}
		if let != 8 {
			t.Errorf("%d strangers were let in, want 8 (3, 3 and 2)", let)
		}
		if _, err := r.links.Command(t.Context(), 1, "S1", wire.Command{}); err != nil {
			t.Errorf("a command meanwhile: %v", err)
		}
		if _, err := r.enrolled(2).connect(tunnel.Control, ""); refusal(t, err).Code != farm.Unavailable {
			t.Errorf("an agent meanwhile: %v", err)
		}
		time.Sleep(15 * time.Second) // the strangers' time is over
		for _, c := range strangers {
			_ = c.Close()
		}
		synctest.Wait()
		if after := runtime.NumGoroutine(); after > before+3 { // pings come and go
			t.Errorf("%d goroutines before, %d afterwards", before, after)
		}
		if n := r.log.count("level=WARN"); n > 4 {
			t.Errorf("%d lines for 40 strangers:\n%s", n, r.log)
		}
		if _, err := r.enrolled(3).connect(tunnel.Control, ""); err != nil {
			t.Errorf("an agent afterwards: %v", err)
		}
	})
}

func TestUnknownPathsAreAnsweredInForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		for path, want := range map[string]int{"/agent/v1/": 404, "/agent/v1/else": 404, "/agent/v1/connect": 400, "/agent/v1/enrol": 405} {
			w := ask(r.links, "GET", path, "")
			if w.Code != want || !strings.Contains(w.Body.String(), `"code"`) || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}
