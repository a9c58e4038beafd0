package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"bambuddy/shared/farm"
)

// Get is Store's. It asks once: small ranges are read often.
func (s *S3) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error) {
	if err := CheckKey(key); err != nil {
		return nil, Info{}, err
	}
	if offset < 0 || length == 0 {
		return s.nothing(ctx, key, offset)
	}
	options, err := s3Range(offset, length)
	if err != nil {
		return nil, Info{}, err
	}
	from, o, header, err := (&minio.Core{Client: s.client}).GetObject(ctx, s.bucket, s.name(key), options)
	if minio.ToErrorResponse(err).Code == minio.InvalidRange {
		return s.nothing(ctx, key, offset) // there is nothing there, or the object ends just before it
	}
	if err != nil {
		return nil, Info{}, s.trouble(ctx, key, err)
	}
	o.Key = s.name(key)
	info := s.info(o)
	if given := header.Get("Content-Range"); given != "" {
		var first, last int64
		if _, err := fmt.Sscanf(given, "bytes %d-%d/%d", &first, &last, &info.Size); err != nil || first != offset {
			_ = from.Close()
			return nil, Info{}, farm.Errorf(farm.Unavailable, "the object store gave another range of %s than asked for", key)
		}
	} else if offset > 0 {
		_ = from.Close()
		return nil, Info{}, farm.Errorf(farm.Unavailable, "the object store does not give parts of objects")
	}
	if length, err = span(key, info.Size, offset, length); err != nil {
		_ = from.Close()
		return nil, Info{}, err
	}
	return &s3Body{store: s, ctx: ctx, key: key, from: from, left: length}, info, nil
}

// nothing is the answer for a range without a byte, if there is such a place.
func (s *S3) nothing(ctx context.Context, key string, offset int64) (io.ReadCloser, Info, error) {
	info, err := s.Stat(ctx, key)
	if err == nil {
		_, err = span(key, info.Size, offset, 0)
	}
	if err != nil {
		return nil, Info{}, err
	}
	return io.NopCloser(bytes.NewReader(nil)), info, nil
}

func s3Range(offset, length int64) (minio.GetObjectOptions, error) {
	options := minio.GetObjectOptions{}
	var err error
	switch toEnd := length < 0 || length > math.MaxInt64-offset; {
	case toEnd && offset == 0: // all of it
	case toEnd:
		err = options.SetRange(offset, 0)
	default:
		err = options.SetRange(offset, offset+length-1)
	}
	if err != nil {
		return options, farm.Wrap(farm.Invalid, err, "the range %d+%d", offset, length)
	}
	return options, nil
}

// s3Body reads what was asked for and says in our words why it ended early.
type s3Body struct {
	store *S3
	ctx   context.Context //nolint:containedctx // io.Reader has none
	key   string
	from  io.ReadCloser
	left  int64
}

func (b *s3Body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case err == nil, b.left == 0:
		return n, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return n, farm.Wrap(farm.Unavailable, io.ErrUnexpectedEOF, "the object store ended %s %d bytes early", b.key, b.left)
	}
	return n, b.store.trouble(b.ctx, b.key, err)
}

func (b *s3Body) Close() error { return b.from.Close() }

// Stat is Store's.
func (s *S3) Stat(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	o, err := s.client.StatObject(ctx, s.bucket, s.name(key), minio.StatObjectOptions{})
	if err == nil {
		return s.info(o), nil
	}
	err = s.trouble(ctx, key, err)
	if !farm.Is(err, farm.NotFound) {
		return Info{}, err
	}
	// The answer has no body, so a bucket that is not there looks like an object that
	// is not there. Who believed that would think every object lost.
	there, asked := s.client.BucketExists(ctx, s.bucket)
	switch {
	case asked != nil:
		return Info{}, s.trouble(ctx, key, asked)
	case !there:
		return Info{}, s.noBucket(nil)
	}
	return Info{}, err
}

func (s *S3) info(o minio.ObjectInfo) Info {
	return Info{
		Key: strings.TrimPrefix(o.Key, s.prefix), Size: o.Size, Modified: o.LastModified.UTC(),
		ETag: strings.Trim(o.ETag, `"`), ContentType: o.ContentType,
	}
}

// Delete is Store's.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	err := s.client.RemoveObject(ctx, s.bucket, s.name(key), minio.RemoveObjectOptions{})
	if err = s.trouble(ctx, key, err); farm.Is(err, farm.NotFound) {
		return nil
	}
	return err
}

// List is Store's. What others put into the bucket and no key can name is left out.
func (s *S3) List(ctx context.Context, prefix, after string, fn func(Info) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	options := minio.ListObjectsOptions{Prefix: s.name(prefix), Recursive: true}
	if after != "" {
		options.StartAfter = s.name(after)
	}
	for o := range s.client.ListObjectsIter(ctx, s.bucket, options) {
		if o.Err != nil {
			return s.trouble(ctx, prefix, o.Err)
		}
		info := s.info(o)
		if info.Key <= after || CheckKey(info.Key) != nil {
			continue
		}
		if err := fn(info); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Check is Store's: it writes an object and removes it. It does not look whether it is
// there, for another hub may check at the same moment.
func (s *S3) Check(ctx context.Context) error {
	key := checkPrefix + strings.ToLower(randomName()[:8])
	_, err := s.client.PutObject(ctx, s.bucket, s.name(key), strings.NewReader("ok"), 2, minio.PutObjectOptions{SendContentMd5: true})
	if err != nil {
		return s.trouble(ctx, key, err)
	}
	return s.Delete(ctx, key)
}

// Clear gives up the uploads begun before a moment and never ended: their parts are not
// listed and are paid for. It must be so long ago that no hub still sends.
func (s *S3) Clear(ctx context.Context, before time.Time) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for u := range s.client.ListIncompleteUploads(ctx, s.bucket, s.prefix, true) {
		if u.Err != nil {
			return s.trouble(ctx, s.prefix, u.Err)
		}
		if !u.Initiated.Before(before) {
			continue
		}
		err := (&minio.Core{Client: s.client}).AbortMultipartUpload(ctx, s.bucket, u.Key, u.UploadID)
		if err = s.trouble(ctx, u.Key, err); err != nil && !farm.Is(err, farm.NotFound) {
			return err
		}
	}
	return ctx.Err()
}
