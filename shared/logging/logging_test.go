package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestFormats(t *testing.T) {
	for format, begins := range map[Format]string{Auto: "{", JSON: "{", Text: "time="} { // a buffer is no terminal
		var b bytes.Buffer
		log := New(&b, slog.LevelWarn, format)
		log.Info("quiet")
		log.Warn("loud")
		if got := b.String(); !strings.HasPrefix(got, begins) || strings.Contains(got, "quiet") || !strings.Contains(got, "loud") {
			t.Errorf("%s: %s", format, got)
		}
	}
}
