package printer

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// answerTime is how long a printer may take to acknowledge a control, all its
// requests together.
const answerTime = 10 * time.Second

// Result tells how a control is known to have been taken.
type Result struct {
	Confirmed string // wire.ByAck or wire.ByState
}

// Do does one act at the printer, and returns when its outcome is known. It is sent
// once, whatever happens. A control waits for the one before it until startBy; a
// stop or a pause only for others of these. The end of ctx ends the waiting: what
// has been sent by then cannot be taken back.
//
// Errors: those of bambu.Control.Check; farm.PrinterBusy (its turn did not come by
// startBy), farm.PrinterNotConnected (not sent), farm.PrinterRefused with the
// printer's reason, farm.OutcomeUnknown (sent, and neither acknowledged within ten
// seconds nor to be seen in the printer's reports).
func (s *Session) Do(ctx context.Context, c bambu.Control, startBy time.Time) (Result, error) {
	starting, cancel := context.WithDeadline(ctx, startBy)
	defer cancel()
	lane := &s.lanes.common
	if c.Overtakes() {
		lane = &s.lanes.urgent
	}
	if !lane.enter(starting) {
		return Result{}, farm.Errorf(farm.PrinterBusy, "printer %s was busy with another command; this one was not begun in its time and is not carried out", s.cfg.Serial)
	}
	defer lane.leave()
	a, err := s.begin(starting, c)
	if err != nil {
		return Result{}, err
	}
	answered, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return s.seeThrough(answered, a)
}

// lane lets one control through at a time.
type lane struct{ turn chan struct{} }

func newLane() lane { return lane{turn: make(chan struct{}, 1)} }

func (l lane) enter(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case l.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l lane) leave() { <-l.turn }

// lanes are the queues of a session.
type lanes struct{ common, urgent lane }

// act is a control under way.
type act struct {
	control  bambu.Control
	messages []bambu.Message
	sent     int       // of them
	at       time.Time // when the first was
	guarded  bool      // the printer complained of unsigned commands before
	waiting  *waiter   // for the answer to the last one sent, nil: none comes
}

// begin checks a control against the printer's state of this moment and sends its
// first request.
func (s *Session) begin(ctx context.Context, c bambu.Control) (*act, error) {
	a := &act{control: c}
	err := s.ask(ctx, func(conn *connection) error {
		status := s.state.Status()
		if !s.whole {
			status.Job.GcodeState = "" // it is of before the connection was lost
		}
		model := s.modelOf(status)
		if err := c.Check(model, status); err != nil {
			return err
		}
		a.messages = c.Messages(model, status)
		a.guarded = complainsOfSignature(status)
		a.at = time.Now()
		return s.send(conn, a)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// send publishes the next request of an act. That it went out is not known, only
// that it may have.
func (s *Session) send(conn *connection, a *act) error {
	m := a.messages[a.sent]
	seq := s.sequence.next()
	a.waiting = nil
	if !m.Unanswered {
		a.waiting = s.waiters.add(m, seq)
	}
	a.sent++
	if err := conn.publish(m.Payload(seq)); err != nil {
		s.waiters.remove(a.waiting)
		return farm.Wrap(farm.PrinterNotConnected, err, "printer %s is losing its connection", s.cfg.Serial)
	}
	s.log.Info("control sent", "do", a.control.Do, "command", m.Command, "sequence", seq)
	return nil
}

// seeThrough waits for the answers and sends what is left after each.
func (s *Session) seeThrough(ctx context.Context, a *act) (Result, error) {
	for {
		if err := s.hearAnswer(ctx, a); err != nil {
			if !farm.Is(err, farm.OutcomeUnknown) {
				return Result{}, err
			}
			return s.judge(a)
		}
		if a.sent == len(a.messages) {
			return Result{Confirmed: wire.ByAck}, nil
		}
		if err := s.ask(ctx, func(conn *connection) error { return s.send(conn, a) }); err != nil {
			return s.judge(a) // the first of them was taken: what became of it all?
		}
	}
}

// hearAnswer waits for the answer to the last request sent.
func (s *Session) hearAnswer(ctx context.Context, a *act) error {
	if a.waiting == nil {
		return nil
	}
	defer s.waiters.remove(a.waiting)
	select {
	case ack := <-a.waiting.answer:
		return s.verdict(a, ack)
	case <-ctx.Done():
	case <-s.done: // the session is over or replaced: nobody listens any more
	}
	return farm.Errorf(farm.OutcomeUnknown, "no answer")
}

// verdict puts a refusal into an error.
func (s *Session) verdict(a *act, ack bambu.Ack) error {
	if !ack.Refused() {
		return nil
	}
	s.log.Warn("printer refused a control", "do", a.control.Do, "reason", ack.Reason, "err_code", ack.ErrCode)
	if ack.Unverified() {
		return farm.Errorf(farm.PrinterRefused, bambu.ReadOnly)
	}
	if a.sent > 1 {
		return farm.Errorf(farm.PrinterRefused, "the printer took a part of it, then refused: %s", ack.Why())
	}
	return farm.Errorf(farm.PrinterRefused, "the printer refused: %s", ack.Why())
}

// judge decides by the printer's reports when an answer is missing: without one,
// only what came after the request counts.
func (s *Session) judge(a *act) (Result, error) {
	snap := s.latest.Load()
	fresh := snap.whole && snap.LastReport.After(a.at)
	if done, visible := a.control.Done(snap.Status); fresh && done && visible {
		s.log.Info("control not acknowledged, but its effect is reported", "do", a.control.Do)
		return Result{Confirmed: wire.ByState}, nil
	}
	if fresh && !a.guarded && complainsOfSignature(snap.Status) {
		return Result{}, farm.Errorf(farm.PrinterRefused, bambu.ReadOnly)
	}
	return Result{}, farm.Errorf(farm.OutcomeUnknown, "printer %s did not answer; whether it did what it was asked for is not known", s.cfg.Serial)
}

// complainsOfSignature: the printer shows that it was sent an unsigned command.
func complainsOfSignature(s bambu.Status) bool {
	return slices.ContainsFunc(s.Faults.HMS, bambu.HMS.Unverified)
}

// ask has the session's goroutine do something with its connection.
func (s *Session) ask(ctx context.Context, do func(*connection) error) error {
	c := s.online.Load()
	if c == nil {
		return s.away()
	}
	answer := make(chan error, 1)
	select {
	case c.asks <- func() { answered(answer, do, c) }:
	case <-c.gone:
		return s.away()
	case <-ctx.Done():
		return farm.Wrap(farm.PrinterBusy, ctx.Err(), "the command to printer %s was not begun in its time and is not carried out", s.cfg.Serial)
	}
	return <-answer // the session does all it has taken, also when its connection ends
}

// answered answers in any case: whoever asked waits for it.
func answered(answer chan<- error, do func(*connection) error, c *connection) {
	err := error(farm.Errorf(farm.OutcomeUnknown, "the session broke down over it"))
	defer func() { answer <- err }() // also when do panics, which ends the connection
	err = do(c)
}

// waiters are those who wait for answers. Answers are handed over by the
// session's goroutine.
type waiters struct {
	mu   sync.Mutex
	list []*waiter
}

// waiter waits for the answer to one request.
type waiter struct {
	section, command, seq string
	answer                chan bambu.Ack // holds one
}

func (l *waiters) add(m bambu.Message, seq string) *waiter {
	w := &waiter{section: m.Section, command: m.Command, seq: seq, answer: make(chan bambu.Ack, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, w)
	return w
}

func (l *waiters) remove(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = slices.DeleteFunc(l.list, func(other *waiter) bool { return other == w })
}

// hand gives an answer to whoever asked, if it was one of us: every client hears
// the answers to all. It tells which command was answered, as far as that is known.
func (l *waiters) hand(ack bambu.Ack) (command string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.list, func(w *waiter) bool { return w.meant(ack) })
	if at < 0 {
		return ack.Command
	}
	w := l.list[at]
	w.answer <- ack
	l.list = slices.Delete(l.list, at, at+1)
	return w.command
}

// meant: some firmware leaves out the command, some the sequence id.
func (w *waiter) meant(ack bambu.Ack) bool {
	sameCommand := strings.EqualFold(ack.Command, w.command)
	switch {
	case ack.Section != w.section:
		return false
	case ack.SequenceID == "":
		return sameCommand
	}
	return ack.SequenceID == w.seq && (sameCommand || ack.Command == "")
}
