package s3door

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"bambuddy/shared/farm"
)

// memory is the index, the objects and the credentials of a test.
type memory struct {
	sites []farm.Site
	files []farm.PrintFile // in order
	bytes map[string][]byte
	keys  map[string]farm.S3Credential

	mu      sync.Mutex
	rows    int // read so far
	used    []string
	err     error         // of the index
	openErr error         // of the objects
	cut     int           // objects end after so many bytes; 0: they do not
	stall   chan struct{} // objects give nothing until it is closed
}

const secret = farm.Secret("a-secret-of-forty-characters-as-s3-has-x")

func newMemory() *memory {
	m := &memory{bytes: map[string][]byte{}, keys: map[string]farm.S3Credential{}}
	for i, name := range []string{"Workshop", "Büro Süd", "Attic"} {
		m.sites = append(m.sites, farm.Site{ID: int64(i + 1), Name: name, CreatedAt: stored})
	}
	m.keys["ALL"] = farm.S3Credential{ID: 1, AccessKey: "ALL"}
	m.keys["ONE"] = farm.S3Credential{ID: 2, AccessKey: "ONE", Sites: []int64{1}}
	m.keys["NONE"] = farm.S3Credential{ID: 3, AccessKey: "NONE", Sites: []int64{}}
	return m
}

var stored = time.Date(1999, 12, 1, 14, 30, 0, 0, time.UTC)

func (m *memory) put(site int64, path, content string) farm.PrintFile {
	sum := sha256.Sum256([]byte(content))
	f := farm.PrintFile{
		SiteID: site, Path: path, Key: fmt.Sprint(site, "/", path), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)),
		MediaType: "text/plain", Status: farm.FileStored, StoredAt: stored,
	}
	m.bytes[f.Key] = []byte(content)
	at, _ := slices.BinarySearchFunc(m.files, f, func(a, b farm.PrintFile) int { return strings.Compare(a.Path, b.Path) })
	m.files = slices.Insert(m.files, at, f)
	return f
}

func (m *memory) Sites(context.Context) ([]farm.Site, error) { return m.sites, m.err }

func (m *memory) FilesBetween(_ context.Context, r farm.FileRange) (out []farm.PrintFile, err error) {
	at, _ := slices.BinarySearchFunc(m.files, r.From, func(f farm.PrintFile, from string) int { return strings.Compare(f.Path, from) })
	for _, f := range m.files[at:] {
		if r.Until != "" && f.Path >= r.Until || len(out) == r.Limit {
			break
		}
		if f.SiteID == r.SiteID && (f.Path > r.From || r.Inclusive) {
			out = append(out, f)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows += len(out)
	return out, m.err
}

func (m *memory) FileAt(_ context.Context, site int64, path string) (farm.PrintFile, error) {
	i := slices.IndexFunc(m.files, func(f farm.PrintFile) bool { return f.SiteID == site && f.Path == path })
	if i < 0 {
		return farm.PrintFile{}, farm.Errorf(farm.NotFound, "no such file")
	}
	return m.files[i], nil
}

func (m *memory) Open(ctx context.Context, f farm.PrintFile, offset, length int64) (io.ReadCloser, error) {
	if m.openErr != nil {
		return nil, m.openErr
	}
	if m.stall != nil {
		select {
		case <-m.stall:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	content := m.bytes[f.Key][offset : offset+length]
	if m.cut > 0 {
		content = content[:m.cut]
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

func (m *memory) Find(_ context.Context, accessKey string) (farm.S3Credential, farm.Secret, error) {
	c, ok := m.keys[accessKey]
	if !ok {
		return c, "", cmp.Or(m.err, error(farm.Errorf(farm.NotFound, "no such key")))
	}
	return c, secret, m.err
}

func (m *memory) Used(_ context.Context, c farm.S3Credential) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used = append(m.used, c.AccessKey)
}

// rig is a door over a memory.
type rig struct {
	*memory
	t    testing.TB
	door *Door
	log  *bytes.Buffer
}

func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{memory: newMemory(), t: t, log: &bytes.Buffer{}}
	o := Options{Index: r, Objects: r, Keys: r, Log: slog.New(slog.NewTextHandler(&locked{w: r.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, c := range change {
		c(&o)
	}
	r.door = New(o)
	return r
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// request makes a request that is not signed yet; header is names and values.
func request(method, target string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "http://door.test"+target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if r.Header.Get(payloadName) == "" {
		r.Header.Set(payloadName, emptyHash)
	}
	return r
}

// signed is signed by minio-go, as of now.
func signed(r *http.Request, accessKey string, secret farm.Secret) *http.Request {
	out := signer.SignV4(*r, accessKey, secret.Reveal(), "", defaultRegion)
	out.RequestURI = "" // so that a client may send it as well
	return out
}

func (r *rig) do(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.door.ServeHTTP(w, req)
	return w
}

// get asks as somebody who may see everything.
func (r *rig) get(target string, header ...string) *httptest.ResponseRecorder {
	return r.do(signed(request(http.MethodGet, target, header...), "ALL", secret))
}

// wantFault checks the whole form of an error.
func (r *rig) wantFault(w *httptest.ResponseRecorder, status int, code string) {
	r.t.Helper()
	var e errorBody
	if err := xml.Unmarshal(w.Body.Bytes(), &e); err != nil {
		r.t.Fatalf("%d %s: not S3's form of an error: %v", w.Code, w.Body, err)
	}
	id := w.Header().Get("x-amz-request-id")
	if w.Code != status || e.Code != code || e.Message == "" || e.RequestID != id || len(id) != 16 {
		r.t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, code)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/xml" {
		r.t.Errorf("content type %q", ct)
	}
}
