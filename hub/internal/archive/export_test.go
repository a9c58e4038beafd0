package archive

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"bambuddy/hub/internal/blob"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
)

// rows is a table of archives that tells them one after the other, and nothing else.
type rows struct {
	Store
	n    int
	make func(i int) farm.Print
	fail error // after half of them
}

func (r rows) EachPrint(_ context.Context, q farm.PrintQuery, fn func(farm.Print) error) error {
	for i := range r.n {
		if q.Limit > 0 && i == q.Limit {
			return nil
		}
		if r.fail != nil && i == r.n/2 {
			return r.fail
		}
		if err := fn(r.make(i)); err != nil {
			return err
		}
	}
	return nil
}

func exporter(t testing.TB, r rows) *Archive {
	t.Helper()
	a, err := New(Options{Store: r, Objects: blob.NewMemory(), Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// awkward are archives with everything that a spreadsheet can misread.
func awkward(i int) farm.Print {
	seconds, grams, cost := int64(8100), 45.2, -1.5
	p := farm.Print{
		ID: int64(i + 1), Name: "Benchy", Filename: "benchy.3mf", PrinterID: 1, PrinterName: "Workshop X1C", Status: farm.StatusSuccess,
		CreatedAt: time.Date(2024, 1, 15, 15, 30, 0, 999, time.FixedZone("", 3600)), Duration: &seconds, FilamentUsed: &grams, FilamentType: "PLA", Cost: &cost,
	}
	switch texts := []string{`=HYPERLINK("http://x")`, "+1", "-1", "@SUM(A1)", "\tx", "\rx", `a "quoted", text`, "two\nlines", "grüße, 日本", `\.`, "", "nul\x00\x0b"}; {
	case i < len(texts):
		p.Name, p.Notes, p.Tags = texts[i], texts[i], []string{"gift", "=1"}
	case i == len(texts):
		p.PrinterID, p.PrinterName, p.Duration, p.FilamentUsed, p.CreatedAt = 0, "", nil, nil, time.Time{}
	case i == len(texts)+1:
		p.Notes = strings.Repeat("ü", 30_000)
	}
	return p
}

var firstTen = []string{"id", "name", "filename", "printer_id", "printer_name", "created_at", "duration", "status", "filament_used", "filament_type"}

func TestCSV(t *testing.T) {
	var out bytes.Buffer
	if err := exporter(t, rows{n: 60, make: awkward}).WriteCSV(t.Context(), &out, farm.PrintQuery{}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if !strings.HasPrefix(text, strings.Join(firstTen, ",")+",") || strings.Count(text, "\n") != strings.Count(text, "\r\n") {
		t.Errorf("titles, or ends of lines: %.200q", text)
	}
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll() // takes lines of one length only
	if err != nil || len(lines) != 61 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	names := []string{`'=HYPERLINK("http://x")`, "'+1", "'-1", "'@SUM(A1)", "'\tx", "'x", `a "quoted", text`, "two\nlines", "grüße, 日本", `\.`, "", "nul\x00\x0b"}
	for i, want := range names {
		if got := lines[i+1]; got[1] != want || !strings.HasSuffix(strings.Join(got, "|"), "||0") {
			t.Errorf("%q, want %q in %q", got[1], want, got)
		}
	}
	want := []string{"60", "Benchy", "benchy.3mf", "1", "Workshop X1C", "2024-01-15T14:30:00Z", "8100", "success", "45.2", "PLA"}
	if got := lines[60][:10]; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	want = []string{"13", "Benchy", "benchy.3mf", "", "", "", "", "success", "", "PLA"}
	if got := lines[13][:10]; !slices.Equal(got, want) {
		t.Errorf("what is not known: %q", got)
	}
	if cost := lines[60][slices.Index(lines[0], "cost")]; cost != "-1.5" { // a number is no formula
		t.Errorf("cost %q", cost)
	}
}

// The spreadsheet has the same rows, numbers as numbers and texts as texts.
func TestXLSX(t *testing.T) {
	var sheet, text bytes.Buffer
	a := exporter(t, rows{n: 60, make: awkward})
	if err := errors.Join(a.WriteXLSX(t.Context(), &sheet, farm.PrintQuery{}), a.WriteCSV(t.Context(), &text, farm.PrintQuery{})); err != nil {
		t.Fatal(err)
	}
	book, err := excelize.OpenReader(&sheet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	got, err := book.GetRows("Archives", excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	want, err := csv.NewReader(&text).ReadAll()
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d rows, %d lines, %v", len(got), len(want), err)
	}
	for i := range want {
		if strings.ContainsAny(want[i][1]+got[i][1], "\x00\r") || len(want[i][23]) > 32_767 {
			continue // what XML, a line of CSV or a cell cannot hold
		}
		if g := append(got[i], make([]string, len(want[i])-len(got[i]))...); !slices.Equal(g, want[i]) {
			t.Errorf("row %d\n%q\n%q", i, g, want[i])
		}
	}
	for cell, want := range map[string]excelize.CellType{"A2": excelize.CellTypeUnset, "B2": excelize.CellTypeInlineString, "I61": excelize.CellTypeUnset} {
		if kind, err := book.GetCellType("Archives", cell); err != nil || kind != want {
			t.Errorf("%s is of type %v, %v", cell, kind, err)
		}
	}
}

func TestAnExportThatBreaksOff(t *testing.T) {
	cause := errors.New("the database is away")
	a := exporter(t, rows{n: 100, make: awkward, fail: cause})
	for name, write := range map[string]func(context.Context, io.Writer, farm.PrintQuery) error{"csv": a.WriteCSV, "xlsx": a.WriteXLSX} {
		var out bytes.Buffer
		if err := write(t.Context(), &out, farm.PrintQuery{}); !errors.Is(err, cause) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "xlsx" && out.Len() > 0 {
			t.Errorf("%d bytes of a spreadsheet are out", out.Len())
		}
		if err := write(t.Context(), failingWriter{}, farm.PrintQuery{Limit: 10}); !errors.Is(err, errGone) {
			t.Errorf("%s, the client is gone: %v", name, err)
		}
	}
}

var errGone = errors.New("gone")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errGone }

// The exports of many rows take as little memory as those of few.
func TestExportsAreFlatInMemory(t *testing.T) {
	const n = 5_000 // BenchmarkExport writes many more
	for name, most := range map[string]uint64{"csv": 8 << 20, "xlsx": 64 << 20} {
		a := exporter(t, rows{n: n, make: func(i int) farm.Print { return awkward(100 + i) }})
		write := a.WriteCSV
		if name == "xlsx" {
			write = a.WriteXLSX
		}
		began := time.Now()
		var err error
		used := peak(func() { err = write(t.Context(), io.Discard, farm.PrintQuery{}) })
		if err != nil || used > most {
			t.Errorf("%s: %d MB, %v", name, used>>20, err)
		}
		t.Logf("%s of %d rows: %.1f s, %d MB", name, n, time.Since(began).Seconds(), used>>20)
	}
}

// peak is how many bytes of heap a function needs at most, beyond what there was.
func peak(fn func()) (most uint64) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before := heap()
	ctx, stop := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if now := heap(); now > before {
				most = max(most, now-before)
			}
			<-tick.C
		}
	})
	fn()
	stop()
	watch.Wait()
	return most
}

func BenchmarkExport(b *testing.B) {
	for _, format := range []string{"csv", "xlsx"} {
		b.Run(format, func(b *testing.B) {
			a := exporter(b, rows{n: 100_000, make: func(i int) farm.Print { return awkward(100 + i) }})
			write := a.WriteCSV
			if format == "xlsx" {
				write = a.WriteXLSX
			}
			for b.Loop() {
				var err error
				used := peak(func() { err = write(b.Context(), io.Discard, farm.PrintQuery{}) })
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(used)/(1<<20), "MB-peak")
			}
		})
	}
}

func TestCheckChange(t *testing.T) {
	text := func(s string) *string { return &s }
	tags := func(s ...string) *[]string { return &s }
	number := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		change farm.PrintChange
		wrong  string
	}{
		"nothing":           {farm.PrintChange{}, ""},
		"a name":            {farm.PrintChange{Name: text("  Benchy ")}, ""},
		"the longest name":  {farm.PrintChange{Name: text(strings.Repeat("ü", maxName))}, ""},
		"no name":           {farm.PrintChange{Name: text("  ")}, "name"},
		"too long a name":   {farm.PrintChange{Name: text(strings.Repeat("ü", maxName+1))}, "name"},
		"lines in a name":   {farm.PrintChange{Name: text("a\nb")}, "name"},
		"notes":             {farm.PrintChange{Notes: text("a\nb\n")}, ""},
		"too long notes":    {farm.PrintChange{Notes: text(strings.Repeat("x", maxNotes+1))}, "notes"},
		"too long a reason": {farm.PrintChange{FailureReason: text(strings.Repeat("x", maxName+1))}, "failure_reason"},
		"no project":        {farm.PrintChange{ProjectID: number(0)}, ""},
		"a wrong project":   {farm.PrintChange{ProjectID: number(-1)}, "project_id"},
		"an empty tag":      {farm.PrintChange{Tags: tags("a", " ")}, "tags"},
		"a long tag":        {farm.PrintChange{Tags: tags(strings.Repeat("x", maxTag+1))}, "tags"},
		"a tag of lines":    {farm.PrintChange{Tags: tags("a\nb")}, "tags"},
		"many tags":         {farm.PrintChange{Tags: many(maxTags)}, ""},
		"too many tags":     {farm.PrintChange{Tags: many(maxTags + 1)}, "tags"},
		"the same many":     {farm.PrintChange{Tags: tags(strings.Split(strings.Repeat("same,", 99)+"same", ",")...)}, ""},
	} {
		err := CheckChange(&c.change)
		if (err == nil) != (c.wrong == "") || err != nil && (!farm.Is(err, farm.Invalid) || !strings.HasPrefix(err.Error(), c.wrong+":")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := farm.PrintChange{Name: text(" Benchy "), Tags: tags(" gift", "gift ", "red")}
	if err := CheckChange(&c); err != nil || *c.Name != "Benchy" || !slices.Equal(*c.Tags, []string{"gift", "red"}) {
		t.Errorf("%v: %q %q", err, *c.Name, *c.Tags)
	}
	c = farm.PrintChange{Tags: tags()}
	if err := CheckChange(&c); err != nil || *c.Tags == nil || len(*c.Tags) != 0 {
		t.Errorf("no tags: %v, %v", err, *c.Tags)
	}
}

func many(n int) *[]string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("tag ", strconv.Itoa(i))
	}
	return &out
}

// BenchmarkExportOfADatabase is the whole way of 100,000 rows, with the reading of them.
func BenchmarkExportOfADatabase(b *testing.B) {
	r := newRig(b, nil)
	defer func() { _ = r.db.Close() }()
	for i := range 100 {
		err := r.db.ApplyPrints(b.Context(), 1, "e", func(t *store.PrintTx) error {
			for n := range 1000 {
				p := awkward(100)
				p.ID, p.Kind, p.SiteID, p.CreatedAt = 0, farm.KindPrint, 1, p.CreatedAt.Add(time.Duration(i*1000+n)*time.Minute)
				if err := t.Insert(&p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for format, write := range map[string]func(context.Context, io.Writer, farm.PrintQuery) error{"csv": r.archive.WriteCSV, "xlsx": r.archive.WriteXLSX} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				var err error
				used := peak(func() { err = write(b.Context(), io.Discard, farm.PrintQuery{}) })
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(used)/(1<<20), "MB-peak")
			}
		})
	}
}
