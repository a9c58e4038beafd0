package store

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// world is archives in the database, and what is known of them beside it.
type world struct {
	db       *DB
	rand     *rand.Rand
	printers []int64
	sites    []int64
	projects []int64
	prints   map[int64]farm.Print
}

var worldStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, db *DB, seed uint64) *world {
	w := &world{db: db, rand: rand.New(rand.NewPCG(seed, 1)), prints: map[int64]farm.Print{}, sites: []int64{farm.DefaultSiteID}}
	w.sites = append(w.sites, must[farm.Site](t)(db.CreateSite(t.Context(), "Berlin")).ID)
	for i := range 4 {
		p := printer(fmt.Sprintf("S%d", i), farm.Agent{})
		w.printers = append(w.printers, must[farm.Printer](t)(db.CreatePrinter(t.Context(), p, []byte("x"))).ID)
	}
	for i := range 3 {
		w.projects = append(w.projects, must[farm.Project](t)(db.AddProject(t.Context(), farm.Project{Name: fmt.Sprint(i), Status: "active"})).ID)
	}
	return w
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func (w *world) words() string {
	return pick(w.rand, "Benchy", "Überraum", "halter_v2", "x1 Carbon", "手机支架", "Ständer-2.0", "Ω", "100%", "") + " " + pick(w.rand, "left", "right", "lid")
}

func (w *world) print() farm.Print {
	r := w.rand
	grams := 12.5
	p := farm.Print{
		Kind: farm.KindPrint, Status: pick(r, farm.StatusSuccess, farm.StatusFailed, farm.StatusStopped, farm.StatusUnknown), Source: pick(r, "", farm.SourceSlicer, farm.SourceCloud),
		PrinterID: pick(r, w.printers...), PrinterName: pick(r, "Öfen 1", "Carbon"), SiteID: pick(r, w.sites...), Name: w.words(), Filename: w.words() + ".3mf",
		CreatedAt: worldStart.Add(time.Duration(r.IntN(200)) * 13 * time.Hour), FileStatus: pick(r, farm.FileStored, farm.FilePending, farm.FileMissing),
		SHA256: pick(r, "", "aa", "bb"), Notes: w.words(), Tags: pick(r, nil, []string{"gift"}, []string{"gift", `50%_"x"`}), FilamentType: pick(r, "PLA", "PETG"),
		ProjectID: pick(r, append(w.projects, 0)...), Favorite: r.IntN(5) == 0, EstimateGrams: &grams, UpdatedAt: worldStart,
	}
	if r.IntN(6) == 0 {
		p.Kind, p.Status, p.PrinterID, p.PrinterName, p.Source = farm.KindFile, farm.StatusUploaded, 0, "", farm.SourceUpload
	}
	return p
}

func (w *world) insert(t *testing.T, n int) {
	t.Helper()
	var added []farm.Print
	err := w.db.ApplyPrints(t.Context(), 0, "", func(tx *PrintTx) error {
		added = nil
		for range n {
			p := w.print()
			if err := tx.Insert(&p); err != nil {
				return err
			}
			added = append(added, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range added {
		w.prints[p.ID] = p
	}
}

// stir changes and deletes some.
func (w *world) stir(t *testing.T) {
	t.Helper()
	for id := range w.prints {
		switch w.rand.IntN(6) {
		case 0:
			if err := w.db.DeletePrint(t.Context(), id, w.rand.IntN(2) == 0); err != nil {
				t.Fatal(err)
			}
			delete(w.prints, id)
		case 1:
			p := w.print()
			c := farm.PrintChange{Name: &p.Name, Notes: &p.Notes, Tags: &p.Tags, ProjectID: &p.ProjectID, Favorite: &p.Favorite}
			must[farm.Print](t)(w.db.ChangePrint(t.Context(), id, c))
			one := w.prints[id]
			one.Name, one.Notes, one.Tags, one.ProjectID, one.Favorite = p.Name, p.Notes, p.Tags, p.ProjectID, p.Favorite
			w.prints[id] = one
		case 2:
			one, p := w.prints[id], w.print()
			one.Status, one.CreatedAt, one.FileStatus = p.Status, p.CreatedAt, p.FileStatus
			err := w.db.ApplyPrints(t.Context(), 0, "", func(tx *PrintTx) error { return tx.Save(one) })
			if err != nil {
				t.Fatal(err)
			}
			w.prints[id] = one
		}
	}
}

func (w *world) query() farm.PrintQuery {
	r := w.rand
	var q farm.PrintQuery
	yes, no := true, false
	for range r.IntN(4) {
		switch r.IntN(12) {
		case 0:
			q.PrinterID = pick(r, append(w.printers, 99)...)
		case 1:
			q.SiteID = pick(r, w.sites...)
		case 2:
			q.ProjectID = pick(r, append(w.projects, 99)...)
		case 3:
			q.Status = pick(r, farm.StatusSuccess, farm.StatusUploaded, farm.StatusUnknown, `x" OR "y`)
		case 4:
			q.Kind = pick(r, farm.KindFile, farm.KindPrint)
		case 5:
			q.FileStatus = pick(r, farm.FileStored, farm.FileMissing)
		case 6:
			q.Source = pick(r, farm.SourceCloud, farm.SourceQueue)
		case 7:
			q.Tag = pick(r, "gift", `50%_"x"`, "gif", "%")
		case 8:
			q.SHA256 = pick(r, "aa", "cc")
		case 9:
			q.Favorite = pick(r, &yes, &no)
		case 10:
			q.From = pick(r, time.Time{}, worldStart.Add(time.Duration(r.IntN(200))*13*time.Hour))
			q.To = pick(r, time.Time{}, worldStart.Add(time.Duration(r.IntN(200))*13*time.Hour))
		case 11:
			q.Search = pick(r, "benchy", "BENCHY lid", "uberraum", "Überr", "支", "支架", "halter v2", "100%", "a", "carbon", `"`, "lid* OR x", "ω", "1", "gift", "-")
		}
	}
	q.Scope.Printers = pick(r, nil, nil, nil, []int64{}, w.printers[:1], w.printers[1:], []int64{w.printers[0], 99})
	q.Scope.Sites = pick(r, nil, nil, nil, []int64{}, w.sites[:1], w.sites)
	return q
}

// finds is what a query means, in the plainest words.
func (w *world) finds(q farm.PrintQuery) (out []farm.Print) {
	for _, p := range w.prints {
		in := func(ids []int64, id int64) bool { return ids == nil || slices.Contains(ids, id) }
		text := words(strings.Join([]string{p.Name, p.Filename, p.Notes, strings.Join(p.Tags, " "), p.PrinterName, p.FilamentType}, " "))
		all := len(words(q.Search)) > 0 || q.Search == ""
		for _, word := range words(q.Search) {
			all = all && slices.ContainsFunc(text, func(s string) bool { return strings.HasPrefix(s, word) })
		}
		if all && in(q.Scope.Printers, p.PrinterID) && in(q.Scope.Sites, p.SiteID) &&
			(q.PrinterID == 0 || q.PrinterID == p.PrinterID) && (q.SiteID == 0 || q.SiteID == p.SiteID) && (q.ProjectID == 0 || q.ProjectID == p.ProjectID) &&
			(q.Status == "" || q.Status == p.Status) && (q.Kind == "" || q.Kind == p.Kind) && (q.FileStatus == "" || q.FileStatus == p.FileStatus) &&
			(q.Source == "" || q.Source == p.Source) && (q.Tag == "" || slices.Contains(p.Tags, q.Tag)) && (q.SHA256 == "" || q.SHA256 == p.SHA256) &&
			(q.Favorite == nil || *q.Favorite == p.Favorite) && (q.From.IsZero() || !p.CreatedAt.Before(q.From)) && (q.To.IsZero() || p.CreatedAt.Before(q.To)) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b farm.Print) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 && q.Search == "" {
			return c
		}
		return cmp.Compare(b.ID, a.ID)
	})
	return out
}

func ids(prints []farm.Print) []int64 {
	out := []int64{}
	for _, p := range prints {
		out = append(out, p.ID)
	}
	return out
}

// Whatever is asked, in whatever state the archives are: the list, its total, its pages
// and the export are what the words mean.
func TestListsFindWhatTheyMean(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		w := newWorld(t, db, 7)
		found := 0
		for range 3 {
			w.insert(t, 120)
			w.stir(t)
			for range 150 {
				q := w.query()
				want := ids(w.finds(q))
				found += len(want)
				w.check(t, q, want)
			}
		}
		if found < 1000 {
			t.Errorf("all queries together found %d: that shows nothing", found)
		}
	})
}

func (w *world) check(t *testing.T, q farm.PrintQuery, want []int64) {
	t.Helper()
	got := []int64{}
	for q.Limit = 1 + w.rand.IntN(40); ; {
		page := must[farm.PrintPage](t)(w.db.Prints(t.Context(), q))
		if page.Total != int64(len(want)) {
			t.Errorf("%+v: total %d, want %d", q, page.Total, len(want))
		}
		got = append(got, ids(page.Prints)...)
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v\nlists %v\nwants %v", q, got, want)
	}
	q.Offset, q.After = w.rand.IntN(len(want)+2), ""
	page := must[farm.PrintPage](t)(w.db.Prints(t.Context(), q))
	from := min(q.Offset, len(want))
	if some := want[from:min(from+q.Limit, len(want))]; !slices.Equal(ids(page.Prints), some) {
		t.Errorf("%+v\nlists %v\nwants %v", q, ids(page.Prints), some)
	}
	each := []int64{}
	q.Limit = 0
	err := w.db.EachPrint(t.Context(), q, func(p farm.Print) error {
		each = append(each, p.ID)
		return nil
	})
	if err != nil || !slices.Equal(each, want) {
		t.Errorf("%+v\nexports %v, %v\nwants   %v", q, each, err, want)
	}
}

// An export holds no connection while its reader is slow, and more than one batch of it
// has neither holes nor doubles.
func TestAnExportIsWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		w := newWorld(t, db, 3)
		w.insert(t, 2*eachBatch+7)
		for _, q := range []farm.PrintQuery{{}, {Search: "l"}, {Tag: "gift"}, {Limit: eachBatch + 3}} {
			want := ids(w.finds(q))
			if q.Limit > 0 {
				want = want[:q.Limit]
			}
			got := []int64{}
			err := db.EachPrint(t.Context(), q, func(p farm.Print) error {
				got = append(got, p.ID)
				if db.read.Stats().InUse != 0 {
					t.Fatal("a connection is held")
				}
				return nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%+v: %d archives, %v, want %d", q, len(got), err, len(want))
			}
		}
		wantErr := fmt.Errorf("enough")
		if err := db.EachPrint(t.Context(), farm.PrintQuery{}, func(farm.Print) error { return wantErr }); err != wantErr { //nolint:errorlint // it is to be this very one
			t.Errorf("the reader's error became %v", err)
		}
	})
}

func TestCursors(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		newWorld(t, db, 1).insert(t, 5)
		for _, bad := range []string{"x", "1", "1.", ".1", "1.2.3", "-", "1 OR 1=1.1"} {
			_, err := db.Prints(t.Context(), farm.PrintQuery{Limit: 1, After: bad})
			wantCode(t, err, farm.Invalid)
		}
	})
}

// What archives are of that is gone is read as none, and asked for by nobody.
func TestWhatIsGoneIsNone(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		w := newWorld(t, db, 5)
		p := w.print()
		p.Kind, p.Status, p.PrinterID, p.ProjectID, p.Name, p.SiteID = farm.KindPrint, farm.StatusSuccess, w.printers[0], w.projects[0], "lost", farm.DefaultSiteID
		err := db.ApplyPrints(ctx, 0, "", func(tx *PrintTx) error { return tx.Insert(&p) })
		if err != nil {
			t.Fatal(err)
		}
		if err := db.DeletePrinter(ctx, w.printers[0]); err != nil {
			t.Fatal(err)
		}
		if err := db.DeleteProject(ctx, w.projects[0]); err != nil {
			t.Fatal(err)
		}
		if got := must[farm.Print](t)(db.Print(ctx, p.ID)); got.PrinterID != 0 || got.ProjectID != 0 || got.PrinterName != p.PrinterName {
			t.Errorf("%+v", got)
		}
		for _, q := range []farm.PrintQuery{{ProjectID: w.projects[0]}, {ProjectID: w.projects[0], Search: "lost"}, {Scope: farm.PrintScope{Printers: w.printers[:1]}}} {
			q.Limit = 10
			if page := must[farm.PrintPage](t)(db.Prints(ctx, q)); page.Total != 0 || len(page.Prints) != 0 {
				t.Errorf("%+v finds %+v", q, page)
			}
		}
		err = db.DeleteSite(ctx, w.sites[1])
		if err != nil {
			t.Errorf("a site without archives: %v", err)
		}
	})
}

// A list reads an index that has its order and holds its filters: neither the table is
// gone through nor anything sorted.
func TestListsGoByAnIndex(t *testing.T) {
	db := fresh(t, sqlite)
	yes := true
	for _, q := range []farm.PrintQuery{
		{},
		{PrinterID: 1},
		{SiteID: 1},
		{ProjectID: 1},
		{Status: farm.StatusFailed},
		{FileStatus: farm.FileMissing},
		{FileStatus: farm.FileStored},
		{Source: farm.SourceCloud},
		{Favorite: &yes},
		{SHA256: "aa"},
		{Tag: "x"},
		{Tag: "x", PrinterID: 1},
		{Search: "x"},
		{Search: "x", Status: farm.StatusFailed, Tag: "x"},
		{From: worldStart},
		{Scope: farm.PrintScope{Printers: []int64{1, 2}, Sites: []int64{1}}},
		{Kind: farm.KindFile, PrinterID: 1, From: worldStart, To: worldStart.Add(time.Hour)},
	} {
		f := db.filterOf(q).within(q.From, q.To).after(position{1, 1})
		for _, query := range []string{`SELECT ` + printColumns + ` FROM ` + f.where() + f.order() + ` LIMIT 50`, `SELECT COUNT(*) FROM ` + f.where()} {
			plan := must[[]string](t)(list(t.Context(), db.read, func(r row) (s string, err error) {
				var n int
				return s, r.Scan(&n, &n, &n, &s)
			}, `EXPLAIN QUERY PLAN `+query, f.args...))
			for _, step := range plan {
				if strings.Contains(step, "TEMP B-TREE") || strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "INDEX") {
					t.Errorf("%+v: %q\n in %s", q, step, query)
				}
			}
		}
	}
}
