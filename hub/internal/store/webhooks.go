package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const webhookColumns = `id, owner_id, uid, name, url, events, printers, sites, created_by, enabled, disabled_reason, failing_since, failures, since_event, created_at, updated_at`

func scanWebhook(r row) (farm.Webhook, error) {
	w, _, err := readWebhook(r, false)
	return w, err
}

// readWebhook reads a row, with its sealed secret behind the other columns or without.
func readWebhook(r row, withSecret bool) (w farm.Webhook, sealed []byte, err error) {
	var owner sql.NullInt64
	var events, printers, sites sql.NullString
	var failing, created, updated int64
	var secret string
	into := []any{
		&w.ID, &owner, &w.UID, &w.Name, &w.URL, &events, &printers, &sites, &w.CreatedBy, &w.Enabled, &w.DisabledReason, &failing, &w.Failures,
		&w.SinceEvent, &created, &updated,
	}
	if withSecret {
		into = append(into, &secret)
	}
	if err = r.Scan(into...); err != nil {
		return w, nil, err
	}
	w.OwnerID = owner.Int64
	w.FailingSince, w.CreatedAt, w.UpdatedAt = when(failing), when(created), when(updated)
	if events.Valid { // NULL is all, an empty list is none
		w.Events = []string{}
		if err = parse(events.String, &w.Events); err != nil {
			return w, nil, err
		}
	}
	if w.Printers, err = allowed(printers); err != nil {
		return w, nil, err
	}
	if w.Sites, err = allowed(sites); err != nil {
		return w, nil, err
	}
	sealed, err = base64.StdEncoding.DecodeString(secret)
	return w, sealed, err
}

func kindList(kinds []string) sql.NullString {
	if kinds == nil {
		return sql.NullString{}
	}
	return sql.NullString{String: text(kinds), Valid: true}
}

// lastEvent is the id of the newest event, in a query.
const lastEvent = `(SELECT value FROM counters WHERE name = 'events')`

// CreateWebhook keeps a webhook with its sealed secret. Events from now on are its.
func (d *DB) CreateWebhook(ctx context.Context, w farm.Webhook, sealed []byte) (farm.Webhook, error) {
	const q = `INSERT INTO webhooks (uid, name, url, secret, events, printers, sites, created_by, enabled, disabled_reason, failing_since, failures,
			since_event, created_at, updated_at, owner_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, ` + lastEvent + `, $11, $11, $12) RETURNING ` + webhookColumns
	out, err := scanWebhook(d.write.QueryRowContext(ctx, q, w.UID, w.Name, w.URL, base64.StdEncoding.EncodeToString(sealed), kindList(w.Events),
		allowList(w.Printers), allowList(w.Sites), w.CreatedBy, w.Enabled, w.DisabledReason, ms(w.CreatedAt), orNone(w.OwnerID)))
	if err != nil {
		return out, fmt.Errorf("keep webhook %q: %w", w.Name, taken(err, "there is already a webhook %s", w.UID))
	}
	return out, nil
}

// Webhooks gives all webhooks by id.
func (d *DB) Webhooks(ctx context.Context) ([]farm.Webhook, error) {
	out, err := list(ctx, d.read, scanWebhook, `SELECT `+webhookColumns+` FROM webhooks ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return out, nil
}

// Webhook gives one webhook with its sealed secret.
func (d *DB) Webhook(ctx context.Context, id int64) (farm.Webhook, []byte, error) {
	const q = `SELECT ` + webhookColumns + `, secret FROM webhooks WHERE id = $1`
	w, sealed, err := readWebhook(d.read.QueryRowContext(ctx, q, id), true)
	return w, sealed, notFound(err, "there is no webhook %d", id)
}

// UpdateWebhook writes what people may change of a webhook. One that is enabled again
// begins anew: with the events from now on, as if it had never failed. One that is
// disabled gives up what was on its way; its DisabledReason says why. What its
// allow-lists no longer cover is dropped, from its log too. CONFLICT when it has been
// changed since it was read.
func (d *DB) UpdateWebhook(ctx context.Context, w farm.Webhook, now time.Time) (out farm.Webhook, err error) {
	const q = `UPDATE webhooks SET name = $1, url = $2, events = $3, printers = $4, sites = $5,
			since_event = CASE WHEN enabled THEN since_event ELSE ` + lastEvent + ` END,
			failing_since = CASE WHEN enabled THEN failing_since ELSE 0 END,
			failures = CASE WHEN enabled THEN failures ELSE 0 END,
			disabled_reason = CASE WHEN CAST($6 AS BOOLEAN) THEN '' WHEN enabled THEN $7 ELSE disabled_reason END,
			enabled = $6, updated_at = $8
		WHERE id = $9 AND updated_at = $10 RETURNING ` + webhookColumns
	err = d.change(ctx, func(t *tx) error {
		out, err = scanWebhook(t.QueryRowContext(ctx, q, w.Name, w.URL, kindList(w.Events), allowList(w.Printers), allowList(w.Sites),
			w.Enabled, w.DisabledReason, ms(now), w.ID, ms(w.UpdatedAt)))
		if errors.Is(err, sql.ErrNoRows) {
			var there bool
			if err := t.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM webhooks WHERE id = $1)`, w.ID).Scan(&there); err != nil {
				return err
			}
			if there {
				return farm.Errorf(farm.Conflict, "webhook %d was changed a moment ago: look at it and try again", w.ID)
			}
		}
		if err != nil {
			return notFound(err, "there is no webhook %d", w.ID)
		}
		if !out.Enabled {
			if err := t.giveUpDeliveries(ctx, w.ID, now); err != nil {
				return err
			}
		}
		return t.dropUncovered(ctx, out)
	})
	return out, err
}

// giveUpDeliveries ends what was on its way to a webhook that is disabled.
func (t *tx) giveUpDeliveries(ctx context.Context, webhookID int64, now time.Time) error {
	const q = `UPDATE deliveries SET state = 'dead', ended_at = $1, error = 'the webhook was disabled before this was delivered'
		WHERE webhook_id = $2 AND state = 'pending'`
	if _, err := t.ExecContext(ctx, q, ms(now), webhookID); err != nil {
		return fmt.Errorf("give up the deliveries of webhook %d: %w", webhookID, err)
	}
	return nil
}

// dropUncovered drops the deliveries that a webhook would not get any more: who may
// see the webhook may see all that is kept of it.
func (t *tx) dropUncovered(ctx context.Context, w farm.Webhook) error {
	if w.Printers == nil && w.Sites == nil {
		return nil
	}
	const pairs = `SELECT DISTINCT printer_id, site_id FROM deliveries WHERE webhook_id = $1`
	of, err := list(ctx, t, func(r row) (p [2]int64, err error) {
		err = r.Scan(&p[0], &p[1])
		return p, err
	}, pairs, w.ID)
	if err != nil {
		return fmt.Errorf("read what webhook %d was told of: %w", w.ID, err)
	}
	for _, p := range of {
		if w.Covers(p[0], p[1]) {
			continue
		}
		const q = `DELETE FROM deliveries WHERE webhook_id = $1 AND printer_id = $2 AND site_id = $3`
		if _, err := t.ExecContext(ctx, q, w.ID, p[0], p[1]); err != nil {
			return fmt.Errorf("drop deliveries of webhook %d: %w", w.ID, err)
		}
	}
	return nil
}

// SetWebhookSecret gives a webhook another sealed secret.
func (d *DB) SetWebhookSecret(ctx context.Context, id int64, sealed []byte, now time.Time) error {
	const q = `UPDATE webhooks SET secret = $1, updated_at = $2 WHERE id = $3`
	ok, err := changed(d.write.ExecContext(ctx, q, base64.StdEncoding.EncodeToString(sealed), ms(now), id))
	if err == nil && !ok {
		return farm.Errorf(farm.NotFound, "there is no webhook %d", id)
	}
	return err
}

// DeleteWebhook ends a webhook, with all that is kept of its deliveries.
func (d *DB) DeleteWebhook(ctx context.Context, id int64) error {
	ok, err := changed(d.write.ExecContext(ctx, `DELETE FROM webhooks WHERE id = $1`, id))
	if err == nil && !ok {
		return farm.Errorf(farm.NotFound, "there is no webhook %d", id)
	}
	return err
}

// noteHealth notes in a webhook's row how a try went, and switches off one that has
// failed too long; then it is told of.
func (t *tx) noteHealth(ctx context.Context, o farm.DeliveryOutcome) (disabled bool, err error) {
	id := o.Delivery.WebhookID
	if o.State == farm.DeliveryDelivered {
		const q = `UPDATE webhooks SET failing_since = 0, failures = 0 WHERE id = $1 AND failures > 0`
		_, err := t.ExecContext(ctx, q, id)
		return false, err
	}
	const q = `UPDATE webhooks SET failures = failures + 1, failing_since = CASE WHEN failing_since = 0 THEN $1 ELSE failing_since END
		WHERE id = $2 AND enabled RETURNING ` + webhookColumns
	w, err := scanWebhook(t.QueryRowContext(ctx, q, ms(o.At), id))
	if err != nil {
		return false, notFound(err, "webhook %d is disabled or gone", id)
	}
	if w.Failures < minFailures || o.At.Sub(w.FailingSince) < o.DisableAfter {
		return false, nil
	}
	reason := fmt.Sprintf("nothing has got through since %s, for %d tries; the last: %s", w.FailingSince.Format(time.RFC3339), w.Failures, o.Attempt.Error)
	if _, err := t.ExecContext(ctx, `UPDATE webhooks SET enabled = FALSE, disabled_reason = $1, updated_at = $2 WHERE id = $3`, reason, ms(o.At), id); err != nil {
		return false, err
	}
	t.tell(farm.Event{Kind: farm.EventWebhookDisabled, At: o.At, Data: []byte(text(map[string]any{
		"webhook_id": id, "webhook_name": w.Name, "reason": reason,
	}))})
	return true, t.giveUpDeliveries(ctx, id, o.At)
}

// minFailures is how often a webhook must have failed to be switched off, however long
// that took: two slips a week apart are no outage.
const minFailures = 5
