package ftps

import (
	"bufio"
	"context"
	"errors"
	"io"
	pathpkg "path"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

// Entry is a file or folder on a printer.
type Entry struct {
	Name string
	Dir  bool
	Size int64 // bytes, 0 for a folder
	// Modified is what the printer says, taken for UTC: its clock and zone are its
	// own, often weeks off. Zero when it says nothing usable. Never a way to find
	// out what is new.
	Modified time.Time
}

// Limits of a listing; one that goes beyond is refused, not cut: a part would be
// taken for the whole.
const (
	maxListing = 4 << 20 // bytes
	maxEntries = 20_000
)

// list reads a folder. CWD comes first because LIST of a folder that is not
// there is an empty listing on some printers.
func (s *session) list(ctx context.Context, path string) ([]Entry, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, listWait, errTooSlow)
	defer cancel()
	r, err := s.askPath("CWD", path)
	if err != nil {
		return nil, err
	}
	if r.code/100 != 2 {
		return nil, &replyError{verb: "CWD", reply: r}
	}
	d, err := s.transfer(ctx, "LIST", "")
	if err != nil {
		return nil, err
	}
	l := listing{now: time.Now().UTC()}
	err = l.read(d)
	d.end()
	switch {
	case errors.As(err, new(*farm.Error)):
		s.broken = true // the printer is still sending
		return nil, err
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && timedOut(err) && !s.clear:
		return nil, &dataTLSError{err} // the A1 may never end an encrypted listing
	case err != nil:
		return nil, s.why("LIST", err)
	}
	if err := s.final("LIST", replyWait); err != nil {
		return nil, err
	}
	if l.dropped > 0 {
		s.log.Debug("unusable lines in a listing", "path", path, "lines", l.dropped)
	}
	return l.entries, nil
}

// final reads the reply that ends a transfer.
func (s *session) final(verb string, wait time.Duration) error {
	r, err := s.reply(wait)
	if err == nil && r.code/100 != 2 {
		err = &replyError{verb: verb, reply: r}
	}
	return err
}

// why prefers the printer's word on a broken transfer to what the network says.
func (s *session) why(verb string, err error) error {
	if r, said := s.reply(lateWait); said == nil && r.code/100 != 2 {
		return &replyError{verb: verb, reply: r}
	}
	return err
}

type listing struct {
	now     time.Time
	entries []Entry
	dropped int
}

// read takes lines until the end; a connection that is cut without a note is an
// end too (the reply decides).
func (l *listing) read(from io.Reader) error {
	rest := &io.LimitedReader{R: from, N: maxListing}
	r := bufio.NewReaderSize(rest, maxReplyLine)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			l.dropped++
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
			line = nil
		}
		if rest.N <= 0 || len(l.entries) >= maxEntries {
			return farm.Errorf(farm.Unavailable, "the printer's listing is too long: more than %d entries or %d MiB", maxEntries, maxListing>>20)
		}
		if text := strings.TrimRight(decode(line), "\r\n"); text != "" {
			if e, ok := parseLine(text, l.now); ok {
				l.entries = append(l.entries, e)
			} else {
				l.dropped++
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), cut(err):
			return nil
		default:
			return err
		}
	}
}

// size asks for the size of a file, and where the printer does not know the
// question (or answers it like one for a missing file) looks for it in a listing.
func (s *session) size(ctx context.Context, path string) (int64, error) {
	n, r, err := s.plainSize(path)
	if err != nil || n >= 0 {
		return n, err
	}
	if !unknown(r) && (r.code != 550 || s.vsftpd()) {
		return 0, &replyError{verb: "SIZE", reply: r}
	}
	dir, name := pathpkg.Split(path)
	entries, err := s.list(ctx, pathpkg.Clean(dir))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if e.Name == name && !e.Dir {
			return e.Size, nil
		}
	}
	return 0, &replyError{verb: "SIZE", reply: reply{550, "not in the listing"}}
}

// plainSize is SIZE alone: -1 and the reply when that gave none.
func (s *session) plainSize(path string) (int64, reply, error) {
	r, err := s.askPath("SIZE", path)
	if err != nil || r.code != 213 {
		return -1, r, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(r.text), 10, 64)
	if err != nil || n < 0 {
		return -1, reply{502, "unusable size"}, nil
	}
	return n, r, nil
}

// unknown tells that a printer does not know a command.
func unknown(r reply) bool { return r.code == 500 || r.code == 502 || r.code == 504 }

// remove deletes a file.
func (s *session) remove(path string) error {
	r, err := s.askPath("DELE", path)
	if err == nil && r.code/100 != 2 {
		err = &replyError{verb: "DELE", reply: r}
	}
	return err
}

// parseLine reads a line of LIST as "ls -l" writes it, with the time of day or
// with the year:
//
//	-rw-r--r--    1 1000     1000      1632221 Jun 17  2025 a name.mp4
//	drwxr-xr-x    2 root     root         4096 Jun 18 00:27 cache
//
// The name is everything after one space behind the date, blanks included. Some
// servers leave out a column, so the date is looked for.
func parseLine(line string, now time.Time) (Entry, bool) {
	if line == "" || !strings.ContainsRune("-dl", rune(line[0])) {
		return Entry{}, false
	}
	f, ends := columns(line)
	for i := 2; i+2 < len(f); i++ {
		if !isDate(f[i], f[i+1], f[i+2]) {
			continue
		}
		size, err := strconv.ParseInt(f[i-1], 10, 64)
		if err != nil || size < 0 || len(line) <= ends[i+2]+1 {
			return Entry{}, false
		}
		e := Entry{Name: line[ends[i+2]+1:], Dir: line[0] == 'd', Size: size, Modified: moment(f[i], f[i+1], f[i+2], now)}
		if line[0] == 'l' {
			e.Name, _, _ = strings.Cut(e.Name, " -> ")
		}
		if e.Dir {
			e.Size = 0
		}
		return e, usable(e.Name)
	}
	return Entry{}, false
}

// columns are the first words of a line, and where each ends.
func columns(line string) (words []string, ends []int) {
	const most = 10
	for at := 0; len(words) < most; {
		for at < len(line) && line[at] == ' ' {
			at++
		}
		if at == len(line) {
			break
		}
		start := at
		for at < len(line) && line[at] != ' ' {
			at++
		}
		words, ends = append(words, line[start:at]), append(ends, at)
	}
	return words, ends
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

func isDate(month, day, rest string) bool {
	at := strings.Index(months, month)
	return len(month) == 3 && at >= 0 && at%3 == 0 && len(day) <= 2 && digits(day) &&
		(len(rest) == 4 && digits(rest) || len(rest) == 5 && rest[2] == ':' && digits(rest[:2]) && digits(rest[3:]))
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// moment is the time of a line, zero when there is no such day. The form with a
// time of day is of the last twelve months; printers' clocks run ahead, too.
func moment(month, day, rest string, now time.Time) time.Time {
	if !strings.Contains(rest, ":") {
		t, err := time.Parse("Jan 2 2006", month+" "+day+" "+rest)
		if err != nil {
			return time.Time{}
		}
		return t
	}
	for _, year := range []int{now.Year(), now.Year() - 1} {
		t, err := time.Parse("Jan 2 15:04 2006", month+" "+day+" "+rest+" "+strconv.Itoa(year))
		if err == nil && t.Before(now.Add(48*time.Hour)) {
			return t
		}
	}
	return time.Time{}
}
