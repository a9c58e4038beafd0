package threemf

import (
	"bufio"
	"compress/flate"
	"errors"
	"hash"
	"hash/crc32"
	"io"
)

// readAhead is how much of a member is read at once: an object store answers every
// read with a request.
const readAhead = 64 << 10

// open opens a member. It checks that its own header says what the directory says,
// else two readers of one file would see two things.
func (m *member) open(r io.ReaderAt) (*memberReader, error) {
	src := &source{r: r, at: m.header, end: m.limit}
	ahead := min(readAhead, m.packed+memberHead+int64(len(m.raw))+64)
	in := bufio.NewReaderSize(src, int(ahead))
	out := &memberReader{m: m, src: src, left: m.size, hash: crc32.NewIEEE()}
	head := make([]byte, memberHead+len(m.raw))
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, out.explain(err)
	}
	extra := int64(u16(head, 28))
	switch {
	case u32(head, 0) != memberSignature:
		return nil, refuse(Damaged, "%s is not where the directory says", m.short())
	case int(u16(head, 26)) != len(m.raw) || string(head[memberHead:]) != m.raw || u16(head, 8) != m.method || u16(head, 6)&encrypted != 0:
		return nil, refuse(Hostile, "the header of %s tells something else than the directory", m.short())
	case m.header+int64(len(head))+extra+m.packed > m.limit:
		return nil, refuse(Hostile, "members overlap")
	}
	if _, err := io.CopyN(io.Discard, in, extra); err != nil {
		return nil, out.explain(err)
	}
	return out, out.unpack(io.LimitReader(in, m.packed))
}

// source reads a stretch of a file in order, and keeps why that failed.
type source struct {
	r       io.ReaderAt
	at, end int64
	err     error
}

func (s *source) Read(p []byte) (int, error) {
	if s.at >= s.end {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.end-s.at)]
	n, err := s.r.ReadAt(p, s.at)
	s.at += int64(n)
	switch {
	case n == len(p):
		return n, nil
	case err == nil || errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	default:
		s.err = err
		return n, err
	}
}

// memberReader gives what a member says to hold, no more and no less, and at its end
// checks the sum.
type memberReader struct {
	m    *member
	src  *source
	data io.Reader
	done io.Closer // of data; nil when there is nothing to close
	hash hash.Hash32
	left int64
	err  error
}

func (r *memberReader) unpack(packed io.Reader) error {
	switch r.m.method {
	case stored:
		r.data = packed
	case deflated:
		unpacked := flate.NewReader(packed)
		r.data, r.done = unpacked, unpacked
	default:
		return refuse(Damaged, "%s is packed in a way that is not known", r.m.short())
	}
	return nil
}

// Read is io.Reader's. Its errors are *Error, or those of reading the file.
func (r *memberReader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.left == 0 {
		r.err = r.finish()
		return 0, r.err
	}
	n, err := r.data.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	_, _ = r.hash.Write(p[:n]) // a hash takes everything
	if err != nil && (r.left > 0 || !errors.Is(err, io.EOF)) {
		r.err = r.explain(err)
	}
	return n, r.err
}

// finish looks behind the last byte.
func (r *memberReader) finish() error {
	var one [1]byte
	n, err := io.ReadFull(r.data, one[:])
	switch {
	case n > 0:
		return refuse(Hostile, "%s holds more than the directory says", r.m.short())
	case !errors.Is(err, io.EOF):
		return r.explain(err)
	case r.hash.Sum32() != r.m.sum:
		return refuse(Damaged, "%s is damaged: its sum is wrong", r.m.short())
	}
	return io.EOF
}

// explain tells what is wrong with the file from what is wrong with reading it.
func (r *memberReader) explain(err error) error {
	switch {
	case r.src.err != nil:
		return r.src.err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(Damaged, "%s is cut short", r.m.short())
	default:
		return refuse(Damaged, "%s cannot be unpacked: it is damaged", r.m.short())
	}
}

// Close ends the reading. The file below stays open.
func (r *memberReader) Close() error {
	if r.err == nil {
		r.err = io.ErrClosedPipe
	}
	if r.done == nil {
		return nil
	}
	return r.done.Close()
}
