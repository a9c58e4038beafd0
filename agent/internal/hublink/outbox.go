package hublink

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Outbox is the journal of what the hub has not acknowledged. Its methods may be
// called concurrently; errors that the hub shall decide on are *farm.Error.
type Outbox interface {
	// Epoch names this journal; another one begins when it is lost.
	Epoch() string
	// Alarm is what a person should look at, "" for nothing.
	Alarm() string
	// Page waits a while for a first record after a number, and gives what there is.
	Page(ctx context.Context, epoch string, after int64, limit int) (wire.OutboxPage, error)
	// Ack takes note of what the hub has committed.
	Ack(ctx context.Context, ack wire.OutboxAck, hubID string) error
}

// Captures are the files of prints that the hub has not fetched.
type Captures interface {
	// OpenFile opens one by its hash; FILE_UNAVAILABLE without.
	OpenFile(ctx context.Context, sha256 string) (*os.File, int64, error)
	// Release drops a reference; a file goes, in time, with the last.
	Release(ctx context.Context, sha256, ref string) error
}

// books serves the outbox on the control lane and the files on the bulk lane.
type books struct {
	outbox   Outbox
	captures Captures
	hubID    string
}

func (b books) capabilities() (out []wire.Capability) {
	if b.outbox != nil {
		out = append(out, wire.CapOutbox)
	}
	if b.captures != nil {
		out = append(out, wire.CapCaptures)
	}
	return out
}

func (b books) epoch() string {
	if b.outbox == nil {
		return ""
	}
	return b.outbox.Epoch()
}

func (b books) alarm() string {
	if b.outbox == nil {
		return ""
	}
	return b.outbox.Alarm()
}

func (b books) control(mux *http.ServeMux, a *api) {
	if b.outbox != nil {
		mux.Handle("/v1/outbox", a.only(http.MethodGet, b.page))
		mux.Handle("/v1/outbox/ack", a.only(http.MethodPost, b.ack))
	}
}

func (b books) bulk(mux *http.ServeMux, a *api) {
	if b.captures != nil {
		mux.Handle("/v1/files/{sha256}", methods{
			http.MethodGet: a.only(http.MethodGet, b.file), http.MethodHead: a.only(http.MethodHead, b.file),
			http.MethodDelete: a.only(http.MethodDelete, b.release),
		})
	}
}

func (b books) page(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	after, err := strconv.ParseInt(q.Get("after"), 10, 64)
	if err != nil || after < 0 {
		return farm.Errorf(farm.Invalid, "after: a number from 0")
	}
	limit := wire.MaxOutboxPage
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > wire.MaxOutboxPage {
			return farm.Errorf(farm.Invalid, "limit: 1 to %d", wire.MaxOutboxPage)
		}
	}
	page, err := b.outbox.Page(r.Context(), q.Get("epoch"), after, limit)
	if err != nil {
		return err
	}
	return reply(w, page)
}

func (b books) ack(w http.ResponseWriter, r *http.Request) error {
	in, err := decode[wire.OutboxAck](w, r, wire.MaxMessage)
	if err != nil {
		return err
	}
	if err := b.outbox.Ack(r.Context(), in, b.hubID); err != nil {
		return err
	}
	return reply(w, struct{}{})
}

func (b books) file(w http.ResponseWriter, r *http.Request) error {
	sha := r.PathValue("sha256")
	if !farm.IsSHA256(sha) {
		return farm.Errorf(farm.Invalid, "sha256: 64 lower-case hex digits")
	}
	f, _, err := b.captures.OpenFile(r.Context(), sha)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+sha+`"`)
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

func (b books) release(w http.ResponseWriter, r *http.Request) error {
	sha, ref := r.PathValue("sha256"), r.URL.Query().Get("ref")
	if !farm.IsSHA256(sha) || ref == "" {
		return farm.Errorf(farm.Invalid, "a hash in the path and a ref are needed")
	}
	if err := b.captures.Release(r.Context(), sha, ref); err != nil {
		return err
	}
	return reply(w, struct{}{})
}
