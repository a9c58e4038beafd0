package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	driver "modernc.org/sqlite"

	"bambuddy/shared/farm"
)

// tx is one transaction and the events it will have told of.
type tx struct {
	*sql.Tx
	engine engine
	events []farm.Event
}

// tell adds an event to the transaction. They are written last, when every other
// row of it is, because their ids come from one counter row that stays locked
// until the commit: that makes ids visible in order, and the wait short.
func (t *tx) tell(e farm.Event) { t.events = append(t.events, e) }

// attempts bounds how often change begins anew after a deadlock. Whoever made it
// the victim has got on, so a few are plenty.
const attempts = 5

// change runs fn in a write transaction with its events, and wakes the followers.
// Of two changes that wait for each other's rows PostgreSQL ends one, of which
// nothing remains; it begins anew, so fn may run more than once and must set what
// it gives its caller each time.
func (d *DB) change(ctx context.Context, fn func(*tx) error) error {
	for n := 1; ; n++ {
		err := d.changeOnce(ctx, fn)
		var p *pgconn.PgError
		if deadlock := errors.As(err, &p) && p.Code == "40P01"; !deadlock || n == attempts {
			return err
		}
	}
}

func (d *DB) changeOnce(ctx context.Context, fn func(*tx) error) error {
	sqlTx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	t := &tx{Tx: sqlTx, engine: d.engine}
	defer func() { _ = sqlTx.Rollback() }() // after a commit it does nothing
	if err := fn(t); err != nil {
		return err
	}
	for i := range t.events {
		if err := t.append(ctx, &t.events[i]); err != nil {
			return fmt.Errorf("append event %s: %w", t.events[i].Kind, err)
		}
	}
	if err := sqlTx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if len(t.events) > 0 {
		d.wake()
	}
	return nil
}

// row is *sql.Row or *sql.Rows.
type row interface{ Scan(dest ...any) error }

// queryer is what reads: the pool or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// list runs a query and scans every row.
func list[T any](ctx context.Context, q queryer, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// notFound turns "no rows" into a NOT_FOUND that names the noun.
func notFound(err error, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return farm.Errorf(farm.NotFound, format, args...)
	}
	return err
}

// taken turns a broken UNIQUE rule into a CONFLICT with the given detail.
func taken(err error, format string, args ...any) error {
	if isConstraint(err, 2067, "23505") { // SQLITE_CONSTRAINT_UNIQUE
		return farm.Errorf(farm.Conflict, format, args...)
	}
	return err
}

// dangling turns a broken reference into a NOT_FOUND or CONFLICT the caller words.
func dangling(err error, code farm.Code, format string, args ...any) error {
	if isConstraint(err, 787, "23503") { // SQLITE_CONSTRAINT_FOREIGNKEY
		return farm.Errorf(code, format, args...)
	}
	return err
}

func isConstraint(err error, lite int, pg string) bool {
	var l *driver.Error
	if errors.As(err, &l) {
		return l.Code() == lite
	}
	var p *pgconn.PgError
	return errors.As(err, &p) && p.Code == pg
}

// ms and when turn times into the database's BIGINT milliseconds and back; the
// zero time is 0.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func when(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// text and parse store small structures as JSON.
func text(v any) string {
	b, _ := json.Marshal(v) // lists of numbers and words always marshal
	return string(b)
}

func parse(s string, into any) error {
	if err := json.Unmarshal([]byte(s), into); err != nil {
		return fmt.Errorf("read stored %q: %w", s, err)
	}
	return nil
}

func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}
