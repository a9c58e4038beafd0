package store

import (
	"testing"
	"time"

	"bambuddy/shared/farm"
)

func someone(name string, role farm.Role, sites []int64) farm.User {
	return farm.User{Username: name, Name: "N", Role: role, Sites: sites, CreatedAt: time.UnixMilli(1_700_000_000_000).UTC()}
}

func TestPeople(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		if has, err := db.HasUsers(ctx); has || err != nil {
			t.Fatalf("at first: %v %v", has, err)
		}
		anna, err := db.CreateUser(ctx, someone("anna", farm.Administrator, nil), "hash", true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.CreateUser(ctx, someone("eve", farm.Administrator, nil), "hash", true); !farm.Is(err, farm.Conflict) {
			t.Errorf("a second first person: %v", err)
		}
		if _, err := db.CreateUser(ctx, someone("anna", farm.Viewer, nil), "hash", false); !farm.Is(err, farm.Conflict) {
			t.Errorf("a name that is taken: %v", err)
		}
		bert, err := db.CreateUser(ctx, someone("bert", farm.Operator, []int64{}), "other", false)
		if err != nil || bert.Sites == nil {
			t.Fatalf("no sites became all of them: %+v %v", bert, err)
		}
		if u, password, err := db.UserByName(ctx, "bert"); err != nil || u.ID != bert.ID || password.Reveal() != "other" {
			t.Errorf("by name: %+v %v", u, err)
		}
		if all, err := db.Users(ctx); err != nil || len(all) != 2 || all[0].Username != "anna" || all[0].Sites != nil {
			t.Errorf("list: %+v %v", all, err)
		}
		for name, u := range map[string]farm.User{
			"demoted":           {ID: anna.ID, Username: "anna", Role: farm.Operator},
			"limited":           {ID: anna.ID, Username: "anna", Role: farm.Administrator, Sites: []int64{1}},
			"disabled":          {ID: anna.ID, Username: "anna", Role: farm.Administrator, Disabled: true},
			"under bert's name": {ID: anna.ID, Username: "bert", Role: farm.Administrator},
		} {
			if _, err := db.UpdateUser(ctx, u); !farm.Is(err, farm.Conflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := db.DeleteUser(ctx, anna.ID); !farm.Is(err, farm.Conflict) {
			t.Errorf("the last administrator was deleted: %v", err)
		}
		if u, err := db.User(ctx, anna.ID); err != nil || u.Disabled || u.Role != farm.Administrator {
			t.Errorf("a refused change left %+v %v", u, err)
		}
		if _, err := db.UpdateUser(ctx, farm.User{ID: 99, Username: "x"}); !farm.Is(err, farm.NotFound) {
			t.Errorf("nobody: %v", err)
		}
	})
}

// A hub whose administrators are all limited to sites was made so on purpose.
func TestPeopleWithoutAnAdministratorOfAllSites(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		for _, name := range []string{"anna", "bert"} {
			if _, err := db.CreateUser(ctx, someone(name, farm.Administrator, []int64{1}), "hash", false); err != nil {
				t.Fatal(err)
			}
		}
		if u, err := db.UpdateUser(ctx, farm.User{ID: 1, Username: "anna", Role: farm.Viewer}); err != nil || u.Role != farm.Viewer {
			t.Errorf("%+v %v", u, err)
		}
		if err := db.DeleteUser(ctx, 2); err != nil {
			t.Error(err)
		}
	})
}

func TestSessionsAndKeysGoWithTheirPerson(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		now := time.UnixMilli(1_700_000_000_000).UTC()
		if _, err := db.CreateUser(ctx, someone("anna", farm.Administrator, nil), "hash", true); err != nil {
			t.Fatal(err)
		}
		bert, err := db.CreateUser(ctx, someone("bert", farm.Operator, nil), "hash", false)
		if err != nil {
			t.Fatal(err)
		}
		open := func(n byte) farm.Session {
			s, err := db.CreateSession(ctx, farm.Session{UserID: bert.ID, Hash: [32]byte{n}, CreatedAt: now, Address: "::1", Agent: "a"}, "hash")
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		first, second := open(1), open(2)
		if u, _ := db.User(ctx, bert.ID); !u.SeenAt.Equal(now) {
			t.Errorf("the sign-in was not noted: %v", u.SeenAt)
		}
		if err := db.SetPassword(ctx, bert.ID, "new", "hash", second.ID, now); err != nil {
			t.Fatal(err)
		}
		if err := db.SetPassword(ctx, bert.ID, "newer", "hash", second.ID, now); !farm.Is(err, farm.Conflict) {
			t.Errorf("over one that was set meanwhile: %v", err)
		}
		if _, err := db.CreateSession(ctx, farm.Session{UserID: bert.ID, Hash: [32]byte{4}, CreatedAt: now}, "hash"); !farm.Is(err, farm.NotFound) {
			t.Errorf("a session by the password of before: %v", err)
		}
		if _, err := db.SessionByHash(ctx, first.Hash); !farm.Is(err, farm.NotFound) {
			t.Errorf("the other session outlived the password: %v", err)
		}
		if s, err := db.SessionByHash(ctx, second.Hash); err != nil || s != second {
			t.Errorf("%+v %v", s, err)
		}
		if err := db.TouchSessions(ctx, map[int64]time.Time{second.ID: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if s, _ := db.SessionByHash(ctx, second.Hash); !s.SeenAt.Equal(now.Add(time.Hour)) {
			t.Errorf("seen %v", s.SeenAt)
		}
		key, err := db.CreateKey(ctx, farm.APIKey{OwnerID: bert.ID, Name: "k", Hash: [32]byte{9}, Permissions: farm.Permissions})
		if err != nil || key.OwnerID != bert.ID {
			t.Fatalf("%+v %v", key, err)
		}
		if _, err := db.CreateKey(ctx, farm.APIKey{OwnerID: 99, Name: "k", Hash: [32]byte{8}}); !farm.Is(err, farm.NotFound) {
			t.Errorf("a key of nobody: %v", err)
		}
		if k, err := db.ReplaceKey(ctx, key.ID, "bb_new", [32]byte{7}); err != nil || k.Prefix != "bb_new" {
			t.Errorf("%+v %v", k, err)
		}
		if _, err := db.KeyByHash(ctx, [32]byte{9}); !farm.Is(err, farm.NotFound) {
			t.Errorf("the secret before still opens: %v", err)
		}
		bert.Disabled = true
		if _, err := db.UpdateUser(ctx, bert); err != nil {
			t.Fatal(err)
		}
		if all, err := db.Sessions(ctx, bert.ID); err != nil || len(all) != 0 {
			t.Errorf("sessions of a disabled person: %v %v", all, err)
		}
		if _, err := db.CreateSession(ctx, farm.Session{UserID: bert.ID, Hash: [32]byte{3}, CreatedAt: now}, "new"); !farm.Is(err, farm.NotFound) {
			t.Errorf("a disabled person got a session: %v", err)
		}
		if err := db.DeleteUser(ctx, bert.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := db.KeyByHash(ctx, [32]byte{7}); !farm.Is(err, farm.NotFound) {
			t.Errorf("a key outlived its person: %v", err)
		}
	})
}

func TestOldSessionsArePruned(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		now := time.UnixMilli(1_700_000_000_000).UTC()
		u, err := db.CreateUser(ctx, someone("anna", farm.Administrator, nil), "hash", true)
		if err != nil {
			t.Fatal(err)
		}
		for n, begun := range []time.Time{now.Add(-40 * time.Hour), now.Add(-2 * time.Hour), now} {
			if _, err := db.CreateSession(ctx, farm.Session{UserID: u.ID, Hash: [32]byte{byte(n)}, CreatedAt: begun}, "hash"); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.TouchSessions(ctx, map[int64]time.Time{1: now}); err != nil {
			t.Fatal(err)
		}
		if err := db.PruneSessions(ctx, now.Add(-30*time.Hour), now.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		left, err := db.Sessions(ctx, u.ID)
		if err != nil || len(left) != 1 || left[0].Hash != [32]byte{2} {
			t.Errorf("left %+v %v", left, err)
		}
		if err := db.DeleteSession(ctx, u.ID+1, left[0].ID); !farm.Is(err, farm.NotFound) {
			t.Errorf("somebody else's session was ended: %v", err)
		}
		if err := db.DeleteSession(ctx, u.ID, left[0].ID); err != nil {
			t.Error(err)
		}
	})
}

func TestAPersonHasSoManySessions(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		u, err := db.CreateUser(ctx, someone("anna", farm.Administrator, nil), "hash", true)
		if err != nil {
			t.Fatal(err)
		}
		for n := range maxSessions + 3 {
			if _, err := db.CreateSession(ctx, farm.Session{UserID: u.ID, Hash: [32]byte{byte(n)}, CreatedAt: time.UnixMilli(1)}, "hash"); err != nil {
				t.Fatal(err)
			}
		}
		left, err := db.Sessions(ctx, u.ID)
		if err != nil || len(left) != maxSessions || left[0].Hash != [32]byte{maxSessions + 2} || left[maxSessions-1].Hash != [32]byte{3} {
			t.Errorf("%d left: %v", len(left), err)
		}
	})
}
