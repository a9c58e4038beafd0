package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// keep stores a file of a print as the archive does: an intent first, then the row.
func keep(t testing.TB, db *DB, f farm.StoredFile) {
	t.Helper()
	if err := db.Intend(t.Context(), f.Key, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := db.StoreFile(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func model(p farm.Print, sha string) farm.StoredFile {
	return farm.StoredFile{PrintID: p.ID, Role: farm.RoleModel, Path: p.Dir + "/benchy.3mf", Name: "benchy.3mf", Key: "models/" + sha, SHA256: sha, Size: 100, MediaType: "x/3mf"}
}

func picture(p farm.Print) farm.StoredFile {
	return farm.StoredFile{PrintID: p.ID, Role: farm.RoleThumbnail, Path: p.Dir + "/thumbnail.jpg", Key: "prints/" + p.Dir + "/thumbnail.jpg", SHA256: "t" + p.Dir, Size: 10, MediaType: "image/jpeg"}
}

// due sweeps as the archive does and gives what it deletes.
func due(t testing.TB, db *DB, now time.Time) (deleted []string) {
	t.Helper()
	for _, key := range must[[]string](t)(db.DueIntents(t.Context(), now, 100)) {
		if must[bool](t)(db.ClaimIntent(t.Context(), key, now)) {
			deleted = append(deleted, key)
		}
	}
	return deleted
}

func TestAFileTellsOfItsPrint(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		p := ended(t, db, "a")
		height, nozzle, grams, seconds := 0.2, 0.4, 40.0, int64(3600)
		f := model(p, "aa")
		f.Prices = farm.Prices{PerKG: 25}
		f.Slice = &farm.SliceData{
			Title: "Better Benchy", Plate: 2, TotalLayers: 120, LayerHeight: &height, Nozzle: &nozzle, BedType: "PEI", Estimate: &seconds, EstimateGrams: &grams,
			Filaments: []farm.PrintFilament{{Slot: 1, Type: "PLA"}, {Slot: 2, Type: "PETG"}, {Slot: 3, Type: "PLA"}},
		}
		keep(t, db, f)
		got := must[farm.Print](t)(db.Print(ctx, p.ID))
		if got.Name != "Better Benchy" || got.Plate != 2 || got.TotalLayers != 120 || *got.LayerHeight != 0.2 || got.FilamentType != "PLA, PETG" || len(got.Filaments) != 3 ||
			*got.FilamentUsed != 40 || *got.Cost != 1 || *got.Estimate != 3600 || got.SHA256 != "aa" || got.FileSize != 100 || got.FileStatus != farm.FileStored || !got.HasFile(farm.RoleModel) {
			t.Errorf("%+v", got)
		}
		name := "mine"
		must[farm.Print](t)(db.ChangePrint(ctx, p.ID, farm.PrintChange{Name: &name}))
		keep(t, db, f)
		if got = must[farm.Print](t)(db.Print(ctx, p.ID)); got.Name != "mine" || len(got.Has) != 1 {
			t.Errorf("stored again: %+v", got)
		}
		key, size, err := db.Object(ctx, "aa")
		if key != f.Key || size != 100 || err != nil {
			t.Errorf("object %q, %d, %v", key, size, err)
		}
		_, _, err = db.Object(ctx, "bb")
		wantCode(t, err, farm.NotFound)
		files := must[[]farm.PrintFile](t)(db.PrintFiles(ctx, p.ID))
		if len(files) != 1 || files[0].Status != farm.FileStored || files[0].Path != f.Path || files[0].SiteID != p.SiteID || files[0].StoredAt.IsZero() {
			t.Errorf("%+v", files)
		}
		before := len(kinds(t, db))
		record := picture(p)
		record.Role, record.Path, record.Key = farm.RoleRecord, p.Dir+"/print.json", "prints/print.json"
		keep(t, db, record)
		if n := len(kinds(t, db)); n != before {
			t.Error("that the record is written was told: who writes it would write it for ever")
		}
		wantCode(t, db.StoreFile(ctx, farm.StoredFile{PrintID: 999, Key: "x"}), farm.NotFound)
	})
}

// A model that is called as another file of its print stands beside it.
func TestFilesOfOneName(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		p := ended(t, db, "a")
		f := model(p, "aa")
		f.Path = p.Dir + "/thumbnail.jpg"
		keep(t, db, f)
		keep(t, db, picture(p))
		keep(t, db, f)
		var paths []string
		for _, f := range must[[]farm.PrintFile](t)(db.PrintFiles(t.Context(), p.ID)) {
			paths = append(paths, f.Path)
		}
		if slices.Sort(paths); !slices.Equal(slices.Compact(paths), paths) || len(paths) != 2 {
			t.Errorf("paths %v", paths)
		}
	})
}

// The same file printed a thousand times is one object, until the last print is deleted.
func TestAnObjectGoesWithItsLastPrint(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		var all []farm.Print
		for i := range 5 {
			p := ended(t, db, fmt.Sprint(i))
			keep(t, db, model(p, "aa"))
			keep(t, db, picture(p))
			all = append(all, p)
		}
		later := time.Now().Add(48 * time.Hour)
		if got := due(t, db, later); len(got) != 0 {
			t.Errorf("swept %v, which rows refer to", got)
		}
		if n := must[int64](t)(db.StoredBytes(ctx)); n != 100+5*10 {
			t.Errorf("%d bytes", n)
		}
		for i, p := range all {
			if err := db.DeletePrint(ctx, p.ID, i%2 == 0); err != nil {
				t.Fatal(err)
			}
			want := []string{picture(p).Key}
			if i == len(all)-1 {
				want = []string{"models/aa", picture(p).Key}
			}
			got := due(t, db, later)
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("after %d: swept %v, want %v", i+1, got, want)
			}
		}
		_, _, err := db.Object(ctx, "aa")
		wantCode(t, err, farm.NotFound)
		if n := must[int64](t)(db.StoredBytes(ctx)); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

func TestIntents(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx, now := t.Context(), time.Now()
		for _, at := range []time.Time{now, now.Add(time.Hour), now} {
			if err := db.Intend(ctx, "k", at); err != nil {
				t.Fatal(err)
			}
		}
		if got := must[[]string](t)(db.DueIntents(ctx, now.Add(time.Minute), 9)); len(got) != 0 {
			t.Errorf("due: %v: the earlier moment won", got)
		}
		if must[bool](t)(db.ClaimIntent(ctx, "k", now.Add(time.Minute))) {
			t.Error("claimed before it is due")
		}
		if got := due(t, db, now.Add(2*time.Hour)); !slices.Equal(got, []string{"k"}) {
			t.Errorf("swept %v", got)
		}
		if must[bool](t)(db.ClaimIntent(ctx, "k", now.Add(2*time.Hour))) {
			t.Error("claimed twice")
		}
		// What was swept before its row came must not be referred to.
		p := ended(t, db, "a")
		f := model(p, "aa")
		f.Key = "k"
		wantCode(t, db.StoreFile(ctx, f), farm.Unavailable)
		keep(t, db, f) // stored anew
		if got := due(t, db, now.Add(48*time.Hour)); len(got) != 0 {
			t.Errorf("swept %v", got)
		}
		p = ended(t, db, "b")
		if files := must[[]farm.PrintFile](t)(db.PrintFiles(ctx, p.ID)); len(files) != 0 {
			t.Errorf("%+v", files)
		}
	})
}

// Who claims an intent may die before the object is deleted: whoever opens the database
// next does it again. In the end nothing is left of it.
func TestAClaimIsCarriedOutAfterACrash(t *testing.T) {
	for _, e := range []engine{sqlite, postgres} {
		t.Run(string(e), func(t *testing.T) {
			c, now := config(t, e), time.Now()
			db := opened(t, c)
			if err := db.Intend(t.Context(), "k", now); err != nil {
				t.Fatal(err)
			}
			for i, want := range []int{1, 0} {
				if got := due(t, db, now.Add(time.Second)); len(got) != want {
					t.Errorf("round %d: swept %v, want %d", i, got, want)
				}
			}
			db = opened(t, c)
			if got := due(t, db, now.Add(time.Second)); len(got) != 1 {
				t.Errorf("after a crash: swept %v", got)
			}
			if must[bool](t)(db.ClaimIntent(t.Context(), "another", now.Add(2*claimsLast))) {
				t.Error("claimed what nobody intended")
			}
			var n int
			if err := db.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM object_intents`).Scan(&n); err != nil || n != 0 {
				t.Errorf("%d intents are left, %v", n, err)
			}
		})
	}
}

// A sweeper and a writer at once: an object that a row refers to is never swept.
func TestNothingThatIsReferredToIsSwept(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		for i := range 30 {
			p := ended(t, db, fmt.Sprint(i))
			f := model(p, fmt.Sprint("sha", i))
			if err := db.Intend(ctx, f.Key, time.Now().Add(-time.Second)); err != nil {
				t.Fatal(err)
			}
			var swept bool
			var stored error
			var wg sync.WaitGroup
			wg.Go(func() { swept = must[bool](t)(db.ClaimIntent(ctx, f.Key, time.Now())) })
			wg.Go(func() { stored = db.StoreFile(ctx, f) })
			wg.Wait()
			if swept == (stored == nil) {
				t.Errorf("swept: %v, stored: %v", swept, stored)
			}
		}
	})
}

// A store that lost an object gets it under another name: all prints of it follow.
func TestALostObjectIsReplacedForAll(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		a, b := ended(t, db, "a"), ended(t, db, "b")
		keep(t, db, model(a, "aa"))
		f := model(b, "aa")
		f.Key = "models/aa-again"
		keep(t, db, f)
		for _, p := range []farm.Print{a, b} {
			if files := must[[]farm.PrintFile](t)(db.PrintFiles(ctx, p.ID)); files[0].Key != f.Key {
				t.Errorf("%s still has %s", p.Name, files[0].Key)
			}
		}
		if got := due(t, db, time.Now().Add(time.Minute)); !slices.Equal(got, []string{"models/aa"}) {
			t.Errorf("swept %v", got)
		}
	})
}

func TestPulls(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx, now := t.Context(), time.Now().Truncate(time.Millisecond).UTC()
		p := inserted(t, db, running(1))
		if at := must[time.Time](t)(db.NextPull(ctx)); !at.IsZero() {
			t.Errorf("next at %v", at)
		}
		pull := farm.Pull{PrintID: p.ID, RunID: p.RunID, AgentID: 7, Role: farm.RoleModel, SHA256: "aa", Size: 5, Name: "benchy.3mf", NextAt: now}
		add := func() {
			applied(t, db, 0, "", func(tx *PrintTx) error {
				if _, _, _, err := tx.Run(p.RunID); err != nil {
					return err
				}
				return tx.AddPull(pull)
			})
		}
		add()
		add()
		got := must[[]farm.Pull](t)(db.DuePulls(ctx, now, 9))
		if len(got) != 1 {
			t.Fatalf("%+v", got)
		}
		pull.ID = got[0].ID
		if got[0] != pull || !must[time.Time](t)(db.NextPull(ctx)).Equal(now) {
			t.Errorf("%+v, wants %+v", got[0], pull)
		}
		stands := func(status farm.FileStatus, reason string) {
			t.Helper()
			one, files := must[farm.Print](t)(db.Print(ctx, p.ID)), must[[]farm.PrintFile](t)(db.PrintFiles(ctx, p.ID))
			if one.FileStatus != status || one.FileError != reason || len(files) != 1 || files[0].Status != status || files[0].Reason != reason {
				t.Errorf("%s %q, file %+v", one.FileStatus, one.FileError, files)
			}
		}
		stands(farm.FilePending, "")
		if err := db.PullFailed(ctx, pull.ID, now.Add(time.Hour), "slow"); err != nil {
			t.Fatal(err)
		}
		stands(farm.FilePending, "slow")
		if got := must[[]farm.Pull](t)(db.DuePulls(ctx, now, 9)); len(got) != 0 {
			t.Errorf("due: %+v", got)
		}
		if got := must[[]farm.Pull](t)(db.DuePulls(ctx, now.Add(time.Hour), 9)); len(got) != 1 || got[0].Tries != 1 || got[0].Error != "slow" {
			t.Errorf("due: %+v", got)
		}
		if err := db.PullGone(ctx, pull.ID, "lost"); err != nil {
			t.Fatal(err)
		}
		stands(farm.FileMissing, "lost")
		add() // it is there after all
		stands(farm.FilePending, "")
		keep(t, db, model(p, "aa"))
		stands(farm.FileStored, "")
		id := must[[]farm.Pull](t)(db.DuePulls(ctx, now, 9))[0].ID
		for _, end := range []func() error{
			func() error { return db.PullFailed(ctx, id, now, "the agent was not told") },
			func() error { return db.PullGone(ctx, id, "late") }, func() error { return db.PullDone(ctx, id) }, func() error { return db.PullGone(ctx, id, "late") },
		} {
			if err := end(); err != nil {
				t.Fatal(err)
			}
			stands(farm.FileStored, "")
		}
		applied(t, db, 0, "", func(tx *PrintTx) error {
			return tx.PutFile(farm.PrintFile{PrintID: p.ID, SiteID: p.SiteID, Role: farm.RoleModel, Path: "x", Status: farm.FileMissing, Reason: "late"})
		})
		stands(farm.FileStored, "")
	})
}

// An agent holds a file until it is told that nobody wants it, also when the print is gone.
func TestPullsOutliveTheirPrint(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		p := ended(t, db, "a")
		add := func(sha string) {
			applied(t, db, 0, "", func(tx *PrintTx) error {
				one, _, ok, err := tx.Run(p.RunID)
				if !ok {
					t.Error("its run is not known")
				}
				return errors.Join(err, tx.AddPull(farm.Pull{PrintID: one.ID, RunID: p.RunID, AgentID: 7, Role: farm.RoleFinish, SHA256: sha}))
			})
		}
		add("aa")
		if err := db.DeletePrint(t.Context(), p.ID, true); err != nil {
			t.Fatal(err)
		}
		add("bb")
		if got := must[[]farm.Pull](t)(db.DuePulls(t.Context(), time.Now(), 9)); len(got) != 2 {
			t.Errorf("%+v", got)
		}
	})
}

func TestRetentionLeavesWhatIsDear(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		yes := true
		old, dear, bare := ended(t, db, "old"), ended(t, db, "dear"), ended(t, db, "bare")
		open := inserted(t, db, running(1))
		for _, p := range []farm.Print{old, dear, open} {
			keep(t, db, picture(p))
		}
		must[farm.Print](t)(db.ChangePrint(ctx, dear.ID, farm.PrintChange{Favorite: &yes}))
		if got := ids(must[[]farm.Print](t)(db.ExpiredPrints(ctx, old.CreatedAt.Add(time.Second), 9))); !slices.Equal(got, []int64{old.ID, bare.ID}) {
			t.Errorf("expired %v", got)
		}
		if got := must[[]farm.Print](t)(db.ExpiredPrints(ctx, old.CreatedAt, 9)); len(got) != 0 {
			t.Errorf("expired too early: %v", ids(got))
		}
		if got := ids(must[[]farm.Print](t)(db.OldestWithFiles(ctx, 9, 0))); !slices.Equal(got, []int64{old.ID}) {
			t.Errorf("oldest with files %v", got)
		}
	})
}

// A rebuild restores each archive once, whoever has its id by now.
func TestRestore(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		site := must[farm.Site](t)(db.SiteNamed(ctx, "Berlin"))
		if again := must[farm.Site](t)(db.SiteNamed(ctx, "Berlin")); again.ID != site.ID {
			t.Errorf("%+v, then %+v", site, again)
		}
		mine := ended(t, db, "new")
		lost := func(id int64, run string) (farm.Print, []farm.PrintFile) {
			p := running(0)
			p.ID, p.RunID, p.Status, p.SiteID, p.Name, p.Dir = id, run, farm.StatusSuccess, site.ID, "lost "+run, fmt.Sprint("old/", run, id)
			p.Tags, p.SHA256, p.FileStatus = []string{"gift"}, "aa", farm.FileStored
			return p, []farm.PrintFile{
				{SiteID: site.ID, Role: farm.RoleRecord, Path: p.Dir + "/print.json", Key: p.Dir + "/print.json", Size: 1, Status: farm.FileStored},
				{SiteID: site.ID, Role: farm.RoleModel, Path: p.Dir + "/m.3mf", Key: "models/aa", SHA256: "aa", Size: 100, Status: farm.FileStored},
			}
		}
		for round, want := range []bool{true, false} {
			for _, id := range []int64{mine.ID, 40, 50} {
				for _, run := range []string{"r", ""} { // an upload has no run
					if id != 50 && run == "" || id == 50 && run != "" {
						continue
					}
					p, files := lost(id, run+map[bool]string{true: fmt.Sprint(id)}[run != ""])
					if added := must[bool](t)(db.RestorePrint(ctx, p, []string{p.RunID}, files)); added != want {
						t.Errorf("round %d, id %d: added is %v", round, id, added)
					}
				}
			}
		}
		page := must[farm.PrintPage](t)(db.Prints(ctx, farm.PrintQuery{Search: "lost", Tag: "gift", SiteID: site.ID, Limit: 9}))
		if page.Total != 3 || len(page.Prints) != 3 || !page.Prints[0].HasFile(farm.RoleModel) || page.Prints[0].HasFile(farm.RoleRecord) {
			t.Errorf("%+v", page)
		}
		if got := must[farm.Print](t)(db.Print(ctx, 40)); got.Name != "lost r40" || got.Duplicate == 0 && page.Prints[len(page.Prints)-1].ID != 40 {
			t.Errorf("%+v", got)
		}
		if got := must[farm.Print](t)(db.Print(ctx, mine.ID)); got.Name != "new" {
			t.Errorf("what was there became %+v", got)
		}
		if next := ended(t, db, "next"); next.ID <= 50 {
			t.Errorf("the next archive has id %d", next.ID)
		}
		if key, _, err := db.Object(ctx, "aa"); key != "models/aa" || err != nil {
			t.Errorf("object %q, %v", key, err)
		}
		where := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S9", farm.Agent{}), []byte("x")))
		if got := must[map[string]int64](t)(db.PrinterIDs(ctx)); len(got) != 1 || got["S9"] != where.ID {
			t.Errorf("%v", got)
		}
	})
}
