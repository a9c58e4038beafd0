package discover

import (
	"bytes"
	"net/netip"
	"strings"

	"bambuddy/shared/wire"
)

// Bounds of an announcement; a real one has 450 bytes and 15 lines.
const (
	maxDatagram = 2048
	maxLines    = 64
)

// printerType is what printers call themselves.
const printerType = "urn:bambulab-com:device:3dprinter:1"

// announcement is what a datagram says.
type announcement struct {
	wire.Found
	farewell bool // it says that the printer goes
}

// parseSSDP reads a datagram that came from an address. Everything but a
// printer's own announcement is passed over: questions, answers to others, and
// what is not in its form.
func parseSSDP(datagram []byte, from netip.Addr) (announcement, bool) {
	if len(datagram) > maxDatagram {
		return announcement{}, false
	}
	first, rest, _ := bytes.Cut(datagram, []byte("\n"))
	if !strings.EqualFold(strings.TrimSpace(string(first)), "NOTIFY * HTTP/1.1") {
		return announcement{}, false
	}
	h, ok := headers(string(rest))
	if !ok || h["nt"] != printerType {
		return announcement{}, false
	}
	address, ok := addressOf(h["location"], from)
	if !ok {
		return announcement{}, false
	}
	said := facts{
		serial: h["usn"], name: h["devname.bambu.com"], model: h["devmodel.bambu.com"],
		firmware: h["devversion.bambu.com"], connect: h["devconnect.bambu.com"], bind: h["devbind.bambu.com"],
	}
	found, ok := said.found(address, wire.ViaSSDP)
	return announcement{found, strings.EqualFold(h["nts"], "ssdp:byebye")}, ok
}

// headers reads the lines by their names in lower case; of a name that comes
// twice the first counts.
func headers(text string) (map[string]string, bool) {
	h := map[string]string{}
	lines := 0
	for line := range strings.SplitSeq(text, "\n") {
		if lines++; lines > maxLines {
			return nil, false
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := h[name]; !twice {
			h[name] = strings.TrimSpace(value)
		}
	}
	return h, true
}

// addressOf is the address a printer names, a bare IPv4, or without one the
// address that the datagram came from.
func addressOf(location string, from netip.Addr) (netip.Addr, bool) {
	if named, err := netip.ParseAddr(location); err == nil && local(named) {
		return named, true
	}
	return from.Unmap(), local(from.Unmap())
}

// local tells whether an address can be a printer's: an IPv4 address of a
// private network. Simulated printers live on the loopback network.
func local(a netip.Addr) bool {
	return a.Is4() && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast())
}
