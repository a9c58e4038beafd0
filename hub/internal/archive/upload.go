package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/threemf"
)

// Upload is a 3MF that somebody sends.
type Upload struct {
	SiteID    int64
	ProjectID int64
	Filename  string
	Body      io.Reader
}

// Upload takes a 3MF in as an archive of its own. It reads the body to the end with
// little memory, whatever its size: TOO_LARGE beyond the limit, Invalid when it is no
// 3MF that we take.
func (a *Archive) Upload(ctx context.Context, u Upload) (farm.Print, error) {
	file, err := os.CreateTemp(a.o.Dir, "upload-*")
	if err != nil {
		return farm.Print{}, farm.Wrap(farm.Unavailable, err, "the hub cannot write into its staging folder")
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	in := content{role: farm.RoleModel, name: farm.SafeName(u.Filename, 200)}
	if in.sha256, in.size, err = a.receive(file, u.Body); err != nil {
		return farm.Print{}, err
	}
	read, err := threemf.Open(file, in.size)
	if err != nil {
		return farm.Print{}, farm.Wrap(farm.Invalid, err, "file: %s", reason(err))
	}
	now := time.Now().UTC()
	p := farm.Print{
		Kind: farm.KindFile, Status: farm.StatusUploaded, Source: farm.SourceUpload, SiteID: u.SiteID, ProjectID: u.ProjectID,
		Name: farm.Stem(in.name), Filename: in.name, CreatedAt: now, UpdatedAt: now, FileStatus: farm.FilePending,
		Tags: []string{}, Filaments: []farm.PrintFilament{},
	}
	slice := read.Slice(0)
	if slice.Title != "" {
		p.Name = slice.Title
	}
	if err := a.keep(ctx, &p, in, file, slice); err != nil {
		return farm.Print{}, err
	}
	if err := a.thumbnailFrom(ctx, p, read, slice.Plate); err != nil {
		a.log.Warn("an archive has no thumbnail", "archive", p.ID, "err", err)
	}
	return a.o.Store.Print(ctx, p.ID)
}

// keep stores the content first, so that an archive is only there with its file.
func (a *Archive) keep(ctx context.Context, p *farm.Print, in content, file *os.File, slice farm.SliceData) error {
	key, err := a.keyFor(ctx, *p, in)
	if err != nil {
		return err
	}
	unlock := a.keys.lock(key)
	defer unlock()
	there, err := a.holds(ctx, key, in.size)
	switch {
	case err != nil:
		return err
	case there: // whoever put it may not need it any more; nobody sweeps it now
		err = a.o.Store.Intend(ctx, key, time.Now().Add(intentLasts))
	default:
		err = a.put(ctx, key, file, in)
	}
	if err != nil {
		return err
	}
	return a.o.Store.AddFile(ctx, p, a.stored(in, key, &slice))
}

// receive writes a body into a file and hashes it on the way.
func (a *Archive) receive(file *os.File, body io.Reader) (sum string, size int64, err error) {
	h := sha256.New()
	disk := &noting{w: file}
	size, err = io.Copy(io.MultiWriter(disk, h), io.LimitReader(body, a.o.MaxUpload+1))
	var known *farm.Error
	switch {
	case disk.failed != nil:
		return "", 0, farm.Wrap(farm.Unavailable, disk.failed, "the hub cannot write into its staging folder")
	case errors.As(err, &known):
		return "", 0, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", 0, farm.Wrap(farm.RequestTimeout, err, "file: nothing more came after %d bytes", size)
	case err != nil:
		return "", 0, farm.Wrap(farm.Invalid, err, "file: the upload broke off after %d bytes", size)
	case size > a.o.MaxUpload:
		return "", 0, farm.Errorf(farm.TooLarge, "file: larger than %d bytes", a.o.MaxUpload)
	case size == 0:
		return "", 0, farm.Errorf(farm.Invalid, "file: it is empty")
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// noting is a writer that remembers whether it was the one that failed.
type noting struct {
	w      io.Writer
	failed error
}

func (n *noting) Write(b []byte) (int, error) {
	wrote, err := n.w.Write(b)
	n.failed = err
	return wrote, err
}

// reason is what is wrong with a 3MF, for who sent it.
func reason(err error) string {
	var bad *threemf.Error
	if errors.As(err, &bad) {
		return bad.Reason
	}
	return fmt.Sprint(err)
}
