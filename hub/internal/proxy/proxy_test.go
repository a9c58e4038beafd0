package proxy

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"bambuddy/shared/farm"
)

func TestTrust(t *testing.T) {
	for name, c := range map[string]struct {
		trusted []string
		peer    string
		xff     []string
		proto   []string
		tls     bool
		addr    string
		scheme  string
	}{
		"nobody is trusted":             {nil, "10.0.0.1:9", []string{"1.2.3.4"}, []string{"https"}, false, "10.0.0.1:9", "http"},
		"own TLS":                       {nil, "10.0.0.1:9", nil, nil, true, "10.0.0.1:9", "https"},
		"a stranger says so":            {[]string{"10.0.0.0/8"}, "192.0.2.7:9", []string{"1.2.3.4"}, []string{"https"}, false, "192.0.2.7:9", "http"},
		"a trusted proxy":               {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{"1.2.3.4"}, []string{"https"}, false, "1.2.3.4:0", "https"},
		"a bare address":                {[]string{"10.0.0.1"}, "10.0.0.1:9", []string{"1.2.3.4"}, nil, false, "1.2.3.4:0", "http"},
		"another one than the bare":     {[]string{"10.0.0.1"}, "10.0.0.2:9", []string{"1.2.3.4"}, []string{"https"}, false, "10.0.0.2:9", "http"},
		"forged before the proxy":       {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{"8.8.8.8, 127.0.0.1, 1.2.3.4"}, nil, false, "1.2.3.4:0", "http"},
		"two proxies":                   {[]string{"10.0.0.0/8", "172.16.0.0/12"}, "10.0.0.1:9", []string{"6.6.6.6, 1.2.3.4, 172.16.0.9"}, nil, false, "1.2.3.4:0", "http"},
		"forged as a trusted one":       {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{"10.6.6.6, 1.2.3.4, 10.0.0.2"}, nil, false, "1.2.3.4:0", "http"},
		"several headers":               {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{"6.6.6.6", "5.5.5.5, 1.2.3.4"}, nil, false, "1.2.3.4:0", "http"},
		"blanks and empty ones":         {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{" 1.2.3.4 ,, "}, nil, false, "1.2.3.4:0", "http"},
		"garbage":                       {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{"1.2.3.4, <script>"}, nil, false, "10.0.0.1:9", "http"},
		"garbage before a client":       {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{"nonsense, 1.2.3.4"}, nil, false, "1.2.3.4:0", "http"},
		"an address with a port":        {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{"1.2.3.4:55"}, nil, false, "10.0.0.1:9", "http"},
		"all of them are trusted":       {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{"10.0.0.3, 10.0.0.2"}, nil, false, "10.0.0.1:9", "http"},
		"no header":                     {[]string{"10.0.0.0/8"}, "10.0.0.1:9", nil, []string{"https"}, false, "10.0.0.1:9", "https"},
		"IPv6":                          {[]string{"fd00::/8"}, "[fd00::1]:9", []string{"2001:db8::5"}, []string{"https"}, false, "[2001:db8::5]:0", "https"},
		"an IPv6 stranger":              {[]string{"fd00::/8"}, "[2001:db8::1]:9", []string{"2001:db8::5"}, []string{"https"}, false, "[2001:db8::1]:9", "http"},
		"a peer as mapped IPv4":         {[]string{"10.0.0.0/8"}, "[::ffff:10.0.0.1]:9", []string{"::ffff:1.2.3.4"}, []string{"HTTPS"}, false, "1.2.3.4:0", "https"},
		"a trusted one as mapped IPv4":  {[]string{"10.0.0.0/8"}, "10.0.0.1:9", []string{"1.2.3.4, ::ffff:10.0.0.2"}, nil, false, "1.2.3.4:0", "http"},
		"a peer with a zone":            {[]string{"fe80::/10"}, "[fe80::1%eth0]:9", []string{"2001:db8::5"}, nil, false, "[2001:db8::5]:0", "http"},
		"a zone to slip past the range": {[]string{"fd00::/8"}, "[fd00::1]:9", []string{"2001:db8::5, fd00::2%x"}, nil, false, "[2001:db8::5]:0", "http"},
		"the scheme of the nearest":     {[]string{"10.0.0.0/8"}, "10.0.0.1:9", nil, []string{"https", "https, http"}, false, "10.0.0.1:9", "http"},
		"a scheme that is none":         {[]string{"10.0.0.0/8"}, "10.0.0.1:9", nil, []string{"javascript"}, false, "10.0.0.1:9", "http"},
		"TLS to the hub, not before":    {[]string{"10.0.0.0/8"}, "10.0.0.1:9", nil, []string{"http"}, true, "10.0.0.1:9", "http"},
		"no IP connection":              {[]string{"10.0.0.0/8"}, "@", []string{"1.2.3.4"}, []string{"https"}, false, "@", "http"},
	} {
		t.Run(name, func(t *testing.T) {
			ranges, err := Parse(c.trusted)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = c.peer
			r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"] = c.xff, c.proto
			r.Header.Set("X-Real-Ip", "9.9.9.9")
			r.Header.Set("Forwarded", "for=9.9.9.9;proto=https")
			if c.tls {
				r.TLS = &tls.ConnectionState{}
			}
			var addr, scheme string
			Trust(ranges)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				addr, scheme = r.RemoteAddr, Scheme(r.Context())
			})).ServeHTTP(httptest.NewRecorder(), r)
			if addr != c.addr || scheme != c.scheme {
				t.Errorf("from %s by %s, want %s by %s", addr, scheme, c.addr, c.scheme)
			}
		})
	}
}

func TestParse(t *testing.T) {
	got, err := Parse([]string{"10.1.2.3/8", " fd00::/8", "192.0.2.1", "::1"})
	if err != nil || len(got) != 4 || got[0].String() != "10.0.0.0/8" || got[2].String() != "192.0.2.1/32" || got[3].String() != "::1/128" {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "everyone", "10.0.0.0/33", "0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104", "fe80::1%eth0", "10.0.0.0-10.0.0.9"} {
		if _, err := Parse([]string{"10.0.0.0/8", text}); !farm.Is(err, farm.Invalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSchemeOfNoRequest(t *testing.T) {
	if got := Scheme(t.Context()); got != "http" {
		t.Errorf("%q", got)
	}
}
