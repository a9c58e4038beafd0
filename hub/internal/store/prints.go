package store

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

// printNames are the columns of a print after its id, in the order of printFields.
var printNames = strings.Fields(`kind status paused run_id subtask source source_id queue_id printer_id printer_name serial site_id agent_id
	name renamed filename plate created_at started_at finished_at duration time_estimated progress milestone layer total_layers
	failure_reason filament_used filament_type filaments layer_height nozzle bed_type estimate estimate_grams cost
	sha256 file_size file_status file_error has notes tags project_id favorite dir deleted_at updated_at`)

// printFields are a print's columns after its id, in their order.
func printFields(p farm.Print) []any {
	return []any{
		string(p.Kind), string(p.Status), p.Paused, p.RunID, p.Subtask, p.Source, p.SourceID, p.QueueID, p.PrinterID, p.PrinterName, p.Serial, p.SiteID, p.AgentID,
		p.Name, p.Renamed, p.Filename, p.Plate, ms(p.CreatedAt), ms(p.StartedAt), ms(p.FinishedAt), p.Duration, p.TimeEstimated, p.Progress, p.Milestone, p.Layer, p.TotalLayers,
		p.FailureReason, p.FilamentUsed, p.FilamentType, text(notNil(p.Filaments)), p.LayerHeight, p.Nozzle, p.BedType, p.Estimate, p.EstimateGrams, p.Cost,
		p.SHA256, p.FileSize, string(p.FileStatus), p.FileError, strings.Join(p.Has, " "), p.Notes, text(notNil(p.Tags)), p.ProjectID, p.Favorite, p.Dir,
		ms(p.DeletedAt), ms(p.UpdatedAt),
	}
}

// rowColumns are a print's as they are in its row, for who writes it back. A duplicate
// is not in the row.
var rowColumns = `id, ` + strings.Join(printNames, ", ") + `, 0`

// printColumns are a print's as everybody sees them: a printer or a project that is
// gone is none, and the first archive with the same 3MF is looked up, since it changes
// with those that are deleted.
var printColumns = func() string {
	names := make([]string, len(printNames))
	for i, name := range printNames {
		names[i] = "prints." + name
	}
	out := "prints.id, " + strings.Join(names, ", ")
	for _, of := range []string{"printer", "project"} {
		out = strings.Replace(out, "prints."+of+"_id,", "COALESCE((SELECT g.id FROM "+of+"s g WHERE g.id = prints."+of+"_id), 0),", 1)
	}
	return out + `, COALESCE((SELECT g.id FROM prints g WHERE g.sha256 = prints.sha256 AND g.sha256 <> '' AND g.deleted_at = 0
		ORDER BY g.created_at, g.id LIMIT 1), 0)`
}()

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func scanPrint(r row) (p farm.Print, err error) {
	var created, started, finished, deleted, updated int64
	var filaments, has, tags string
	err = r.Scan(
		&p.ID, &p.Kind, &p.Status, &p.Paused, &p.RunID, &p.Subtask, &p.Source, &p.SourceID, &p.QueueID, &p.PrinterID, &p.PrinterName, &p.Serial, &p.SiteID, &p.AgentID,
		&p.Name, &p.Renamed, &p.Filename, &p.Plate, &created, &started, &finished, &p.Duration, &p.TimeEstimated, &p.Progress, &p.Milestone, &p.Layer, &p.TotalLayers,
		&p.FailureReason, &p.FilamentUsed, &p.FilamentType, &filaments, &p.LayerHeight, &p.Nozzle, &p.BedType, &p.Estimate, &p.EstimateGrams, &p.Cost,
		&p.SHA256, &p.FileSize, &p.FileStatus, &p.FileError, &has, &p.Notes, &tags, &p.ProjectID, &p.Favorite, &p.Dir,
		&deleted, &updated, &p.Duplicate,
	)
	if err != nil {
		return p, err
	}
	p.CreatedAt, p.StartedAt, p.FinishedAt, p.DeletedAt, p.UpdatedAt = when(created), when(started), when(finished), when(deleted), when(updated)
	if p.Duplicate == p.ID {
		p.Duplicate = 0
	}
	p.Has = strings.Fields(has)
	if filaments != "[]" {
		if err := parse(filaments, &p.Filaments); err != nil {
			return p, err
		}
	}
	if tags != "[]" {
		err = parse(tags, &p.Tags)
	}
	return p, err
}

// Print gives one archive; NOT_FOUND when it was deleted.
func (d *DB) Print(ctx context.Context, id int64) (farm.Print, error) {
	return onePrint(ctx, d.read, id)
}

// rower is what reads one row: the pool or a transaction.
type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func onePrint(ctx context.Context, q rower, id int64) (farm.Print, error) {
	p, err := scanPrint(q.QueryRowContext(ctx, `SELECT `+printColumns+` FROM prints WHERE id = $1 AND deleted_at = 0`, id))
	return p, notFound(err, "there is no archive %d", id)
}

// print reads an archive that the transaction is to change.
func (t *tx) print(ctx context.Context, id int64) (farm.Print, error) {
	p, err := scanPrint(t.QueryRowContext(ctx, `SELECT `+rowColumns+` FROM prints WHERE id = $1 AND deleted_at = 0`+t.lock(), id))
	return p, notFound(err, "there is no archive %d", id)
}

// lock keeps others from changing a row that is read to be changed. SQLite has one
// writer anyway.
func (t *tx) lock() string {
	if t.engine == postgres {
		return " FOR UPDATE"
	}
	return ""
}

// OpenPrints gives the prints that are under way at printers.
func (d *DB) OpenPrints(ctx context.Context) ([]farm.Print, error) {
	q := `SELECT ` + rowColumns + ` FROM prints WHERE status = 'printing' AND printer_id > 0 AND deleted_at = 0`
	out, err := list(ctx, d.read, scanPrint, q)
	if err != nil {
		return nil, fmt.Errorf("list the open prints: %w", err)
	}
	return out, nil
}

var insertPrint = `INSERT INTO prints (` + strings.Join(printNames, ", ") + `) VALUES (` + places(1, len(printNames)) + `) RETURNING id`

// places are n placeholders from a number on.
func places(from, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("$%d", from+i)
	}
	return strings.Join(out, ", ")
}

// addPrint inserts a print, gives it its id, and keeps counts, tags and search with it.
func (t *tx) addPrint(ctx context.Context, p *farm.Print) error {
	if err := t.QueryRowContext(ctx, insertPrint, printFields(*p)...).Scan(&p.ID); err != nil {
		return taken(err, "a print is under way at printer %d already", p.PrinterID)
	}
	return t.follow(ctx, farm.Print{DeletedAt: time.Now()}, *p)
}

// savePrint replaces a print by what it is now, and keeps counts, tags and search with
// it. Only what has changed is written: each column that is not is an index that stays.
func (t *tx) savePrint(ctx context.Context, before, p farm.Print) error {
	was, is := printFields(before), printFields(p)
	var set []string
	args := []any{p.ID}
	for i, name := range printNames {
		if !reflect.DeepEqual(was[i], is[i]) {
			args = append(args, is[i])
			set = append(set, fmt.Sprintf("%s = $%d", name, len(args)))
		}
	}
	if len(set) == 0 {
		return nil
	}
	ok, err := changed(t.ExecContext(ctx, `UPDATE prints SET `+strings.Join(set, ", ")+` WHERE id = $1`, args...))
	if err != nil {
		return taken(err, "a print is under way at printer %d already", p.PrinterID)
	}
	if !ok {
		return farm.Errorf(farm.NotFound, "there is no archive %d", p.ID)
	}
	return t.follow(ctx, before, p)
}

// follow keeps what is derived from a print true to it. One that is deleted is in none
// of it, as one that is not there yet.
func (t *tx) follow(ctx context.Context, before, p farm.Print) error {
	was, is := before.DeletedAt.IsZero(), p.DeletedAt.IsZero()
	if was != is || countKey(before) != countKey(p) {
		if was {
			if err := t.count(ctx, before, -1); err != nil {
				return err
			}
		}
		if is {
			if err := t.count(ctx, p, 1); err != nil {
				return err
			}
		}
	}
	if was != is || !slices.Equal(before.Tags, p.Tags) || ms(before.CreatedAt) != ms(p.CreatedAt) {
		if err := t.tag(ctx, before, p); err != nil {
			return err
		}
	}
	if was != is || searchText(before) != searchText(p) || t.engine == sqlite && filterText(before) != filterText(p) {
		return t.index(ctx, was, p)
	}
	return nil
}

func (t *tx) tag(ctx context.Context, before, p farm.Print) error {
	if before.DeletedAt.IsZero() && len(before.Tags) > 0 {
		if _, err := t.ExecContext(ctx, `DELETE FROM print_tags WHERE print_id = $1`, p.ID); err != nil {
			return fmt.Errorf("take the tags of archive %d away: %w", p.ID, err)
		}
	}
	if !p.DeletedAt.IsZero() {
		return nil
	}
	for _, tag := range p.Tags {
		const q = `INSERT INTO print_tags (tag, created_at, print_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
		if _, err := t.ExecContext(ctx, q, tag, ms(p.CreatedAt), p.ID); err != nil {
			return fmt.Errorf("tag archive %d: %w", p.ID, err)
		}
	}
	return nil
}

// counted is what archives are counted by.
type counted struct {
	printer, site, project int64
	kind                   farm.PrintKind
	status                 farm.PrintStatus
	source                 string
	file                   farm.FileStatus
	favorite               bool
	days                   int64
}

// countedMS is how long the days are that archives are counted by.
const countedMS = int64(30 * 24 * time.Hour / time.Millisecond)

func countKey(p farm.Print) counted {
	return counted{p.PrinterID, p.SiteID, p.ProjectID, p.Kind, p.Status, p.Source, p.FileStatus, p.Favorite, ms(p.CreatedAt) / countedMS}
}

func (t *tx) count(ctx context.Context, p farm.Print, n int64) error {
	k := countKey(p)
	const q = `INSERT INTO print_counts (printer_id, site_id, project_id, kind, status, source, file_status, favorite, days, n)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (printer_id, site_id, project_id, kind, status, source, file_status, favorite, days) DO UPDATE SET n = print_counts.n + excluded.n`
	_, err := t.ExecContext(ctx, q, k.printer, k.site, k.project, string(k.kind), string(k.status), k.source, string(k.file), k.favorite, k.days, n)
	if err != nil {
		return fmt.Errorf("count archives: %w", err)
	}
	return nil
}
