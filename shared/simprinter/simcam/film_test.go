package simcam

import (
	"bytes"
	"encoding/json"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A film has a title of its own and is otherwise always the same.
func TestFilmTitles(t *testing.T) {
	for name, film := range map[string]func(string) []byte{"mp4": MP4, "avi": AVI} {
		a := film("one")
		if !bytes.Equal(a, film("one")) || bytes.Equal(a, film("two")) || len(a) < 10_000 || len(a) > 100_000 {
			t.Errorf("%s: %d bytes", name, len(a))
		}
	}
	if !bytes.HasPrefix(MP4("x")[4:], []byte("ftyp")) || !bytes.HasPrefix(AVI("x"), []byte("RIFF")) {
		t.Error("the films do not begin as films do")
	}
	if m, err := jpeg.Decode(bytes.NewReader(Still())); err != nil || m.Bounds().Dx() != aviWidth {
		t.Errorf("still picture: %v", err)
	}
}

// Another program finds every frame and nothing to complain of.
func TestFilmsPlay(t *testing.T) {
	probe := tool(t, "ffprobe")
	for name, test := range map[string]struct {
		film   []byte
		codec  string
		frames string
	}{
		"film.mp4": {MP4("a title"), "h264", "100"},
		"film.avi": {AVI("a title"), "mjpeg", "24"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, test.film, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), probe, "-v", "warning", "-count_frames", "-show_streams", "-of", "json", path).CombinedOutput()
		var got struct {
			Streams []struct {
				Codec  string `json:"codec_name"`
				Frames string `json:"nb_read_frames"`
			}
		}
		if err != nil || json.Unmarshal(out, &got) != nil || len(got.Streams) != 1 || got.Streams[0].Codec != test.codec || got.Streams[0].Frames != test.frames {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
