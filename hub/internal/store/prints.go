package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

const printColumns = `id, kind, status, paused, run_id, subtask, source, source_id, queue_id, printer_id, printer_name, serial, site_id, agent_id,
	name, renamed, filename, plate, created_at, started_at, finished_at, duration, time_estimated, progress, milestone, layer, total_layers,
	failure_reason, filament_used, filament_type, filaments, layer_height, nozzle, bed_type, estimate, estimate_grams, cost,
	sha256, file_size, file_status, file_error, has, duplicate_of, notes, tags, project_id, favorite, dir, deleted_at, updated_at`

// printFields are a print's columns after its id, in their order.
func printFields(p farm.Print) []any {
	return []any{
		p.Kind, p.Status, p.Paused, p.RunID, p.Subtask, p.Source, p.SourceID, p.QueueID, p.PrinterID, p.PrinterName, p.Serial, p.SiteID, p.AgentID,
		p.Name, p.Renamed, p.Filename, p.Plate, ms(p.CreatedAt), ms(p.StartedAt), ms(p.FinishedAt), p.Duration, p.TimeEstimated, p.Progress, p.Milestone, p.Layer, p.TotalLayers,
		p.FailureReason, p.FilamentUsed, p.FilamentType, text(notNil(p.Filaments)), p.LayerHeight, p.Nozzle, p.BedType, p.Estimate, p.EstimateGrams, p.Cost,
		p.SHA256, p.FileSize, p.FileStatus, p.FileError, strings.Join(p.Has, " "), p.Duplicate, p.Notes, text(notNil(p.Tags)), p.ProjectID, p.Favorite, p.Dir,
		ms(p.DeletedAt), ms(p.UpdatedAt),
	}
}

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
		&p.SHA256, &p.FileSize, &p.FileStatus, &p.FileError, &has, &p.Duplicate, &p.Notes, &tags, &p.ProjectID, &p.Favorite, &p.Dir,
		&deleted, &updated,
	)
	if err != nil {
		return p, err
	}
	p.CreatedAt, p.StartedAt, p.FinishedAt, p.DeletedAt, p.UpdatedAt = when(created), when(started), when(finished), when(deleted), when(updated)
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

// OpenPrints gives the prints that are under way at printers.
func (d *DB) OpenPrints(ctx context.Context) ([]farm.Print, error) {
	const q = `SELECT ` + printColumns + ` FROM prints WHERE status = 'printing' AND printer_id > 0 AND deleted_at = 0`
	out, err := list(ctx, d.read, scanPrint, q)
	if err != nil {
		return nil, fmt.Errorf("list the open prints: %w", err)
	}
	return out, nil
}

var insertPrint = `INSERT INTO prints (` + strings.TrimPrefix(printColumns, "id, ") + `) VALUES (` + places(1, 49) + `) RETURNING id`

var updatePrint = func() string {
	var out []string
	for i, column := range strings.Split(strings.TrimPrefix(printColumns, "id, "), ",") {
		out = append(out, fmt.Sprintf("%s = $%d", strings.TrimSpace(column), i+2))
	}
	return `UPDATE prints SET ` + strings.Join(out, ", ") + ` WHERE id = $1`
}()

// places are n placeholders from a number on.
func places(from, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("$%d", from+i)
	}
	return strings.Join(out, ", ")
}

// addPrint inserts a print, gives it its id, and keeps counts and search with it.
func (t *tx) addPrint(ctx context.Context, p *farm.Print) error {
	if err := t.QueryRowContext(ctx, insertPrint, printFields(*p)...).Scan(&p.ID); err != nil {
		return taken(err, "a print is under way at printer %d already", p.PrinterID)
	}
	if err := t.count(ctx, *p, 1); err != nil {
		return err
	}
	return t.index(ctx, *p, false)
}

// savePrint replaces a print by what it is now, and keeps counts and search with it.
func (t *tx) savePrint(ctx context.Context, before, p farm.Print) error {
	r, err := t.ExecContext(ctx, updatePrint, append([]any{p.ID}, printFields(p)...)...)
	if ok, err := changed(r, err); err != nil || !ok {
		return notFound(orNoRows(err), "there is no archive %d", p.ID)
	}
	if countKey(before) != countKey(p) {
		if err := t.count(ctx, before, -1); err != nil {
			return err
		}
		if err := t.count(ctx, p, 1); err != nil {
			return err
		}
	}
	if searchText(before) != searchText(p) || before.DeletedAt.IsZero() != p.DeletedAt.IsZero() {
		return t.index(ctx, p, true)
	}
	return nil
}

func orNoRows(err error) error {
	if err == nil {
		return sql.ErrNoRows
	}
	return err
}

// counted is what archives are counted by.
type counted struct {
	printer, site, project int64
	status                 farm.PrintStatus
	day                    int64
	deleted                bool
}

const dayMS = int64(24 * time.Hour / time.Millisecond)

func countKey(p farm.Print) counted {
	return counted{p.PrinterID, p.SiteID, p.ProjectID, p.Status, ms(p.CreatedAt) / dayMS, !p.DeletedAt.IsZero()}
}

func (t *tx) count(ctx context.Context, p farm.Print, n int64) error {
	k := countKey(p)
	if k.deleted {
		return nil
	}
	const q = `INSERT INTO print_counts (printer_id, site_id, project_id, status, day, n) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (printer_id, site_id, project_id, status, day) DO UPDATE SET n = print_counts.n + excluded.n`
	if _, err := t.ExecContext(ctx, q, k.printer, k.site, k.project, string(k.status), k.day, n); err != nil {
		return fmt.Errorf("count archives: %w", err)
	}
	return nil
}
