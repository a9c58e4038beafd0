package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

func TestUpload(t *testing.T) {
	r := newRig(t, nil)
	defer func() { _ = r.db.Close() }()
	model := sliced("Gehäuse", 1000)
	p, err := r.archive.Upload(t.Context(), Upload{SiteID: 1, Filename: `..\..\a:b.gcode.3mf`, Body: bytes.NewReader(model)})
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case p.Kind != farm.KindFile || p.Status != farm.StatusUploaded || p.FileStatus != farm.FileStored || p.SiteID != 1 || p.PrinterID != 0:
		t.Errorf("%+v", p)
	case p.Name != "Gehäuse" || p.Filename != ".._.._a_b.gcode.3mf" || p.FilamentType != "PETG" || p.FilamentUsed != nil || *p.EstimateGrams != 20:
		t.Errorf("%+v", p)
	}
	if _, data := r.file(p.ID, farm.RoleModel); !bytes.Equal(data, model) {
		t.Error("other bytes are stored")
	}
	r.file(p.ID, farm.RoleThumbnail)
	plates, err := r.archive.Plates(t.Context(), p.ID)
	if err != nil || len(plates) != 1 || plates[0].TotalLayers != 100 {
		t.Errorf("%+v, %v", plates, err)
	}
	again, err := r.archive.Upload(t.Context(), Upload{SiteID: 1, Filename: "other.3mf", Body: bytes.NewReader(model)})
	if err != nil || again.Duplicate != p.ID || again.Filename != "other.3mf" || len(r.keys("models/")) != 1 {
		t.Errorf("%+v, %v, %q", again, err, r.keys("models/"))
	}
	r.file(again.ID, farm.RoleModel)
}

// What cannot be taken leaves nothing behind: no archive, no object, no file.
func TestUploadsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		body   io.Reader
		broken func(op, key string) error
		code   farm.Code
		says   string
	}{
		"empty":      {strings.NewReader(""), nil, farm.Invalid, "file: it is empty"},
		"no 3MF":     {strings.NewReader("hello"), nil, farm.Invalid, "file: "},
		"cut":        {bytes.NewReader(sliced("x", 100)[:700]), nil, farm.Invalid, "file: "},
		"too large":  {bytes.NewReader(make([]byte, 50_001)), nil, farm.TooLarge, "50000"},
		"broken off": {io.MultiReader(strings.NewReader("PK"), failingReader{}), nil, farm.Invalid, "broke off after 2 bytes"},
		"slow":       {io.MultiReader(strings.NewReader("PK"), slowReader{}), nil, farm.RequestTimeout, "after 2 bytes"},
		"store away": {bytes.NewReader(sliced("x", 100)), func(op, _ string) error { return errWhen(op == "put", blob.ErrAway) }, farm.Unavailable, "store is away"},
		"no project": {bytes.NewReader(sliced("x", 100)), nil, farm.NotFound, "project_id"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.MaxUpload = 50_000 })
			defer func() { _ = r.db.Close() }()
			r.objects.Break(c.broken)
			u := Upload{SiteID: 1, Filename: "x.3mf", Body: c.body}
			if name == "no project" {
				u.ProjectID = 7
			}
			if _, err := r.archive.Upload(t.Context(), u); !farm.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			r.objects.Break(nil)
			page, err := r.db.Prints(t.Context(), farm.PrintQuery{Limit: 10})
			if err != nil || page.Total != 0 || len(page.Prints) != 0 {
				t.Errorf("%+v, %v", page, err)
			}
			if staged, _ := os.ReadDir(filepath.Join(r.dir, "staging")); len(staged) != 0 {
				t.Errorf("staging holds %v", staged)
			}
		})
	}
}

func errWhen(holds bool, err error) error {
	if holds {
		return err
	}
	return nil
}

type slowReader struct{}

func (slowReader) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// A disk that is full is the hub's trouble and not the sender's.
func TestAFullDisk(t *testing.T) {
	file, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs /dev/full")
	}
	defer func() { _ = file.Close() }()
	r := newRig(t, nil)
	defer func() { _ = r.db.Close() }()
	if _, _, err := r.archive.receive(file, strings.NewReader("PK")); !farm.Is(err, farm.Unavailable) {
		t.Errorf("%v", err)
	}
}

// Many who upload the same at once share one object.
func TestUploadsOfTheSameAtOnce(t *testing.T) {
	r := newRig(t, nil)
	defer func() { _ = r.db.Close() }()
	model := sliced("x", 50_000)
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			p, err := r.archive.Upload(t.Context(), Upload{SiteID: 1, Filename: "x.3mf", Body: bytes.NewReader(model)})
			if err == nil && p.FileStatus != farm.FileStored {
				err = errors.New(string(p.FileStatus))
			}
			errs[i] = err
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil || len(r.keys("models/")) != 1 {
		t.Errorf("%v, %q", err, r.keys("models/"))
	}
	if due, err := r.db.StoredBytes(t.Context()); err != nil || due < int64(len(model)) || due > int64(len(model))*2 {
		t.Errorf("%d bytes, %v", due, err)
	}
}

// A large upload takes hardly more memory than a small one.
func TestALargeUploadTakesLittleMemory(t *testing.T) {
	if used := uploadOf(t, 40<<20); used > 16<<20 {
		t.Errorf("it took %d MB", used>>20)
	}
}

func BenchmarkUpload(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(float64(uploadOf(b, 200<<20))/(1<<20), "MB-peak")
	}
	b.SetBytes(200 << 20)
}

// uploadOf is how much memory an upload of a size takes at most.
func uploadOf(t testing.TB, size int) (used uint64) {
	t.Helper()
	r := newRig(t, func(o *Options) {
		files, err := blob.NewFiles(filepath.Join(filepath.Dir(o.Dir), "objects"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = files.Close() })
		o.Objects = files
	})
	defer func() { _ = r.db.Close() }()
	path := filepath.Join(t.TempDir(), "large.3mf")
	if err := os.WriteFile(path, sliced("large", size), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var p farm.Print
	used = peak(func() {
		p, err = r.archive.Upload(t.Context(), Upload{SiteID: 1, Filename: "large.3mf", Body: io.LimitReader(file, 1<<40)})
	})
	if err != nil || p.FileSize < int64(size)*9/10 {
		t.Fatalf("%v, %+v", err, p)
	}
	return used
}
