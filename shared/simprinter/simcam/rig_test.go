package simcam

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/memnet"
	"bambuddy/shared/testcert"
)

const (
	code = "12345678"
	at   = "cam:322"
)

// rig is a camera in a network of its own, for use in a bubble.
type rig struct {
	t      *testing.T
	net    *memnet.Network
	camera *Server
	stop   func()
}

func newRig(t *testing.T, kind bambu.Camera, q Quirks) *rig {
	t.Helper()
	r := &rig{t: t, net: memnet.New()}
	l, err := r.net.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	r.camera, r.stop = start(t, kind, l)
	r.camera.Tune(q)
	return r
}

// start serves a camera; stop waits for its end.
func start(t *testing.T, kind bambu.Camera, l net.Listener) (*Server, func()) {
	t.Helper()
	s := New(Config{
		Kind: kind, TLS: &tls.Config{Certificates: []tls.Certificate{testcert.New(t, "01P00A000000001")}, MaxVersion: tls.VersionTLS12},
		Code: func() string { return code }, Every: 500 * time.Millisecond,
		Scene: func() Scene { return Scene{Serial: "01P00A000000001", Name: "P1S 1", State: "RUNNING", Percent: 42} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- s.Serve(ctx, l) }()
	return s, func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
}

// dial connects with TLS.
func (r *rig) dial() *tls.Conn {
	r.t.Helper()
	c, err := r.net.Dialer("viewer")(context.Background(), "tcp", at)
	if err != nil {
		r.t.Fatal(err)
	}
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // a camera of our own
}

// login is the packet a JPEG camera wants.
func login(code string) []byte {
	b := make([]byte, loginSize)
	binary.LittleEndian.PutUint32(b, loginRest)
	binary.LittleEndian.PutUint32(b[4:], loginType)
	copy(b[16:], user)
	copy(b[48:], code)
	return b
}

// watch logs in at a JPEG camera.
func (r *rig) watch(code string) *tls.Conn {
	r.t.Helper()
	c := r.dial()
	if _, err := c.Write(login(code)); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// picture reads one picture and its head.
func picture(c io.Reader) (head, jpeg []byte, err error) {
	head = make([]byte, headSize)
	if _, err = io.ReadFull(c, head); err != nil {
		return nil, nil, err
	}
	jpeg = make([]byte, min(binary.LittleEndian.Uint32(head), 1<<20))
	_, err = io.ReadFull(c, jpeg)
	return head, jpeg, err
}

// player is an RTSP client.
type player struct {
	t     *testing.T
	conn  net.Conn
	r     *bufio.Reader
	seq   int
	nonce string
	id    string
}

func (r *rig) player() *player {
	c := r.dial()
	return &player{t: r.t, conn: c, r: bufio.NewReader(c)}
}

// ask sends a request and gives status, headers and body of its answer.
func (p *player) ask(method, path, code string, headers ...string) (string, map[string]string, string) {
	p.t.Helper()
	p.seq++
	uri := "rtsps://" + at + path
	text := fmt.Sprintf("%s %s RTSP/1.0\r\nCSeq: %d\r\n", method, uri, p.seq)
	if p.nonce != "" && code != "" {
		proof := digest(digest(user+":"+realm+":"+code) + ":" + p.nonce + ":" + digest(method+":"+uri))
		text += fmt.Sprintf("Authorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\"\r\n", user, realm, p.nonce, uri, proof)
	}
	if p.id != "" {
		text += "Session: " + p.id + "\r\n"
	}
	for _, h := range headers {
		text += h + "\r\n"
	}
	if _, err := io.WriteString(p.conn, text+"\r\n"); err != nil {
		p.t.Fatal(err)
	}
	return p.answer()
}

// answer reads an answer, past the packets before it.
func (p *player) answer() (string, map[string]string, string) {
	p.t.Helper()
	for {
		first, err := p.r.Peek(1)
		if err != nil {
			p.t.Fatal(err)
		}
		if first[0] != '$' {
			break
		}
		if _, _, err := p.packet(); err != nil {
			p.t.Fatal(err)
		}
	}
	status, err := p.r.ReadString('\n')
	header := map[string]string{}
	for err == nil {
		var line string
		if line, err = p.r.ReadString('\n'); strings.TrimSpace(line) == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		header[strings.ToLower(name)] = strings.TrimSpace(value)
	}
	if err != nil || header["cseq"] != fmt.Sprint(p.seq) {
		p.t.Fatalf("%q %v %v", status, header, err)
	}
	if i := strings.Index(header["www-authenticate"], `nonce="`); i >= 0 {
		p.nonce, _, _ = strings.Cut(header["www-authenticate"][i+7:], `"`)
	}
	n := 0
	_, _ = fmt.Sscan(header["content-length"], &n)
	body := make([]byte, n)
	if _, err := io.ReadFull(p.r, body); err != nil {
		p.t.Fatal(err)
	}
	status, _ = strings.CutPrefix(strings.TrimSpace(status), "RTSP/1.0 ")
	return status, header, string(body)
}

// play goes through everything until the video flows.
func (p *player) play() {
	p.t.Helper()
	p.ask("DESCRIBE", Path, "")
	if status, _, _ := p.ask("DESCRIBE", Path, code); status != statusOK {
		p.t.Fatal(status)
	}
	status, header, _ := p.ask("SETUP", Path+track, code, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
	if status != statusOK || !strings.Contains(header["transport"], "interleaved=0-1") {
		p.t.Fatal(status, header)
	}
	p.id, _, _ = strings.Cut(header["session"], ";")
	if status, _, _ := p.ask("PLAY", Path+"/", code, "Range: npt=0.000-"); status != statusOK {
		p.t.Fatal(status)
	}
}

// packet reads an interleaved frame.
func (p *player) packet() (channel byte, b []byte, err error) {
	var head [4]byte
	if _, err = io.ReadFull(p.r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0] != '$' {
		return 0, nil, fmt.Errorf("a frame begins with %x", head)
	}
	b = make([]byte, binary.BigEndian.Uint16(head[2:]))
	_, err = io.ReadFull(p.r, b)
	return head[1], b, err
}

// received is an access unit with what its packets said.
type received struct {
	units [][]byte
	time  uint32
	lost  bool
}

// unit reads packets until the marker, as far as they make sense.
func (p *player) unit(last *uint16) (received, error) {
	var out received
	var part []byte
	for {
		channel, b, err := p.packet()
		if err != nil {
			return out, err
		}
		if channel != channelRTP {
			continue
		}
		seq := binary.BigEndian.Uint16(b[2:])
		out.lost = out.lost || *last != 0 && seq != *last+1
		*last, out.time = seq, binary.BigEndian.Uint32(b[4:])
		payload := b[rtpHead:]
		switch payload[0] & 0x1F {
		case 24:
			for rest := payload[1:]; len(rest) > 0; {
				n := binary.BigEndian.Uint16(rest)
				out.units, rest = append(out.units, rest[2:2+n]), rest[2+n:]
			}
		case 28:
			if payload[1]&0x80 != 0 {
				part = []byte{payload[0]&0x60 | payload[1]&0x1F}
			}
			part = append(part, payload[2:]...)
			if payload[1]&0x40 != 0 {
				out.units = append(out.units, part)
			}
		default:
			out.units = append(out.units, payload)
		}
		if b[1]&0x80 != 0 {
			return out, nil
		}
	}
}

// reportBack sends a receiver report.
func (p *player) reportBack() {
	p.t.Helper()
	if _, err := p.conn.Write([]byte{'$', channelRTCP, 0, 8, 0x80, 201, 0, 1, 1, 2, 3, 4}); err != nil {
		p.t.Fatal(err)
	}
}
