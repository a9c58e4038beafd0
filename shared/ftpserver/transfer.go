package ftpserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// store takes a file in.
func (c *session) store(ctx context.Context, arg string) error {
	name := c.resolve(arg)
	var up Upload
	var err error
	switch {
	case c.quirks().Full:
		err = ErrFull
	case arg == "" || !fit(name):
		err = errors.New("there can be no such file")
	default:
		up, err = c.storage().Create(name)
	}
	if err != nil {
		c.closeData()
		c.refuseUpload(err)
		return nil
	}
	defer up.Discard()
	d, err := c.begin(ctx, "Ok to send data.")
	if d == nil {
		return err
	}
	err = c.flow(ctx, d, up, d)
	if err == nil && d.cut() && c.character().NeedCloseNotify {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return c.broken(d, up, err)
	}
	return c.stored(ctx, d, up)
}

func (c *session) refuseUpload(err error) {
	if errors.Is(err, ErrFull) {
		c.reply(552, "The storage is full.")
		return
	}
	c.reply(553, "Could not create file.")
}

// broken ends an upload that did not arrive whole.
func (c *session) broken(d *data, up Upload, why error) error {
	if c.character().KeepPartial {
		_ = up.Commit() // it may not be possible any more
	}
	d.end(false)
	switch {
	case errors.Is(why, errDropped):
		return errQuit
	case errors.Is(why, ErrFull):
		c.reply(552, "The storage is full.")
	default:
		c.reply(426, "Failure reading network stream.")
	}
	return nil
}

// stored ends an upload that arrived whole.
func (c *session) stored(ctx context.Context, d *data, up Upload) error {
	q := c.quirks()
	if d.secret && q.FragileTLS {
		c.linger(d)
		return errMute
	}
	if err := up.Commit(); err != nil {
		d.end(true)
		c.refuseUpload(err)
		return nil
	}
	if d.secret && c.character().NoCloseNotify {
		c.linger(d)
	} else {
		d.end(true)
	}
	switch {
	case q.LateReply > 0 && !pause(ctx, q.LateReply), q.LoseReply:
		return errQuit
	case q.FalseFailure:
		c.reply(426, "Failure reading network stream.")
	default:
		c.reply(226, "Transfer complete.")
	}
	return nil
}

// linger leaves the end of a data connection to the client.
func (c *session) linger(d *data) {
	d.stop() // closed with the session at the latest
	c.lingering = d.below
}

// retrieve sends a file.
func (c *session) retrieve(ctx context.Context, arg string) error {
	name := c.resolve(arg)
	info, err := c.storage().Stat(name)
	var file io.ReadCloser
	if err == nil {
		file, err = c.storage().Open(name)
	}
	if err != nil {
		c.closeData()
		c.reply(550, "Failed to open file.")
		return nil
	}
	defer func() { _ = file.Close() }()
	return c.send(ctx, fmt.Sprintf("Opening BINARY mode data connection (%d bytes).", info.Size()), file, "Transfer complete.")
}

// list sends a directory as ls would.
func (c *session) list(ctx context.Context, arg string) error {
	q := c.quirks()
	text, err := c.listing(withoutOptions(arg), longLine)
	if err != nil && !c.character().EmptyWhenAbsent {
		c.closeData()
		c.reply(550, "There is no such directory.")
		return nil
	}
	if q.HostileNames {
		text = append(text, hostileLines()...)
	}
	var src io.Reader = bytes.NewReader(text)
	if q.EndlessLists {
		src = io.MultiReader(src, &endless{})
	}
	return c.send(ctx, "Here comes the directory listing.", src, "Directory send OK.")
}

// names sends the names of a directory.
func (c *session) names(ctx context.Context, arg string) error {
	arg = withoutOptions(arg)
	text, err := c.listing(arg, nameLine(arg, c.character().PathsInNLST))
	if err != nil && !c.character().EmptyWhenAbsent {
		c.closeData()
		c.reply(550, "There is no such directory.")
		return nil
	}
	return c.send(ctx, "Here comes the directory listing.", bytes.NewReader(text), "Directory send OK.")
}

// send carries something to the client.
func (c *session) send(ctx context.Context, first string, src io.Reader, last string) error {
	d, err := c.begin(ctx, first)
	if d == nil {
		return err
	}
	err = c.flow(ctx, d, d, src)
	switch {
	case errors.Is(err, errDropped):
		d.end(false)
		return errQuit
	case err != nil:
		d.end(false)
		c.reply(426, "Failure writing network stream.")
		return nil
	case d.secret && c.quirks().FragileTLS:
		c.linger(d)
		return errMute
	}
	d.end(!c.character().NoCloseNotify)
	c.reply(226, last)
	return nil
}
