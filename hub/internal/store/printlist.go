package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

// position is where a page begins: after this print, in the order of the list.
type position struct{ at, id int64 }

func (p position) String() string {
	return strconv.FormatInt(p.at, 36) + "." + strconv.FormatInt(p.id, 36)
}

func parsePosition(s string) (p position, err error) {
	at, id, ok := strings.Cut(s, ".")
	if p.at, err = strconv.ParseInt(at, 36, 64); err == nil {
		p.id, err = strconv.ParseInt(id, 36, 64)
	}
	if !ok || err != nil {
		return p, farm.Errorf(farm.Invalid, "cursor: not one that a list has given")
	}
	return p, nil
}

// within adds a query's bounds in time.
func (f filter) within(from, to time.Time) filter {
	if !from.IsZero() {
		f = f.and(f.created+" >= ?", ms(from))
	}
	if !to.IsZero() {
		f = f.and(f.created+" < ?", ms(to))
	}
	return f
}

// Prints gives a page of archives, newest first, and how many there are. Those that a
// search finds are in the order of their ids.
func (d *DB) Prints(ctx context.Context, q farm.PrintQuery) (farm.PrintPage, error) {
	q, err := d.present(ctx, q)
	if err != nil {
		return farm.PrintPage{}, err
	}
	f := d.filterOf(q)
	total, err := d.countPrints(ctx, q, f)
	if err != nil {
		return farm.PrintPage{}, fmt.Errorf("count archives: %w", err)
	}
	f = f.within(q.From, q.To)
	if q.After != "" {
		p, err := parsePosition(q.After)
		if err != nil {
			return farm.PrintPage{}, err
		}
		f, q.Offset = f.after(p), 0
	}
	page := farm.PrintPage{Total: total, Prints: []farm.Print{}}
	if total == 0 || q.Limit <= 0 {
		return page, nil
	}
	if page.Prints, err = d.slice(ctx, f, q.Limit+1, q.Offset); err != nil {
		return farm.PrintPage{}, fmt.Errorf("list archives: %w", err)
	}
	if len(page.Prints) > q.Limit {
		page.Prints = page.Prints[:q.Limit]
		last := page.Prints[q.Limit-1]
		page.Next = position{ms(last.CreatedAt), last.ID}.String()
	}
	return page, nil
}

// present leaves out what a query names that is gone: no archive is of such a printer
// or project any more, though its row still has the number.
func (d *DB) present(ctx context.Context, q farm.PrintQuery) (farm.PrintQuery, error) {
	if len(q.Scope.Printers) > 0 {
		ids, err := list(ctx, d.read, func(r row) (id int64, err error) { return id, r.Scan(&id) }, `SELECT id FROM printers`)
		if err != nil {
			return q, fmt.Errorf("list the printers of a scope: %w", err)
		}
		seen := []int64{}
		for _, id := range q.Scope.Printers {
			if slices.Contains(ids, id) {
				seen = append(seen, id)
			}
		}
		q.Scope.Printers = seen
	}
	if q.ProjectID != 0 {
		_, err := d.Project(ctx, q.ProjectID)
		if farm.Is(err, farm.NotFound) {
			q.Scope.Printers, err = []int64{}, nil
		}
		if err != nil {
			return q, err
		}
	}
	if q.Search == "" || q.From.IsZero() && q.To.IsZero() {
		return q, nil
	}
	return d.bounded(ctx, q)
}

// bounded closes the bounds of a search where archives begin and end, so that its days
// can be named.
func (d *DB) bounded(ctx context.Context, q farm.PrintQuery) (farm.PrintQuery, error) {
	const query = `SELECT COALESCE((SELECT MIN(created_at) FROM prints WHERE deleted_at = 0), 0), COALESCE((SELECT MAX(created_at) FROM prints WHERE deleted_at = 0), 0)`
	var first, last int64
	if err := d.read.QueryRowContext(ctx, query).Scan(&first, &last); err != nil {
		return q, fmt.Errorf("read when archives begin: %w", err)
	}
	if ms(q.From) < first {
		q.From = when(first)
	}
	if q.To.IsZero() || ms(q.To) > last+1 {
		q.To = when(last + 1)
	}
	return q, nil
}

func (d *DB) slice(ctx context.Context, f filter, limit, offset int) ([]farm.Print, error) {
	n := len(f.args)
	query := `SELECT ` + printColumns + ` FROM ` + f.where() + f.order() + fmt.Sprintf(" LIMIT $%d OFFSET $%d", n+1, n+2)
	return list(ctx, d.read, scanPrint, query, append(f.args[:n:n], limit, offset)...)
}

// countPrints counts without a look at every row, where there is a way.
func (d *DB) countPrints(ctx context.Context, q farm.PrintQuery, f filter) (int64, error) {
	always := q.From.IsZero() && q.To.IsZero()
	switch words := q.Search != "" || q.Tag != ""; {
	case q.SHA256 != "" || nobody(q):
	case !words:
		return d.countSorts(ctx, q, f)
	case d.engine == sqlite && always, d.engine == sqlite && q.Search != "" && daysOf(q) != nil:
		return d.countWords(ctx, q)
	}
	return d.countRows(ctx, f.within(q.From, q.To))
}

func (d *DB) countRows(ctx context.Context, f filter) (n int64, err error) {
	return n, d.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+f.where(), f.args...).Scan(&n)
}

// countWords counts by the index of words, but for the days that a query has only a
// part of.
func (d *DB) countWords(ctx context.Context, q farm.PrintQuery) (int64, error) {
	whole, parts := split(q.From, q.To)
	var sum int64
	for _, p := range parts {
		one := q
		one.From, one.To = p.from, p.to
		n, err := d.countRows(ctx, d.filterOf(one).within(p.from, p.to))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	if whole == nil {
		return sum, nil
	}
	q.From, q.To = whole.from, whole.to
	var n int64
	err := d.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM print_search WHERE print_search MATCH $1`, ftsquery(q)).Scan(&n)
	return sum + n, err
}

// span is a time from a moment up to another one; zero is no bound.
type span struct{ from, to time.Time }

// split takes a time apart into the days that archives are counted by, as far as they
// are whole, and what is left at both ends.
func split(from, to time.Time) (whole *span, parts []span) {
	first, last := (ms(from)+countedMS-1)/countedMS*countedMS, ms(to)/countedMS*countedMS
	if !from.IsZero() && !to.IsZero() && first >= last {
		return nil, []span{{from, to}}
	}
	whole = &span{from, to}
	if !from.IsZero() && first != ms(from) {
		whole.from = time.UnixMilli(first)
		parts = append(parts, span{from, whole.from})
	}
	if !to.IsZero() && last != ms(to) {
		whole.to = time.UnixMilli(last)
		parts = append(parts, span{whole.to, to})
	}
	return whole, parts
}

// nobody tells that a query finds nothing, by its scope or for want of a word.
func nobody(q farm.PrintQuery) bool {
	return q.Scope.Printers != nil && len(q.Scope.Printers) == 0 || q.Scope.Sites != nil && len(q.Scope.Sites) == 0 ||
		q.Search != "" && len(searched(q.Search)) == 0
}

// countSorts adds up the counters, and counts the rows of the days that a query has
// only a part of.
func (d *DB) countSorts(ctx context.Context, q farm.PrintQuery, f filter) (int64, error) {
	whole, parts := split(q.From, q.To)
	var sum int64
	for _, p := range parts {
		n, err := d.countRows(ctx, f.within(p.from, p.to))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	if whole == nil {
		return sum, nil
	}
	c := filter{conditions: []string{"n <> 0"}}
	c.sorts("", q)
	if !whole.from.IsZero() {
		c.add("days >= ?", ms(whole.from)/countedMS)
	}
	if !whole.to.IsZero() {
		c.add("days < ?", ms(whole.to)/countedMS)
	}
	c.from = `print_counts`
	var n int64
	err := d.read.QueryRowContext(ctx, `SELECT COALESCE(SUM(n), 0) FROM `+c.where(), c.args...).Scan(&n)
	return sum + n, err
}

// eachBatch is how many rows EachPrint reads at a time.
const eachBatch = 500

// EachPrint calls fn for everything a query finds, newest first, until fn fails. No
// connection is held while fn runs, however long it takes; what changes meanwhile may
// be told as it was or as it is.
func (d *DB) EachPrint(ctx context.Context, q farm.PrintQuery, fn func(farm.Print) error) error {
	q, err := d.present(ctx, q)
	if err != nil {
		return err
	}
	f := d.filterOf(q).within(q.From, q.To)
	left := q.Limit
	for page := f; ; {
		batch, err := d.slice(ctx, page, eachBatch, 0)
		if err != nil {
			return fmt.Errorf("list archives: %w", err)
		}
		for _, p := range batch {
			if err := fn(p); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		if len(batch) < eachBatch {
			return nil
		}
		last := batch[len(batch)-1]
		page = f.after(position{ms(last.CreatedAt), last.ID})
	}
}

// OutboxMark is how far an agent's outbox of an epoch has been applied.
func (d *DB) OutboxMark(ctx context.Context, agentID int64, epoch string) (int64, error) {
	n, _, err := outboxMark(ctx, d.read, agentID, epoch)
	if err != nil {
		return 0, fmt.Errorf("read the mark of agent %d: %w", agentID, err)
	}
	return n, nil
}

func outboxMark(ctx context.Context, q rower, agentID int64, epoch string) (n int64, at time.Time, err error) {
	var atMS int64
	const query = `SELECT COALESCE(MAX(n), 0), COALESCE(MAX(at), 0) FROM outbox_marks WHERE agent_id = $1 AND epoch = $2`
	err = q.QueryRowContext(ctx, query, agentID, epoch).Scan(&n, &atMS)
	return n, when(atMS), err
}

var _ rower = (*sql.DB)(nil)
