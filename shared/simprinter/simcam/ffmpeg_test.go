package simcam

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/bambu"
)

// tool finds a program, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("there is no " + name)
	}
	return path
}

// address serves an RTSP camera at a free port of the loopback.
func address(t *testing.T, q Quirks) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, stop := start(t, bambu.CameraRTSP, l)
	t.Cleanup(stop)
	s.Tune(q)
	return s, "rtsps://" + user + ":" + code + "@" + l.Addr().String() + Path
}

// ffprobe reads the stream for what it is.
func TestFFprobe(t *testing.T) {
	probe := tool(t, "ffprobe")
	for name, q := range map[string]Quirks{"plain": {}, "mid group": {MidGroup: true}} {
		t.Run(name, func(t *testing.T) {
			_, url := address(t, q)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, probe, "-v", "error", "-show_streams", "-of", "json", url).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var got struct {
				Streams []struct {
					Codec         string `json:"codec_name"`
					Width, Height int
					Rate          string `json:"r_frame_rate"`
				}
			}
			if i := bytes.IndexByte(out, '{'); i < 0 || json.Unmarshal(out[i:], &got) != nil {
				t.Fatalf("%s", out)
			}
			if len(got.Streams) != 1 || got.Streams[0].Codec != "h264" || got.Streams[0].Width != 1280 || got.Streams[0].Height != 720 || got.Streams[0].Rate != "25/1" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// ffmpeg decodes frames of the stream without an error, and a wrong code keeps it
// out.
func TestFFmpeg(t *testing.T) {
	ffmpeg := tool(t, "ffmpeg")
	s, url := address(t, Quirks{})
	run := func(url string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, ffmpeg, "-v", "error", "-xerror", "-i", url, "-frames:v", "50", "-f", "null", "-").CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := run(url); err != nil || out != "" {
		t.Errorf("%v: %s", err, out)
	}
	if sent := s.Stats().Sent; sent < 50 {
		t.Errorf("%d frames sent", sent)
	}
	if out, err := run(strings.Replace(url, code, "87654321", 1)); err == nil || !strings.Contains(out, "401") {
		t.Errorf("%v: %s", err, out)
	}
}
