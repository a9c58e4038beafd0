package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const deliveryColumns = `id, uid, webhook_id, event_id, event, printer_id, site_id, at, body, state, tries, since, next_at, tried_at, ended_at, created_at,
	status, request, response, error, took_ms`

func scanDelivery(r row) (v farm.Delivery, err error) {
	var at, since, next, tried, ended, created, took int64
	var body string
	err = r.Scan(&v.ID, &v.UID, &v.WebhookID, &v.EventID, &v.Event, &v.PrinterID, &v.SiteID, &at, &body, &v.State, &v.Tries, &since, &next, &tried, &ended, &created,
		&v.Last.Status, &v.Last.Request, &v.Last.Response, &v.Last.Error, &took)
	v.At, v.Since, v.NextAt, v.TriedAt, v.EndedAt, v.CreatedAt = when(at), when(since), when(next), when(tried), when(ended), when(created)
	v.Body, v.Last.Took = []byte(body), time.Duration(took)*time.Millisecond
	return v, err
}

// AddDeliveries moves a follower's cursor on from where it was, and puts down what
// there is to deliver of the events in between, all or nothing. It tells false when
// the cursor stands elsewhere: another hub has been there.
func (d *DB) AddDeliveries(ctx context.Context, cursor string, from, to int64, all []farm.Delivery) (moved bool, err error) {
	err = d.change(ctx, func(t *tx) error {
		const first = `INSERT INTO cursors (name, event_id) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING`
		if _, err := t.ExecContext(ctx, first, cursor); err != nil {
			return err
		}
		const move = `UPDATE cursors SET event_id = $1 WHERE name = $2 AND event_id = $3`
		if moved, err = changed(t.ExecContext(ctx, move, to, cursor, from)); err != nil || !moved {
			return err
		}
		for _, v := range all {
			if err := t.addDelivery(ctx, v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("put down %d deliveries: %w", len(all), err)
	}
	return moved, nil
}

// addDelivery puts down a delivery, unless there is one of that event, or the webhook
// is gone or disabled by now, or its owner is.
func (t *tx) addDelivery(ctx context.Context, v farm.Delivery) error {
	// The row is held, or one that is disabled right now would keep what it gives up.
	q := `INSERT INTO deliveries (uid, webhook_id, event_id, event, printer_id, site_id, at, body, line, state, tries, since, next_at,
			claim, claimed_to, tried_at, ended_at, created_at, status, request, response, error, took_ms)
		SELECT CAST($1 AS TEXT), id, CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT),
			CAST($8 AS TEXT), CAST($5 AS BIGINT), 'pending', 0, CAST($9 AS BIGINT), CAST($9 AS BIGINT), '', 0, 0, 0, CAST($9 AS BIGINT), 0, '', '', '', 0
		FROM webhooks WHERE id = $2 AND enabled AND NOT EXISTS (SELECT 1 FROM users WHERE users.id = owner_id AND disabled)` + t.lock() + ` ON CONFLICT (event_id, webhook_id) DO NOTHING`
	_, err := t.ExecContext(ctx, q, v.UID, v.WebhookID, v.EventID, v.Event, v.PrinterID, v.SiteID, ms(v.At), string(v.Body), ms(v.CreatedAt))
	return err
}

// WaitingWebhooks lists the webhooks with pending deliveries.
func (d *DB) WaitingWebhooks(ctx context.Context) ([]int64, error) {
	const q = `SELECT id FROM webhooks w WHERE enabled AND EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = w.id AND state = 'pending') ORDER BY id`
	out, err := list(ctx, d.read, scanID, q)
	if err != nil {
		return nil, fmt.Errorf("list the webhooks with something to deliver: %w", err)
	}
	return out, nil
}

func scanID(r row) (id int64, err error) {
	err = r.Scan(&id)
	return id, err
}

// DeliveryHeads gives the first pending delivery of each line of a webhook, and when
// it may be tried next; one that is claimed not before its claim ends. It steps from
// line to line by the index, however many wait behind the heads.
func (d *DB) DeliveryHeads(ctx context.Context, webhookID int64) ([]farm.DeliveryHead, error) {
	const first = `(SELECT id FROM deliveries WHERE webhook_id = $1 AND state = 'pending' `
	const q = `WITH RECURSIVE heads (id) AS (
			SELECT ` + first + `ORDER BY line, id LIMIT 1)
			UNION ALL
			SELECT ` + first + `AND line > (SELECT line FROM deliveries WHERE id = heads.id) ORDER BY line, id LIMIT 1) FROM heads WHERE heads.id IS NOT NULL
		)
		SELECT d.id, d.next_at, d.claimed_to FROM heads JOIN deliveries d ON d.id = heads.id`
	out, err := list(ctx, d.read, func(r row) (h farm.DeliveryHead, err error) {
		var next, claimed int64
		err = r.Scan(&h.ID, &next, &claimed)
		h.NextAt = when(max(next, claimed))
		return h, err
	}, q, webhookID)
	if err != nil {
		return nil, fmt.Errorf("read what is to be delivered to webhook %d: %w", webhookID, err)
	}
	return out, nil
}

// ClaimDelivery takes a pending delivery for one try, until a moment, so that no other
// hub tries it meanwhile; false when another one was faster.
func (d *DB) ClaimDelivery(ctx context.Context, id int64, claim string, now, until time.Time) (farm.Delivery, bool, error) {
	const q = `UPDATE deliveries SET claim = $1, claimed_to = $2, tried_at = $3, tries = tries + 1
		WHERE id = $4 AND state = 'pending' AND next_at <= $3 AND claimed_to <= $3 RETURNING ` + deliveryColumns
	v, err := scanDelivery(d.write.QueryRowContext(ctx, q, claim, ms(until), ms(now), id))
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("claim delivery %d: %w", id, err)
	}
	return v, true, nil
}

// ReleaseDelivery gives back a claim whose try was broken off, as if it had not been.
func (d *DB) ReleaseDelivery(ctx context.Context, id int64, claim string) error {
	const q = `UPDATE deliveries SET claim = '', claimed_to = 0, tries = tries - 1 WHERE id = $1 AND claim = $2`
	if _, err := d.write.ExecContext(ctx, q, id, claim); err != nil {
		return fmt.Errorf("give back delivery %d: %w", id, err)
	}
	return nil
}

// EndAttempt notes what became of a try. Who has lost his claim meanwhile changes
// nothing. It tells whether the webhook was switched off by it.
func (d *DB) EndAttempt(ctx context.Context, o farm.DeliveryOutcome) (disabled bool, err error) {
	err = d.change(ctx, func(t *tx) error {
		disabled = false
		ok, err := t.endAttempt(ctx, o)
		if err != nil || !ok {
			return err
		}
		disabled, err = t.noteHealth(ctx, o)
		if farm.Is(err, farm.NotFound) {
			return nil // disabled or deleted while it was tried
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("note what became of delivery %d: %w", o.Delivery.ID, err)
	}
	return disabled, nil
}

func (t *tx) endAttempt(ctx context.Context, o farm.DeliveryOutcome) (bool, error) {
	var ended int64
	condition := ``
	if o.State == farm.DeliveryPending {
		condition = ` AND state = 'pending'` // it may have been given up meanwhile
	} else {
		ended = ms(o.At)
	}
	q := `UPDATE deliveries SET state = $1, next_at = $2, ended_at = $3, status = $4, request = $5, response = $6, error = $7, took_ms = $8, claim = '', claimed_to = 0
		WHERE id = $9 AND claim = $10` + condition
	a := o.Attempt
	return changed(t.ExecContext(ctx, q, string(o.State), ms(o.NextAt), ended, a.Status, a.Request, a.Response, a.Error, a.Took.Milliseconds(), o.Delivery.ID, o.Claim))
}

// DropDelivery drops a delivery that its webhook does not want any more.
func (d *DB) DropDelivery(ctx context.Context, id int64, claim string) error {
	if _, err := d.write.ExecContext(ctx, `DELETE FROM deliveries WHERE id = $1 AND claim = $2`, id, claim); err != nil {
		return fmt.Errorf("drop delivery %d: %w", id, err)
	}
	return nil
}

// HastenDeliveries makes all that waits for a webhook due now: its endpoint answers.
func (d *DB) HastenDeliveries(ctx context.Context, webhookID int64, now time.Time) error {
	const q = `UPDATE deliveries SET next_at = $1 WHERE webhook_id = $2 AND state = 'pending' AND next_at > $1`
	if _, err := d.write.ExecContext(ctx, q, ms(now), webhookID); err != nil {
		return fmt.Errorf("hasten the deliveries of webhook %d: %w", webhookID, err)
	}
	return nil
}

// Redeliver makes a delivery that ended pending again, by itself: it waits for no
// other one, and no other one for it. CONFLICT when it is pending.
func (d *DB) Redeliver(ctx context.Context, webhookID, id int64, now time.Time) (farm.Delivery, error) {
	const q = `UPDATE deliveries SET state = 'pending', line = -id, tries = 0, since = $1, next_at = $1, ended_at = 0, claim = '', claimed_to = 0
		WHERE id = $2 AND webhook_id = $3 AND state <> 'pending' RETURNING ` + deliveryColumns
	v, err := scanDelivery(d.write.QueryRowContext(ctx, q, ms(now), id, webhookID))
	if errors.Is(err, sql.ErrNoRows) {
		if v, err = d.Delivery(ctx, webhookID, id); err == nil {
			err = farm.Errorf(farm.Conflict, "delivery %d is on its way already", id)
		}
	}
	return v, err
}

// Delivery gives one delivery of a webhook.
func (d *DB) Delivery(ctx context.Context, webhookID, id int64) (farm.Delivery, error) {
	const q = `SELECT ` + deliveryColumns + ` FROM deliveries WHERE id = $1 AND webhook_id = $2`
	v, err := scanDelivery(d.read.QueryRowContext(ctx, q, id, webhookID))
	return v, notFound(err, "webhook %d has no delivery %d", webhookID, id)
}

// Deliveries gives up to limit deliveries of a webhook with ids below before (0: the
// newest), newest first, after leaving out the first offset, and how many there are in
// all. An empty state means all.
func (d *DB) Deliveries(ctx context.Context, webhookID int64, state farm.DeliveryState, before int64, limit, offset int) (out []farm.Delivery, total int, err error) {
	f := filter{from: `FROM deliveries`}
	f.add(`webhook_id = ?`, webhookID)
	if state != "" {
		f.add(`state = ?`, string(state))
	}
	if err := d.read.QueryRowContext(ctx, `SELECT COUNT(*) `+f.where(), f.args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count the deliveries of webhook %d: %w", webhookID, err)
	}
	if before != 0 {
		f.add(`id < ?`, before)
	}
	q := fmt.Sprintf(`SELECT %s %s ORDER BY id DESC LIMIT $%d OFFSET $%d`, deliveryColumns, f.where(), len(f.args)+1, len(f.args)+2)
	out, err = list(ctx, d.read, scanDelivery, q, append(f.args, limit, offset)...)
	if err != nil {
		return nil, 0, fmt.Errorf("read the deliveries of webhook %d: %w", webhookID, err)
	}
	return out, total, nil
}

// PruneDeliveries drops the deliveries that ended before a moment.
func (d *DB) PruneDeliveries(ctx context.Context, before time.Time) (int64, error) {
	r, err := d.write.ExecContext(ctx, `DELETE FROM deliveries WHERE state <> 'pending' AND ended_at < $1`, ms(before))
	if err != nil {
		return 0, fmt.Errorf("prune deliveries: %w", err)
	}
	return r.RowsAffected()
}
