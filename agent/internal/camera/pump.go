package camera

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

const (
	stall   = 10 * time.Second // without a frame for so long, a connection is dead
	patient = time.Minute      // a camera that worked may be away this long
	curious = 3                // tries at a camera that has shown nothing yet
	hasty   = 5 * time.Second  // and no further one after this time

	retryMin = 200 * time.Millisecond // firmware that hangs up now and then is back at once
	retryMax = 5 * time.Second

	writeTimeout = 5 * time.Second

	farewell = 250 * time.Millisecond // for a request that ends a session
)

// source is one connection to a camera. next belongs to one goroutine; leave may
// be called by another, makes next return and closes the connection.
type source interface {
	next() (Frame, error)
	leave()
}

// pump keeps the camera open and publishes its frames until ctx ends (nil) or
// the camera cannot be had.
func (f *feed) pump(ctx context.Context) error {
	retry := backoff.Backoff{Min: retryMin, Max: retryMax}
	began, tries := time.Now(), 0
	var seen time.Time // the last frame
	for {
		opened := time.Now()
		last, err := f.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if tries++; !last.IsZero() {
			f.log.Info("camera lost", "err", err)
			seen = last
			if last.Sub(opened) > stall {
				retry.Reset()
			}
		}
		if f.hopeless(err, began, seen, tries) {
			f.log.Warn("camera given up", "err", err)
			return err
		}
		f.interrupted()
		select {
		case <-time.After(retry.Next()):
		case <-ctx.Done():
			return nil
		}
	}
}

// hopeless decides whether to tell the viewers instead of trying again.
func (f *feed) hopeless(err error, began, seen time.Time, tries int) bool {
	var final finalError
	switch {
	case errors.As(err, &final), farm.Is(err, farm.NotFound):
		return true
	case seen.IsZero():
		return tries >= curious || time.Since(began) >= hasty
	default:
		return time.Since(seen) >= patient
	}
}

// session is one connection from dial to its end; it tells when the last frame
// came.
func (f *feed) session(ctx context.Context) (last time.Time, err error) {
	t, err := f.relay.o.Target(f.serial)
	if err != nil {
		return last, err
	}
	if kind, err := t.kind(); err != nil || kind != f.camera {
		return last, finalError{farm.Errorf(farm.Conflict, "the printer's model has changed; open its camera again")}
	}
	conn, raw, err := f.relay.dial(ctx, t)
	if err != nil {
		return last, err
	}
	paced := &pacer{Conn: conn, raw: raw, stop: ctx.Done()}
	var src source
	if f.camera == bambu.CameraJPEG {
		src = newPictures(paced, t)
	} else {
		src = newRTSP(paced, t)
	}
	defer onDone(ctx, src.leave)()
	for {
		paced.expect()
		frame, err := src.next()
		if err != nil {
			return last, f.explain(t, err, !last.IsZero())
		}
		if last.IsZero() {
			f.log.Info("camera open", "address", t.Address)
		}
		last = frame.At
		f.publish(frame)
	}
}

// explain makes an error of the conversation one for people.
func (f *feed) explain(t Target, err error, worked bool) error {
	var known *farm.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return offline(err, "the camera has sent no picture for %v", stall)
	case !closed(err):
		return offline(nil, "the camera sends what is not understood: %v", err)
	case worked:
		return offline(err, "the camera has closed the connection")
	case f.camera == bambu.CameraJPEG:
		return offline(err, "the camera closed the connection without a picture: the access code is wrong, "+
			"another program is watching or the printer is still starting")
	default:
		return f.relay.shut(t, err)
	}
}

// closed tells whether the other side has hung up.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, winReset) || errors.Is(err, winAborted)
}

// What Windows calls a reset; nothing on other systems.
const (
	winReset   = syscall.Errno(10054)
	winAborted = syscall.Errno(10053)
)

// onDone calls fn when ctx ends, or when the function it returns is called; that
// function waits until fn has returned.
func onDone(ctx context.Context, fn func()) (now func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		fn()
	})
	return func() {
		if stop() {
			fn()
			return
		}
		<-done
	}
}

// What a camera may send on and on, and what each piece costs at least. Real
// ones send a tenth; a stranger must not keep a core busy.
const (
	pace      = 8 << 20 // bytes a second
	pieceCost = 256     // bytes; a small RTP packet
	unitCost  = 8 << 10 // an H.264 access unit, besides its packets
	frameCost = 64 << 10
)

// pacer is a connection that is read at a bearable speed and whose every frame
// is due within stall.
type pacer struct {
	net.Conn
	raw  net.Conn // below TLS
	stop <-chan struct{}
	paid time.Time // until when the pace is used up
}

// expect starts the time within which the next frame has to be complete.
func (p *pacer) expect() { _ = p.SetReadDeadline(time.Now().Add(stall)) }

// Write gives up on a peer that takes nothing.
func (p *pacer) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// spend waits where a peer sends more than the pace; the connection's flow
// control then slows the peer. A second's worth may come at once.
func (p *pacer) spend(bytes int) {
	now := time.Now()
	if earliest := now.Add(-time.Second); p.paid.Before(earliest) {
		p.paid = earliest
	}
	p.paid = p.paid.Add(time.Duration(bytes) * time.Second / pace)
	if ahead := p.paid.Sub(now); ahead > 0 {
		select {
		case <-time.After(ahead):
		case <-p.stop:
		}
	}
}

// farewell sends a last word, if the peer takes it quickly, and closes.
func (p *pacer) farewell(last []byte) {
	if len(last) > 0 {
		_ = p.SetWriteDeadline(time.Now().Add(farewell))
		_, _ = p.Conn.Write(last)
	}
	_ = p.raw.Close()
}
