// Package proxy tells who a client is behind the reverse proxies that are trusted, and
// by which scheme he came. Of everybody else such headers are passed over: anybody can
// write them.
package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5/middleware"

	"bambuddy/shared/farm"
)

// Parse reads the ranges of addresses that trusted proxies have: 10.0.0.0/8, or a bare
// address.
func Parse(ranges []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(ranges))
	for _, text := range ranges {
		text = strings.TrimSpace(text)
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil || addr.Zone() != "" {
				return nil, farm.Errorf(farm.Invalid, "%q: not a range of addresses, as 10.0.0.0/8 or fd00::/8", text)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		switch {
		case p.Addr().Is4In6():
			return nil, farm.Errorf(farm.Invalid, "%q: write an IPv4 range as one", text)
		case p.Bits() == 0:
			return nil, farm.Errorf(farm.Invalid, "%q: trusts everybody, so that anybody could pass for anybody else", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

type schemeKey struct{}

// Scheme is by which scheme the client of a request came: "http" or "https".
func Scheme(ctx context.Context) string {
	if s, ok := ctx.Value(schemeKey{}).(string); ok {
		return s
	}
	return "http"
}

// Trust puts the client's address in the place of a trusted proxy's: the last one in
// X-Forwarded-For that is not a trusted proxy's itself. When that is not an address,
// or there is none, it stays the proxy's. The port is not known and becomes 0.
func Trust(ranges []netip.Prefix) func(http.Handler) http.Handler {
	walk := func(next http.Handler) http.Handler { return next }
	if len(ranges) > 0 {
		texts := make([]string, len(ranges))
		for i, p := range ranges {
			texts[i] = p.String()
		}
		walk = middleware.ClientIPFromXFF(texts...)
	}
	return func(next http.Handler) http.Handler {
		return walk(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			scheme := "http"
			if r.TLS != nil {
				scheme = "https"
			}
			peer, ok := peerOf(r.RemoteAddr)
			trusted := ok && slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(peer) })
			if trusted {
				scheme = forwarded(r.Header, scheme)
			}
			client := middleware.GetClientIPAddr(r.Context())
			r = r.WithContext(context.WithValue(r.Context(), schemeKey{}, scheme))
			if trusted && client.IsValid() {
				r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
			}
			next.ServeHTTP(w, r)
		}))
	}
}

func peerOf(remote string) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(remote)
	return ap.Addr().Unmap().WithZone(""), err == nil
}

// forwarded is what the nearest proxy says last of the scheme.
func forwarded(h http.Header, own string) string {
	values := h.Values("X-Forwarded-Proto")
	if len(values) == 0 {
		return own
	}
	last := values[len(values)-1]
	last = strings.ToLower(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
	if last != "http" && last != "https" {
		return own
	}
	return last
}
