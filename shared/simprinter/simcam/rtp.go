package simcam

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

const (
	payloadType    = 96
	clockRate      = 90000
	mtu            = 1400 // of a packet's payload
	rtpHead        = 12
	reportEvery    = 5 * time.Second
	reportPatience = 10 * time.Second // how long a camera that needs them streams without a receiver report
)

// The interleaved channels of a stream.
const (
	channelRTP  = 0
	channelRTCP = 1
)

// packer makes a stream's packets, framed for the RTSP connection. One goroutine
// uses it.
type packer struct {
	rtp, rtcp byte // channels
	ssrc      uint32
	seq       uint16
	at        uint32 // timestamp
	packets   uint32
	octets    uint32
	out       []byte
}

func newPacker(rtp, rtcp byte) *packer {
	return &packer{rtp: rtp, rtcp: rtcp, ssrc: rand.Uint32(), seq: uint16(rand.Uint32()), at: rand.Uint32()}
}

// frame packs an access unit: parameter sets together in a STAP-A, a slice that
// is too large in FU-A fragments. The bytes hold until the next call.
func (p *packer) frame(f frame, lossy bool) []byte {
	p.out = p.out[:0]
	var sets [][]byte
	for _, unit := range f.units {
		if k := kind(unit); k == unitSPS || k == unitPPS {
			sets = append(sets, unit)
		}
	}
	if len(sets) > 0 {
		p.packet(aggregate(sets), false, lossy)
	}
	for i, unit := range f.units[len(sets):] {
		last := i == len(f.units)-len(sets)-1
		if len(unit) <= mtu {
			p.packet(unit, last, lossy)
			continue
		}
		p.fragments(unit, last, lossy)
	}
	return p.out
}

// aggregate puts small units into one payload (STAP-A, type 24).
func aggregate(units [][]byte) []byte {
	out := []byte{units[0][0]&0x60 | 24}
	for _, u := range units {
		out = binary.BigEndian.AppendUint16(out, uint16(len(u)))
		out = append(out, u...)
	}
	return out
}

// fragments cuts a unit into payloads (FU-A, type 28).
func (p *packer) fragments(unit []byte, last, lossy bool) {
	indicator, header := unit[0]&0x60|28, kind(unit)|0x80 // the first one
	for rest := unit[1:]; len(rest) > 0; header &^= 0x80 {
		n := min(len(rest), mtu-2)
		if n == len(rest) {
			header |= 0x40 // the last one
		}
		p.packet(append([]byte{indicator, header}, rest[:n]...), last && n == len(rest), lossy)
		rest = rest[n:]
	}
}

func (p *packer) packet(payload []byte, marker, lossy bool) {
	p.seq++
	p.packets++
	p.octets += uint32(len(payload))
	if lossy && p.seq%40 == 0 {
		return
	}
	second := byte(payloadType)
	if marker {
		second |= 0x80
	}
	p.out = append(p.out, '$', p.rtp)
	p.out = binary.BigEndian.AppendUint16(p.out, uint16(rtpHead+len(payload)))
	p.out = append(p.out, 0x80, second)
	p.out = binary.BigEndian.AppendUint16(p.out, p.seq)
	p.out = binary.BigEndian.AppendUint32(p.out, p.at)
	p.out = binary.BigEndian.AppendUint32(p.out, p.ssrc)
	p.out = append(p.out, payload...)
}

// report packs a sender report with the name that belongs to it.
func (p *packer) report(now time.Time) []byte {
	const epoch = 2208988800 // from 1900 to 1970 in seconds
	b := []byte{'$', p.rtcp, 0, 0, 0x80, 200, 0, 6}
	b = binary.BigEndian.AppendUint32(b, p.ssrc)
	b = binary.BigEndian.AppendUint32(b, uint32(now.Unix()+epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(uint64(now.Nanosecond())<<32/1e9))
	for _, n := range []uint32{p.at, p.packets, p.octets} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	b = append(b, 0x81, 202, 0, 3) // SDES: the source, and its CNAME of four letters
	b = binary.BigEndian.AppendUint32(b, p.ssrc)
	b = append(b, 1, 4, 'l', 'i', 'v', 'e', 0, 0)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return b
}
