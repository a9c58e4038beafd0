package ftpserver

import (
	"context"
	"crypto/tls"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"bambuddy/shared/memnet"
	"bambuddy/shared/testcert"
)

const secret = "12345678"

// rig is a server on a network in memory, inside a bubble.
type rig struct {
	t       *testing.T
	network *memnet.Network
	files   *Memory
	quirks  atomic.Pointer[Quirks]
}

// bubble runs a test against a server of this character.
func bubble(t *testing.T, k Character, test func(r *rig)) {
	t.Helper()
	bubbleOf(t, Options{Character: k}, test)
}

func bubbleOf(t *testing.T, o Options, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, network: memnet.New(), files: NewMemory(1<<20, "/cache")}
		r.quirks.Store(&Quirks{})
		l, err := r.network.Listen("printer:990")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan error, 1)
		o.TLS, o.Login, o.Storage, o.Listen, o.Sessions = selfSigned(t), login, r.files, r.network.Listen, 3
		o.Quirks = func() Quirks { return *r.quirks.Load() }
		s := New(o)
		go func() { over <- s.Serve(ctx, l) }()
		defer func() {
			cancel()
			if err := <-over; err != nil {
				t.Error(err)
			}
		}()
		test(r)
	})
}

func login(user, password string) bool { return user == "bblp" && password == secret }

func selfSigned(t testing.TB) *tls.Config {
	t.Helper()
	return &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{testcert.New(t, "printer")},
	}
}

// client speaks FTP by hand, to see each step.
type client struct {
	t      *testing.T
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	config *tls.Config
	conn   *tls.Conn
	text   *textproto.Conn
}

// connect greets the server and does not log in.
func (r *rig) connect(host string) *client {
	r.t.Helper()
	c := &client{t: r.t, dial: r.network.Dialer(host), config: &tls.Config{
		InsecureSkipVerify: true, ServerName: "printer", ClientSessionCache: tls.NewLRUClientSessionCache(4), // the server is the test's own
	}}
	raw, err := c.dial(r.t.Context(), "tcp", "printer:990")
	if err != nil {
		r.t.Fatal(err)
	}
	c.conn = tls.Client(raw, c.config)
	c.text = textproto.NewConn(c.conn)
	r.t.Cleanup(func() { _ = raw.Close() })
	return c
}

// login is a session that is ready for transfers in TLS.
func (r *rig) login(host string) *client {
	r.t.Helper()
	c := r.connect(host)
	c.login()
	return c
}

// login makes a new connection ready for transfers in TLS.
func (c *client) login() {
	c.t.Helper()
	c.expect(220)
	c.do(331, "USER bblp")
	c.do(230, "PASS "+secret)
	c.do(200, "TYPE I")
	c.do(200, "PBSZ 0")
	c.do(200, "PROT P")
}

// close ends the connection without a word.
func (c *client) close() { _ = c.conn.NetConn().Close() }

func (c *client) expect(code int) string {
	c.t.Helper()
	_, text, err := c.text.ReadResponse(code)
	if err != nil {
		c.t.Fatalf("want %d: %v", code, err)
	}
	return text
}

// do sends a command and wants this answer.
func (c *client) do(code int, line string) string {
	c.t.Helper()
	if err := c.text.PrintfLine("%s", line); err != nil {
		c.t.Fatal(err)
	}
	_, text, err := c.text.ReadResponse(code)
	if err != nil {
		c.t.Fatalf("%s: want %d: %v", line, code, err)
	}
	return text
}

var passivePort = regexp.MustCompile(`,(\d+),(\d+)\)`)

// passive opens a data connection from a host.
func (c *client) passive(dial func(ctx context.Context, network, addr string) (net.Conn, error)) net.Conn {
	c.t.Helper()
	m := passivePort.FindStringSubmatch(c.do(227, "PASV"))
	if m == nil {
		c.t.Fatal("no port")
	}
	high, _ := new(big.Int).SetString(m[1], 10)
	low, _ := new(big.Int).SetString(m[2], 10)
	conn, err := dial(c.t.Context(), "tcp", net.JoinHostPort("printer", itoa(int(high.Int64()<<8|low.Int64()))))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// open begins a transfer in TLS.
func (c *client) open(line string) *tls.Conn {
	c.t.Helper()
	raw := c.passive(c.dial)
	c.do(150, line)
	return tls.Client(raw, c.config)
}

// put uploads and wants this answer.
func (c *client) put(code int, name, data string) {
	c.t.Helper()
	d := c.open("STOR " + name)
	if _, err := io.WriteString(d, data); err != nil {
		c.t.Fatal(err)
	}
	if err := d.HandshakeContext(c.t.Context()); err != nil { // when there was nothing to write
		c.t.Fatal(err)
	}
	_ = d.CloseWrite()
	c.expect(code)
	_ = d.NetConn().Close()
}

// get downloads or lists.
func (c *client) get(line string) string {
	c.t.Helper()
	d := c.open(line)
	b, err := io.ReadAll(d)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = d.Close()
	c.expect(226)
	return string(b)
}

// ended waits for the server to hang up.
func (c *client) ended() {
	c.t.Helper()
	if line, err := c.text.ReadLine(); err == nil {
		c.t.Errorf("it still speaks: %s", line)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in %q", p, text)
		}
	}
}
