package bambu

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/tidwall/gjson"
)

// machine is what the reports said of the printer itself. The bit words change
// with every homing, so only the bits that matter are kept.
type machine struct {
	model, firmware, serial string
	signed                  Opt[bool] // fun bit 29
	card                    Opt[bool] // sdcard
	cardState, cardStateNew Opt[int]  // home_flag 8-9, aux 12-13: 0 none
	doorOld, doorNew        Opt[bool] // home_flag 23, stat 23
	hasDoor                 bool      // the old bit was seen set
	wired                   bool
	nozzle                  Nozzle // nozzle_type, nozzle_diameter: the active one
	nozzles                 [maxExtruders]Opt[Nozzle]
	camera                  string
	address                 uint32
	offer                   Opt[int] // new_version_state: 1 there is one
	offered                 string
}

var machineKeys = keys[machine]{
	"fun": func(m *machine, v gjson.Result) bool {
		bits, ok := hexBits(v)
		return ok && assign(&m.signed, Some(bits>>29&1 == 1))
	},
	"aux": func(m *machine, v gjson.Result) bool {
		bits, ok := hexBits(v)
		return ok && assign(&m.cardStateNew, Some(int(bits>>12&3)))
	},
	"stat": func(m *machine, v gjson.Result) bool {
		bits, ok := hexBits(v)
		return ok && assign(&m.doorNew, Some(bits>>23&1 == 1))
	},
	"home_flag": readHomeFlag,
	"sdcard":    flag(func(m *machine) *Opt[bool] { return &m.card }),
	"nozzle_diameter": decimal(0.1, 2, func(m *machine) *Opt[float64] {
		return &m.nozzle.Diameter
	}),
	"nozzle_type": func(m *machine, v gjson.Result) bool {
		n, ok := withType(m.nozzle, v)
		return ok && assign(&m.nozzle, n)
	},
	"ipcam":         within(keys[machine]{"rtsp_url": readCameraURL}),
	"net":           within(keys[machine]{"info": readAddress}),
	"upgrade_state": within(upgradeKeys),
}

var upgradeKeys = keys[machine]{
	"new_version_state":      whole(0, 255, func(m *machine) *Opt[int] { return &m.offer }),
	"ota_new_version_number": words(32, func(m *machine) *string { return &m.offered }),
	"new_ver_list":           readOffers,
}

// readHomeFlag takes the storage and the door out of the flags.
func readHomeFlag(m *machine, v gjson.Result) bool {
	bits, ok := word32(v)
	if !ok {
		return false
	}
	open := bits>>23&1 == 1
	changed := assign(&m.cardState, Some(int(bits>>8&3)))
	changed = assign(&m.hasDoor, m.hasDoor || open) || changed
	return assign(&m.doorOld, Some(open)) || changed
}

func readCameraURL(m *machine, v gjson.Result) bool {
	url, ok := text(v, 256)
	if !strings.HasPrefix(url, "rtsp") {
		url = "" // "disable"
	}
	return ok && keep(&m.camera, url)
}

// readAddress takes the first interface that has one; IPv4, low byte first.
func readAddress(m *machine, v gjson.Result) bool {
	if !v.IsArray() {
		return false
	}
	var address uint32
	v.ForEach(func(_, one gjson.Result) bool {
		address, _ = word32(one.Get("ip"))
		return address == 0
	})
	return assign(&m.address, address)
}

// readOffers reads the update list of the A and P series.
func readOffers(m *machine, v gjson.Result) bool {
	if !v.IsArray() {
		return false
	}
	version := ""
	v.ForEach(func(_, one gjson.Result) bool {
		if one.Get("name").Str == "ota" {
			version, _ = text(one.Get("new_ver"), 32)
		}
		return version == ""
	})
	return keep(&m.offered, version)
}

// readNozzles reads device.nozzle: by id, where 0 and 1 sit on the extruders and
// the rest in a rack.
func readNozzles(m *machine, v gjson.Result) (changed bool) {
	exist, known := word32(v.Get("exist"))
	info := v.Get("info")
	if info.IsArray() {
		info.ForEach(func(_, one gjson.Result) bool {
			changed = m.readNozzle(one) || changed
			return true
		})
	}
	for id := range m.nozzles {
		if known && exist>>id&1 == 0 {
			changed = assign(&m.nozzles[id], Opt[Nozzle]{}) || changed
		}
	}
	return changed
}

func (m *machine) readNozzle(v gjson.Result) bool {
	id, ok := integer(v.Get("id"))
	if !ok || id < 0 || id >= maxExtruders {
		return false
	}
	n := m.nozzles[id].Value
	n.Extruder = int(id)
	if d, ok := number(v.Get("diameter")); ok && d >= 0.1 && d <= 2 {
		n.Diameter = Some(d)
	}
	n, _ = withType(n, v.Get("type"))
	return assign(&m.nozzles[id], Some(n))
}

// materials are the words for a nozzle's material, by the digits of its type id.
var materials = map[string]string{"00": "stainless_steel", "01": "hardened_steel", "05": "tungsten_carbide"}

// withType reads a nozzle's type id: H, a letter for the flow, two digits for the
// material (HS01). Older firmware has the material in words.
func withType(n Nozzle, v gjson.Result) (Nozzle, bool) {
	t, _ := text(v, 32)
	if len(t) == 4 && t[0] == 'H' {
		n.Type = materials[t[2:]]
		n.HighFlow = t[1] == 'H' || t[1] == 'E'
		return n, true
	}
	for _, material := range materials {
		if t == material {
			n.Type, n.HighFlow = material, false
			return n, true
		}
	}
	return n, false
}

func (s *State) renderMachine() Machine {
	m := &s.machine
	out := Machine{
		Model:          m.model,
		Firmware:       m.firmware,
		Serial:         m.serial,
		SignedCommands: m.signed,
		DeveloperMode:  Opt[bool]{Value: m.signed.Known && !m.signed.Value, Known: m.signed.Known},
		Storage:        m.storage(),
		DoorOpen:       s.door(),
		Wired:          m.wired,
		Nozzles:        s.renderNozzles(),
		ActiveExtruder: s.activeExtruder(),
		CameraURL:      m.camera,
	}
	if m.address != 0 {
		var ip [4]byte
		binary.LittleEndian.PutUint32(ip[:], m.address)
		out.IPAddress = netip.AddrFrom4(ip).String()
	}
	if first(m.offer, Some(1)).Value == 1 {
		out.UpdateAvailable = m.offered
	}
	return out
}

// storage asks the newest field first. A card that is damaged or read-only is
// there.
func (m *machine) storage() Opt[bool] {
	switch {
	case m.cardStateNew.Known:
		return Some(m.cardStateNew.Value != 0)
	case m.card.Known:
		return m.card
	case m.cardState.Known:
		return Some(m.cardState.Value != 0)
	}
	return Opt[bool]{}
}

// door: the bits are there on every machine, the sensor is not. Of a model
// nobody knows, one that once said "open" has a door.
func (s *State) door() Opt[bool] {
	m, ok := s.model()
	switch {
	case ok && !m.DoorSensor:
		return Opt[bool]{}
	case s.machine.doorNew.Known:
		return s.machine.doorNew
	case ok || s.machine.hasDoor:
		return s.machine.doorOld
	}
	return Opt[bool]{}
}

// renderNozzles prefers device.nozzle, which knows every nozzle.
func (s *State) renderNozzles() []Nozzle {
	var out []Nozzle
	for _, n := range s.machine.nozzles {
		if n.Known {
			out = append(out, n.Value)
		}
	}
	if n := s.machine.nozzle; out == nil && !s.twoNozzles() && n != (Nozzle{}) {
		out = []Nozzle{n}
	}
	return out
}

// wiredSignal is what a machine on a network cable reports as its WiFi signal.
const wiredSignal = -90

// readWiFi reads "-49dBm".
func readWiFi(s *State, v gjson.Result) bool {
	if v.Type == gjson.String {
		v.Str = strings.TrimSuffix(strings.TrimSpace(v.Str), "dBm")
	}
	n, ok := integer(v)
	if !ok || n >= 0 || n < -120 {
		return false
	}
	signal := Signal{WiFi: Some(int(n))}
	if n == wiredSignal {
		signal = Signal{}
	}
	changed := assign(&s.signal, signal)
	if changed {
		s.touched |= inSignal
	}
	if assign(&s.machine.wired, n == wiredSignal) {
		s.touched |= inMachine
		changed = true
	}
	return changed
}
