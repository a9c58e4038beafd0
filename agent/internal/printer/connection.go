package printer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Times of a connection.
const (
	dialTimeout  = 10 * time.Second // TCP and TLS
	loginTimeout = 15 * time.Second // all until the login is answered
	grantTimeout = 10 * time.Second // until the subscription is answered
	keepAlive    = 30 * time.Second
	pingTimeout  = 10 * time.Second
	farewell     = 250 * time.Millisecond // for a DISCONNECT that is taken
	closeTimeout = 5 * time.Second        // for paho to end all it started
)

// Bounds of what waits for the session between paho and the merge.
const (
	maxFrames = 32
	maxHeld   = 2 << 20 // bytes
)

// user is every printer's user name.
const user = "bblp"

// connection is one login at a printer, with a paho client of its own.
type connection struct {
	client  mqtt.Client
	request string // topic to publish to
	report  string // topic we listen to
	frames  chan []byte
	held    atomic.Int64                  // bytes in frames
	overrun atomic.Bool                   // a frame was lost
	lost    chan error                    // why paho lost it; at most one
	asks    chan func()                   // for the session to do
	gone    chan struct{}                 // closed by close
	cut     func()                        // breaks the network connection; set once it is open
	settled func() bool                   // the login is over: its time limit no longer cuts
	verdict atomic.Pointer[protocolError] // why the guard cut it, nil: it did not
	dropped *atomic.Int64
	reports *atomic.Int64

	// Of the session's goroutine:
	lastStatus time.Time // last status merged, or when the connection began
	probed     time.Time // when silence made us ask, zero: not silent
	probedFull bool      // we asked for a full report then
	stirred    bool      // something readable came since
	asked      time.Time // when get_version was sent last
	answered   bool      // get_version was answered
	complaints map[string]bool
}

// open connects, logs in and subscribes. A fresh client each time: paho's own
// reconnecting would replay publishes into a printer that has moved on.
func (s *Session) open(ctx context.Context) (*connection, error) {
	c := &connection{
		request: "device/" + s.cfg.Serial + "/request",
		report:  "device/" + s.cfg.Serial + "/report",
		frames:  make(chan []byte, maxFrames),
		lost:    make(chan error, 1),
		asks:    make(chan func()),
		gone:    make(chan struct{}),
		dropped: &s.counters.dropped,
		reports: &s.counters.reports,
	}
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	var fingerprint string
	c.client = mqtt.NewClient(s.options(c, func() (net.Conn, error) {
		var conn net.Conn
		var err error
		conn, fingerprint, err = s.dial(ctx, c)
		return conn, err
	}))
	token := c.client.Connect()
	<-token.Done() // soon, for the end of ctx ends dialling and then cuts
	if c.settled != nil {
		c.settled()
	}
	if err := token.Error(); err != nil {
		return nil, &loginError{c.because(err)}
	}
	s.counters.connects.Add(1)
	if err := s.deps.Pins.Pin(s.cfg.Serial, s.cfg.AccessCode, fingerprint); err != nil {
		s.log.Error("the printer's certificate could not be kept; it will be trusted anew", "err", err)
	}
	if err := c.subscribe(ctx); err != nil {
		c.close()
		return nil, c.because(err)
	}
	return c, nil
}

// because is the reason behind an error of this connection.
func (c *connection) because(err error) error {
	if verdict := c.verdict.Load(); verdict != nil {
		return verdict
	}
	return err
}

func (s *Session) options(c *connection, dial func() (net.Conn, error)) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions()
	o.Servers = []*url.URL{{Scheme: "mqtts", Host: s.address()}}
	o.SetClientID(clientID())
	o.SetUsername(user)
	o.SetPassword(s.cfg.AccessCode.Reveal())
	o.SetProtocolVersion(4) // else a refusal is followed by a second try as MQTT 3.1
	o.SetCleanSession(true)
	o.SetOrderMatters(true) // reports are differences
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetConnectTimeout(loginTimeout)
	o.SetWriteTimeout(writeTimeout)
	o.SetKeepAlive(keepAlive)
	o.SetPingTimeout(pingTimeout)
	o.SetStore(noStore{})
	o.SetDefaultPublishHandler(c.receive)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) {
		select {
		case c.lost <- err:
		default:
		}
	})
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return dial() })
	return o
}

// dial opens the network connection for paho and tells the certificate's
// fingerprint. paho will wait for the answer to its login without a context, so
// the end of ctx cuts the connection under it.
func (s *Session) dial(ctx context.Context, c *connection) (net.Conn, string, error) {
	dialling, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := s.deps.Dial(dialling, "tcp", s.address())
	if err != nil {
		return nil, "", err
	}
	conn, fingerprint, err := s.secure(dialling, raw)
	if err != nil {
		_ = raw.Close()
		return nil, "", err
	}
	c.cut = func() { _ = raw.Close() }
	c.settled = context.AfterFunc(ctx, c.cut)
	return &guard{Conn: conn, verdict: &c.verdict, oversized: func(size int) {
		s.counters.reports.Add(1)
		s.counters.rejected.Add(1)
		s.log.Warn("report passed over: too large", "bytes", size)
	}}, fingerprint, nil
}

func (c *connection) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	token := c.client.Subscribe(c.report, 0, nil)
	select {
	case <-token.Done():
	case err := <-c.lost:
		return err
	case <-ctx.Done():
		return errSubAck
	}
	if err := token.Error(); err != nil {
		return err
	}
	if sub, ok := token.(*mqtt.SubscribeToken); !ok || sub.Result()[c.report] > 2 {
		return errSubAck
	}
	return nil
}

// receive is paho's callback: it hands over and returns. It never blocks, for
// that would stall the whole client.
func (c *connection) receive(_ mqtt.Client, m mqtt.Message) {
	if m.Topic() != c.report {
		return
	}
	c.reports.Add(1)
	size := int64(len(m.Payload()))
	if c.held.Add(size) <= maxHeld {
		select {
		case c.frames <- m.Payload():
			return
		default:
		}
	}
	c.held.Add(-size)
	c.dropped.Add(1)
	c.overrun.Store(true)
}

// publish hands a request to paho. That it was sent is all that is known then:
// only the printer's report tells that it arrived.
func (c *connection) publish(payload []byte) error {
	token := c.client.Publish(c.request, 1, false, payload)
	select {
	case <-token.Done():
		return token.Error()
	default:
		return nil
	}
}

// close ends the connection and waits until paho's goroutines are gone.
func (c *connection) close() {
	close(c.gone)
	t := time.AfterFunc(farewell, c.cut)
	defer t.Stop()
	c.client.Disconnect(uint(closeTimeout / time.Millisecond))
}

// clientID is new for every connection: brokers throw out whoever holds the same.
func clientID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return "bambuddy_" + hex.EncodeToString(b[:])
}

// noStore is paho's memory of unacknowledged packets, for a client that never
// resumes a session: nothing. It also denies a hostile broker room to fill.
type noStore struct{}

func (noStore) Open()                             {}
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) All() []string                     { return nil }
func (noStore) Del(string)                        {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}
