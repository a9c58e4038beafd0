package hublink

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

const testSHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// fakeBooks is an outbox with one record and a store with one file. It notes what it
// was asked for.
type fakeBooks struct {
	dir   string
	err   error
	asked []any
}

type pageAsked struct {
	epoch string
	after int64
	limit int
}

type releaseAsked struct{ sha, ref string }

func (f *fakeBooks) Epoch() string { return "E1" }

func (f *fakeBooks) Alarm() string { return "the disk is full" }

func (f *fakeBooks) Page(_ context.Context, epoch string, after int64, limit int) (wire.OutboxPage, error) {
	f.asked = append(f.asked, pageAsked{epoch, after, limit})
	return wire.OutboxPage{Epoch: "E1", First: 1, Last: 1, Records: []wire.OutboxRecord{{N: 1, Kind: wire.FaultRaised}}}, f.err
}

func (f *fakeBooks) Ack(_ context.Context, ack wire.OutboxAck, hubID string) error {
	f.asked = append(f.asked, ack, hubID)
	return f.err
}

func (f *fakeBooks) OpenFile(_ context.Context, sha string) (*os.File, int64, error) {
	f.asked = append(f.asked, sha)
	if f.err != nil {
		return nil, 0, f.err
	}
	file, err := os.Open(filepath.Join(f.dir, "file"))
	return file, 10, err
}

func (f *fakeBooks) Release(_ context.Context, sha, ref string) error {
	f.asked = append(f.asked, releaseAsked{sha, ref})
	return f.err
}

// booksAPI is the agent API over such books.
func booksAPI(t *testing.T) (*fakeBooks, *api) {
	t.Helper()
	f := &fakeBooks{dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(f.dir, "file"), []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	return f, newAPI(Options{
		Identity: Identity{HubID: testHub, AgentID: testAgent}, BootID: "boot-1", Version: "1.2.3", Fleet: &fakeFleet{},
		Outbox: f, Captures: f, Log: slog.New(slog.DiscardHandler),
	}, time.Now())
}

func codeOf(t *testing.T, w *httptest.ResponseRecorder) farm.Code {
	t.Helper()
	var e struct {
		Code farm.Code `json:"code"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Errorf("%d without an error in form: %q", w.Code, w.Body)
	}
	return e.Code
}

func TestPagesOfTheOutbox(t *testing.T) {
	f, a := booksAPI(t)
	h := a.control()
	for query, want := range map[string]pageAsked{
		"epoch=E1&after=0":                             {"E1", 0, wire.MaxOutboxPage},
		"epoch=E%2B1&after=7&limit=":                   {"E+1", 7, wire.MaxOutboxPage},
		"after=7&limit=1":                              {"", 7, 1},
		"epoch=E1&after=9223372036854775807&limit=500": {"E1", 1<<63 - 1, 500},
	} {
		f.asked = nil
		w := call(h, "GET", "/v1/outbox?"+query, "")
		var page wire.OutboxPage
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != 200 || len(page.Records) != 1 {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
		if len(f.asked) != 1 || f.asked[0] != want {
			t.Errorf("%s asked for %+v, want %+v", query, f.asked, want)
		}
	}
	f.asked = nil
	for _, query := range []string{
		"", "epoch=E1", "after=-1", "after=x", "after=1.5", "after=9223372036854775808", "after=1&limit=0", "after=1&limit=-1", "after=1&limit=501", "after=1&limit=many",
	} {
		if w := call(h, "GET", "/v1/outbox?"+query, ""); w.Code != 400 || codeOf(t, w) != farm.Invalid {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	}
	if len(f.asked) != 0 {
		t.Errorf("what was refused asked for %+v", f.asked)
	}
	f.err = farm.Errorf(farm.Conflict, "another epoch")
	if w := call(h, "GET", "/v1/outbox?after=1", ""); w.Code != 409 || codeOf(t, w) != farm.Conflict {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAcknowledgements(t *testing.T) {
	f, a := booksAPI(t)
	h := a.control()
	w := call(h, "POST", "/v1/outbox/ack", `{"hub_id":"hub-9","generation":4,"epoch":"E1","n":12}`)
	want := []any{wire.OutboxAck{HubID: "hub-9", Generation: 4, Epoch: "E1", N: 12}, testHub} // the outbox compares the two
	if w.Code != 200 || !slices.Equal(f.asked, want) {
		t.Errorf("%d, asked %+v", w.Code, f.asked)
	}
	f.asked = nil
	for body, code := range map[string]farm.Code{
		"": farm.Invalid, "[]": farm.Invalid, `{"n":"12"}`: farm.Invalid, `{"n":12} `: "", strings.Repeat(" ", wire.MaxMessage+1): farm.TooLarge,
	} {
		if w := call(h, "POST", "/v1/outbox/ack", body); code != "" && (w.Code < 400 || codeOf(t, w) != code) || code == "" && w.Code != 200 {
			t.Errorf("%.20q: %d %s", body, w.Code, w.Body)
		}
	}
	f.err = farm.Errorf(farm.Conflict, "this agent belongs to another hub")
	if w := call(h, "POST", "/v1/outbox/ack", `{}`); w.Code != 409 || codeOf(t, w) != farm.Conflict {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestCapturedFiles(t *testing.T) {
	f, a := booksAPI(t)
	h := a.bulk()
	for name, c := range map[string]struct {
		method, bytes string
		status        int
		body, part    string
	}{
		"whole":                 {"GET", "", 200, "0123456789", ""},
		"from an offset":        {"GET", "bytes=4-", 206, "456789", "bytes 4-9/10"},
		"a part":                {"GET", "bytes=2-3", 206, "23", "bytes 2-3/10"},
		"past the end":          {"GET", "bytes=10-", 416, "", "bytes */10"},
		"its size":              {"HEAD", "", 200, "", ""},
		"the size of the rest":  {"HEAD", "bytes=4-", 206, "", "bytes 4-9/10"},
		"a range in other form": {"GET", "lines=1-", 416, "", ""},
	} {
		r := httptest.NewRequest(c.method, "/v1/files/"+testSHA, nil)
		if c.bytes != "" {
			r.Header.Set("Range", c.bytes)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Body)
		if w.Code != c.status || w.Header().Get("Content-Range") != c.part || c.status < 300 && string(body) != c.body {
			t.Errorf("%s: %d %q, %q", name, w.Code, body, w.Header().Get("Content-Range"))
		}
		if c.status == 200 && (w.Header().Get("Content-Length") != "10" || w.Header().Get("ETag") != `"`+testSHA+`"`) {
			t.Errorf("%s: headers %v", name, w.Header())
		}
	}
	f.err = farm.Errorf(farm.FileUnavailable, "it is gone")
	if w := call(h, "GET", "/v1/files/"+testSHA, ""); w.Code != 404 || codeOf(t, w) != farm.FileUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestReleases(t *testing.T) {
	f, a := booksAPI(t)
	h := a.bulk()
	w := call(h, "DELETE", "/v1/files/"+testSHA+"?ref=run%3Ar1", "")
	if want := (releaseAsked{testSHA, "run:r1"}); w.Code != 200 || len(f.asked) != 1 || f.asked[0] != want {
		t.Errorf("%d, asked %+v", w.Code, f.asked)
	}
	f.err = farm.Errorf(farm.Unavailable, "the disk is full")
	if w := call(h, "DELETE", "/v1/files/"+testSHA+"?ref=r", ""); w.Code != 503 || codeOf(t, w) != farm.Unavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	f, a := booksAPI(t)
	h := a.bulk()
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/v1/files/" + strings.ToUpper(testSHA), 400},
		{"GET", "/v1/files/" + testSHA[1:], 400},
		{"GET", "/v1/files/" + testSHA + "0", 400},
		{"GET", "/v1/files/..%2F..%2Fetc%2Fpasswd", 404},
		{"HEAD", "/v1/files/nonsense", 400},
		{"DELETE", "/v1/files/" + testSHA, 400}, // whose reference?
		{"DELETE", "/v1/files/nonsense?ref=run:1", 400},
		{"GET", "/v1/files/" + testSHA + "/", 404},
		{"GET", "/v1/files/", 404},
		{"POST", "/v1/files/" + testSHA, 405},
		{"PUT", "/v1/files/" + testSHA, 405},
		{"GET", "/v1/outbox?after=0", 404}, // is of the other lane
	} {
		if w := call(h, c.method, c.path, ""); w.Code != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	for _, c := range []struct{ method, path string }{{"POST", "/v1/outbox"}, {"GET", "/v1/outbox/ack"}, {"HEAD", "/v1/outbox"}} {
		if w := call(a.control(), c.method, c.path, ""); w.Code != 405 {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	if len(f.asked) != 0 {
		t.Errorf("asked for %+v", f.asked)
	}
}

func TestWhatIsThereIsNamed(t *testing.T) {
	_, a := booksAPI(t)
	if h := a.hello(); h.Epoch != "E1" || h.Alarm != "the disk is full" || !slices.Contains(h.Capabilities, wire.CapOutbox) || !slices.Contains(h.Capabilities, wire.CapCaptures) {
		t.Errorf("hello %+v", h)
	}
	bare := newAPI(Options{Fleet: &fakeFleet{}, Log: slog.New(slog.DiscardHandler)}, time.Now())
	if h := bare.hello(); h.Epoch+h.Alarm != "" || slices.Contains(h.Capabilities, wire.CapOutbox) || slices.Contains(h.Capabilities, wire.CapCaptures) {
		t.Errorf("hello without books %+v", h)
	}
	for _, c := range []struct {
		handler http.Handler
		path    string
	}{{bare.control(), "/v1/outbox?after=0"}, {bare.bulk(), "/v1/files/" + testSHA}} {
		if w := call(c.handler, "GET", c.path, ""); w.Code != 404 {
			t.Errorf("%s: %d", c.path, w.Code)
		}
	}
}
