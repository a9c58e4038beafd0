package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"golang.org/x/sync/errgroup"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/camera"
	"bambuddy/hub/internal/fleet"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Cameras are the cameras of all printers.
type Cameras interface {
	// Watch begins to look at one; the caller closes the viewer.
	Watch(src camera.Source, kind camera.Kind, fps int) *camera.Viewer
	// Snapshot gives one JPEG within 5 s.
	Snapshot(ctx context.Context, src camera.Source) ([]byte, error)
	// Stop ends all streams of a printer and tells how many there were.
	Stop(printerID int64) int
}

// StoppedStreams is the answer of camera/stop.
type StoppedStreams struct {
	Status  string `json:"status" enum:"stopped"`
	Streams int    `json:"streams" doc:"How many viewers there were."`
}

// firstFrame is how long a stream may take to begin; what does not is an error
// answer. An RTSPS camera needs some seconds.
const firstFrame = 15 * time.Second

var cameraErrors = []farm.Code{farm.PrinterNotConnected, farm.PrinterBusy, farm.AgentOffline, farm.Unavailable, farm.Unsupported}

func (s *server) cameraRoutes() {
	const tag = "Camera"
	register(s, route{
		id: "stream_camera", method: http.MethodGet, path: "/printers/{id}/camera/stream", tag: tag, summary: "Stream (MJPEG)",
		about: "Pictures one after the other, as `multipart/x-mixed-replace`. Counted once. A reader that is slow misses pictures; the camera of a P1 or A1 gives about one a second.",
		needs: farm.Read, media: true, limit: auth.ReadClass, errors: append([]farm.Code{farm.Invalid, farm.FFmpegMissing}, cameraErrors...),
		responses: binary("multipart/x-mixed-replace", "JPEG pictures without end. Each part has its Content-Type and Content-Length."),
	}, s.streamCamera)
	register(s, route{
		id: "stream_camera_video", method: http.MethodGet, path: "/printers/{id}/camera/h264", tag: tag, summary: "Stream (H.264)",
		about: h264About, needs: farm.Read, media: true, limit: auth.ReadClass, errors: append([]farm.Code{farm.Invalid}, cameraErrors...),
		responses: binary("video/h264", "Annex B, or frames as asked for."),
	}, s.streamH264)
	register(s, route{
		id: "get_camera_snapshot", method: http.MethodGet, path: "/printers/{id}/camera/snapshot", tag: tag, summary: "Snapshot",
		about: "One JPEG within 5 seconds. Callers at the same time share one.",
		needs: farm.Read, media: true, limit: auth.ReadClass, errors: append([]farm.Code{farm.FFmpegMissing}, cameraErrors...),
		responses: binary("image/jpeg", "The picture."),
	}, s.snapshot)
	register(s, route{
		id: "stop_camera", method: http.MethodPost, path: "/printers/{id}/camera/stop", tag: tag, summary: "Stop Stream",
		about: "Ends every viewer's stream of this printer.", needs: farm.Control, limit: auth.ControlClass,
	}, s.stopCamera)
}

const h264About = `The video of an X1, P2, H2 or X2 as the camera sends it, beginning with a key frame. Other models have no video: 400 UNSUPPORTED.

Without ` + "`format`" + ` it is a plain Annex B stream, which ffmpeg and players read: ` + "`ffmpeg -f h264 -i URL …`" + `.

With ` + "`format=frames`" + ` (for WebCodecs) each access unit stands behind a header of 16 bytes, big end first: its length (4 bytes), flags (1 byte: 1 is a key frame), 3 bytes of 0, and the time it reached the agent in Unix milliseconds (8 bytes).`

// binary documents an answer that is no JSON.
func binary(contentType, about string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: about,
		Content:     map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}}
}

// cameraOf gives the camera of a printer the caller may see, if it can be asked.
func (s *server) cameraOf(ctx context.Context, id int64) (camera.Source, fleet.View, error) {
	v, err := s.view(ctx, id)
	if err != nil {
		return camera.Source{}, v, err
	}
	return camera.Source{PrinterID: id, AgentID: v.Printer.AgentID, Serial: v.Printer.Serial}, v, reachable(v)
}

type streamCameraInput struct {
	ByID
	FPS int `query:"fps" minimum:"1" maximum:"30" default:"10" doc:"At most this many pictures a second."`
}

func (s *server) streamCamera(ctx context.Context, in *streamCameraInput) (*huma.StreamResponse, error) {
	src, _, err := s.cameraOf(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.streamFrames(ctx, src, camera.JPEG, in.FPS, "multipart/x-mixed-replace; boundary="+mjpegBoundary, func(f camera.Frame) []byte {
		head := fmt.Sprintf("--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", mjpegBoundary, len(f.Data))
		return append(append([]byte(head), f.Data...), "\r\n"...)
	})
}

const mjpegBoundary = "bambuddy-frame"

type streamH264Input struct {
	ByID
	Format string `query:"format" enum:"annexb,frames" default:"annexb"`
}

func (s *server) streamH264(ctx context.Context, in *streamH264Input) (*huma.StreamResponse, error) {
	src, v, err := s.cameraOf(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if m, ok := bambu.ModelByCode(modelOf(v).code); ok && m.Camera != bambu.CameraRTSP {
		return nil, farm.Errorf(farm.Unsupported, "the camera of this model (%s) sends pictures and no video: use camera/stream", m.Name)
	}
	if in.Format == "frames" {
		return s.streamFrames(ctx, src, camera.H264, 0, "application/octet-stream", func(f camera.Frame) []byte {
			return append(wire.FrameHeader{Length: len(f.Data), Key: f.Key, At: f.At}.Append(nil), f.Data...)
		})
	}
	return s.streamFrames(ctx, src, camera.H264, 0, "video/h264", func(f camera.Frame) []byte { return f.Data })
}

// streamFrames answers with frames without end. What fails before the first one is
// an ordinary error.
func (s *server) streamFrames(ctx context.Context, src camera.Source, kind camera.Kind, fps int, contentType string, form func(camera.Frame) []byte) (*huma.StreamResponse, error) {
	viewer := s.cameras.Watch(src, kind, fps)
	first, err := firstOf(ctx, viewer)
	if err != nil {
		viewer.Close()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer viewer.Close()
		r, w := humachi.Unwrap(hc)
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Accel-Buffering", "no") // or a proxy would collect frames
		if r.Method == http.MethodHead {
			return
		}
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return s.whileTrusted(ctx, auth.From(ctx)) })
		g.Go(func() error { return writeFrames(ctx, w, viewer, first, form) })
		_ = g.Wait() // it ends in one way or another, and nobody is left to be told
	}}, nil
}

// firstOf waits for the first frame of a stream.
func firstOf(ctx context.Context, v *camera.Viewer) (camera.Frame, error) {
	ctx, cancel := context.WithTimeout(ctx, firstFrame)
	defer cancel()
	f, err := v.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = farm.Wrap(farm.PrinterNotConnected, err, "the camera gave no picture within %d s", int(firstFrame.Seconds()))
	}
	return f, err
}

// writeFrames writes frames until the client is gone, too slow, or ctx ends.
func writeFrames(ctx context.Context, w http.ResponseWriter, v *camera.Viewer, f camera.Frame, form func(camera.Frame) []byte) (err error) {
	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }() // the connection may serve more requests
	for ; err == nil; f, err = v.Next(ctx) {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTime)) // a writer without deadlines is a test's
		if _, err := w.Write(form(f)); err != nil {
			return err
		}
		if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return err
}

type picture struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *server) snapshot(ctx context.Context, in *ByID) (*picture, error) {
	src, _, err := s.cameraOf(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	b, err := s.cameras.Snapshot(ctx, src)
	if err != nil {
		return nil, err
	}
	return &picture{ContentType: "image/jpeg", Body: b}, nil
}

func (s *server) stopCamera(ctx context.Context, in *ByID) (*body[StoppedStreams], error) {
	if _, err := s.view(ctx, in.ID); err != nil {
		return nil, err
	}
	return &body[StoppedStreams]{StoppedStreams{Status: "stopped", Streams: s.cameras.Stop(in.ID)}}, nil
}
