package links

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func ask(l *Links, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func enrolment(secret, name string) string {
	b, _ := json.Marshal(wire.EnrolRequest{
		Secret: farm.Secret(secret), PublicKey: make([]byte, ed25519.PublicKeySize), Name: name, Version: "1.2.3", Platform: "linux/amd64",
	})
	return string(b)
}

func TestEnrolmentIsRedeemedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		synctest.Wait()
		r.store.change(func() { r.store.enrolled[sha256.Sum256([]byte("once"))] = nil })
		w := ask(r.links, "POST", "/agent/v1/enrol", enrolment("once", " work\x00shop\n"))
		var got wire.EnrolResult
		if w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &got) != nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		row := r.store.redeemed[0]
		if got.HubID != testHubID || got.AgentID != row.UID || len(row.UID) != 32 || got.Site != "Workshop" || got.Name != "workshop" ||
			row.Name != "workshop" || row.Version != "1.2.3" || len(row.PublicKey) != 32 {
			t.Errorf("answered %+v, kept %+v", got, row)
		}
		w = ask(r.links, "POST", "/agent/v1/enrol", enrolment("once", "x"))
		if w.Code != 409 || !strings.Contains(w.Body.String(), "has been used") {
			t.Errorf("again: %d %s", w.Code, w.Body)
		}
		if strings.Contains(r.log.String(), "once") {
			t.Errorf("the log tells the secret:\n%s", r.log)
		}
	})
}

func TestEnrolmentsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		synctest.Wait()
		for name, tc := range map[string]struct {
			body   string
			status int
		}{
			"unknown":   {enrolment("guess", "x"), 404},
			"empty":     {"", 400},
			"not JSON":  {"secret", 400},
			"no secret": {enrolment("", "x"), 400},
			"no key":    {`{"secret":"s"}`, 400},
			"short key": {`{"secret":"s","public_key":"AAAA"}`, 400},
			"too large": {enrolment("s", strings.Repeat("x", maxEnrolBody)), 413},
		} {
			w := ask(r.links, "POST", "/agent/v1/enrol", tc.body)
			var e wire.Error
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != tc.status || e.Code == "" || e.Detail == "" {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		r.store.change(func() { r.store.failing = errors.New("no such table") })
		if w := ask(r.links, "POST", "/agent/v1/enrol", enrolment("s", "x")); w.Code != 500 || strings.Contains(w.Body.String(), "table") {
			t.Errorf("a broken database: %d %s", w.Code, w.Body)
		}
	})
}

func TestGuessingIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		synctest.Wait()
		tries := 0
		for range 300 {
			w := ask(r.links, "POST", "/agent/v1/enrol", enrolment("guess", "x"))
			switch w.Code {
			case 404:
				tries++
			case 429:
				if n, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || n < 1 {
					t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
				}
			default:
				t.Errorf("%d %s", w.Code, w.Body)
			}
			time.Sleep(time.Second)
		}
		if tries > 10+5*enrolsPerHost+1 {
			t.Errorf("%d guesses in 5 minutes", tries)
		}
		if n := r.log.count("enrolment was refused"); n > 6 {
			t.Errorf("%d lines in 5 minutes", n)
		}
	})
}

func TestLimitsForgetNobodyTheyNeedAndStayBounded(t *testing.T) {
	e, q := newEnrolLimit(), newQuiet()
	for i := range 10 * maxKeys {
		host := fmt.Sprint(i)
		e.allow(host)
		q.may(host)
	}
	if len(e.byHost) > maxKeys || len(q.last) > maxKeys {
		t.Errorf("%d and %d keys", len(e.byHost), len(q.last))
	}
	d := newDoor(2, 1)
	leave, ok := d.enter("a")
	if _, again := d.enter("a"); !ok || again {
		t.Error("one of an address")
	}
	if _, ok := d.enter("b"); !ok {
		t.Error("two together")
	}
	if _, ok := d.enter("c"); ok {
		t.Error("three")
	}
	leave()
	leave() // twice gives one place
	if _, ok := d.enter("c"); !ok || d.inside != 2 || len(d.byHost) != 2 {
		t.Errorf("after one left: %v, %d inside, %v", ok, d.inside, d.byHost)
	}
}

func TestEnrolmentWaitsForTheHub(t *testing.T) {
	l := New(Options{Log: slog.New(slog.DiscardHandler)})
	w := ask(l, "POST", "/agent/v1/enrol", enrolment("s", "x"))
	if n, err := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != 503 || err != nil || n < 1 || n > 10 {
		t.Errorf("%d %s, Retry-After %q", w.Code, w.Body, w.Header().Get("Retry-After"))
	}
}

func TestAgentNames(t *testing.T) {
	for in, want := range map[string]string{
		"pi": "pi", " a b ": "a b", "": "agent", "\x00\x1b": "agent", "naïve": "naïve",
		strings.Repeat("ä", 80): strings.Repeat("ä", 50), "x" + strings.Repeat("ä", 80): "x" + strings.Repeat("ä", 49),
	} {
		if got := agentName(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
