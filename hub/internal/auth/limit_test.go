package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
)

// admitted asks a limiter for one request.
func admitted(l *limiter, subject string, limit int) (bool, http.Header) {
	w := httptest.NewRecorder()
	ok := l.admit(w, httptest.NewRequest(http.MethodGet, "/", nil), subject, limit)
	return ok, w.Header()
}

func number(t *testing.T, h http.Header, name string) int {
	t.Helper()
	n, err := strconv.Atoi(h.Get(name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestRequestsAreCountedByClockMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(time.Minute, false)
		<-time.After(59 * time.Second)
		for i := range 3 {
			ok, h := admitted(l, "a", 3)
			reset := time.Unix(int64(number(t, h, "X-RateLimit-Reset")), 0)
			if !ok || number(t, h, "X-RateLimit-Remaining") != 2-i || number(t, h, "X-RateLimit-Limit") != 3 || time.Until(reset) != time.Second || h.Get("Retry-After") != "" {
				t.Fatalf("%d: %v %v", i, ok, h)
			}
		}
		for range 5 {
			ok, h := admitted(l, "a", 3)
			if ok || number(t, h, "X-RateLimit-Remaining") != 0 || number(t, h, "Retry-After") != 1 {
				t.Fatalf("beyond: %v %v", ok, h)
			}
		}
		if ok, _ := admitted(l, "b", 3); !ok {
			t.Error("another subject is refused")
		}
		<-time.After(time.Second)
		if ok, h := admitted(l, "a", 3); !ok || number(t, h, "X-RateLimit-Remaining") != 2 {
			t.Errorf("in the next minute, of which nothing is used: %v %v", ok, h)
		}
	})
}

func TestMemoryOfLimitsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(time.Minute, false)
		_, _ = admitted(l, "k:5:", 100)
		for i := range maxSubjects + 100 {
			admitted(l, addrSubject(fmt.Sprintf("[2001:db8:%x:%x::1]:80", i>>16, i&0xffff)), 1_000_000)
		}
		if n := len(l.counts.used); n > maxSubjects+1 {
			t.Errorf("%d counts kept", n)
		}
		if _, h := admitted(l, "k:5:", 100); number(t, h, "X-RateLimit-Remaining") != 98 {
			t.Errorf("a flood of addresses lost the count of a key: %v", h)
		}
		<-time.After(time.Minute)
		admitted(l, "k:5:", 100)
		if n := len(l.counts.used); n != 1 {
			t.Errorf("%d counts after the minute", n)
		}
	})
}

func TestAddressesThatAreOneCaller(t *testing.T) {
	same := func(a, b string) bool { return addrSubject(a) == addrSubject(b) }
	if !same("10.0.0.1:5", "10.0.0.1:6") || !same("10.0.0.1:5", "[::ffff:10.0.0.1]:9") || !same("[2001:db8::1]:5", "[2001:db8::ffff]:5") {
		t.Error("one caller counts as two")
	}
	if same("10.0.0.1:5", "10.0.0.2:5") || same("[2001:db8::1]:5", "[2001:db8:0:1::1]:5") {
		t.Error("two callers count as one")
	}
}

func TestLimitsOfTheirOwn(t *testing.T) {
	a := New(Options{Config: func() Config { return Config{Limits: farm.Limits{Write: 5}, SessionLimit: 70} }})
	limit := func(p Principal, c Class) int {
		w := httptest.NewRecorder()
		a.Admit(w, httptest.NewRequest(http.MethodGet, "/", nil), p, c)
		return number(t, w.Header(), "X-RateLimit-Limit")
	}
	key := Principal{key: farm.APIKey{ID: 1, Limits: farm.Limits{Control: 2}}, defaults: orDefault(a.config().Limits, DefaultLimits)}
	someone := person(farm.User{ID: 1}, a.config())
	for c, want := range map[Class][2]int{ReadClass: {100, 70}, WriteClass: {5, 70}, ControlClass: {2, 70}} {
		if got := [2]int{limit(key, c), limit(someone, c)}; got != want {
			t.Errorf("%s: %d, want %d", c, got, want)
		}
	}
	w := httptest.NewRecorder()
	a.AdmitAddr(w, httptest.NewRequest(http.MethodGet, "/", nil), ControlClass)
	if n := number(t, w.Header(), "X-RateLimit-Limit"); n != 10 {
		t.Errorf("of an address: %d", n)
	}
}

func TestTriesAreCountedBeforeTheyFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTries(15 * time.Minute)
		for range 3 {
			if err := tr.take(3, "anna", "10.0.0.1"); err != nil {
				t.Fatal(err)
			}
		}
		var throttled *ThrottledError
		if err := tr.take(3, "anna", "10.0.0.2"); !errors.As(err, &throttled) || !farm.Is(err, farm.RateLimited) || throttled.Wait <= 0 || throttled.Wait > 18*time.Minute {
			t.Errorf("a fourth try from elsewhere: %v", err)
		}
		if err := tr.take(3, "bert", "10.0.0.1"); !farm.Is(err, farm.RateLimited) {
			t.Errorf("a fourth try from there: %v", err)
		}
		if err := tr.take(3, "bert", "10.0.0.2"); err != nil {
			t.Errorf("what was refused counted: %v", err)
		}
		tr.give("anna", "10.0.0.1")
		if err := tr.take(3, "anna", "10.0.0.1"); err != nil {
			t.Errorf("after one was given back: %v", err)
		}
		<-time.After(16 * time.Minute)
		if err := tr.take(3, "anna"); !farm.Is(err, farm.RateLimited) {
			t.Errorf("just after the turn of the window nothing is forgotten: %v", err)
		}
		<-time.After(14 * time.Minute)
		if err := tr.take(3, "anna"); err != nil {
			t.Errorf("half an hour later: %v", err)
		}
	})
}

// What failed long ago is forgotten, however quiet it was in between.
func TestTriesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTries(15 * time.Minute)
		for range 3 {
			if err := tr.take(3, "anna"); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(26 * time.Hour)
		if err := tr.take(3, "anna"); err != nil {
			t.Errorf("a day later: %v", err)
		}
	})
}

// Who waits as long as he was told is let in, and not much earlier.
func TestHowLongToWait(t *testing.T) {
	for _, at := range []time.Duration{0, time.Minute, 7 * time.Minute, 14*time.Minute + 59*time.Second} {
		for _, spread := range []time.Duration{0, time.Minute, 5 * time.Minute} {
			t.Run(fmt.Sprint(at, " ", spread), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tr := newTries(15 * time.Minute)
					<-time.After(at)
					for range 10 {
						if err := tr.take(10, "anna"); err != nil {
							return // they were so far apart that they are none too many
						}
						<-time.After(spread / 10)
					}
					var throttled *ThrottledError
					if err := tr.take(10, "anna"); !errors.As(err, &throttled) {
						return
					}
					<-time.After(throttled.Wait - 2*time.Second)
					if err := tr.take(10, "anna"); throttled.Wait > 2*time.Second && err == nil {
						t.Errorf("let in 2 s before %s are over", throttled.Wait)
					}
					<-time.After(2 * time.Second)
					if err := tr.take(10, "anna"); err != nil {
						t.Errorf("after %s: %v", throttled.Wait, err)
					}
				})
			})
		}
	}
}

// A request that looked at the clock before a new minute takes nothing from it.
func TestALateCountLosesNothing(t *testing.T) {
	c := &counts{window: time.Minute, used: map[string]int{}}
	old, now := time.Unix(0, 0), time.Unix(60, 0)
	_ = c.Increment("a", now)
	_ = c.Increment("b", old)
	if n, _, _ := c.Get("a", now, old); n != 1 {
		t.Errorf("%d counted", n)
	}
}
