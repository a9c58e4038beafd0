package camera

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/pion/rtp"
)

// Types of RTCP packets (RFC 3550).
const (
	senderReport   = 200
	receiverReport = 201
	sourceDetails  = 202
	goodbye        = 203
)

// name is the CNAME of every receiver of ours; it has nothing to tell apart.
const name = "bambuddy"

// arrival is how a packet follows the one before.
type arrival int

const (
	inOrder arrival = iota
	missed          // something before it is missing
	repeated
)

// receiver counts the packets of a stream and reports on them. The zero value
// waits for the first packet.
type receiver struct {
	begun    bool
	own      [4]byte // our SSRC
	source   uint32  // the sender's
	base     uint32  // extended number of the first packet
	highest  uint32  // extended number of the newest packet
	received uint32

	expectedThen, receivedThen uint32 // at the last report
	sender                     uint32 // middle of the sender's clock in its last report
	heard                      time.Time
	reported                   time.Time
}

// count notes a packet.
func (r *receiver) count(h *rtp.Header) arrival {
	if !r.begun || h.SSRC != r.source {
		first := !r.begun
		own := r.own
		*r = receiver{
			begun: true, own: own, source: h.SSRC, base: uint32(h.SequenceNumber),
			highest: uint32(h.SequenceNumber), received: 1, reported: r.reported,
		}
		if first {
			_, _ = rand.Read(r.own[:]) // never fails
			return inOrder
		}
		return missed
	}
	step := h.SequenceNumber - uint16(r.highest)
	if step == 0 {
		return repeated
	}
	r.highest += uint32(step) // a step back looks like a great loss, and is as bad
	r.received++
	if step != 1 {
		return missed
	}
	return inOrder
}

// control reads what the sender says in RTCP: the time of its report, or that it
// ends (io.EOF).
func (r *receiver) control(b []byte, now time.Time) error {
	for len(b) >= 4 {
		kind, size := b[1], 4+4*int(binary.BigEndian.Uint16(b[2:]))
		if b[0]>>6 != 2 || size > len(b) {
			return nil // not worth an end: the pictures are elsewhere
		}
		switch {
		case kind == senderReport && size >= 28:
			r.sender, r.heard = binary.BigEndian.Uint32(b[10:]), now
		case kind == goodbye:
			return fmt.Errorf("the camera says goodbye: %w", io.EOF)
		}
		b = b[size:]
	}
	return nil
}

// report is a receiver report with our name, nil before it is time.
func (r *receiver) report(now time.Time) []byte {
	if !r.begun || now.Sub(r.reported) < reportEvery {
		return nil
	}
	r.reported = now
	expected := r.highest - r.base + 1
	b := make([]byte, 32, 64)
	b[0], b[1] = 0x81, receiverReport // version 2, one source
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	copy(b[4:], r.own[:])
	binary.BigEndian.PutUint32(b[8:], r.source)
	lost := expected - min(expected, r.received)
	binary.BigEndian.PutUint32(b[12:], min(lost, 0x7fffff))
	b[12] = r.fraction(expected)
	binary.BigEndian.PutUint32(b[16:], r.highest)
	if !r.heard.IsZero() {
		binary.BigEndian.PutUint32(b[24:], r.sender)
		binary.BigEndian.PutUint32(b[28:], uint32(now.Sub(r.heard)*65536/time.Second))
	}
	r.expectedThen, r.receivedThen = expected, r.received
	return append(b, r.details()...)
}

// fraction is the share of packets lost since the last report, of 256.
func (r *receiver) fraction(expected uint32) byte {
	due, came := expected-r.expectedThen, r.received-r.receivedThen
	if due == 0 || came >= due {
		return 0
	}
	return byte(min(255, uint64(due-came)*256/uint64(due)))
}

// details is the packet with our name that belongs to every report.
func (r *receiver) details() []byte {
	const cname = 1
	b := make([]byte, 8, 24)
	b[0], b[1] = 0x81, sourceDetails
	copy(b[4:], r.own[:])
	b = append(b, cname, byte(len(name)))
	b = append(b, name...)
	b = append(b, make([]byte, 4-len(b)%4)...) // at least one zero ends the list
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	return b
}
