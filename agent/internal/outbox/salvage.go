package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"bambuddy/shared/wire"
)

// maxHoles bounds how many numbers of a damaged journal are tried one by one.
const maxHoles = 20_000

// salvage tells that a journal was damaged, and takes over what can be read of it:
// records that wait, with new numbers in the new epoch, what detectors know, tasks, and
// files. When that does not succeed the new journal goes on without.
func (b *Outbox) salvage(ctx context.Context, path string) error {
	_, err := b.Commit(ctx, Change{Records: []wire.OutboxRecord{{
		Kind: wire.GapKind, Gap: &wire.GapRecord{Reason: "the agent's journal was damaged; what could not be read of it is lost"},
	}}})
	if err != nil {
		return fmt.Errorf("tell of the damaged journal: %w", err)
	}
	if err := b.takeOver(ctx, path); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.log.Error("nothing could be taken over from the damaged journal", "err", err)
	}
	return b.load(ctx)
}

func (b *Outbox) takeOver(ctx context.Context, path string) (err error) {
	// Without writable_schema SQLite reads nothing of a file that is shorter than it says.
	old, err := sql.Open("sqlite", fileURL(path)+"?_pragma=writable_schema(1)&_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	old.SetMaxOpenConns(1)
	r := &rescue{b: b, from: old}
	b.writing.Lock()
	defer b.writing.Unlock()
	if err := b.inTx(ctx, r.all); err != nil {
		return err
	}
	b.log.Warn("taken over from the damaged journal", "records", r.records, "printers", r.printers, "tasks", r.tasks, "files", r.files)
	return nil
}

// rescue copies what can be read.
type rescue struct {
	b                               *Outbox
	from                            *sql.DB
	records, printers, tasks, files int64
}

func (r *rescue) all(ctx context.Context, tx *sql.Tx) error {
	w := &writer{b: r.b, clock: r.b.clock(), next: r.b.Last()}
	if err := r.copyRecords(ctx, tx, w); err != nil {
		return err
	}
	if err := errors.Join(setMeta(ctx, tx, "last", w.next), setMeta(ctx, tx, "generation", r.meta(ctx, "generation"))); err != nil {
		return err
	}
	for _, t := range []struct {
		count       *int64
		columns     int
		read, write string
	}{
		{&r.printers, 3, `SELECT serial, state, crc FROM printers`, `INSERT OR IGNORE INTO printers (serial, state, crc, last) VALUES ($1, $2, $3, 0)`},
		{&r.tasks, 6, `SELECT serial, run_id, role, state, next_ms, tries FROM tasks`, `INSERT INTO tasks (serial, run_id, role, state, next_ms, tries) VALUES ($1, $2, $3, $4, $5, $6)`},
		{&r.files, 4, `SELECT sha256, size, made_ms, released_ms FROM files`, `INSERT OR IGNORE INTO files (sha256, size, made_ms, released_ms) VALUES ($1, $2, $3, $4)`},
		{new(int64), 2, `SELECT sha256, ref FROM refs`, `INSERT OR IGNORE INTO refs (sha256, ref) VALUES ($1, $2)`},
	} {
		if err := r.copyTable(ctx, tx, t.count, t.columns, t.read, t.write); err != nil {
			return err
		}
	}
	return nil
}

// meta reads a mark; 0 when it cannot be read.
func (r *rescue) meta(ctx context.Context, key string) (n int64) {
	if r.from.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = $1`, key).Scan(&n) != nil {
		return 0
	}
	return n
}

// copyRecords takes over what waits, and steps over what cannot be read. Without a
// mark of what is acknowledged, everything waits.
func (r *rescue) copyRecords(ctx context.Context, tx *sql.Tx, w *writer) error {
	last := r.meta(ctx, "last")
	var seen int64
	if r.from.QueryRowContext(ctx, `SELECT MAX(n) FROM records`).Scan(&seen) == nil {
		last = max(last, seen)
	}
	at := r.meta(ctx, "acked")
	for holes := 0; at < last && holes < maxHoles && ctx.Err() == nil; holes++ {
		reached, whole, err := r.copyFrom(ctx, tx, w, at)
		if err != nil || whole {
			return err
		}
		at = reached + 1
	}
	return ctx.Err()
}

// copyFrom copies the records above a number until one cannot be read. It gives the
// number of the last, and whether nothing is left.
func (r *rescue) copyFrom(ctx context.Context, tx *sql.Tx, w *writer, after int64) (reached int64, whole bool, err error) {
	rows, err := r.from.QueryContext(ctx, `SELECT n, body, crc FROM records WHERE n > $1 ORDER BY n`, after)
	if err != nil {
		return after, false, nil //nolint:nilerr // stepped over
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var n, crc int64
		var body []byte
		if rows.Scan(&n, &body, &crc) != nil || n <= after {
			return after, false, nil //nolint:nilerr // stepped over
		}
		after = n
		w.next++
		if err := w.insert(ctx, tx, r.b.decode(n, body, crc)); err != nil { // with the times it was written with
			return after, false, err
		}
		r.records++
	}
	return after, rows.Err() == nil, nil
}

// copyTable copies rows until one cannot be read; what does not fit is passed over.
func (r *rescue) copyTable(ctx context.Context, tx *sql.Tx, count *int64, columns int, read, write string) error {
	rows, err := r.from.QueryContext(ctx, read)
	if err != nil {
		return nil //nolint:nilerr // it cannot be read
	}
	defer func() { _ = rows.Close() }()
	values, into := make([]any, columns), make([]any, columns)
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if rows.Scan(into...) != nil {
			continue
		}
		switch _, err := tx.ExecContext(ctx, write, values...); {
		case err == nil:
			*count++
		case !unfit(err):
			return err
		}
	}
	if err := rows.Err(); err != nil {
		r.b.log.Error("a table of the damaged journal cannot be read to its end", "err", err)
	}
	return nil
}

// unfit tells that a row is not what its table holds.
func unfit(err error) bool {
	var d *driver.Error
	return errors.As(err, &d) && (d.Code()&0xff == sqlite3.SQLITE_CONSTRAINT || d.Code()&0xff == sqlite3.SQLITE_MISMATCH)
}
