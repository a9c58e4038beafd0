package store

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"bambuddy/hub/internal/store/pgtest"
	"bambuddy/shared/farm"
)

var server *pgtest.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = pgtest.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Stop()
	os.Exit(code)
}

// onBoth runs a test on a fresh database of each engine.
func onBoth(t *testing.T, test func(t *testing.T, db *DB)) {
	for _, e := range []engine{sqlite, postgres} {
		t.Run(string(e), func(t *testing.T) { test(t, fresh(t, e)) })
	}
}

func config(t testing.TB, e engine) Config {
	if e == postgres {
		return Config{URL: server.URL(t)}
	}
	return Config{Dir: t.TempDir()}
}

func fresh(t testing.TB, e engine) *DB { return opened(t, config(t, e)) }

func opened(t testing.TB, c Config) *DB {
	t.Helper()
	db, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// must gives a result that cannot fail in a test.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantCode(t *testing.T, err error, code farm.Code) {
	t.Helper()
	if !farm.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

func agent(t testing.TB, db *DB, site int64, uid string) farm.Agent {
	t.Helper()
	hash := [32]byte{}
	copy(hash[:], uid)
	e := farm.Enrolment{SiteID: site, SecretHash: hash, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute)}
	must[farm.Enrolment](t)(db.CreateEnrolment(t.Context(), e))
	return must[farm.Agent](t)(db.RedeemEnrolment(t.Context(), hash, farm.Agent{UID: uid, Name: uid, PublicKey: []byte{1, 2, 3}}))
}

func printer(serial string, agent farm.Agent) farm.Printer {
	site := agent.SiteID
	if site == 0 {
		site = farm.DefaultSiteID
	}
	return farm.Printer{
		Serial: serial, Name: "printer " + serial, Address: "192.0.2.1", MQTTPort: 8883, FTPSPort: 990,
		SiteID: site, AgentID: agent.ID, Tags: []string{"a", "b"},
	}
}

func kinds(t testing.TB, db *DB) (out []string) {
	t.Helper()
	for i, e := range must[[]farm.Event](t)(db.EventsAfter(t.Context(), 0, 1000)) {
		if e.ID != int64(i+1) {
			t.Errorf("event %d has id %d", i+1, e.ID)
		}
		out = append(out, e.Kind)
	}
	return out
}

func TestAHubKeepsItsIdentity(t *testing.T) {
	for _, e := range []engine{sqlite, postgres} {
		t.Run(string(e), func(t *testing.T) {
			c := config(t, e)
			first, generation := opened(t, c).Hub()
			again, _ := opened(t, c).Hub()
			if first == "" || first != again || generation != 1 {
				t.Errorf("hub id %q, then %q, generation %d", first, again, generation)
			}
		})
	}
}

func TestManyProcessesMayOpenAtOnce(t *testing.T) {
	for _, e := range []engine{sqlite, postgres} {
		t.Run(string(e), func(t *testing.T) {
			c := config(t, e)
			ids := make([]string, 4)
			var wg sync.WaitGroup
			for i := range ids {
				wg.Go(func() {
					db, err := Open(t.Context(), c)
					if err != nil {
						t.Error(err)
						return
					}
					ids[i], _ = db.Hub()
					if err := db.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for _, id := range ids {
				if id == "" || id != ids[0] {
					t.Errorf("hub ids differ: %v", ids)
				}
			}
		})
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	_, err := Open(t.Context(), Config{URL: "mysql://root:hunter2@db/x"})
	wantCode(t, err, farm.Invalid)
	if _, err := Open(t.Context(), Config{Dir: t.TempDir() + "/missing"}); err == nil {
		t.Error("a directory that is not there opened")
	}
}

func TestSettingsAndCursors(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		if _, ok, err := db.Setting(t.Context(), "x"); ok || err != nil {
			t.Errorf("unset setting: %v, %v", ok, err)
		}
		for _, v := range []string{"1", "2"} {
			if err := db.SetSetting(t.Context(), "x", v); err != nil {
				t.Fatal(err)
			}
			if got, ok, err := db.Setting(t.Context(), "x"); got != v || !ok || err != nil {
				t.Errorf("setting %q, %v, %v", got, ok, err)
			}
		}
		for _, step := range []struct{ set, want int64 }{{5, 5}, {3, 5}, {9, 9}} {
			if err := db.SetCursor(t.Context(), "f", step.set); err != nil {
				t.Fatal(err)
			}
			if got := must[int64](t)(db.Cursor(t.Context(), "f")); got != step.want {
				t.Errorf("cursor is %d after setting %d, want %d", got, step.set, step.want)
			}
		}
	})
}

func TestSites(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		if s := must[farm.Site](t)(db.Site(ctx, farm.DefaultSiteID)); time.Since(s.CreatedAt) > time.Hour {
			t.Errorf("the default site is older than the hub: %+v", s)
		}
		berlin := must[farm.Site](t)(db.CreateSite(ctx, "Berlin"))
		_, err := db.CreateSite(ctx, "Berlin")
		wantCode(t, err, farm.Conflict)
		_, err = db.RenameSite(ctx, berlin.ID, "Default")
		wantCode(t, err, farm.Conflict)
		_, err = db.RenameSite(ctx, 99, "X")
		wantCode(t, err, farm.NotFound)
		must[farm.Site](t)(db.RenameSite(ctx, berlin.ID, "Wien"))
		wantCode(t, db.DeleteSite(ctx, farm.DefaultSiteID), farm.Conflict)
		agent(t, db, berlin.ID, "a")
		wantCode(t, db.DeleteSite(ctx, berlin.ID), farm.Conflict)
		empty := must[farm.Site](t)(db.CreateSite(ctx, "empty"))
		if err := db.DeleteSite(ctx, empty.ID); err != nil {
			t.Error(err)
		}
		wantCode(t, db.DeleteSite(ctx, empty.ID), farm.NotFound)
		sites := must[[]farm.Site](t)(db.Sites(ctx))
		if len(sites) != 2 || sites[0].ID != farm.DefaultSiteID || sites[1].Name != "Wien" {
			t.Errorf("sites: %+v", sites)
		}
	})
}
