package discover

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// facts are what a machine says of itself, in its own words.
type facts struct {
	serial, name, model, firmware, connect, bind string
}

const (
	serialLength = 15
	maxName      = 64 // characters
)

// found makes a printer of what was said, or tells that this is none. Words that
// are not in their form count as unsaid.
func (f facts) found(address netip.Addr, via wire.FoundVia) (wire.Found, bool) {
	serial := strings.ToUpper(strings.TrimSpace(f.serial))
	if !plausibleSerial(serial) {
		return wire.Found{}, false
	}
	model, known := bambu.ParseModel(f.model)
	if !known {
		model, _ = bambu.ModelOfSerial(serial)
	}
	p := wire.Found{
		Serial: serial, Name: plainName(f.name), Model: model.Code, Address: address.Unmap().String(), Via: via,
		Connect: oneOf(f.connect, "lan", "cloud", "farm"), Bind: oneOf(f.bind, "free", "occupied"),
	}
	if _, ok := bambu.ParseFirmware(f.firmware); ok {
		p.Firmware = f.firmware
	}
	p.Developer = developerHint(p)
	return p, true
}

// plausibleSerial tells whether it has the form of a printer's serial number.
func plausibleSerial(s string) bool {
	return len(s) == serialLength && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z')
	}) && strings.ContainsAny(s, "0123456789")
}

// plainName keeps what can be shown: no control characters, nothing that turns
// the direction of writing around, no endless length.
func plainName(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.TrimSpace(strings.ToValidUTF8(s, "")) {
		if !unicode.IsPrint(r) {
			continue
		}
		if n++; n > maxName {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

func oneOf(s string, words ...string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if slices.Contains(words, s) {
		return s
	}
	return ""
}

// developerHint guesses whether the printer obeys commands over the LAN. An
// older firmware does; a newer one in cloud mode does not, for developer mode
// needs LAN mode; of a newer one in LAN mode its report alone tells.
func developerHint(p wire.Found) *bool {
	m, known := bambu.ModelByCode(p.Model)
	switch {
	case !known || p.Firmware == "":
		return nil
	case m.Lenient(p.Firmware):
		return new(true)
	case p.Connect == "cloud":
		return new(false)
	}
	return nil
}
