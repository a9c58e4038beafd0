// Package store is the only SQL on the hub: every query stands beside the method
// that runs it, one file a noun, in one text that SQLite and PostgreSQL both
// understand. It hands out and takes in the nouns of shared/farm.
//
// Every change and the events that tell of it are one transaction; after the
// commit the hub's followers are woken. Not found, taken and in use come back as
// *farm.Error with NOT_FOUND or CONFLICT; anything else is a fault of the
// database, wrapped with what was being done.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"bambuddy/shared/dirlock"
	"bambuddy/shared/farm"
)

// Config says where the database is.
type Config struct {
	Dir  string // of the SQLite file bambuddy.db; used when URL is empty
	URL  string // postgres://…; may hold a password, so it is never logged
	Wake func() // called after every commit that appended events; nil: nobody listens
}

// DB is the hub's database. Its methods may be called at the same time.
type DB struct {
	engine     engine
	read       *sql.DB
	write      *sql.DB // one connection with SQLite: one writer at a time
	wake       func()
	hubID      string
	generation int64
}

type engine string

const (
	sqlite   engine = "sqlite"
	postgres engine = "postgres"
)

// readers is how many SQLite connections read beside the writer; poolSize is
// what a hub takes of a PostgreSQL server.
const (
	readers  = 4
	poolSize = 16
)

// Open opens the database and brings its schema up to date. Several processes
// may do so at once. Close it.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	d := &DB{wake: cfg.Wake}
	if d.wake == nil {
		d.wake = func() {}
	}
	if err := d.connect(cfg); err != nil {
		return nil, err
	}
	if err := d.prepare(ctx, cfg); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *DB) connect(cfg Config) (err error) {
	if cfg.URL != "" {
		if !strings.HasPrefix(cfg.URL, "postgres://") && !strings.HasPrefix(cfg.URL, "postgresql://") {
			return farm.Errorf(farm.Invalid, "database-url: must begin with postgres://")
		}
		d.engine = postgres
		if d.write, err = sql.Open("pgx", cfg.URL); err != nil {
			return farm.Errorf(farm.Invalid, "database-url: not readable") // the cause would show the password
		}
		d.write.SetMaxOpenConns(poolSize)
		d.write.SetMaxIdleConns(poolSize)
		d.read = d.write
		return nil
	}
	d.engine = sqlite
	if d.write, err = sql.Open("sqlite", dsn(cfg.Dir, "")); err != nil {
		return fmt.Errorf("open database in %s: %w", cfg.Dir, err)
	}
	d.write.SetMaxOpenConns(1)
	if d.read, err = sql.Open("sqlite", dsn(cfg.Dir, "&_pragma=query_only(1)")); err != nil {
		return fmt.Errorf("open database in %s: %w", cfg.Dir, err)
	}
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	return nil
}

// dsn puts the settings into the address, so that every pooled connection has
// them. Transactions begin immediate: a read that turns into a write would
// otherwise fail beside another writer instead of waiting for it.
func dsn(dir, more string) string {
	return "file:" + (&url.URL{Path: filepath.Join(dir, "bambuddy.db")}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)" +
		"&_pragma=foreign_keys(1)&_txlock=immediate" + more
}

func (d *DB) prepare(ctx context.Context, cfg Config) error {
	if err := d.write.PingContext(ctx); err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	if d.engine == sqlite { // PostgreSQL has a lock of its own for this
		lock, err := turn(ctx, cfg.Dir)
		if err != nil {
			return fmt.Errorf("wait for another process that migrates the database: %w", err)
		}
		defer func() { _ = lock.Release() }()
	}
	if err := d.migrate(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return d.introduce(ctx)
}

// turn waits until no other process migrates, however long that takes: the lock
// of one that died is free.
func turn(ctx context.Context, dir string) (*dirlock.Lock, error) {
	for {
		lock, err := dirlock.Take(ctx, dir, "migrate.lock")
		if !errors.Is(err, dirlock.ErrHeld) {
			return lock, err
		}
	}
}

// introduce gives a new database its hub id and reads it back.
func (d *DB) introduce(ctx context.Context) error {
	err := d.change(ctx, func(t *tx) error {
		const once = `INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`
		if _, err := t.ExecContext(ctx, once, "hub_id", uuid.NewString()); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, once, "generation", "1"); err != nil {
			return err
		}
		// The site the migration made is as old as the hub.
		if _, err := t.ExecContext(ctx, `UPDATE sites SET created_at = $1 WHERE created_at = 0`, ms(time.Now())); err != nil {
			return err
		}
		if err := t.revive(ctx); err != nil {
			return err
		}
		if err := t.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = 'hub_id'`).Scan(&d.hubID); err != nil {
			return err
		}
		return t.QueryRowContext(ctx, `SELECT CAST(value AS BIGINT) FROM settings WHERE key = 'generation'`).Scan(&d.generation)
	})
	if err != nil {
		return fmt.Errorf("read the hub's identity: %w", err)
	}
	return nil
}

// Hub is the hub's id, minted at its first start, and its generation, which a
// restore from a backup raises.
func (d *DB) Hub() (id string, generation int64) { return d.hubID, d.generation }

// Ping tells whether the database answers.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	if err := d.read.QueryRowContext(ctx, `SELECT 1`).Scan(&one); err != nil {
		return fmt.Errorf("ask the database: %w", err)
	}
	return nil
}

// Close waits for running queries and closes the database.
func (d *DB) Close() error {
	var errs []error
	if d.read != nil && d.read != d.write {
		errs = append(errs, d.read.Close())
	}
	if d.write != nil {
		errs = append(errs, d.write.Close())
	}
	return errors.Join(errs...)
}
