package ftps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"bambuddy/shared/farm"
)

// Download writes a file to w, from a byte offset on, and gives the number of
// bytes written, also beside an error. It returns nil only when all bytes that
// the printer announced have come. Progress is also told before the first byte, so that the size is known by then. Printers that cannot begin in the middle send
// everything, and what lies before offset is thrown away. Progress counts from
// the start of the file.
func (c *Client) Download(ctx context.Context, serial, path string, offset int64, w io.Writer, progress Progress) (int64, error) {
	if err := checkFile(path); err != nil {
		return 0, err
	}
	if offset < 0 {
		return 0, farm.Errorf(farm.Invalid, "offset: at least 0")
	}
	d := &download{path: path, offset: offset, to: w, progress: progress}
	err := c.session(ctx, serial, path, d.run)
	return d.written, err
}

// Fetch downloads into a local file that appears whole or not at all, over what
// has that name. Its folder must exist.
func (c *Client) Fetch(ctx context.Context, serial, path, file string, progress Progress) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".part-*")
	if err != nil {
		return fmt.Errorf("fetch %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = c.Download(ctx, serial, path, 0, tmp, progress); err != nil {
		return err
	}
	if err = keep(tmp, file); err != nil {
		return fmt.Errorf("fetch %s: %w", path, err)
	}
	return nil
}

// keep makes a temporary file the real one, for good.
func keep(tmp *os.File, file string) error {
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // has no sync of folders
		return nil
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// download is one call of Download.
type download struct {
	path     string
	offset   int64
	to       io.Writer
	progress Progress

	total   int64 // size of the file
	skip    int64 // bytes still to be thrown away
	written int64
}

// endWait is for the end of a transfer of which every byte has come.
const endWait = 5 * time.Second

func (d *download) run(ctx context.Context, s *session) error {
	n, err := s.size(ctx, d.path)
	switch {
	case err != nil:
		return err
	case d.offset > n:
		return farm.Errorf(farm.Invalid, "offset: the file has %d bytes", n)
	}
	d.total = n
	d.tell(0) // how much there will be, before the first of it
	if d.offset == n {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeFor(n), errTooSlow)
	defer cancel()
	if err := d.seek(s); err != nil {
		return err
	}
	err = d.receive(ctx, s)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// seek asks the printer to begin at the offset, or else arranges for that here.
func (d *download) seek(s *session) error {
	d.skip = 0
	if d.offset == 0 {
		return nil
	}
	r, err := s.ask("REST", strconv.FormatInt(d.offset, 10))
	if err == nil && r.code != 350 {
		d.skip = d.offset
	}
	return err
}

// receive moves the data and looks how it ended.
func (d *download) receive(ctx context.Context, s *session) error {
	conn, err := s.transfer(ctx, "RETR", d.path)
	if err != nil {
		return err
	}
	come, failed := pump(d, conn, d.expected(), d.tell)
	s.broken = true // until the reply says otherwise
	var mine *sinkError
	if errors.As(failed, &mine) {
		conn.abort()
		return failed
	}
	if come < d.expected() {
		return d.endShort(s, conn, come, failed)
	}
	return d.endWhole(s, conn)
}

// expected is how many bytes the connection should bring.
func (d *download) expected() int64 {
	if d.skip > 0 || d.offset == 0 {
		return d.total
	}
	return d.total - d.offset
}

// endShort is for data that ended too early.
func (d *download) endShort(s *session, conn *data, come int64, failed error) error {
	conn.end()
	if timedOut(failed) {
		if come == 0 && !s.clear {
			return &dataTLSError{failed}
		}
		return failed
	}
	if failed == nil {
		failed = io.ErrUnexpectedEOF
	}
	s.broken = false
	why := s.why("RETR", failed)
	switch {
	case answered(why):
		return why
	case s.broken: // it said nothing more
		return fmt.Errorf("%d of %d bytes: %w", come, d.expected(), why)
	default:
		return farm.Wrap(farm.Unavailable, why, "the printer sent %d of %d bytes only", come, d.expected())
	}
}

// endWhole is for data of which every byte has come. How the connection ends
// after that is of no interest, as long as nothing else comes: some printers
// close without a note, some not at all.
func (d *download) endWhole(s *session, conn *data) error {
	conn.raw.patience = endWait
	if n, _ := conn.Read(make([]byte, 1)); n > 0 {
		conn.abort()
		return farm.Errorf(farm.Unavailable, "the file on the printer changed while it was read")
	}
	conn.end()
	if err := s.final("RETR", endWait); err != nil {
		s.broken = true
		s.log.Debug("download ended without confirmation, but the file is whole", "path", d.path, "error", err)
		return nil
	}
	s.broken = false
	return nil
}

// Write takes what came from the printer.
func (d *download) Write(b []byte) (int, error) {
	all := len(b)
	skipped := min(d.skip, int64(len(b)))
	d.skip -= skipped
	b = b[skipped:]
	if len(b) == 0 {
		return all, nil
	}
	n, err := d.to.Write(b)
	d.written += int64(n)
	if err != nil {
		return int(skipped) + n, &sinkError{err}
	}
	return all, nil
}

func (d *download) tell(int64) {
	if d.progress != nil && d.skip == 0 {
		d.progress(d.offset+d.written, d.total)
	}
}
