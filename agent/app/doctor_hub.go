package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"bambuddy/agent/internal/diagnose"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// hubTime is how long the hub may take to answer.
const hubTime = 15 * time.Second

const mendIdentity = "Mend what is wrong with the enrollment first."

// examineHub looks at the way to the hub, at the hub, and at its clock.
func (d *doctor) examineHub(ctx context.Context) []wire.Check {
	if d.notEnrolled != nil {
		return []wire.Check{flaw(wire.Skip, "hub", "Hub", mendIdentity, "No hub is known.")}
	}
	hub := tunnel.Hub{
		URL: d.identity.HubURL, Fingerprint: d.identity.Fingerprint, AllowPlain: d.AllowPlain, Dial: d.HubDial, Proxy: d.hubProxy(),
	}
	list := []wire.Check{d.checkProxy(hub)}
	status, ahead, err := askHub(ctx, hub)
	list = append(list, checkHub(d.identity.HubURL, status, err))
	if err == nil {
		list = append(list, diagnose.CheckClock("Clock", ahead))
	}
	return list
}

// askHub asks how the hub is, and how much our clock is ahead of its: to the
// second, half the time of the question taken off.
func askHub(ctx context.Context, hub tunnel.Hub) (status int, ahead time.Duration, err error) {
	u, err := hub.Endpoint("/health")
	if err != nil {
		return 0, 0, err
	}
	client, err := hub.Client()
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, hubTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, 0, err
	}
	asked := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	answered := time.Now()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // only to end the answer in good order
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return resp.StatusCode, 0, errNoHub
	}
	middle := asked.Add(answered.Sub(asked) / 2)
	return resp.StatusCode, middle.Sub(date).Truncate(time.Second), nil
}

// errNoHub is an answer that no hub gives.
var errNoHub = errors.New("not a hub's answer")

// checkHub judges the hub's answer, or why there is none.
func checkHub(address string, status int, err error) wire.Check {
	const id, title = "hub", "Hub"
	bad := func(mend, detail string, args ...any) wire.Check {
		return flaw(wire.Fail, id, title, mend, detail, args...)
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var lookup *net.DNSError
	var asked *url.Error
	switch {
	case err == nil && status == http.StatusOK:
		return well(id, title, "%s answers.", address)
	case err == nil && status == http.StatusServiceUnavailable:
		return flaw(wire.Warn, id, title, "Look at the hub: its database is gone.", "%s answers that it is not well.", address)
	case err == nil, errors.Is(err, errNoHub):
		return bad("Check the hub's address, and the proxy in front of the hub.", "What answers at %s is not a hub (status %d).", address, status)
	case errors.Is(err, tunnel.ErrPlain):
		return bad("Give the hub a certificate and enroll again with its https address, or run the agent with --allow-plain in a network that you trust.", "%s is not encrypted, which is refused.", address)
	case errors.Is(err, tunnel.ErrWrongCertificate):
		return bad("If the hub got a new certificate, make a token there and enroll again with --force. Otherwise find out who answers.", "%s shows another certificate than the one of the enrollment.", address)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return bad("Set this machine's clock; if it is right, renew the hub's certificate.", "The certificate of %s is not valid now.", address)
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &name):
		return bad("Give the hub a certificate for this name that this machine trusts, or enroll again with a token, which pins the hub's own.", "The certificate of %s is not trusted: %v.", address, innermost(err))
	case errors.As(err, &lookup):
		return bad("Check the name, and this machine's name service (DNS).", "No address is known for the name in %s.", address)
	case errors.As(err, &asked) && asked.Timeout():
		return bad("Check that the hub runs, and that firewalls let this machine reach it.", "No answer from %s.", address)
	default:
		return bad("Check that the hub runs, its address and port, and the proxy if there is one.", "%s cannot be reached: %v.", address, innermost(err))
	}
}

// innermost is the last cause: those around it name the address, again and again.
func innermost(err error) error {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	var operation *net.OpError
	if errors.As(err, &operation) {
		err = operation.Err
	}
	return err
}

// checkProxy tells which way leads to the hub. A password in it is not shown.
func (d *doctor) checkProxy(hub tunnel.Hub) wire.Check {
	const id, title = "proxy", "Way to the hub"
	way, err := proxyOf(hub)
	switch {
	case err != nil:
		return flaw(wire.Fail, id, title, "Correct HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment of the agent.", "The proxy of the environment cannot be used: its address is wrong.")
	case way == nil:
		return well(id, title, "Straight, without a proxy.")
	default:
		return well(id, title, "Through the proxy %s, as the environment says.", way.Redacted())
	}
}

// proxyOf is the proxy for the hub's address, nil: none.
func proxyOf(hub tunnel.Hub) (*url.URL, error) {
	if hub.Proxy == nil {
		return nil, nil
	}
	u, err := url.Parse(hub.URL)
	if err != nil {
		return nil, fmt.Errorf("the hub's address: %w", err)
	}
	return hub.Proxy(&http.Request{URL: u})
}

func (d *doctor) checkLink() wire.Check {
	const id, title = "link", "Connection to the hub"
	switch h := d.running.Hub; {
	case d.alone():
		return flaw(wire.Skip, id, title, "Start the agent, and look again.", "The agent does not run.")
	case d.notRunning != nil:
		return flaw(wire.Skip, id, title, "Look again in a minute.", "The agent could not be asked.")
	case h.Connected:
		return well(id, title, "Since %s.", h.Since.Local().Format(time.DateTime))
	default:
		return flaw(wire.Fail, id, title, "Mend what failed above. If nothing did, the agent tries again by itself: look again in a minute.", "Not connected: %s.", strings.TrimSuffix(h.Problem, "."))
	}
}
