package api

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"bambuddy/shared/farm"
)

// serveFile serves a stored file with ranges and conditions.
func (s *server) serveFile(ctx context.Context, id int64, role string) (*huma.StreamResponse, error) {
	p, err := s.seenPrint(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := s.archive.File(ctx, id, role)
	if err != nil {
		return nil, err
	}
	content := &objectContent{ctx: ctx, archive: s.archive, file: f}
	if err := content.begin(); err != nil { // what can fail with an ordinary error does so now
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer content.close()
		r, w := humachi.Unwrap(hc)
		h := w.Header()
		h.Set("ETag", `"`+f.SHA256+`"`)
		h.Set("Cache-Control", "private, no-cache")
		kind, show := shownAs(f.MediaType)
		h.Set("Content-Type", kind)
		switch {
		case role == farm.RoleModel:
			h.Set("Content-Type", "application/octet-stream")
			h.Set("Content-Disposition", attachment(p.Filename))
		case !show:
			h.Set("Content-Disposition", attachment(role))
		}
		out := &patientWriter{ResponseWriter: w, rc: http.NewResponseController(w)}
		defer out.done()
		http.ServeContent(&fileWriter{patientWriter: out, r: r, size: f.Size}, r, "", f.StoredAt, content)
		if content.failed != nil && r.Method != http.MethodHead {
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to tell a client that the answer is not whole
		}
	}}, nil
}

// shownAs is as what a stored file is sent, and whether a browser may show it. Rows can
// come from a bucket that others write to: a picture that says it is a page is none.
func shownAs(mediaType string) (kind string, show bool) {
	switch mediaType {
	case "image/jpeg", "image/png", "image/webp", "video/mp4", "video/x-msvideo":
		return mediaType, true
	default:
		return "application/octet-stream", false
	}
}

// objectContent is a stored object as http.ServeContent reads it.
type objectContent struct {
	ctx     context.Context //nolint:containedctx // io.ReadSeeker has none
	archive ArchiveStore
	file    farm.PrintFile
	at      int64         // where the next read is to begin
	body    io.ReadCloser // nil: not open
	bodyAt  int64         // where the body stands
	failed  error
}

// begin opens the object where the next read is to begin.
func (o *objectContent) begin() (err error) {
	o.close()
	o.body, err = o.archive.Open(o.ctx, o.file, o.at, -1)
	o.bodyAt = o.at
	return err
}

func (o *objectContent) close() {
	if o.body != nil {
		_ = o.body.Close()
		o.body = nil
	}
}

// Seek is io.Seeker's; nothing is asked of the store before something is read.
func (o *objectContent) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.file.Size
	}
	if offset < 0 {
		return 0, errors.New("before the beginning")
	}
	o.at = offset
	return offset, nil
}

// Read is io.Reader's.
func (o *objectContent) Read(p []byte) (int, error) {
	if o.at >= o.file.Size {
		return 0, io.EOF
	}
	if o.body == nil || o.bodyAt != o.at {
		if o.failed = o.begin(); o.failed != nil {
			return 0, o.failed
		}
	}
	n, err := o.body.Read(p)
	o.at += int64(n)
	o.bodyAt = o.at
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && o.at >= o.file.Size:
	case errors.Is(err, io.EOF):
		o.failed = io.ErrUnexpectedEOF
		err = o.failed
	default:
		o.failed = err
	}
	return n, err
}

// fileWriter tells of a range that is not there in the form of all errors, which
// http.ServeContent has its own words for.
type fileWriter struct {
	*patientWriter
	r       *http.Request
	size    int64
	refused bool
}

// WriteHeader is http.ResponseWriter's.
func (f *fileWriter) WriteHeader(status int) {
	if status != http.StatusRequestedRangeNotSatisfiable {
		f.ResponseWriter.WriteHeader(status)
		return
	}
	f.refused = true
	f.Header().Del("Content-Disposition")
	writeError(f.ResponseWriter, f.r, farm.Errorf(farm.BadRange, "the file has %d bytes, none of them in that range", f.size))
}

// Write is http.ResponseWriter's.
func (f *fileWriter) Write(b []byte) (int, error) {
	if f.refused {
		return len(b), nil
	}
	return f.patientWriter.Write(b)
}
