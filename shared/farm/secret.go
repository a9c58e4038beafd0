package farm

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a value that must not be shown: it prints as dots in every format
// and in every log, except from an unexported field of a struct that is printed
// whole: fmt calls no method there. Reveal is the one way to the value. It travels in JSON (the
// link to an agent, the agent's sealed cache), so never put one into an answer
// of the REST API.
type Secret string

const dots = "••••"

// Reveal gives the value itself.
func (s Secret) Reveal() string { return string(s) }

// Format prints dots for every verb; a wrong one would show the value otherwise.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, dots) }

// String prints dots.
func (s Secret) String() string { return dots }

// GoString prints dots.
func (s Secret) GoString() string { return dots }

// LogValue logs dots.
func (s Secret) LogValue() slog.Value { return slog.StringValue(dots) }
