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
