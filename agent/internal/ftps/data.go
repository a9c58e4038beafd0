package ftps

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// steady is a data connection that fails when nothing moves for a while, however
// long it lives: each read and each piece of a write has its own deadline.
// Deadlines set from outside (crypto/tls gives a closing note 5 s, less than a
// full buffer takes to drain at a slow printer) are not taken.
type steady struct {
	net.Conn
	patience time.Duration
}

const (
	writePiece = 32 << 10
	sendBuffer = 128 << 10 // what the kernel may hold: progress stays honest, and the end of an upload near
)

func (c *steady) Read(b []byte) (int, error) {
	_ = c.Conn.SetReadDeadline(time.Now().Add(c.patience))
	return c.Conn.Read(b)
}

func (c *steady) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		var k int
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.patience))
		k, err = c.Conn.Write(b[:min(len(b), writePiece)])
		n, b = n+k, b[k:]
	}
	return n, err
}

func (c *steady) SetDeadline(time.Time) error      { return nil }
func (c *steady) SetReadDeadline(time.Time) error  { return nil }
func (c *steady) SetWriteDeadline(time.Time) error { return nil }

// data is a data connection, ready for bytes.
type data struct {
	net.Conn // encrypted or not
	raw      *steady
	release  func()
}

// transfer opens a data connection and gives the command that uses it, in the
// order printers want: connect, command, its 150, and only then TLS.
func (s *session) transfer(ctx context.Context, verb, path string) (*data, error) {
	d, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	arg := ""
	if path != "" {
		arg = s.wire(path)
	}
	if _, err := s.expect(1, verb, arg); err != nil {
		d.abort()
		return nil, err
	}
	if err := s.secure(ctx, d); err != nil {
		d.abort()
		return nil, err
	}
	return d, nil
}

func (s *session) connect(ctx context.Context) (*data, error) {
	port, err := s.passive()
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	conn, err := s.c.o.Dial(within, "tcp", net.JoinHostPort(s.host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("open data connection: %w", err)
	}
	if tcp, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	raw := &steady{conn, stallWait}
	return &data{Conn: raw, raw: raw, release: closeWith(ctx, func() { reset(conn) })}, nil
}

// passive asks for a port. The address beside it is not used: printers name
// 0.0.0.0 or what they think to be theirs, and an evil one could name a host
// that it cannot reach but we can.
func (s *session) passive() (int, error) {
	r, err := s.ask("PASV", "")
	if err != nil {
		return 0, err
	}
	if r.code == 227 {
		address, port, ok := parsePassive(r.text)
		if !ok || port < 1024 {
			return 0, fmt.Errorf("PASV: unusable reply %q", r.text)
		}
		if address != s.host {
			s.log.Debug("passive address not used", "named", address, "used", s.host)
		}
		return port, nil
	}
	if r.code/100 != 5 {
		return 0, &replyError{verb: "PASV", reply: r}
	}
	r, err = s.expect(2, "EPSV", "") // over IPv6 there is nothing else
	if err != nil {
		return 0, err
	}
	port, ok := parseExtended(r.text)
	if !ok || port < 1024 {
		return 0, fmt.Errorf("EPSV: unusable reply %q", r.text)
	}
	return port, nil
}

// parsePassive reads "… (192,168,1,9,195,149)", with or without parentheses.
func parsePassive(text string) (address string, port int, ok bool) {
	at := strings.LastIndexByte(text, '(') + 1
	if at == 0 {
		at = max(strings.IndexAny(text, "0123456789"), 0)
	}
	numbers := strings.Split(strings.TrimRight(text[at:], " )."), ",")
	if len(numbers) != 6 {
		return "", 0, false
	}
	var b [6]byte
	for i, n := range numbers {
		v, err := strconv.ParseUint(strings.TrimSpace(n), 10, 8)
		if err != nil {
			return "", 0, false
		}
		b[i] = byte(v)
	}
	return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3]), int(b[4])<<8 | int(b[5]), true
}

// parseExtended reads "… (|||50077|)".
func parseExtended(text string) (port int, ok bool) {
	_, rest, found := strings.Cut(text, "(|||")
	digits, _, ended := strings.Cut(rest, "|)")
	v, err := strconv.ParseUint(digits, 10, 16)
	return int(v), found && ended && err == nil
}

func (s *session) secure(ctx context.Context, d *data) error {
	if s.clear {
		return nil
	}
	conn := tls.Client(d.raw, s.tls)
	within, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	if err := conn.HandshakeContext(within); err != nil {
		return s.unsecured(d, err)
	}
	s.resumed = conn.ConnectionState().DidResume
	d.Conn = conn
	return nil
}

// unsecured is why TLS failed on a data connection. The printer's own word on
// it ends the transfer for the printer too, so that another one may begin.
func (s *session) unsecured(d *data, err error) error {
	var stranger *identityError
	if errors.As(err, &stranger) {
		s.broken = true
		return err
	}
	reset(d.raw.Conn)
	if r, said := s.reply(lateWait); said == nil {
		return &dataTLSError{&replyError{verb: "TLS of the data connection", reply: r}}
	}
	return &dataTLSError{err}
}

// closeWrite tells the printer that all has been sent, and does not wait for it
// to say the same: some never do. The socket stays half open until the reply has
// come, because a server that writes to a closed one takes the upload for broken.
func (d *data) closeWrite() {
	if conn, ok := d.Conn.(*tls.Conn); ok {
		_ = conn.CloseWrite() // without it the reply will be missing, and that is seen
	}
	if half, ok := d.raw.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = d.raw.Close()
}

// end closes the connection.
func (d *data) end() {
	_ = d.raw.Close()
	d.release()
}

// abort closes it so that the printer cannot take it for the end of the data.
func (d *data) abort() {
	reset(d.raw.Conn)
	d.release()
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
