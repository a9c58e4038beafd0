package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// The data set of the benchmarks: a farm of 200 printers over three years.
const (
	benchPrinters = 200
	benchSites    = 5
	benchSpan     = 3 * 365 * 24 * time.Hour
)

var benchStart = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)

// benchPrint is the nth of count archives of the data set, the same every time.
func benchPrint(n, count int) farm.Print {
	pick := func(salt, of int) int { return int(uint32(n*2654435761+salt*40503)>>8) % of }
	statuses := []farm.PrintStatus{farm.StatusFailed, farm.StatusStopped, farm.StatusUnknown}
	printer := int64(1 + pick(1, benchPrinters))
	at := benchStart.Add(benchSpan / time.Duration(count) * time.Duration(n))
	weight, layer, took := 45.2, 0.2, int64(8100)
	p := farm.Print{
		Kind: farm.KindPrint, Status: farm.StatusSuccess, RunID: fmt.Sprintf("0190-%012d", n), Subtask: fmt.Sprint(n), Source: farm.SourceSlicer,
		PrinterID: printer, PrinterName: fmt.Sprintf("Printer %03d", printer), Serial: fmt.Sprintf("S%03d", printer), SiteID: 1 + printer%benchSites,
		Name: fmt.Sprintf("Bracket %d variant %d", n, pick(2, 50)), Filename: fmt.Sprintf("bracket_%d_v%d.3mf", n, pick(2, 50)), Plate: 1,
		CreatedAt: at, StartedAt: at, FinishedAt: at.Add(2 * time.Hour), Duration: &took, Progress: 100, TotalLayers: 240, Layer: 240,
		FilamentUsed: &weight, FilamentType: []string{"PLA", "PETG", "ABS"}[pick(3, 3)], LayerHeight: &layer, EstimateGrams: &weight,
		SHA256: fmt.Sprintf("%064x", pick(4, count/20+1)), FileSize: 3 << 20, FileStatus: farm.FileStored, Has: []string{farm.RoleThumbnail, farm.RoleModel},
		Tags: []string{fmt.Sprintf("customer-%d", pick(5, 300))}, Dir: fmt.Sprintf("printer-%03d/%s-%d", printer, at.Format("2006/01/02/150405"), n), UpdatedAt: at,
	}
	if f := pick(6, 20); f < len(statuses) {
		p.Status, p.FailureReason = statuses[f], "something"
	}
	if pick(7, 4) == 0 {
		p.ProjectID = int64(1 + pick(8, 20))
	}
	if pick(9, 1000) == 0 {
		p.Favorite, p.FileStatus = true, farm.FileMissing
	}
	if pick(10, 200) == 0 {
		p.Notes = "the glue stick helped"
	}
	return p
}

// benchDB opens the data set, which is made once and kept in the folder for temporary
// files, by the schema's version.
func benchDB(b *testing.B, count int) *DB {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("bambuddy-bench-3-%d", count))
	done := filepath.Join(dir, "complete")
	if _, err := os.Stat(done); err != nil {
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		fillBench(b, dir, count)
		if err := os.WriteFile(done, nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return opened(b, Config{Dir: dir})
}

func fillBench(b *testing.B, dir string, count int) {
	b.Helper()
	ctx := context.Background()
	db, err := Open(ctx, Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for i := range benchSites {
		if _, err := db.CreateSite(ctx, fmt.Sprintf("Site %d", i)); err != nil {
			b.Fatal(err)
		}
	}
	for i := range benchPrinters {
		p := farm.Printer{Serial: fmt.Sprintf("S%03d", i+1), Name: fmt.Sprintf("Printer %03d", i+1), SiteID: int64(1 + (i+1)%benchSites)}
		if _, err := db.CreatePrinter(ctx, p, nil); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 20 {
		if _, err := db.AddProject(ctx, farm.Project{Name: fmt.Sprint(i), Status: "active"}); err != nil {
			b.Fatal(err)
		}
	}
	const batch = 5000
	for from := 0; from < count; from += batch {
		err := db.ApplyPrints(ctx, 0, "", func(t *PrintTx) error {
			for n := from; n < min(from+batch, count); n++ {
				p := benchPrint(n, count)
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
}

// BenchmarkPrints asks what a page of the web asks, and tells how long the slowest in a
// hundred took.
func BenchmarkPrints(b *testing.B) {
	yes := true
	day := func(n int) time.Time { return benchStart.AddDate(0, 0, n) }
	queries := map[string]farm.PrintQuery{
		"all":            {},
		"deep":           {Offset: 50_000},
		"printer":        {PrinterID: 17},
		"site":           {SiteID: 3},
		"project":        {ProjectID: 5},
		"status":         {Status: farm.StatusFailed},
		"printer+status": {PrinterID: 17, Status: farm.StatusUnknown},
		"project+status": {ProjectID: 5, Status: farm.StatusUnknown},
		"favorite":       {Favorite: &yes},
		"source":         {Source: farm.SourceCloud},
		"source common":  {Source: farm.SourceSlicer},
		"unavailable":    {FileStatus: farm.FileMissing},
		"stored":         {FileStatus: farm.FileStored},
		"tag":            {Tag: "customer-7"},
		"sha256":         {SHA256: fmt.Sprintf("%064x", 9)},
		"days":           {From: day(100), To: day(600)},
		"moments":        {From: day(100).Add(time.Hour), To: day(900).Add(time.Hour)},
		"days+status":    {From: day(100), To: day(600), Status: farm.StatusFailed},
		"scope":          {Scope: farm.PrintScope{Printers: []int64{3, 17, 44}, Sites: []int64{1, 3, 4, 5}}},
		"search rare":    {Search: "glue stick"},
		"search one":     {Search: "4711"},
		"search common":  {Search: "pla"},
		"search prefix":  {Search: "brack"},
		"search two":     {Search: "bracket petg"},
		"search+status":  {Search: "pla", Status: farm.StatusFailed},
		"search+printer": {Search: "bracket", PrinterID: 17},
		"search+site":    {Search: "bracket", SiteID: 3},
		"search nothing": {Search: "zzz"},
		"tag+status":     {Tag: "customer-7", Status: farm.StatusFailed},
		"search+days":    {Search: "pla", From: day(100), To: day(600)},
	}
	names := []string{}
	for name := range queries {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, count := range []int{100_000, 1_000_000} {
		for _, name := range names {
			b.Run(fmt.Sprintf("%d/%s", count, name), func(b *testing.B) {
				db := benchDB(b, count)
				q := queries[name]
				q.Limit = 50
				var took []time.Duration
				for b.Loop() {
					began := time.Now()
					if _, err := db.Prints(b.Context(), q); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}

// BenchmarkIngest applies 10,000 records of an agent in pages of 200, each a change of
// its print with its event, as a hub does that was away.
func BenchmarkIngest(b *testing.B) {
	for _, e := range []engine{sqlite, postgres} {
		b.Run(string(e), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				db := fresh(b, e)
				b.StartTimer()
				for page := range 50 {
					if err := db.ApplyPrints(b.Context(), 7, "E", func(tx *PrintTx) error { return ingest(tx, int64(page)*200) }); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// ingest applies a page: of ten records one begins a print, one ends it, one brings a
// file, and the others tell of its progress.
func ingest(tx *PrintTx, mark int64) error {
	for n := mark; n < mark+200; n++ {
		run := fmt.Sprintf("run-%d", n/10)
		if n%10 == 0 {
			p := benchPrint(int(n), 10_000)
			p.Status, p.FileStatus, p.RunID, p.PrinterID, p.SiteID, p.Has, p.SHA256 = farm.StatusPrinting, farm.FilePending, run, 1+n%100, 1, nil, ""
			if err := errors.Join(tx.Insert(&p), tx.Link(run, p.ID, 1)); err != nil {
				return err
			}
			tx.Tell(farm.Event{Kind: farm.EventPrintStarted})
			continue
		}
		p, _, _, err := tx.Run(run)
		if err != nil {
			return err
		}
		p.Progress, p.Layer = int(n%10)*10, int(n%10)
		if n%10 == 9 {
			p.Status = farm.StatusSuccess
		}
		if err := errors.Join(tx.SetSeq(run, n), tx.Save(p)); err != nil {
			return err
		}
		if n%10 == 5 {
			if err := tx.AddPull(farm.Pull{PrintID: p.ID, RunID: run, AgentID: 7, Role: farm.RoleModel, SHA256: run, Name: "x.3mf"}); err != nil {
				return err
			}
		}
		tx.Tell(farm.Event{Kind: farm.EventPrintProgress})
	}
	tx.SetMark(mark+200, time.Now())
	return nil
}

// BenchmarkEach reads all that there is, as an export does.
func BenchmarkEach(b *testing.B) {
	db := benchDB(b, 100_000)
	for b.Loop() {
		n := 0
		if err := db.EachPrint(b.Context(), farm.PrintQuery{}, func(farm.Print) error { n++; return nil }); err != nil || n != 100_000 {
			b.Fatal(n, err)
		}
	}
}
