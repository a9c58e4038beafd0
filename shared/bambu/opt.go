package bambu

import (
	"bytes"
	"encoding/json"
)

// Opt is a value that may be unknown (never reported, or no sensor). Unlike a
// pointer it can be compared and copied freely. In JSON unknown is null.
type Opt[T comparable] struct {
	Value T
	Known bool
}

// Some is a known value.
func Some[T comparable](v T) Opt[T] { return Opt[T]{Value: v, Known: true} }

// Ptr gives nil for unknown, for API shapes made of pointers.
func (o Opt[T]) Ptr() *T {
	if !o.Known {
		return nil
	}
	v := o.Value
	return &v
}

// Or gives the value, or def when unknown.
func (o Opt[T]) Or(def T) T {
	if o.Known {
		return o.Value
	}
	return def
}

// MarshalJSON writes the value or null.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if !o.Known {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// UnmarshalJSON reads the value; null is unknown.
func (o *Opt[T]) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		*o = Opt[T]{}
		return nil
	}
	o.Known = true
	return json.Unmarshal(b, &o.Value)
}
