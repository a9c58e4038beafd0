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
	slice := read.Slice(0)
	name := slice.Title
	if name == "" {
		name = farm.Stem(in.name)
	}
	now := time.Now().UTC()
	p := farm.Print{
		Kind: farm.KindFile, Status: farm.StatusUploaded, Source: farm.SourceUpload, SiteID: u.SiteID, ProjectID: u.ProjectID,
		Name: name, Filename: in.name, CreatedAt: now, UpdatedAt: now, FileStatus: farm.FilePending,
		Tags: []string{}, Filaments: []farm.PrintFilament{},
	}
	if err := a.keep(ctx, &p, in, file); err != nil {
		return farm.Print{}, err
	}
	return a.o.Store.Print(ctx, p.ID)
}

// keep stores the content first, so that an archive is only there with its file.
func (a *Archive) keep(ctx context.Context, p *farm.Print, in content, file *os.File) error {
	key, _, err := a.o.Store.Object(ctx, in.sha256)
	stored := err == nil
	if err != nil && !farm.Is(err, farm.NotFound) {
		return err
	}
	if stored {
		_, err := a.o.Objects.Stat(ctx, key)
		stored = err == nil
	}
	if !stored {
		if key, err = a.keyFor(ctx, *p, in); err != nil {
			return err
		}
		if err := a.put(ctx, key, file, in, mediaType(in)); err != nil {
			return err
		}
	} else if err := a.o.Store.Intend(ctx, key, time.Now().Add(intentLasts)); err != nil {
		return err
	}
	if err := a.o.Store.AddFile(ctx, p); err != nil {
		return err
	}
	return a.note(ctx, *p, in, key, a.sliceData(ctx, *p, file, in.size))
}

// receive writes a body into a file and hashes it on the way.
func (a *Archive) receive(file *os.File, body io.Reader) (sum string, size int64, err error) {
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(file, h), io.LimitReader(body, a.o.MaxUpload+1))
	switch {
	case err != nil:
		var known *farm.Error
		if errors.As(err, &known) {
			return "", 0, err
		}
		return "", 0, farm.Wrap(farm.Invalid, err, "file: the upload broke off after %d bytes", size)
	case size > a.o.MaxUpload:
		return "", 0, farm.Errorf(farm.TooLarge, "file: larger than %d bytes", a.o.MaxUpload)
	case size == 0:
		return "", 0, farm.Errorf(farm.Invalid, "file: it is empty")
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// reason is what is wrong with a 3MF, for who sent it.
func reason(err error) string {
	var bad *threemf.Error
	if errors.As(err, &bad) {
		return bad.Reason
	}
	return fmt.Sprint(err)
}
