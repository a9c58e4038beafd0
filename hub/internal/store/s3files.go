package store

import (
	"context"
	"fmt"

	"bambuddy/shared/farm"
)

const s3FileColumns = `id, print_id, site_id, role, path, key, sha256, size, media_type, stored_at`

func scanS3File(r row) (f farm.PrintFile, err error) {
	var stored int64
	err = r.Scan(&f.ID, &f.PrintID, &f.SiteID, &f.Role, &f.Path, &f.Key, &f.SHA256, &f.Size, &f.MediaType, &stored)
	f.Status, f.StoredAt = farm.FileStored, when(stored)
	return f, err
}

// FilesBetween gives the stored files of a range, in the order of their paths'
// bytes. It walks the index on (site_id, path) from where it is to begin.
func (d *DB) FilesBetween(ctx context.Context, r farm.FileRange) ([]farm.PrintFile, error) {
	q, args := filesQuery(r)
	out, err := list(ctx, d.read, scanS3File, q, args...)
	if err != nil {
		return nil, fmt.Errorf("list files of site %d: %w", r.SiteID, err)
	}
	return out, nil
}

func filesQuery(r farm.FileRange) (q string, args []any) {
	from := ">"
	if r.Inclusive {
		from = ">="
	}
	q = `SELECT ` + s3FileColumns + ` FROM print_files WHERE site_id = $1 AND status = 'stored' AND path ` + from + ` $2`
	args = []any{r.SiteID, r.From, r.Limit}
	if r.Until != "" {
		q += ` AND path < $4`
		args = append(args, r.Until)
	}
	return q + ` ORDER BY path LIMIT $3`, args
}

// FileAt finds a stored file of a site by its path.
func (d *DB) FileAt(ctx context.Context, siteID int64, path string) (farm.PrintFile, error) {
	const q = `SELECT ` + s3FileColumns + ` FROM print_files WHERE site_id = $1 AND path = $2 AND status = 'stored'`
	f, err := scanS3File(d.read.QueryRowContext(ctx, q, siteID, path))
	return f, notFound(err, "there is no such file")
}
