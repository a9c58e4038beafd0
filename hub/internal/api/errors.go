package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"bambuddy/shared/farm"
)

// Error is the body of every error answer, of every route and of the router.
type Error struct {
	Detail string    `json:"detail" doc:"What is wrong, for a person. Names the field when input is invalid." example:"name: is required"`
	Code   farm.Code `json:"code" doc:"What is wrong, for a program: upper snake case, never reworded." example:"VALIDATION_ERROR"`
	status int
	cause  error // for the log, never shown
}

// Error is the detail.
func (e *Error) Error() string { return e.Detail }

// GetStatus is the HTTP status, for huma.
func (e *Error) GetStatus() int { return e.status }

// Unwrap gives what went wrong inside.
func (e *Error) Unwrap() error { return e.cause }

// asError is the one place where an error becomes an answer. What carries no
// code is internal: its text goes to the log and not outside.
func asError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var fe *farm.Error
	switch {
	case errors.As(err, &fe) && fe.Code != farm.Internal:
		return &Error{Detail: fe.Detail, Code: fe.Code, status: fe.Code.Status(), cause: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Error{Detail: "the answer took too long", Code: farm.Unavailable, status: farm.Unavailable.Status(), cause: err}
	}
	return &Error{Detail: "internal error", Code: farm.Internal, status: http.StatusInternalServerError, cause: err}
}

// writeError answers outside of huma's handlers: the gate, the router, a panic.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	note(r.Context()).err = e
	h := w.Header()
	if e.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="bambuddy", charset="UTF-8"`)
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	body, _ := json.Marshal(e) // two strings always marshal
	_, _ = w.Write(append(body, '\n'))
}

// setUpHuma puts our error form, our view of arrays (never null) and of names
// (exact) into huma, which keeps them as package variables.
var setUpHuma = sync.OnceFunc(func() {
	huma.NewError = humaError
	huma.NewErrorWithContext = func(hc huma.Context, status int, msg string, errs ...error) huma.StatusError {
		err := humaError(status, msg, errs...)
		note(hc.Context()).err = asError(err)
		return err
	}
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true
})

// humaError turns what huma found in a request into our error form. Its own
// details repeat the value that was sent, which may be an access code: only
// their place and message are used.
func humaError(status int, msg string, errs ...error) huma.StatusError {
	var details []string
	for _, err := range errs {
		var d huma.ErrorDetailer
		if !errors.As(err, &d) {
			continue
		}
		place, text := d.ErrorDetail().Location, d.ErrorDetail().Message
		if strings.HasPrefix(place, "path.") { // /printers/abc names nothing there could be
			return asError(errNoSuchThing())
		}
		details = append(details, fieldDetail(place, text))
	}
	detail := msg
	if len(details) > 0 {
		detail = strings.Join(details, "; ")
	}
	code := farm.Invalid
	switch {
	case status == http.StatusRequestEntityTooLarge:
		code = farm.TooLarge
	case status == http.StatusUnsupportedMediaType:
		code = farm.UnsupportedType
	case status >= http.StatusInternalServerError:
		code, detail = farm.Internal, "internal error"
	}
	return &Error{Detail: detail, Code: code, status: code.Status()}
}

// fieldDetail says what is wrong with a field: "site_id: expected integer".
func fieldDetail(place, text string) string {
	_, field, _ := strings.Cut(place, ".") // body.site_id, query.limit; "body" is the whole
	if rest, ok := strings.CutPrefix(text, "expected required property "); ok {
		name, _, _ := strings.Cut(rest, " ")
		text = "is required"
		if field != "" {
			field += "."
		}
		field += name
	}
	if field == "" {
		return text
	}
	return field + ": " + text
}

func errNoSuchThing() error { return farm.Errorf(farm.NotFound, "there is nothing under this path") }
