package prints

import (
	"strings"
	"testing"
	"unicode/utf8"

	"bambuddy/shared/wire"
)

func TestTextsThatNoDatabaseTakes(t *testing.T) {
	r := newRig(t)
	odd := rec(wire.PrintStarted, "r\x001", 1, func(p *wire.PrintRecord) {
		p.Name, p.File, p.SubtaskID = "a\x00b\xff"+strings.Repeat("ü", 1000), "x\x00.3mf", strings.Repeat("9", 500)
	})
	odd.Serial = "P\x001"
	r.says(odd)
	p := r.only()
	for _, text := range []string{p.Name, p.Filename, p.Subtask, p.RunID, p.Serial, p.Dir} {
		if strings.Contains(text, "\x00") || !utf8.ValidString(text) || len(text) > maxName {
			t.Errorf("%q", text)
		}
	}
	if p.PrinterID != 1 || p.Filename != "x.3mf" {
		t.Errorf("%+v", p)
	}
}
