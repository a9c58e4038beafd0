package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const sessionColumns = `id, user_id, hash, created_at, seen_at, address, agent`

func scanSession(r row) (s farm.Session, err error) {
	var hash string
	var created, seen int64
	if err = r.Scan(&s.ID, &s.UserID, &hash, &created, &seen, &s.Address, &s.Agent); err != nil {
		return s, err
	}
	s.CreatedAt, s.SeenAt = when(created), when(seen)
	_, err = hex.Decode(s.Hash[:], []byte(hash))
	return s, err
}

// maxSessions is how many sessions of a person are kept; with another one the oldest
// ends.
const maxSessions = 50

// CreateSession keeps a session and notes the sign-in with its person. Whoever was
// disabled, removed or given another password a moment ago gets none: NOT_FOUND.
func (d *DB) CreateSession(ctx context.Context, s farm.Session, password farm.Secret) (out farm.Session, err error) {
	err = d.change(ctx, func(t *tx) error {
		ok, err := changed(t.ExecContext(ctx, `UPDATE users SET seen_at = $1 WHERE id = $2 AND NOT disabled AND password = $3`, ms(s.CreatedAt), s.UserID, password.Reveal()))
		if err == nil && !ok {
			return farm.Errorf(farm.NotFound, "user %d does not exist, is disabled or has another password", s.UserID)
		}
		if err != nil {
			return err
		}
		const q = `INSERT INTO sessions (user_id, hash, created_at, seen_at, address, agent) VALUES ($1, $2, $3, $3, $4, $5) RETURNING ` + sessionColumns
		const enough = `DELETE FROM sessions WHERE user_id = $1 AND id NOT IN (SELECT id FROM sessions WHERE user_id = $1 ORDER BY id DESC LIMIT $2)`
		if _, err := t.ExecContext(ctx, enough, s.UserID, maxSessions-1); err != nil {
			return err
		}
		out, err = scanSession(t.QueryRowContext(ctx, q, s.UserID, hex.EncodeToString(s.Hash[:]), ms(s.CreatedAt), s.Address, s.Agent))
		return err
	})
	if err != nil {
		return out, fmt.Errorf("keep a session of user %d: %w", s.UserID, err)
	}
	return out, nil
}

// SessionByHash finds a session by the SHA-256 of its token.
func (d *DB) SessionByHash(ctx context.Context, hash [32]byte) (farm.Session, error) {
	s, err := scanSession(d.read.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE hash = $1`, hex.EncodeToString(hash[:])))
	return s, notFound(err, "no such session")
}

// Session gives one session of a person.
func (d *DB) Session(ctx context.Context, userID, id int64) (farm.Session, error) {
	s, err := scanSession(d.read.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE id = $1 AND user_id = $2`, id, userID))
	return s, notFound(err, "there is no session %d", id)
}

// Sessions gives the sessions of a person, the newest first.
func (d *DB) Sessions(ctx context.Context, userID int64) ([]farm.Session, error) {
	out, err := list(ctx, d.read, scanSession, `SELECT `+sessionColumns+` FROM sessions WHERE user_id = $1 ORDER BY id DESC`, userID)
	if err != nil {
		return nil, fmt.Errorf("list the sessions of user %d: %w", userID, err)
	}
	return out, nil
}

// DeleteSession ends a session of a person.
func (d *DB) DeleteSession(ctx context.Context, userID, id int64) error {
	ok, err := changed(d.write.ExecContext(ctx, `DELETE FROM sessions WHERE id = $1 AND user_id = $2`, id, userID))
	if err == nil && !ok {
		return farm.Errorf(farm.NotFound, "there is no session %d", id)
	}
	return err
}

// TouchSessions notes when sessions were last used, in one transaction.
func (d *DB) TouchSessions(ctx context.Context, used map[int64]time.Time) error {
	if err := d.touch(ctx, `UPDATE sessions SET seen_at = $1 WHERE id = $2 AND seen_at < $1`, used); err != nil {
		return fmt.Errorf("note the use of %d sessions: %w", len(used), err)
	}
	return nil
}

// PruneSessions drops sessions that began, or were last used, before a moment.
func (d *DB) PruneSessions(ctx context.Context, begunBefore, usedBefore time.Time) error {
	const q = `DELETE FROM sessions WHERE created_at < $1 OR seen_at < $2`
	if _, err := d.write.ExecContext(ctx, q, ms(begunBefore), ms(usedBefore)); err != nil {
		return fmt.Errorf("prune sessions: %w", err)
	}
	return nil
}
