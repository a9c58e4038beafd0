package tunnel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func TestHubCallsAgentThroughTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		ctx, cancel := context.WithCancel(t.Context())
		dialCtx, dialled := context.WithCancel(ctx)
		s, err := Dial(dialCtx, r.hub, r.who, Bulk, "session-7")
		if err != nil {
			t.Fatal(err)
		}
		dialled() // bounds the dial, not the lane
		if s.Session != "session-7" || s.Lane != Bulk {
			t.Errorf("lane %q of session %q", s.Lane, s.Session)
		}
		done := make(chan error, 1)
		go func() {
			done <- s.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				_, _ = io.WriteString(w, `{"method":"`+r.Method+`","path":"`+r.URL.RequestURI()+`","body":`+string(body)+`}`)
			}), slog.New(slog.DiscardHandler))
		}()
		c := <-r.clients
		var got struct {
			Method, Path string
			Body         []int
		}
		if err := c.Call(ctx, "PUT", "/v1/x?y=1", []int{1, 2}, &got); err != nil {
			t.Fatal(err)
		}
		if got.Method != "PUT" || got.Path != "/v1/x?y=1" || len(got.Body) != 2 {
			t.Errorf("the agent saw %+v", got)
		}
		for who, tr := range map[string]Traffic{"hub": c.Traffic(), "agent": s.Traffic()} {
			if tr.Sent < 100 || tr.Received < 100 {
				t.Errorf("the %s counts %+v", who, tr)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve returned %v", err)
		}
		<-c.Done()
		if c.Err() == nil {
			t.Error("the hub has no reason for the end of the lane")
		}
	})
}

func TestStalledStreamsNeverStarveACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		ctx, cancel := context.WithCancel(t.Context())
		c, done := r.dial(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/endless" {
				ok(w, r)
				return
			}
			chunk := make([]byte, 32<<10)
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}))
		open := func() (io.Closer, error) {
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://x/endless", nil)
			resp, err := c.RoundTrip(req)
			if err != nil {
				return nil, err
			}
			return resp.Body, nil
		}
		var bodies []io.Closer
		for range MaxStreams {
			body, err := open()
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, body)
		}
		synctest.Wait() // every window is full now, and nobody reads
		for range 50 {
			var got struct{ OK bool }
			callCtx, stop := context.WithTimeout(ctx, time.Second)
			if err := c.Call(callCtx, "POST", "/command", nil, &got); err != nil || !got.OK {
				t.Fatalf("beside %d stalled streams a call gave %v", MaxStreams, err)
			}
			stop()
		}
		if _, err := open(); !farm.Is(err, farm.Unavailable) {
			t.Errorf("stream %d gave %v, want UNAVAILABLE", MaxStreams+1, err)
		}
		_ = bodies[0].Close()
		body, err := open()
		if err != nil {
			t.Fatalf("after one was closed: %v", err)
		}
		bodies[0] = body
		for _, b := range bodies {
			_ = b.Close()
			_ = b.Close() // twice gives one place back, not two
		}
		if n := len(c.streams); n != 0 {
			t.Errorf("%d stream places are still taken", n)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func TestCutNetworkEndsBothEndsByPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		c, done := r.dial(t.Context(), http.HandlerFunc(ok))
		time.Sleep(10 * time.Minute)
		if c.Err() != nil {
			t.Fatalf("an idle lane ended: %v", c.Err())
		}
		r.network.Cut("agent")
		start := time.Now()
		<-c.Done()
		hubSaw := time.Since(start)
		if err := <-done; err == nil {
			t.Error("Serve gave no reason")
		}
		agentSaw := time.Since(start)
		for who, after := range map[string]time.Duration{"hub": hubSaw, "agent": agentSaw} {
			if after < pingPatience || after > pingAfter+pingPatience+time.Second {
				t.Errorf("the %s noticed after %v", who, after)
			}
		}
		r.network.Heal("agent")
	})
}

func TestLostLaneTellsWhatItMeans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, method := range []string{"POST", "PUT", "DELETE", "GET"} {
			r := newRig(t)
			arrived := make(chan struct{})
			var calls atomic.Int32
			c, done := r.dial(t.Context(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				if r.Header.Get("Idempotency-Key") != "" {
					t.Error("the request carries a leave to send it again")
				}
				close(arrived)
				<-r.Context().Done()
			}))
			result := make(chan error, 1)
			go func() {
				if method == "POST" { // by way of RoundTrip, with the header that makes net/http repeat
					req, _ := http.NewRequestWithContext(t.Context(), method, "http://x/act", strings.NewReader("{}"))
					req.Header.Set("Idempotency-Key", "1")
					resp, err := c.RoundTrip(req)
					if err == nil {
						_ = resp.Body.Close()
					}
					result <- err
					return
				}
				result <- c.Call(t.Context(), method, "/act", nil, nil)
			}()
			<-arrived
			r.network.Reset("agent")
			want := farm.OutcomeUnknown
			if method == "GET" {
				want = farm.AgentOffline
			}
			if err := <-result; !farm.Is(err, want) {
				t.Errorf("%s, lost after sending: %v, want %s", method, err, want)
			}
			if err := <-done; err == nil {
				t.Error("Serve gave no reason")
			}
			if err := c.Call(t.Context(), method, "/act", nil, nil); !farm.Is(err, farm.AgentOffline) {
				t.Errorf("%s on a dead lane: %v, want AGENT_OFFLINE", method, err)
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("%s reached the agent %d times", method, n)
			}
			r.close()
		}
	})
}

func TestImpatientCallerOfAnActGetsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		ctx, cancel := context.WithCancel(t.Context())
		c, done := r.dial(ctx, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		short, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		err := c.Call(short, "POST", "/act", nil, nil)
		if !farm.Is(err, farm.OutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("act: %v", err)
		}
		short2, stop2 := context.WithTimeout(ctx, time.Second)
		defer stop2()
		if err := c.Call(short2, "GET", "/ask", nil, nil); !errors.Is(err, context.DeadlineExceeded) || farm.Is(err, farm.OutcomeUnknown) {
			t.Errorf("ask: %v", err)
		}
		start := time.Now()
		if err := c.Call(ctx, "GET", "/ask", nil, nil); err == nil || time.Since(start) != callPatience {
			t.Errorf("a call without an end of its own gave %v after %v", err, time.Since(start))
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func TestAnswersOfTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		ctx, cancel := context.WithCancel(t.Context())
		c, done := r.dial(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/conflict":
				Answer(w, farm.Errorf(farm.Conflict, "an older config"), 0)
			case "/bare":
				http.Error(w, "oops", http.StatusTeapot)
			case "/big":
				_, _ = w.Write(make([]byte, wire.MaxMessage+1))
			case "/garbage":
				_, _ = io.WriteString(w, "<html>")
			case "/panic":
				_ = []int{}[len(r.URL.Path)] // out of range
			}
		}))
		for _, tc := range []struct {
			method, path string
			want         farm.Code
		}{
			{"PUT", "/conflict", farm.Conflict},
			{"GET", "/bare", farm.Internal},
			{"GET", "/big", farm.Internal},
			{"POST", "/big", farm.OutcomeUnknown},
			{"GET", "/garbage", farm.Internal},
			{"POST", "/garbage", farm.OutcomeUnknown},
			{"GET", "/panic", farm.AgentOffline},
		} {
			var out map[string]any
			if err := c.Call(ctx, tc.method, tc.path, nil, &out); !farm.Is(err, tc.want) {
				t.Errorf("%s %s: %v, want %s", tc.method, tc.path, err, tc.want)
			}
		}
		if err := c.Call(ctx, "GET", "/fine", nil, nil); err != nil {
			t.Errorf("after all that the lane gives %v", err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func TestRestartIsToldToTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		c, done := r.dial(t.Context(), http.HandlerFunc(ok))
		start := time.Now()
		c.Close(StatusRestart, "restarting")
		var closed *Closed
		if err := <-done; !errors.As(err, &closed) || closed.Status != StatusRestart || closed.Reason != "restarting" {
			t.Errorf("the agent saw %v", err)
		}
		<-c.Done()
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("a close among friends took %v", took)
		}
	})
}

func TestCloseDoesNotWaitForASilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		c, done := r.dial(t.Context(), http.HandlerFunc(ok))
		r.network.Cut("agent")
		start := time.Now()
		c.Close(StatusRestart, "restarting")
		if took := time.Since(start); took > closePatience {
			t.Errorf("close took %v", took)
		}
		if err := <-done; err == nil {
			t.Error("Serve gave no reason")
		}
		r.network.Heal("agent")
	})
}

func TestServeWaitsForItsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		started := make(chan struct{})
		var ended atomic.Bool
		c, done := r.dial(t.Context(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(started)
			<-r.Context().Done()
			time.Sleep(3 * time.Second)
			ended.Store(true)
		}))
		go func() { _ = c.Call(t.Context(), "GET", "/slow", nil, nil) }()
		<-started
		r.network.Reset("agent")
		if err := <-done; err == nil {
			t.Error("Serve gave no reason")
		}
		if !ended.Load() {
			t.Error("Serve returned while a handler was running")
		}
	})
}

func TestHubThatNeverSpeaksIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		_ = r.server.Close()
		r.served.Wait()
		r.serve(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			k, err := Accept(w, req, testHubID)
			if err != nil {
				t.Error(err)
				return
			}
			_ = send(req.Context(), k.ws, verdict{Session: "s"})
			defer func() { _ = k.socket.Close() }()
			time.Sleep(time.Hour) // and never a byte of HTTP/2
		}))
		defer r.close()
		s, err := Dial(t.Context(), r.hub, r.who, Control, "")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := s.Serve(t.Context(), http.HandlerFunc(ok), slog.New(slog.DiscardHandler)); err == nil {
			t.Error("Serve ended without a reason")
		}
		if took := time.Since(start); took > pingPatience+time.Second {
			t.Errorf("the agent waited %v for the first byte", took)
		}
		time.Sleep(time.Hour)
	})
}
