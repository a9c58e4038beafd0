package farm

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretsNeverShow(t *testing.T) {
	const plain = "hunter2"
	s := Secret(plain)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s)
	shown := []string{log.String(), Errorf(Invalid, "code %s", s).Error(), fmt.Errorf("code %v: %w", s, errors.New("no")).Error()}
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q"} {
		shown = append(shown, fmt.Sprintf(verb, s), fmt.Sprintf(verb, struct{ S Secret }{s}), fmt.Sprintf(verb, []Secret{s}))
	}
	for _, text := range shown {
		if strings.Contains(text, plain) {
			t.Errorf("it shows: %s", text)
		}
	}
	if s.Reveal() != plain {
		t.Error("it is not itself any more")
	}
}

func TestCodesAndStatuses(t *testing.T) {
	for code, want := range map[Code]int{
		Invalid: 400, PrinterNotConnected: 400, AgentOffline: 400, Unauthorized: 401, Forbidden: 403, NotFound: 404, Conflict: 409,
		UnsupportedType: 415, RateLimited: 429, Internal: 500, Unavailable: 503, OutcomeUnknown: 504, "SOMETHING_NEW": 500,
	} {
		if got := code.Status(); got != want {
			t.Errorf("%s is answered with %d, want %d", code, got, want)
		}
	}
	cause := errors.New("cause")
	err := fmt.Errorf("while adding: %w", Wrap(Conflict, cause, "taken"))
	if !Is(err, Conflict) || !errors.Is(err, cause) || CodeOf(cause) != Internal || CodeOf(nil) != "" || Is(nil, "") {
		t.Errorf("codes in %v are not found", err)
	}
}

func TestKeysSeeWhatTheyMay(t *testing.T) {
	for name, c := range map[string]struct {
		key  APIKey
		want bool
	}{
		"no lists: all":       {APIKey{}, true},
		"in both lists":       {APIKey{Printers: []int64{7}, Sites: []int64{3}}, true},
		"another printer":     {APIKey{Printers: []int64{8}}, false},
		"another site":        {APIKey{Printers: []int64{7}, Sites: []int64{4}}, false},
		"an empty list: none": {APIKey{Printers: []int64{}}, false},
		"an empty site list":  {APIKey{Sites: []int64{}}, false},
	} {
		if got := c.key.Sees(7, 3); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if k := (APIKey{Permissions: []Permission{Read}}); !k.May(Read) || k.May(Admin) {
		t.Error("permissions are mixed up")
	}
}

// Whatever a person puts in a format, the value does not come out.
func TestEveryVerbHidesASecret(t *testing.T) {
	const plain = "hunter2"
	s := Secret(plain)
	inner := struct {
		S Secret
		P *Secret
		M map[string]Secret
	}{s, &s, map[string]Secret{"k": s}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%#q", "%+q", "%x", "%X", "%# x", "%d", "%t", "%10.3s", "%-20v", "%c", "%U"} {
		for _, text := range []string{fmt.Sprintf(verb, s), fmt.Sprintf(verb, inner), fmt.Sprintf(verb, []Secret{s}), fmt.Sprintf(verb, &s)} {
			if strings.Contains(text, plain) || strings.Contains(strings.ToLower(strings.ReplaceAll(text, " ", "")), "68756e74657232") {
				t.Errorf("%s shows it: %s", verb, text)
			}
		}
	}
	for _, err := range []error{
		Errorf(Invalid, "code %s", s), Wrap(Conflict, fmt.Errorf("with %x", s), "key %v", s),
		errors.Join(fmt.Errorf("a %q: %w", s, Errorf(Internal, "b %#v", s))),
	} {
		if strings.Contains(err.Error(), plain) {
			t.Errorf("an error shows it: %v", err)
		}
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		l := slog.New(h)
		l.Info("x", "s", s, "any", slog.AnyValue(s), slog.Group("g", "s", s))
		l.With("s", s).Error("x", "err", Errorf(Invalid, "code %v", s), "pointer", &s)
	}
	if strings.Contains(log.String(), plain) {
		t.Errorf("the log shows it: %s", &log)
	}
}

// Each code of the list has its status; one that is added without is told here.
func TestEveryCodeHasItsStatus(t *testing.T) {
	want := map[Code]int{
		Invalid: 400, Unauthorized: 401, Forbidden: 403, NotFound: 404, MethodNotAllowed: 405, PrinterNotConnected: 400, AgentOffline: 400,
		PrinterBusy: 409, PrinterRefused: 409, PlateChanged: 409, Conflict: 409, DuplicateIdentity: 409, Revoked: 403, TooOld: 403,
		RequestTimeout: 408, TooLarge: 413, UnsupportedType: 415, BadCondition: 412, BadRange: 416, Unsupported: 400, RateLimited: 429, Unavailable: 503, OutcomeUnknown: 504, Internal: 500,
		FileUnavailable: 404, FFmpegMissing: 503,
	}
	if len(statusOf) != len(want) {
		t.Errorf("there are %d codes, want %d", len(statusOf), len(want))
	}
	for code, status := range want {
		if got, listed := statusOf[code]; !listed || got != status || code.Status() != status {
			t.Errorf("%s is answered with %d, want %d", code, code.Status(), status)
		}
	}
}

func TestASecretAsTextIsDots(t *testing.T) {
	for _, text := range []string{Secret("hunter2").String(), Secret("hunter2").GoString(), fmt.Sprint(Secret(""))} {
		if text != dots {
			t.Errorf("it is %q", text)
		}
	}
}
