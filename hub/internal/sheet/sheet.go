// Package sheet writes a table as CSV or as a spreadsheet, row by row. What comes out
// holds texts and numbers and nothing that a spreadsheet would run.
package sheet

import (
	"bufio"
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"
)

// Column is one column. A value is nil, a string, an int64 or a float64.
type Column[T any] struct {
	Title string
	Value func(T) any
}

// Time is a moment as the contract writes it; nil for none.
func Time(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// ID is a number that is nil when it is 0.
func ID(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// Number is a number that may be none.
func Number[T int64 | float64](v *T) any {
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

// CSV writes the rows that each adds as RFC 4180, as they come.
func CSV[T any](w io.Writer, columns []Column[T], each func(add func(T) error) error) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	out := csv.NewWriter(buf)
	out.UseCRLF = true
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.Title
	}
	if err := out.Write(row); err != nil {
		return err
	}
	err := each(func(v T) error {
		for i, c := range columns {
			row[i] = cell(c.Value(v))
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

// Book is how a spreadsheet is made.
type Book struct {
	Name string // of its first sheet
	Dir  string // for temporary files; "": the system's
	Most int    // rows of a sheet; 0: what one holds
}

// XLSX writes the same rows as a spreadsheet, on as many sheets as they need. The
// format cannot be streamed: the sheets grow in temporary files, and are sent when they
// are whole.
func XLSX[T any](w io.Writer, b Book, columns []Column[T], each func(add func(T) error) error) error {
	if b.Most <= 0 {
		b.Most = maxSheetRows
	}
	out := &workbook[T]{Book: b, book: excelize.NewFile(excelize.Options{TmpDir: b.Dir}), columns: columns}
	defer func() { _ = out.book.Close() }() // removes its temporary files
	if err := out.turn(); err != nil {
		return err
	}
	if err := each(out.add); err != nil {
		return err
	}
	if err := out.sheet.Flush(); err != nil {
		return err
	}
	return out.book.Write(w)
}

// workbook is a spreadsheet that grows row by row.
type workbook[T any] struct {
	Book
	book    *excelize.File
	columns []Column[T]
	sheets  int
	sheet   *excelize.StreamWriter
	rows    int // of the sheet
}

// turn ends a sheet and begins the next one, with the titles on top.
func (b *workbook[T]) turn() (err error) {
	if b.sheet != nil {
		if err := b.sheet.Flush(); err != nil {
			return err
		}
	}
	name := b.Name
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
	row := make([]any, len(b.columns))
	for i, c := range b.columns {
		row[i] = c.Title
	}
	b.rows = 0
	return b.put(row)
}

func (b *workbook[T]) add(v T) error {
	if b.rows == b.Most {
		if err := b.turn(); err != nil {
			return err
		}
	}
	row := make([]any, len(b.columns))
	for i, c := range b.columns {
		row[i] = c.Value(v)
		if text, ok := row[i].(string); ok {
			row[i] = cut(plain(text))
		}
	}
	return b.put(row)
}

func (b *workbook[T]) put(row []any) error {
	b.rows++
	return b.sheet.SetRow("A"+strconv.Itoa(b.rows), row)
}

func cut(text string) string {
	if len(text) <= maxSheetText {
		return text
	}
	return strings.ToValidUTF8(text[:maxSheetText], "")
}
