package simcam

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// The bounds of what a client may send.
const (
	maxLine    = 4096
	maxHeaders = 64
	maxBody    = 64 << 10
)

// message is a request of a client.
type message struct {
	method, uri string
	header      map[string]string // names in lower case
}

var errMessage = errors.New("not a request")

// readMessage reads a request; its body is of no interest.
func readMessage(r *bufio.Reader) (message, error) {
	line, err := readLine(r)
	if err != nil {
		return message{}, err
	}
	parts := strings.Fields(line)
	if len(parts) != 3 || parts[2] != "RTSP/1.0" {
		return message{}, errMessage
	}
	m := message{method: parts[0], uri: parts[1], header: map[string]string{}}
	for range maxHeaders {
		line, err := readLine(r)
		if err != nil {
			return message{}, err
		}
		if line == "" {
			return m, m.skipBody(r)
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return message{}, errMessage
		}
		m.header[strings.ToLower(name)] = strings.TrimSpace(value)
	}
	return message{}, errMessage
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", fmt.Errorf("read a request: %w", err)
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func (m message) skipBody(r *bufio.Reader) error {
	text, ok := m.header["content-length"]
	if !ok {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxBody {
		return errMessage
	}
	_, err = io.CopyN(io.Discard, r, int64(n))
	return err
}

// path is that of the uri, without a slash at its end.
func (m message) path() string {
	u, err := url.Parse(m.uri)
	if err != nil {
		return ""
	}
	return strings.TrimRight(u.Path, "/")
}

// channels reads which interleaved channels a client asks for. The second is false
// when it asks for UDP alone.
func (m message) channels() (rtp, rtcp byte, ok bool) {
	for offer := range strings.SplitSeq(m.header["transport"], ",") {
		parts := strings.Split(strings.TrimSpace(offer), ";")
		if !strings.EqualFold(parts[0], "RTP/AVP/TCP") {
			continue
		}
		rtp, rtcp = channelRTP, channelRTCP
		for _, part := range parts[1:] {
			var a, b byte
			if n, _ := fmt.Sscanf(part, "interleaved=%d-%d", &a, &b); n == 2 {
				rtp, rtcp = a, b
			}
		}
		return rtp, rtcp, true
	}
	return 0, 0, false
}
