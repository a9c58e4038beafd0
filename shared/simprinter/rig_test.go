package simprinter

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"bambuddy/shared/bambu"
)

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// overTCP reaches printers at real sockets.
var overTCP dialer = new(net.Dialer).DialContext

// live runs a farm until the test is over.
func live(t *testing.T, specs []Spec, o Options) *Farm {
	t.Helper()
	f, err := NewFarm(specs, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-f.Ready():
	case err := <-over:
		over <- nil
		t.Fatal(err)
	}
	return f
}

// one runs a single printer at a free port of the loopback.
func one(t *testing.T, model string, o Options) *Printer {
	t.Helper()
	return live(t, specs(t, 1, model), o).Printers()[0]
}

func specs(t *testing.T, n int, models ...string) []Spec {
	t.Helper()
	s, err := Specs(n, models, "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var clientNumber atomic.Int64

// patience is for what takes no time.
const patience = 30 * time.Second

// login connects a client over TLS, as the agent does: the certificate must
// carry the serial number.
func login(t *testing.T, p *Printer, dial dialer, code string) (mqtt.Client, *ear, error) {
	t.Helper()
	s := p.Spec()
	e := &ear{t: t, p: p, frames: make(chan []byte, 1<<16), lost: make(chan struct{}, 8)}
	o := mqtt.NewClientOptions().AddBroker("ssl://printer").SetClientID(fmt.Sprint("test-", clientNumber.Add(1))).
		SetUsername("bblp").SetPassword(code).SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(10 * time.Second)
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c, err := dial(ctx, "tcp", net.JoinHostPort(s.Address, fmt.Sprint(s.MQTTPort)))
		if err != nil {
			return nil, err
		}
		tc := tls.Client(c, &tls.Config{ServerName: s.Serial, MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error { // verified below
			leaf := cs.PeerCertificates[0]
			if leaf.Subject.CommonName != s.Serial || time.Now().Before(leaf.NotBefore) || cs.Version != tls.VersionTLS12 {
				return fmt.Errorf("certificate of %q, TLS %x", leaf.Subject.CommonName, cs.Version)
			}
			e.serial.Store(leaf.SerialNumber.Int64())
			return nil
		}})
		return tc, tc.HandshakeContext(ctx)
	})
	o.SetConnectionLostHandler(func(mqtt.Client, error) {
		select {
		case e.lost <- struct{}{}:
		default:
		}
	})
	c := mqtt.NewClient(o)
	token := c.Connect()
	done := token.WaitTimeout(patience)
	e.client = c
	t.Cleanup(func() { c.Disconnect(0) })
	if !done {
		return c, e, errors.New("the login did not end")
	}
	return c, e, token.Error()
}

// listen logs in and subscribes to the reports.
func listen(t *testing.T, p *Printer, dial dialer) *ear {
	t.Helper()
	c, e, err := login(t, p, dial, p.Spec().AccessCode)
	if err != nil {
		t.Fatalf("log in: %v", err)
	}
	e.subscribe("device/" + p.Spec().Serial + "/report")
	_ = c
	return e
}

// ear is a client that listens to a printer and keeps its merged state.
type ear struct {
	t      *testing.T
	p      *Printer
	client mqtt.Client
	frames chan []byte
	lost   chan struct{}
	serial atomic.Int64 // of the certificate
	state  bambu.State
	states []string // gcode_state, each change
	last   bambu.Applied
	err    error
}

func (e *ear) subscribe(topic string) {
	e.t.Helper()
	token := e.client.Subscribe(topic, 0, func(_ mqtt.Client, m mqtt.Message) {
		e.frames <- m.Payload()
	})
	if !token.WaitTimeout(patience) || token.Error() != nil {
		e.t.Fatalf("subscribe: %v", token.Error())
	}
}

// send publishes a request.
func (e *ear) send(payload string) {
	e.t.Helper()
	if token := e.client.Publish("device/"+e.p.Spec().Serial+"/request", 1, false, payload); !token.WaitTimeout(patience) || token.Error() != nil {
		e.t.Fatalf("publish: %v", token.Error())
	}
}

// gone waits for the end of the connection.
func (e *ear) gone() {
	e.t.Helper()
	timer := time.NewTimer(5 * time.Minute) // pings go unanswered for some time first
	defer timer.Stop()
	select {
	case <-e.lost:
	case <-timer.C:
		e.t.Fatal("the connection did not break")
	}
}

// take gives the next frame, nil after d without one, and merges it.
func (e *ear) take(d time.Duration) []byte {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case f := <-e.frames:
		e.last, e.err = e.state.Apply(f)
		if s := e.status().Job.GcodeState; s != "" && (len(e.states) == 0 || e.states[len(e.states)-1] != s) {
			e.states = append(e.states, s)
		}
		return f
	case <-timer.C:
		return nil
	}
}

func (e *ear) status() bambu.Status { return e.state.Status() }

// until takes frames until one fits, within d of time without success.
func (e *ear) until(d time.Duration, what string, fits func(frame []byte) bool) []byte {
	e.t.Helper()
	for end := time.Now().Add(d); ; {
		f := e.take(time.Until(end))
		if f == nil {
			e.t.Fatalf("%s: no %s within %s; states %v, status %+v", e.p.model.Code, what, d, e.states, e.status().Job)
		}
		if fits(f) {
			return f
		}
	}
}

// until a status, the usual case.
func (e *ear) untilStatus(d time.Duration, what string, fits func(bambu.Status) bool) {
	e.t.Helper()
	e.until(d, what, func([]byte) bool { return fits(e.status()) })
}

// ask sends a request and gives its answer.
func (e *ear) ask(section, command, more string) bambu.Ack {
	e.t.Helper()
	seq := fmt.Sprint(20000 + clientNumber.Add(1))
	e.send(fmt.Sprintf(`{%q:{"sequence_id":%q,"command":%q%s}}`, section, seq, command, more))
	var out bambu.Ack
	e.until(10*time.Second, "answer to "+command, func([]byte) bool {
		for _, a := range e.last.Acks {
			if a.SequenceID == seq && a.Section == section {
				out = a
				return true
			}
		}
		return false
	})
	return out
}

// pushAll asks for everything and takes frames until it is there.
func (e *ear) pushAll() []byte {
	e.t.Helper()
	for len(e.frames) > 0 {
		e.take(time.Second)
	}
	e.send(string(bambu.PushAll("20001")))
	return e.until(10*time.Second, "full report", func([]byte) bool { return e.last.Full })
}

// report reads the print section of a frame.
func report(t *testing.T, frame []byte) map[string]any {
	t.Helper()
	var out struct {
		Print map[string]any `json:"print"`
	}
	if err := json.Unmarshal(frame, &out); err != nil {
		t.Fatal(err)
	}
	return out.Print
}
