package threemf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The ZIP container is read by our own few lines, not by archive/zip: they know where
// every member begins, so that members that share bytes are found without a read each,
// they never read more of a directory than it says to hold, and a file in an object
// store is opened with a handful of requests.

// Signatures and sizes of the parts of a ZIP.
const (
	memberSignature  = 0x04034b50
	entrySignature   = 0x02014b50
	endSignature     = 0x06054b50
	end64Signature   = 0x06064b50
	locatorSignature = 0x07064b50

	memberHead = 30
	entryHead  = 46
	endSize    = 22
	end64Size  = 56
	locatorLen = 20
)

// directory is where the list of members is.
type directory struct {
	entries, length, offset int64
	tail                    []byte // the last bytes of the file
	tailAt                  int64
}

// findDirectory reads the end of a file.
func findDirectory(r io.ReaderAt, size int64) (directory, error) {
	d := directory{tail: make([]byte, min(size, 1<<16+endSize+locatorLen+end64Size))}
	d.tailAt = size - int64(len(d.tail))
	if err := readFull(r, d.tail, d.tailAt); err != nil {
		return d, err
	}
	at := endIn(d.tail)
	if at < 0 {
		return d, noEnd(r, d.tail)
	}
	end := d.tail[at:]
	d.entries, d.length, d.offset = int64(u16(end, 10)), int64(u32(end, 12)), int64(u32(end, 16))
	stop, err := d.large(r, d.tailAt+int64(at))
	switch {
	case err != nil:
		return d, err
	case d.entries > maxMembers:
		return d, refuse(Hostile, "it holds %d members, more than %d", d.entries, maxMembers)
	case d.length > maxDirectory:
		return d, refuse(Hostile, "its directory has %d bytes, more than %d", d.length, maxDirectory)
	case d.offset > stop || d.length > stop-d.offset:
		return d, refuse(Damaged, "its directory is not where it says: it may be cut short")
	case d.offset+d.length != stop:
		return d, refuse(Hostile, "something stands before or behind its directory")
	}
	return d, nil
}

// endIn finds the end record, which reaches to the last byte; -1 without one.
func endIn(tail []byte) int {
	for i := len(tail) - endSize; i >= 0; i-- {
		if u32(tail, i) == endSignature && i+endSize+int(u16(tail, i+20)) == len(tail) {
			return i
		}
	}
	return -1
}

// noEnd says what is wrong with a file that has no end record.
func noEnd(r io.ReaderAt, tail []byte) error {
	begin := make([]byte, 4)
	if err := readFull(r, begin, 0); err != nil {
		return err
	}
	switch {
	case u32(begin, 0) != memberSignature:
		return refuse(Damaged, "it is no ZIP file")
	case bytes.Contains(tail, []byte{'P', 'K', 5, 6}):
		return refuse(Damaged, "something stands behind its end, or its end is cut short")
	default:
		return refuse(Damaged, "it is cut short: the end of the ZIP file is missing")
	}
}

// large reads the end record of a ZIP64, which stands before the other. It gives where
// the directory has to end.
func (d *directory) large(r io.ReaderAt, endAt int64) (int64, error) {
	needed := d.length == 0xffffffff || d.offset == 0xffffffff
	locatorAt := endAt - locatorLen
	locator, err := d.at(r, locatorAt, locatorLen)
	if err != nil {
		return 0, err
	}
	if locator == nil || u32(locator, 0) != locatorSignature {
		if needed {
			return 0, refuse(Damaged, "it is a large ZIP file whose end is missing")
		}
		return endAt, nil
	}
	at := u64(locator, 8)
	if at > uint64(max(0, locatorAt-end64Size)) { //nolint:gosec // not negative
		return 0, refuse(Damaged, "its end is not where it says")
	}
	end, err := d.at(r, int64(at), end64Size) //nolint:gosec // as above
	switch {
	case err != nil:
		return 0, err
	case end == nil || u32(end, 0) != end64Signature:
		return 0, refuse(Damaged, "its end is not where it says")
	case u64(end, 4) != uint64(locatorAt)-at-12: //nolint:gosec // as above
		return 0, refuse(Hostile, "something stands behind its end")
	}
	return int64(at), d.take(u64(end, 32), u64(end, 40), u64(end, 48)) //nolint:gosec // as above
}

// take replaces what did not fit by the large numbers. Where both are told they agree.
func (d *directory) take(entries, length, offset uint64) error {
	for _, v := range []struct {
		large uint64
		small *int64
		full  int64
	}{{entries, &d.entries, 0xffff}, {length, &d.length, 0xffffffff}, {offset, &d.offset, 0xffffffff}} {
		switch {
		case v.large > 1<<62:
			return refuse(Damaged, "its directory is not where it says")
		case *v.small != v.full && *v.small != int64(v.large):
			return refuse(Hostile, "it has two ends that tell different things")
		}
		*v.small = int64(v.large)
	}
	return nil
}

// at gives n bytes of the file, nil when it does not reach there.
func (d *directory) at(r io.ReaderAt, off, n int64) ([]byte, error) {
	switch {
	case off < 0 || off > d.tailAt+int64(len(d.tail))-n:
		return nil, nil
	case off >= d.tailAt:
		return d.tail[off-d.tailAt:][:n], nil
	}
	b := make([]byte, n)
	return b, readFull(r, b, off)
}

// readFull fills b. Who says to have more bytes than he has gives a damaged file.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(Damaged, "it is cut short")
	default:
		return fmt.Errorf("read at %d: %w", off, err)
	}
}

func u16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
