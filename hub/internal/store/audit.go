package store

import (
	"context"
	"fmt"

	"bambuddy/shared/farm"
)

const auditColumns = `id, at, who, action, printer_id, site_id, data`

func scanAudit(r row) (a farm.Audit, err error) {
	var at int64
	var data string
	err = r.Scan(&a.ID, &at, &a.Who, &a.Action, &a.PrinterID, &a.SiteID, &data)
	a.At, a.Data = when(at), []byte(data)
	return a, err
}

// AppendAudit writes down that something is about to be done.
func (d *DB) AppendAudit(ctx context.Context, a farm.Audit) error {
	const q = `INSERT INTO audit (at, who, action, printer_id, site_id, data) VALUES ($1, $2, $3, $4, $5, $6)`
	if _, err := d.write.ExecContext(ctx, q, ms(a.At), a.Who, a.Action, a.PrinterID, a.SiteID, string(a.Data)); err != nil {
		return fmt.Errorf("write the audit of %s: %w", a.Action, err)
	}
	return nil
}

// CountAudit tells how many entries there are.
func (d *DB) CountAudit(ctx context.Context) (n int, err error) {
	if err := d.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM audit`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the audit: %w", err)
	}
	return n, nil
}

// AuditBefore gives up to limit entries with ids below before (0: the newest),
// newest first, after leaving out the first offset.
func (d *DB) AuditBefore(ctx context.Context, before int64, limit, offset int) ([]farm.Audit, error) {
	const q = `SELECT ` + auditColumns + ` FROM audit WHERE $1 = 0 OR id < $1 ORDER BY id DESC LIMIT $2 OFFSET $3`
	out, err := list(ctx, d.read, scanAudit, q, before, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("read the audit before %d: %w", before, err)
	}
	return out, nil
}
