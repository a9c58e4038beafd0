package threemf

import (
	"errors"
	"fmt"
)

// Kind is why a file is refused.
type Kind string

// The kinds of refusals.
const (
	Damaged Kind = "damaged" // cut short, changed on the way, or no ZIP at all
	Not3MF  Kind = "not_3mf" // a ZIP of something else
	Hostile Kind = "hostile" // made to do harm, or to look like another file
	Missing Kind = "missing" // the part that was asked for is not there
)

// Error is a refusal. Reason is for a person.
type Error struct {
	Kind   Kind
	Reason string
}

// Error is the reason.
func (e *Error) Error() string { return e.Reason }

// Is tells whether an error is a refusal of that kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

func refuse(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Reason: fmt.Sprintf(format, args...)}
}
