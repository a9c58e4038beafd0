package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// applied runs fn in a transaction of an agent's outbox.
func applied(t testing.TB, db *DB, agent int64, epoch string, fn func(*PrintTx) error) {
	t.Helper()
	if err := db.ApplyPrints(context.Background(), agent, epoch, fn); err != nil {
		t.Fatal(err)
	}
}

// running is a print that is under way at a printer.
func running(printer int64) farm.Print {
	at := time.UnixMilli(1_760_000_000_123).UTC()
	return farm.Print{
		Kind: farm.KindPrint, Status: farm.StatusPrinting, RunID: fmt.Sprintf("run-%d", printer), Subtask: "11", Source: farm.SourceCloud,
		PrinterID: printer, PrinterName: "One", Serial: "S1", SiteID: farm.DefaultSiteID, AgentID: 7, Name: "Benchy", Filename: "benchy.3mf",
		CreatedAt: at, StartedAt: at, FileStatus: farm.FilePending, Dir: fmt.Sprintf("one/%d", printer), UpdatedAt: at,
	}
}

func inserted(t testing.TB, db *DB, p farm.Print) farm.Print {
	t.Helper()
	applied(t, db, 0, "", func(tx *PrintTx) error {
		if err := tx.Insert(&p); err != nil {
			return err
		}
		return tx.Link(p.RunID, p.ID, 1)
	})
	return p
}

// ended is a print that is over.
func ended(t testing.TB, db *DB, name string) farm.Print {
	t.Helper()
	p := running(0)
	p.Status, p.Name, p.RunID, p.Dir = farm.StatusSuccess, name, "run "+name, "one/"+name
	return inserted(t, db, p)
}

// Every field comes back as it went in, after an insert and after a change of it alone.
func TestAPrintIsKeptWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		where := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S1", farm.Agent{}), []byte("x")))
		project := must[farm.Project](t)(db.AddProject(ctx, farm.Project{Name: "p", Status: "active"}))
		full := running(where.ID)
		n, f := int64(5), 1.25
		full.Paused, full.SourceID, full.QueueID, full.Renamed, full.Plate, full.FinishedAt, full.Duration = true, 3, 4, true, 2, full.CreatedAt.Add(time.Hour), &n
		full.TimeEstimated, full.Progress, full.Milestone, full.Layer, full.TotalLayers, full.FailureReason = true, 50, 25, 9, 10, "why"
		full.FilamentUsed, full.FilamentType, full.LayerHeight, full.Nozzle, full.BedType, full.Estimate, full.EstimateGrams, full.Cost = &f, "PLA", &f, &f, "PEI", &n, &f, &f
		full.Filaments = []farm.PrintFilament{{Slot: 1, Type: "PLA", Color: "#ffffff", Grams: 1, Metres: 2}}
		full.SHA256, full.FileSize, full.FileError, full.Has, full.Notes, full.Tags = "ab", 7, "slow", []string{"model", "thumbnail"}, "n\nö", []string{"a", "b c"}
		full.ProjectID, full.Favorite = project.ID, true
		plain := inserted(t, db, running(where.ID))
		if got := must[farm.Print](t)(db.Print(ctx, plain.ID)); !same(got, plain) {
			t.Errorf("read back %+v\ninserted  %+v", got, plain)
		}
		full.ID = plain.ID
		to := reflect.ValueOf(&full).Elem()
		for i := range to.NumField() {
			switch name := to.Type().Field(i).Name; name {
			case "ID", "RunSeq", "Duplicate", "DeletedAt": // its key, a run's, looked up, and hiding it
			default:
				now := must[farm.Print](t)(db.Print(ctx, plain.ID))
				reflect.ValueOf(&now).Elem().Field(i).Set(to.Field(i))
				applied(t, db, 0, "", func(tx *PrintTx) error { return tx.Save(now) })
				if got := must[farm.Print](t)(db.Print(ctx, plain.ID)); !same(got, now) {
					t.Errorf("%s: read back %+v\nsaved     %+v", name, got, now)
				}
			}
		}
		if got := must[farm.Print](t)(db.Print(ctx, plain.ID)); !same(got, full) {
			t.Errorf("in the end %+v\nwants      %+v", got, full)
		}
		applied(t, db, 0, "", func(tx *PrintTx) error {
			p, _, ok, err := tx.Run(plain.RunID)
			if !ok || !same(p, full) {
				t.Errorf("its run is %+v, %v", p, ok)
			}
			return err
		})
	})
}

// same compares prints; no list is an empty one.
func same(a, b farm.Print) bool {
	for _, p := range []*farm.Print{&a, &b} {
		p.Has, p.Tags, p.Filaments = append([]string{}, p.Has...), append([]string{}, p.Tags...), append([]farm.PrintFilament{}, p.Filaments...)
	}
	return reflect.DeepEqual(a, b)
}

// Rows, events and mark are there together or not at all.
func TestAnOutboxIsAppliedWholeOrNotAtAll(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		fail := errors.New("no")
		for _, err := range []error{fail, nil, nil} {
			got := db.ApplyPrints(ctx, 7, "E", func(tx *PrintTx) error {
				n, _ := tx.Mark()
				p := running(n + 1)
				p.RunID = fmt.Sprint(n)
				if err := errors.Join(tx.Insert(&p), tx.Link(p.RunID, p.ID, 1)); err != nil {
					return err
				}
				tx.SetMark(n+10, time.Now())
				tx.Tell(farm.Event{Kind: farm.EventPrintStarted})
				return err
			})
			if !errors.Is(got, err) {
				t.Fatalf("%v, want %v", got, err)
			}
		}
		if n := must[int64](t)(db.OutboxMark(ctx, 7, "E")); n != 20 {
			t.Errorf("mark %d", n)
		}
		if n := must[int64](t)(db.OutboxMark(ctx, 7, "F")) + must[int64](t)(db.OutboxMark(ctx, 8, "E")); n != 0 {
			t.Errorf("another's mark is %d", n)
		}
		if open := must[[]farm.Print](t)(db.OpenPrints(ctx)); len(open) != 2 || len(kinds(t, db)) != 2 {
			t.Errorf("%d prints, events %v", len(open), kinds(t, db))
		}
	})
}

func TestAPrinterPrintsOneThingAtATime(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		first := inserted(t, db, running(1))
		inserted(t, db, running(2))
		for range 2 { // several of printers that are not registered
			inserted(t, db, running(0))
		}
		second := running(1)
		second.RunID = "second"
		err := db.ApplyPrints(t.Context(), 0, "", func(tx *PrintTx) error { return tx.Insert(&second) })
		wantCode(t, err, farm.Conflict)
		applied(t, db, 0, "", func(tx *PrintTx) error {
			open, ok, err := tx.Open(1)
			if !ok || open.ID != first.ID {
				t.Errorf("open: %+v", open)
			}
			if _, ok, _ := tx.Open(0); ok {
				t.Error("no printer has an open print")
			}
			open.Status = farm.StatusFailed
			return errors.Join(err, tx.Save(open), tx.Insert(&second))
		})
		applied(t, db, 0, "", func(tx *PrintTx) error {
			newest, ok, err := tx.BySubtask(1, "11")
			if !ok || newest.ID != second.ID {
				t.Errorf("by its id: %+v", newest)
			}
			if _, ok, _ := tx.BySubtask(1, ""); ok {
				t.Error("an empty id identifies a print")
			}
			return err
		})
		first.Status = farm.StatusPrinting
		err = db.ApplyPrints(t.Context(), 0, "", func(tx *PrintTx) error { return tx.Save(first) })
		wantCode(t, err, farm.Conflict)
	})
}

func TestRunsAreKnown(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		p := ended(t, db, "a")
		run := func() (one farm.Print, seq int64, ok bool) {
			applied(t, db, 0, "", func(tx *PrintTx) (err error) {
				one, seq, ok, err = tx.Run(p.RunID)
				return err
			})
			return one, seq, ok
		}
		for _, step := range []struct{ set, want int64 }{{5, 5}, {3, 5}} {
			applied(t, db, 0, "", func(tx *PrintTx) error { return tx.SetSeq(p.RunID, step.set) })
			if one, seq, ok := run(); !ok || seq != step.want || one.ID != p.ID {
				t.Errorf("%+v, %d, %v", one, seq, ok)
			}
		}
		if err := db.DeletePrint(ctx, p.ID, false); err != nil {
			t.Fatal(err)
		}
		if one, _, ok := run(); !ok || one.DeletedAt.IsZero() || one.Name != "a" {
			t.Errorf("of a hidden print: %+v", one)
		}
		p = ended(t, db, "b")
		if err := db.DeletePrint(ctx, p.ID, true); err != nil {
			t.Fatal(err)
		}
		if one, _, ok := run(); !ok || one.DeletedAt.IsZero() || one.ID != p.ID {
			t.Errorf("of a print that is gone for good: %+v, %v: a replay would bring it back", one, ok)
		}
		p.RunID = "nobody's"
		if _, _, ok := run(); ok {
			t.Error("a run nobody told of is known")
		}
	})
}

// Two writers of one print: neither undoes what the other did.
func TestNoChangeOfAPrintIsLost(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		p := inserted(t, db, running(1))
		const each = 20
		var wg sync.WaitGroup
		wg.Go(func() {
			for range each {
				applied(t, db, 0, "", func(tx *PrintTx) error {
					one, _, _, err := tx.Run(p.RunID)
					one.Progress++
					return errors.Join(err, tx.Save(one))
				})
			}
		})
		wg.Go(func() {
			for i := range each {
				notes, tags := fmt.Sprint(i), []string{fmt.Sprint(i)}
				if _, err := db.ChangePrint(ctx, p.ID, farm.PrintChange{Notes: &notes, Tags: &tags}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		got := must[farm.Print](t)(db.Print(ctx, p.ID))
		last := fmt.Sprint(each - 1)
		if got.Progress != each || got.Notes != last || !slices.Equal(got.Tags, []string{last}) {
			t.Errorf("progress %d, notes %q, tags %v", got.Progress, got.Notes, got.Tags)
		}
		for tag, want := range map[string]int64{last: 1, "0": 0} {
			if page := must[farm.PrintPage](t)(db.Prints(ctx, farm.PrintQuery{Tag: tag, Limit: 9})); page.Total != want || len(page.Prints) != int(want) {
				t.Errorf("tag %s: %+v", tag, page)
			}
		}
	})
}

func TestArchivesAreChangedAndDeleted(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		name, none := "renamed", int64(77)
		p := ended(t, db, "a")
		got := must[farm.Print](t)(db.ChangePrint(ctx, p.ID, farm.PrintChange{Name: &name}))
		if got.Name != name || !got.Renamed {
			t.Errorf("%+v", got)
		}
		_, err := db.ChangePrint(ctx, p.ID, farm.PrintChange{ProjectID: &none})
		wantCode(t, err, farm.NotFound)
		_, err = db.ChangePrint(ctx, 999, farm.PrintChange{})
		wantCode(t, err, farm.NotFound)
		open := inserted(t, db, running(1))
		wantCode(t, db.DeletePrint(ctx, open.ID, false), farm.Conflict)
		if err := db.DeletePrint(ctx, p.ID, false); err != nil {
			t.Fatal(err)
		}
		_, err = db.Print(ctx, p.ID)
		wantCode(t, err, farm.NotFound)
		wantCode(t, db.DeletePrint(ctx, p.ID, true), farm.NotFound)
		f := farm.StoredFile{Role: farm.RoleModel, Path: "lid.3mf", Name: "lid.3mf", Key: "models/aa", SHA256: "aa", Size: 9}
		wantCode(t, db.AddFile(ctx, &farm.Print{Kind: farm.KindFile, Status: farm.StatusUploaded, SiteID: 1, ProjectID: none}, f), farm.NotFound)
		file := farm.Print{Kind: farm.KindFile, Status: farm.StatusUploaded, SiteID: 1, Name: "lid", CreatedAt: worldStart, FileStatus: farm.FilePending}
		if err := db.Intend(ctx, f.Key, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := db.AddFile(ctx, &file, f); err != nil {
			t.Fatal(err)
		}
		if got := must[farm.Print](t)(db.Print(ctx, file.ID)); got.FileStatus != farm.FileStored || got.Filename != "lid.3mf" || got.SHA256 != "aa" {
			t.Errorf("%+v", got)
		}
		if got := must[[]farm.PrintFile](t)(db.PrintFiles(ctx, file.ID)); len(got) != 1 || got[0].Path != file.Dir+"/lid.3mf" {
			t.Errorf("%+v", got)
		}
		if want := fmt.Sprintf("uploads/2026/01/01/000000-lid-%d", file.ID); file.Dir != want || must[farm.Print](t)(db.Print(ctx, file.ID)).Dir != want {
			t.Errorf("its folder is %q", file.Dir)
		}
		want := []string{farm.EventArchiveUpdated, farm.EventArchiveDeleted, farm.EventArchiveAdded}
		if got := kinds(t, db); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
	})
}

func TestASiteWithArchivesStays(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		site := must[farm.Site](t)(db.CreateSite(t.Context(), "Berlin"))
		p := running(0)
		p.SiteID, p.Status = site.ID, farm.StatusSuccess
		inserted(t, db, p)
		wantCode(t, db.DeleteSite(t.Context(), site.ID), farm.Conflict)
	})
}

func TestProjects(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		p := must[farm.Project](t)(db.AddProject(ctx, farm.Project{Name: "Voron", Description: "d", Color: "#4caf50", TargetCount: 9, Status: "active"}))
		if p.ID == 0 || p.CreatedAt.IsZero() {
			t.Errorf("%+v", p)
		}
		p.Name, p.Status = "Voron 2.4", "completed"
		p = must[farm.Project](t)(db.ChangeProject(ctx, p))
		if got := must[farm.Project](t)(db.Project(ctx, p.ID)); got != p || got.Name != "Voron 2.4" || got.TargetCount != 9 {
			t.Errorf("%+v", got)
		}
		if all := must[[]farm.Project](t)(db.Projects(ctx)); len(all) != 1 || all[0] != p {
			t.Errorf("%+v", all)
		}
		if err := db.DeleteProject(ctx, p.ID); err != nil {
			t.Fatal(err)
		}
		wantCode(t, db.DeleteProject(ctx, p.ID), farm.NotFound)
		_, err := db.ChangeProject(ctx, p)
		wantCode(t, err, farm.NotFound)
		if got := kinds(t, db); !slices.Equal(got, []string{farm.EventProjectAdded, farm.EventProjectUpdated, farm.EventProjectRemoved}) {
			t.Errorf("events %v", got)
		}
	})
}

// The first archive with the same 3MF is the duplicate's original, as long as it is there.
func TestDuplicates(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		var all []farm.Print
		for i, name := range []string{"a", "b", "c"} {
			p := running(0)
			p.Status, p.RunID, p.Dir, p.SHA256, p.CreatedAt = farm.StatusSuccess, name, name, "same", p.CreatedAt.Add(-time.Duration(i)*time.Hour)
			all = append(all, inserted(t, db, p))
		}
		duplicates := func() (out []int64) {
			for _, p := range must[farm.PrintPage](t)(db.Prints(ctx, farm.PrintQuery{Limit: 9})).Prints {
				out = append(out, p.Duplicate)
			}
			return out
		}
		if got := duplicates(); !slices.Equal(got, []int64{all[2].ID, all[2].ID, 0}) {
			t.Errorf("duplicates of %v", got)
		}
		if err := db.DeletePrint(ctx, all[2].ID, false); err != nil {
			t.Fatal(err)
		}
		if got := duplicates(); !slices.Equal(got, []int64{all[1].ID, 0}) {
			t.Errorf("duplicates of %v", got)
		}
	})
}
