package registry

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

// Bounds of what people may enter.
const (
	maxName     = 100
	maxLocation = 200
	maxTags     = 20
	maxTag      = 50
	maxCode     = 64
)

var (
	serialForm = regexp.MustCompile(`^[A-Z0-9]{3,32}$`)
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?$`)
	// numeric is what some resolvers read as a number and so as an address: a
	// name's last part may not be one.
	numeric = regexp.MustCompile(`(?i)(^|\.)([0-9]+|0x[0-9a-f]*)\.?$`)
)

// checkPrinter brings a printer's fields into form and says what is wrong.
func checkPrinter(p *farm.Printer) (err error) {
	if p.Name, err = checkName("name", p.Name); err != nil {
		return err
	}
	p.Serial = strings.ToUpper(strings.TrimSpace(p.Serial))
	if !serialForm.MatchString(p.Serial) {
		return farm.Errorf(farm.Invalid, "serial_number: must be 3 to 32 letters and digits, as shown on the printer's screen")
	}
	p.Address = strings.TrimSpace(p.Address)
	if !isHost(p.Address) {
		return farm.Errorf(farm.Invalid, "ip_address: must be an IP address or a host name, without a scheme or a port")
	}
	if p.ModelGiven != "" {
		m, ok := bambu.ParseModel(p.ModelGiven)
		if !ok {
			return farm.Errorf(farm.Invalid, "model: %q is no model this hub knows", clip(p.ModelGiven))
		}
		p.ModelGiven = m.Code
	}
	p.Location = strings.TrimSpace(p.Location)
	if !printable(p.Location, maxLocation) {
		return farm.Errorf(farm.Invalid, "location: at most %d printable characters", maxLocation)
	}
	if p.Tags, err = checkTags(p.Tags); err != nil {
		return err
	}
	return checkPorts(*p)
}

func checkPorts(p farm.Printer) error {
	for _, f := range []struct {
		name      string
		port, low int
	}{{"mqtt_port", p.MQTTPort, 1}, {"ftps_port", p.FTPSPort, 1}, {"camera_port", p.CameraPort, 0}} {
		if f.port < f.low || f.port > 65535 {
			return farm.Errorf(farm.Invalid, "%s: must be between %d and 65535", f.name, f.low)
		}
	}
	return nil
}

func checkTags(tags []string) ([]string, error) {
	if len(tags) > maxTags {
		return nil, farm.Errorf(farm.Invalid, "tags: at most %d", maxTags)
	}
	var out []string // the caller's stay as they are
	for _, t := range tags {
		t = strings.TrimSpace(t)
		if t == "" || !printable(t, maxTag) {
			return nil, farm.Errorf(farm.Invalid, "tags: each 1 to %d printable characters", maxTag)
		}
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out, nil
}

func checkName(field, name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || !printable(name, maxName) {
		return "", farm.Errorf(farm.Invalid, "%s: must be 1 to %d printable characters", field, maxName)
	}
	return name, nil
}

// checkCode never shows the code.
func checkCode(code farm.Secret) error {
	c := code.Reveal()
	if c == "" || len(c) > maxCode || strings.ContainsFunc(c, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return farm.Errorf(farm.Invalid, "access_code: must be 1 to %d letters and digits, as shown on the printer's screen", maxCode)
	}
	return nil
}

func isHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	return len(s) <= 253 && hostForm.MatchString(s) && !numeric.MatchString(s)
}

func printable(s string, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
