package links

import (
	"bufio"
	"errors"
	"io"
)

// errLongLine is a line above the limit; the next call goes on behind it.
var errLongLine = errors.New("the line is longer than a line may be")

// lineReader reads lines of bounded length. Between lines it holds little, for
// there is one per agent.
type lineReader struct {
	in    *bufio.Reader
	line  []byte
	limit int
}

const keptLine = 16 << 10 // a buffer that is larger is given back

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, 4<<10), limit: limit}
}

// next gives the next line without its end, valid until the next call. What
// follows the last line end is not a line.
func (l *lineReader) next() ([]byte, error) {
	if cap(l.line) > keptLine {
		l.line = nil
	}
	l.line = l.line[:0]
	long := false
	for {
		part, err := l.in.ReadSlice('\n')
		if len(l.line)+len(part) > l.limit {
			long = true
			l.line = l.line[:0]
		}
		if !long {
			l.line = append(l.line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return nil, err
		case long:
			return nil, errLongLine
		default:
			return l.line[:len(l.line)-1], nil
		}
	}
}
