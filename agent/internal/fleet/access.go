package fleet

import (
	"crypto/tls"
	"net/netip"
	"strings"

	"bambuddy/agent/internal/printer"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Access is what it takes to reach a printer on its other ports.
type Access struct {
	Config wire.PrinterConfig
	Model  bambu.Model // as reported, else as configured, else of the serial number; zero when nobody knows
	TLS    *tls.Config // checks that it is this printer; clone it before changing it
}

// Access gives what is needed to reach a printer's files and camera. It holds for
// one connection: ask again for the next, since the address or the access code may
// have changed. farm.NotFound when the agent does not hold the printer.
func (f *Fleet) Access(serial string) (Access, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.members[serial]
	if !ok {
		return Access{}, notHeld(serial)
	}
	return Access{Config: m.cfg, Model: m.session.Model(), TLS: printer.TLSConfig(m.cfg, f.pins)}, nil
}

// Snapshot gives the present picture of a printer's session. farm.NotFound when
// the agent does not hold the printer.
func (f *Fleet) Snapshot(serial string) (printer.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.members[serial]
	if !ok {
		return printer.Snapshot{}, notHeld(serial)
	}
	return m.session.Snapshot(), nil
}

// NoteAddress tells that a printer was seen at an IP address. When it cannot be
// reached at the one configured, the hub is told; a later note of the configured
// address takes that back. What is no IP address or no printer of ours is ignored.
func (f *Fleet) NoteAddress(serial, address string) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.members[serial]
	if !ok || m.seen == ip.Unmap().String() {
		return
	}
	m.seen = ip.Unmap().String()
	f.tell(serial)
}

// seenElsewhere is where a printer was seen while it is not where it should be. One
// that is online is where it should be, whatever others say.
func (m *member) seenElsewhere(snap printer.Snapshot) string {
	if snap.Connection.State == wire.Online || strings.EqualFold(m.seen, m.cfg.Address) {
		return ""
	}
	return m.seen
}

func notHeld(serial string) error {
	return farm.Errorf(farm.NotFound, "this agent holds no printer %s", serial)
}
