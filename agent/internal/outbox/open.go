package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"os"
	"path/filepath"
	"time"

	driver "modernc.org/sqlite"

	"bambuddy/shared/wire"
)

// schema is of version 1. A later one comes with a migration here.
const schema = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
CREATE TABLE records (n INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, serial TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE printers (serial TEXT PRIMARY KEY, state BLOB NOT NULL, crc INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
CREATE TABLE tasks (id INTEGER PRIMARY KEY AUTOINCREMENT, serial TEXT NOT NULL, run_id TEXT NOT NULL, role TEXT NOT NULL,
	state BLOB NOT NULL, next_ms INTEGER NOT NULL, tries INTEGER NOT NULL) STRICT;
CREATE INDEX tasks_next ON tasks (next_ms);
CREATE INDEX tasks_serial ON tasks (serial);
CREATE TABLE files (sha256 TEXT PRIMARY KEY, size INTEGER NOT NULL, made_ms INTEGER NOT NULL, released_ms INTEGER NOT NULL) STRICT;
CREATE TABLE refs (sha256 TEXT NOT NULL, ref TEXT NOT NULL, PRIMARY KEY (sha256, ref)) STRICT;
PRAGMA user_version = 1;
`

// errFull is a disk that takes no more.
var errFull = errors.New("the disk is full")

// full marks errors of a full disk.
func full(err error) error {
	var d *driver.Error
	if errors.As(err, &d) && d.Code()&0xff == 13 { // SQLITE_FULL
		return fmt.Errorf("%w: %w", errFull, err)
	}
	return err
}

func checksum(b []byte) int64 { return int64(crc32.Checksum(b, castagnoli)) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func dsn(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate"
}

// openJournal opens the journal. One that is damaged is set aside, and what can be
// read of it is taken over into a new one.
func (b *Outbox) openJournal(ctx context.Context) error {
	path := filepath.Join(b.o.Dir, journalFile)
	err := b.connect(ctx, path)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !exists(path) {
		return fmt.Errorf("make the journal: %w", err)
	}
	aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405")
	b.log.Error("the journal is damaged and set aside; what can be read of it is taken over", "file", aside, "err", err)
	if err := setAside(path, aside); err != nil {
		return fmt.Errorf("set the damaged journal aside: %w", err)
	}
	if err := b.connect(ctx, path); err != nil {
		return fmt.Errorf("make a new journal: %w", err)
	}
	return b.salvage(ctx, aside)
}

func setAside(path, aside string) error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// connect opens a journal, whole, or leaves nothing open.
func (b *Outbox) connect(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	db.SetMaxOpenConns(4)
	var version int
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if version == 0 {
		if err := make1(ctx, db); err != nil {
			return err
		}
	}
	var sound string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&sound); err != nil {
		return err
	}
	if sound != "ok" {
		return fmt.Errorf("quick_check: %s", sound)
	}
	b.db = db
	return b.load(ctx)
}

// make1 makes the tables and begins an epoch, in one transaction.
func make1(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	if err := begin(ctx, tx, rand.Text()); err != nil {
		return err
	}
	return tx.Commit()
}

// load reads the marks.
func (b *Outbox) load(ctx context.Context) error {
	for _, m := range []struct {
		key  string
		into any
	}{{"epoch", &b.epoch}, {"last", &b.last}, {"acked", &b.acked}} {
		if err := b.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = $1`, m.key).Scan(m.into); err != nil {
			return fmt.Errorf("read %s: %w", m.key, err)
		}
	}
	const q = `SELECT COALESCE(SUM(LENGTH(body)), 0) FROM records WHERE n > $1`
	if err := b.db.QueryRowContext(ctx, q, b.acked).Scan(&b.unacked); err != nil {
		return fmt.Errorf("measure what waits: %w", err)
	}
	rows, err := b.db.QueryContext(ctx, `SELECT serial, last FROM printers`)
	if err != nil {
		return fmt.Errorf("read the printers: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var serial string
		var last int64
		if err := rows.Scan(&serial, &last); err != nil {
			return fmt.Errorf("read a printer: %w", err)
		}
		b.lastOf[serial] = last
	}
	return rows.Err()
}

// salvage takes over what can be read of a damaged journal: records that wait, with
// new numbers in the new epoch, what detectors know, tasks, and files.
func (b *Outbox) salvage(ctx context.Context, path string) error {
	old, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil //nolint:nilerr // nothing of it can be read: the new one begins empty
	}
	defer func() { _ = old.Close() }()
	old.SetMaxOpenConns(1)
	rescue := &rescue{b: b, from: old}
	b.writing.Lock()
	err = b.inTx(ctx, rescue.all)
	b.writing.Unlock()
	if err != nil {
		return fmt.Errorf("take over the damaged journal: %w", err)
	}
	b.log.Warn("taken over from the damaged journal", "records", rescue.records, "printers", rescue.printers, "tasks", rescue.tasks, "files", rescue.files)
	return b.load(ctx)
}

// rescue copies rows until the first that cannot be read, of each table.
type rescue struct {
	b                               *Outbox
	from                            *sql.DB
	records, printers, tasks, files int64
}

func (r *rescue) all(ctx context.Context, tx *sql.Tx) error {
	gap := wire.OutboxRecord{Kind: wire.GapKind, Gap: &wire.GapRecord{Reason: "the agent's journal was damaged; what could not be read of it is lost"}}
	w := &writer{b: r.b, clock: r.b.clock()}
	if err := w.record(ctx, tx, gap); err != nil {
		return err
	}
	acked := int64(0)
	_ = r.from.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'acked'`).Scan(&acked) // else everything waits
	if err := r.copyRecords(ctx, tx, w, acked); err != nil {
		return err
	}
	if err := setMeta(ctx, tx, "last", w.next); err != nil {
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

func (r *rescue) copyRecords(ctx context.Context, tx *sql.Tx, w *writer, acked int64) error {
	rows, err := r.from.QueryContext(ctx, `SELECT n, body, crc FROM records WHERE n > $1 ORDER BY n`, acked)
	if err != nil {
		return nil //nolint:nilerr // they cannot be read
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var n, crc int64
		var body []byte
		if rows.Scan(&n, &body, &crc) != nil {
			continue
		}
		w.next++
		if err := w.insert(ctx, tx, r.b.decode(n, body, crc)); err != nil { // with the times it was written with
			return err
		}
		r.records++
	}
	return nil // what could not be read is what the gap tells of
}

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
		if _, err := tx.ExecContext(ctx, write, values...); err != nil {
			return err
		}
		*count++
	}
	return nil
}
