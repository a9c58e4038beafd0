package s3door

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

// stallTime is how long a client may take nothing before it is given up.
const stallTime = time.Minute

// etag is an object's tag. It is not an MD5, and the dash tells tools so: they
// would compare one with what they have read.
func etag(f farm.PrintFile) string {
	if f.SHA256 == "" {
		return fmt.Sprintf(`"%x-%x-1"`, f.StoredAt.UnixMilli(), f.Size)
	}
	return `"` + f.SHA256 + `-1"`
}

func (d *Door) object(ctx context.Context, c *call, b bucket) error {
	f, err := d.o.Index.FileAt(ctx, b.SiteID, c.key)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("ETag", etag(f))
	h.Set("Last-Modified", f.StoredAt.UTC().Format(http.TimeFormat))
	if err := conditions(c.r.Header, f); err != nil {
		return err
	}
	part, err := rangeOf(c.r.Header, f)
	if err != nil {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(f.Size, 10))
		return err
	}
	set, err := overrides(c)
	if err != nil {
		return err
	}
	if c.r.Method == http.MethodHead || part.length == 0 {
		d.head(c, f, part, set)
		return nil
	}
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return &fault{http.StatusServiceUnavailable, "SlowDown", "too many objects are being read, try again in a moment", nil}
	}
	body, err := d.o.Objects.Open(ctx, f, part.offset, part.length)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	d.head(c, f, part, set)
	d.send(c, body, part.length)
	return nil
}

// head writes the header of a file or of a part of it.
func (d *Door) head(c *call, f farm.PrintFile, part span, set map[string]string) {
	h := c.w.Header()
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", cmp.Or(f.MediaType, "application/octet-stream"))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.FormatInt(part.length, 10))
	for name, value := range set {
		h.Set(name, value)
	}
	if part.whole {
		if sum, err := hex.DecodeString(f.SHA256); err == nil && len(sum) > 0 && strings.EqualFold(c.r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") {
			h.Set("x-amz-checksum-sha256", base64.StdEncoding.EncodeToString(sum))
			h.Set("x-amz-checksum-type", "FULL_OBJECT")
		}
		c.w.WriteHeader(http.StatusOK)
		return
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.offset, part.offset+part.length-1, f.Size))
	c.w.WriteHeader(http.StatusPartialContent)
}

// send copies the bytes. When they end early the server cuts the connection, because
// the header has promised more: so the client knows.
func (d *Door) send(c *call, body io.Reader, length int64) {
	out := &patient{c.w, http.NewResponseController(c.w)}
	defer out.done()
	switch n, err := io.CopyN(out, body, length); {
	case err == nil, c.r.Context().Err() != nil:
	case errors.Is(err, errClient):
		d.o.Log.Debug("S3 client took no more", "request", c.id, "sent", n, "err", err)
	default:
		d.o.Log.Warn("an object ended early while it was read", "request", c.id, "key", c.key, "sent", n, "of", length, "err", err)
	}
}

// errClient tells that writing failed, not reading.
var errClient = errors.New("the client takes no more")

// patient writes to a client for as long as it takes something now and then.
type patient struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// Write writes.
func (p *patient) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(stallTime)) // a writer without deadlines is a test's
	n, err := p.w.Write(b)
	if err != nil {
		err = fmt.Errorf("%w: %w", errClient, err)
	}
	return n, err
}

// done leaves the connection as it was.
func (p *patient) done() { _ = p.rc.SetWriteDeadline(time.Time{}) }

// overrides are the headers of an answer that the query may set.
func overrides(c *call) (map[string]string, error) {
	set := map[string]string{}
	for _, name := range []string{"Content-Type", "Content-Language", "Expires", "Cache-Control", "Content-Disposition", "Content-Encoding"} {
		query := "response-" + strings.ToLower(name)
		if !c.query.Has(query) {
			continue
		}
		value := c.query.Get(query)
		for i := range len(value) {
			if value[i] < ' ' || value[i] == 0x7F {
				return nil, invalid("%s is no value of a header", query)
			}
		}
		set[name] = value
	}
	return set, nil
}
