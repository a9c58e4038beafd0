package store

import (
	"context"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const eventColumns = `id, at, kind, printer_id, agent_id, site_id, data`

func scanEvent(r row) (e farm.Event, err error) {
	var at int64
	var data string
	err = r.Scan(&e.ID, &at, &e.Kind, &e.PrinterID, &e.AgentID, &e.SiteID, &data)
	e.At, e.Data = when(at), []byte(data)
	return e, err
}

func (t *tx) append(ctx context.Context, e *farm.Event) error {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if len(e.Data) == 0 {
		e.Data = []byte("{}")
	}
	const next = `UPDATE counters SET value = value + 1 WHERE name = 'events' RETURNING value`
	if err := t.QueryRowContext(ctx, next).Scan(&e.ID); err != nil {
		return err
	}
	const insert = `INSERT INTO events (` + eventColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	_, err := t.ExecContext(ctx, insert, e.ID, ms(e.At), e.Kind, e.PrinterID, e.AgentID, e.SiteID, string(e.Data))
	return err
}

// AppendEvent appends one event by itself and gives it back with its id. That an
// agent came or went is noted in its row with it.
func (d *DB) AppendEvent(ctx context.Context, e farm.Event) (farm.Event, error) {
	var t *tx
	err := d.change(ctx, func(tx *tx) error {
		t = tx
		t.tell(e)
		return t.notePresence(ctx, e)
	})
	if err != nil {
		return farm.Event{}, err
	}
	return t.events[0], nil
}

// notePresence keeps an agent's row with the last that was told of its coming and
// going. An agent that is gone by now has none to keep.
func (t *tx) notePresence(ctx context.Context, e farm.Event) error {
	if e.Kind != farm.EventAgentOnline && e.Kind != farm.EventAgentOffline {
		return nil
	}
	const q = `UPDATE agents SET online = $1 WHERE id = $2`
	if _, err := t.ExecContext(ctx, q, e.Kind == farm.EventAgentOnline, e.AgentID); err != nil {
		return fmt.Errorf("note %s of agent %d: %w", e.Kind, e.AgentID, err)
	}
	return nil
}

// EventsAfter gives up to limit events with ids above after, in order.
func (d *DB) EventsAfter(ctx context.Context, after int64, limit int) ([]farm.Event, error) {
	const q = `SELECT ` + eventColumns + ` FROM events WHERE id > $1 ORDER BY id LIMIT $2`
	out, err := list(ctx, d.read, scanEvent, q, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read events after %d: %w", after, err)
	}
	return out, nil
}

// EventRange gives the first and the last id that are kept. With none kept,
// first is 0 and last is still the last id ever given.
func (d *DB) EventRange(ctx context.Context) (first, last int64, err error) {
	const q = `SELECT COALESCE((SELECT MIN(id) FROM events), 0), (SELECT value FROM counters WHERE name = 'events')`
	if err := d.read.QueryRowContext(ctx, q).Scan(&first, &last); err != nil {
		return 0, 0, fmt.Errorf("read the range of events: %w", err)
	}
	return first, last, nil
}

// PruneEvents drops the events that happened before a moment.
func (d *DB) PruneEvents(ctx context.Context, before time.Time) (int64, error) {
	r, err := d.write.ExecContext(ctx, `DELETE FROM events WHERE at < $1`, ms(before))
	if err != nil {
		return 0, fmt.Errorf("prune events: %w", err)
	}
	return r.RowsAffected()
}

// Cursor is how far a follower of that name has come; 0 for a new one.
func (d *DB) Cursor(ctx context.Context, name string) (int64, error) {
	var id int64
	err := d.read.QueryRowContext(ctx, `SELECT COALESCE(MAX(event_id), 0) FROM cursors WHERE name = $1`, name).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("read cursor %s: %w", name, err)
	}
	return id, nil
}

// SetCursor notes how far a follower has come. It never goes back.
func (d *DB) SetCursor(ctx context.Context, name string, id int64) error {
	const q = `INSERT INTO cursors (name, event_id) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET event_id = excluded.event_id WHERE cursors.event_id < excluded.event_id`
	if _, err := d.write.ExecContext(ctx, q, name, id); err != nil {
		return fmt.Errorf("write cursor %s: %w", name, err)
	}
	return nil
}
