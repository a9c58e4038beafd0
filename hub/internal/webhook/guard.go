package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"

	"bambuddy/shared/farm"
)

// maxURL is how long an endpoint's address may be.
const maxURL = 2048

// never are addresses that no setting opens: link-local ones, and those at which clouds
// tell a machine its own secrets, where they lie elsewhere.
var never = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("168.63.129.16/32"), netip.MustParsePrefix("192.0.0.192/32"),
}

// private are the addresses that are open when they are allowed: this machine's own,
// and those of networks that are somebody's.
var (
	private4 = []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	}
	private6 = []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/7")}
)

// guard tells which addresses may be sent to.
type guard struct{ public, open *ssrf.Guardian }

func newGuard() guard {
	return guard{
		public: ssrf.New(ssrf.WithAnyPort()),
		open:   ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(private4...), ssrf.WithAllowedV6Prefixes(private6...)),
	}
}

// errAddress is in the chain of every refusal of an address.
var errAddress = errors.New("webhooks are not sent to this address")

// check refuses an address. An IPv4 address is the same in IPv6's clothes.
func (g guard) check(a netip.Addr, allowPrivate bool) error {
	a = a.Unmap().WithZone("")
	for _, p := range never {
		if p.Contains(a) {
			return fmt.Errorf("%w: %s is link-local or holds secrets of a cloud", errAddress, a)
		}
	}
	guardian := g.public
	if allowPrivate {
		guardian = g.open
	}
	if guardian.SafeAddr(a) == nil {
		return nil
	}
	if !allowPrivate && g.open.SafeAddr(a) == nil {
		return fmt.Errorf("%w: %s is loopback or private, which the settings do not allow", errAddress, a)
	}
	return fmt.Errorf("%w: %s is not an address of one machine on the internet", errAddress, a)
}

// control is for net.Dialer: it sees the address that is about to be connected to,
// after its name was looked up, so that what the name means elsewhere is no matter.
func (g guard) control(allowPrivate bool) func(network, address string, _ syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || network != "tcp4" && network != "tcp6" {
			return fmt.Errorf("%w: %s %s", errAddress, network, address)
		}
		return g.check(at.Addr(), allowPrivate)
	}
}

// checkURL brings an endpoint's address into form and tells what is wrong with it. An
// address in numbers that would be refused when it is dialled is refused at once.
func (g guard) checkURL(raw string, allowPrivate bool) (string, error) {
	raw = strings.TrimSpace(raw)
	u, err := url.Parse(raw)
	switch {
	case raw == "" || len(raw) > maxURL:
		return "", farm.Errorf(farm.Invalid, "url: 1 to %d characters", maxURL)
	case err != nil || strings.ContainsAny(raw, " \t\\") || u.Opaque != "":
		return "", farm.Errorf(farm.Invalid, "url: not readable as the address of a web server")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", farm.Errorf(farm.Invalid, "url: must begin with https:// or http://")
	case u.Hostname() == "":
		return "", farm.Errorf(farm.Invalid, "url: names no host")
	case u.User != nil:
		return "", farm.Errorf(farm.Invalid, "url: must hold no name and password; check the signature instead")
	case strings.Contains(raw, "#"):
		return "", farm.Errorf(farm.Invalid, "url: must have no fragment (#…), which is never sent")
	}
	if _, port, err := net.SplitHostPort(u.Host); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", farm.Errorf(farm.Invalid, "url: port %q is not 1 to 65535", port)
		}
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := g.check(a, allowPrivate); err != nil {
			return "", farm.Errorf(farm.Invalid, "url: %s", err)
		}
	}
	return u.String(), nil
}
