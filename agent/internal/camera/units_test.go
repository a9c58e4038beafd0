package camera

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
)

var (
	sps = []byte{0x67, 0x42, 0x00, 0x1f, 1}
	pps = []byte{0x68, 0xce, 2}
	sei = []byte{0x06, 5, 1}
	aud = []byte{0x09, 0xf0}
)

// nal is a NAL unit of a slice; first: of a picture's first.
func nal(kind byte, first bool, size int) []byte {
	n := make([]byte, max(2, size))
	_, _ = rand.Read(n)
	n[0], n[1] = 0x60|kind, n[1]|0x80
	if !first {
		n[1] &= 0x7f
	}
	return n
}

func annexB(nals ...[]byte) []byte {
	var b []byte
	for _, n := range nals {
		b = append(append(b, startCode...), n...)
	}
	return b
}

func stapA(nals ...[]byte) []byte {
	b := []byte{packSTAPA}
	for _, n := range nals {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(n))), n...)
	}
	return b
}

// fuA cuts a NAL unit into pieces of size bytes.
func fuA(n []byte, size int) [][]byte {
	var pieces [][]byte
	head, rest := n[0], n[1:]
	for begin := byte(0x80); len(rest) > 0; begin = 0 {
		cut := min(size, len(rest))
		end := byte(0)
		if cut == len(rest) {
			end = 0x40
		}
		pieces = append(pieces, append([]byte{head&^nalType | packFUA, begin | end | head&nalType}, rest[:cut]...))
		rest = rest[cut:]
	}
	return pieces
}

type packet struct {
	payload []byte
	stamp   uint32
	marker  bool
	lost    bool // something before it is
}

func assemble(a *assembler, packets ...packet) (units []unit) {
	for _, p := range packets {
		if p.lost {
			a.damage()
		}
		a.add(p.payload, p.stamp, p.marker)
		for u, ok := a.pop(); ok; u, ok = a.pop() {
			units = append(units, u)
		}
	}
	return units
}

// spread makes the packets of one access unit of its payloads.
func spread(stamp uint32, payloads ...[]byte) []packet {
	var packets []packet
	for i, p := range payloads {
		packets = append(packets, packet{payload: p, stamp: stamp, marker: i == len(payloads)-1})
	}
	return packets
}

func TestAccessUnits(t *testing.T) {
	idr, idr2 := nal(nalIDR, true, 5000), nal(nalIDR, false, 3000)
	p1, p2, p1b := nal(nalSlice, true, 900), nal(nalSlice, true, 40), nal(nalSlice, false, 100)
	key := unit{annexB(sps, pps, idr), true}
	keyPackets := spread(1, append([][]byte{stapA(sps, pps)}, fuA(idr, 1400)...)...)
	join := func(parts ...[]packet) (all []packet) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	unmarked := func(p []packet) []packet {
		p = slices.Clone(p)
		for i := range p {
			p[i].marker = false
		}
		return p
	}
	after := func(p []packet, i int) []packet { // packet i is lost
		q := append(append([]packet{}, p[:i]...), p[i+1:]...)
		if i < len(q) {
			q[i].lost = true
		}
		return q
	}
	tests := map[string]struct {
		in   []packet
		want []unit
	}{
		"a key frame and another": {join(keyPackets, spread(2, p1)), []unit{key, {annexB(p1), false}}},
		"begins in the middle":    {join(spread(1, p1), spread(2, p2), keyPackets), []unit{key}},
		"several slices":          {join(spread(1, sps, pps, idr, idr2), spread(2, p1, p1b)), []unit{{annexB(sps, pps, idr, idr2), true}, {annexB(p1, p1b), false}}},
		"an SEI and a delimiter":  {join(spread(1, aud, sps, pps, sei, idr), spread(2, aud, p1)), []unit{{annexB(aud, sps, pps, sei, idr), true}, {annexB(aud, p1), false}}},
		"key frames without sets": {join(keyPackets, spread(2, idr)), []unit{key, key}},
		"sets of their own":       {join(spread(1, sps), spread(1, pps), spread(2, idr)), []unit{key}},
		"no sets at all":          {join(spread(1, idr), spread(2, p1), keyPackets), []unit{key}},
		"no markers":              {join(unmarked(keyPackets), unmarked(spread(2, p1)), spread(3, p2)), []unit{key, {annexB(p1), false}, {annexB(p2), false}}},
		"no markers, time still":  {join(unmarked(spread(1, sps, pps, idr)), unmarked(spread(1, p1, p1b)), spread(1, p2)), []unit{key, {annexB(p1, p1b), false}, {annexB(p2), false}}},
		"time still":              {join(spread(7, sps, pps, idr), spread(7, p1), spread(7, p2)), []unit{key, {annexB(p1), false}, {annexB(p2), false}}},
		"a piece is lost":         {join(after(keyPackets, 2), spread(2, p1), spread(3, stapA(sps, pps), idr), spread(4, p2)), []unit{key, {annexB(p2), false}}},
		"the first piece is lost": {join(after(keyPackets, 1), spread(2, p1), spread(3, idr)), []unit{key}},
		"the end is lost":         {join(keyPackets, spread(2, p1), []packet{{payload: idr2, stamp: 4, lost: true, marker: true}}, spread(5, p1), spread(6, idr)), []unit{key, {annexB(p1), false}, key}},
		"a whole frame is lost":   {join(keyPackets, []packet{{payload: p2, stamp: 3, lost: true, marker: true}}, spread(4, p1), spread(5, idr)), []unit{key, key}},
		"a key frame after a loss": {
			join(keyPackets, []packet{{payload: stapA(sps, pps), stamp: 3, lost: true}, {payload: idr, stamp: 3, marker: true}}, spread(4, p1)),
			[]unit{key, key, {annexB(p1), false}},
		},
		"nothing but nonsense": {join(spread(1, nil), spread(2, []byte{packFUA}), spread(3, []byte{packSTAPA, 0xff, 0xff, 1}), spread(4, []byte{29, 1, 1}), spread(5, []byte{0})), nil},
		"a fragment in a fragment": {
			join(keyPackets, spread(2, fuA(p1, 500)[0], fuA(p1, 500)[0], fuA(p1, 500)[1]), spread(3, idr)), []unit{key, key},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := assemble(&assembler{needKey: true}, tt.in...)
			if len(got) != len(tt.want) {
				t.Fatalf("%d units, want %d", len(got), len(tt.want))
			}
			for i := range got {
				if got[i].key != tt.want[i].key || !bytes.Equal(got[i].data, tt.want[i].data) {
					t.Errorf("unit %d: key %v, %d bytes % .12x…; want %v, %d bytes", i, got[i].key, len(got[i].data), got[i].data, tt.want[i].key, len(tt.want[i].data))
				}
			}
		})
	}
}

func TestSetsFromTheDescription(t *testing.T) {
	idr := nal(nalIDR, true, 10)
	a := &assembler{needKey: true}
	a.describe([][]byte{sps, pps, make([]byte, maxParam+1)})
	if got := assemble(a, spread(1, idr)...); len(got) != 1 || !bytes.Equal(got[0].data, annexB(sps, pps, idr)) {
		t.Errorf("%d units", len(got))
	}
}

func TestAUnitWithoutEndIsBounded(t *testing.T) {
	a := &assembler{needKey: true}
	piece := fuA(nal(nalIDR, true, 60_000), 59_000)[0]
	assemble(a, packet{payload: piece})
	piece[1] &^= 0x80
	for range 2 * maxUnit / len(piece) {
		assemble(a, packet{payload: piece})
	}
	if cap(a.data) > 2*maxUnit {
		t.Errorf("%d bytes held", cap(a.data))
	}
	idr := nal(nalIDR, true, 10)
	if got := assemble(a, spread(9, sps, pps, idr)...); len(got) != 1 {
		t.Error("no key frame any more")
	}
}

// FuzzUnits gives the assembler any packets; what comes out always begins with a
// key frame and every key frame with its parameter sets.
func FuzzUnits(f *testing.F) {
	f.Add([]byte("\x05\x67\x01\x02\x03\x04\x03\x68\x01\x02\x03\x65\x88\x01"))
	f.Add(append([]byte{9}, stapA(sps, []byte{1})...))
	f.Fuzz(func(t *testing.T, data []byte) {
		a := &assembler{needKey: true}
		begun := false
		for stamp := uint32(0); len(data) > 1; stamp++ {
			n := min(int(data[0]&0x1f), len(data)-1)
			flags := data[0] >> 5
			p := packet{payload: data[1 : 1+n], stamp: stamp / 3, marker: flags&1 != 0, lost: flags == 6}
			data = data[1+n:]
			for _, u := range assemble(a, p) {
				begun = begun || u.key
				if !begun || !bytes.HasPrefix(u.data, startCode) || len(u.data) < 6 {
					t.Fatalf("% x", u.data)
				}
			}
		}
	})
}

func TestArrivals(t *testing.T) {
	var r receiver
	for i, tt := range []struct {
		seq  uint16
		ssrc uint32
		want arrival
	}{
		{65534, 1, inOrder},
		{65535, 1, inOrder},
		{0, 1, inOrder},
		{0, 1, repeated},
		{2, 1, missed},
		{3, 1, inOrder},
		{1, 1, missed},
		{2, 1, inOrder},
		{500, 2, missed},
		{501, 2, inOrder},
	} {
		if got := r.count(&rtp.Header{SequenceNumber: tt.seq, SSRC: tt.ssrc}); got != tt.want {
			t.Errorf("packet %d: %v, want %v", i, got, tt.want)
		}
	}
}

func TestReceiverReports(t *testing.T) {
	var r receiver
	now := time.Unix(1000, 0)
	if r.report(now) != nil {
		t.Error("a report on nothing")
	}
	for seq := range uint16(100) {
		if seq%4 != 3 {
			r.count(&rtp.Header{SequenceNumber: seq + 65500, SSRC: 0xabcd})
		}
	}
	sr := append([]byte{0x80, senderReport, 0, 6, 0, 0, 0xab, 0xcd, 1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 12)...)
	if err := r.control(sr, now.Add(-time.Second/2)); err != nil {
		t.Fatal(err)
	}
	b := r.report(now)
	if len(b) != 32+20 || len(b)%4 != 0 {
		t.Fatalf("%d bytes", len(b))
	}
	field := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	if b[0] != 0x81 || b[1] != receiverReport || field(8) != 0xabcd || field(12)>>24 != 24*256/99 || field(12)&0xffffff != 24 ||
		field(16) != 65500+98 || field(24) != 0x03040506 || field(28) != 32768 {
		t.Errorf("% x", b)
	}
	if sdes := b[32:]; sdes[1] != sourceDetails || int(sdes[3]) != len(sdes)/4-1 || !bytes.Contains(sdes, []byte(name+"\x00")) {
		t.Errorf("% x", sdes)
	}
	if r.report(now.Add(time.Second)) != nil || r.report(now.Add(reportEvery)) == nil {
		t.Error("reports at the wrong time")
	}
	if err := r.control([]byte{0x81, goodbye, 0, 1, 0, 0, 0, 1}, now); err == nil {
		t.Error("a goodbye is not heard")
	}
	if err := r.control([]byte{0x80, senderReport, 0xff, 0xff, 1}, now); err != nil {
		t.Errorf("a broken report: %v", err)
	}
}
