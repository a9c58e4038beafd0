package archive

import (
	"context"
	"io"
	"strings"

	"bambuddy/hub/internal/sheet"
	"bambuddy/shared/farm"
)

// columns are those of the list first, in its order; then what else is known.
var columns = []sheet.Column[farm.Print]{
	{Title: "id", Value: func(p farm.Print) any { return p.ID }},
	{Title: "name", Value: func(p farm.Print) any { return p.Name }},
	{Title: "filename", Value: func(p farm.Print) any { return p.Filename }},
	{Title: "printer_id", Value: func(p farm.Print) any { return sheet.ID(p.PrinterID) }},
	{Title: "printer_name", Value: func(p farm.Print) any { return p.PrinterName }},
	{Title: "created_at", Value: func(p farm.Print) any { return sheet.Time(p.CreatedAt) }},
	{Title: "duration", Value: func(p farm.Print) any { return sheet.Number(p.Duration) }},
	{Title: "status", Value: func(p farm.Print) any { return string(p.Status) }},
	{Title: "filament_used", Value: func(p farm.Print) any { return sheet.Number(p.FilamentUsed) }},
	{Title: "filament_type", Value: func(p farm.Print) any { return p.FilamentType }},
	{Title: "started_at", Value: func(p farm.Print) any { return sheet.Time(p.StartedAt) }},
	{Title: "finished_at", Value: func(p farm.Print) any { return sheet.Time(p.FinishedAt) }},
	{Title: "estimated_duration", Value: func(p farm.Print) any { return sheet.Number(p.Estimate) }},
	{Title: "plate", Value: func(p farm.Print) any { return sheet.ID(int64(p.Plate)) }},
	{Title: "total_layers", Value: func(p farm.Print) any { return sheet.ID(int64(p.TotalLayers)) }},
	{Title: "layer_height", Value: func(p farm.Print) any { return sheet.Number(p.LayerHeight) }},
	{Title: "nozzle_diameter", Value: func(p farm.Print) any { return sheet.Number(p.Nozzle) }},
	{Title: "bed_type", Value: func(p farm.Print) any { return p.BedType }},
	{Title: "cost", Value: func(p farm.Print) any { return sheet.Number(p.Cost) }},
	{Title: "failure_reason", Value: func(p farm.Print) any { return p.FailureReason }},
	{Title: "source", Value: func(p farm.Print) any { return p.Source }},
	{Title: "project_id", Value: func(p farm.Print) any { return sheet.ID(p.ProjectID) }},
	{Title: "tags", Value: func(p farm.Print) any { return strings.Join(p.Tags, ", ") }},
	{Title: "notes", Value: func(p farm.Print) any { return p.Notes }},
	{Title: "sha256", Value: func(p farm.Print) any { return p.SHA256 }},
	{Title: "file_size", Value: func(p farm.Print) any { return p.FileSize }},
}

// WriteCSV writes every archive a query finds as RFC 4180, as it reads them.
func (a *Archive) WriteCSV(ctx context.Context, w io.Writer, q farm.PrintQuery) error {
	return sheet.CSV(w, columns, func(add func(farm.Print) error) error { return a.o.Store.EachPrint(ctx, q, add) })
}

// WriteXLSX writes the same rows as a spreadsheet.
func (a *Archive) WriteXLSX(ctx context.Context, w io.Writer, q farm.PrintQuery) error {
	return sheet.XLSX(w, sheet.Book{Name: "Archives", Dir: a.o.Dir}, columns, func(add func(farm.Print) error) error { return a.o.Store.EachPrint(ctx, q, add) })
}
