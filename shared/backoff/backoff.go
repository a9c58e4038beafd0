// Package backoff decides how long to wait before the next try of something that
// failed: a random time below a limit that doubles with each failure (full
// jitter), so that many who lost the same peer do not return all at once.
package backoff

import (
	"math/rand/v2"
	"time"
)

// The limits of a zero Backoff, and how long a connection has to last before its
// loss counts as a first failure again.
const (
	DefaultMin = time.Second
	DefaultMax = time.Minute
	Stable     = time.Minute
)

// Backoff counts failures and says how long to wait. The zero value waits 1 s to
// 60 s. It belongs to one goroutine: the loop that retries.
type Backoff struct {
	Min, Max time.Duration // bounds of every wait; 0: DefaultMin, DefaultMax
	failures int
}

// Next counts a failure and tells how long to wait before the next try: evenly
// random between Min and a limit of twice Min, four times Min, … Max.
func (b *Backoff) Next() time.Duration {
	low, high := b.bounds()
	limit := high
	if b.failures < 32 && low<<(b.failures+1)>>(b.failures+1) == low {
		limit = min(high, low<<(b.failures+1))
	}
	if limit < high {
		b.failures++
	}
	return between(low, limit)
}

// NextAfter is Next for something that had worked for a while before it failed:
// when it lasted Stable or longer, the failures before it are forgotten.
func (b *Backoff) NextAfter(lasted time.Duration) time.Duration {
	if lasted >= Stable {
		b.Reset()
	}
	return b.Next()
}

// Reset forgets the failures so far.
func (b *Backoff) Reset() { b.failures = 0 }

func (b *Backoff) bounds() (low, high time.Duration) {
	low, high = b.Min, b.Max
	if low <= 0 {
		low = DefaultMin
	}
	if high <= 0 {
		high = DefaultMax
	}
	return low, max(low, high)
}

// Spread lengthens a wait that someone else asked for (a Retry-After) by up to a
// tenth, so that all who were told the same do not come back in the same moment.
func Spread(wait time.Duration) time.Duration { return between(wait, wait+wait/10) }

// Within is a random wait from zero to limit.
func Within(limit time.Duration) time.Duration { return between(0, limit) }

// between is evenly random in [low, high].
func between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + rand.N(high-low+1)
}
