package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Setting reads one setting; false when it was never set.
func (d *DB) Setting(ctx context.Context, key string) (string, bool, error) {
	var v string
	err := d.read.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = $1`, key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read setting %s: %w", key, err)
	}
	return v, true, nil
}

// SetSetting writes one setting.
func (d *DB) SetSetting(ctx context.Context, key, value string) error {
	const q = `INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	if _, err := d.write.ExecContext(ctx, q, key, value); err != nil {
		return fmt.Errorf("write setting %s: %w", key, err)
	}
	return nil
}

// SwapSetting replaces a setting if it still is what it was ("": not there), and tells
// whether it was.
func (d *DB) SwapSetting(ctx context.Context, key, was, value string) (bool, error) {
	q, args := `UPDATE settings SET value = $1 WHERE key = $2 AND value = $3`, []any{value, key, was}
	if was == "" {
		q, args = `INSERT INTO settings (value, key) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, args[:2]
	}
	ok, err := changed(d.write.ExecContext(ctx, q, args...))
	if err != nil {
		return false, fmt.Errorf("swap setting %s: %w", key, err)
	}
	return ok, nil
}

// HasSecrets tells whether anything sealed is stored, so that a lost key is
// noticed before it is replaced.
func (d *DB) HasSecrets(ctx context.Context) (bool, error) {
	var n int64
	const q = `SELECT (SELECT COUNT(*) FROM printer_secrets) + (SELECT COUNT(*) FROM s3_credentials) + (SELECT COUNT(*) FROM webhooks)`
	if err := d.read.QueryRowContext(ctx, q).Scan(&n); err != nil {
		return false, fmt.Errorf("count sealed rows: %w", err)
	}
	return n > 0, nil
}
