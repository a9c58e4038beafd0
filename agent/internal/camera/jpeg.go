package camera

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Bounds of pictures.
const (
	maxPicture = 10 << 20 // bytes; real ones have about 100 KB
	maxBad     = 20       // useless frames in a row
)

// The parts of a login on port 6000.
const (
	loginSize   = 80
	loginLength = 0x40   // bytes after the 16-byte head
	loginType   = 0x3000 // asks for pictures
	loginField  = 32     // bytes of the user name and of the access code
	headSize    = 16     // before each picture: its length, then 12 bytes that say nothing
)

// pictures is a connection to port 6000: after one login the printer sends
// pictures, each behind its length.
type pictures struct {
	conn *pacer
	in   *bufio.Reader
	hi   []byte // the login, nil once sent
}

func newPictures(conn *pacer, t Target) *pictures {
	return &pictures{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), hi: login(t)}
}

func login(t Target) []byte {
	hi := make([]byte, loginSize)
	binary.LittleEndian.PutUint32(hi, loginLength)
	binary.LittleEndian.PutUint32(hi[4:], loginType)
	copy(hi[16:16+loginField], user)
	copy(hi[16+loginField:], t.AccessCode.Reveal())
	return hi
}

func (p *pictures) leave() { p.conn.farewell(nil) }

// next is the next picture; frames that are none are passed over.
func (p *pictures) next() (Frame, error) {
	if p.hi != nil {
		if _, err := p.conn.Write(p.hi); err != nil {
			return Frame{}, fmt.Errorf("send the login: %w", err)
		}
		p.hi = nil
	}
	for range maxBad {
		data, err := p.read()
		if err != nil {
			return Frame{}, err
		}
		if isJPEG(data) {
			return Frame{Data: data, At: time.Now(), Key: true}, nil
		}
	}
	return Frame{}, errors.New("frames that are no pictures, one after the other")
}

func (p *pictures) read() ([]byte, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return nil, fmt.Errorf("read the head of a picture: %w", err)
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > maxPicture {
		return nil, fmt.Errorf("a picture of %d bytes announced", size)
	}
	p.conn.spend(max(int(size), frameCost))
	data, err := readBounded(p.in, int(size))
	if err != nil {
		return nil, fmt.Errorf("read a picture of %d bytes: %w", size, err)
	}
	return data, nil
}

// readBounded reads size bytes and makes room only for what really comes.
func readBounded(r io.Reader, size int) ([]byte, error) {
	const trust = 256 << 10
	if size <= trust {
		data := make([]byte, size)
		_, err := io.ReadFull(r, data)
		return data, err
	}
	var b bytes.Buffer
	b.Grow(trust)
	n, err := io.CopyN(&b, r, int64(size))
	if err == nil && n < int64(size) {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

// isJPEG tells whether data begins and ends as a picture does; some firmware
// pads the end with zeros.
func isJPEG(data []byte) bool {
	return bytes.HasPrefix(data, []byte{0xff, 0xd8, 0xff}) && bytes.HasSuffix(bytes.TrimRight(data, "\x00"), []byte{0xff, 0xd9})
}
