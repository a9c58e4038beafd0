package tunnel

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Hub is a hub as an agent reaches it.
type Hub struct {
	URL         string                                // http(s)://host[:port], as in an enrolment token; a path is kept as a prefix
	Fingerprint string                                // hex SHA-256 of the hub's certificate; "": the system's roots decide
	AllowPlain  bool                                  // http to another machine
	Dial        DialFunc                              // nil: the operating system's
	Proxy       func(*http.Request) (*url.URL, error) // nil: none
}

// Endpoint is the URL of one of the hub's paths. It fails for an address that must
// not be used: not http(s), or plain without permission (ErrPlain).
func (h Hub) Endpoint(path string) (*url.URL, error) {
	u, err := url.Parse(h.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is not a hub address: it must be like https://hub.example.com", h.URL)
	}
	if u.Scheme == "http" && !h.AllowPlain && !loopback(u.Hostname()) {
		return nil, ErrPlain
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/") + path}, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Transport speaks HTTP/1.1 to the hub, one connection a request: it checks the
// pinned certificate if there is one and follows nothing.
func (h Hub) Transport() (*http.Transport, error) {
	tlsConfig, err := h.tlsConfig()
	if err != nil {
		return nil, err
	}
	only1 := new(http.Protocols)
	only1.SetHTTP1(true) // a websocket cannot begin on HTTP/2
	return &http.Transport{
		Protocols:              only1,
		DialContext:            h.dialer(),
		Proxy:                  h.Proxy,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    handshakePatience,
		ResponseHeaderTimeout:  handshakePatience,
		MaxResponseHeaderBytes: maxHeaders,
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}, nil
}

// Client is an HTTP client on Transport that follows no redirect.
func (h Hub) Client() (*http.Client, error) {
	t, err := h.Transport()
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t, CheckRedirect: stay}, nil
}

// dialer is Dial with a bound: net/http lets a dial run on after its request ended.
func (h Hub) dialer() DialFunc {
	dial := h.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, handshakePatience)
		defer cancel()
		return dial(ctx, network, addr)
	}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (h Hub) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if h.Fingerprint == "" {
		return c, nil
	}
	want, err := hex.DecodeString(strings.ReplaceAll(h.Fingerprint, ":", ""))
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("the hub's fingerprint is not a SHA-256 in hex")
	}
	c.InsecureSkipVerify = true // the pinned certificate is the check, and it runs on resumed sessions too
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return ErrWrongCertificate
		}
		if got := Fingerprint(s.PeerCertificates[0]); subtle.ConstantTimeCompare(got[:], want) != 1 {
			return ErrWrongCertificate
		}
		return nil
	}
	return c, nil
}

// Fingerprint is what an enrolment token pins: the SHA-256 of the whole certificate.
func Fingerprint(c *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(c.Raw) }
