package ftpserver

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxLine bounds a command.
const maxLine = 4096

// maxFailures is how often a client may mistake the password in a session.
const maxFailures = 3

// session is one control connection. It belongs to one goroutine.
type session struct {
	server *Server
	number int
	conn   *tls.Conn
	in     *bufio.Reader
	config *tls.Config // of its data connections
	host   string      // that was called
	peer   string      // who called

	resumable bool // its data connections can resume its TLS session, see watchTickets

	user      string
	admitted  bool
	failures  int
	dir       string
	protected bool   // PBSZ came
	private   bool   // PROT P: data connections are in TLS
	renamed   string // by RNFR
	passive   net.Listener
	lingering net.Conn // a data connection that only the client may end
}

// Ends of a session.
var (
	errQuit = errors.New("the session is over")
	errMute = errors.New("nothing more is answered")
)

func itoa(n int) string { return strconv.Itoa(n) }

// sessionTLS makes the TLS of one session. Its ticket key is its own, so that a
// data connection can resume no other session than this.
func sessionTLS(base *tls.Config) (*tls.Config, error) {
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, fmt.Errorf("make a ticket key: %w", err)
	}
	config := base.Clone()
	config.SetSessionTicketKeys([][32]byte{key})
	return config, nil
}

// sessionTicket is the number of the TLS extension that offers tickets (RFC 5077).
const sessionTicket = 35

// watchTickets makes the TLS of a control connection, which notes whether the client
// takes session tickets. Programs such as curl do not: they resume by session id,
// which OpenSSL's servers know and Go's does not. To demand of them what this server
// cannot do would shut out clients that work with real printers, so a data
// connection must resume the session only when the client has offered tickets.
func watchTickets(base *tls.Config) (config *tls.Config, offered *bool) {
	config, offered = base.Clone(), new(bool)
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		*offered = slices.Contains(hello.Extensions, sessionTicket)
		return nil, nil
	}
	return config, offered
}

func newSession(s *Server, conn *tls.Conn, config *tls.Config) *session {
	return &session{
		server: s, conn: conn, in: bufio.NewReaderSize(conn, maxLine), config: config, dir: "/",
		host: hostOf(conn.LocalAddr()), peer: hostOf(conn.RemoteAddr()),
	}
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// devour reads a connection to its end and answers nothing.
func devour(c net.Conn) {
	_ = c.SetDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, c) // how it ends does not matter
}

// run answers commands until the session is over.
func (c *session) run(ctx context.Context) {
	defer c.closeData()
	banner := c.server.o.Character.Banner
	if banner == "" {
		banner = "Ready."
	}
	c.reply(220, banner)
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(idleTime))
		line, err := c.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			c.reply(500, "The command is too long.")
			return
		}
		if err != nil {
			return
		}
		if c.server.o.Quirks().Mute {
			err = errMute
		} else {
			err = c.do(ctx, strings.TrimRight(string(line), "\r\n"))
		}
		if errors.Is(err, errMute) {
			devour(c.conn)
		}
		if err != nil {
			return
		}
	}
}

// do answers one command; an error ends the session.
func (c *session) do(ctx context.Context, line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	known, ok := commands[strings.ToUpper(verb)]
	switch {
	case !ok:
		c.reply(502, "The command is not known.")
		return nil
	case !c.admitted && !known.anybody:
		c.reply(530, "Please log in.")
		return nil
	}
	return known.do(c, ctx, arg)
}

// reply sends a line. When it cannot be sent, the next command will not come either.
func (c *session) reply(code int, text string) {
	_ = c.conn.SetWriteDeadline(time.Now().Add(replyTime))
	_, _ = fmt.Fprintf(c.conn, "%d %s\r\n", code, text)
}

func (c *session) character() Character { return c.server.o.Character }
func (c *session) quirks() Quirks       { return c.server.o.Quirks() }

// storage is where the files are at this moment.
func (c *session) storage() Storage {
	if c.quirks().NoCard {
		return absent{}
	}
	return c.server.o.Storage
}

// resolve makes an argument a path; no argument is the current directory.
func (c *session) resolve(arg string) string {
	if !strings.HasPrefix(arg, "/") {
		arg = c.dir + "/" + arg
	}
	return path.Clean("/" + arg)
}

// fit tells whether a file may have this name.
func fit(name string) bool {
	return name != "/" && len(path.Base(name)) <= 255 && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// closeData closes what is open beside the control connection.
func (c *session) closeData() {
	if c.passive != nil {
		_ = c.passive.Close()
		c.passive = nil
	}
	if c.lingering != nil {
		_ = c.lingering.Close()
		c.lingering = nil
	}
}
