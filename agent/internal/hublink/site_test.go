package hublink

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// fakeSite is a LAN with one printer, S1.
type fakeSite struct {
	err    error // what fails
	half   bool  // a transfer that fails has begun
	closed int   // viewers
}

func (f *fakeSite) List(_ context.Context, serial, path string) (wire.FileList, error) {
	return wire.FileList{Path: path, Entries: []wire.FileEntry{{Name: serial}}}, f.err
}

func (f *fakeSite) Delete(context.Context, string, string) error { return f.err }

func (f *fakeSite) Download(_ context.Context, _, path string, size func(int64), to io.Writer) error {
	size(int64(len(path)))
	if f.err == nil || f.half {
		_, _ = io.WriteString(to, path)
	}
	return f.err
}

func (f *fakeSite) Watch(_ context.Context, serial string, video bool, fps float64) (Viewer, error) {
	if f.err != nil && !f.half {
		return nil, f.err
	}
	frames := []string{"one", "", "two"}
	if video {
		frames = []string{"key"}
	}
	if fps == 7 {
		frames = []string{"seven of " + serial}
	}
	return &fakeViewer{site: f, frames: frames}, nil
}

func (f *fakeSite) Snapshot(context.Context, string) ([]byte, error) { return []byte("jpeg"), f.err }

func (f *fakeSite) Discover(_ context.Context, r wire.DiscoverRequest) (wire.DiscoverResult, error) {
	return wire.DiscoverResult{Found: []wire.Found{{Serial: strings.Join(r.Ranges, " ")}}}, f.err
}

func (f *fakeSite) Probe(_ context.Context, r wire.ProbeRequest) (wire.Report, error) {
	return wire.Report{Serial: r.Serial, Address: r.Address}, f.err
}

type fakeViewer struct {
	site   *fakeSite
	frames []string
}

func (v *fakeViewer) Next(context.Context) ([]byte, time.Time, bool, error) {
	if len(v.frames) == 0 {
		return nil, time.Time{}, false, errors.Join(v.site.err, io.EOF)
	}
	f := v.frames[0]
	v.frames = v.frames[1:]
	return []byte(f), time.UnixMilli(5), f == "key", nil
}

func (v *fakeViewer) Close() { v.site.closed++ }

func siteAPI(s Site) *api {
	return newAPI(Options{Identity: Identity{HubID: testHub, AgentID: testAgent}, Fleet: &fakeFleet{}, Site: s, Log: slog.New(slog.DiscardHandler)}, time.Now())
}

func all(f *fakeSite) Site { return Site{Files: f, Cameras: f, Finder: f, Prober: f} }

func TestWhatTheSiteServes(t *testing.T) {
	a := siteAPI(all(&fakeSite{}))
	for _, c := range []struct {
		lane               http.Handler
		method, path, body string
		want               string
	}{
		{a.control(), "GET", "/v1/printers/S1/files?path=/a%20b", "", `{"path":"/a b","entries":[{"name":"S1","size":0}]}`},
		{a.control(), "DELETE", "/v1/printers/S1/files?path=/a", "", `{}`},
		{a.control(), "POST", "/v1/discover", `{"ranges":["10.0.0.0/24"]}`, `"serial":"10.0.0.0/24"`},
		{a.control(), "POST", "/v1/probe", `{"serial":"S9","address":"x"}`, `"serial":"S9"`},
		{a.bulk(), "GET", "/v1/printers/S1/files/download?path=/abc", "", "/abc"},
		{a.bulk(), "GET", "/v1/printers/S1/camera/snapshot", "", "jpeg"},
	} {
		w := call(c.lane, c.method, c.path, c.body)
		if w.Code != 200 || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	if h := call(a.bulk(), "GET", "/v1/printers/S1/files/download?path=/abc", "").Header(); h.Get("Content-Length") != "4" {
		t.Errorf("download: %v", h)
	}
	if w := call(a.control(), "PUT", "/v1/printers/S1/files?path=/a", ""); w.Code != 405 {
		t.Errorf("PUT: %d", w.Code)
	}
}

func TestCapabilitiesNameWhatIsServed(t *testing.T) {
	f := &fakeSite{}
	for _, c := range []struct {
		site Site
		want []wire.Capability
	}{
		{Site{}, nil},
		{Site{Files: f}, []wire.Capability{wire.CapFiles}},
		{all(f), []wire.Capability{wire.CapFiles, wire.CapCamera, wire.CapDiscover, wire.CapProbe}},
	} {
		a := siteAPI(c.site)
		if got := a.hello().Capabilities; !slices.Equal(got[3:], c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
		served := call(a.bulk(), "GET", "/v1/printers/S1/camera/snapshot", "").Code == 200
		if served != (c.site.Cameras != nil) {
			t.Errorf("served without cameras: %v", served)
		}
	}
}

// read takes the frames of a stream that breaks off at its end.
func read(t *testing.T, h http.Handler, path string) (frames []string) {
	t.Helper()
	w := &writer{header: http.Header{}}
	func() {
		defer func() {
			if p, _ := recover().(error); !errors.Is(p, http.ErrAbortHandler) {
				t.Errorf("%s: the end of the stream looks whole: %v", path, p)
			}
		}()
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://agent"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		h.ServeHTTP(w, r)
	}()
	for b := w.body; len(b) > 0; {
		head, err := wire.ParseFrameHeader(b)
		if err != nil || head.At.UnixMilli() != 5 {
			t.Fatalf("%+v, %v", head, err)
		}
		b = b[wire.FrameHeaderSize:]
		text := string(b[:head.Length])
		if head.Key {
			text += "!"
		}
		frames = append(frames, text)
		b = b[head.Length:]
	}
	return frames
}

type writer struct {
	header http.Header
	body   []byte
}

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(int)             {}
func (w *writer) Write(b []byte) (int, error) { w.body = append(w.body, b...); return len(b), nil }
func (w *writer) Flush()                      {}

func TestFrames(t *testing.T) {
	f := &fakeSite{}
	bulk := siteAPI(all(f)).bulk()
	for path, want := range map[string]string{
		"/v1/printers/S1/camera/stream": "one two", "/v1/printers/S1/camera/stream?fps=7": "seven of S1", "/v1/printers/S1/camera/h264": "key!",
	} {
		if got := strings.Join(read(t, bulk, path), " "); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	if f.closed != 3 {
		t.Errorf("%d of 3 viewers were closed", f.closed)
	}
	for _, fps := range []string{"0", "-1", "61", "NaN", "many"} {
		if w := call(bulk, "GET", "/v1/printers/S1/camera/stream?fps="+fps, ""); w.Code != 400 {
			t.Errorf("fps %s: %d", fps, w.Code)
		}
	}
}

// An error before the first byte is an answer; after it the answer breaks off.
func TestErrorsOfTheSite(t *testing.T) {
	f := &fakeSite{err: farm.Errorf(farm.FileUnavailable, "there is no such file")}
	a := siteAPI(all(f))
	for _, c := range []struct {
		lane               http.Handler
		method, path, body string
	}{
		{a.control(), "GET", "/v1/printers/S1/files", ""},
		{a.control(), "DELETE", "/v1/printers/S1/files?path=/a", ""},
		{a.control(), "POST", "/v1/discover", "{}"},
		{a.control(), "POST", "/v1/probe", "{}"},
		{a.bulk(), "GET", "/v1/printers/S1/files/download?path=/abc", ""},
		{a.bulk(), "GET", "/v1/printers/S1/camera/stream", ""},
		{a.bulk(), "GET", "/v1/printers/S1/camera/snapshot", ""},
	} {
		w := call(c.lane, c.method, c.path, c.body)
		var e wire.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 404 || e.Code != farm.FileUnavailable || w.Header().Get("Content-Length") != "" {
			t.Errorf("%s: %d %s %v", c.path, w.Code, w.Body, w.Header())
		}
	}
	f.half = true
	defer func() {
		if p, _ := recover().(error); !errors.Is(p, http.ErrAbortHandler) {
			t.Errorf("a download that broke off looks whole: %v", p)
		}
	}()
	call(a.bulk(), "GET", "/v1/printers/S1/files/download?path=/abc", "")
}
