package printer

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"bambuddy/shared/bambu"
)

// What a printer may send. The MQTT library believes every length that is
// announced and every packet that arrives, so this is checked before it.
const (
	maxPublish = bambu.MaxPayload + 256 // with its topic; the largest report seen has 32 KB
	maxSkip    = 8 << 20                // a report up to this is passed over, more ends the connection

	// pace is how much a printer may send on and on, in bytes a second; a packet
	// counts at least packetCost. Real printers send less than a hundredth.
	pace       = 4 << 20
	packetCost = 8 << 10

	writeTimeout = 5 * time.Second
)

// Types of MQTT packets that a broker sends, and the one length they may have.
const (
	publishPacket  = 3
	connackPacket  = 2
	lastReturnCode = 5 // of a CONNACK
)

var fixedLength = map[byte]int{
	connackPacket: 2,
	4:             2, // PUBACK
	5:             2, // PUBREC
	6:             2, // PUBREL
	7:             2, // PUBCOMP
	9:             3, // SUBACK: we never ask for more than one topic
	11:            2, // UNSUBACK
	13:            0, // PINGRESP
}

// protocolError is a peer that does not keep to MQTT.
type protocolError struct{ what string }

func (e *protocolError) Error() string { return "MQTT protocol broken: " + e.what }

// guard is a connection that hands out whole, plausible MQTT packets only, at a
// bearable pace, and does not wait for ever to write. One goroutine may read and
// others write.
type guard struct {
	net.Conn
	oversized func(size int) // a report was passed over
	verdict   *atomic.Pointer[protocolError]

	one    [1]byte   // for readByte
	header []byte    // of the present packet, not yet handed out
	body   int       // bytes of the present packet not yet handed out
	login  bool      // the present packet is the CONNACK
	paid   time.Time // until when the pace is used up
}

// broken keeps the first verdict on the peer: the library passes on some other
// consequence of it when that comes first.
func (g *guard) broken(format string, args ...any) error {
	err := &protocolError{fmt.Sprintf(format, args...)}
	g.verdict.CompareAndSwap(nil, err)
	return err
}

// Write gives up on a peer that takes nothing for writeTimeout.
func (g *guard) Write(b []byte) (int, error) {
	if err := g.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return g.Conn.Write(b)
}

// Read never reads beyond the present packet, so a length is judged before
// anyone makes room for it.
func (g *guard) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for len(g.header) == 0 && g.body == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.header) > 0 {
		n := copy(b, g.header)
		g.header = g.header[n:]
		return n, nil
	}
	n, err := g.Conn.Read(b[:min(len(b), g.body)])
	if g.login && n > 0 && g.body-n == 0 && b[n-1] > lastReturnCode {
		return 0, g.broken("unknown return code %d", b[n-1])
	}
	g.body -= n
	return n, err
}

// next reads the header of the next packet and decides what to do with it.
func (g *guard) next() error {
	header := make([]byte, 0, 5)
	kind, err := g.readByte()
	if err != nil {
		return err
	}
	header = append(header, kind)
	length := 0
	for shift := 0; ; shift += 7 {
		if shift > 21 {
			return g.broken("a length without end")
		}
		b, err := g.readByte()
		if err != nil {
			return err
		}
		header = append(header, b)
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
	}
	packet := kind >> 4
	fixed, known := fixedLength[packet]
	switch {
	case packet == publishPacket && length > maxSkip:
		return g.broken("a packet of %d bytes announced", length)
	case packet == publishPacket && length > maxPublish:
		g.oversized(length)
		g.slow(length)
		_, err := io.CopyN(io.Discard, g.Conn, int64(length))
		return err
	case packet != publishPacket && !known:
		return g.broken("packet type %d is not for clients", packet)
	case packet != publishPacket && length != fixed:
		return g.broken("packet type %d with %d bytes", packet, length)
	}
	g.slow(length)
	g.header, g.body, g.login = header, length, packet == connackPacket
	return nil
}

func (g *guard) readByte() (byte, error) {
	_, err := io.ReadFull(g.Conn, g.one[:])
	return g.one[0], err
}

// slow waits where a peer sends more than the pace; the socket's own flow
// control then slows the peer. A second's worth may come at once.
func (g *guard) slow(length int) {
	now := time.Now()
	if earliest := now.Add(-time.Second); g.paid.Before(earliest) {
		g.paid = earliest
	}
	g.paid = g.paid.Add(time.Duration(max(length, packetCost)) * time.Second / pace)
	if ahead := g.paid.Sub(now); ahead > 0 {
		<-time.After(ahead) // at most as long as the packet is worth
	}
}
