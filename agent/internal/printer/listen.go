package printer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// Silence. A printer that reports nothing for quietAfter is asked; when
// silentAfter more passes without an answer, the connection is given up: there
// is firmware whose broker forgets to publish while TCP stays open.
const (
	quietAfter  = 60 * time.Second
	silentAfter = 30 * time.Second

	// deafAfter is how long our own requests may stay unanswered while reports
	// arrive, before people are told.
	deafAfter = 60 * time.Second
)

const deafDetail = "the printer reports but does not answer requests"

// listen serves one connection until it is lost or given up.
func (s *Session) listen(ctx context.Context, c *connection) error {
	now := time.Now()
	c.lastStatus = now
	c.complaints = map[string]bool{}
	switch s.connection.State {
	case wire.Silent, wire.Unreachable: // that is over when it reports, not before
	default:
		s.become(wire.Connecting, "logged in, waiting for the first report", nil)
	}
	s.online.Store(c)
	defer s.online.Store(nil)
	s.wantFull, s.whole = true, false // what changed in the meantime was missed
	s.bridged = !s.lastReport.IsZero() && now.Sub(s.lastReport) < s.every()
	if err := s.askVersion(c, now); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		err := s.hear(ctx, c, timer.C)
		if err != nil {
			s.takeAll(c) // what came before the end still counts
			return err
		}
		next, err := s.tend(c, time.Now())
		if err != nil {
			return err
		}
		timer.Reset(time.Until(next))
	}
}

// hear waits for the next thing to happen and does it.
func (s *Session) hear(ctx context.Context, c *connection, alarm <-chan time.Time) error {
	select {
	case payload := <-c.frames:
		s.take(c, payload)
		s.takeAll(c)
	case do := <-c.asks:
		do()
	case <-alarm:
	case err := <-c.lost:
		return fmt.Errorf("connection lost: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// tend does what is due and tells when to look again at the latest.
func (s *Session) tend(c *connection, now time.Time) (next time.Time, err error) {
	if c.overrun.Swap(false) {
		s.log.Warn("reports were lost, asking for a full one", "dropped", c.dropped.Load())
		s.wantFull, s.whole = true, false
	}
	next = now.Add(quietAfter)
	if s.wantFull {
		if at := s.pushall.next(s.every()); at.After(now) {
			next = earlier(next, at)
		} else if err := s.askFull(c, now); err != nil {
			return next, err
		}
	}
	due, err := s.tendDeafness(c, now)
	if err != nil {
		return next, err
	}
	next = earlier(earlier(next, due), s.tendBook(now))
	due, err = s.tendSilence(c, now)
	return earlier(next, due), err
}

// tendSilence asks a quiet printer, and gives up on a silent one.
func (s *Session) tendSilence(c *connection, now time.Time) (next time.Time, err error) {
	if c.probed.IsZero() {
		if due := c.lastStatus.Add(quietAfter); due.After(now) {
			return due, nil
		}
		return now.Add(silentAfter), s.probe(c, now)
	}
	if due := c.probed.Add(silentAfter); due.After(now) {
		return due, nil
	}
	if c.probedFull || !c.stirred {
		return now, errSilent
	}
	// It answered a small question, so it is there. The full report that would
	// settle it may have to wait for the printer's limit; small ones do not.
	if due := earlier(c.probed.Add(quietAfter), s.pushall.next(s.every())); due.After(now) {
		return due, nil
	}
	return now.Add(silentAfter), s.probe(c, now)
}

// probe asks for a full report where the budget allows, else for the versions.
func (s *Session) probe(c *connection, now time.Time) error {
	c.probed, c.stirred = now, false
	c.probedFull = s.pushall.allows(s.every(), now)
	if c.probedFull {
		return s.askFull(c, now)
	}
	return s.askVersion(c, now)
}

// tendDeafness tells of a printer that reports but hears nothing. It is not
// reconnected for that: a printer that is unpacking a print would lose it.
func (s *Session) tendDeafness(c *connection, now time.Time) (next time.Time, err error) {
	due := c.asked.Add(deafAfter)
	if c.answered {
		return now.Add(quietAfter), nil
	}
	if due.After(now) {
		return due, nil
	}
	if s.connection.State == wire.Online {
		s.become(wire.Online, deafDetail, nil)
	}
	return now.Add(deafAfter), s.askVersion(c, now)
}

func (s *Session) askFull(c *connection, now time.Time) error {
	if err := c.publish(bambu.PushAll(s.sequence.next())); err != nil {
		return fmt.Errorf("ask for a full report: %w", err)
	}
	s.pushall.spend(now)
	s.wantFull = false
	return nil
}

func (s *Session) askVersion(c *connection, now time.Time) error {
	c.asked, c.answered = now, false
	if err := c.publish(bambu.GetVersion(s.sequence.next())); err != nil {
		return fmt.Errorf("ask for the versions: %w", err)
	}
	return nil
}

// takeAll merges what waits and publishes the result once.
func (s *Session) takeAll(c *connection) {
	for range maxFrames {
		select {
		case payload := <-c.frames:
			s.take(c, payload)
		default:
			s.publish()
			return
		}
	}
	s.publish()
}

// take merges one payload.
func (s *Session) take(c *connection, payload []byte) {
	c.held.Add(-int64(len(payload)))
	applied, err := s.apply(payload)
	if err != nil {
		s.counters.rejected.Add(1)
		s.complain(c, err, len(payload))
		return
	}
	now := time.Now()
	c.stirred = true
	for _, ack := range applied.Acks {
		command := s.waiters.hand(ack)
		s.stopSeen = s.stopSeen || ack.Section == "print" && command == "stop" && !ack.Refused()
	}
	switch applied.Kind {
	case bambu.KindStatus:
		c.lastStatus, c.probed = now, time.Time{}
	case bambu.KindVersion:
		c.answered = true
	default:
		return // tells nothing of the printer itself
	}
	s.lastReport = now
	fresh := !s.whole
	if applied.Full {
		c.answered, s.whole, s.complete = true, true, true
	}
	s.enter(now, fresh)
	if s.connection.State != wire.Online || c.answered && s.connection.Detail != "" {
		s.become(wire.Online, "", nil)
	}
}

// errDecode is a payload that our own decoder broke down on.
var errDecode = errors.New("decoder broke down on a report")

// apply merges a payload into the state. A fault of our decoder costs one report
// and the state so far, not the session.
func (s *Session) apply(payload []byte) (a bambu.Applied, err error) {
	if code := s.modelCode(); code != s.assumed {
		s.assumed = code
		s.state.AssumeModel(code)
	}
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("decoder broke down", "panic", r, "stack", string(debug.Stack()))
			s.state, s.assumed, s.wantFull, s.whole, s.complete = bambu.State{}, "", true, false, false
			err = errDecode
		}
	}()
	return s.state.Apply(payload)
}

// modelCode is what is known without the printer's word: the configuration,
// else the serial number.
func (s *Session) modelCode() string {
	if code := *s.model.Load(); code != "" {
		return code
	}
	m, _ := bambu.ModelOfSerial(s.cfg.Serial)
	return m.Code
}

// complain logs the first bad payload of each sort in a connection.
func (s *Session) complain(c *connection, err error, size int) {
	sort := "other"
	for _, known := range []error{bambu.ErrTooLarge, bambu.ErrTooDeep, bambu.ErrNotJSON, errDecode} {
		if errors.Is(err, known) {
			sort = known.Error()
		}
	}
	if !c.complaints[sort] {
		c.complaints[sort] = true
		s.log.Warn("report rejected; more of this sort are only counted", "err", err, "bytes", size)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
