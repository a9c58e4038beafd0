package simcam

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// The login and the head of a picture, see protocol/camera.md §2.
const (
	loginSize = 80
	loginRest = 0x40   // bytes after the head of the login
	loginType = 0x3000 // of its head
	headSize  = 16
)

// absurd is the length an over-long picture claims to have.
const absurd = 0x7FFF0000

var errLogin = errors.New("the login is not right")

// pictures serves one client of a JPEG camera. What the client sends after its
// login means nothing, but its end is noticed.
func (s *Server) pictures(ctx context.Context, c net.Conn, raw net.Conn) error {
	if err := s.login(c); err != nil {
		return err // without a word, as the firmware does
	}
	if !s.admit(raw) {
		return errors.New("there is a viewer already")
	}
	ctx, cancel := context.WithCancel(ctx)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer func() { _ = raw.Close() }()
	reader.Go(func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, c) // until the client is gone
	})
	return s.show(ctx, c)
}

func (s *Server) login(c net.Conn) error {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var b [loginSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return fmt.Errorf("read the login: %w", err)
	}
	name, code := bytes.TrimRight(b[16:48], "\x00"), bytes.TrimRight(b[48:], "\x00")
	if binary.LittleEndian.Uint32(b[:]) != loginRest || binary.LittleEndian.Uint32(b[4:]) != loginType || string(name) != user ||
		subtle.ConstantTimeCompare(code, []byte(s.config.Code())) != 1 {
		return errLogin
	}
	return c.SetReadDeadline(time.Time{})
}

// show sends pictures until ctx ends or the client does not take them.
func (s *Server) show(ctx context.Context, c net.Conn) error {
	every := time.NewTicker(s.config.Every)
	defer every.Stop()
	p := newPainter()
	for {
		if q := s.sent(0); !q.Stall {
			picture, err := p.paint(s.config.Scene())
			if err != nil {
				return err
			}
			if err := sendPicture(c, picture, q); err != nil {
				return err
			}
			s.sent(1)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

var errDropped = errors.New("dropped on purpose")

// sendPicture writes the head in a record of its own, then the picture.
func sendPicture(c net.Conn, picture []byte, q Quirks) error {
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	length := len(picture)
	switch {
	case q.Truncated:
		picture = picture[:length/2]
		length = len(picture)
	case q.Overlong:
		length = absurd
	case q.NotJPEG:
		picture = bytes.Repeat([]byte("this is no picture\n"), length/19)
		length = len(picture)
	case q.Drop:
		picture = picture[:length/2]
	}
	var head [headSize]byte
	binary.LittleEndian.PutUint32(head[:], uint32(length)) // a picture is far smaller
	binary.LittleEndian.PutUint32(head[8:], 1)
	if _, err := c.Write(head[:]); err != nil {
		return err
	}
	if _, err := c.Write(picture); err != nil {
		return err
	}
	if q.Drop {
		return errDropped
	}
	return nil
}
