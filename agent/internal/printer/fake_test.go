package printer

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/testcert"
	"bambuddy/shared/wire"
)

// fake is a printer that can be made to misbehave in ways a real broker cannot.
// It speaks MQTT over TLS on a network in memory, inside a synctest bubble.
type fake struct {
	t      *testing.T
	net    *memnet.Network
	serial string
	ln     net.Listener
	wg     sync.WaitGroup

	mu       sync.Mutex
	code     string
	cert     tls.Certificate
	connack  byte              // sent instead of judging the login, 0: judge
	mute     bool              // takes requests, answers and reports nothing
	raw      func(c *fakeConn) // after SUBACK: says anything it likes
	reply    func(c *fakeConn, r controlRequest)
	full     string // answer to pushall
	version  string // answer to get_version, "" none
	requests []request
	topics   []string // subscribed to
	logins   int      // CONNECT packets seen
	conns    map[*fakeConn]bool
}

type request struct {
	at   time.Time
	text string
}

type fakeConn struct {
	net.Conn
	mu sync.Mutex
}

const (
	x1Serial  = "00M00A000000001"
	p1Serial  = "01P00A000000001"
	h2dSerial = "09400A000000001"
	goodCode  = "12345678"
	address   = "192.168.1.9"
)

const fullReport = `{"print":{"command":"push_status","msg":0,"gcode_state":"IDLE","bed_temper":20.5,"nozzle_temper":21,"home_flag":0,"ams":{"ams":[]},"wifi_signal":"-40dBm"}}`

func newFake(t *testing.T, network *memnet.Network, serial string) *fake {
	f := &fake{
		t: t, net: network, serial: serial, code: goodCode, cert: testcert.New(t, serial), full: fullReport, conns: map[*fakeConn]bool{},
		version: `{"info":{"command":"get_version","sequence_id":"1","module":[{"name":"ota","sw_ver":"01.09.00.00","sn":"` + serial + `"}]}}`,
	}
	f.on()
	return f
}

// on switches the printer on.
func (f *fake) on() {
	ln, err := f.net.Listen(net.JoinHostPort(address, "8883"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.ln = ln
	f.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { f.serve(conn) })
		}
	})
}

// off switches it off and waits until all of it is gone.
func (f *fake) off() {
	_ = f.ln.Close()
	f.mu.Lock()
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *fake) serve(raw net.Conn) {
	defer raw.Close() //nolint:errcheck // a fake
	f.mu.Lock()
	cert := f.cert
	f.mu.Unlock()
	c := &fakeConn{Conn: tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})}
	f.mu.Lock()
	f.conns[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.conns, c)
		f.mu.Unlock()
	}()
	for {
		packet, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		if !f.handle(c, packet) {
			return
		}
	}
}

func (f *fake) handle(c *fakeConn, packet packets.ControlPacket) bool {
	switch p := packet.(type) {
	case *packets.ConnectPacket:
		return f.login(c, p)
	case *packets.SubscribePacket:
		f.mu.Lock()
		f.topics = append(f.topics, p.Topics...)
		raw := f.raw
		f.mu.Unlock()
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID, ack.ReturnCodes = p.MessageID, []byte{0}
		c.send(ack)
		if raw != nil {
			raw(c)
		}
	case *packets.PublishPacket:
		f.request(c, p)
	case *packets.PingreqPacket:
		c.send(packets.NewControlPacket(packets.Pingresp))
	case *packets.DisconnectPacket:
		return false
	}
	return true
}

func (f *fake) login(c *fakeConn, p *packets.ConnectPacket) bool {
	f.mu.Lock()
	f.logins++
	code := f.connack
	if code == 0 && (p.Username != "bblp" || string(p.Password) != f.code) {
		code = 5
	}
	f.mu.Unlock()
	ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	ack.ReturnCode = code
	c.send(ack)
	return code == 0
}

func (f *fake) request(c *fakeConn, p *packets.PublishPacket) {
	f.mu.Lock()
	f.requests = append(f.requests, request{time.Now(), string(p.Payload)})
	mute, full, version, reply := f.mute, f.full, f.version, f.reply
	f.mu.Unlock()
	if p.Qos > 0 {
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		c.send(ack)
	}
	switch {
	case mute:
	case strings.Contains(string(p.Payload), `"pushall"`):
		c.report(f.serial, full)
	case strings.Contains(string(p.Payload), `"get_version"`) && version != "":
		c.report(f.serial, version)
	default:
		if reply != nil {
			reply(c, readControl(f.t, p.Payload))
		}
	}
}

func (c *fakeConn) send(p packets.ControlPacket) {
	var b bytes.Buffer
	_ = p.Write(&b)
	c.bytes(b.Bytes())
}

func (c *fakeConn) bytes(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Write(b) // the peer may be gone: the reader notices
}

func (c *fakeConn) report(serial, payload string) {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = "device/"+serial+"/report", []byte(payload)
	c.send(p)
}

// say reports to everybody who is connected.
func (f *fake) say(payload string) {
	f.mu.Lock()
	conns := make([]*fakeConn, 0, len(f.conns))
	for c := range f.conns {
		conns = append(conns, c)
	}
	f.mu.Unlock()
	for _, c := range conns {
		c.report(f.serial, payload)
	}
}

// set changes the fake's behaviour.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) seen() (logins int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logins
}

// asked lists when requests that contain the word came, since a moment.
func (f *fake) asked(word string, since time.Time) []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []request
	for _, r := range f.requests {
		if strings.Contains(r.text, `"`+word+`"`) && !r.at.Before(since) {
			out = append(out, r)
		}
	}
	return out
}

// memPins keep pins in memory.
type memPins struct {
	mu   sync.Mutex
	pins map[string]string
}

func (p *memPins) Pinned(serial string, code farm.Secret) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.pins[serial+"|"+code.Reveal()]
	return f, ok
}

func (p *memPins) Pin(serial string, code farm.Secret, fingerprint string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pins == nil {
		p.pins = map[string]string{}
	}
	p.pins[serial+"|"+code.Reveal()] = fingerprint
	return nil
}

func (p *memPins) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pins)
}

// rig is a session with its fake printer.
type rig struct {
	*fake
	*Session
	t    *testing.T
	pins *memPins
	logs *logBuffer
	stop func() // ends the session and waits
}

// newRig makes a printer, changed before it is met, and a running session;
// cleanUp ends both.
func newRig(t *testing.T, serial string, changes ...func(*fake)) *rig {
	t.Helper()
	r := newIdleRig(t, serial, changes...)
	r.Session = New(r.config(), r.deps())
	r.run()
	return r
}

// newIdleRig makes a printer without a session.
func newIdleRig(t *testing.T, serial string, changes ...func(*fake)) *rig {
	t.Helper()
	r := &rig{t: t, fake: newFake(t, memnet.New(), serial), pins: &memPins{}, logs: &logBuffer{}}
	for _, change := range changes {
		change(r.fake)
	}
	return r
}

func (r *rig) config() Config {
	return Config{Serial: r.serial, Address: address, MQTTPort: 8883, FTPSPort: 990, AccessCode: farm.Secret(goodCode), Fence: 1}
}

func (r *rig) deps() Deps {
	return Deps{Dial: r.net.Dialer("agent"), Pins: r.pins, Log: slog.New(slog.NewTextHandler(r.logs, nil)), Changed: func() {}}
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	session := r.Session
	go func() { ended <- session.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
}

func (r *rig) cleanUp() {
	r.stop()
	r.off()
}

// after lets virtual time pass.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// until lets virtual time pass, second by second, until the session has a state.
func (r *rig) until(state wire.ConnState, limit time.Duration) {
	r.t.Helper()
	for waited := time.Duration(0); ; waited += time.Second {
		synctest.Wait()
		got := r.Snapshot().Connection
		if got.State == state {
			return
		}
		if waited >= limit {
			r.t.Fatalf("after %v the session is %s (%s), want %s\n%s", limit, got.State, got.Detail, state, r.logs)
		}
		<-time.After(time.Second)
	}
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func delta(body string) string {
	return fmt.Sprintf(`{"print":{"command":"push_status","msg":1,%s}}`, body)
}
