package archive

import (
	"context"
	"fmt"
	"io"

	"bambuddy/shared/farm"
	"bambuddy/shared/threemf"
)

// File finds a stored file of a print: FILE_UNAVAILABLE, with the reason, when there
// is none. Of pictures and videos there is one of each role.
func (a *Archive) File(ctx context.Context, printID int64, role string) (farm.PrintFile, error) {
	p, err := a.o.Store.Print(ctx, printID)
	if err != nil {
		return farm.PrintFile{}, err
	}
	files, err := a.o.Store.PrintFiles(ctx, printID)
	if err != nil {
		return farm.PrintFile{}, err
	}
	for _, f := range files {
		if f.Role == role && f.Status == farm.FileStored {
			return f, nil
		}
	}
	return farm.PrintFile{}, farm.Errorf(farm.FileUnavailable, "%s", missing(p, files, role))
}

// missing says why there is no such file.
func missing(p farm.Print, files []farm.PrintFile, role string) string {
	what := map[string]string{farm.RoleModel: "3MF", farm.RoleThumbnail: "thumbnail", farm.RoleFinish: "photo", farm.RoleTimelapse: "timelapse"}[role]
	for _, f := range files {
		if f.Role == role && f.Reason != "" {
			return fmt.Sprintf("archive %d has no %s: %s", p.ID, what, f.Reason)
		}
	}
	if role == farm.RoleModel && p.FileStatus == farm.FilePending {
		return fmt.Sprintf("the 3MF of archive %d has not arrived yet", p.ID)
	}
	return fmt.Sprintf("archive %d has no %s", p.ID, what)
}

// Open gives bytes of a stored file; length -1 means to its end. The caller closes it.
func (a *Archive) Open(ctx context.Context, f farm.PrintFile, offset, length int64) (io.ReadCloser, error) {
	body, _, err := a.o.Objects.Get(ctx, f.Key, offset, length)
	if farm.Is(err, farm.NotFound) {
		a.again(ctx, f)
		return nil, lost(err)
	}
	return body, err
}

func lost(err error) error {
	return farm.Wrap(farm.FileUnavailable, err, "the object store has lost this file")
}

// Plates reads what the slicer says of every plate of a print's 3MF.
func (a *Archive) Plates(ctx context.Context, printID int64) ([]threemf.Plate, error) {
	f, err := a.File(ctx, printID, farm.RoleModel)
	if err != nil {
		return nil, err
	}
	from := &objectReader{ctx: ctx, store: a.o.Objects, key: f.Key, size: f.Size}
	read, err := threemf.Open(from, f.Size)
	switch {
	case farm.Is(from.failed, farm.NotFound):
		a.again(ctx, f)
		return nil, lost(from.failed)
	case from.failed != nil:
		return nil, from.failed
	case err != nil:
		return nil, farm.Wrap(farm.FileUnavailable, err, "the 3MF cannot be read: %s", reason(err))
	}
	return read.Plates(), nil
}
