package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"bambuddy/shared/farm"
)

const keyColumns = `id, owner_id, name, prefix, hash, permissions, printers, sites, limits, created_at, expires_at, last_used_at`

func scanKey(r row) (k farm.APIKey, err error) {
	var hash, permissions, limits string
	var printers, sites sql.NullString
	var owner sql.NullInt64
	var created, expires, used int64
	err = r.Scan(&k.ID, &owner, &k.Name, &k.Prefix, &hash, &permissions, &printers, &sites, &limits, &created, &expires, &used)
	if err != nil {
		return k, err
	}
	k.OwnerID = owner.Int64
	k.CreatedAt, k.ExpiresAt, k.LastUsedAt = when(created), when(expires), when(used)
	if k.Printers, err = allowed(printers); err != nil {
		return k, err
	}
	if k.Sites, err = allowed(sites); err != nil {
		return k, err
	}
	if _, err = hex.Decode(k.Hash[:], []byte(hash)); err != nil {
		return k, err
	}
	if err = parse(permissions, &k.Permissions); err != nil {
		return k, err
	}
	err = parse(limits, &k.Limits)
	return k, err
}

// allowed reads an allow-list: NULL is all, an empty list is none, and the two
// must never be mixed up.
func allowed(s sql.NullString) ([]int64, error) {
	if !s.Valid {
		return nil, nil
	}
	out := []int64{}
	err := parse(s.String, &out)
	return out, err
}

func allowList(ids []int64) sql.NullString {
	if ids == nil {
		return sql.NullString{}
	}
	return sql.NullString{String: text(ids), Valid: true}
}

// orNone stores a reference to nothing.
func orNone(id int64) sql.NullInt64 { return sql.NullInt64{Int64: id, Valid: id != 0} }

// CreateKey keeps a key, which its hash identifies.
func (d *DB) CreateKey(ctx context.Context, k farm.APIKey) (farm.APIKey, error) {
	const q = `INSERT INTO api_keys (name, prefix, hash, permissions, printers, sites, limits, created_at, expires_at, last_used_at, owner_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10) RETURNING ` + keyColumns
	out, err := scanKey(d.write.QueryRowContext(ctx, q, k.Name, k.Prefix, hex.EncodeToString(k.Hash[:]), text(k.Permissions),
		allowList(k.Printers), allowList(k.Sites), text(k.Limits), ms(k.CreatedAt), ms(k.ExpiresAt), orNone(k.OwnerID)))
	if err != nil {
		err = dangling(err, farm.NotFound, "user %d does not exist", k.OwnerID)
		return out, fmt.Errorf("keep API key %q: %w", k.Name, err)
	}
	return out, nil
}

// Keys gives all keys by id.
func (d *DB) Keys(ctx context.Context) ([]farm.APIKey, error) {
	out, err := list(ctx, d.read, scanKey, `SELECT `+keyColumns+` FROM api_keys ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return out, nil
}

// Key gives one key.
func (d *DB) Key(ctx context.Context, id int64) (farm.APIKey, error) {
	k, err := scanKey(d.read.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE id = $1`, id))
	return k, notFound(err, "API key %d does not exist", id)
}

// KeyByHash finds a key by the SHA-256 of it.
func (d *DB) KeyByHash(ctx context.Context, hash [32]byte) (farm.APIKey, error) {
	k, err := scanKey(d.read.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE hash = $1`, hex.EncodeToString(hash[:])))
	return k, notFound(err, "no such API key")
}

// UpdateKey writes what may change of a key: all but the key and its times of
// making and use.
func (d *DB) UpdateKey(ctx context.Context, k farm.APIKey) error {
	const q = `UPDATE api_keys SET name = $1, permissions = $2, printers = $3, sites = $4, limits = $5, expires_at = $6 WHERE id = $7`
	ok, err := changed(d.write.ExecContext(ctx, q, k.Name, text(k.Permissions), allowList(k.Printers), allowList(k.Sites),
		text(k.Limits), ms(k.ExpiresAt), k.ID))
	if err == nil && !ok {
		return farm.Errorf(farm.NotFound, "API key %d does not exist", k.ID)
	}
	return err
}

// ReplaceKey gives a key another secret; the one before ends.
func (d *DB) ReplaceKey(ctx context.Context, id int64, prefix string, hash [32]byte) (farm.APIKey, error) {
	const q = `UPDATE api_keys SET prefix = $1, hash = $2 WHERE id = $3 RETURNING ` + keyColumns
	k, err := scanKey(d.write.QueryRowContext(ctx, q, prefix, hex.EncodeToString(hash[:]), id))
	return k, notFound(err, "API key %d does not exist", id)
}

// DeleteKey ends a key.
func (d *DB) DeleteKey(ctx context.Context, id int64) error {
	ok, err := changed(d.write.ExecContext(ctx, `DELETE FROM api_keys WHERE id = $1`, id))
	if err == nil && !ok {
		return farm.Errorf(farm.NotFound, "API key %d does not exist", id)
	}
	return err
}

// TouchKeys notes when keys were last used, in one transaction.
func (d *DB) TouchKeys(ctx context.Context, used map[int64]time.Time) error {
	if err := d.touch(ctx, `UPDATE api_keys SET last_used_at = $1 WHERE id = $2 AND last_used_at < $1`, used); err != nil {
		return fmt.Errorf("note the use of %d API keys: %w", len(used), err)
	}
	return nil
}

// touch runs a statement for each id with its time.
func (d *DB) touch(ctx context.Context, q string, used map[int64]time.Time) error {
	return d.change(ctx, func(t *tx) error {
		for _, id := range slices.Sorted(maps.Keys(used)) { // in one order, so that two hubs never wait for each other
			if _, err := t.ExecContext(ctx, q, ms(used[id]), id); err != nil {
				return err
			}
		}
		return nil
	})
}
