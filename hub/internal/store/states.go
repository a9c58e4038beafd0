package store

import (
	"context"
	"fmt"

	"bambuddy/shared/farm"
)

// SaveStates remembers the last pictures of printers, in one transaction. A
// printer that is gone by now is left out.
func (d *DB) SaveStates(ctx context.Context, states []farm.PrinterState) error {
	err := d.change(ctx, func(t *tx) error {
		// The casts are for PostgreSQL, which cannot tell the types of a SELECT's parameters.
		const q = `INSERT INTO printer_states (printer_id, connected, seen_at, status)
			SELECT id, CAST($2 AS BOOLEAN), CAST($3 AS BIGINT), CAST($4 AS TEXT) FROM printers WHERE id = $1
			ON CONFLICT (printer_id) DO UPDATE SET connected = excluded.connected, seen_at = excluded.seen_at, status = excluded.status`
		save, err := t.PrepareContext(ctx, q)
		if err != nil {
			return err
		}
		defer func() { _ = save.Close() }()
		for _, s := range states {
			if _, err := save.ExecContext(ctx, s.PrinterID, s.Connected, ms(s.SeenAt), string(s.Status)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save the state of %d printers: %w", len(states), err)
	}
	return nil
}

// States gives the last picture of every printer that has one.
func (d *DB) States(ctx context.Context) ([]farm.PrinterState, error) {
	out, err := list(ctx, d.read, func(r row) (s farm.PrinterState, err error) {
		var seen int64
		var status string
		err = r.Scan(&s.PrinterID, &s.Connected, &seen, &status)
		s.SeenAt, s.Status = when(seen), []byte(status)
		return s, err
	}, `SELECT printer_id, connected, seen_at, status FROM printer_states ORDER BY printer_id`)
	if err != nil {
		return nil, fmt.Errorf("list printer states: %w", err)
	}
	return out, nil
}
