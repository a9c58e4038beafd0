package ftps

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
	"unicode"
)

// session is one control connection, logged in. It belongs to one goroutine.
type session struct {
	c       *Client
	t       Target
	log     *slog.Logger
	conn    *tls.Conn
	r       *bufio.Reader
	release func()      // forgets the context
	tls     *tls.Config // of control and data connections, with their common cache
	host    string      // where data connections go
	banner  string
	clear   bool // data connections are not encrypted
	resumed bool // the last encrypted data connection resumed the session
	latin   bool // this printer's names are Latin-1
	broken  bool // no more commands: the order of replies is lost, or the connection
}

// open connects and logs in. Whatever hangs on ctx ends at once with it.
func (c *Client) open(ctx context.Context, t Target, clear bool) (*session, error) {
	if t.TLS == nil {
		return nil, errors.New("printer without TLS settings")
	}
	within, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	raw, err := c.o.Dial(within, "tcp", t.Address)
	if err != nil {
		return nil, &reachError{err}
	}
	s := &session{c: c, t: t, log: c.o.Log.With("printer", t.Serial), tls: dataConfig(t.TLS), host: hostOf(raw, t.Address), clear: clear}
	s.release = closeWith(ctx, func() { _ = raw.Close() })
	s.conn = tls.Client(raw, s.tls)
	s.r = bufio.NewReaderSize(s.conn, maxReplyLine)
	if err := s.begin(ctx); err != nil {
		s.broken = true
		s.close()
		return nil, err
	}
	return s, nil
}

// dataConfig adds to the template what lets data connections resume the session
// of the control connection. Every resumed connection is checked like the first.
func dataConfig(template *tls.Config) *tls.Config {
	cfg := template.Clone()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	cfg.SessionTicketsDisabled = false
	cfg.DynamicRecordSizingDisabled = true // files, not pages: full records from the start
	if check := template.VerifyConnection; check != nil {
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			if err := check(cs); err != nil {
				return &identityError{err}
			}
			return nil
		}
	}
	return cfg
}

// hostOf is the address the control connection really has; a name could mean
// another one the next time.
func hostOf(raw net.Conn, address string) string {
	if host, _, err := net.SplitHostPort(raw.RemoteAddr().String()); err == nil {
		return host
	}
	host, _, _ := net.SplitHostPort(address)
	return host
}

// closeWith calls end when ctx ends first. The function it returns, to be called
// once, waits for a call that has begun.
func closeWith(ctx context.Context, end func()) (release func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		end()
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

func (s *session) begin(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	if err := s.conn.HandshakeContext(within); err != nil {
		return &handshakeError{err}
	}
	hello, err := s.reply(replyWait)
	if err != nil {
		return &reachError{err}
	}
	if hello.code != 220 {
		return &replyError{verb: "greeting", reply: hello}
	}
	s.banner = hello.text
	if err := s.login(); err != nil {
		return err
	}
	if _, err := s.expect(2, "TYPE", "I"); err != nil {
		return err
	}
	return s.protect()
}

func (s *session) login() error {
	r, err := s.ask("USER", s.c.user)
	if err == nil && r.code == 331 {
		r, err = s.ask("PASS", s.t.AccessCode.Reveal())
	}
	if err != nil {
		return err
	}
	if r.code/100 != 2 {
		return &replyError{verb: "login", reply: r}
	}
	return nil
}

// protect says how data will travel. Printers want both commands before the
// first data connection.
func (s *session) protect() error {
	if _, err := s.ask("PBSZ", "0"); err != nil {
		return err
	}
	if s.clear {
		_, err := s.expect(2, "PROT", "C")
		return err
	}
	if _, err := s.expect(2, "PROT", "P"); err != nil {
		return &dataTLSError{err}
	}
	return nil
}

// vsftpd tells the server of the larger models from that of P1 and A1.
func (s *session) vsftpd() bool { return strings.Contains(s.banner, "vsFTPd") }

// close says good-bye if that makes sense and ends the session.
func (s *session) close() {
	if !s.broken {
		if err := s.send("QUIT", ""); err == nil {
			_, _ = s.reply(2 * time.Second) // a printer counts a session until it has said this
		}
		_ = s.conn.Close()
	} else {
		_ = s.conn.NetConn().Close()
	}
	s.release()
}

// reply is a printer's answer; its text is fit for logs and people.
type reply struct {
	code int
	text string
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.code, r.text) }

// ask sends a command and reads its answer.
func (s *session) ask(verb, arg string) (reply, error) {
	if err := s.send(verb, arg); err != nil {
		return reply{}, err
	}
	r, err := s.reply(replyWait)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", verb, err)
	}
	return r, nil
}

// expect is ask for a kind of answer, the first digit of its code.
func (s *session) expect(kind int, verb, arg string) (reply, error) {
	r, err := s.ask(verb, arg)
	if err == nil && r.code/100 != kind {
		err = &replyError{verb: verb, reply: r}
	}
	return r, err
}

// askPath is ask for a command with a path. What is not found under its name in
// UTF-8 is looked for in Latin-1, in which some firmware keeps names.
func (s *session) askPath(verb, path string) (reply, error) {
	r, err := s.ask(verb, s.wire(path))
	if err != nil || r.code != 550 || s.latin {
		return r, err
	}
	other, ok := latin1(path)
	if !ok {
		return r, nil
	}
	again, err := s.ask(verb, other)
	if err == nil && again.code/100 == 2 {
		s.latin = true
		return again, nil
	}
	return r, err
}

// wire is a path as this printer writes it.
func (s *session) wire(path string) string {
	if s.latin {
		if other, ok := latin1(path); ok {
			return other
		}
	}
	return path
}

func (s *session) send(verb, arg string) error {
	line := verb
	if arg != "" {
		line += " " + arg
	}
	if strings.ContainsAny(line, "\r\n\x00") {
		return &refusedError{verb}
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(replyWait))
	if _, err := s.conn.Write([]byte(line + "\r\n")); err != nil {
		s.broken = true
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

// A reply is a line or a few; anything longer is not of a printer.
const (
	maxReplyLine  = 4096
	maxReplyLines = 64
	maxReplyText  = 200 // kept of it, in runes
)

// reply reads one answer, all of it before wait has passed.
func (s *session) reply(wait time.Duration) (reply, error) {
	r, err := s.readReply(time.Now().Add(wait))
	if err != nil {
		s.broken = true
		return reply{}, fmt.Errorf("read reply: %w", err)
	}
	if r.code == 421 {
		s.broken = true
	}
	return r, nil
}

func (s *session) readReply(deadline time.Time) (reply, error) {
	_ = s.conn.SetReadDeadline(deadline)
	line, err := s.readLine()
	if err != nil {
		return reply{}, err
	}
	code, more, ok := replyCode(line)
	if !ok {
		return reply{}, errors.New("not an FTP reply")
	}
	r := reply{code: code, text: s.printable(line[min(4, len(line)):])}
	for n := 0; more; n++ {
		if n == maxReplyLines {
			return reply{}, errors.New("reply without end")
		}
		if line, err = s.readLine(); err != nil {
			return reply{}, err
		}
		last, further, ok := replyCode(line)
		more = !ok || further || last != code
	}
	return r, nil
}

func (s *session) readLine() ([]byte, error) {
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return []byte(strings.TrimRight(string(line), "\r\n")), nil
}

// replyCode reads "226 text" (the end) and "226-text" (more follows).
func replyCode(line []byte) (code int, more, ok bool) {
	if len(line) < 3 {
		return 0, false, false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		code = code*10 + int(c-'0')
	}
	if code < 100 || code > 699 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, false
	}
	return code, len(line) > 3 && line[3] == '-', true
}

// printable makes a printer's words fit to be shown: no control characters, not
// long, and without the access code, should it be repeated to us.
func (s *session) printable(b []byte) string {
	text := decode(b)
	if code := s.t.AccessCode.Reveal(); code != "" {
		text = strings.ReplaceAll(text, code, "••••")
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxReplyText {
		text = string(runes[:maxReplyText]) + "…"
	}
	return strings.TrimSpace(text)
}
