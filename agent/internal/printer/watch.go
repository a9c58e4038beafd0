package printer

import (
	"time"

	"bambuddy/shared/bambu"
)

// Picture is what a session knows after a report, for who keeps the books of prints.
type Picture struct {
	Status bambu.Status
	At     time.Time
	// Fresh: no full report has come over this connection before this one, so that
	// something may have been missed.
	Fresh bool
	// Stopped: the printer acknowledged somebody's stop since the last picture.
	Stopped bool
}

// Book keeps the books: it is given every picture, in order, before anybody else
// sees it, and gives the number of the last record it has written of the printer.
// When due is not zero it wants to be given the picture again at that moment, though
// nothing may have come. When written is false, something happened that could not be
// written down: nobody is to see the picture before that. It is called from the
// session's goroutine.
type Book interface {
	Enter(p Picture) (outbox int64, due time.Time, written bool)
}

// enter gives the present picture to the book. A status that rests on no full report
// of this process tells nothing yet: its fields are those that happened to change. Nor
// does one that was merged over a gap: it would say that yesterday's print was seen just
// now. Only over a gap so short that the printer's limit puts the full report off, what
// changes meanwhile is better known than not.
func (s *Session) enter(now time.Time, fresh bool) {
	if s.deps.Book == nil || !s.complete || !s.whole && !s.bridged {
		return
	}
	written := false
	s.outbox, s.due, written = s.deps.Book.Enter(Picture{Status: s.state.Status(), At: now, Fresh: fresh, Stopped: s.stopSeen})
	s.stopSeen, s.withheld = false, !written
}

// tendBook lets the book look again when it wanted to.
func (s *Session) tendBook(now time.Time) (next time.Time) {
	if !s.due.IsZero() && !s.due.After(now) {
		s.due = time.Time{} // while nothing can be entered, nothing is due
		s.enter(now, !s.whole)
		s.publish()
	}
	if s.due.IsZero() {
		return now.Add(quietAfter)
	}
	return s.due
}
