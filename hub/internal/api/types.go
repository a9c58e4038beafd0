package api

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	jsonv2 "github.com/go-json-experiment/json"
)

// instant is a time as the contract writes it: RFC 3339, UTC, whole seconds.
type instant struct{ time.Time }

// MarshalJSON writes the contract's form.
func (t instant) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(make([]byte, 0, 22), `"2006-01-02T15:04:05Z"`), nil
}

// Schema describes it.
func (instant) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Examples: []any{"2024-01-15T14:30:00Z"}}
}

// nullable is a value or null. huma describes a pointer to a struct as never
// null, which would be a lie in the document.
type nullable[T any] struct{ value *T }

func some[T any](v T) nullable[T] { return nullable[T]{&v} }

// someTime is null for the zero time.
func someTime(t time.Time) nullable[instant] {
	if t.IsZero() {
		return nullable[instant]{}
	}
	return some(instant{t})
}

// MarshalJSON writes the value or null.
func (n nullable[T]) MarshalJSON() ([]byte, error) { return json.Marshal(n.value) }

// Schema describes it.
func (nullable[T]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{r.Schema(reflect.TypeFor[T](), true, ""), {Type: "null"}}}
}

// optional is a field of a PATCH that tells absent (leave it) from null (empty
// it: Value is then the zero value).
type optional[T any] struct {
	Set   bool
	Value T
}

// UnmarshalJSON notes that the field was there.
func (o *optional[T]) UnmarshalJSON(b []byte) error {
	o.Set = true
	return jsonv2.Unmarshal(b, &o.Value)
}

// Schema describes it.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = true
	return &s
}

// ptr gives the value for a field of a change, nil for absent.
func (o optional[T]) ptr() *T {
	if !o.Set {
		return nil
	}
	return &o.Value
}

// orNull is nil for the zero value.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// list is never nil, so that it is [] in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Page is the query of a list that returns everything unless asked for less.
type Page struct {
	Limit  int `query:"limit" minimum:"1" maximum:"200" doc:"At most this many; everything when absent."`
	Offset int `query:"offset" minimum:"0" doc:"Skip this many."`
}

// listing is the answer of such a list.
type listing[T any] struct {
	Total int `header:"X-Total-Count" doc:"How many there are without limit and offset."`
	Body  []T
}

func paged[T any](all []T, p Page) *listing[T] {
	out := &listing[T]{Total: len(all)}
	all = all[min(p.Offset, len(all)):]
	if p.Limit > 0 {
		all = all[:min(p.Limit, len(all))]
	}
	out.Body = list(all)
	return out
}

// body is an answer without headers of its own.
type body[T any] struct{ Body T }

// ByID is the input of everything that names one resource.
type ByID struct {
	ID int64 `path:"id" minimum:"1" doc:"Its id." example:"1"`
}

// Deleted is the answer of every DELETE.
type Deleted struct {
	Status string `json:"status" enum:"deleted"`
}

func deleted() *body[Deleted] { return &body[Deleted]{Deleted{"deleted"}} }
