package discover

import (
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"bambuddy/shared/wire"
)

var sender = netip.MustParseAddr("192.168.1.200")

func TestAnnouncement(t *testing.T) {
	got, ok := parseSSDP(notify(p2s, office), sender)
	want := wire.Found{
		Serial: p2s, Name: "Shop P2S", Model: "P2S", Address: office, Firmware: "01.02.00.00",
		Connect: "lan", Bind: "free", Via: wire.ViaSSDP,
	}
	if !ok || got.Found != want || got.farewell {
		t.Errorf("%+v %v", got, ok)
	}
	if got, ok := parseSSDP(notify(p2s, office, "NTS", "ssdp:byebye"), sender); !ok || !got.farewell {
		t.Errorf("a farewell: %+v %v", got, ok)
	}
	bare := strings.ReplaceAll(string(notify(p2s, office)), "\r\n", "\n")
	if got, ok := parseSSDP([]byte(bare), sender); !ok || got.Found != want {
		t.Errorf("without carriage returns: %+v %v", got, ok)
	}
}

func TestAnnouncementsOfAllKinds(t *testing.T) {
	for _, test := range []struct {
		name    string
		changes []string
		holds   func(wire.Found) bool
	}{
		{"no location", []string{"Location", ""}, func(f wire.Found) bool { return f.Address == sender.String() }},
		{"a public location", []string{"Location", "8.8.8.8"}, func(f wire.Found) bool { return f.Address == sender.String() }},
		{"a URL as location", []string{"Location", "http://192.168.1.9/"}, func(f wire.Found) bool { return f.Address == sender.String() }},
		{"an old name of a model", []string{"DevModel.bambu.com", "3DPrinter-X1-Carbon"}, func(f wire.Found) bool { return f.Model == "X1C" }},
		{"an unknown model", []string{"DevModel.bambu.com", "Z9"}, func(f wire.Found) bool { return f.Model == "P2S" }},
		{"a serial in lower case", []string{"USN", strings.ToLower(p2s)}, func(f wire.Found) bool { return f.Serial == p2s }},
		{"an odd firmware", []string{"DevVersion.bambu.com", "<script>"}, func(f wire.Found) bool { return f.Firmware == "" }},
		{"an odd mode", []string{"DevConnect.bambu.com", "wan"}, func(f wire.Found) bool { return f.Connect == "" }},
		{"a farm", []string{"DevConnect.bambu.com", "farm"}, func(f wire.Found) bool { return f.Connect == "farm" }},
		{"a name in UTF-8", []string{"DevName.bambu.com", "Küche 打印机"}, func(f wire.Found) bool { return f.Name == "Küche 打印机" }},
		{"a name with controls", []string{"DevName.bambu.com", "a\x1b[31m\u202eb\x00\xff"}, func(f wire.Found) bool { return f.Name == "a[31mb" }},
		{"a long name", []string{"DevName.bambu.com", strings.Repeat("ä", 500)}, func(f wire.Found) bool { return f.Name == strings.Repeat("ä", 64) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := parseSSDP(notify(p2s, office, test.changes...), sender)
			if !ok || !test.holds(got.Found) {
				t.Errorf("%+v %v", got, ok)
			}
		})
	}
}

func TestWhatIsNoAnnouncement(t *testing.T) {
	whole := string(notify(p2s, office))
	for name, d := range map[string]string{
		"nothing":             "",
		"a question":          strings.Replace(whole, "NOTIFY * HTTP/1.1", "M-SEARCH * HTTP/1.1", 1),
		"an answer":           strings.Replace(whole, "NOTIFY * HTTP/1.1", "HTTP/1.1 200 OK", 1),
		"of a router":         string(notify(p2s, office, "NT", "upnp:rootdevice")),
		"no serial":           string(notify("", office)),
		"a serial with slash": string(notify("22E00A00000000/", office)),
		"a short serial":      string(notify("22E", office)),
		"too long":            whole + strings.Repeat("x", maxDatagram),
		"too many lines":      whole + strings.Repeat("\n", maxLines),
	} {
		if got, ok := parseSSDP([]byte(d), sender); ok {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, ok := parseSSDP(notify(p2s, ""), netip.MustParseAddr("8.8.8.8")); ok {
		t.Error("from the internet")
	}
}

func TestDeveloperHint(t *testing.T) {
	for _, test := range []struct{ model, firmware, connect, want string }{
		{"P1S", "01.07.00.00", "cloud", "yes"},
		{"P1S", "01.08.02.00", "cloud", "no"},
		{"P1S", "01.08.02.00", "lan", ""},
		{"P2S", "01.00.00.00", "lan", ""},
		{"X1C", "01.08.50.18", "lan", "yes"},
		{"X1C", "01.08.50.32", "cloud", "no"},
		{"H2D", "01.00.02.00", "lan", "yes"},
		{"P1S", "", "cloud", ""},
		{"", "01.00.00.00", "cloud", ""},
	} {
		got := ""
		if hint := developerHint(wire.Found{Model: test.model, Firmware: test.firmware, Connect: test.connect}); hint != nil {
			got = map[bool]string{true: "yes", false: "no"}[*hint]
		}
		if got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

// checkFound holds what every printer found must keep to, whatever was sent.
func checkFound(t *testing.T, f wire.Found) {
	t.Helper()
	a, err := netip.ParseAddr(f.Address)
	if err != nil || !local(a) {
		t.Errorf("address %q", f.Address)
	}
	if !plausibleSerial(f.Serial) {
		t.Errorf("serial %q", f.Serial)
	}
	if len([]rune(f.Name)) > maxName || strings.ContainsFunc(f.Name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("name %q", f.Name)
	}
	if strings.Trim(f.Firmware, "0123456789.") != "" || len(f.Firmware) > 32 {
		t.Errorf("firmware %q", f.Firmware)
	}
}

func FuzzSSDP(f *testing.F) {
	f.Add(notify(p2s, office))
	f.Add(notify(p1s, "", "NTS", "ssdp:byebye"))
	f.Add([]byte("NOTIFY * HTTP/1.1\nnt:" + printerType + "\nusn:" + p1s))
	f.Fuzz(func(t *testing.T, d []byte) {
		if a, ok := parseSSDP(d, sender); ok {
			checkFound(t, a.Found)
		}
	})
}
