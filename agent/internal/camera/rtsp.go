package camera

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/pion/rtp"

	"bambuddy/shared/farm"
)

// streamPath is where every printer with RTSPS has its stream.
const streamPath = "/streaming/live/1"

// Times of a session, besides those every source has.
const (
	reportEvery   = 3 * time.Second // receiver reports; without them an X1C falls silent
	defaultExpiry = 60 * time.Second
	minExpiry     = 10 * time.Second
)

// beyond is added to the numbers of the last request of a session.
const beyond = 1_000_000

const maxLogins = 3 // of one request, for servers whose nonces expire

// stream is a connection to an RTSPS server: H.264 in RTP, interleaved with the
// requests and answers of RTSP.
type stream struct {
	conn *pacer
	in   *bufio.Reader
	url  string // never with the access code
	base string // of the whole presentation
	auth challenge
	code farm.Secret

	seq      int    // of the last request
	session  string // "" before SETUP
	playing  int    // seq of the PLAY whose answer is not there yet
	probe    string // the request that keeps the session alive
	expiry   time.Duration
	goodbye  chan []byte // holds one: what leave sends
	media    byte        // channel of RTP; RTCP is on the next
	format   uint8       // payload type
	packet   []byte      // buffer of an interleaved frame
	receiver receiver
	units    assembler
	kept     time.Time // when the session was refreshed
}

func newRTSP(conn *pacer, t Target) *stream {
	url := "rtsps://" + t.Address + streamPath
	return &stream{
		conn: conn, in: bufio.NewReaderSize(conn, 32<<10), url: url, base: url, code: t.AccessCode,
		probe: "OPTIONS", expiry: defaultExpiry, goodbye: make(chan []byte, 1), units: assembler{needKey: true},
	}
}

// leave ends the session in the way of RTSP: some printers serve one client and
// would keep the place for a while.
func (s *stream) leave() {
	var last []byte
	select {
	case last = <-s.goodbye:
	default:
	}
	s.conn.farewell(last)
}

// next is the next access unit; the first is a key frame.
func (s *stream) next() (Frame, error) {
	if s.session == "" {
		if err := s.open(); err != nil {
			return Frame{}, err
		}
	}
	for {
		if unit, ok := s.units.pop(); ok {
			s.conn.spend(unitCost)
			return Frame{Data: unit.data, At: time.Now(), Key: unit.key}, nil
		}
		if err := s.receive(); err != nil {
			return Frame{}, err
		}
		if err := s.maintain(); err != nil {
			return Frame{}, err
		}
	}
}

// open goes through the requests up to PLAY, whose answer is awaited among the
// packets: the first of them may be faster, and they hold the key frame.
func (s *stream) open() error {
	answer, err := s.ask("OPTIONS", s.url)
	if err != nil {
		return err
	}
	if strings.Contains(answer.header.Get("Public"), "GET_PARAMETER") {
		s.probe = "GET_PARAMETER"
	}
	if answer, err = s.ask("DESCRIBE", s.url, "Accept: application/sdp"); err != nil {
		return err
	}
	if base := answer.header.Get("Content-Base"); base != "" && isURI(base) {
		s.base = base
	}
	video, err := parseSDP(string(answer.body))
	if err != nil {
		return err
	}
	s.format = video.format
	s.units.describe(video.params)
	if err := s.setup(s.control(video.control)); err != nil {
		return err
	}
	s.playing, err = s.send("PLAY", s.base, "Range: npt=0.000-")
	return err
}

func (s *stream) setup(url string) error {
	answer, err := s.ask("SETUP", url, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
	if err != nil {
		return err
	}
	session, rest, _ := strings.Cut(answer.header.Get("Session"), ";")
	if session = strings.TrimSpace(session); session == "" || len(session) > 128 {
		return errors.New("SETUP gave no session")
	}
	if timeout, ok := strings.CutPrefix(strings.TrimSpace(rest), "timeout="); ok {
		if n, err := strconv.Atoi(timeout); err == nil && n > 0 && n < 3600 {
			s.expiry = max(minExpiry, time.Duration(n)*time.Second)
		}
	}
	for part := range strings.SplitSeq(answer.header.Get("Transport"), ";") {
		if channels, ok := strings.CutPrefix(strings.TrimSpace(part), "interleaved="); ok {
			first, _, _ := strings.Cut(channels, "-")
			n, err := strconv.ParseUint(first, 10, 8)
			if err != nil || n > 254 {
				return errors.New("SETUP gave no usable channel")
			}
			s.media = byte(n)
		}
	}
	s.session, s.kept = session, time.Now()
	s.prepareGoodbye()
	return nil
}

// prepareGoodbye writes the last request in advance, for leave is called while
// next is at work.
func (s *stream) prepareGoodbye() {
	s.auth.count += beyond
	s.goodbye <- s.request("TEARDOWN", s.base, s.seq+beyond)
	s.auth.count -= beyond + 1
}

// control makes the address of a track from what the description calls it.
func (s *stream) control(name string) string {
	switch {
	case name == "" || name == "*" || !isURI(name):
		return s.base
	case strings.HasPrefix(name, "rtsp://"), strings.HasPrefix(name, "rtsps://"):
		return name
	default:
		return strings.TrimSuffix(s.base, "/") + "/" + name
	}
}

// isURI tells whether text of the other side may stand in a request.
func isURI(text string) bool {
	for _, r := range text {
		if r <= ' ' || r >= 0x7f || r == '"' || r == '\\' {
			return false
		}
	}
	return len(text) <= 512
}

// receive reads one interleaved packet or one message.
func (s *stream) receive() error {
	first, err := s.peek()
	if err != nil {
		return err
	}
	if first != '$' {
		return s.heed()
	}
	channel, data, err := s.interleaved()
	if err != nil {
		return err
	}
	switch channel {
	case s.media:
		s.take(data)
	case s.media + 1:
		return s.receiver.control(data, time.Now())
	}
	return nil
}

// peek tells how the next packet or message begins; empty lines before it, which
// some servers leave, are none.
func (s *stream) peek() (byte, error) {
	for {
		first, err := s.in.Peek(1)
		if err != nil {
			return 0, err
		}
		if first[0] != '\r' && first[0] != '\n' {
			return first[0], nil
		}
		s.conn.spend(pieceCost)
		_, _ = s.in.Discard(1) // is there
	}
}

// interleaved reads one packet into the buffer that the next one will use too.
func (s *stream) interleaved() (channel byte, data []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return 0, nil, err
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	s.conn.spend(max(size, pieceCost))
	if cap(s.packet) < size {
		s.packet = make([]byte, size, max(size, 2048))
	}
	s.packet = s.packet[:size]
	_, err = io.ReadFull(s.in, s.packet)
	return head[1], s.packet, err
}

// take brings an RTP packet into the access unit it belongs to.
func (s *stream) take(data []byte) {
	var p rtp.Packet
	if p.Unmarshal(data) != nil || p.PayloadType != s.format {
		return
	}
	switch s.receiver.count(&p.Header) {
	case repeated:
		return
	case missed:
		s.units.damage()
	}
	s.units.add(p.Payload, p.Timestamp, p.Marker)
}

// heed reads a message amid the packets: the answer to PLAY, or one that only
// tells that the session lives.
func (s *stream) heed() error {
	m, err := readMessage(s.in)
	if err != nil {
		return err
	}
	s.conn.spend(frameCost) // nobody needs many
	if s.playing != 0 && m.seq == s.playing {
		s.playing = 0
		return m.check("PLAY", s.hasAccess())
	}
	return nil
}

// maintain sends what keeps a stream flowing, when it is time.
func (s *stream) maintain() error {
	now := time.Now()
	if report := s.receiver.report(now); report != nil {
		head := []byte{'$', s.media + 1, 0, 0}
		binary.BigEndian.PutUint16(head[2:], uint16(len(report)))
		if _, err := s.conn.Write(append(head, report...)); err != nil {
			return fmt.Errorf("send a receiver report: %w", err)
		}
	}
	if now.Sub(s.kept) < s.expiry/2 {
		return nil
	}
	s.kept = now
	_, err := s.send(s.probe, s.base)
	return err
}

// ask sends a request and waits for its answer, which has to be 200. A 401 is
// answered once, with the access code.
func (s *stream) ask(method, url string, headers ...string) (message, error) {
	for try := 1; ; try++ {
		had := s.hasAccess()
		seq, err := s.send(method, url, headers...)
		if err != nil {
			return message{}, err
		}
		answer, err := s.await(seq)
		if err != nil {
			return message{}, err
		}
		if answer.status == 401 && try <= maxLogins && s.auth.renew(answer.header.Values("WWW-Authenticate")) {
			continue
		}
		return answer, answer.check(method, had)
	}
}

func (s *stream) hasAccess() bool { return s.auth.scheme != "" }

// await reads until the answer with this number comes.
func (s *stream) await(seq int) (message, error) {
	for range 100 {
		first, err := s.peek()
		if err != nil {
			return message{}, err
		}
		if first == '$' {
			if _, _, err := s.interleaved(); err != nil {
				return message{}, err
			}
			continue
		}
		if m, err := readMessage(s.in); err != nil || m.seq == seq {
			return m, err
		}
	}
	return message{}, errors.New("other messages instead of an answer")
}

// send sends a request and tells its number.
func (s *stream) send(method, url string, headers ...string) (seq int, err error) {
	s.seq++
	if _, err := s.conn.Write(s.request(method, url, s.seq, headers...)); err != nil {
		return 0, fmt.Errorf("send %s: %w", method, err)
	}
	return s.seq, nil
}

func (s *stream) request(method, url string, seq int, headers ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s RTSP/1.0\r\nCSeq: %d\r\nUser-Agent: bambuddy\r\n", method, url, seq)
	if s.hasAccess() {
		fmt.Fprintf(&b, "Authorization: %s\r\n", s.auth.answer(method, url, s.code))
	}
	if s.session != "" {
		fmt.Fprintf(&b, "Session: %s\r\n", s.session)
	}
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}
