package bambu

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Bounds of a payload. The largest report seen has 32 KB and nests seven deep.
const (
	MaxPayload = 1 << 20 // bytes
	maxDepth   = 64      // of nested objects and arrays
)

// Errors of Apply. The state is untouched by a payload that gave one.
var (
	ErrTooLarge = errors.New("report is too large")
	ErrTooDeep  = errors.New("report nests too deep")
	ErrNotJSON  = errors.New("report is not a JSON object")
)

// Kind is what a payload was. One with several sections has the first of this
// order that fits: status, version, ack, other.
type Kind int

// The kinds of payloads.
const (
	KindOther   Kind = iota // nothing for us: log lines, foreign sections
	KindAck                 // only answers to commands
	KindVersion             // the modules of get_version
	KindStatus              // merged into the status
)

// String names a kind for logs.
func (k Kind) String() string {
	switch k {
	case KindAck:
		return "ack"
	case KindVersion:
		return "version"
	case KindStatus:
		return "status"
	default:
		return "other"
	}
}

// Applied tells what a payload was and did.
type Applied struct {
	Kind    Kind
	Full    bool  // a status frame that holds everything, fit as a base
	Changed bool  // Status differs, or may differ, from before
	Acks    []Ack // answers it carried
}

// Apply merges one MQTT payload of a printer's report topic, in the order of
// arrival. An error means that nothing of the payload could be used; a field that
// makes no sense is skipped without one. The payload is not retained.
func (s *State) Apply(payload []byte) (Applied, error) {
	root, err := parse(payload)
	if err != nil {
		return Applied{}, err
	}
	var a Applied
	s.frame++
	s.touched = 0
	root.ForEach(func(section, v gjson.Result) bool {
		s.section(&a, section.Str, v)
		return true
	})
	s.dirty |= s.touched
	a.Changed = s.touched != 0
	return a, nil
}

// section reads one top-level object. Sections not named here (mc_print, event,
// login, …) are none of our business.
func (s *State) section(a *Applied, name string, v gjson.Result) {
	if !v.IsObject() {
		return
	}
	switch name {
	case "print":
		e := s.open(v)
		defer s.close()
		if e.answer() {
			a.add(KindAck, readAck(name, v))
			return
		}
		s.full = e.full()
		a.Full = a.Full || s.full
		a.Kind = max(a.Kind, KindStatus)
		for _, f := range s.fields {
			f.set(s, f.value)
		}
	case "info":
		kind := KindAck
		if modules := v.Get("module"); modules.IsArray() {
			kind = KindVersion
			s.readVersion(modules)
		}
		a.add(kind, readAck(name, v))
	case "system", "camera", "xcam", "upgrade", "security", "pushing":
		if ack := readAck(name, v); ack.Command != "" || ack.Result != None {
			a.add(KindAck, ack)
		}
	}
}

func (a *Applied) add(k Kind, ack Ack) {
	a.Kind = max(a.Kind, k)
	a.Acks = append(a.Acks, ack)
}

// envelope is what a print object says of itself.
type envelope struct {
	command               string
	result                bool
	msg                   Opt[int]
	state, ams, homeFlags bool
}

// field is a value that waits until it is clear what kind of frame it is in.
type field struct {
	set   setter[State]
	value gjson.Result
}

// open reads the envelope of a print object and puts its fields aside, in one
// walk. close lets go of them.
func (s *State) open(report gjson.Result) envelope {
	var e envelope
	report.ForEach(func(k, v gjson.Result) bool {
		if set := printKeys[k.Str]; set != nil && v.Type != gjson.Null {
			s.fields = append(s.fields, field{set, v})
		}
		switch k.Str {
		case "command":
			e.command = v.Str
		case "result":
			e.result = true
		case "msg":
			if n, ok := integer(v); ok {
				e.msg = Some(int(n))
			}
		case "gcode_state":
			e.state = true
		case "ams":
			e.ams = true
		case "home_flag":
			e.homeFlags = true
		}
		return true
	})
	return e
}

// close: a field held would keep its whole frame in memory. Reports have about 50
// fields for us; the room of one with thousands (repeated keys) is given back.
func (s *State) close() {
	clear(s.fields)
	s.fields = s.fields[:0]
	if cap(s.fields) > 256 {
		s.fields = nil
	}
}

// answer: a result is never part of a status, and neither are the keys beside
// any other command. Fragments of status frames may have no command at all.
func (e envelope) answer() bool {
	return e.result || (e.command != "" && !strings.EqualFold(e.command, "push_status"))
}

// full: by msg, or, on machines that send none, by what only a whole report has.
func (e envelope) full() bool {
	if e.msg.Known {
		return e.msg.Value == 0
	}
	return e.state && e.ams && e.homeFlags
}

// parse makes a payload a JSON object of valid UTF-8, bounded in size and depth.
func parse(payload []byte) (gjson.Result, error) {
	if len(payload) > MaxPayload {
		return gjson.Result{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(payload))
	}
	payload = bytes.Trim(payload, "\x00 \t\r\n") // some senders end with NUL
	if len(payload) == 0 || payload[0] != '{' {
		return gjson.Result{}, ErrNotJSON
	}
	dense, ok := squeeze(payload)
	if !ok { // found before Valid, which recurses
		return gjson.Result{}, ErrTooDeep
	}
	if !gjson.ValidBytes(dense) {
		return gjson.Result{}, ErrNotJSON
	}
	if !utf8.Valid(dense) { // some firmware sends names in Latin-1
		return gjson.Parse(latin1(dense)), nil
	}
	return gjson.ParseBytes(dense), nil
}

// squeeze drops the white space around punctuation, which is half of what an X1
// or H2 sends and would be walked several times. Space between other tokens stays,
// so that nonsense does not become sense. Not ok: objects and arrays nest deeper
// than maxDepth. b begins and ends without space.
func squeeze(b []byte) (dense []byte, ok bool) {
	depth, kept := 0, 0 // b[:kept] is done with
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return nil, false
			}
		case '}', ']':
			depth--
		case '"':
			i = stringEnd(b, i)
		case ' ', '\t', '\r', '\n':
			before := i
			for isSpace(b[i+1]) {
				i++
			}
			if isPunctuation(b[before-1]) || isPunctuation(b[i+1]) {
				if dense == nil {
					dense = make([]byte, 0, len(b))
				}
				dense = append(dense, b[kept:before]...)
				kept = i + 1
			}
		}
	}
	if kept == 0 {
		return b, true
	}
	return append(dense, b[kept:]...), true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isPunctuation(c byte) bool {
	switch c {
	case '{', '}', '[', ']', ',', ':':
		return true
	}
	return false
}

// stringEnd is the index of the quote that ends the string beginning at start,
// or len(b).
func stringEnd(b []byte, start int) int {
	for i := start + 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(b)
}

func latin1(b []byte) string {
	var t strings.Builder
	t.Grow(len(b) + len(b)/8)
	for _, c := range b {
		t.WriteRune(rune(c))
	}
	return t.String()
}
