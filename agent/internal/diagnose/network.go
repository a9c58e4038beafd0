package diagnose

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// state is what knocking at a port came to.
type state int

const (
	untried state = iota
	open
	refused // the machine is there, nobody listens
	silent  // no answer in time
	nameless
	unreachable // no way to the machine
)

// port is a port and what knocking at it came to.
type port struct {
	addr  string // host:port
	state state
}

// answers tells that a machine is there.
func (p port) answers() bool { return p.state == open || p.state == refused }

// dial opens a connection, nil without one.
func (d *Diagnoser) dial(ctx context.Context, addr string) (net.Conn, port) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := d.o.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, port{addr, stateOf(err)}
	}
	return conn, port{addr, open}
}

// knock tells whether a port is open.
func (d *Diagnoser) knock(ctx context.Context, addr string) port {
	conn, p := d.dial(ctx, addr)
	if conn != nil {
		_ = conn.Close()
	}
	return p
}

func stateOf(err error) state {
	var name *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &name):
		return nameless
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "refused"):
		return refused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return silent
	default:
		return unreachable
	}
}

// identity is who answers on the MQTT port.
type identity struct {
	name    string    // of the certificate, as shown; "": none was shown
	expires time.Time // of the certificate
	begins  time.Time
	err     error // why this is not the printer
}

// examineTLS opens TLS, as far as whose certificate it is. It closes conn.
func examineTLS(ctx context.Context, conn net.Conn, t Target) identity {
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, tlsTime)
	defer cancel()
	var who identity
	if t.TLS == nil || t.TLS.VerifyConnection == nil {
		who.err = errors.New("nothing was given to check the certificate with")
		return who
	}
	config := t.TLS.Clone()
	config.SessionTicketsDisabled = true // it is to show its certificate
	judge := t.TLS.VerifyConnection
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) > 0 {
			who.see(cs.PeerCertificates[0])
		}
		return judge(cs)
	}
	who.err = tls.Client(conn, config).HandshakeContext(ctx)
	return who
}

func (who *identity) see(c *x509.Certificate) {
	who.name, who.begins, who.expires = c.Subject.CommonName, c.NotBefore, c.NotAfter
}

const maxReason = 300 // characters of an error in a report

// reason is an error for a report: what is meant for people where there is such a
// part, in one line, bounded, and without the access code whatever happened.
func (f *findings) reason(err error) string {
	text := err.Error()
	var known *farm.Error
	if errors.As(err, &known) {
		text = known.Detail
	}
	if code := f.target.Config.AccessCode.Reveal(); code != "" {
		text = strings.ReplaceAll(text, code, "••••")
	}
	return printable(text, maxReason)
}

// printable makes text of a stranger fit for logs and people.
func printable(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, "?") {
		if n++; n > limit {
			return b.String() + "…"
		}
		if !strconv.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// sentence begins with a capital letter and has no stop yet.
func sentence(s string) string {
	s = strings.TrimSuffix(s, ".")
	if first, size := utf8.DecodeRuneInString(s); size > 0 {
		return string(unicode.ToUpper(first)) + s[size:]
	}
	return s
}
