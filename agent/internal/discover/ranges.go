package discover

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"bambuddy/shared/farm"
)

// maxAddresses is how many one scan may visit: as many as a /20 has.
const maxAddresses = 4096

// ParseRange reads a range as people write it: "192.168.1.0/24", any address with
// the length of its network, or one address alone.
func ParseRange(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, farm.Errorf(farm.Invalid, "%.50q is not a range of addresses like 192.168.1.0/24", s)
	}
	return p, nil
}

// addressesOf are the addresses of hosts in the ranges, each once, in their order.
// Ranges that are not private, or too many addresses, are a farm.Invalid.
func addressesOf(ranges []netip.Prefix) ([]netip.Addr, error) {
	asked := 0
	for _, r := range ranges {
		if !r.IsValid() || !r.Addr().Is4() {
			return nil, farm.Errorf(farm.Invalid, "%v: only ranges of IPv4 addresses can be scanned", r)
		}
		first, last := ends(r)
		if !local(first) || !local(last) {
			return nil, farm.Errorf(farm.Invalid, "%v: only private networks are scanned (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16)", r)
		}
		if asked += 1 << (32 - r.Bits()); asked > maxAddresses {
			return nil, farm.Errorf(farm.Invalid, "that is more than %d addresses (a /20) at once: name smaller ranges", maxAddresses)
		}
	}
	var all []netip.Addr
	for _, r := range ranges {
		first, last := ends(r)
		if r.Bits() < 31 { // the network's own name and its broadcast address
			first, last = first.Next(), last.Prev()
		}
		for a := first; a.Compare(last) <= 0; a = a.Next() {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all), nil
}

// ends are the first and the last address of a range. Both are private only if
// all between are: a private network is not shorter than /8, and a range that
// reaches beyond one begins or ends outside.
func ends(r netip.Prefix) (first, last netip.Addr) {
	r = r.Masked()
	b := r.Addr().As4()
	for bit := r.Bits(); bit < 32; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	return r.Addr(), netip.AddrFrom4(b)
}

// LocalRanges are the private networks that this machine is in, one /24 around
// its own address where they are larger.
func LocalRanges() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's networks: %w", err)
	}
	return rangesAround(addresses), nil
}

func rangesAround(addresses []net.Addr) []netip.Prefix {
	var ranges []netip.Prefix
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().IsPrivate() || !p.Addr().Is4() {
			continue
		}
		p = netip.PrefixFrom(p.Addr(), max(p.Bits(), 24)).Masked()
		if !slices.Contains(ranges, p) {
			ranges = append(ranges, p)
		}
	}
	return ranges
}
