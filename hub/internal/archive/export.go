package archive

import (
	"bufio"
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"bambuddy/shared/farm"
)

// column is one column of the export. A value is nil, a string, an int64 or a float64.
type column struct {
	title string
	value func(farm.Print) any
}

// columns are those of the list first, in its order; then what else is known.
var columns = []column{
	{"id", func(p farm.Print) any { return p.ID }},
	{"name", func(p farm.Print) any { return p.Name }},
	{"filename", func(p farm.Print) any { return p.Filename }},
	{"printer_id", func(p farm.Print) any { return orNil(p.PrinterID) }},
	{"printer_name", func(p farm.Print) any { return p.PrinterName }},
	{"created_at", func(p farm.Print) any { return stamp(p.CreatedAt) }},
	{"duration", func(p farm.Print) any { return orNone(p.Duration) }},
	{"status", func(p farm.Print) any { return string(p.Status) }},
	{"filament_used", func(p farm.Print) any { return orNone(p.FilamentUsed) }},
	{"filament_type", func(p farm.Print) any { return p.FilamentType }},
	{"started_at", func(p farm.Print) any { return stamp(p.StartedAt) }},
	{"finished_at", func(p farm.Print) any { return stamp(p.FinishedAt) }},
	{"estimated_duration", func(p farm.Print) any { return orNone(p.Estimate) }},
	{"plate", func(p farm.Print) any { return orNil(int64(p.Plate)) }},
	{"total_layers", func(p farm.Print) any { return orNil(int64(p.TotalLayers)) }},
	{"layer_height", func(p farm.Print) any { return orNone(p.LayerHeight) }},
	{"nozzle_diameter", func(p farm.Print) any { return orNone(p.Nozzle) }},
	{"bed_type", func(p farm.Print) any { return p.BedType }},
	{"cost", func(p farm.Print) any { return orNone(p.Cost) }},
	{"failure_reason", func(p farm.Print) any { return p.FailureReason }},
	{"source", func(p farm.Print) any { return p.Source }},
	{"project_id", func(p farm.Print) any { return orNil(p.ProjectID) }},
	{"tags", func(p farm.Print) any { return strings.Join(p.Tags, ", ") }},
	{"notes", func(p farm.Print) any { return p.Notes }},
	{"sha256", func(p farm.Print) any { return p.SHA256 }},
	{"file_size", func(p farm.Print) any { return p.FileSize }},
}

func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func orNil(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

func orNone[T int64 | float64](v *T) any {
	if v == nil {
		return nil
	}
	return *v
}

// plain makes a text that a spreadsheet takes for nothing but a text: one that begins
// like a formula is escaped.
func plain(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

func cell(v any) string {
	switch v := v.(type) {
	case string:
		return plain(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return ""
	}
}

// WriteCSV writes every archive a query finds as RFC 4180, as it reads them.
func (a *Archive) WriteCSV(ctx context.Context, w io.Writer, q farm.PrintQuery) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	out := csv.NewWriter(buf)
	out.UseCRLF = true
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.title
	}
	if err := out.Write(row); err != nil {
		return err
	}
	err := a.o.Store.EachPrint(ctx, q, func(p farm.Print) error {
		for i, c := range columns {
			row[i] = cell(c.value(p))
		}
		return out.Write(row)
	})
	if err != nil {
		return err
	}
	if out.Flush(); out.Error() != nil {
		return out.Error()
	}
	return buf.Flush()
}

// What a sheet and a cell of a spreadsheet hold.
const (
	maxSheetRows = 1_048_576
	maxSheetText = 32_767
)

// WriteXLSX writes the same rows as a spreadsheet, on as many sheets as they need. The
// format cannot be streamed: the sheets grow in temporary files, and are sent when they
// are whole.
func (a *Archive) WriteXLSX(ctx context.Context, w io.Writer, q farm.PrintQuery) error {
	out := &workbook{book: excelize.NewFile(excelize.Options{TmpDir: a.o.Dir}), most: maxSheetRows}
	defer func() { _ = out.book.Close() }() // removes its temporary files
	if err := out.turn(); err != nil {
		return err
	}
	if err := a.o.Store.EachPrint(ctx, q, out.add); err != nil {
		return err
	}
	if err := out.sheet.Flush(); err != nil {
		return err
	}
	return out.book.Write(w)
}

// workbook is a spreadsheet that grows row by row.
type workbook struct {
	book   *excelize.File
	most   int // rows of a sheet
	sheets int
	sheet  *excelize.StreamWriter
	rows   int // of the sheet
}

// turn ends a sheet and begins the next one, with the titles on top.
func (b *workbook) turn() (err error) {
	if b.sheet != nil {
		if err := b.sheet.Flush(); err != nil {
			return err
		}
	}
	name := "Archives"
	if b.sheets++; b.sheets > 1 {
		name += " " + strconv.Itoa(b.sheets)
		_, err = b.book.NewSheet(name)
	} else {
		err = b.book.SetSheetName("Sheet1", name)
	}
	if err != nil {
		return err
	}
	if b.sheet, err = b.book.NewStreamWriter(name); err != nil {
		return err
	}
	if err := b.sheet.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	row := make([]any, len(columns))
	for i, c := range columns {
		row[i] = c.title
	}
	b.rows = 0
	return b.put(row)
}

func (b *workbook) add(p farm.Print) error {
	if b.rows == b.most {
		if err := b.turn(); err != nil {
			return err
		}
	}
	row := make([]any, len(columns))
	for i, c := range columns {
		row[i] = c.value(p)
		if text, ok := row[i].(string); ok {
			row[i] = cut(plain(text))
		}
	}
	return b.put(row)
}

func (b *workbook) put(row []any) error {
	b.rows++
	return b.sheet.SetRow("A"+strconv.Itoa(b.rows), row)
}

func cut(text string) string {
	if len(text) <= maxSheetText {
		return text
	}
	return strings.ToValidUTF8(text[:maxSheetText], "")
}
