package store

import (
	"context"
	"fmt"
	"time"
)

// Intend notes that an object may come to be under a key. The later moment counts.
func (d *DB) Intend(ctx context.Context, key string, due time.Time) error {
	return d.change(ctx, func(t *tx) error { return t.intend(ctx, key, due) })
}

func (t *tx) intend(ctx context.Context, key string, due time.Time) error {
	const q = `INSERT INTO object_intents (key, due_at) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET due_at = CASE WHEN excluded.due_at > object_intents.due_at THEN excluded.due_at ELSE object_intents.due_at END`
	if _, err := t.ExecContext(ctx, q, key, ms(due)); err != nil {
		return fmt.Errorf("intend an object: %w", err)
	}
	return nil
}

// A claimed intent stays for a while with the moment of its claim, negative: so a row
// that comes too late for its object is noticed.
const claimsLast = time.Hour

// revive makes claimed intents due again: who claimed them may have died before the
// objects were deleted.
func (t *tx) revive(ctx context.Context) error {
	_, err := t.ExecContext(ctx, `UPDATE object_intents SET due_at = -due_at WHERE due_at < 0`)
	return err
}

// DueIntents gives keys whose objects may be swept.
func (d *DB) DueIntents(ctx context.Context, now time.Time, limit int) ([]string, error) {
	const q = `SELECT key FROM object_intents WHERE due_at > 0 AND due_at <= $1 ORDER BY due_at LIMIT $2`
	out, err := list(ctx, d.read, func(r row) (key string, err error) { return key, r.Scan(&key) }, q, ms(now), limit)
	if err != nil {
		return nil, fmt.Errorf("list the objects to sweep: %w", err)
	}
	return out, nil
}

// ClaimIntent claims a due intent and tells whether the object under its key is to be
// deleted: no row refers to it, and none will before the object is intended anew. Who
// deletes it keeps others from writing it meanwhile.
func (d *DB) ClaimIntent(ctx context.Context, key string, now time.Time) (free bool, err error) {
	err = d.change(ctx, func(t *tx) error {
		free = false
		claimed, err := t.claim(ctx, key, now)
		if err != nil || !claimed {
			return err
		}
		const q = `SELECT NOT EXISTS (SELECT 1 FROM print_files WHERE key = $1 AND key <> '')`
		if err := t.QueryRowContext(ctx, q, key).Scan(&free); err != nil {
			return err
		}
		then := `DELETE FROM objects WHERE key = $1`
		if !free {
			then = `DELETE FROM object_intents WHERE key = $1`
		}
		_, err = t.ExecContext(ctx, then, key)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claim an object to sweep: %w", err)
	}
	return free, nil
}

func (t *tx) claim(ctx context.Context, key string, now time.Time) (bool, error) {
	const old = `DELETE FROM object_intents WHERE due_at < 0 AND due_at > $1`
	if _, err := t.ExecContext(ctx, old, -ms(now.Add(-claimsLast))); err != nil {
		return false, err
	}
	const q = `UPDATE object_intents SET due_at = -CAST($2 AS BIGINT) WHERE key = $1 AND due_at > 0 AND due_at <= $2`
	return changed(t.ExecContext(ctx, q, key, ms(now)))
}
