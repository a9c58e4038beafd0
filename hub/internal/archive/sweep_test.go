package archive

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

// An object whose row was never committed is swept a day later, and not before: its
// writer may be slow.
func TestAnObjectThatNeverGotItsRow(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := r.t.Context()
		const key = "models/aa/part.3mf"
		if err := r.db.Intend(ctx, key, time.Now().Add(intentLasts)); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{key, "models/bb/unknown.3mf"} { // nobody ever intended the other one
			if _, err := r.objects.Put(ctx, k, strings.NewReader("x"), 1, blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(intentLasts - time.Second)
		r.sweep()
		if n := len(r.keys("")); n != 2 {
			t.Errorf("after less than a day there are %d", n)
		}
		time.Sleep(time.Second)
		r.sweep()
		if left := r.keys(""); !slices.Equal(left, []string{"models/bb/unknown.3mf"}) {
			t.Errorf("left: %q", left)
		}
		if left, err := r.db.DueIntents(ctx, time.Now().Add(intentLasts), 10); err != nil || len(left) != 0 {
			t.Errorf("intents left: %q, %v", left, err)
		}
	})
}

// A model that several archives share lives as long as one of them, and everything else
// goes with its own.
func TestDeletingOneOfTwoThatShareAModel(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := r.t.Context()
		pull := r.captured(farm.RoleModel, "part.3mf", sliced("Part", 1000))
		first, second := r.print(nil, pull), r.print(nil, pull)
		r.begin()
		time.Sleep(time.Second)
		if n := len(r.keys("")); n != 5 { // the model, two thumbnails, two records
			t.Fatalf("%d objects: %q", n, r.keys(""))
		}
		if err := r.db.DeletePrint(ctx, first.ID, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * sweepEvery)
		if left := r.keys("prints/"); len(left) != 2 || strings.Contains(strings.Join(left, " "), first.Dir+"/") {
			t.Errorf("left: %q", left)
		}
		r.file(second.ID, farm.RoleModel)
		if err := r.db.DeletePrint(ctx, second.ID, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * sweepEvery)
		if left := r.keys(""); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
		again := r.print(nil, pull) // what is gone is fetched again
		time.Sleep(time.Second)
		r.file(again.ID, farm.RoleModel)
	})
}

// A key that is wanted again just before its turn is not swept, whoever is faster.
func TestAKeyThatIsUsedAgainInTime(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := r.t.Context()
		model := sliced("Part", 1000)
		pull := r.captured(farm.RoleModel, "part.3mf", model)
		p := r.print(nil, pull)
		r.begin()
		time.Sleep(time.Second)
		for range 5 {
			if err := r.db.DeletePrint(ctx, p.ID, false); err != nil {
				t.Fatal(err)
			}
			swept := make(chan error, 1)
			go func() { swept <- r.archive.sweep(ctx) }()
			up, err := r.archive.Upload(ctx, Upload{SiteID: 1, Filename: "part.3mf", Body: bytes.NewReader(model)})
			if err != nil {
				t.Fatal(err)
			}
			if err := <-swept; err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * sweepEvery)
			r.file(up.ID, farm.RoleModel)
			p = up
		}
	})
}

// What the store does not delete now it deletes later.
func TestSweepingIsTriedAgain(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		p := r.print(nil, r.captured(farm.RoleModel, "part.3mf", sliced("Part", 100)))
		r.begin()
		time.Sleep(time.Second)
		r.objects.Break(func(op, _ string) error {
			if op == "delete" {
				return blob.ErrAway
			}
			return nil
		})
		if err := r.db.DeletePrint(r.t.Context(), p.ID, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * sweepEvery)
		if n := strings.Count(r.log.String(), "were not deleted"); n != 1 || len(r.keys("")) == 0 {
			t.Errorf("told %d times, %d objects", n, len(r.keys("")))
		}
		r.objects.Break(nil)
		time.Sleep(5 * sweepEvery)
		if left := r.keys(""); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	})
}

func TestRetentionByAge(t *testing.T) {
	inBubble(t, func(o *Options) { o.Retention.Age = 30 * 24 * time.Hour }, func(r *rig) {
		old := func(p *farm.Print) { p.CreatedAt = time.Now().Add(-29 * 24 * time.Hour) }
		plain := r.print(old)
		favourite := r.print(func(p *farm.Print) { old(p); p.Favorite = true })
		printing := r.print(func(p *farm.Print) { old(p); p.Status = farm.StatusPrinting })
		young := r.print(nil)
		time.Sleep(12 * time.Hour)
		r.sweep()
		r.is(plain.ID)
		time.Sleep(24 * time.Hour)
		r.sweep()
		if _, err := r.db.Print(r.t.Context(), plain.ID); !farm.Is(err, farm.NotFound) {
			t.Errorf("the old one: %v", err)
		}
		for _, p := range []farm.Print{favourite, printing, young} {
			r.is(p.ID)
		}
	})
}

// Too many bytes: the oldest go until there are few enough, but none that is marked to
// be kept, and none is deleted for nothing.
func TestRetentionByBytes(t *testing.T) {
	const each = 100_000
	inBubble(t, func(o *Options) { o.Retention.Bytes = 3 * each }, func(r *rig) {
		var all []farm.Print
		for i := range 6 {
			pull := r.captured(farm.RoleTimelapse, "video.mp4", bytes.Repeat([]byte{byte(i)}, each*9/10))
			all = append(all, r.print(func(p *farm.Print) {
				p.CreatedAt = time.Now().Add(time.Duration(i-10) * time.Hour)
				p.Favorite = i == 1
			}, pull))
		}
		bare := r.print(func(p *farm.Print) { p.CreatedAt = time.Now().Add(-20 * time.Hour); p.Status = farm.StatusPrinting })
		r.begin()
		time.Sleep(3 * sweepEvery)
		var left []int64
		for _, p := range all {
			if _, err := r.db.Print(r.t.Context(), p.ID); err == nil {
				left = append(left, p.ID)
			}
		}
		if want := []int64{all[1].ID, all[4].ID, all[5].ID}; !slices.Equal(left, want) {
			t.Errorf("left are %v, want %v", left, want)
		}
		r.is(bare.ID)
		if n, err := r.db.StoredBytes(r.t.Context()); err != nil || n > 3*each || len(r.keys("prints/")) != 6 {
			t.Errorf("%d bytes, %v, objects %q", n, err, r.keys("prints/"))
		}
	})
}

// Bytes that only favourites hold do not cost archives that have no files: deleting
// those would free nothing.
func TestRetentionByBytesCannotHelp(t *testing.T) {
	inBubble(t, func(o *Options) { o.Retention.Bytes = 50_000 }, func(r *rig) {
		pull := r.captured(farm.RoleTimelapse, "video.mp4", bytes.Repeat([]byte("x"), 100_000))
		bare := r.print(func(p *farm.Print) { p.CreatedAt = time.Now().Add(-time.Hour) })
		kept := r.print(func(p *farm.Print) { p.Favorite = true }, pull)
		r.begin()
		time.Sleep(3 * sweepEvery)
		r.file(kept.ID, farm.RoleTimelapse)
		r.file(bare.ID, farm.RoleRecord)
	})
}

// An upload that a process before did not end is removed; what a pull has fetched so
// far is not.
func TestLeftoversOfUploads(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		model := sliced("Part", 50_000)
		pull := r.captured(farm.RoleModel, "part.3mf", model)
		half := len(model) / 2
		mustWrite(t, r.archive.part(pull), model[:half])
		upload := r.archive.o.Dir + "/upload-12345"
		mustWrite(t, upload, model)
		var from int64
		r.sites.set(func(s *sites) {
			s.answer = func(_ context.Context, _ string, offset int64) (*http.Response, error) {
				from = offset
				return nil, nil
			}
		})
		p := r.print(nil, pull)
		r.begin()
		time.Sleep(time.Second)
		if r.file(p.ID, farm.RoleModel); from != int64(half) {
			t.Errorf("fetched from %d, want %d", from, half)
		}
		if exists(upload) {
			t.Error("the leftover is there")
		}
	})
}

// sweep does at once what the archive does each minute.
func (r *rig) sweep() {
	r.t.Helper()
	if err := r.archive.sweep(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// A hub that has just begun deletes nothing yet.
func TestNothingIsSweptAtTheStart(t *testing.T) {
	inBubble(t, func(o *Options) { o.SweepAfter = time.Hour }, func(r *rig) {
		const key = "models/x/part.3mf"
		if _, err := r.objects.Put(r.t.Context(), key, strings.NewReader("x"), 1, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := r.db.Intend(r.t.Context(), key, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		r.begin()
		time.Sleep(time.Hour - sweepEvery)
		if len(r.keys("models/")) != 1 {
			t.Error("it was swept at once")
		}
		time.Sleep(3 * sweepEvery)
		if len(r.keys("models/")) != 0 {
			t.Error("it is never swept")
		}
	})
}
