package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/testcert"
	"bambuddy/shared/wire"
)

const hubID = "hub-1"

// printers are a few real MQTT brokers that answer as printers do.
type printers struct {
	t       *testing.T
	net     *memnet.Network
	brokers map[string]*mqtt.Server
}

func newPrinters(t *testing.T, serials ...string) *printers {
	p := &printers{t: t, net: memnet.New(), brokers: map[string]*mqtt.Server{}}
	for _, s := range serials {
		p.on(s)
	}
	return p
}

// addressOf is where the printer of a serial number is.
func addressOf(serial string) string { return "p-" + strings.ToLower(serial) }

const code = "12345678"

func (p *printers) on(serial string) {
	p.t.Helper()
	ln, err := p.net.Listen(addressOf(serial) + ":8883")
	if err != nil {
		p.t.Fatal(err)
	}
	b := mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := b.AddHook(new(gate), nil); err != nil {
		p.t.Fatal(err)
	}
	secure := tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{testcert.New(p.t, serial)}})
	if err := b.AddListener(listeners.NewNet("mqtt", secure)); err != nil {
		p.t.Fatal(err)
	}
	answer := func(_ *mqtt.Client, _ packets.Subscription, pk packets.Packet) {
		if bytes.Contains(pk.Payload, []byte("pushall")) {
			p.say(serial, `{"print":{"command":"push_status","msg":0,"gcode_state":"IDLE","bed_temper":20,"home_flag":0,"ams":{"ams":[]}}}`)
		}
	}
	if err := b.Subscribe("device/"+serial+"/request", 1, answer); err != nil {
		p.t.Fatal(err)
	}
	if err := b.Serve(); err != nil {
		p.t.Fatal(err)
	}
	p.brokers[serial] = b
}

// gate lets in who knows the access code.
type gate struct{ mqtt.HookBase }

func (*gate) Provides(b byte) bool { return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck }

func (*gate) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	return string(pk.Connect.Username) == "bblp" && string(pk.Connect.Password) == code
}

func (*gate) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

func (p *printers) say(serial, payload string) {
	if err := p.brokers[serial].Publish("device/"+serial+"/report", []byte(payload), false, 0); err != nil {
		p.t.Error(err)
	}
}

// bed reports a bed temperature, by which the tests tell states apart.
func (p *printers) bed(serial string, celsius int) {
	p.say(serial, fmt.Sprintf(`{"print":{"command":"push_status","msg":1,"bed_temper":%d}}`, celsius))
}

func (p *printers) off() {
	for _, b := range p.brokers {
		_ = b.Close()
	}
}

// running is a Fleet that lives.
type running struct {
	*Fleet
	t    *testing.T
	logs *logBuffer
	stop func()
}

func runFleet(t *testing.T, dir string, network *memnet.Network) *running {
	t.Helper()
	logs := &logBuffer{}
	f, err := New(Options{Dir: dir, HubID: hubID, Dial: network.Dialer("agent"), Log: slog.New(slog.NewTextHandler(logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	synctest.Wait()
	return &running{Fleet: f, t: t, logs: logs, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})}
}

// entry is a good configuration of a printer.
func entry(serial string, fence int64) wire.PrinterConfig {
	return wire.PrinterConfig{
		Serial: serial, Name: "name of " + serial, Address: addressOf(serial), MQTTPort: 8883, FTPSPort: 990,
		AccessCode: farm.Secret(code), Fence: fence,
	}
}

func config(revision int64, entries ...wire.PrinterConfig) wire.Config {
	return wire.Config{HubID: hubID, Generation: 1, Revision: revision, SiteName: "here", Printers: entries}
}

func (r *running) apply(c wire.Config) wire.ConfigResult {
	r.t.Helper()
	result, err := r.Apply(r.t.Context(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// state is how a printer's session stands, "" for none.
func (r *running) state(serial string) wire.ConnState {
	for _, d := range r.Diagnostics() {
		if d.Serial == serial {
			return d.Connection.State
		}
	}
	return ""
}

func (r *running) until(serial string, state wire.ConnState, limit time.Duration) {
	r.t.Helper()
	for waited := time.Duration(0); ; waited += time.Second {
		synctest.Wait()
		if r.state(serial) == state {
			return
		}
		if waited >= limit {
			r.t.Fatalf("after %v printer %s is %q, want %s\n%s", limit, serial, r.state(serial), state, r.logs)
		}
		<-time.After(time.Second)
	}
}

func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
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
