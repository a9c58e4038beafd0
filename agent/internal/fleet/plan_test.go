package fleet

import (
	"reflect"
	"strings"
	"testing"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func TestAccept(t *testing.T) {
	held := wire.Config{HubID: hubID, Generation: 2, Revision: 5}
	tests := []struct {
		name                 string
		hub                  string
		generation, revision int64
		want                 farm.Code
	}{
		{"a newer revision", hubID, 2, 6, ""},
		{"the same again", hubID, 2, 5, ""},
		{"an older revision", hubID, 2, 4, farm.Conflict},
		{"a hub restored from a backup", hubID, 3, 1, ""},
		{"a hub that lost its database", hubID, 1, 99, farm.Conflict},
		{"another hub", "hub-2", 9, 9, farm.Conflict},
		{"no hub", "", 9, 9, farm.Conflict},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := accept(hubID, held, wire.Config{HubID: test.hub, Generation: test.generation, Revision: test.revision})
			if farm.CodeOf(err) != test.want {
				t.Errorf("err = %v, want %q", err, test.want)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	bad := entry("B", 1)
	bad.Address = ""
	moved := entry("A", 2)
	moved.Address = "elsewhere"
	held := config(1, entry("A", 2), entry("B", 4))
	tests := []struct {
		name    string
		pushed  wire.Config
		next    []wire.PrinterConfig
		removed []string
		kept    []wire.Presence
		errors  []string // serials
	}{
		{name: "added and kept", pushed: config(2, entry("C", 1)), next: []wire.PrinterConfig{entry("C", 1), entry("A", 2), entry("B", 4)}, kept: []wire.Presence{{Serial: "A", Fence: 2}, {Serial: "B", Fence: 4}}},
		{name: "changed", pushed: config(2, moved, entry("B", 4)), next: []wire.PrinterConfig{moved, entry("B", 4)}},
		{name: "a bad entry does not end what works", pushed: config(2, entry("A", 2), bad), next: []wire.PrinterConfig{entry("A", 2), entry("B", 4)}, errors: []string{"B"}},
		{name: "an older fence", pushed: config(2, entry("A", 1), entry("B", 4)), next: []wire.PrinterConfig{entry("A", 2), entry("B", 4)}, errors: []string{"A"}},
		{name: "an older fence of a restored hub", pushed: wire.Config{HubID: hubID, Generation: 2, Revision: 1, Printers: []wire.PrinterConfig{entry("A", 1), entry("B", 1)}}, next: []wire.PrinterConfig{entry("A", 1), entry("B", 1)}},
		{name: "listed twice", pushed: config(2, entry("A", 2), moved, entry("B", 4)), next: []wire.PrinterConfig{entry("A", 2), entry("B", 4)}, errors: []string{"A"}},
		{name: "tombstones", pushed: tombstones(config(2), farm.Tombstone{Serial: "A", Fence: 2}, farm.Tombstone{Serial: "B", Fence: 5}), removed: []string{"A", "B"}},
		{name: "a tombstone of an earlier assignment", pushed: tombstones(config(2, entry("A", 2)), farm.Tombstone{Serial: "B", Fence: 3}), next: []wire.PrinterConfig{entry("A", 2), entry("B", 4)}, kept: []wire.Presence{{Serial: "B", Fence: 4}}},
		{name: "gone and come back", pushed: tombstones(config(2, entry("A", 5), entry("B", 4)), farm.Tombstone{Serial: "A", Fence: 4}), next: []wire.PrinterConfig{entry("A", 5), entry("B", 4)}},
		{name: "a tombstone of a stranger", pushed: tombstones(config(2, entry("A", 2), entry("B", 4)), farm.Tombstone{Serial: "Z", Fence: 9}), next: []wire.PrinterConfig{entry("A", 2), entry("B", 4)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := planOf(held, test.pushed)
			if !reflect.DeepEqual(p.next.Printers, test.next) {
				t.Errorf("holds %v\nwant %v", p.next.Printers, test.next)
			}
			if !reflect.DeepEqual(p.removed, test.removed) {
				t.Errorf("removed %v, want %v", p.removed, test.removed)
			}
			if len(p.result.Kept) != len(test.kept) || len(test.kept) > 0 && !reflect.DeepEqual(p.result.Kept, test.kept) {
				t.Errorf("kept %v, want %v", p.result.Kept, test.kept)
			}
			var refused []string
			for _, e := range p.result.Errors {
				refused = append(refused, e.Serial)
			}
			if !reflect.DeepEqual(refused, test.errors) {
				t.Errorf("refused %v, want %v", p.result.Errors, test.errors)
			}
			if len(p.next.Tombstones) != 0 || p.next.Revision != test.pushed.Revision {
				t.Errorf("next is %+v", p.next)
			}
		})
	}
}

func tombstones(c wire.Config, t ...farm.Tombstone) wire.Config {
	c.Tombstones = t
	return c
}

func TestWrongWith(t *testing.T) {
	tests := []struct {
		change func(*wire.PrinterConfig)
		says   string
	}{
		{func(*wire.PrinterConfig) {}, ""},
		{func(c *wire.PrinterConfig) { c.Address = "fe80::1%eth0" }, ""},
		{func(c *wire.PrinterConfig) { c.Address = "printer-7.lan" }, ""},
		{func(c *wire.PrinterConfig) { c.Serial = "" }, "serial"},
		{func(c *wire.PrinterConfig) { c.Serial = "00m" }, "serial"},
		{func(c *wire.PrinterConfig) { c.Serial = "#" }, "serial"},
		{func(c *wire.PrinterConfig) { c.Serial = "A/../B" }, "serial"},
		{func(c *wire.PrinterConfig) { c.Serial = strings.Repeat("A", 65) }, "serial"},
		{func(c *wire.PrinterConfig) { c.Address = "a b" }, "address"},
		{func(c *wire.PrinterConfig) { c.Address = "http://x/" }, "address"},
		{func(c *wire.PrinterConfig) { c.Address = strings.Repeat("a", 300) }, "address"},
		{func(c *wire.PrinterConfig) { c.MQTTPort = 0 }, "MQTT port"},
		{func(c *wire.PrinterConfig) { c.FTPSPort = 70000 }, "FTPS port"},
		{func(c *wire.PrinterConfig) { c.CameraPort = -1 }, "camera port"},
		{func(c *wire.PrinterConfig) { c.AccessCode = "" }, "access code"},
		{func(c *wire.PrinterConfig) { c.AccessCode = farm.Secret(strings.Repeat("1", 65)) }, "access code"},
	}
	for _, test := range tests {
		c := entry("00M", 1)
		test.change(&c)
		got := wrongWith(c)
		if (got == "") != (test.says == "") || !strings.Contains(got, test.says) {
			t.Errorf("%q %q %d/%d/%d: %q, want words of %q", c.Serial, c.Address, c.MQTTPort, c.FTPSPort, c.CameraPort, got, test.says)
		}
		if c.AccessCode != "" && strings.Contains(got, c.AccessCode.Reveal()) {
			t.Errorf("%q shows the access code", got)
		}
	}
}
