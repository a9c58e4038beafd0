package simprinter

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// broker is one printer's MQTT server: the one place that knows the library.
type broker struct{ server *mqtt.Server }

// doorkeeper is what a broker asks its printer. The methods are called from the
// clients' goroutines.
type doorkeeper interface {
	admits(user, password string) bool
	full(clients int) bool
	losesAcks() bool
	dropsRequestListeners() bool
	received(payload []byte)
}

func newBroker(serial string, door doorkeeper, l net.Listener, config *tls.Config) (*broker, error) {
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumClientWritesPending = 64
	caps.MaximumSessionExpiryInterval = 0
	s := mqtt.New(&mqtt.Options{
		Capabilities: caps, InlineClient: true, SysTopicResendInterval: 1 << 30,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err := s.AddHook(&doorHook{serial: serial, door: door, server: s}, nil); err != nil {
		return nil, fmt.Errorf("set up the broker of %s: %w", serial, err)
	}
	if err := s.AddListener(listeners.NewNet(serial, tls.NewListener(l, config))); err != nil {
		return nil, fmt.Errorf("listen for %s: %w", serial, err)
	}
	return &broker{s}, nil
}

// serve begins to serve; close ends it and waits.
func (b *broker) serve() error { return b.server.Serve() }

// close is for a broker whose connections have been broken. It waits until the
// library has forgotten its clients: one that is just leaving while it is closed
// would hang both for ever (mochi 2.7.9 takes a read lock twice in GetByListener).
func (b *broker) close() error {
	const inline = 1 // our own client, which stays
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for left := time.Now().Add(forgetTime); b.server.Clients.Len() > inline && time.Now().Before(left); {
		<-look.C
	}
	return b.server.Close()
}

// forgetTime is how long the library may take to forget clients whose connections
// are broken.
const forgetTime = 2 * time.Second

func (b *broker) clients() int { return connected(b.server) }

// connected counts the clients that are logged in.
func connected(s *mqtt.Server) int { return int(atomic.LoadInt64(&s.Info.ClientsConnected)) }

func (b *broker) publish(topic string, payload []byte) {
	_ = b.server.Publish(topic, payload, false, 0) // it fails only when closed
}

// doorHook joins the library's events to the printer.
type doorHook struct {
	mqtt.HookBase
	serial string
	door   doorkeeper
	server *mqtt.Server
}

// ID names the hook.
func (*doorHook) ID() string { return "printer" }

// Provides lists what it wants to hear of.
func (*doorHook) Provides(b byte) bool {
	return bytes.Contains([]byte{mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish}, []byte{b})
}

// OnConnect turns away whom the printer has no session for. The connection breaks
// without an answer: a refusal would read as a wrong access code.
func (h *doorHook) OnConnect(*mqtt.Client, packets.Packet) error {
	if h.door.full(connected(h.server)) {
		return packets.ErrServerBusy
	}
	return nil
}

// OnConnectAuthenticate checks the access code.
func (h *doorHook) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	return h.door.admits(string(pk.Connect.Username), string(pk.Connect.Password))
}

// OnACLCheck lets clients write requests and listen to anything; brokers of the P1
// and A1 drop whoever listens to the requests.
func (h *doorHook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if write {
		return topic == "device/"+h.serial+"/request"
	}
	if strings.HasSuffix(topic, "/request") && h.door.dropsRequestListeners() {
		cl.Stop(packets.ErrNotAuthorized)
		return false
	}
	return true
}

// OnPublish hands a request to the printer. A rejected packet is one the library
// does not acknowledge; the request has arrived all the same.
func (h *doorHook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if !cl.Net.Inline && strings.HasSuffix(pk.TopicName, "/request") {
		h.door.received(bytes.Clone(pk.Payload))
		if h.door.losesAcks() {
			return pk, packets.ErrRejectPacket
		}
	}
	return pk, nil
}
