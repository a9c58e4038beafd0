package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

// filter is the WHERE of a query of archives with its arguments.
type filter struct {
	conditions []string
	args       []any
}

// add adds a condition; each ? of it is the place of an argument.
func (f *filter) add(condition string, args ...any) {
	for _, a := range args {
		f.args = append(f.args, a)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(f.args)), 1)
	}
	f.conditions = append(f.conditions, condition)
}

func (f *filter) where() string { return " WHERE " + strings.Join(f.conditions, " AND ") }

// among adds that a column is one of a scope's list; nil is no limit, empty finds nothing.
func (f *filter) among(column string, ids []int64) {
	if ids == nil {
		return
	}
	if len(ids) == 0 {
		f.add("1 = 0")
		return
	}
	places := make([]string, len(ids))
	args := make([]any, len(ids))
	for i, id := range ids {
		places[i], args[i] = "?", id
	}
	f.add(column+" IN ("+strings.Join(places, ", ")+")", args...)
}

// counted adds the conditions that print_counts can answer as well.
func (f *filter) counted(q farm.PrintQuery) {
	f.among("printer_id", q.Scope.Printers)
	f.among("site_id", q.Scope.Sites)
	for _, c := range []struct {
		column string
		id     int64
	}{{"printer_id", q.PrinterID}, {"site_id", q.SiteID}, {"project_id", q.ProjectID}} {
		if c.id != 0 {
			f.add(c.column+" = ?", c.id)
		}
	}
	if q.Status != "" {
		f.add("status = ?", string(q.Status))
	}
	switch q.Kind {
	case farm.KindFile:
		f.add("status = 'uploaded'")
	case farm.KindPrint:
		f.add("status <> 'uploaded'")
	}
}

// filterOf is all that a query asks.
func (d *DB) filterOf(q farm.PrintQuery) filter {
	f := filter{conditions: []string{"deleted_at = 0"}}
	f.counted(q)
	if q.ProjectID != 0 {
		f.add("project_id > 0") // by which the index is found
	}
	for _, c := range []struct{ column, word string }{{"file_status", string(q.FileStatus)}, {"source", q.Source}, {"sha256", q.SHA256}} {
		if c.word != "" {
			f.add(c.column+" = ?", c.word)
		}
	}
	if q.SHA256 != "" {
		f.add("sha256 <> ''") // likewise
	}
	if q.Tag != "" {
		f.add(`tags LIKE ? ESCAPE '!'`, "%"+escapeLike(text(q.Tag))+"%")
	}
	if q.Favorite != nil {
		f.add("favorite = ?", *q.Favorite)
	}
	if !q.From.IsZero() {
		f.add("created_at >= ?", ms(q.From))
	}
	if !q.To.IsZero() {
		f.add("created_at < ?", ms(q.To))
	}
	if q.Search != "" {
		if match := d.matching(q.Search); match != "" {
			f.add(d.found("?"), match)
		} else {
			f.add("1 = 0")
		}
	}
	return f
}

func escapeLike(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}

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

// ordered says how a query's archives are ordered: newest first, those that a search
// finds by their ids, which is nearly the same and is how the index has them.
func ordered(q farm.PrintQuery) string {
	if q.Search != "" {
		return " ORDER BY id DESC"
	}
	return " ORDER BY created_at DESC, id DESC"
}

// after adds that archives come after a position.
func (f *filter) after(q farm.PrintQuery, p position) {
	if q.Search != "" {
		f.add("id < ?", p.id)
		return
	}
	f.add("(created_at, id) < (?, ?)", p.at, p.id)
}

// Prints gives a page of archives, newest first, and how many there are.
func (d *DB) Prints(ctx context.Context, q farm.PrintQuery) (farm.PrintPage, error) {
	f := d.filterOf(q)
	total, err := d.countPrints(ctx, q, f)
	if err != nil {
		return farm.PrintPage{}, fmt.Errorf("count archives: %w", err)
	}
	if q.After != "" {
		p, err := parsePosition(q.After)
		if err != nil {
			return farm.PrintPage{}, err
		}
		f.after(q, p)
	}
	prints, err := d.slice(ctx, q, f, q.Limit+1, q.Offset)
	if err != nil {
		return farm.PrintPage{}, fmt.Errorf("list archives: %w", err)
	}
	page := farm.PrintPage{Total: total, Prints: prints}
	if len(prints) > q.Limit {
		page.Prints = prints[:q.Limit]
		last := prints[q.Limit-1]
		page.Next = position{ms(last.CreatedAt), last.ID}.String()
	}
	return page, nil
}

func (d *DB) slice(ctx context.Context, q farm.PrintQuery, f filter, limit, offset int) ([]farm.Print, error) {
	n := len(f.args)
	query := `SELECT ` + printColumns + ` FROM prints` + f.where() + ordered(q) + fmt.Sprintf(" LIMIT $%d OFFSET $%d", n+1, n+2)
	return list(ctx, d.read, scanPrint, query, append(f.args[:n:n], limit, offset)...)
}

// countPrints counts by the counters where they can tell, which is much faster than to
// look at every row.
func (d *DB) countPrints(ctx context.Context, q farm.PrintQuery, f filter) (n int64, err error) {
	days := filter{conditions: []string{"n <> 0"}}
	if plain(q) && days.days(q) {
		days.counted(q)
		return n, d.read.QueryRowContext(ctx, `SELECT COALESCE(SUM(n), 0) FROM print_counts`+days.where(), days.args...).Scan(&n)
	}
	return n, d.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM prints`+f.where(), f.args...).Scan(&n)
}

// plain tells whether a query asks nothing that print_counts does not know.
func plain(q farm.PrintQuery) bool {
	return q.FileStatus == "" && q.Source == "" && q.Tag == "" && q.SHA256 == "" && q.Favorite == nil && q.Search == ""
}

// days adds the bounds of a query, when they are whole days.
func (f *filter) days(q farm.PrintQuery) bool {
	for _, b := range []struct {
		at        time.Time
		condition string
	}{{q.From, "day >= ?"}, {q.To, "day < ?"}} {
		if b.at.IsZero() {
			continue
		}
		if ms(b.at)%dayMS != 0 {
			return false
		}
		f.add(b.condition, ms(b.at)/dayMS)
	}
	return true
}

// eachBatch is how many rows EachPrint reads at a time.
const eachBatch = 500

// EachPrint calls fn for everything a query finds, newest first, until fn fails. No
// connection is held while fn runs, however long it takes; what changes meanwhile may
// be told as it was or as it is.
func (d *DB) EachPrint(ctx context.Context, q farm.PrintQuery, fn func(farm.Print) error) error {
	left := q.Limit
	var at *position
	for {
		f := d.filterOf(q)
		if at != nil {
			f.after(q, *at)
		}
		batch, err := d.slice(ctx, q, f, eachBatch, 0)
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
		at = &position{ms(last.CreatedAt), last.ID}
	}
}

// OutboxMark is how far an agent's outbox of an epoch has been applied.
func (d *DB) OutboxMark(ctx context.Context, agentID int64, epoch string) (int64, error) {
	n, err := outboxMark(ctx, d.read, agentID, epoch)
	if err != nil {
		return 0, fmt.Errorf("read the mark of agent %d: %w", agentID, err)
	}
	return n, nil
}

func outboxMark(ctx context.Context, q rower, agentID int64, epoch string) (n int64, err error) {
	const query = `SELECT COALESCE(MAX(n), 0) FROM outbox_marks WHERE agent_id = $1 AND epoch = $2`
	return n, q.QueryRowContext(ctx, query, agentID, epoch).Scan(&n)
}

var _ rower = (*sql.DB)(nil)
