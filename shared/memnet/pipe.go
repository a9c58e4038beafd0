package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// buffer is what a pipe holds before its writer waits, as a socket's buffers do.
const buffer = 64 << 10

// pipe is one direction of a connection: a bounded buffer with deadlines, which
// can lose what is written (cut) and let bytes through at a rate.
type pipe struct {
	mu       sync.Mutex
	changed  *sync.Cond
	data     []byte
	writeEnd error // set once the reader knows that no more comes: io.EOF or the cause
	closed   error // set once nothing more may be written: what the writer is told
	readEnd  error // set once nobody reads any more
	cut      bool
	dropped  bool
	rate     int
	free     time.Time // when the throttled wire is free again
	readDL   deadline
	writeDL  deadline
}

type deadline struct {
	timer   *time.Timer
	expired bool
}

func newPipe(rate int) *pipe {
	p := &pipe{rate: rate}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.readEnd != nil:
			return 0, p.readEnd
		case p.readDL.expired:
			return 0, os.ErrDeadlineExceeded
		case len(p.data) > 0:
			n := copy(b, p.data)
			p.data = p.data[n:]
			p.changed.Broadcast()
			return n, nil
		case p.writeEnd != nil:
			return 0, p.writeEnd
		}
		p.changed.Wait()
	}
}

func (p *pipe) write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		n, err := p.writeSome(b)
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}

func (p *pipe) writeSome(b []byte) (int, error) {
	p.mu.Lock()
	for {
		switch {
		case p.closed != nil:
			defer p.mu.Unlock()
			return 0, p.closed
		case p.readEnd != nil:
			p.mu.Unlock()
			return 0, ErrReset
		case p.writeDL.expired:
			p.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case p.cut:
			p.dropped = true
			p.mu.Unlock()
			return len(b), nil
		}
		if len(p.data) < buffer {
			break
		}
		p.changed.Wait()
	}
	room := buffer - len(p.data)
	if p.rate > 0 {
		room = min(room, 4<<10) // small pieces share a slow wire fairly
	}
	n := min(len(b), room)
	wait := p.reserve(n)
	if wait > 0 {
		p.mu.Unlock()
		time.Sleep(wait)
		p.mu.Lock()
	}
	p.data = append(p.data, b[:n]...)
	p.changed.Broadcast()
	p.mu.Unlock()
	return n, nil
}

// reserve takes the throttled wire for n bytes and tells how long until they are through.
func (p *pipe) reserve(n int) time.Duration {
	if p.rate <= 0 {
		return 0
	}
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	return p.free.Sub(now)
}

// closeWrite ends the writing; a nil cause is the writer's own Close.
func (p *pipe) closeWrite(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end, told := cause, cause
	if cause == nil {
		end, told = io.EOF, net.ErrClosed
	}
	if p.closed == nil {
		p.closed = told
	}
	switch {
	case p.cut: // the news does not get through either
		p.dropped = true
	case p.writeEnd == nil:
		p.writeEnd = end
		p.stopTimers()
	}
	p.changed.Broadcast()
}

func (p *pipe) closeRead(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readEnd == nil {
		p.readEnd = cause
	}
	p.stopTimers()
	p.changed.Broadcast()
}

func (p *pipe) stopTimers() {
	for _, d := range []*deadline{&p.readDL, &p.writeDL} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
}

func (p *pipe) setCut(cut bool) {
	p.mu.Lock()
	p.cut = cut
	p.changed.Broadcast()
	p.mu.Unlock()
}

func (p *pipe) lost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped
}

func (p *pipe) setReadDeadline(t time.Time)  { p.setDeadline(&p.readDL, t) }
func (p *pipe) setWriteDeadline(t time.Time) { p.setDeadline(&p.writeDL, t) }

func (p *pipe) setDeadline(d *deadline, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.expired = false
	if !t.IsZero() {
		wait := time.Until(t)
		if wait <= 0 {
			d.expired = true
		} else {
			var timer *time.Timer
			timer = time.AfterFunc(wait, func() {
				p.mu.Lock()
				if d.timer == timer {
					d.expired = true
					p.changed.Broadcast()
				}
				p.mu.Unlock()
			})
			d.timer = timer
		}
	}
	p.changed.Broadcast()
}
