package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
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
	if errors.As(err, &d) && d.Code()&0xff == sqlite3.SQLITE_FULL {
		return fmt.Errorf("%w: %w", errFull, err)
	}
	return err
}

func fileURL(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

func dsn(path string) string {
	return fileURL(path) + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate"
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
	if !exists(path) || !harmed(err) {
		return fmt.Errorf("open the journal: %w", full(err))
	}
	aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000000000")
	b.log.Error("the journal is damaged and set aside; what can be read of it is taken over", "file", aside, "err", err)
	if err := setAside(path, aside); err != nil {
		return fmt.Errorf("set the damaged journal aside: %w", err)
	}
	if err := b.connect(ctx, path); err != nil {
		return fmt.Errorf("make a new journal: %w", err)
	}
	return b.salvage(ctx, aside)
}

// harmed tells whether an error is of what is in the journal. Else it is of the disk or
// the machine: the journal is whole then, and must not be given up.
func harmed(err error) bool {
	var d *driver.Error
	if !errors.As(err, &d) {
		return true // it was read, and makes no sense
	}
	switch d.Code() {
	case sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_DATA, sqlite3.SQLITE_IOERR_CORRUPTFS:
		return true // a bad sector
	}
	switch d.Code() & 0xff {
	case sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN:
		return false
	}
	return true
}

// setAside moves a journal. Its log goes first: left behind, it would be played into
// the new one.
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
	db.SetMaxIdleConns(4) // else every burst opens files anew
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
	if err := begin(ctx, tx, rand.Text(), 0); err != nil {
		return err
	}
	return tx.Commit()
}

// load reads the marks.
func (b *Outbox) load(ctx context.Context) error {
	for _, m := range []struct {
		key  string
		into any
	}{{"epoch", &b.epoch}, {"last", &b.last}, {"given", &b.given}, {"acked", &b.acked}} {
		if err := b.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = $1`, m.key).Scan(m.into); err != nil {
			return fmt.Errorf("read %s: %w", m.key, err)
		}
	}
	const q = `SELECT COALESCE(SUM(LENGTH(body)), 0) FROM records WHERE n > $1`
	if err := b.db.QueryRowContext(ctx, q, b.acked).Scan(&b.unacked); err != nil {
		return fmt.Errorf("measure what waits: %w", err)
	}
	clear(b.lastOf) // of a journal that was opened in vain
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
