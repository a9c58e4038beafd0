package hublink

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Site is what an agent does at its LAN beside the printers' sessions. What is nil
// is not served, and not named as a capability. All methods may be called
// concurrently; errors that the hub shall decide on are *farm.Error.
type Site struct {
	Files   Files
	Cameras Cameras
	Finder  Finder
	Prober  Prober
}

// Files are the printers' storages.
type Files interface {
	// List gives the content of a folder.
	List(ctx context.Context, serial, path string) (wire.FileList, error)
	// Download writes a file; size is told once, before its first byte.
	Download(ctx context.Context, serial, path string, size func(int64), to io.Writer) error
	// Delete deletes a file.
	Delete(ctx context.Context, serial, path string) error
}

// Cameras are the printers' cameras.
type Cameras interface {
	// Watch begins to look at one: pictures with at most fps a second (0: all there
	// are), or its video.
	Watch(ctx context.Context, serial string, video bool, fps float64) (Viewer, error)
	// Snapshot gives one JPEG.
	Snapshot(ctx context.Context, serial string) ([]byte, error)
}

// Viewer gives the frames of a camera, newest wins. One goroutine uses and closes it.
type Viewer interface {
	Next(ctx context.Context) (data []byte, at time.Time, key bool, err error)
	Close()
}

// Finder finds printers on the LAN.
type Finder interface {
	Discover(ctx context.Context, r wire.DiscoverRequest) (wire.DiscoverResult, error)
}

// Prober looks closely at one.
type Prober interface {
	Probe(ctx context.Context, r wire.ProbeRequest) (wire.Report, error)
}

func (s Site) capabilities() (out []wire.Capability) {
	for _, c := range []struct {
		there bool
		means wire.Capability
	}{{s.Files != nil, wire.CapFiles}, {s.Cameras != nil, wire.CapCamera}, {s.Finder != nil, wire.CapDiscover}, {s.Prober != nil, wire.CapProbe}} {
		if c.there {
			out = append(out, c.means)
		}
	}
	return out
}

// control adds what the control lane serves of it: small questions.
func (s Site) control(mux *http.ServeMux, a *api) {
	if s.Files != nil {
		mux.Handle("/v1/printers/{serial}/files", methods{
			http.MethodGet: a.only(http.MethodGet, s.listFiles), http.MethodDelete: a.only(http.MethodDelete, s.deleteFile),
		})
	}
	if s.Finder != nil {
		mux.Handle("/v1/discover", a.only(http.MethodPost, s.discover))
	}
	if s.Prober != nil {
		mux.Handle("/v1/probe", a.only(http.MethodPost, s.probe))
	}
}

// bulk adds what the bulk lane serves of it: whatever moves many bytes.
func (s Site) bulk(mux *http.ServeMux, a *api) {
	if s.Files != nil {
		mux.Handle("/v1/printers/{serial}/files/download", a.only(http.MethodGet, s.download))
	}
	if s.Cameras != nil {
		mux.Handle("/v1/printers/{serial}/camera/stream", a.only(http.MethodGet, s.pictures))
		mux.Handle("/v1/printers/{serial}/camera/h264", a.only(http.MethodGet, s.video))
		mux.Handle("/v1/printers/{serial}/camera/snapshot", a.only(http.MethodGet, s.snapshot))
	}
}

// methods is a path with several of them, each behind its own only.
type methods map[string]http.Handler

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, ok := m[r.Method]; ok {
		h.ServeHTTP(w, r)
		return
	}
	m[http.MethodGet].ServeHTTP(w, r) // which says that it does not take this
}

func (s Site) listFiles(w http.ResponseWriter, r *http.Request) error {
	list, err := s.Files.List(r.Context(), r.PathValue("serial"), r.URL.Query().Get("path"))
	if err != nil {
		return err
	}
	return reply(w, list)
}

func (s Site) deleteFile(w http.ResponseWriter, r *http.Request) error {
	if err := s.Files.Delete(r.Context(), r.PathValue("serial"), r.URL.Query().Get("path")); err != nil {
		return err
	}
	return reply(w, struct{}{})
}

// begun notes whether an answer has begun: from then on an error can only break it
// off.
type begun struct {
	http.ResponseWriter
	yes bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.ResponseWriter.Write(p)
}

func (b *begun) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// broken ends an answer that has begun so that the hub sees that it is not whole.
func broken(w *begun, err error) error {
	if err != nil && w.yes {
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to end one stream
	}
	return err
}

func (s Site) download(w http.ResponseWriter, r *http.Request) error {
	out := &begun{ResponseWriter: w}
	w.Header().Set("Content-Type", "application/octet-stream")
	size := func(n int64) { w.Header().Set("Content-Length", strconv.FormatInt(n, 10)) }
	err := s.Files.Download(r.Context(), r.PathValue("serial"), r.URL.Query().Get("path"), size, out)
	if err != nil && !out.yes {
		w.Header().Del("Content-Length")
	}
	return broken(out, err)
}

func (s Site) pictures(w http.ResponseWriter, r *http.Request) error {
	fps := 0.0
	if asked := r.URL.Query().Get("fps"); asked != "" {
		n, err := strconv.ParseFloat(asked, 64)
		if err != nil || !(n > 0 && n <= 60) {
			return farm.Errorf(farm.Invalid, "fps: above 0, at most 60")
		}
		fps = n
	}
	return s.frames(w, r, false, fps)
}

func (s Site) video(w http.ResponseWriter, r *http.Request) error { return s.frames(w, r, true, 0) }

// frames writes frames until the hub has had enough or the camera ends.
func (s Site) frames(w http.ResponseWriter, r *http.Request, video bool, fps float64) error {
	ctx := r.Context()
	v, err := s.Cameras.Watch(ctx, r.PathValue("serial"), video, fps)
	if err != nil {
		return err
	}
	defer v.Close()
	out := &begun{ResponseWriter: w}
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/octet-stream")
	for {
		data, at, key, err := v.Next(ctx)
		if err != nil {
			return broken(out, err)
		}
		if len(data) == 0 || len(data) > wire.MaxFrame {
			continue
		}
		head := wire.FrameHeader{Length: len(data), Key: key, At: at}.Append(nil)
		if _, err := out.Write(append(head, data...)); err != nil {
			return broken(out, err)
		}
		if err := rc.Flush(); err != nil {
			return broken(out, err)
		}
	}
}

func (s Site) snapshot(w http.ResponseWriter, r *http.Request) error {
	b, err := s.Cameras.Snapshot(r.Context(), r.PathValue("serial"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // the lane may be gone: then nobody is left to hear of it
	return nil
}

func (s Site) discover(w http.ResponseWriter, r *http.Request) error {
	in, err := decode[wire.DiscoverRequest](w, r, wire.MaxMessage)
	if err != nil {
		return err
	}
	found, err := s.Finder.Discover(r.Context(), in)
	if err != nil {
		return err
	}
	return reply(w, found)
}

func (s Site) probe(w http.ResponseWriter, r *http.Request) error {
	in, err := decode[wire.ProbeRequest](w, r, wire.MaxMessage)
	if err != nil {
		return err
	}
	report, err := s.Prober.Probe(r.Context(), in)
	if err != nil {
		return err
	}
	return reply(w, report)
}
