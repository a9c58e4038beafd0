package outbox

import (
	"context"
	"database/sql"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// writer writes one change.
type writer struct {
	b      *Outbox
	change Change
	clock  wire.Clock
	next   int64 // number of the last record
	bytes  int64
	told   bool
	full   bool // there is no room for more records
}

func (w *writer) write(ctx context.Context, tx *sql.Tx) error {
	for _, r := range w.change.Records {
		if err := w.record(ctx, tx, r); err != nil {
			return err
		}
	}
	if w.change.Serial != "" && (w.told || w.change.State != nil) {
		if err := w.printer(ctx, tx); err != nil {
			return err
		}
	}
	if w.told {
		if err := setMeta(ctx, tx, "last", w.next); err != nil {
			return err
		}
	}
	for _, t := range w.change.Tasks {
		const q = `INSERT INTO tasks (serial, run_id, role, state, next_ms, tries) VALUES ($1, $2, $3, $4, $5, $6)`
		if _, err := tx.ExecContext(ctx, q, t.Serial, t.RunID, string(t.Role), []byte(t.State), t.NextMS, t.Tries); err != nil {
			return err
		}
	}
	if err := w.endTask(ctx, tx); err != nil {
		return err
	}
	return w.file(ctx, tx)
}

// endTask removes a task. One that is not there has ended before, with a record of its
// own: there is none a second time.
func (w *writer) endTask(ctx context.Context, tx *sql.Tx) error {
	if w.change.EndTask == 0 {
		return nil
	}
	done, err := tx.ExecContext(ctx, `DELETE FROM tasks WHERE id = $1`, w.change.EndTask)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return farm.Errorf(farm.NotFound, "the capture %d has ended before", w.change.EndTask)
}

// record appends one. At the cap of what may wait, one record says that from here on
// nothing is told, until the hub has taken some. The end of a task waits instead.
func (w *writer) record(ctx context.Context, tx *sql.Tx, r wire.OutboxRecord) error {
	w.b.mu.Lock()
	over, told := w.b.unacked+w.bytes >= w.b.o.MaxBytes, w.b.full || w.full
	w.b.mu.Unlock()
	if over {
		if w.change.EndTask != 0 {
			return farm.Errorf(farm.Unavailable, "the agent's journal is full")
		}
		if w.full = true; told {
			return nil
		}
		r = wire.OutboxRecord{Kind: wire.GapKind, Gap: &wire.GapRecord{
			From: w.next + 1, To: w.next + 1, Reason: "the agent's journal is full: what happened from here on is not told",
		}}
	}
	w.next++
	w.told = true
	r.WallMS, r.MonoMS, r.ProcessID = w.clock.WallMS, w.clock.MonoMS, w.clock.ProcessID
	r.Serial, r.Fence = w.change.Serial, w.change.Fence
	return w.insert(ctx, tx, r)
}

// insert writes a record under the number that is next.
func (w *writer) insert(ctx context.Context, tx *sql.Tx, r wire.OutboxRecord) error {
	body, err := encode(r)
	if err != nil {
		return err
	}
	w.bytes += int64(len(body))
	const q = `INSERT INTO records (n, wall_ms, serial, body, crc) VALUES ($1, $2, $3, $4, $5)`
	_, err = tx.ExecContext(ctx, q, w.next, r.WallMS, r.Serial, body, seal(w.next, body))
	return err
}

func (w *writer) printer(ctx context.Context, tx *sql.Tx) error {
	last := w.next
	if !w.told {
		last = w.b.LastOf(w.change.Serial)
	}
	if w.change.State == nil {
		const q = `INSERT INTO printers (serial, state, crc, last) VALUES ($1, X'', $2, $3) ON CONFLICT (serial) DO UPDATE SET last = excluded.last`
		_, err := tx.ExecContext(ctx, q, w.change.Serial, checksum(nil), last)
		return err
	}
	const q = `INSERT INTO printers (serial, state, crc, last) VALUES ($1, $2, $3, $4)
		ON CONFLICT (serial) DO UPDATE SET state = excluded.state, crc = excluded.crc, last = excluded.last`
	_, err := tx.ExecContext(ctx, q, w.change.Serial, []byte(w.change.State), checksum(w.change.State), last)
	return err
}

// file gives a kept file to the print that its record names.
func (w *writer) file(ctx context.Context, tx *sql.Tx) error {
	f := w.change.File
	if f == nil || w.full {
		return nil // a record that is left out refers to nothing
	}
	const q = `INSERT INTO files (sha256, size, made_ms, released_ms) VALUES ($1, $2, $3, 0) ON CONFLICT (sha256) DO UPDATE SET released_ms = 0`
	if _, err := tx.ExecContext(ctx, q, f.SHA256, f.Size, w.clock.WallMS); err != nil {
		return err
	}
	for _, r := range w.change.Records {
		if r.File == nil || r.Kind != wire.FileReady {
			continue
		}
		const ref = `INSERT INTO refs (sha256, ref) VALUES ($1, $2) ON CONFLICT DO NOTHING`
		if _, err := tx.ExecContext(ctx, ref, f.SHA256, wire.RunRef(r.File.RunID)); err != nil {
			return err
		}
	}
	return nil
}

func setMeta(ctx context.Context, tx *sql.Tx, key string, value any) error {
	const q = `INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	_, err := tx.ExecContext(ctx, q, key, value)
	return err
}
