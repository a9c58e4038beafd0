package hublink

import (
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
)

// Status is how the link stands, for `bambuddy-agent status` and for tests.
type Status struct {
	Connected bool      // the control lane is up
	Since     time.Time // of Connected being what it is
	Session   string    // the hub's name for the session, "" without one

	BulkConnected bool

	Refusal farm.Code // the hub's last no, "" when it said none
	Problem string    // a sentence, "" while connected
	NextTry time.Time // zero while connected

	Control, Bulk tunnel.Traffic // of the lanes that are up
}

// Status gives the present status. It may be called at any time.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status.Status
	if l.status.control != nil {
		s.Control = l.status.control.Traffic()
	}
	if l.status.bulk != nil {
		s.Bulk = l.status.bulk.Traffic()
	}
	return s
}

// lanes is a Status with the lanes it speaks of.
type lanes struct {
	Status
	control, bulk *tunnel.Server
}

func (l *Link) began(control *tunnel.Server) {
	l.mu.Lock()
	l.status.Status = Status{Connected: true, Since: time.Now(), Session: control.Session}
	l.status.control = control
	l.mu.Unlock()
	l.say("connected", l.log.Info, "connected to the hub", "session", control.Session)
}

func (l *Link) ended(err error, pause time.Duration) {
	p := problemOf(err)
	now := time.Now()
	l.mu.Lock()
	since := l.status.Since
	if l.status.Connected {
		since = now
	}
	l.status.Status = Status{Since: since, Refusal: p.code, Problem: p.sentence, NextTry: now.Add(pause)}
	l.status.control = nil
	l.mu.Unlock()
	l.say(p.key, l.log.Warn, "not connected to the hub", "reason", p.sentence, "next_try_in", pause.Round(time.Second))
}

func (l *Link) setBulk(s *tunnel.Server) {
	l.mu.Lock()
	l.status.bulk, l.status.BulkConnected = s, s != nil
	l.mu.Unlock()
}

// say logs a line when it tells something else than the one before. Run's goroutine only.
func (l *Link) say(key string, log func(msg string, args ...any), msg string, args ...any) {
	if l.spoken == key {
		return
	}
	l.spoken = key
	log(msg, args...)
}
