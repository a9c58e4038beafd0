package farm

import (
	"errors"
	"fmt"
)

// Code is the kind of an error as the outside sees it, in the `code` field of
// every error answer of the hub and of an agent. This is the one list of them.
type Code string

// The codes of the contract, with the HTTP status each becomes (see Status).
const (
	Invalid             Code = "VALIDATION_ERROR"
	Unauthorized        Code = "UNAUTHORIZED"
	Forbidden           Code = "FORBIDDEN"
	NotFound            Code = "NOT_FOUND"
	MethodNotAllowed    Code = "METHOD_NOT_ALLOWED"
	PrinterNotConnected Code = "PRINTER_NOT_CONNECTED"
	AgentOffline        Code = "AGENT_OFFLINE"
	PrinterBusy         Code = "PRINTER_BUSY"
	PrinterRefused      Code = "PRINTER_REFUSED"
	PlateChanged        Code = "PLATE_CHANGED"
	Conflict            Code = "CONFLICT"
	DuplicateIdentity   Code = "DUPLICATE_IDENTITY"
	Revoked             Code = "AGENT_REVOKED"
	TooOld              Code = "AGENT_TOO_OLD"
	RequestTimeout      Code = "REQUEST_TIMEOUT"
	TooLarge            Code = "PAYLOAD_TOO_LARGE"
	UnsupportedType     Code = "UNSUPPORTED_MEDIA_TYPE"
	BadCondition        Code = "PRECONDITION_FAILED"
	BadRange            Code = "RANGE_NOT_SATISFIABLE"
	Unsupported         Code = "UNSUPPORTED"
	FileUnavailable     Code = "FILE_UNAVAILABLE"
	FFmpegMissing       Code = "FFMPEG_MISSING"
	RateLimited         Code = "RATE_LIMITED"
	Unavailable         Code = "UNAVAILABLE"
	OutcomeUnknown      Code = "OUTCOME_UNKNOWN"
	Internal            Code = "INTERNAL_ERROR"
)

var statusOf = map[Code]int{
	Invalid: 400, Unauthorized: 401, Forbidden: 403, NotFound: 404, MethodNotAllowed: 405,
	// A printer or its agent being away is the caller's problem, never a 503 of the hub (contract).
	PrinterNotConnected: 400, AgentOffline: 400,
	PrinterBusy: 409, PrinterRefused: 409, PlateChanged: 409, Conflict: 409, DuplicateIdentity: 409,
	Revoked: 403, TooOld: 403,
	RequestTimeout: 408, TooLarge: 413, BadCondition: 412, UnsupportedType: 415, BadRange: 416, Unsupported: 400, RateLimited: 429,
	FileUnavailable: 404, FFmpegMissing: 503,
	Internal: 500, Unavailable: 503, OutcomeUnknown: 504,
}

// Status is the HTTP status this code is answered with; an unknown code is 500.
func (c Code) Status() int {
	if s, ok := statusOf[c]; ok {
		return s
	}
	return 500
}

// Error is an error with a code that a caller may decide on and a detail that a
// person may read. Its detail never holds a secret.
type Error struct {
	Code   Code
	Detail string
	Err    error // cause, for errors.Is and the log; never shown outside
}

// Error is the detail, with the cause behind it.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Detail + ": " + e.Err.Error()
	}
	return e.Detail
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error without a cause.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error around its cause; the detail is what the outside may see.
func Wrap(code Code, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...), Err: cause}
}

// CodeOf finds the code in err's chain; an error without one is Internal, nil is "".
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// Is tells whether err carries the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }
