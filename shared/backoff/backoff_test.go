package backoff

import (
	"testing"
	"time"
)

func TestWaitsGrowWithinTheirBounds(t *testing.T) {
	limits := []time.Duration{2, 4, 8, 16, 32, 60, 60, 60}
	for round := range 200 {
		var b Backoff
		for i, limit := range limits {
			if got := b.Next(); got < time.Second || got > limit*time.Second {
				t.Fatalf("round %d, failure %d: waited %v, want 1s to %v", round, i+1, got, limit*time.Second)
			}
		}
	}
}

func TestWaitsAreSpreadOverTheWholeRange(t *testing.T) {
	var low, high int
	for range 400 {
		b := Backoff{Min: time.Second, Max: time.Minute}
		for range 10 {
			b.Next()
		}
		switch got := b.Next(); {
		case got < 20*time.Second:
			low++
		case got > 40*time.Second:
			high++
		}
	}
	if low < 60 || high < 60 { // a third of 400 is expected; 60 is nine deviations away
		t.Errorf("of 400 waits %d were below 20 s and %d above 40 s: not full jitter", low, high)
	}
}

func TestResetStartsAgain(t *testing.T) {
	b := Backoff{Min: time.Second, Max: time.Minute}
	for range 20 {
		b.Next()
	}
	b.Reset()
	if got := b.Next(); got > 2*time.Second {
		t.Errorf("first wait after Reset is %v, want at most 2s", got)
	}
}

func TestOnlyAStableRunForgetsFailures(t *testing.T) {
	grown := func() *Backoff { return &Backoff{Min: time.Second, Max: time.Hour, failures: 11} } // limit 4096 s
	var longest time.Duration
	for range 50 {
		longest = max(longest, grown().NextAfter(Stable-time.Second))
		if got := grown().NextAfter(Stable); got > 2*time.Second {
			t.Fatalf("after a stable run the wait is %v, want at most 2s", got)
		}
	}
	if longest <= 2*time.Second {
		t.Error("a run of less than Stable forgot the failures")
	}
}

func TestOddBounds(t *testing.T) {
	for _, b := range []Backoff{
		{Min: time.Minute, Max: time.Second},
		{Min: time.Minute, Max: time.Minute},
		{Min: 1 << 61, Max: 1 << 62},
	} {
		for range 100 {
			if got, low := b.Next(), b.Min; got < low || got > max(low, b.Max) {
				t.Fatalf("%+v waited %v", b, got)
			}
		}
	}
}

func TestSpreadAndWithin(t *testing.T) {
	for range 100 {
		if got := Spread(time.Minute); got < time.Minute || got > 66*time.Second {
			t.Fatalf("Spread(1m) = %v", got)
		}
		if got := Within(10 * time.Second); got < 0 || got > 10*time.Second {
			t.Fatalf("Within(10s) = %v", got)
		}
	}
	if Spread(0) != 0 || Within(0) != 0 {
		t.Error("nothing asked is nothing waited")
	}
}
