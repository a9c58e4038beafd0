package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
	"bambuddy/shared/threemf"
)

// intentLasts is how long an object may be without a row before it is swept.
const intentLasts = 24 * time.Hour

// content is a file that is to be a print's.
type content struct {
	role   string
	sha256 string
	size   int64
	name   string // as it was called where it came from
}

// attachStored gives a print a model that is stored already, and tells whether it
// is. A model whose object has gone is not.
func (a *Archive) attachStored(ctx context.Context, print farm.Print, in content) (bool, error) {
	if in.role != farm.RoleModel {
		return a.alreadyHas(ctx, print, in.role)
	}
	key, size, err := a.o.Store.Object(ctx, in.sha256)
	if farm.Is(err, farm.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	unlock := a.keys.lock(key)
	defer unlock()
	if there, err := a.holds(ctx, key, size); !there || err != nil {
		return false, err
	}
	if err := a.o.Store.Intend(ctx, key, time.Now().Add(intentLasts)); err != nil { // nobody sweeps it now
		return false, err
	}
	read := &objectReader{ctx: ctx, store: a.o.Objects, key: key, size: size}
	slice, err := a.sliceData(ctx, print, read, size)
	if err = errors.Join(err, read.failed); err != nil {
		return false, err
	}
	return true, a.note(ctx, print, in, key, slice)
}

// holds tells whether the object store has an object, whole.
func (a *Archive) holds(ctx context.Context, key string, size int64) (bool, error) {
	info, err := a.o.Objects.Stat(ctx, key)
	if farm.Is(err, farm.NotFound) {
		return false, nil
	}
	return err == nil && info.Size == size, err
}

// alreadyHas tells whether a print has a file of that role: a restart may come between
// storing it and telling the agent.
func (a *Archive) alreadyHas(ctx context.Context, print farm.Print, role string) (bool, error) {
	files, err := a.o.Store.PrintFiles(ctx, print.ID)
	if err != nil {
		return false, err
	}
	for _, f := range files {
		if f.Role == role && f.Status == farm.FileStored {
			return a.holds(ctx, f.Key, f.Size)
		}
	}
	return false, nil
}

// ingest puts a file, whole and checked, into the object store and notes it.
func (a *Archive) ingest(ctx context.Context, print farm.Print, in content, file *os.File) error {
	var slice *farm.SliceData
	var err error
	switch in.role {
	case farm.RoleThumbnail:
		return a.storePicture(ctx, print, in.role, file, in.size)
	case farm.RoleModel:
		if slice, err = a.sliceData(ctx, print, file, in.size); err != nil {
			return err
		}
	}
	key, err := a.keyFor(ctx, print, in)
	if err != nil {
		return err
	}
	return a.store(ctx, print, in, key, file, slice)
}

// store puts a content into the object store and notes it as a file of a print. Nobody
// writes or sweeps the object in between.
func (a *Archive) store(ctx context.Context, print farm.Print, in content, key string, from io.ReadSeeker, slice *farm.SliceData) error {
	unlock := a.keys.lock(key)
	defer unlock()
	if err := a.put(ctx, key, from, in); err != nil {
		return err
	}
	return a.note(ctx, print, in, key, slice)
}

// put writes an object under an intent. The caller holds its key.
func (a *Archive) put(ctx context.Context, key string, from io.ReadSeeker, in content) error {
	if err := a.o.Store.Intend(ctx, key, time.Now().Add(intentLasts)); err != nil {
		return err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	if _, err := a.o.Objects.Put(ctx, key, from, in.size, blob.PutOptions{ContentType: mediaType(in), SHA256: in.sha256}); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	return nil
}

// note commits that a file is stored.
func (a *Archive) note(ctx context.Context, print farm.Print, in content, key string, slice *farm.SliceData) error {
	f := a.stored(in, key, slice)
	f.PrintID, f.Path = print.ID, print.Dir+"/"+f.Path
	return a.o.Store.StoreFile(ctx, f)
}

// stored is what is noted of a content; its Path is below the print's folder.
func (a *Archive) stored(in content, key string, slice *farm.SliceData) farm.StoredFile {
	return farm.StoredFile{Role: in.role, Path: shown(in), Name: in.name, Key: key, SHA256: in.sha256, Size: in.size, MediaType: mediaType(in), Slice: slice, Prices: a.o.Prices()}
}

// shown is what a file is called in its print's folder.
func shown(in content) string {
	name := farm.FileName(in.role, in.name)
	if in.role == farm.RoleTimelapse && strings.EqualFold(path.Ext(in.name), ".avi") {
		return "timelapse.avi"
	}
	return name
}

// keyFor is where an object is: a model by its content, the rest in its print's folder.
// A model that was stored before keeps its place, also when the store has lost it: so
// it is back for every print of it.
func (a *Archive) keyFor(ctx context.Context, print farm.Print, in content) (string, error) {
	if in.role == farm.RoleModel {
		if key, _, err := a.o.Store.Object(ctx, in.sha256); !farm.Is(err, farm.NotFound) {
			return key, err
		}
		return "models/" + in.sha256 + "/" + farm.SafeName(in.name, 120), nil
	}
	site, err := a.o.Store.Site(ctx, print.SiteID)
	if err != nil {
		return "", err
	}
	return "prints/" + farm.Slug(site.Name, 40) + "/" + print.Dir + "/" + shown(in), nil
}

func mediaType(in content) string {
	switch {
	case in.role == farm.RoleModel:
		return "application/vnd.ms-package.3dmanufacturing-3dmodel+xml"
	case in.role == farm.RoleTimelapse && strings.EqualFold(path.Ext(in.name), ".avi"):
		return "video/x-msvideo"
	case in.role == farm.RoleTimelapse:
		return "video/mp4"
	case in.role == farm.RoleRecord:
		return "application/json"
	default:
		return "image/jpeg"
	}
}

// sliceData reads what the slicer says, and takes the picture of the plate for the
// thumbnail when there is none yet. A file that cannot be read is kept as it is: it
// is what was printed.
func (a *Archive) sliceData(ctx context.Context, print farm.Print, r io.ReaderAt, size int64) (*farm.SliceData, error) {
	f, err := threemf.Open(r, size)
	if err != nil {
		a.log.Warn("a 3MF cannot be read", "archive", print.ID, "err", err)
		return nil, nil
	}
	slice := f.Slice(print.Plate)
	err = a.thumbnailFrom(ctx, print, f, slice.Plate)
	if farm.Is(err, farm.Unavailable) {
		return nil, err
	}
	if err != nil {
		a.log.Warn("an archive has no thumbnail", "archive", print.ID, "err", err)
	}
	return &slice, nil
}

// hashOf reads a file from its beginning.
func hashOf(file io.ReadSeeker) (sum string, size int64, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", 0, fmt.Errorf("rewind: %w", err)
	}
	h := sha256.New()
	if size, err = io.Copy(h, file); err != nil {
		return "", 0, fmt.Errorf("hash: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// objectReader reads a stored object at any place, for who needs a few parts of it.
type objectReader struct {
	ctx   context.Context //nolint:containedctx // io.ReaderAt has none
	store blob.Store
	key   string
	size  int64
	// failed is what the store said when it failed. Who reads a ZIP tells of a damaged
	// one then, which would be wrong to believe.
	failed error
}

// ReadAt is io.ReaderAt's. Unlike others, this one is not for concurrent use.
func (o *objectReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= o.size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), o.size-off)
	n, err := o.read(p[:want], off)
	if err != nil {
		o.failed = err
		return n, err
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (o *objectReader) read(p []byte, off int64) (int, error) {
	body, _, err := o.store.Get(o.ctx, o.key, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }()
	return io.ReadFull(body, p)
}
