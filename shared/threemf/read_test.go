package threemf

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

func TestPictures(t *testing.T) {
	f := open(t, pack(t, parts()...))
	for _, c := range []struct {
		plate int
		kind  PictureKind
		want  string // "" for none
	}{
		{2, PlatePicture, "picture 2"},
		{2, SmallPicture, "small 2"},
		{2, PickPicture, "pick 2"},
		{2, NoLight, ""},
		{5, TopPicture, "top 5"},
		{5, PlatePicture, ""},
		{6, PlatePicture, ""},
		{-1, PlatePicture, ""},
		{0, PlatePicture, "picture 2"}, // of the first plate that has one
		{0, TopPicture, "top 5"},
		{0, NoLight, ""},
		{2, "../../slice_info", ""},
	} {
		r, size, err := f.Picture(c.plate, c.kind)
		if c.want == "" {
			if !Is(err, Missing) {
				t.Errorf("%s of plate %d: %v", c.kind, c.plate, err)
			}
			continue
		}
		if got := content(t, r, err); got != c.want || size != int64(len(got)) {
			t.Errorf("%s of plate %d: %q of %d bytes", c.kind, c.plate, got, size)
		}
	}
	cover := open(t, pack(t, part{"3D/3dmodel.model", model}, part{"Auxiliaries/.thumbnails/thumbnail_3mf.png", "cover"}))
	r, _, err := cover.Picture(0, PlatePicture)
	if got := content(t, r, err); got != "cover" {
		t.Errorf("the cover of a project: %q", got)
	}
	large := open(t, packAs(t, zip.Store, but("Metadata/plate_2.png", noise(maxPicture+1))...))
	if _, _, err := large.Picture(2, PlatePicture); !Is(err, Hostile) {
		t.Errorf("a picture of 16 MiB: %v", err)
	}
}

func TestGcode(t *testing.T) {
	sum := fmt.Sprintf("%x", md5.Sum([]byte(gcode)))
	f := open(t, pack(t, but("Metadata/plate_5.gcode.md5", sum+"\n")...))
	r, err := f.Gcode(2)
	if got := content(t, r, err); got != gcode {
		t.Errorf("it is %q", got)
	}
	if got, err := f.GcodeMD5(2); got != "00112233445566778899AABBCCDDEEFF" || err != nil {
		t.Errorf("md5 %q, %v", got, err)
	}
	if got, err := f.GcodeMD5(6); got != "" || err != nil {
		t.Errorf("md5 of nothing: %q, %v", got, err)
	}
	for plate, kind := range map[int]Kind{2: Damaged, 5: "", 6: Missing} {
		if err := f.CheckGcode(t.Context(), plate); kind == "" && err != nil || kind != "" && !Is(err, kind) {
			t.Errorf("plate %d: %v", plate, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.CheckGcode(ctx, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits for it: %v", err)
	}
}

// A byte that changes behind the header is found when the G-code is read.
func TestDamagedGcode(t *testing.T) {
	body := gcode + noise(1<<20)
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		b := packAs(t, method, but("Metadata/plate_2.gcode", body)...)
		b[bytes.Index(b, []byte("Metadata/plate_2.gcode"))+300_000] ^= 1
		f := open(t, b)
		if err := f.CheckGcode(t.Context(), 2); !Is(err, Damaged) {
			t.Errorf("method %d: %v", method, err)
		}
		r, err := f.Gcode(2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); !Is(err, Damaged) {
			t.Errorf("method %d: %v", method, err)
		}
		if n, err := r.Read(make([]byte, 8)); n != 0 || !Is(err, Damaged) {
			t.Errorf("after the error: %d, %v", n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReadingInPieces(t *testing.T) {
	f := open(t, pack(t, parts()...))
	r, err := f.Gcode(2)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for one := make([]byte, 1); err == nil; {
		var n int
		n, err = r.Read(one)
		got.Write(one[:n])
	}
	if n, again := r.Read(nil); got.String() != gcode || !errors.Is(err, io.EOF) || n != 0 || !errors.Is(again, io.EOF) {
		t.Errorf("%q, %v, %v", got.String(), err, again)
	}
	_ = r.Close()
	r, err = f.Gcode(2)
	if err != nil || r.Close() != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("it is read after it was closed")
	}
}

// The failure of what a file is read from is not the file's fault.
func TestTheStoreFails(t *testing.T) {
	away := errors.New("the store is away")
	b := pack(t, but("Metadata/plate_5.gcode", gcode+noise(1<<20))...)
	for n := range int64(1000) {
		r := &broken{ReaderAt: bytes.NewReader(b), err: away}
		r.left.Store(n)
		f, err := Open(r, int64(len(b)))
		if err == nil {
			err = f.CheckGcode(t.Context(), 5)
		}
		if err == nil {
			if n < 5 {
				t.Fatalf("it was read with %d reads", n)
			}
			return
		}
		var known *Error
		if !errors.Is(err, away) || errors.As(err, &known) {
			t.Fatalf("read %d fails: %v", n, err)
		}
	}
	t.Error("it never ends")
}

// A file in an object store is opened with few requests.
func TestFewReads(t *testing.T) {
	all := parts()
	for i := range 1000 {
		all = append(all, part{fmt.Sprintf("Auxiliaries/%d.png", i), "x"})
	}
	b := pack(t, all...)
	r := newWatched(bytes.NewReader(b))
	if _, err := Open(r, int64(len(b))); err != nil {
		t.Fatal(err)
	}
	// The end with the directory, the model, three settings, two plates and a box.
	if r.reads > 9 {
		t.Errorf("%d reads", r.reads)
	}
}

func TestSeveralReadOneFile(t *testing.T) {
	f := open(t, pack(t, parts()...))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := f.CheckGcode(t.Context(), 2); !Is(err, Damaged) { // its sum is another's
				t.Error(err)
			}
			if s := f.Slice(2); s.TotalLayers != 50 || len(f.Plates()) != 3 {
				t.Errorf("%+v", s)
			}
		})
	}
	wg.Wait()
}
