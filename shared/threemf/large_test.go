package threemf

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"testing"
)

// patchwork is a file of which only the pieces that differ are in memory.
type patchwork struct {
	pieces []piece
	size   int64
}

type piece struct {
	from int64
	data []byte
	n    int64 // data is repeated over so many bytes
}

// Write is io.Writer's.
func (w *patchwork) Write(p []byte) (int, error) {
	w.pieces = append(w.pieces, piece{w.size, bytes.Clone(p), int64(len(p))})
	w.size += int64(len(p))
	return len(p), nil
}

// ReadAt is io.ReaderAt's.
func (w *patchwork) ReadAt(p []byte, off int64) (n int, err error) {
	for _, one := range w.pieces {
		for n < len(p) && off >= one.from && off < one.from+one.n {
			at := (off - one.from) % int64(len(one.data))
			m := copy(p[n:], one.data[at:])
			m = int(min(int64(m), one.from+one.n-off))
			n, off = n+m, off+int64(m)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// largeFile has a plate whose G-code has size bytes, stored as it is or packed.
func largeFile(t testing.TB, size int64, method uint16) *patchwork {
	t.Helper()
	var out patchwork
	z := zip.NewWriter(&out)
	sum := md5.New()
	for _, p := range but("Metadata/plate_2.gcode.md5", "") {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p.name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		switch p.name {
		case "Metadata/plate_2.gcode":
			body := []byte(noise(1 << 20))
			both := io.MultiWriter(w, sum)
			for n := int64(0); n < size; n += int64(len(body)) {
				if n == 0 {
					_, err = io.WriteString(both, gcode)
				}
				if err == nil {
					_, err = both.Write(body)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		case "Metadata/plate_2.gcode.md5":
			_, err = fmt.Fprintf(w, "%X", sum.Sum(nil))
		default:
			_, err = io.WriteString(w, p.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

// A large file is opened, and read to its end, with little memory.
func TestALargeFile(t *testing.T) {
	const most = 2 << 20
	file := largeFile(t, 32<<20, zip.Store)
	r := newWatched(file)
	f, err := Open(r, file.size)
	if err != nil {
		t.Fatal(err)
	}
	if s := f.Slice(2); s.TotalLayers != 50 {
		t.Errorf("slice %+v", s)
	}
	if held, all := r.end(); held > most || all > 2*most {
		t.Errorf("to open it: %d KiB held, %d KiB in all", held>>10, all>>10)
	}
	if err := f.CheckGcode(t.Context(), 2); err != nil {
		t.Error(err)
	}
	if held, _ := r.end(); held > most {
		t.Errorf("to read it: %d KiB held", held>>10)
	}
}

// Bytes per operation are all that opening 200 MB allocates.
func BenchmarkOpenAndSlice(b *testing.B) {
	file := largeFile(b, 200_000_000, zip.Store)
	r := newWatched(file)
	if _, err := Open(r, file.size); err != nil {
		b.Fatal(err)
	}
	held, _ := r.end()
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(file, file.size)
		if err != nil {
			b.Fatal(err)
		}
		f.Slice(2)
	}
	b.ReportMetric(float64(held), "held-B")
	b.ReportMetric(float64(r.reads), "reads")
}

func BenchmarkCheckGcode(b *testing.B) {
	file := largeFile(b, 200_000_000, zip.Deflate)
	f, err := Open(file, file.size)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(f.member(gcodePath(2)).size)
	b.ReportAllocs()
	for b.Loop() {
		if err := f.CheckGcode(b.Context(), 2); err != nil {
			b.Fatal(err)
		}
	}
}
