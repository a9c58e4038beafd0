package printer

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// publishOf is the packet of a report.
func publishOf(topic string, payload []byte) []byte {
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = topic, payload
	_ = p.Write(&b)
	return b.Bytes()
}

func TestBadPayloadsDoNotEndTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		bad := []string{
			"", "garbage", "{", "[1,2]", "\x00\x00", `{"print":`, strings.Repeat("[", 5000), strings.Repeat(`{"a":`, 5000),
			`{"print":{"command":"push_status","msg":1}} trailing`, "\xff\xfe\xfd", "{\"print\":\"\xc3\x28",
		}
		for range 3 {
			for _, payload := range bad {
				r.say(payload)
			}
			synctest.Wait()
		}
		odd := []string{ // readable, if strange: nothing of it may do harm
			`{}`, `{"print":null}`, `{"print":[]}`, `{"print":{"ams":{"ams":[{"id":"999999999999999999999"}]}}}`, `{"print":{"hms":[null,1,"x",{"attr":-1}]}}`,
			`{"print":{"command":"push_status","bed_temper":"NaN","mc_percent":1e999,"gcode_state":5}}`, `{"info":{"module":[{}]}}`,
			"{\"print\":{\"command\":\"push_status\",\"subtask_name\":\"caf\xe9\"}}",
		}
		for _, payload := range odd {
			r.say(payload)
		}
		r.say(delta(`"bed_temper":61`))
		synctest.Wait()
		s := r.Snapshot()
		if s.Connects != 1 || s.Connection.State != wire.Online || s.Status.Temps.Bed.Or(0) != 61 {
			t.Errorf("%+v, bed %v", s.Connection, s.Status.Temps.Bed)
		}
		if s.Status.Job.Name != "café" {
			t.Errorf("the name that is not UTF-8 became %q", s.Status.Job.Name)
		}
		if s.Rejected != int64(3*len(bad)) || s.Dropped != 0 {
			t.Errorf("%+v, want %d rejected", s.Counters, 3*len(bad))
		}
		if n := strings.Count(r.logs.String(), "report rejected"); n < 1 || n > 3 {
			t.Errorf("%d log lines:\n%s", n, r.logs)
		}
	})
}

func TestOversizedReportIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		r.say(delta(`"subtask_name":"` + strings.Repeat("x", bambu.MaxPayload+1000) + `"`))
		r.say(delta(`"bed_temper":62`))
		after(2 * time.Second)
		s := r.Snapshot()
		if s.Connects != 1 || s.Rejected != 1 || s.Status.Temps.Bed.Or(0) != 62 {
			t.Errorf("%+v, bed %v", s.Counters, s.Status.Temps.Bed)
		}
	})
}

// TestHostileBrokers says things that would exhaust memory or make the MQTT
// library panic, where a panic would end the whole agent.
func TestHostileBrokers(t *testing.T) {
	tests := []struct {
		name string
		raw  []byte
		says string
	}{
		{"a packet of 256 MB", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, "268435455 bytes"},
		{"a length without end", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x01}, "without end"},
		{"a SUBACK for more topics than asked", []byte{0x90, 5, 0, 1, 0, 0, 0}, "type 9"},
		{"a huge PINGRESP", []byte{0xd0, 0x80, 0x80, 0x40}, "type 13"},
		{"a CONNECT", []byte{0x10, 0}, "type 1 is not"},
		{"type 0", []byte{0, 0}, "type 0 is not"},
		{"type 15", []byte{0xf0, 0}, "type 15 is not"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, x1Serial)
				defer r.cleanUp()
				r.until(wire.Online, 5*time.Second)
				r.set(func() { r.raw = func(c *fakeConn) { c.bytes(test.raw) } })
				r.net.Reset("agent")
				after(10 * time.Second)
				got := r.Snapshot().Connection
				if got.State != wire.Unreachable || !strings.Contains(got.Detail, test.says) {
					t.Errorf("%+v, want words of %q", got, test.says)
				}
				r.set(func() { r.raw = nil })
				r.until(wire.Online, 61*time.Second)
			})
		})
	}
}

func TestOddLoginAnswers(t *testing.T) {
	for _, code := range []byte{1, 2, 3, 6, 77, 255} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, x1Serial, func(f *fake) { f.connack = code })
			defer r.cleanUp()
			r.until(wire.Unreachable, 30*time.Second)
			if r.seen() != 1 {
				t.Errorf("return code %d: %d logins at once", code, r.seen())
			}
			r.set(func() { r.connack = 0 })
			r.until(wire.Online, 61*time.Second)
		})
	}
}

func TestTopicsOfOthersAreNotMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial, func(f *fake) {
			f.raw = func(c *fakeConn) { c.report("00M00A000000666", delta(`"bed_temper":99`)) }
		})
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		if bed := r.Snapshot().Status.Temps.Bed; bed.Value == 99 {
			t.Error("another printer's report was merged")
		}
	})
}

func TestAFloodIsSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		packet := publishOf("t", []byte("x"))
		const count = 3 * pace / packetCost
		go func() {
			for range count {
				if _, err := far.Write(packet); err != nil {
					return
				}
			}
			_ = far.Close()
		}()
		start := time.Now()
		g := &guard{Conn: near, oversized: func(int) {}, verdict: new(atomic.Pointer[protocolError])}
		n := 0
		for {
			if _, err := packets.ReadPacket(g); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				break
			}
			n++
		}
		if took := time.Since(start); n != count || took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("%d packets in %v, want %d in two seconds after the first second's worth", n, took, count)
		}
		_ = near.Close()
	})
}

func TestSequenceStaysWithinAnInt32(t *testing.T) {
	q := sequence{}
	q.start()
	first := q.next()
	if len(first) != 5 || first[0] != '2' || q.next() == first {
		t.Errorf("begins with %s", first)
	}
	q.last = math.MaxInt32 - 1
	if got := q.next(); got != "2147483647" {
		t.Errorf("got %s", got)
	}
	if got := q.next(); len(got) != 5 || got[0] != '2' {
		t.Errorf("after the last comes %s", got)
	}
}

// conn is a net.Conn that only reads, from a buffer.
type conn struct {
	net.Conn
	io.Reader
}

func (c conn) Read(b []byte) (int, error)       { return c.Reader.Read(b) }
func (c conn) SetWriteDeadline(time.Time) error { return nil }

// FuzzGuard: whatever arrives, the MQTT library neither panics nor is led to
// make room for more than a report.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 3, 0, 1, 0})
	f.Add(publishOf("device/x/report", []byte(fullReport)))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{0x32, 2, 0, 200})
	f.Add([]byte{0x30, 1, 7})
	f.Add([]byte{0x20, 2, 0, 99})
	f.Fuzz(func(t *testing.T, data []byte) {
		g := &guard{Conn: conn{Reader: bytes.NewReader(data)}, oversized: func(int) {}, verdict: new(atomic.Pointer[protocolError])}
		for range 100 {
			packet, err := packets.ReadPacket(g)
			if err != nil {
				return
			}
			switch p := packet.(type) {
			case *packets.SubackPacket:
				if len(p.ReturnCodes) != 1 {
					t.Fatalf("SUBACK with %d codes", len(p.ReturnCodes))
				}
			case *packets.ConnackPacket:
				if p.ReturnCode > lastReturnCode {
					t.Fatalf("CONNACK with code %d", p.ReturnCode)
				}
			case *packets.PublishPacket:
				if len(p.Payload) > bambu.MaxPayload+256 {
					t.Fatalf("payload of %d bytes", len(p.Payload))
				}
			}
		}
	})
}
