package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const s3Columns = `id, owner_id, access_key, name, sites, created_at, last_used_at`

func scanS3Credential(r row) (farm.S3Credential, error) {
	c, _, err := readS3Credential(r, false)
	return c, err
}

// readS3Credential reads a row, with its sealed secret behind the other columns or
// without.
func readS3Credential(r row, withSecret bool) (c farm.S3Credential, sealed []byte, err error) {
	var sites sql.NullString
	var owner sql.NullInt64
	var created, used int64
	var secret string
	into := []any{&c.ID, &owner, &c.AccessKey, &c.Name, &sites, &created, &used}
	if withSecret {
		into = append(into, &secret)
	}
	if err = r.Scan(into...); err != nil {
		return c, nil, err
	}
	c.OwnerID = owner.Int64
	c.CreatedAt, c.LastUsedAt = when(created), when(used)
	if c.Sites, err = allowed(sites); err != nil {
		return c, nil, err
	}
	sealed, err = base64.StdEncoding.DecodeString(secret)
	return c, sealed, err
}

// CreateS3Credential keeps a credential with its sealed secret; CONFLICT when its
// access key is taken.
func (d *DB) CreateS3Credential(ctx context.Context, c farm.S3Credential, sealed []byte) (farm.S3Credential, error) {
	const q = `INSERT INTO s3_credentials (access_key, name, secret, sites, created_at, last_used_at, owner_id)
		VALUES ($1, $2, $3, $4, $5, 0, $6) RETURNING ` + s3Columns
	out, err := scanS3Credential(d.write.QueryRowContext(ctx, q, c.AccessKey, c.Name, base64.StdEncoding.EncodeToString(sealed),
		allowList(c.Sites), ms(c.CreatedAt), orNone(c.OwnerID)))
	if err != nil {
		return out, fmt.Errorf("keep S3 credential %q: %w", c.Name, taken(err, "there is already an S3 credential %s", c.AccessKey))
	}
	return out, nil
}

// S3Credentials gives all credentials by id.
func (d *DB) S3Credentials(ctx context.Context) ([]farm.S3Credential, error) {
	out, err := list(ctx, d.read, scanS3Credential, `SELECT `+s3Columns+` FROM s3_credentials ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list S3 credentials: %w", err)
	}
	return out, nil
}

// S3Credential finds a credential by its access key, with its sealed secret.
func (d *DB) S3Credential(ctx context.Context, accessKey string) (farm.S3Credential, []byte, error) {
	const q = `SELECT ` + s3Columns + `, secret FROM s3_credentials WHERE access_key = $1`
	c, sealed, err := readS3Credential(d.read.QueryRowContext(ctx, q, accessKey), true)
	return c, sealed, notFound(err, "there is no such S3 credential")
}

// DeleteS3Credential ends a credential.
func (d *DB) DeleteS3Credential(ctx context.Context, id int64) error {
	ok, err := changed(d.write.ExecContext(ctx, `DELETE FROM s3_credentials WHERE id = $1`, id))
	if err == nil && !ok {
		return farm.Errorf(farm.NotFound, "there is no S3 credential %d", id)
	}
	return err
}

// TouchS3Credential notes when a credential was used.
func (d *DB) TouchS3Credential(ctx context.Context, id int64, at time.Time) error {
	const q = `UPDATE s3_credentials SET last_used_at = $1 WHERE id = $2 AND last_used_at < $1`
	if _, err := d.write.ExecContext(ctx, q, ms(at), id); err != nil {
		return fmt.Errorf("note the use of S3 credential %d: %w", id, err)
	}
	return nil
}
