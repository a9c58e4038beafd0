package auth

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/go-chi/httprate"

	"bambuddy/shared/farm"
)

// Class is the kind of route a limit is for.
type Class string

// The classes of the contract.
const (
	ReadClass    Class = "read"    // GET and HEAD
	WriteClass   Class = "write"   // every other write
	ControlClass Class = "control" // what makes an agent or a printer act
)

// DefaultLimits are the contract's requests a minute.
var DefaultLimits = farm.Limits{Read: 100, Write: 30, Control: 10}

func orDefault(l, def farm.Limits) farm.Limits {
	if l.Read <= 0 {
		l.Read = def.Read
	}
	if l.Write <= 0 {
		l.Write = def.Write
	}
	if l.Control <= 0 {
		l.Control = def.Control
	}
	return l
}

func limitOf(l farm.Limits, c Class) int {
	switch c {
	case ControlClass:
		return l.Control
	case WriteClass:
		return l.Write
	}
	return l.Read
}

// Admit counts one request of a caller in a class, sets the rate limit headers, and
// tells whether it may go on. What is refused does not count.
func (a *Auth) Admit(w http.ResponseWriter, r *http.Request, p Principal, c Class) bool {
	return a.requests.admit(w, r, p.subject()+string(c), limitOf(orDefault(p.key.Limits, p.defaults), c))
}

// AdmitAddr is Admit for a caller nobody knows, who is counted by address.
func (a *Auth) AdmitAddr(w http.ResponseWriter, r *http.Request, c Class) bool {
	return a.requests.admit(w, r, addrSubject(r.RemoteAddr)+string(c), limitOf(orDefault(a.config().Limits, DefaultLimits), c))
}

// addrSubject is whom the requests of an address are counted for. IPv6 callers own
// at least a /64, so that is what counts as one.
func addrSubject(remoteAddr string) string {
	ap, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return "a:" // not an IP connection: all of those together
	}
	addr := ap.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return "a:"
	}
	return "a:" + p.String() + ":"
}

// limiter is httprate over counts of ours.
type limiter struct {
	window time.Duration
	counts *counts
	rate   *httprate.RateLimiter
}

func newLimiter(window time.Duration, sliding bool) *limiter {
	c := &counts{window: window, sliding: sliding, used: map[string]int{}}
	return &limiter{window, c, httprate.NewRateLimiter(1, window, httprate.WithLimitCounter(c))}
}

// admit sets the headers and counts one request unless that many were counted already.
func (l *limiter) admit(w http.ResponseWriter, r *http.Request, subject string, limit int) bool {
	if !l.rate.OnLimit(w, r.WithContext(httprate.WithRequestLimit(r.Context(), limit)), subject) {
		return true
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(l.untilReset()/time.Second))) // httprate says a whole window
	return false
}

// untilReset is how long until the count starts again, in whole seconds, at least one.
func (l *limiter) untilReset() time.Duration {
	now := time.Now().UTC()
	left := l.window - now.Sub(now.Truncate(l.window))
	return (left + time.Second - 1).Truncate(time.Second)
}

// A ThrottledError refuses a try to sign in because too many have failed.
type ThrottledError struct{ Wait time.Duration }

// Error says how long to wait.
func (e *ThrottledError) Error() string { return e.Unwrap().Error() }

// Unwrap gives it its code.
func (e *ThrottledError) Unwrap() error {
	return farm.Errorf(farm.RateLimited, "too many failed sign-ins; try again in %d minutes", int(math.Ceil(e.Wait.Minutes())))
}

// tries counts failed sign-ins. A try is counted before it is known to fail, so that
// many at once are no way round, and given back when it has not.
type tries struct {
	mu sync.Mutex
	*limiter
}

func newTries(window time.Duration) *tries { return &tries{limiter: newLimiter(window, true)} }

// take counts one try for each subject, or none when one of them has had enough.
func (t *tries) take(limit int, subjects ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range subjects {
		if _, rate, err := t.rate.Status(s); err != nil || int(math.Round(rate)) >= limit {
			return &ThrottledError{t.untilBelow(s, limit)}
		}
	}
	t.add(1, subjects)
	return nil
}

// untilBelow is how long until so many have slid out of the window that a try is
// possible again, in whole seconds.
func (t *tries) untilBelow(subject string, limit int) time.Duration {
	now := time.Now().UTC()
	window := now.Truncate(t.window)
	used, before, _ := t.counts.Get(subject, window, window.Add(-t.window)) // it never fails
	// When so much of a window is over, of n that were counted in the one before no
	// more than may are left.
	over := func(n int, may float64) time.Duration {
		return max(0, time.Duration((1-may/float64(n))*float64(t.window)))
	}
	may, wait := float64(limit)-0.5, -now.Sub(window)
	if float64(used) < may {
		wait += over(before, may-float64(used))
	} else {
		wait += t.window + over(used, may)
	}
	return max(time.Second, wait.Truncate(time.Second)+time.Second)
}

// give takes the tries back.
func (t *tries) give(subjects ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(-1, subjects)
}

func (t *tries) add(n int, subjects []string) {
	for _, s := range subjects {
		_ = t.counts.IncrementBy(s, time.Now().UTC().Truncate(t.window), n) // it never fails
	}
}

// maxSubjects bounds the memory of a window; beyond it callers that are not counted
// yet share one count.
const maxSubjects = 50_000

// counts keeps what httprate counts. Its own counter slides two windows into each
// other, so that counts match no clock minute, which the contract promises: here the
// window before is remembered only where that is wanted.
type counts struct {
	window  time.Duration
	sliding bool

	mu      sync.Mutex
	current time.Time
	used    map[string]int
	before  map[string]int
}

// Config is part of httprate's interface; nothing depends on it here.
func (*counts) Config(int, time.Duration) {}

// Increment counts one.
func (c *counts) Increment(key string, window time.Time) error { return c.IncrementBy(key, window, 1) }

// IncrementBy counts n.
func (c *counts) IncrementBy(key string, window time.Time, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(window)
	key = c.place(key)
	c.used[key] = max(0, c.used[key]+n)
	return nil
}

// Get gives what was counted in a window and in the one before.
func (c *counts) Get(key string, window, before time.Time) (now, earlier int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn(window); c.sliding {
		earlier = c.before[key]
	}
	return c.used[c.place(key)], earlier, nil
}

// turn begins a new window when it is one. Who looked at the clock before it began
// counts in it as well.
func (c *counts) turn(window time.Time) {
	if !window.After(c.current) {
		return
	}
	c.before = nil
	if c.sliding && c.current.Equal(window.Add(-c.window)) {
		c.before = c.used
	}
	c.current, c.used = window, map[string]int{}
}

func (c *counts) place(key string) string {
	if _, known := c.used[key]; !known && len(c.used) >= maxSubjects {
		return ""
	}
	return key
}
