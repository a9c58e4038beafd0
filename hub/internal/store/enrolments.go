package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const enrolmentColumns = `id, site_id, secret_hash, created_at, expires_at, used_at, COALESCE(agent_id, 0)`

func scanEnrolment(r row) (e farm.Enrolment, err error) {
	var hash string
	var created, expires, used int64
	if err = r.Scan(&e.ID, &e.SiteID, &hash, &created, &expires, &used, &e.AgentID); err != nil {
		return e, err
	}
	e.CreatedAt, e.ExpiresAt, e.UsedAt = when(created), when(expires), when(used)
	_, err = hex.Decode(e.SecretHash[:], []byte(hash))
	return e, err
}

// CreateEnrolment keeps a permission to enrol.
func (d *DB) CreateEnrolment(ctx context.Context, e farm.Enrolment) (farm.Enrolment, error) {
	const q = `INSERT INTO enrolments (site_id, secret_hash, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, 0) RETURNING ` + enrolmentColumns
	out, err := scanEnrolment(d.write.QueryRowContext(ctx, q, e.SiteID, hex.EncodeToString(e.SecretHash[:]), ms(e.CreatedAt), ms(e.ExpiresAt)))
	if err != nil {
		return out, dangling(err, farm.Invalid, "site_id: site %d does not exist", e.SiteID)
	}
	return out, nil
}

// Enrolments gives the permissions that can still be used, newest first.
func (d *DB) Enrolments(ctx context.Context) ([]farm.Enrolment, error) {
	const q = `SELECT ` + enrolmentColumns + ` FROM enrolments WHERE used_at = 0 AND expires_at > $1 ORDER BY id DESC`
	out, err := list(ctx, d.read, scanEnrolment, q, ms(time.Now()))
	if err != nil {
		return nil, fmt.Errorf("list enrolments: %w", err)
	}
	return out, nil
}

// DeleteEnrolment takes a permission back.
func (d *DB) DeleteEnrolment(ctx context.Context, id int64) error {
	ok, err := changed(d.write.ExecContext(ctx, `DELETE FROM enrolments WHERE id = $1 AND used_at = 0`, id))
	if err == nil && !ok {
		return farm.Errorf(farm.NotFound, "enrolment token %d does not exist or has been used", id)
	}
	return err
}

// RedeemEnrolment uses up a permission by the hash of its secret and makes the
// agent, which adopts printers that have none: all of them when it is the first
// agent of the hub, those of its site otherwise. Its UNAUTHORIZED is a sentence
// for the person who enrols.
func (d *DB) RedeemEnrolment(ctx context.Context, secretHash [32]byte, a farm.Agent) (out farm.Agent, err error) {
	hash, now := hex.EncodeToString(secretHash[:]), ms(time.Now())
	err = d.change(ctx, func(t *tx) error {
		// The update locks the row, so of two who come with one token one waits and is then refused.
		const use = `UPDATE enrolments SET used_at = $1 WHERE secret_hash = $2 AND used_at = 0 AND expires_at > $1 RETURNING id, site_id`
		var enrolment int64
		if err := t.QueryRowContext(ctx, use, now, hash).Scan(&enrolment, &a.SiteID); err != nil {
			return notUsable(ctx, t, hash, err)
		}
		const insert = `INSERT INTO agents (uid, site_id, name, public_key, version, platform, revision, revoked, created_at, last_seen)
			VALUES ($1, $2, $3, $4, $5, $6, 1, FALSE, $7, 0) RETURNING ` + agentColumns
		key := base64.StdEncoding.EncodeToString(a.PublicKey)
		if out, err = scanAgent(t.QueryRowContext(ctx, insert, a.UID, a.SiteID, a.Name, key, a.Version, a.Platform, now)); err != nil {
			return fmt.Errorf("insert agent: %w", err)
		}
		if _, err := t.ExecContext(ctx, `UPDATE enrolments SET agent_id = $1 WHERE id = $2`, out.ID, enrolment); err != nil {
			return err
		}
		t.tell(agentEvent(farm.EventAgentEnrolled, out))
		return t.adopt(ctx, out)
	})
	return out, err
}

// notUsable says why no row could be used, unless the database itself failed.
func notUsable(ctx context.Context, t *tx, hash string, err error) error {
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var used int64
	err = t.QueryRowContext(ctx, `SELECT used_at FROM enrolments WHERE secret_hash = $1`, hash).Scan(&used)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return farm.Errorf(farm.Unauthorized, "this hub does not know this enrolment token: make a new one")
	case err != nil:
		return err
	case used != 0:
		return farm.Errorf(farm.Unauthorized, "this enrolment token has been used already: make a new one")
	}
	return farm.Errorf(farm.Unauthorized, "this enrolment token has expired: make a new one")
}

func (t *tx) adopt(ctx context.Context, a farm.Agent) error {
	var others int64
	if err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM agents WHERE id <> $1`, a.ID).Scan(&others); err != nil {
		return err
	}
	// Taken and read in one statement: of two agents that come at once the second
	// waits here, and then finds the printers taken.
	const q = `UPDATE printers SET agent_id = $1, site_id = $2 WHERE agent_id IS NULL AND ($3 OR site_id = $2) RETURNING ` + printerColumns
	adopted, err := list(ctx, t, scanPrinter, q, a.ID, a.SiteID, others == 0)
	if err != nil {
		return fmt.Errorf("adopt printers without an agent: %w", err)
	}
	if len(adopted) == 0 {
		return nil
	}
	if _, err := t.raise(ctx, a.ID); err != nil {
		return err
	}
	for _, p := range adopted {
		if err := t.assign(ctx, &p); err != nil {
			return err
		}
	}
	return nil
}
