package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

const auditColumns = `id, at, who, kind, action, method, path, remote, request_id, printer_id, site_id, status, code, data`

func auditFields(a farm.Audit) []any {
	return []any{
		a.ID, ms(a.At), a.Who, a.Kind, a.Action, a.Method, a.Path, a.Remote, a.RequestID, a.PrinterID, a.SiteID, a.Status, string(a.Code), string(a.Data),
	}
}

func scanAudit(r row, more ...any) (a farm.Audit, err error) {
	var at int64
	var data string
	err = r.Scan(append([]any{
		&a.ID, &at, &a.Who, &a.Kind, &a.Action, &a.Method, &a.Path, &a.Remote, &a.RequestID, &a.PrinterID, &a.SiteID, &a.Status, &a.Code, &data,
	}, more...)...)
	a.At, a.Data = when(at), []byte(data)
	return a, err
}

// chained is the hash of an entry behind one with the given hash.
func chained(before string, a farm.Audit) string {
	sum := sha256.Sum256([]byte(before + "\n" + text(auditFields(a))))
	return hex.EncodeToString(sum[:])
}

// The settings that go with the audit: what the chain begins behind, and up to where
// retention may drop entries, which is there only while it does.
const (
	auditAnchor = "audit_anchor"
	auditDrop   = "audit_drop"
)

// AppendAudit writes down one entry, behind all others.
func (d *DB) AppendAudit(ctx context.Context, a farm.Audit) error {
	err := d.change(ctx, func(t *tx) error {
		a := a
		if len(a.Data) == 0 {
			a.Data = []byte("{}")
		}
		if err := t.QueryRowContext(ctx, `UPDATE counters SET value = value + 1 WHERE name = 'audit' RETURNING value`).Scan(&a.ID); err != nil {
			return err
		}
		before, err := t.hashBefore(ctx, a.ID)
		if err != nil {
			return err
		}
		insert := `INSERT INTO audit (` + auditColumns + `, hash) VALUES (` + places(1, 15) + `)`
		_, err = t.ExecContext(ctx, insert, append(auditFields(a), chained(before, a))...)
		return err
	})
	if err != nil {
		return fmt.Errorf("write the audit of %s: %w", a.Action, err)
	}
	return nil
}

func (t *tx) hashBefore(ctx context.Context, id int64) (hash string, err error) {
	err = t.QueryRowContext(ctx, `SELECT hash FROM audit WHERE id = $1`, id-1).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		_, hash, err = anchor(ctx, t)
	}
	return hash, err
}

// anchor is the entry that the chain begins behind.
func anchor(ctx context.Context, q rower) (id int64, hash string, err error) {
	var value string
	if err := q.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = $1`, auditAnchor).Scan(&value); err != nil {
		return 0, "", err
	}
	number, hash, _ := strings.Cut(value, " ")
	if _, err := fmt.Sscan(number, &id); err != nil {
		return 0, "", fmt.Errorf("read stored %q: %w", value, err)
	}
	return id, hash, nil
}

// auditWhere is a query's condition with its arguments.
func auditWhere(q farm.AuditQuery) (string, []any) {
	conditions, args := []string{"TRUE"}, []any{}
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	for _, c := range []struct {
		column, value string
	}{{"who", q.Who}, {"kind", q.Kind}, {"action", q.Action}} {
		if c.value != "" {
			add(c.column+" = $%d", c.value)
		}
	}
	for _, c := range []struct {
		column string
		value  int64
	}{{"printer_id", q.PrinterID}, {"site_id", q.SiteID}} {
		if c.value > 0 {
			add(fmt.Sprintf("%s > 0 AND %s = $%%d", c.column, c.column), c.value)
		}
	}
	if !q.Since.IsZero() {
		add("at >= $%d", ms(q.Since))
	}
	if !q.Until.IsZero() {
		add("at < $%d", ms(q.Until))
	}
	switch q.Result {
	case farm.AuditDone:
		conditions = append(conditions, "status BETWEEN 1 AND 399")
	case farm.AuditRefused:
		conditions = append(conditions, "status BETWEEN 400 AND 499")
	case farm.AuditFailed:
		conditions = append(conditions, "status >= 500")
	case farm.AuditBegun:
		conditions = append(conditions, "status = 0")
	}
	return strings.Join(conditions, " AND "), args
}

// Audit gives a page of what a query finds, newest first, and how many there are in all.
func (d *DB) Audit(ctx context.Context, q farm.AuditQuery) (out []farm.Audit, total int, err error) {
	where, args := auditWhere(q)
	if err := d.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM audit WHERE `+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count the audit: %w", err)
	}
	if q.Before > 0 {
		args = append(args, q.Before)
		where += fmt.Sprintf(" AND id < $%d", len(args))
	}
	args = append(args, q.Limit, q.Offset)
	query := fmt.Sprintf(`SELECT %s FROM audit WHERE %s ORDER BY id DESC LIMIT $%d OFFSET $%d`, auditColumns, where, len(args)-1, len(args))
	out, err = list(ctx, d.read, func(r row) (farm.Audit, error) { return scanAudit(r) }, query, args...)
	if err != nil {
		return nil, 0, fmt.Errorf("read the audit: %w", err)
	}
	return out, total, nil
}

// auditPage is how many entries are read at once.
const auditPage = 500

// EachAudit calls fn for all that a query finds, newest first, and holds no more than a
// page of them.
func (d *DB) EachAudit(ctx context.Context, q farm.AuditQuery, fn func(farm.Audit) error) error {
	left := q.Limit
	for {
		where, args := auditWhere(q)
		if q.Before > 0 {
			args = append(args, q.Before)
			where += fmt.Sprintf(" AND id < $%d", len(args))
		}
		page := auditPage
		if q.Limit > 0 {
			page = min(page, left)
		}
		query := fmt.Sprintf(`SELECT %s FROM audit WHERE %s ORDER BY id DESC LIMIT %d`, auditColumns, where, page)
		rows, err := list(ctx, d.read, func(r row) (farm.Audit, error) { return scanAudit(r) }, query, args...)
		if err != nil {
			return fmt.Errorf("read the audit: %w", err)
		}
		for _, a := range rows {
			if err := fn(a); err != nil {
				return err
			}
		}
		left -= len(rows)
		if len(rows) < page || q.Limit > 0 && left == 0 {
			return nil
		}
		q.Before = rows[len(rows)-1].ID
	}
}

// PruneAudit drops the oldest entries, up to the first that was written at or after a
// moment. The chain begins behind them then.
func (d *DB) PruneAudit(ctx context.Context, oldest time.Time) (n int64, err error) {
	err = d.change(ctx, func(t *tx) error {
		n = 0
		// One after the other: of two hubs the slower one would put the beginning back.
		if _, err := t.ExecContext(ctx, `UPDATE counters SET value = value WHERE name = 'audit'`); err != nil {
			return err
		}
		const last = `SELECT COALESCE((SELECT MIN(id) - 1 FROM audit WHERE at >= $1), (SELECT MAX(id) FROM audit), 0)`
		var upTo int64
		if err := t.QueryRowContext(ctx, last, ms(oldest)).Scan(&upTo); err != nil {
			return err
		}
		var hash string
		switch err := t.QueryRowContext(ctx, `SELECT hash FROM audit WHERE id = $1`, upTo).Scan(&hash); {
		case errors.Is(err, sql.ErrNoRows):
			return nil // nothing is that old
		case err != nil:
			return err
		}
		begins, before, err := anchor(ctx, t)
		if err != nil {
			return err
		}
		if begins > upTo { // what goes was never chained
			hash = before
		}
		for _, step := range []struct {
			query string
			args  []any
		}{
			{`INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, []any{auditDrop, fmt.Sprint(upTo)}},
			{`UPDATE settings SET value = $1 WHERE key = $2`, []any{fmt.Sprintf("%d %s", max(begins, upTo), hash), auditAnchor}},
			{`DELETE FROM audit WHERE id <= $1`, []any{upTo}},
			{`DELETE FROM settings WHERE key = $1`, []any{auditDrop}},
		} {
			r, err := t.ExecContext(ctx, step.query, step.args...)
			if err != nil {
				return err
			}
			if strings.HasPrefix(step.query, "DELETE FROM audit") {
				if n, err = r.RowsAffected(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("prune the audit: %w", err)
	}
	return n, nil
}

// CheckAudit walks the chain and tells whether every entry is there and as it was
// written. Retention may drop entries meanwhile: then it begins anew.
func (d *DB) CheckAudit(ctx context.Context) (farm.AuditCheck, error) {
	for {
		begins, hash, err := anchor(ctx, d.read)
		if err != nil {
			return farm.AuditCheck{}, fmt.Errorf("read where the audit begins: %w", err)
		}
		c, err := d.checkAudit(ctx, begins, hash)
		if err != nil || c.Broken == 0 {
			return c, err
		}
		now, _, err := anchor(ctx, d.read)
		if err != nil {
			return farm.AuditCheck{}, fmt.Errorf("read where the audit begins: %w", err)
		}
		if now == begins {
			return c, nil
		}
	}
}

// checkAudit walks the chain behind an entry.
func (d *DB) checkAudit(ctx context.Context, last int64, hash string) (c farm.AuditCheck, err error) {
	var end int64
	if err := d.read.QueryRowContext(ctx, `SELECT value FROM counters WHERE name = 'audit'`).Scan(&end); err != nil {
		return c, fmt.Errorf("read where the audit ends: %w", err)
	}
	for c.First = last + 1; last < end; {
		type entry struct {
			farm.Audit
			hash string
		}
		query := `SELECT ` + auditColumns + `, hash FROM audit WHERE id > $1 ORDER BY id LIMIT $2`
		rows, err := list(ctx, d.read, func(r row) (e entry, err error) {
			e.Audit, err = scanAudit(r, &e.hash)
			return e, err
		}, query, last, auditPage)
		if err != nil {
			return c, fmt.Errorf("read the audit: %w", err)
		}
		for _, e := range rows {
			if e.ID != last+1 || e.hash != chained(hash, e.Audit) {
				c.Broken = last + 1
				return c, nil
			}
			c.Entries++
			last, hash = e.ID, e.hash
		}
		if len(rows) < auditPage && last < end {
			c.Broken = last + 1
			return c, nil
		}
	}
	return c, nil
}
