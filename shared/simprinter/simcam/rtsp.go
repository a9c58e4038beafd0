package simcam

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Path is where the video is.
const Path = "/streaming/live/1"

const (
	track   = "/track1"
	methods = "OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER"
)

// session is one connection of an RTSP client.
type session struct {
	server *Server
	conn   net.Conn
	raw    net.Conn // below conn, by which the server knows it
	reader *bufio.Reader
	nonce  string
	id     string        // "" before SETUP
	pack   *packer       // from SETUP on
	turn   chan struct{} // held while writing; no mutex, because a write may take long

	asked   atomic.Int64 // when the last receiver report came, or the video began, in Unix nanoseconds
	playing bool
	streams sync.WaitGroup
}

func newSession(s *Server, conn, raw net.Conn) *session {
	return &session{
		server: s, conn: conn, raw: raw, reader: bufio.NewReaderSize(conn, maxLine), nonce: token(), turn: make(chan struct{}, 1),
	}
}

func token() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// run serves requests until the client or ctx ends it.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.streams.Wait()
	defer func() { _ = s.raw.Close() }()
	defer cancel()
	for {
		if err := s.next(ctx); err != nil {
			return err
		}
	}
}

// next reads a request, or a frame of a channel.
func (s *session) next(ctx context.Context) error {
	first, err := s.reader.Peek(1)
	if err != nil {
		return err
	}
	if first[0] == '$' {
		return s.interleaved()
	}
	m, err := readMessage(s.reader)
	if err != nil {
		return err
	}
	return s.answer(ctx, m)
}

// interleaved takes a frame; only receiver reports matter.
func (s *session) interleaved() error {
	var head [4]byte
	if _, err := io.ReadFull(s.reader, head[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint16(head[2:]))
	if _, err := io.ReadFull(s.reader, b); err != nil {
		return err
	}
	const receiverReport = 201
	if s.pack != nil && head[1] == s.pack.rtcp && len(b) >= 8 && b[0]>>6 == 2 && b[1] == receiverReport {
		s.asked.Store(time.Now().UnixNano())
	}
	return nil
}

// The answers that are none but their status.
const (
	statusOK          = "200 OK"
	statusAuth        = "401 Unauthorized"
	statusNotFound    = "404 Stream Not Found"
	statusMethod      = "405 Method Not Allowed"
	statusBusy        = "453 Not Enough Bandwidth"
	statusNoSession   = "454 Session Not Found"
	statusBadState    = "455 Method Not Valid in This State"
	statusUnsupported = "461 Unsupported Transport"
)

// answer does what a request asks. An error ends the connection.
func (s *session) answer(ctx context.Context, m message) error {
	switch m.method {
	case "OPTIONS":
		return s.reply(m, statusOK, "", "Public: "+methods)
	case "DESCRIBE", "SETUP":
		if !digestFits(m.header["authorization"], m.method, s.nonce, s.server.config.Code()) {
			return s.reply(m, statusAuth, "", fmt.Sprintf(`WWW-Authenticate: Digest realm="%s", nonce="%s"`, realm, s.nonce))
		}
		if m.method == "DESCRIBE" {
			return s.describe(m)
		}
		return s.setup(m)
	case "PLAY", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER", "PAUSE":
		if id, _, _ := strings.Cut(m.header["session"], ";"); (s.id == "" || id != s.id) && m.method != "GET_PARAMETER" {
			return s.reply(m, statusNoSession, "")
		}
		return s.act(ctx, m)
	}
	return s.reply(m, statusMethod, "", "Allow: "+methods)
}

func (s *session) describe(m message) error {
	if m.path() != Path {
		return s.reply(m, statusNotFound, "")
	}
	c := near()
	sdp := fmt.Sprintf("v=0\r\no=- %d 1 IN IP4 0.0.0.0\r\ns=Live\r\nt=0 0\r\na=control:*\r\na=range:npt=now-\r\n"+
		"m=video 0 RTP/AVP %d\r\nc=IN IP4 0.0.0.0\r\nb=AS:2000\r\na=rtpmap:%d H264/%d\r\n"+
		"a=fmtp:%d packetization-mode=1;profile-level-id=%X;sprop-parameter-sets=%s,%s\r\na=control:track1\r\n",
		time.Now().Unix(), payloadType, payloadType, clockRate, payloadType, c.sps[1:4],
		base64.StdEncoding.EncodeToString(c.sps), base64.StdEncoding.EncodeToString(c.pps))
	return s.reply(m, statusOK, sdp, "Content-Base: "+strings.TrimRight(m.uri, "/")+"/", "Content-Type: application/sdp")
}

func (s *session) setup(m message) error {
	if m.path() != Path+track {
		return s.reply(m, statusNotFound, "")
	}
	rtp, rtcp, ok := m.channels()
	switch {
	case !ok:
		return s.reply(m, statusUnsupported, "")
	case s.playing:
		return s.reply(m, statusBadState, "")
	case s.id == "" && !s.server.admit(s.raw):
		return s.reply(m, statusBusy, "")
	}
	if s.id == "" {
		s.id = strings.ToUpper(token()[:8])
	}
	s.pack = newPacker(rtp, rtcp)
	return s.reply(m, statusOK, "", fmt.Sprintf("Transport: RTP/AVP/TCP;unicast;interleaved=%d-%d;ssrc=%08X", rtp, rtcp, s.pack.ssrc), s.session())
}

func (s *session) session() string { return "Session: " + s.id + ";timeout=65" }

// act is a request within a session.
func (s *session) act(ctx context.Context, m message) error {
	switch m.method {
	case "TEARDOWN":
		if err := s.reply(m, statusOK, ""); err != nil {
			return err
		}
		return io.EOF
	case "PLAY":
		if s.playing {
			return s.reply(m, statusOK, "", s.session())
		}
		s.playing = true
		s.asked.Store(time.Now().UnixNano())
		info := fmt.Sprintf("RTP-Info: url=%s%s;seq=%d;rtptime=%d", strings.TrimRight(m.uri, "/"), track, s.pack.seq+1, s.pack.at)
		if err := s.reply(m, statusOK, "", "Range: npt=0.000-", s.session(), info); err != nil {
			return err
		}
		s.streams.Go(func() {
			defer func() { _ = s.raw.Close() }()
			s.stream(ctx)
		})
		return nil
	case "GET_PARAMETER", "SET_PARAMETER":
		return s.reply(m, statusOK, "")
	}
	return s.reply(m, statusBadState, "", "Allow: "+methods) // a live picture does not pause
}

func (s *session) reply(m message, status, body string, headers ...string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "RTSP/1.0 %s\r\nCSeq: %s\r\nDate: %s\r\n", status, m.header["cseq"], time.Now().UTC().Format("Mon, Jan 02 2006 15:04:05 GMT"))
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return s.write([]byte(b.String()))
}

func (s *session) write(b []byte) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if err := s.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}
