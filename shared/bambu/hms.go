package bambu

import (
	"fmt"
	"net/url"
	"slices"

	"github.com/tidwall/gjson"
)

// maxHMS bounds the list of health messages.
const maxHMS = 64

var faultKeys = keys[Faults]{
	"print_error": func(f *Faults, v gjson.Result) bool {
		code, ok := word32(v)
		return ok && assign(&f.PrintError, code)
	},
	"hms": readHMS,
}

// readHMS replaces the list; half a code is no message.
func readHMS(f *Faults, v gjson.Result) bool {
	if !v.IsArray() {
		return false
	}
	var buf [maxHMS]HMS
	n := 0
	v.ForEach(func(_, one gjson.Result) bool {
		attr, ok := word32(one.Get("attr"))
		code, ok2 := word32(one.Get("code"))
		if ok && ok2 && attr != 0 && code != 0 {
			buf[n] = HMS{Attr: attr, Code: code}
			n++
		}
		return n < maxHMS
	})
	if slices.Equal(f.HMS, buf[:n]) {
		return false
	}
	f.HMS = append([]HMS(nil), buf[:n]...) // a new one: the old may be published
	return true
}

// Severity is how bad a health message is.
type Severity string

// The severities, worst first.
const (
	Fatal   Severity = "fatal"
	Serious Severity = "serious"
	Common  Severity = "common"
	Info    Severity = "info"
)

// String is the text form that the vendor's pages use: HMS_0500_0500_0001_0007.
func (h HMS) String() string {
	return fmt.Sprintf("HMS_%04X_%04X_%04X_%04X", h.Attr>>16, h.Attr&0xFFFF, h.Code>>16, h.Code&0xFFFF)
}

// Severity is the high half of the code. All recorded messages have 1..4 there;
// the bits 8-11 of attr that another client reads hold 4, 5 and 6. A number beyond
// the four is "common": told, but no alarm.
func (h HMS) Severity() Severity {
	switch h.Code >> 16 {
	case 1:
		return Fatal
	case 2:
		return Serious
	case 4:
		return Info
	default:
		return Common
	}
}

var moduleNames = map[byte]string{
	0x03:       "motion controller",
	0x05:       "mainboard",
	moduleAMS:  "AMS",
	0x08:       "toolhead",
	0x0C:       "camera AI",
	moduleLite: "AMS Lite",
	moduleHT:   "AMS HT",
}

// Module is the part of the machine that complains, "" when its number is not known.
func (h HMS) Module() string { return moduleNames[byte(h.Attr>>24)] }

// Message says a well-known code in words, "" for the others: the vendor's texts
// are not ours to ship. Link leads to them.
func (h HMS) Message() string {
	attr, place := h.Attr, ""
	if family := byte(h.Attr >> 24); family == moduleAMS || family == moduleLite || family == moduleHT {
		attr, place = h.inAMS()
	}
	text := hmsMessages[HMS{attr, h.Code}]
	if text == "" || place == "" {
		return text
	}
	return place + ": " + text
}

// Modules that are AMS units. Their codes are the same; the second byte counts
// the units, FE and FF are none: the external spools.
const (
	moduleAMS  = 0x07
	moduleLite = 0x12
	moduleHT   = 0x18

	noUnit = 0xFE // and above
)

// inAMS makes the attr of a unit's message the one of the first unit, and of its
// first slot, and tells which ones they were: "AMS B slot 3".
func (h HMS) inAMS() (attr uint32, place string) {
	unit := h.Attr >> 16 & 0xFF
	if unit >= noUnit {
		return moduleAMS<<24 | 0xFF<<16 | h.Attr&0xFFFF, ""
	}
	place = moduleNames[byte(h.Attr>>24)]
	if unit < 8 && byte(h.Attr>>24) != moduleLite { // there is one AMS Lite
		place += " " + string(rune('A'+unit))
	}
	attr = moduleAMS<<24 | h.Attr&0xFFFF
	switch attr >> 12 & 0xF {
	case 1, 2, 6, 7, 8: // parts of a slot
		place += fmt.Sprintf(" slot %d", attr>>8&0xF+1)
		attr &^= 0x0F00
	}
	return attr, place
}

// Link is the vendor's page about the message, for the printer with this serial
// number, of which it tells the page only the model.
func (h HMS) Link(serial string) string {
	return vendorPage("device_hms", fmt.Sprintf("%08X%08X", h.Attr, h.Code), serial)
}

// ErrorLink is the same for a print_error, "" for 0.
func ErrorLink(code uint32, serial string) string {
	if code == 0 {
		return ""
	}
	return vendorPage("device_error", fmt.Sprintf("%08X", code), serial)
}

func vendorPage(kind, code, serial string) string {
	m, _ := ModelOfSerial(serial)
	query := url.Values{"e": {code}, "s": {kind}, "lang": {"en"}}
	if m.Prefix != "" {
		query.Set("d", m.Prefix)
	}
	return "https://e.bambulab.com/index.php?" + query.Encode()
}

// Unverified is the complaint of firmware that was sent an unsigned command.
func (h HMS) Unverified() bool { return h == HMS{0x05000500, 0x00010007} }

// ErrorCode is the text form of a print_error: "0300-400C", "" for 0.
func ErrorCode(code uint32) string {
	if code == 0 {
		return ""
	}
	return fmt.Sprintf("%04X-%04X", code>>16, code&0xFFFF)
}

// ErrorMessage says a well-known print_error in words, "" for the others.
func ErrorMessage(code uint32) string {
	module, unit, rest := code>>24, code>>16&0xFF, code&0xFFFF
	tries := []uint32{code}
	switch {
	case module != moduleAMS && module != moduleLite && module != moduleHT:
	case unit >= noUnit:
		tries = append(tries, moduleAMS<<24|0xFF<<16|rest, moduleAMS<<24|rest)
	default:
		tries = append(tries, module<<24|rest, moduleAMS<<24|rest)
	}
	for _, try := range tries {
		if text := errorMessages[try]; text != "" {
			return text
		}
	}
	return ""
}

// IsCancelEcho tells whether a print_error only repeats that someone stopped the
// print. It appears some seconds after the stop, and on some models stays.
func IsCancelEcho(code uint32) bool { return code == 0x0300400C || code == 0x0500400E }

// CancelEcho is the same for a health message: module and short code of one, or
// the message that a P2S adds to it.
func (h HMS) CancelEcho() bool {
	return h == cancelledP2S || IsCancelEcho(h.Attr&0xFFFF0000|h.Code&0xFFFF)
}

// cancelledP2S is what a P2S (firmware 01.02.00.00) adds to its list in the same
// report that shows print_error 0300-400C, five seconds after a stop, and in none
// before. It was recorded once; the vendor's list of texts, which has that error as
// "cancelled", does not have this message. See TestNozzleMismatchEvents.
var cancelledP2S = HMS{0x05000400, 0x00030057}

// Level is the printer's health in one word: "error" with a fatal or serious
// message or a print_error, "warning" with any other message, else "ok". A cancel
// echo is the answer to a person's wish and counts for nothing.
func (f Faults) Level() string {
	level := "ok"
	if f.PrintError != 0 && !IsCancelEcho(f.PrintError) {
		return "error"
	}
	for _, h := range f.HMS {
		if h.CancelEcho() {
			continue
		}
		if s := h.Severity(); s == Fatal || s == Serious {
			return "error"
		}
		level = "warning"
	}
	return level
}
