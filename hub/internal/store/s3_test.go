package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

func TestS3Credentials(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx, now := t.Context(), time.Now().UTC().Truncate(time.Millisecond)
		if has := must[bool](t)(db.HasSecrets(ctx)); has {
			t.Error("there are secrets in a new database")
		}
		all := must[farm.S3Credential](t)(db.CreateS3Credential(ctx, farm.S3Credential{AccessKey: "ALL", Name: "all", CreatedAt: now}, []byte("sealed")))
		none := must[farm.S3Credential](t)(db.CreateS3Credential(ctx, farm.S3Credential{AccessKey: "NONE", Name: "none", Sites: []int64{}, CreatedAt: now}, nil))
		if has := must[bool](t)(db.HasSecrets(ctx)); !has {
			t.Error("a sealed secret is not noticed")
		}
		_, err := db.CreateS3Credential(ctx, farm.S3Credential{AccessKey: "ALL"}, nil)
		wantCode(t, err, farm.Conflict)
		c, sealed, err := db.S3Credential(ctx, "ALL")
		if err != nil || string(sealed) != "sealed" || c.Sites != nil || !c.SeesSite(7) || !c.CreatedAt.Equal(now) || !c.LastUsedAt.IsZero() {
			t.Errorf("%+v %q %v", c, sealed, err)
		}
		if none.Sites == nil || none.SeesSite(1) {
			t.Errorf("an empty list is not none: %+v", none)
		}
		_, _, err = db.S3Credential(ctx, "all")
		wantCode(t, err, farm.NotFound)
		for _, at := range []time.Time{now.Add(time.Hour), now} { // the later one stays
			if err := db.TouchS3Credential(ctx, all.ID, at); err != nil {
				t.Fatal(err)
			}
		}
		list := must[[]farm.S3Credential](t)(db.S3Credentials(ctx))
		if len(list) != 2 || list[0].ID != all.ID || !list[0].LastUsedAt.Equal(now.Add(time.Hour)) {
			t.Errorf("%+v", list)
		}
		if err := db.DeleteS3Credential(ctx, all.ID); err != nil {
			t.Error(err)
		}
		wantCode(t, db.DeleteS3Credential(ctx, all.ID), farm.NotFound)
	})
}

// fileRows adds files of one print at paths, each with a role of its own.
func fileRows(t testing.TB, db *DB, site int64, status farm.FileStatus, paths ...string) {
	t.Helper()
	p := farm.Print{Kind: farm.KindFile, Status: farm.StatusUploaded, SiteID: site, Name: "x", Filename: "x.3mf", FileStatus: farm.FilePending, CreatedAt: time.Now()}
	err := db.change(context.Background(), func(tx *tx) error {
		if err := tx.addPrint(context.Background(), &p); err != nil {
			return err
		}
		for i, path := range paths {
			const q = `INSERT INTO print_files (print_id, site_id, role, path, key, sha256, size, media_type, status, reason, created_at, stored_at)
				VALUES ($1, $2, $3, $4, $5, '', 1, '', $6, '', 1, 2)`
			if _, err := tx.ExecContext(context.Background(), q, p.ID, site, fmt.Sprint(i), path, "key of "+path, status); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Files come in the order of bytes on both engines, whatever the language of the
// database: S3's clients rely on it.
func TestFilesBetween(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		other := must[farm.Site](t)(db.CreateSite(ctx, "other"))
		paths := []string{"A/1", "a/1", "a-b", "a b", "a/é", "a/z", "é", "Z", "_", "\uD7FF", "\U0001F600", "0", "a.b", "a/", "a0"}
		rand.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
		fileRows(t, db, 1, farm.FileStored, paths...)
		fileRows(t, db, 1, farm.FilePending, "a/pending")
		fileRows(t, db, other.ID, farm.FileStored, "a/1", "theirs")
		slices.Sort(paths)
		for _, c := range []farm.FileRange{
			{Limit: 100, Inclusive: true},
			{Limit: 4},
			{From: "a/1", Limit: 3},
			{From: "a/1", Inclusive: true, Limit: 3},
			{From: "a/", Inclusive: true, Until: "a0", Limit: 100},
			{From: "é", Limit: 100},
			{From: "b", Until: "a", Limit: 100},
		} {
			c.SiteID = 1
			var want, got []string
			for _, p := range paths {
				if (p > c.From || p == c.From && c.Inclusive) && (c.Until == "" || p < c.Until) && len(want) < c.Limit {
					want = append(want, p)
				}
			}
			for _, f := range must[[]farm.PrintFile](t)(db.FilesBetween(ctx, c)) {
				got = append(got, f.Path)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %q, want %q", c, got, want)
			}
		}
		f := must[farm.PrintFile](t)(db.FileAt(ctx, 1, "a/é"))
		if f.Path != "a/é" || f.Key != "key of a/é" || f.Size != 1 || f.SiteID != 1 || f.Status != farm.FileStored || !f.StoredAt.Equal(when(2)) {
			t.Errorf("%+v", f)
		}
		for _, path := range []string{"A/é", "a/pending", "theirs", ""} {
			_, err := db.FileAt(ctx, 1, path)
			wantCode(t, err, farm.NotFound)
		}
	})
}

// A page of a list walks the index from where it begins and sorts nothing.
func TestFilesBetweenWalksTheIndex(t *testing.T) {
	db := fresh(t, sqlite)
	for _, r := range []farm.FileRange{{SiteID: 1, From: "a", Limit: 3}, {SiteID: 1, From: "a", Inclusive: true, Until: "b", Limit: 3}} {
		q, args := filesQuery(r)
		plan := must[[]string](t)(list(t.Context(), db.read, func(r row) (s string, err error) {
			var id, parent, unused int
			err = r.Scan(&id, &parent, &unused, &s)
			return s, err
		}, `EXPLAIN QUERY PLAN `+q, args...))
		if len(plan) != 1 || !strings.Contains(plan[0], "USING INDEX") || !strings.Contains(plan[0], "site_id=? AND path>?") {
			t.Errorf("plan of %+v: %q", r, plan)
		}
	}
}

func BenchmarkFilesBetween(b *testing.B) {
	for _, e := range []engine{sqlite, postgres} {
		b.Run(string(e), func(b *testing.B) {
			db := fresh(b, e)
			var paths []string
			for i := range 100_000 {
				paths = append(paths, fmt.Sprintf("A1-%02d/2024/%02d/%02d/%06d-Benchy-%d/Benchy.3mf", i%20, i/20%12+1, i/240%28+1, i%86400, i))
			}
			fileRows(b, db, 1, farm.FileStored, paths...)
			if _, err := db.write.ExecContext(b.Context(), `ANALYZE`); err != nil { // as both engines do by themselves, later
				b.Fatal(err)
			}
			for b.Loop() {
				out, err := db.FilesBetween(b.Context(), farm.FileRange{SiteID: 1, From: "A1-07/2024/07", Inclusive: true, Until: "B", Limit: 100})
				if err != nil || len(out) != 100 {
					b.Fatal(len(out), err)
				}
			}
		})
	}
}
