package s3door

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
)

// keysOf is credentials over a real store and real seals.
func keysOf(t *testing.T) (*Credentials, *store.DB) {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(context.Background(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	box, err := secrets.Open(t.Context(), secrets.Options{Dir: dir, Canary: db})
	if err != nil {
		t.Fatal(err)
	}
	return NewCredentials(db, box, slog.New(slog.DiscardHandler)), db
}

func TestACredentialOpensTheDoorUntilItIsRevoked(t *testing.T) {
	keys, db := keysOf(t)
	ctx := t.Context()
	site, err := db.CreateSite(ctx, "Attic")
	if err != nil {
		t.Fatal(err)
	}
	c, secret, err := keys.Create(ctx, 0, " rclone ", []int64{site.ID})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[A-Z0-9]{20}$`).MatchString(c.AccessKey) || len(secret.Reveal()) != 40 || c.Name != "rclone" {
		t.Errorf("%+v and a secret of %d characters", c, len(secret.Reveal()))
	}
	_, sealed, err := db.S3Credential(ctx, c.AccessKey)
	if err != nil || strings.Contains(string(sealed), secret.Reveal()) || len(sealed) < 40 {
		t.Errorf("kept as %q: %v", sealed, err)
	}
	r := newRig(t, func(o *Options) { o.Index, o.Keys = sitesOf{newMemory(), db}, keys })
	if w := r.do(signed(request(http.MethodGet, "/"), c.AccessKey, secret)); w.Code != 200 || !strings.Contains(w.Body.String(), "<Name>attic</Name>") ||
		strings.Count(w.Body.String(), "<Bucket>") != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	all, err := keys.List(ctx)
	if err != nil || len(all) != 1 || all[0].LastUsedAt.IsZero() || all[0].Sites[0] != site.ID {
		t.Errorf("%+v, %v", all, err)
	}
	if err := keys.Revoke(ctx, c.ID); err != nil {
		t.Error(err)
	}
	r.wantFault(r.do(signed(request(http.MethodGet, "/"), c.AccessKey, secret)), http.StatusForbidden, "SignatureDoesNotMatch")
	if err := keys.Revoke(ctx, c.ID); !farm.Is(err, farm.NotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	for _, name := range []string{"", " ", strings.Repeat("x", 101)} {
		if _, _, err := keys.Create(ctx, 0, name, nil); !farm.Is(err, farm.Invalid) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

// sitesOf are the sites of a database, with files in memory.
type sitesOf struct {
	*memory
	db *store.DB
}

func (s sitesOf) Sites(ctx context.Context) ([]farm.Site, error) { return s.db.Sites(ctx) }

// A row that was copied to another access key does not open there.
func TestASealedSecretIsBoundToItsAccessKey(t *testing.T) {
	keys, db := keysOf(t)
	ctx := t.Context()
	c, _, err := keys.Create(ctx, 0, "one", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sealed, err := db.S3Credential(ctx, c.AccessKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateS3Credential(ctx, farm.S3Credential{AccessKey: "OTHER", Name: "x", CreatedAt: time.Now()}, sealed); err != nil {
		t.Fatal(err)
	}
	if _, _, err := keys.Find(ctx, "OTHER"); err == nil {
		t.Error("it opened")
	}
}

// touches counts how often the store is written to.
type touches struct {
	Store
	n int
}

func (s *touches) TouchS3Credential(context.Context, int64, time.Time) error { s.n++; return nil }

func TestUseIsNotedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &touches{}
		keys := NewCredentials(s, nil, slog.New(slog.DiscardHandler))
		c := farm.S3Credential{ID: 1}
		for range 600 {
			was := s.n
			if keys.Used(t.Context(), c); s.n > was {
				c.LastUsedAt = time.Now()
			}
			time.Sleep(time.Second)
		}
		if s.n != 2 {
			t.Errorf("written %d times in ten minutes", s.n)
		}
	})
}

func TestACredentialFollowsItsOwner(t *testing.T) {
	keys, db := keysOf(t)
	ctx := t.Context()
	attic, err := db.CreateSite(ctx, "Attic")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateUser(ctx, farm.User{Username: "anna", Role: farm.Administrator}, "x", true); err != nil {
		t.Fatal(err)
	}
	bert, err := db.CreateUser(ctx, farm.User{Username: "bert", Role: farm.Administrator}, "x", false)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := keys.Create(ctx, bert.ID, "all sites", nil)
	if err != nil {
		t.Fatal(err)
	}
	change := func(sites []int64, disabled bool) {
		bert.Sites, bert.Disabled = sites, disabled
		if _, err := db.UpdateUser(ctx, bert); err != nil {
			t.Fatal(err)
		}
	}
	for name, one := range map[string]struct {
		sites []int64
		sees  bool
	}{"all": {nil, true}, "his": {[]int64{attic.ID}, true}, "none": {[]int64{}, false}} {
		change(one.sites, false)
		if found, _, err := keys.Find(ctx, c.AccessKey); err != nil || found.SeesSite(attic.ID) != one.sees {
			t.Errorf("%s: %+v %v", name, found, err)
		}
	}
	change(nil, true)
	if _, _, err := keys.Find(ctx, c.AccessKey); !farm.Is(err, farm.NotFound) {
		t.Errorf("of a disabled person: %v", err)
	}
	if err := db.DeleteUser(ctx, bert.ID); err != nil {
		t.Fatal(err)
	}
	if all, err := keys.List(ctx); err != nil || len(all) != 0 {
		t.Errorf("outlived its owner: %+v %v", all, err)
	}
}
