package app

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"bambuddy/hub/internal/events"
	"bambuddy/hub/internal/prints"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Ten thousand records that waited while a hub was away: two thousand prints, each with
// a start, three milestones and an end.
func BenchmarkApplyOutbox(b *testing.B) {
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		db, err := store.Open(b.Context(), store.Config{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		p := prints.New(prints.Options{Store: printStore{db}, Events: events.New(), Log: slog.New(slog.DiscardHandler)})
		pages := waiting(10_000)
		b.StartTimer()
		for _, page := range pages {
			if _, err := p.Apply(b.Context(), farm.Agent{ID: 1, SiteID: 1}, page, time.Now()); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func waiting(n int) (pages []wire.OutboxPage) {
	kinds := []wire.RecordKind{wire.PrintStarted, wire.PrintProgress, wire.PrintProgress, wire.PrintProgress, wire.PrintFinished}
	for i := range n {
		if i%wire.MaxOutboxPage == 0 {
			pages = append(pages, wire.OutboxPage{Epoch: "E", First: 1, Last: int64(n), Clock: wire.Clock{ProcessID: "boot", MonoMS: int64(n)}})
		}
		at := i % len(kinds)
		r := wire.OutboxRecord{
			N: int64(i + 1), Serial: fmt.Sprint("P", i/len(kinds)%50), Kind: kinds[at], ProcessID: "boot", MonoMS: int64(i),
			Print: &wire.PrintRecord{RunID: fmt.Sprint("run-", i/len(kinds)), Seq: int64(at + 1), Name: "Benchy", SubtaskID: fmt.Sprint(i/len(kinds) + 1), Milestone: 25 * at},
		}
		if r.Kind == wire.PrintFinished {
			r.Print.Outcome, r.Print.Milestone = wire.Success, 0
		}
		page := &pages[len(pages)-1]
		page.Records = append(page.Records, r)
	}
	return pages
}
