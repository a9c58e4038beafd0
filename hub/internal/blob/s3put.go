package blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/minio/minio-go/v7"

	"bambuddy/shared/farm"
)

// Put is Store's. A body that fits into one part is read to its end before anything is
// sent; a longer one becomes an object only with the last part, so a wrong end keeps
// that from happening. The service is asked afterwards what it holds: one that cuts a
// body short, or says yes to what it did not keep, is found out.
func (s *S3) Put(ctx context.Context, key string, r io.Reader, size int64, o PutOptions) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	b := newBody(ctx, r, size, o.SHA256)
	sums := &partSums{hash: md5.New()}
	from, size, err := s3Source(io.TeeReader(b, sums), size)
	if err != nil {
		return Info{}, err
	}
	// The MD5 makes the service check each part, and buckets with a lock demand it.
	options := minio.PutObjectOptions{ContentType: o.ContentType, PartSize: partSize, SendContentMd5: true}
	if o.SHA256 != "" {
		options.UserMetadata = map[string]string{hashHeader: o.SHA256}
	}
	_, err = s.client.PutObject(ctx, s.bucket, s.name(key), from, size, options)
	if b.failed != nil {
		return Info{}, b.failed
	}
	// A service that is slow in joining parts may have been asked twice, and have
	// said the second time that there is nothing to join.
	if err != nil && (!b.ended || minio.ToErrorResponse(err).Code != minio.NoSuchUpload) {
		return Info{}, s.trouble(ctx, key, err)
	}
	info, found := s.confirm(ctx, key, b, sums.etag(size < 0 || size > partSize))
	if err != nil && found != nil {
		return Info{}, s.trouble(ctx, key, err)
	}
	return info, found
}

// s3Source gives what is to be sent, and its size: what fits into one part is held, for
// it can then be sent again.
func s3Source(r io.Reader, size int64) (io.Reader, int64, error) {
	if size > partSize {
		return r, size, nil
	}
	room := size
	if size < 0 {
		room = partSize
	}
	first := bytes.NewBuffer(make([]byte, 0, room+bytes.MinRead))
	if _, err := first.ReadFrom(io.LimitReader(r, partSize)); err != nil {
		return nil, 0, err
	}
	if n := int64(first.Len()); n < partSize || size == partSize {
		return bytes.NewReader(first.Bytes()), n, nil
	}
	return io.MultiReader(first, r), -1, nil
}

// confirm looks whether the service holds what was put. An ETag that is no MD5, as of
// an encrypted bucket, says nothing: then the object is read.
func (s *S3) confirm(ctx context.Context, key string, b *body, etag string) (Info, error) {
	info, err := s.Stat(ctx, key)
	switch {
	case farm.Is(err, farm.NotFound):
		return Info{}, farm.Errorf(farm.Unavailable, "the object store acknowledged %s and does not hold it", key)
	case err != nil:
		return Info{}, err
	case info.Size != b.got:
		return Info{}, farm.Errorf(farm.Unavailable, "the object store acknowledged %s and holds %d of its %d bytes", key, info.Size, b.got)
	case info.ETag == etag:
		return info, nil
	}
	held, _, err := s.Get(ctx, key, 0, -1)
	if err != nil {
		return Info{}, err
	}
	defer func() { _ = held.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, held); err != nil {
		return Info{}, err
	}
	if !bytes.Equal(sum.Sum(nil), b.hash.Sum(nil)) {
		return Info{}, farm.Errorf(farm.Unavailable, "the object store acknowledged %s and holds something else", key)
	}
	return info, nil
}

// partSums works out the ETag that an object gets: the MD5 of one that came in one
// piece, the MD5 of the MD5s of its parts for others.
type partSums struct {
	hash hash.Hash // of the part that is being read
	n    int64     // bytes of it
	sums []byte    // of the parts before
	done int
}

func (p *partSums) Write(data []byte) (int, error) {
	all := len(data)
	for len(data) > 0 {
		if p.n == partSize {
			p.close()
		}
		n := min(int64(len(data)), partSize-p.n)
		p.hash.Write(data[:n])
		p.n += n
		data = data[n:]
	}
	return all, nil
}

func (p *partSums) close() {
	p.sums = p.hash.Sum(p.sums)
	p.done++
	p.hash.Reset()
	p.n = 0
}

// etag is asked for once, at the end.
func (p *partSums) etag(parts bool) string {
	if !parts {
		return hex.EncodeToString(p.hash.Sum(nil))
	}
	p.close()
	sum := md5.Sum(p.sums)
	return fmt.Sprintf("%x-%d", sum, p.done)
}
