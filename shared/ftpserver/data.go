package ftpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// data is one data connection. What is read and written goes through its TLS, if
// it has one.
type data struct {
	net.Conn
	below  *watched
	secret bool // in TLS
	stop   func() bool
}

// watched is a socket that knows whether its peer closed or broke it: TLS reads
// that as a proper end.
type watched struct {
	net.Conn
	ended bool
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		w.ended = true
	}
	return n, err
}

// cut tells whether a TLS stream ended without a close_notify.
func (d *data) cut() bool { return d.secret && d.below.ended }

// end closes the connection, with or without a close_notify.
func (d *data) end(notify bool) {
	d.stop()
	if notify {
		_ = d.Close()
	}
	_ = d.below.Close()
}

func (c *session) pasv(string) {
	l, port := c.openPassive()
	if l == nil {
		return
	}
	host := c.host
	for _, other := range []string{c.server.o.Announce, c.quirks().PassiveHost} {
		if other != "" {
			host = other
		}
	}
	ip, err := netip.ParseAddr(host)
	if ip = ip.Unmap(); err != nil || !ip.Is4() {
		ip = netip.IPv4Unspecified()
	}
	c.reply(227, fmt.Sprintf("Entering Passive Mode (%s,%d,%d).", strings.ReplaceAll(ip.String(), ".", ","), port>>8, port&0xff))
}

func (c *session) epsv(arg string) {
	if c.character().NoEPSV {
		c.reply(502, "The command is not known.")
		return
	}
	if strings.EqualFold(arg, "ALL") {
		c.reply(200, "EPSV alone from now on.")
		return
	}
	if l, port := c.openPassive(); l != nil {
		c.reply(229, fmt.Sprintf("Entering Extended Passive Mode (|||%d|)", port))
	}
}

// openPassive listens for the next data connection. Without success it has
// answered, and there is no listener.
func (c *session) openPassive() (net.Listener, int) {
	c.closeData()
	l, err := c.server.listen(c.host)
	if err != nil {
		c.server.o.Log.Warn("no port for a data connection", "err", err)
		c.reply(425, "There is no port.")
		return nil, 0
	}
	at, err := netip.ParseAddrPort(l.Addr().String())
	port := int(at.Port())
	if err != nil { // a network of names, in memory
		if _, text, e := net.SplitHostPort(l.Addr().String()); e == nil {
			_, _ = fmt.Sscan(text, &port)
		}
	}
	c.passive = l
	return l, port
}

// begin takes the data connection of a transfer and says so. Without one it has
// answered; an error then ends the session.
func (c *session) begin(ctx context.Context, text string) (*data, error) {
	l, k := c.passive, c.character()
	c.passive = nil
	if l != nil {
		defer func() { _ = l.Close() }()
	}
	switch {
	case l == nil:
		c.reply(425, "Use PASV first.")
		return nil, nil
	case k.EncryptedOnly && !c.private:
		c.reply(522, "Data connections must be encrypted.")
		return nil, nil
	case c.quirks().OneSession && !c.server.oldest(c):
		c.reply(425, "Failed to establish connection.")
		return nil, nil
	}
	conn, err := c.accept(ctx, l)
	if err != nil {
		c.reply(425, "Failed to establish connection.")
		return nil, nil
	}
	c.reply(150, text)
	below := &watched{Conn: conn}
	d := &data{Conn: below, below: below, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	if !c.private {
		return d, nil
	}
	return c.encrypt(ctx, d)
}

// encrypt does the handshake, which printers do after the 150, not before.
func (c *session) encrypt(ctx context.Context, d *data) (*data, error) {
	secret := tls.Server(d.below, c.config)
	ctx, done := context.WithTimeout(ctx, handshakeTime)
	defer done()
	if err := secret.HandshakeContext(ctx); err != nil {
		c.server.o.Log.Debug("data handshake failed", "peer", c.peer, "err", err)
		d.end(false)
		c.reply(522, "SSL connection failed.")
		return nil, nil
	}
	d.Conn, d.secret = secret, true
	if c.character().Reuse && c.resumable && !secret.ConnectionState().DidResume {
		d.end(true)
		c.reply(522, "SSL connection failed: session reuse required.")
		return nil, errQuit
	}
	return d, nil
}

// accept waits for the peer of the control connection; nobody else gets in.
func (c *session) accept(ctx context.Context, l net.Listener) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dataTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil, err
		}
		if hostOf(conn.RemoteAddr()) == c.peer {
			return conn, nil
		}
		c.server.o.Log.Warn("data connection of a stranger refused", "peer", c.peer, "stranger", conn.RemoteAddr())
		_ = conn.Close()
	}
}

// errDropped is a transfer that breaks off because it shall.
var errDropped = errors.New("dropped")

// flow moves bytes until src ends, as the quirks allow.
func (c *session) flow(ctx context.Context, d *data, dst io.Writer, src io.Reader) error {
	buffer := make([]byte, 64<<10)
	for moved := int64(0); ; {
		q, most := c.quirks(), int64(len(buffer))
		if q.Rate > 0 {
			most = min(most, int64(max(1, q.Rate/10)))
		}
		if q.DropAfter > 0 {
			if most = min(most, q.DropAfter-moved); most <= 0 {
				return errDropped
			}
		}
		_ = d.SetDeadline(time.Now().Add(stallTime))
		n, err := src.Read(buffer[:most])
		if _, failed := dst.Write(buffer[:n]); failed != nil {
			return failed
		}
		moved += int64(n)
		if q.Rate > 0 && !pause(ctx, time.Duration(n)*time.Second/time.Duration(q.Rate)) {
			return ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
