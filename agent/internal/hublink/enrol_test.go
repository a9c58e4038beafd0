package hublink

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// enrolHub serves h as a hub, over TLS with cert if there is one.
func enrolHub(t *testing.T, n *memnet.Network, cert *tls.Certificate, h http.HandlerFunc) (stop func()) {
	t.Helper()
	l, err := n.Listen("hub:80")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	var served sync.WaitGroup
	served.Go(func() {
		if cert == nil {
			_ = srv.Serve(l)
			return
		}
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}}
		_ = srv.ServeTLS(l, "", "")
	})
	return func() {
		_ = srv.Close()
		served.Wait()
	}
}

func tokenFor(url, fingerprint string) string {
	return wire.Token{URL: url, Secret: "once", Fingerprint: fingerprint}.Encode().Reveal()
}

func TestEnrolMakesAndKeepsAnIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		var asked wire.EnrolRequest
		var requests int
		stop := enrolHub(t, n, nil, func(w http.ResponseWriter, r *http.Request) {
			requests++
			if r.Method != "POST" || r.URL.Path != "/agent/v1/enrol" || json.NewDecoder(r.Body).Decode(&asked) != nil {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			_ = json.NewEncoder(w).Encode(wire.EnrolResult{HubID: "h", AgentID: "a", Site: "Workshop", Name: "pi"})
		})
		defer stop()
		o := EnrolOptions{Dir: filepath.Join(t.TempDir(), "data"), Name: "pi", Version: "1.2.3", AllowPlain: true, Dial: n.Dialer("agent")}
		id, err := Enrol(t.Context(), o, " "+tokenFor("http://hub:80", "")+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if asked.Secret.Reveal() != "once" || asked.Name != "pi" || asked.Version != "1.2.3" || asked.Platform != platform() {
			t.Errorf("asked %+v", asked)
		}
		if id.HubID != "h" || id.AgentID != "a" || id.HubURL != "http://hub:80" || !id.Key.Public().(ed25519.PublicKey).Equal(ed25519.PublicKey(asked.PublicKey)) {
			t.Errorf("identity %v", id)
		}
		kept, err := LoadIdentity(o.Dir)
		if err != nil || !kept.Key.Equal(id.Key) || kept.Site != "Workshop" {
			t.Errorf("kept %v, %v", kept, err)
		}
		if _, err := Enrol(t.Context(), o, tokenFor("http://hub:80", "")); !farm.Is(err, farm.Conflict) || !strings.Contains(err.Error(), "--force") {
			t.Errorf("a second time: %v", err)
		}
		if requests != 1 {
			t.Errorf("%d requests: a token was used up for nothing", requests)
		}
		o.Force = true
		again, err := Enrol(t.Context(), o, tokenFor("http://hub:80", ""))
		if err != nil || again.Key.Equal(id.Key) {
			t.Errorf("by force: %v", err)
		}
	})
}

func TestEnrolSaysWhatIsWrong(t *testing.T) {
	answer := func(err error) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { tunnel.Answer(w, err, 0) }
	}
	for name, tc := range map[string]struct {
		token  string
		hub    http.HandlerFunc // nil: nobody listens
		change func(*EnrolOptions)
		code   farm.Code
		says   string
	}{
		"no token":   {token: "hello", code: farm.Invalid, says: "not an enrolment token"},
		"used":       {hub: answer(farm.Errorf(farm.Conflict, "this token has been used")), code: farm.Conflict, says: "has been used"},
		"expired":    {hub: answer(farm.Errorf(farm.NotFound, "this token has expired")), code: farm.NotFound, says: "has expired"},
		"too many":   {hub: answer(farm.Errorf(farm.RateLimited, "wait a minute")), code: farm.RateLimited, says: "wait a minute"},
		"nobody":     {code: farm.Unavailable, says: "hub:80 gave no answer"},
		"not a hub":  {hub: http.NotFound, code: farm.Unavailable, says: "not a hub (404"},
		"a web page": {hub: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, code: farm.Unavailable, says: "not a hub"},
		"redirect": {hub: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://x", http.StatusPermanentRedirect)
		}, code: farm.Unavailable, says: "--hub"},
		"plain":          {change: func(o *EnrolOptions) { o.AllowPlain = false }, code: farm.Invalid, says: "not encrypted"},
		"odd hub":        {change: func(o *EnrolOptions) { o.HubURL = "hub" }, code: farm.Invalid, says: "not a hub address"},
		"odd pin":        {token: tokenFor("https://hub", "xyz"), code: farm.Invalid, says: "fingerprint"},
		"read-only data": {change: func(o *EnrolOptions) { o.Dir = "/proc/nowhere" }, code: farm.Internal, says: "data directory"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			if tc.hub != nil {
				defer enrolHub(t, n, nil, tc.hub)()
			}
			o := EnrolOptions{Dir: t.TempDir(), AllowPlain: true, Dial: n.Dialer("agent")}
			if tc.change != nil {
				tc.change(&o)
			}
			token := tc.token
			if token == "" {
				token = tokenFor("http://hub:80", "")
			}
			_, err := Enrol(t.Context(), o, token)
			if !farm.Is(err, tc.code) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "once") {
				t.Errorf("%s: %v (%s)", name, err, farm.CodeOf(err))
			}
			if _, err := LoadIdentity(o.Dir); err == nil {
				t.Errorf("%s: left an identity", name)
			}
		})
	}
}

func TestEnrolChecksTheCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert := selfSigned(t)
		print := tunnel.Fingerprint(cert.Leaf)
		for name, tc := range map[string]struct {
			fingerprint string
			says        string
		}{
			"right":     {hex.EncodeToString(print[:]), ""},
			"another":   {strings.Repeat("ab", 32), "not the hub that made this token"},
			"no pin":    {"", "does not trust the certificate"},
			"upper":     {strings.ToUpper(hex.EncodeToString(print[:])), ""},
			"too short": {"abcd", "fingerprint"},
		} {
			n := memnet.New()
			stop := enrolHub(t, n, &cert, func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(wire.EnrolResult{HubID: "h", AgentID: "a"})
			})
			id, err := Enrol(t.Context(), EnrolOptions{Dir: t.TempDir(), Dial: n.Dialer("agent")}, tokenFor("https://hub:80", tc.fingerprint))
			switch {
			case tc.says == "" && (err != nil || id.Fingerprint != tc.fingerprint):
				t.Errorf("%s: %v", name, err)
			case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("%s: %v", name, err)
			}
			stop()
		}
	})
}

func TestEnrolIsPatientButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		release := make(chan struct{})
		stop := enrolHub(t, n, nil, func(http.ResponseWriter, *http.Request) { <-release })
		start := time.Now()
		_, err := Enrol(t.Context(), EnrolOptions{Dir: t.TempDir(), AllowPlain: true, Dial: n.Dialer("agent")}, tokenFor("http://hub:80", ""))
		if !farm.Is(err, farm.Unavailable) || time.Since(start) > enrolPatience || !strings.Contains(err.Error(), "make a new one") {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		close(release)
		stop()
	})
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"hub"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	leaf, parseErr := x509.ParseCertificate(der)
	if err = errors.Join(err, parseErr); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
