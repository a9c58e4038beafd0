package bambu

import (
	"fmt"
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
	0x03: "motion controller",
	0x05: "mainboard",
	0x07: "AMS",
	0x08: "toolhead",
	0x0C: "camera AI",
	0x12: "AMS Lite",
	0x18: "AMS HT",
}

// Module is the part of the machine that complains, "" when its number is not known.
func (h HMS) Module() string { return moduleNames[byte(h.Attr>>24)] }

// Message says a well-known code in words, "" for the others: the vendor's texts
// are not ours to ship.
func (h HMS) Message() string { return hmsMessages[h] }

var hmsMessages = map[HMS]string{
	{0x05000500, 0x00010007}: "The printer refused a command that was not signed. Switch on its developer mode.",
}

// ErrorCode is the text form of a print_error: "0300-400C", "" for 0.
func ErrorCode(code uint32) string {
	if code == 0 {
		return ""
	}
	return fmt.Sprintf("%04X-%04X", code>>16, code&0xFFFF)
}

// ErrorMessage says a well-known print_error in words, "" for the others. Codes
// of an AMS carry its unit in the second byte (FF: none), which is not looked at.
func ErrorMessage(code uint32) string {
	if code>>24 == 0x07 {
		code |= 0x00FF0000
	}
	return errorMessages[code]
}

var errorMessages = map[uint32]string{
	0x0300400C: "The print was cancelled.",
	0x0500400E: "The print was cancelled.",
	0x03008015: "The filament at the extruder ran out.",
	0x05004004: "The printer is busy and cannot start another print.",
	0x0500C010: "The storage card could not be read or written.",
	0x0500803C: "The installed nozzle is not the one the file was sliced for.",
	0x05008051: "The build plate is not the one the file was sliced for.",
	0x07FF8012: "The printer could not read which AMS slots to use.",
	0x07FF8028: "Loading or unloading filament needs a person at the printer.",
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
