package ftps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"bambuddy/shared/farm"
)

// Upload puts exactly size bytes of r into a file, over what has that name. It
// returns nil only when the printer has confirmed the end, or else holds a file
// of this size now. r must stop blocking when ctx ends. When r is an io.Seeker,
// an upload that a printer's encryption has spoilt is done again from where r
// stood; progress then begins again, too.
//
// After an error the printer may hold a part of the file under this name; after
// farm.OutcomeUnknown perhaps all of it.
func (c *Client) Upload(ctx context.Context, serial, path string, r io.Reader, size int64, progress Progress) error {
	if err := checkFile(path); err != nil {
		return err
	}
	if size < 0 {
		return farm.Errorf(farm.Invalid, "size: at least 0")
	}
	return c.turn(ctx, serial, path, func(t Target, l *lane) error {
		ctx, cancel := context.WithTimeoutCause(ctx, timeFor(size), errTooSlow)
		defer cancel()
		u := &upload{c: c, t: t, lane: l, path: path, source: r, size: size, progress: progress}
		err := u.run(ctx)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	})
}

// upload is one call of Upload.
type upload struct {
	c        *Client
	t        Target
	lane     *lane
	path     string
	source   io.Reader
	size     int64
	progress Progress
	used     bool // something of source has been read
}

// attempt is how far one STOR came.
type attempt struct {
	sent  bool  // everything was handed to the network
	ended bool  // the printer has said how it ended, or never began
	err   error // nil: stored
}

// run tries, and asks for the size whenever the end is in doubt. There is a
// second STOR only in clear, after the first has ended or the size has shown
// that it did not arrive.
func (u *upload) run(ctx context.Context) error {
	rewind := u.mark()
	for {
		a := u.try(ctx)
		if a.err == nil || ctx.Err() != nil {
			return a.err
		}
		again := !u.lane.clear && mayClear(u.t.Model) && a.blamesTLS()
		if again {
			u.c.goClear(u.t, u.lane, a.err)
		}
		if a.doubtful() || again && !a.ended {
			whole, err := u.verify(ctx)
			if whole {
				u.c.o.Log.Warn("upload ended without confirmation, but the file is whole", "printer", u.t.Serial, "path", u.path, "error", a.err)
				return nil
			}
			if err != nil {
				return farm.Wrap(farm.OutcomeUnknown, errors.Join(a.err, err), "the upload's end was not confirmed and the printer does not tell what it holds")
			}
		}
		if !again || !rewind() {
			return a.err
		}
	}
}

// mark remembers where the source stands; what it returns goes back there and
// tells whether that was possible.
func (u *upload) mark() (rewind func() bool) {
	seeker, ok := u.source.(io.Seeker)
	var start int64
	if ok {
		at, err := seeker.Seek(0, io.SeekCurrent)
		start, ok = at, err == nil
	}
	return func() bool {
		if !u.used {
			return true
		}
		if !ok {
			return false
		}
		_, err := seeker.Seek(start, io.SeekStart)
		return err == nil
	}
}

// try is one session with one STOR.
func (u *upload) try(ctx context.Context) attempt {
	var a attempt
	err := u.c.once(ctx, u.t, u.lane.clear, func(ctx context.Context, s *session) error {
		if err := s.makeWay(u.path, u.size); err != nil {
			return err
		}
		a = u.store(ctx, s)
		return a.err
	})
	if a.err == nil && err != nil {
		return attempt{ended: true, err: err} // no STOR was sent
	}
	return a
}

// makeWay sees to it that a file of the right size is the new one: an old one of
// the same size is deleted, and so is any when the printer does not tell sizes.
func (s *session) makeWay(path string, size int64) error {
	n, r, err := s.plainSize(path)
	if err != nil {
		return err
	}
	if n != size && !unknown(r) {
		return nil
	}
	r, err = s.askPath("DELE", path)
	if err == nil && n == size && r.code/100 != 2 {
		err = &replyError{verb: "STOR", reply: r} // what may not be deleted may not be replaced
	}
	return err
}

// store sends the data and reads the reply.
func (u *upload) store(ctx context.Context, s *session) attempt {
	d, err := s.transfer(ctx, "STOR", u.path)
	if err != nil {
		return attempt{ended: answered(err), err: err}
	}
	n, failed := pump(d, &source{u.source, &u.used}, u.size, func(n int64) { u.tell(n) })
	var mine *sourceError
	switch {
	case errors.As(failed, &mine):
		d.abort()
		s.broken = true
		return attempt{err: failed}
	case failed != nil:
		d.abort()
		err := s.why("STOR", failed)
		return attempt{ended: answered(err), err: err}
	case n < u.size:
		d.abort()
		s.broken = true
		return attempt{err: &sourceError{fmt.Errorf("%d bytes instead of %d: %w", n, u.size, io.ErrUnexpectedEOF)}}
	}
	d.closeWrite()
	err = s.final("STOR", finalWait+draining(u.size))
	d.end()
	return attempt{sent: true, ended: err == nil || answered(err), err: err}
}

// draining is the time that what is in the buffers of both ends may take.
func draining(size int64) time.Duration {
	return time.Duration(min(size, 4*sendBuffer)) * time.Second / drainRate
}

func (u *upload) tell(n int64) {
	if u.progress != nil {
		u.progress(n, u.size)
	}
}

// answered tells that the printer itself ended the command.
func answered(err error) bool {
	var said *replyError
	return errors.As(err, &said)
}

// doubtful tells that the file may be whole though the printer did not say so:
// it said nothing, or that the connection broke, when that was closed behind the
// last byte.
func (a attempt) doubtful() bool {
	var said *replyError
	return a.sent && (!errors.As(a.err, &said) || said.code == 426 || said.code == 451 || said.code == 425)
}

// blamesTLS: beside what every failure may show, an upload whose end is not told.
func (a attempt) blamesTLS() bool { return blamesTLS(a.err) || a.sent && timedOut(a.err) }

// verify asks whether the file is whole, in a new session, and again after a
// while: a printer may still be writing. A nil error means that it knows.
func (u *upload) verify(ctx context.Context) (whole bool, err error) {
	const tries = 3
	for n := range tries {
		if n > 0 {
			if err := pause(ctx, 2*time.Second); err != nil {
				return false, err
			}
		}
		var size int64
		err = u.c.once(ctx, u.t, u.lane.clear, func(ctx context.Context, s *session) error {
			var err error
			size, err = s.size(ctx, u.path)
			return err
		})
		if err == nil && size == u.size {
			return true, nil
		}
		var said *replyError
		if errors.As(err, &said) && said.code == 550 {
			err = nil // no such file: known not to be whole
		}
	}
	return false, err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// source notes that reading has begun and marks its errors as its own.
type source struct {
	r    io.Reader
	used *bool
}

func (s *source) Read(b []byte) (int, error) {
	*s.used = true
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &sourceError{err}
	}
	return n, err
}

// pump moves up to limit bytes through one buffer; fewer when src ends.
func pump(dst io.Writer, src io.Reader, limit int64, moved func(n int64)) (n int64, err error) {
	buf := make([]byte, 64<<10)
	for n < limit {
		k, failed := src.Read(buf[:min(int64(len(buf)), limit-n)])
		if k > 0 {
			w, err := dst.Write(buf[:k])
			n += int64(w)
			if err != nil {
				return n, err
			}
			moved(n)
		}
		if errors.Is(failed, io.EOF) {
			break
		}
		if failed != nil {
			return n, failed
		}
	}
	return n, nil
}
