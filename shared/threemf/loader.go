package threemf

import (
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what is read when a file is opened.
const (
	maxXML      = 16 << 20
	maxJSON     = 4 << 20
	maxPicture  = 16 << 20
	maxHead     = 1 << 20   // of the model, before its geometry
	maxGcodeTop = 128 << 10 // of G-code, for its header
	maxWork     = 64 << 20  // of all parts together

	maxPlates    = 250 // slicers have 36
	maxPlate     = 999 // the highest number
	maxObjects   = 20_000
	maxFilaments = 256
	maxText      = 256 // characters of a name or title
)

// loader fills a File. It gives up when the parts hold more than any real file's.
type loader struct {
	f       *File
	left    int64 // bytes that may still be unpacked
	objects int   // that were kept
}

// plate gives a plate to write to, and makes it when it is new; nil beyond the bounds.
func (l *loader) plate(n int) *Plate {
	i, found := l.f.find(n)
	if !found {
		if n <= 0 || len(l.f.plates) >= maxPlates {
			return nil
		}
		l.f.plates = slices.Insert(l.f.plates, i, Plate{Index: n})
	}
	return &l.f.plates[i]
}

// open opens a member that is read now.
func (l *loader) open(name string, most int64) (*worked, error) {
	r, size, err := l.f.open(name, most)
	if err != nil {
		return nil, err
	}
	return &worked{r, l, size}, nil
}

// worked counts what is unpacked.
type worked struct {
	io.ReadCloser
	l    *loader
	size int64
}

func (w *worked) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if w.l.left -= int64(n); w.l.left < 0 {
		return 0, refuse(Hostile, "its parts hold more than %d bytes", int64(maxWork))
	}
	return n, err
}

// read reads a small member whole; one that is not there is empty.
func (l *loader) read(name string, most int64) ([]byte, error) {
	r, err := l.open(name, most)
	if Is(err, Missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	b := make([]byte, r.size)
	if _, err = io.ReadFull(r, b); err == nil {
		_, err = io.Copy(io.Discard, r) // the end is where its sum is checked
	}
	return b, err
}

// clip makes a text fit to be shown and kept.
func clip(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxText {
		n := 0
		for i := range s {
			if n++; n > maxText {
				return strings.Clone(s[:i]) // not the rest with it
			}
		}
	}
	return s
}

// number reads a number with a point or, as some locales write it, a comma.
func number(s string) float64 {
	v, err := strconv.ParseFloat(strings.Replace(strings.TrimSpace(s), ",", ".", 1), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > 1e9 {
		return 0
	}
	return v
}

func whole(s string) int {
	v, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || v < 0 || v > math.MaxInt32 {
		return 0
	}
	return v
}

// plateNumber is 0 for what is none.
func plateNumber(s string) int {
	if n := whole(s); n <= maxPlate {
		return n
	}
	return 0
}

// numbers reads a list apart by commas, blanks or semicolons.
func numbers(s string) (out []float64) {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == ' ' || r == ';' }) {
		if len(out) < maxFilaments {
			out = append(out, number(word))
		}
	}
	return out
}

// color is #RRGGBB, upper case, of six or eight digits; "" of anything else.
func color(s string) string {
	s = strings.ToUpper(strings.TrimPrefix(strings.TrimSpace(s), "#"))
	if len(s) != 6 && len(s) != 8 || strings.Trim(s, "0123456789ABCDEF") != "" {
		return ""
	}
	return "#" + s[:6]
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func at[T any](list []T, i int) (zero T) {
	if i >= 0 && i < len(list) {
		return list[i]
	}
	return zero
}

func sum(list []float64) (total float64) {
	for _, v := range list {
		total += v
	}
	return total
}
