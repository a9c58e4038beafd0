package store

import (
	"strconv"
	"strings"

	"bambuddy/shared/farm"
)

// filter is what a query of archives reads, on what conditions and in which order. It
// is made in one place, so that no list can leave a caller's scope out.
type filter struct {
	from       string
	conditions []string
	args       []any
	created    string // the column of created_at to compare and order by
	id         string // the column of ids, likewise
	byID       bool   // the order is by id alone
}

// add adds a condition; each ? of it is the place of an argument.
func (f *filter) add(condition string, args ...any) {
	for _, a := range args {
		f.args = append(f.args, a)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(f.args)), 1)
	}
	f.conditions = append(f.conditions, condition)
}

// and is the filter with another condition.
func (f filter) and(condition string, args ...any) filter {
	f.conditions, f.args = append([]string(nil), f.conditions...), append([]any(nil), f.args...)
	f.add(condition, args...)
	return f
}

func (f filter) where() string { return f.from + " WHERE " + strings.Join(f.conditions, " AND ") }

// order is newest first. What a search finds is in the order of ids, which is nearly
// the same and is how the index has it.
func (f filter) order() string {
	if f.byID {
		return " ORDER BY " + f.id + " DESC"
	}
	return " ORDER BY " + f.created + " DESC, " + f.id + " DESC"
}

// after is what comes after a position.
func (f filter) after(p position) filter {
	if f.byID {
		return f.and(f.id+" < ?", p.id)
	}
	return f.and("("+f.created+", "+f.id+") < (?, ?)", p.at, p.id)
}

// among adds that a column is one of a scope's list; nil is no limit, empty finds nothing.
func (f *filter) among(column string, ids []int64) {
	if ids == nil {
		return
	}
	if len(ids) == 0 {
		f.add("1 = 0")
		return
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	f.add(column+" IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", ")+")", args...)
}

// sorts adds the conditions on what archives are counted by.
func (f *filter) sorts(table string, q farm.PrintQuery) {
	f.among(table+"printer_id", q.Scope.Printers)
	f.among(table+"site_id", q.Scope.Sites)
	for _, c := range []struct {
		column string
		id     int64
	}{{"printer_id", q.PrinterID}, {"site_id", q.SiteID}, {"project_id", q.ProjectID}} {
		if c.id != 0 {
			f.add(table+c.column+" = ?", c.id)
		}
	}
	for _, c := range []struct{ column, word string }{
		{"kind", string(q.Kind)}, {"status", string(q.Status)}, {"source", q.Source}, {"file_status", string(q.FileStatus)},
	} {
		if c.word != "" {
			f.add(table+c.column+" = ?", c.word)
		}
	}
	switch {
	case q.Favorite == nil:
	case *q.Favorite:
		f.add(table + "favorite")
	default:
		f.add("NOT " + table + "favorite")
	}
}

// filterOf is what a query asks, without its bounds in time.
func (d *DB) filterOf(q farm.PrintQuery) filter {
	f := filter{from: "prints", created: "prints.created_at", id: "prints.id"}
	switch {
	case q.Search != "":
		d.search(&f, q)
	case q.Tag != "":
		f.from, f.created, f.id = d.join("print_tags", "print_id"), "print_tags.created_at", "print_tags.print_id"
		f.add("print_tags.tag = ?", q.Tag)
		f.sorts("prints.", q)
	default:
		f.from += d.by(&f, q)
		f.sorts("prints.", q)
	}
	f.add("prints.deleted_at = 0")
	if q.SHA256 != "" {
		f.add("prints.sha256 = ?", q.SHA256)
	}
	return f
}

// search makes the index of words lead. SQLite's knows the filters as well.
func (d *DB) search(f *filter, q farm.PrintQuery) {
	f.byID = true
	if len(searched(q.Search)) == 0 {
		f.add("1 = 0")
		return
	}
	if d.engine == sqlite {
		f.from, f.id = d.join("print_search", "rowid"), "print_search.rowid"
		f.among("prints.printer_id", none(q.Scope.Printers))
		f.among("prints.site_id", none(q.Scope.Sites))
		f.add("print_search MATCH ?", ftsquery(q))
		return
	}
	f.from = d.join("print_search", "print_id")
	f.add("print_search.words @@ CAST(? AS TSQUERY)", tsquery(q.Search))
	f.sorts("prints.", q)
	if q.Tag != "" {
		f.add("EXISTS (SELECT 1 FROM print_tags WHERE print_tags.print_id = prints.id AND print_tags.tag = ?)", q.Tag)
	}
}

// none is a scope's list if it is empty: that the index of words cannot say.
func none(ids []int64) []int64 {
	if len(ids) > 0 {
		return nil
	}
	return ids
}

// join reads a table that leads to prints. SQLite is told in which order.
func (d *DB) join(table, id string) string {
	if d.engine == sqlite {
		return table + " CROSS JOIN prints ON prints.id = " + table + "." + id
	}
	return table + " JOIN prints ON prints.id = " + table + "." + id
}

// by tells SQLite which index to read, the one that leaves least: it does not know how
// often each value occurs. PostgreSQL does. The conditions say what the index is of.
func (d *DB) by(f *filter, q farm.PrintQuery) string {
	index := "prints_created"
	switch {
	case q.SHA256 != "":
		index = "prints_sha256"
		f.add("prints.sha256 <> ''")
	case q.Favorite != nil && *q.Favorite:
		index = "prints_favorite"
	case q.FileStatus != "" && q.FileStatus != farm.FileStored:
		index = "prints_file"
		f.add("prints.file_status <> 'stored'")
	case q.PrinterID != 0:
		index = "prints_printer"
	case q.ProjectID != 0:
		index = "prints_project"
		f.add("prints.project_id > 0")
	case q.Status != "":
		index = "prints_status"
	case q.SiteID != 0:
		index = "prints_site"
	}
	if d.engine == postgres {
		return ""
	}
	return " INDEXED BY " + index
}
