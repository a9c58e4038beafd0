package links

import (
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// host is the address of a request's peer without its port. Behind a proxy that is not
// trusted it is the proxy's, so limits per host are generous.
func host(r *http.Request) string {
	h, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return h
}

// door counts the connections that have not proven anything yet.
type door struct {
	most, mostPerHost int

	mu     sync.Mutex
	inside int
	byHost map[string]int
}

func newDoor(most, mostPerHost int) *door {
	return &door{most: most, mostPerHost: mostPerHost, byHost: map[string]int{}}
}

// enter takes a place, which leave gives back; false: none is free.
func (d *door) enter(host string) (leave func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside >= d.most || d.byHost[host] >= d.mostPerHost {
		return nil, false
	}
	d.inside++
	d.byHost[host]++
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.inside--
		if d.byHost[host]--; d.byHost[host] == 0 {
			delete(d.byHost, host)
		}
	}), true
}

// maxKeys bounds the maps that strangers can fill; a full one is begun anew.
const maxKeys = 1024

// enrolLimit bounds the tries to enrol, of each address and of all together.
type enrolLimit struct {
	all *rate.Limiter

	mu     sync.Mutex
	byHost map[string]*rate.Limiter
}

const (
	enrolsPerHost = 10 // a minute
	enrolsOfAll   = 120
)

func perMinute(n int) *rate.Limiter {
	return rate.NewLimiter(rate.Every(time.Minute/time.Duration(n)), n)
}

func newEnrolLimit() *enrolLimit {
	return &enrolLimit{all: perMinute(enrolsOfAll), byHost: map[string]*rate.Limiter{}}
}

func (e *enrolLimit) allow(host string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	one := e.byHost[host]
	if one == nil {
		if len(e.byHost) >= maxKeys {
			clear(e.byHost)
		}
		one = perMinute(enrolsPerHost)
		e.byHost[host] = one
	}
	return one.Allow() && e.all.Allow()
}

// quiet keeps strangers from filling the log: a key speaks once a minute.
type quiet struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func newQuiet() *quiet { return &quiet{last: map[string]time.Time{}} }

func (q *quiet) may(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t, ok := q.last[key]; ok && time.Since(t) < time.Minute {
		return false
	}
	if len(q.last) >= maxKeys {
		clear(q.last)
	}
	q.last[key] = time.Now()
	return true
}
