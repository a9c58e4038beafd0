package links

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLinesAreBounded(t *testing.T) {
	const limit = 20_000
	long := strings.Repeat("x", limit)
	input := "one\n\n" + long[:limit-1] + "\n" + long + "\ntwo\n" + long + long + "\nthree\nno end"
	for name, r := range map[string]io.Reader{
		"at once":      strings.NewReader(input),
		"byte by byte": iotest.OneByteReader(strings.NewReader(input)),
	} {
		in := newLineReader(r, limit)
		var got []string
		for {
			line, err := in.next()
			if errors.Is(err, errLongLine) {
				got = append(got, "LONG")
				continue
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				break
			}
			if cap(in.line) > 2*limit {
				t.Errorf("%s: holds %d bytes", name, cap(in.line))
			}
			got = append(got, string(line))
		}
		want := []string{"one", "", long[:limit-1], "LONG", "two", "LONG", "three"}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: %d lines, want %d", name, len(got), len(want))
		}
		if cap(in.line) > keptLine {
			t.Errorf("%s: keeps %d bytes", name, cap(in.line))
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("a\nb\n", 3)
	f.Add(strings.Repeat("x", 9000)+"\n", 100)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(1, min(limit, 10_000))
		in := newLineReader(strings.NewReader(s), limit)
		for i := range strings.Split(s, "\n") {
			line, err := in.next()
			switch {
			case errors.Is(err, errLongLine):
			case err != nil:
				if i != strings.Count(s, "\n") {
					t.Errorf("ended at line %d of %q: %v", i, s, err)
				}
				return
			case len(line) >= limit:
				t.Errorf("a line of %d bytes, the limit is %d", len(line), limit)
			}
		}
	})
}
