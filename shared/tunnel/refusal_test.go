package tunnel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
)

func TestRefusalsByHTTPStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			answer http.HandlerFunc
			want   Refused
		}{
			"draining hub": {
				func(w http.ResponseWriter, _ *http.Request) {
					Answer(w, farm.Errorf(farm.Unavailable, "restarting"), 7*time.Second)
				},
				Refused{farm.Unavailable, "restarting", 7 * time.Second},
			},
			"limited": {
				func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", "30")
					w.WriteHeader(http.StatusTooManyRequests)
				},
				Refused{farm.RateLimited, "the hub's address answers 429 Too Many Requests", 30 * time.Second},
			},
			"a proxy's own page": {
				func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")
					http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
				},
				Refused{farm.Unavailable, "the hub's address answers 502 Bad Gateway", 0},
			},
			"wrong address": {
				http.NotFound,
				Refused{farm.NotFound, "the hub's address answers 404 Not Found", 0},
			},
			"redirect": {
				func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, "http://elsewhere/", http.StatusMovedPermanently)
				},
				Refused{farm.Unavailable, "the hub's address answers 301 Moved Permanently: redirects are not followed, give the agent the address it leads to", 0},
			},
			"a year": {
				func(w http.ResponseWriter, _ *http.Request) {
					Answer(w, farm.Errorf(farm.Unavailable, "later"), 365*24*time.Hour)
				},
				Refused{farm.Unavailable, "later", 24 * time.Hour},
			},
		} {
			r := newRig(t)
			_ = r.server.Close()
			r.served.Wait()
			r.serve(tc.answer)
			_, err := Dial(t.Context(), r.hub, r.who, Control, "")
			var got *Refused
			if !errors.As(err, &got) || *got != tc.want {
				t.Errorf("%s: %v, want %v", name, err, &tc.want)
			}
			r.close()
		}
	})
}

func TestOnlyAgentsAreUpgraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		client, err := r.hub.Client()
		if err != nil {
			t.Fatal(err)
		}
		upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"MDEyMzQ1Njc4OWFiY2RlZg=="}}
		browser := upgrade.Clone()
		browser.Set("Origin", "http://hub")
		for name, tc := range map[string]struct {
			method, query string
			header        http.Header
			status        int
		}{
			"no websocket": {"GET", "lane=control", nil, 400},
			"post":         {"POST", "lane=control", upgrade, 405},
			"no lane":      {"GET", "", upgrade, 400},
			"odd lane":     {"GET", "lane=fast", upgrade, 400},
			"browser":      {"GET", "lane=control", browser, 403},
		} {
			req, _ := http.NewRequestWithContext(t.Context(), tc.method, "http://hub"+ConnectPath+"?"+tc.query, nil)
			for k, v := range tc.header {
				req.Header[k] = v
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.status || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s, %s", name, resp.Status, resp.Header.Get("Content-Type"))
			}
			_ = resp.Body.Close()
			if err := <-r.failed; err == nil {
				t.Errorf("%s: passed", name)
			}
		}
	})
}

func TestPlainAddressesNeedPermission(t *testing.T) {
	for _, tc := range []struct {
		url   string
		allow bool
		ok    bool
	}{
		{"https://hub.example.com", false, true},
		{"http://hub.example.com", false, false},
		{"http://hub.example.com", true, true},
		{"http://127.0.0.1:8000", false, true},
		{"http://[::1]:8000", false, true},
		{"http://localhost:8000", false, true},
		{"http://localhost.evil.com", false, false},
		{"http://10.0.0.1", false, false},
		{"ftp://hub", true, false},
		{"hub:8000", true, false},
		{"", true, false},
	} {
		_, err := Hub{URL: tc.url, AllowPlain: tc.allow}.Endpoint(ConnectPath)
		if (err == nil) != tc.ok {
			t.Errorf("%q (plain allowed: %v): %v", tc.url, tc.allow, err)
		}
	}
	u, err := Hub{URL: "https://farm.example.com/bambuddy/"}.Endpoint(ConnectPath)
	if err != nil || u.String() != "https://farm.example.com/bambuddy/agent/v1/connect" {
		t.Errorf("a hub below a path: %v, %v", u, err)
	}
	if _, err := Dial(t.Context(), Hub{URL: "http://hub.example.com"}, Caller{}, Control, ""); !errors.Is(err, ErrPlain) {
		t.Errorf("Dial: %v", err)
	}
}

func TestHubCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert := certificate(t)
		print := Fingerprint(cert.Leaf)
		right := hex.EncodeToString(print[:])
		for name, tc := range map[string]struct {
			fingerprint string
			ok          bool
			want        error
		}{
			"pinned":             {right, true, nil},
			"as openssl writes":  {colons(right), true, nil},
			"another":            {strings.Repeat("00", 32), false, ErrWrongCertificate},
			"unknown to systems": {"", false, nil},
			"not a fingerprint":  {"abc", false, nil},
		} {
			r := newRig(t)
			_ = r.server.Close()
			r.served.Wait()
			l, err := r.network.Listen("hub:443")
			if err != nil {
				t.Fatal(err)
			}
			r.server = &http.Server{Handler: http.HandlerFunc(r.connect), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: quiet()}
			r.served.Go(func() { _ = r.server.ServeTLS(l, "", "") })
			r.hub = Hub{URL: "https://hub:443", Fingerprint: tc.fingerprint, Dial: r.hub.Dial}
			s, err := Dial(t.Context(), r.hub, r.who, Control, "")
			if (err == nil) != tc.ok || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil {
				(<-r.clients).Close(StatusReplaced, "enough")
				s.Close()
			}
			r.close()
		}
	})
}

func colons(s string) string {
	var parts []string
	for i := 0; i < len(s); i += 2 {
		parts = append(parts, strings.ToUpper(s[i:i+2]))
	}
	return strings.Join(parts, ":")
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, DNSNames: []string{"hub"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
