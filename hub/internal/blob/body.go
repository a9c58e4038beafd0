package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"bambuddy/shared/farm"
)

// body reads what is put and looks whether it is what was announced, before it hands
// its last byte out: a reader that wants no more than size bytes would not see an
// error behind them.
type body struct {
	ctx  context.Context //nolint:containedctx // io.Reader has none
	r    io.Reader
	size int64 // announced, negative when unknown
	want string
	hash hash.Hash

	got    int64
	ended  bool  // all of it is read, and right
	failed error // what was given in place of its end
}

func newBody(ctx context.Context, r io.Reader, size int64, sum string) *body {
	return &body{ctx: ctx, r: r, size: size, want: sum, hash: sha256.New()}
}

// Read is io.Reader's. After an error that is not io.EOF the body is of no use.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.failed != nil:
		return 0, b.failed
	case b.ended:
		return 0, io.EOF
	}
	n, err := b.read(p)
	if errors.Is(err, io.EOF) {
		b.ended = true
		return n, io.EOF
	}
	if err != nil {
		b.failed = err
		return 0, err
	}
	return n, nil
}

func (b *body) read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.size >= 0 && int64(len(p)) > b.size-b.got {
		p = p[:b.size-b.got]
	}
	n, err := 0, error(nil)
	if len(p) > 0 {
		n, err = b.r.Read(p)
	}
	b.hash.Write(p[:n])
	b.got += int64(n)
	switch {
	case err != nil && err != io.EOF: //nolint:errorlint // a reader gives io.EOF itself
		return n, err
	case b.got == b.size:
		return n, b.end(err)
	case err == nil:
		return n, nil
	case b.size >= 0:
		return n, farm.Wrap(farm.Invalid, io.ErrUnexpectedEOF, "the body ended %d bytes early", b.size-b.got)
	}
	return n, b.end(err)
}

// end tells, by io.EOF, that all that was to come has come, that it is right, and that
// nothing comes behind it.
func (b *body) end(err error) error {
	var one [1]byte
	for err == nil {
		var n int
		if n, err = b.r.Read(one[:]); n > 0 {
			return farm.Errorf(farm.Invalid, "the body is longer than announced")
		}
	}
	if err != io.EOF {
		return err
	}
	if sum := hex.EncodeToString(b.hash.Sum(nil)); b.want != "" && sum != b.want {
		return farm.Errorf(farm.Invalid, "the body has another hash than announced")
	}
	return io.EOF
}
