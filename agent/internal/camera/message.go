package camera

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"

	"bambuddy/shared/farm"
)

// Bounds of an RTSP message.
const (
	maxHeader = 16 << 10
	maxBody   = 64 << 10
)

// message is an answer of an RTSP server; one of its own requests has status 0.
type message struct {
	status int
	seq    int
	header textproto.MIMEHeader
	body   []byte
}

func readMessage(in *bufio.Reader) (message, error) {
	limited := &io.LimitedReader{R: in, N: maxHeader}
	head := bufio.NewReaderSize(oneByte{limited}, 16)
	reader := textproto.NewReader(head)
	line, err := reader.ReadLine()
	if err != nil {
		return message{}, tooLong(limited, err)
	}
	var m message
	if m.status, err = parseStatus(line); err != nil {
		return m, err
	}
	if m.header, err = reader.ReadMIMEHeader(); err != nil {
		return m, tooLong(limited, err)
	}
	m.seq, _ = strconv.Atoi(m.header.Get("CSeq"))
	size := 0
	if length := m.header.Get("Content-Length"); length != "" {
		if size, err = strconv.Atoi(length); err != nil || size < 0 || size > maxBody {
			return m, fmt.Errorf("an RTSP message with a body of %.20q bytes", length)
		}
	}
	m.body = make([]byte, size)
	_, err = io.ReadFull(in, m.body)
	return m, err
}

// parseStatus reads "RTSP/1.0 200 OK"; the first line of a request is 0.
func parseStatus(line string) (int, error) {
	version, rest, _ := strings.Cut(line, " ")
	if !strings.HasPrefix(version, "RTSP/") {
		if strings.Contains(rest, " RTSP/") {
			return 0, nil
		}
		return 0, errors.New("neither a packet nor an RTSP message")
	}
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || status < 100 || status > 999 {
		return 0, errors.New("an RTSP answer without a status")
	}
	return status, nil
}

func tooLong(l *io.LimitedReader, err error) error {
	if l.N <= 0 {
		return errors.New("an RTSP message without end")
	}
	return err
}

// oneByte reads byte by byte, so that a reader above it takes nothing beyond the
// end of the header; below it is a buffer.
type oneByte struct{ io.Reader }

func (r oneByte) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return r.Reader.Read(b[:1])
}

// check makes an error of an answer that is not 200.
func (m message) check(method string, withAccess bool) error {
	switch m.status {
	case 200:
		return nil
	case 401, 403:
		if withAccess {
			return finalError{offline(nil, "the camera refuses the access code")}
		}
		return finalError{offline(nil, "the camera asks for a login that is not known here")}
	case 404, 454:
		return offline(nil, "the camera has no stream (%d to %s)", m.status, method)
	case 453, 503:
		return farm.Errorf(farm.PrinterBusy, "the camera serves somebody else (%d to %s)", m.status, method)
	default:
		return offline(nil, "the camera answers %d to %s", m.status, method)
	}
}
