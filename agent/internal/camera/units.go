package camera

import (
	"bytes"
	"encoding/binary"
)

// Types of NAL units and of packets that hold them (RFC 6184).
const (
	nalSlice  = 1
	nalIDR    = 5
	nalSEI    = 6
	nalSPS    = 7
	nalPPS    = 8
	nalAUD    = 9
	packSTAPA = 24
	packFUA   = 28
	nalType   = 0x1f // mask
)

// Bounds of what a stream may make us hold.
const (
	maxUnit  = 8 << 20 // one access unit; a 1080p key frame has 40 to 400 KB
	maxParam = 4 << 10 // a parameter set
)

var startCode = []byte{0, 0, 0, 1}

// unit is one access unit in Annex B.
type unit struct {
	data []byte
	key  bool
}

// assembler makes access units of RTP payloads. After a loss it gives none until
// the next key frame, and it puts the parameter sets before every key frame that
// comes without them, so that one can begin at any.
type assembler struct {
	needKey  bool // nothing before a key frame is of use
	sps, pps []byte
	ready    []unit

	// Of the present unit:
	data     []byte
	stamp    uint32
	slices   bool // has picture data
	key      bool
	params   bool // has an SPS of its own
	damaged  bool
	fragment bool // in the middle of a fragmented NAL unit
	start    int  // of that NAL unit in data
}

// pop takes the oldest unit that is complete.
func (a *assembler) pop() (unit, bool) {
	if len(a.ready) == 0 {
		return unit{}, false
	}
	u := a.ready[0]
	a.ready[0] = unit{}
	a.ready = a.ready[1:]
	return u, true
}

// describe takes parameter sets from the session's description.
func (a *assembler) describe(sets [][]byte) {
	for _, set := range sets {
		a.learn(set)
	}
}

// damage tells that a packet is missing: the present unit is lost, and what
// follows is of no use before a key frame.
func (a *assembler) damage() {
	a.damaged = true
	a.flush()
}

// add takes the payload of the next packet. The marker ends a unit; for servers
// that forget it, so does another time stamp, and for those whose time stands
// still, so does what can only be the beginning of a unit.
func (a *assembler) add(payload []byte, stamp uint32, marker bool) {
	if stamp != a.stamp && len(a.data) > 0 {
		a.flush()
	}
	a.stamp = stamp
	a.unpack(payload)
	if marker {
		a.flush()
	}
}

func (a *assembler) unpack(payload []byte) {
	if len(payload) == 0 {
		return
	}
	switch kind := payload[0] & nalType; {
	case kind > 0 && kind < packSTAPA:
		a.nal(payload)
	case kind == packSTAPA:
		a.bundle(payload[1:])
	case kind == packFUA:
		a.piece(payload)
	default:
		a.damaged = true
	}
}

// bundle takes several NAL units of one packet, each behind its length.
func (a *assembler) bundle(b []byte) {
	for len(b) > 2 {
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; size == 0 || size > len(b) {
			a.damaged = true
			return
		}
		a.nal(b[:size])
		b = b[size:]
	}
}

// piece takes a part of a NAL unit that did not fit into one packet.
func (a *assembler) piece(p []byte) {
	const first, last = 0x80, 0x40
	if len(p) < 3 {
		a.damaged = true
		return
	}
	switch begins := p[1]&first != 0; {
	case begins && a.fragment, !begins && !a.fragment:
		a.damaged, a.fragment = true, false
		return
	case begins:
		head := p[0]&^nalType | p[1]&nalType
		a.open(head, p[2])
		a.append(startCode)
		a.start = len(a.data)
		a.append([]byte{head})
		a.fragment = true
	}
	a.append(p[2:])
	if p[1]&last != 0 {
		a.fragment = false
		a.close(a.data[min(a.start, len(a.data)):])
	}
}

// nal takes a whole NAL unit.
func (a *assembler) nal(n []byte) {
	if a.fragment {
		a.damaged, a.fragment = true, false
	}
	second := byte(0)
	if len(n) > 1 {
		second = n[1]
	}
	a.open(n[0], second)
	a.append(startCode)
	a.append(n)
	a.close(n)
}

// open looks at how a NAL unit begins: it may belong to the next access unit, or
// show that the first part of a picture is missing.
func (a *assembler) open(head, second byte) {
	kind := head & nalType
	slice := kind == nalSlice || kind == nalIDR
	first := slice && second&0x80 != 0 // its first macroblock is the picture's first
	switch {
	case a.slices && (first || kind >= nalSEI && kind <= nalAUD):
		a.flush()
	case !a.slices && slice && !first:
		a.damaged = true
	}
}

// close notes what a complete NAL unit was.
func (a *assembler) close(n []byte) {
	if len(n) == 0 {
		return
	}
	switch n[0] & nalType {
	case nalIDR:
		a.slices, a.key = true, true
	case nalSlice:
		a.slices = true
	case nalSPS:
		a.params = true
		a.learn(n)
	case nalPPS:
		a.learn(n)
	}
}

func (a *assembler) learn(set []byte) {
	switch {
	case len(set) > maxParam || a.damaged:
	case set[0]&nalType == nalSPS:
		a.sps = bytes.Clone(set)
	case set[0]&nalType == nalPPS:
		a.pps = bytes.Clone(set)
	}
}

func (a *assembler) append(b []byte) {
	if len(a.data)+len(b) > maxUnit {
		a.damaged = true
	}
	if !a.damaged {
		a.data = append(a.data, b...)
	}
}

// flush ends the present unit. One that is damaged takes all with it up to the
// next key frame, for they are drawn upon it.
func (a *assembler) flush() {
	data, key, params, slices := a.data, a.key, a.params, a.slices
	damaged := a.damaged || a.fragment
	a.data, a.key, a.params, a.slices, a.damaged, a.fragment = nil, false, false, false, false, false
	if damaged {
		a.needKey = true
		return
	}
	if !slices || a.needKey && !key {
		return
	}
	if key && !params {
		if a.sps == nil || a.pps == nil {
			a.needKey = true
			return
		}
		data = bytes.Join([][]byte{nil, a.sps, a.pps, data[len(startCode):]}, startCode)
	}
	a.needKey = false
	a.ready = append(a.ready, unit{data: data, key: key})
}
