package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"bambuddy/shared/buildinfo"
	"bambuddy/shared/farm"
)

// What a try may take: time in all, bytes of the answer's header and of what is read
// of its body.
const (
	tryTime    = 10 * time.Second
	maxHeader  = 16 << 10
	maxExcerpt = 4 << 10
	maxHead    = 2 << 10 // that is kept
)

// sender makes single tries. It knows no store.
type sender struct {
	guard guard
	// Connections are kept for the setting they were made under.
	public, open *http.Transport
}

func newSender(o Options) *sender {
	s := &sender{guard: newGuard()}
	s.public, s.open = s.transport(o, false), s.transport(o, true)
	return s
}

func (s *sender) transport(o Options, allowPrivate bool) *http.Transport {
	dialer := &net.Dialer{Timeout: tryTime, Resolver: o.Resolver, Control: s.guard.control(allowPrivate)}
	dial := dialer.DialContext
	if o.Dial != nil {
		dial = o.Dial
	}
	return &http.Transport{
		Proxy: nil, DialContext: dial, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns: maxWebhooks, MaxIdleConnsPerHost: perEndpoint, IdleConnTimeout: 30 * time.Second,
	}
}

func (s *sender) close() {
	s.public.CloseIdleConnections()
	s.open.CloseIdleConnections()
}

// message is what is sent in one try.
type message struct {
	url, event, uid string
	secret          farm.Secret
	body            []byte
	allowPrivate    bool
}

// try sends a message and tells how that went, and how long the endpoint asks to be
// left alone. It takes at most tryTime.
func (s *sender) try(ctx context.Context, m message) (a farm.Attempt, asked time.Duration) {
	began := time.Now()
	defer func() { a.Took = time.Since(began) }()
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(m.body))
	if err != nil {
		return farm.Attempt{Error: "the address is not readable"}, 0
	}
	for _, h := range [][2]string{
		{"Content-Type", "application/json"},
		{"User-Agent", "Bambuddy/" + buildinfo.Version()},
		{"X-Bambuddy-Event", m.event},
		{"X-Bambuddy-Delivery", m.uid},
		{"X-Bambuddy-Signature", Sign(m.secret, began, m.body)},
	} {
		req.Header.Set(h[0], h[1])
	}
	a.Request = head(fmt.Sprintf("POST %s", req.URL.RequestURI()), req.URL.Host, req.Header)
	transport := s.public
	if m.allowPrivate {
		transport = s.open
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		a.Error = reason(err)
		return a, 0
	}
	defer func() { _ = resp.Body.Close() }() // what was not read of it is not wanted
	// An answer that breaks off has been given all the same.
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxExcerpt))
	a.Status = resp.StatusCode
	a.Response = head(resp.Status, "", resp.Header) + "\n" + clean(string(text), maxExcerpt)
	if judge(a.Status) != taken {
		a.Error = "answered " + clean(resp.Status, maxHead)
		if a.Status >= 300 && a.Status <= 399 {
			a.Error += ", and redirects are not followed"
		}
	}
	return a, asks(a.Status, resp.Header.Get("Retry-After"), time.Now())
}

// head is the head of a message as a person reads it.
func head(first, host string, h http.Header) string {
	var b strings.Builder
	b.WriteString(first + "\n")
	if host != "" {
		b.WriteString("Host: " + host + "\n")
	}
	for _, name := range sorted(h) {
		for _, v := range h[name] {
			b.WriteString(name + ": " + v + "\n")
		}
	}
	return clean(b.String(), maxHead)
}

func sorted(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// clean is text that every database takes and that is not too long.
func clean(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// reason words why no answer came. The address is left out: it may hold a secret.
func reason(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer within %d s", tryTime/time.Second)
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	return clean(err.Error(), maxHead)
}
