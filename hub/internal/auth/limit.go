package auth

import (
	"net/netip"
	"sync"
	"time"

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

// Subject is whom requests are counted for: a key, or the address of a caller
// without one.
type Subject struct {
	Key  int64
	Addr netip.Prefix
}

// AddrSubject is the subject of a caller without a key. IPv6 callers own at least
// a /64, so that is what counts as one.
func AddrSubject(remoteAddr string) Subject {
	ap, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return Subject{} // not an IP connection: all of those together
	}
	addr := ap.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return Subject{}
	}
	return Subject{Addr: p}
}

// Decision is what became of one request, in the words of the rate limit headers.
type Decision struct {
	Allowed   bool
	Limit     int
	Remaining int
	Reset     time.Time // when the count starts again
}

// Take counts one request of a caller in a class and tells whether it may go on.
func (a *Auth) Take(p Principal, c Class) Decision {
	return a.limiter.Take(p.Subject(), c, limitOf(orDefault(p.key.Limits, a.limits), c))
}

// TakeAddr is Take for a caller without a key.
func (a *Auth) TakeAddr(remoteAddr string, c Class) Decision {
	return a.limiter.Take(AddrSubject(remoteAddr), c, limitOf(a.limits, c))
}

// maxAddresses bounds the memory of a minute; beyond it callers without a key
// share one count.
const maxAddresses = 50_000

// Limiter counts requests per clock minute. The contract promises a fixed
// minute, with its end in X-RateLimit-Reset; go-chi/httprate slides two windows
// into each other, so that its counts match no minute, hence these lines.
type Limiter struct {
	mu     sync.Mutex
	minute int64
	used   map[bucket]int
}

type bucket struct {
	subject Subject
	class   Class
}

// NewLimiter makes a Limiter with nothing counted.
func NewLimiter() *Limiter { return &Limiter{used: map[bucket]int{}} }

// Take counts one request unless the limit is used up; what is refused does not count.
func (l *Limiter) Take(s Subject, c Class, limit int) Decision {
	minute := time.Now().Unix() / 60
	d := Decision{Limit: limit, Reset: time.Unix((minute+1)*60, 0)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute != l.minute {
		l.minute = minute
		l.used = map[bucket]int{}
	}
	b := bucket{s, c}
	n, known := l.used[b]
	if !known && s.Key == 0 && len(l.used) >= maxAddresses {
		b = bucket{Subject{}, c}
		n = l.used[b]
	}
	if n >= limit {
		return d
	}
	l.used[b] = n + 1
	d.Allowed, d.Remaining = true, limit-n-1
	return d
}
