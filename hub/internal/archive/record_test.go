package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
)

func mustWrite(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// print.json is written when a print has ended, says what is known, and is kept true.
func TestTheRecordIsKeptTrue(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		p := r.print(nil, r.captured(farm.RoleModel, "part.3mf", sliced("Part", 100)))
		busy := r.print(func(p *farm.Print) { p.Status = farm.StatusPrinting })
		r.begin()
		time.Sleep(time.Second)
		read := func() (out Record) {
			_, data := r.file(p.ID, farm.RoleRecord)
			if err := json.Unmarshal(data, &out); err != nil {
				t.Fatalf("%v: %s", err, data)
			}
			return out
		}
		rec := read()
		if rec.Version != 1 || rec.Print.Name != "Part" || rec.Print.FilamentType != "PETG" || len(rec.Files) != 2 || rec.Site != r.site() {
			t.Errorf("%+v", rec)
		}
		name := "Better name"
		if _, err := r.db.ChangePrint(r.t.Context(), p.ID, farm.PrintChange{Name: &name, Tags: &[]string{"gift"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if rec := read(); rec.Print.Name != name || !rec.Print.Renamed || !slices.Equal(rec.Print.Tags, []string{"gift"}) {
			t.Errorf("%+v", rec.Print)
		}
		if keys := r.keys("prints/"); slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(k, busy.Dir+"/") }) {
			t.Errorf("one under way has a record: %q", keys)
		}
	})
}

// Records are written in the end, whatever the store did meanwhile, also over a restart.
func TestRecordsWaitForTheStore(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.objects.Break(func(string, string) error { return blob.ErrAway })
		p := r.print(nil)
		r.begin()
		time.Sleep(5 * time.Minute)
		r.end()
		r.objects.Break(nil)
		r.begin()
		time.Sleep(time.Minute)
		r.file(p.ID, farm.RoleRecord)
	})
}

// An empty database is filled from the object store alone: the same archives with the
// same ids and files, which are counted and found as before. Twice changes nothing.
func TestRebuild(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := r.t.Context()
		attic, err := r.db.CreateSite(ctx, "Attic")
		if err != nil {
			t.Fatal(err)
		}
		same := r.captured(farm.RoleModel, "part.3mf", sliced("Part", 1000))
		r.begin()
		r.print(nil, same, r.captured(farm.RoleFinish, "finish.jpg", mustJPEG(t)), r.captured(farm.RoleTimelapse, "video.avi", []byte("film")))
		r.print(func(p *farm.Print) {
			p.SiteID, p.Status, p.FailureReason, p.Layer = attic.ID, farm.StatusFailed, "spaghetti", 50
		}, same)
		r.print(func(p *farm.Print) { p.Status = farm.StatusUnknown; p.FinishedAt = time.Time{} })
		gone := r.print(nil, r.captured(farm.RoleModel, "gone.3mf", sliced("Gone", 10)))
		if _, err := r.archive.Upload(ctx, Upload{SiteID: attic.ID, Filename: "up.3mf", Body: bytes.NewReader(sliced("Gehäuse", 5))}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		voron, err := r.db.AddProject(ctx, farm.Project{Name: "Voron Build", Status: "active"})
		if err != nil {
			t.Fatal(err)
		}
		notes, yes := "für Anna", true
		if _, err := r.db.ChangePrint(ctx, 1, farm.PrintChange{Notes: &notes, Favorite: &yes, Tags: &[]string{"gift", "red"}, ProjectID: &voron.ID}); err != nil {
			t.Fatal(err)
		}
		if err := r.db.DeletePrint(ctx, gone.ID, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * sweepEvery)

		empty, err := store.Open(ctx, store.Config{Dir: t.TempDir(), Wake: func() {}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = empty.Close() }()
		var said []string
		say := func(s string) { said = append(said, s) }
		got, err := Rebuild(ctx, r.objects, empty, say)
		if err != nil || got != (Rebuilt{Records: 4, Restored: 4}) {
			t.Fatalf("%+v, %v: %q", got, err, said)
		}
		if got, err = Rebuild(ctx, r.objects, empty, say); err != nil || got != (Rebuilt{Records: 4, Present: 4}) {
			t.Errorf("the second time: %+v, %v", got, err)
		}
		sameArchives(t, r, r.db, empty)
		if projects, err := empty.Projects(ctx); err != nil || len(projects) != 1 || projects[0].Name != "Voron Build" {
			t.Errorf("projects %+v, %v", projects, err)
		}
		was, err1 := r.db.Runs(ctx, 1)
		is, err2 := empty.Runs(ctx, 1)
		if err := errors.Join(err1, err2); err != nil || len(was) == 0 || !slices.Equal(was, is) {
			t.Errorf("runs %q, were %q, %v", is, was, err)
		}
		if _, size, err := empty.Object(ctx, same.SHA256); err != nil || size != same.Size {
			t.Errorf("the object: %d, %v", size, err)
		}
		next := farm.Print{Kind: farm.KindFile, Status: farm.StatusUploaded, SiteID: 1, Name: "next", CreatedAt: time.Now()}
		err = empty.AddFile(ctx, &next, farm.StoredFile{Role: farm.RoleModel, Path: "next.3mf", Key: "models/x/next.3mf", SHA256: strings.Repeat("0", 64)})
		if err != nil || next.ID <= 5 {
			t.Errorf("the next archive is %d, %v", next.ID, err)
		}
	})
}

// sameArchives compares what two databases say of all archives.
func sameArchives(t *testing.T, r *rig, a, b *store.DB) {
	t.Helper()
	ctx := r.t.Context()
	for _, q := range []farm.PrintQuery{
		{}, {ProjectID: 1}, {Status: farm.StatusFailed}, {Search: "spagh"}, {Search: "Gehause"}, {Search: "anna"}, {Tag: "gift"}, {Search: "gone"}, {SHA256: r.is(1).SHA256},
	} {
		q.Limit = 50
		was, err1 := a.Prints(ctx, q)
		is, err2 := b.Prints(ctx, q)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if was.Total != is.Total || len(was.Prints) != len(is.Prints) {
			t.Errorf("%+v: %d and %d archives", q, was.Total, is.Total)
			continue
		}
		for i, p := range was.Prints {
			sameArchive(t, p, is.Prints[i])
			x, err1 := a.PrintFiles(ctx, p.ID)
			y, err2 := b.PrintFiles(ctx, p.ID)
			if errors.Join(err1, err2) != nil || !slices.Equal(filesOf(x), filesOf(y)) {
				t.Errorf("archive %d: files\n%+v\n%+v", p.ID, filesOf(x), filesOf(y))
			}
		}
	}
}

func sameArchive(t *testing.T, was, is farm.Print) {
	t.Helper()
	// Who told of it, when the row was written, and what of the run was applied is not
	// of the print; the printer is not registered in the empty database.
	is.AgentID, is.UpdatedAt, is.RunSeq, is.PrinterID = was.AgentID, was.UpdatedAt, was.RunSeq, was.PrinterID
	slices.Sort(was.Has)
	slices.Sort(is.Has)
	if is.SiteID != was.SiteID && was.SiteID == 1 {
		t.Errorf("archive %d is of site %d", was.ID, is.SiteID)
	}
	is.SiteID = was.SiteID
	if !reflect.DeepEqual(was, is) {
		t.Errorf("archive %d\nwas %+v\nis  %+v", was.ID, was, is)
	}
}

// filesOf are files as roles, places and contents.
func filesOf(all []farm.PrintFile) (out []string) {
	for _, f := range all {
		if f.Role == farm.RoleRecord {
			f.SHA256 = "" // it is not told by itself
		}
		out = append(out, strings.Join([]string{f.Role, f.Path, f.Key, f.SHA256, f.MediaType, string(f.Status)}, " "))
	}
	slices.Sort(out)
	return out
}

// Records that are damaged, and files that are gone, are told of and stop nothing; a
// store that is away stops everything.
func TestRebuildOfADamagedStore(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := r.t.Context()
		p := r.print(nil, r.captured(farm.RoleModel, "part.3mf", sliced("Part", 1000)))
		r.begin()
		time.Sleep(time.Second)
		for key, data := range map[string]string{"prints/x/print.json": "{", "prints/y/print.json": `{"version":9}`, "prints/z/print.json": strings.Repeat(" ", maxRecord+1)} {
			if _, err := r.objects.Put(ctx, key, strings.NewReader(data), int64(len(data)), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.objects.Delete(ctx, r.keys("models/")[0]); err != nil {
			t.Fatal(err)
		}
		empty, err := store.Open(ctx, store.Config{Dir: t.TempDir(), Wake: func() {}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = empty.Close() }()
		var said []string
		got, err := Rebuild(ctx, r.objects, empty, func(s string) { said = append(said, s) })
		if err != nil || got != (Rebuilt{Records: 4, Restored: 1, Unread: 3, Missing: 1}) || len(said) != 3 {
			t.Errorf("%+v, %v: %q", got, err, said)
		}
		is, err := empty.Print(ctx, p.ID)
		if err != nil || is.FileStatus != farm.FileMissing || is.FileError == "" || is.HasFile(farm.RoleModel) || !is.HasFile(farm.RoleThumbnail) {
			t.Errorf("%+v, %v", is, err)
		}
		r.objects.Break(func(op, _ string) error {
			if op == "get" {
				return blob.ErrAway
			}
			return nil
		})
		if _, err := Rebuild(ctx, r.objects, empty, func(string) {}); !farm.Is(err, farm.Unavailable) {
			t.Errorf("a store that is away: %v", err)
		}
	})
}
