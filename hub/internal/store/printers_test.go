package store

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

func TestPrintersComeAndGo(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		a := agent(t, db, farm.DefaultSiteID, "a")
		p := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S1", a), []byte("sealed")))
		if p.Fence == 0 || p.AgentID != a.ID || p.CreatedAt.IsZero() || !slices.Equal(p.Tags, []string{"a", "b"}) {
			t.Errorf("created: %+v", p)
		}
		if got := must[farm.Printer](t)(db.Printer(ctx, p.ID)); fmt.Sprint(got) != fmt.Sprint(p) {
			t.Errorf("read back %+v, created %+v", got, p)
		}
		_, err := db.CreatePrinter(ctx, printer("S1", a), []byte("x"))
		wantCode(t, err, farm.Conflict)
		wrong := printer("S2", a)
		wrong.AgentID = 77
		_, err = db.CreatePrinter(ctx, wrong, []byte("x"))
		wantCode(t, err, farm.Invalid)
		if all := must[[]farm.Printer](t)(db.Printers(ctx)); len(all) != 1 {
			t.Errorf("a refused printer was left behind: %+v", all)
		}
		p.Name = "renamed"
		p = must[farm.Printer](t)(db.UpdatePrinter(ctx, p, nil))
		if c := must[farm.AgentConfig](t)(db.AgentConfig(ctx, a.ID)); string(c.Codes[p.ID]) != "sealed" || c.Printers[0].Name != "renamed" || c.SiteName != "Default" {
			t.Errorf("config: %+v", c)
		}
		if err := db.SetPrinterModel(ctx, p.ID, "X1C"); err != nil {
			t.Error(err)
		}
		if err := db.DeletePrinter(ctx, p.ID); err != nil {
			t.Error(err)
		}
		wantCode(t, db.DeletePrinter(ctx, p.ID), farm.NotFound)
		wantCode(t, db.SetPrinterModel(ctx, p.ID, "X1C"), farm.NotFound)
		_, err = db.UpdatePrinter(ctx, p, nil)
		wantCode(t, err, farm.NotFound)
		want := []string{"agent_enrolled", "printer_added", "printer_updated", "printer_updated", "printer_removed"}
		if got := kinds(t, db); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
	})
}

func TestAPrinterUnderAnotherAgentLeavesATombstone(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		a, b := agent(t, db, farm.DefaultSiteID, "a"), agent(t, db, farm.DefaultSiteID, "b")
		p := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S1", a), []byte("x")))
		first := p.Fence
		p.AgentID = b.ID
		p = must[farm.Printer](t)(db.UpdatePrinter(ctx, p, nil))
		if p.Fence <= first || p.AgentID != b.ID {
			t.Errorf("moved: %+v, fence was %d", p, first)
		}
		old := must[farm.AgentConfig](t)(db.AgentConfig(ctx, a.ID))
		if len(old.Printers) != 0 || !slices.Equal(old.Tombstones, []farm.Tombstone{{Serial: "S1", Fence: first}}) {
			t.Errorf("the former agent's config: %+v", old)
		}
		if err := db.AckConfig(ctx, a.ID, old.Agent.Revision-1); err != nil {
			t.Fatal(err)
		}
		if n := len(must[farm.AgentConfig](t)(db.AgentConfig(ctx, a.ID)).Tombstones); n != 1 {
			t.Errorf("an older revision took the tombstone: %d left", n)
		}
		if err := db.AckConfig(ctx, a.ID, old.Agent.Revision); err != nil {
			t.Fatal(err)
		}
		if n := len(must[farm.AgentConfig](t)(db.AgentConfig(ctx, a.ID)).Tombstones); n != 0 {
			t.Errorf("%d tombstones are left", n)
		}
		// Deleted and registered again: never under an old fence, and no tombstone in its way.
		if err := db.DeletePrinter(ctx, p.ID); err != nil {
			t.Fatal(err)
		}
		again := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S1", b), []byte("x")))
		c := must[farm.AgentConfig](t)(db.AgentConfig(ctx, b.ID))
		if again.Fence <= p.Fence || len(c.Tombstones) != 0 || len(c.Printers) != 1 {
			t.Errorf("registered again: fence %d after %d, config %+v", again.Fence, p.Fence, c)
		}
		again.AgentID = 0
		if again = must[farm.Printer](t)(db.UpdatePrinter(ctx, again, nil)); again.AgentID != 0 {
			t.Errorf("taken from its agent: %+v", again)
		}
	})
}

func TestNoRevisionIsLostUnderConcurrency(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		a := agent(t, db, farm.DefaultSiteID, "a")
		const writers, each = 8, 10
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				p, err := db.CreatePrinter(ctx, printer(fmt.Sprintf("S%d", w), a), []byte("x"))
				for range each - 1 {
					if err == nil {
						p, err = db.UpdatePrinter(ctx, p, nil)
					}
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if r := must[map[int64]farm.AgentRevision](t)(db.Revisions(ctx))[a.ID]; r.Revision != a.Revision+writers*each {
			t.Errorf("revision %d, want %d", r.Revision, a.Revision+writers*each)
		}
		fences := map[int64]bool{}
		for _, p := range must[[]farm.Printer](t)(db.Printers(ctx)) {
			fences[p.Fence] = true
		}
		if len(fences) != writers || len(kinds(t, db)) != 1+writers*each {
			t.Errorf("%d fences, %d events", len(fences), len(kinds(t, db)))
		}
	})
}

func TestStatesAreRemembered(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		p := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S1", farm.Agent{}), []byte("x")))
		seen := time.UnixMilli(1700000000123).UTC()
		for _, connected := range []bool{true, false} {
			states := []farm.PrinterState{
				{PrinterID: p.ID, Connected: connected, SeenAt: seen, Status: []byte(`{"a":1}`)},
				{PrinterID: 999, Status: []byte(`{}`)}, // deleted meanwhile
			}
			if err := db.SaveStates(ctx, states); err != nil {
				t.Fatal(err)
			}
			got := must[[]farm.PrinterState](t)(db.States(ctx))
			if len(got) != 1 || got[0].Connected != connected || !got[0].SeenAt.Equal(seen) || string(got[0].Status) != `{"a":1}` {
				t.Errorf("states: %+v", got)
			}
		}
	})
}

// What an agent's last event told is in its row at once: after a crash between
// the two a restarted hub would tell it twice, or never.
func TestAnAgentIsOnlineAsItWasTold(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		a, other := agent(t, db, farm.DefaultSiteID, "a"), agent(t, db, farm.DefaultSiteID, "b")
		if a.Online {
			t.Error("an agent that never came is online")
		}
		for _, step := range []struct {
			kind string
			want bool
		}{
			{farm.EventAgentOnline, true},
			{farm.EventAgentDuplicate, true},
			{farm.EventAgentOffline, false},
			{farm.EventAgentDuplicate, false},
			{farm.EventAgentOnline, true},
		} {
			must[farm.Event](t)(db.AppendEvent(ctx, farm.Event{Kind: step.kind, AgentID: a.ID}))
			if got := must[farm.Agent](t)(db.Agent(ctx, a.ID)); got.Online != step.want {
				t.Errorf("after %s it is online: %v", step.kind, got.Online)
			}
			if got := must[farm.Agent](t)(db.Agent(ctx, other.ID)); got.Online {
				t.Errorf("after %s of one the other is online", step.kind)
			}
		}
		if a = must[farm.Agent](t)(db.UpdateAgent(ctx, a)); !a.Online {
			t.Error("a new name put it offline")
		}
		must[farm.Agent](t)(db.RevokeAgent(ctx, a.ID))
		if err := db.DeleteAgent(ctx, a.ID); err != nil {
			t.Fatal(err)
		}
		must[farm.Event](t)(db.AppendEvent(ctx, farm.Event{Kind: farm.EventAgentOffline, AgentID: a.ID})) // told a moment too late
	})
}

func TestEnrolment(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		waiting := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S1", farm.Agent{}), []byte("x")))
		berlin := must[farm.Site](t)(db.CreateSite(ctx, "Berlin"))
		late := farm.Enrolment{SiteID: 1, SecretHash: [32]byte{7}, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(-time.Second)}
		must[farm.Enrolment](t)(db.CreateEnrolment(ctx, late))
		_, err := db.RedeemEnrolment(ctx, [32]byte{7}, farm.Agent{UID: "x"})
		wantCode(t, err, farm.Unauthorized)
		_, err = db.RedeemEnrolment(ctx, [32]byte{8}, farm.Agent{UID: "x"})
		wantCode(t, err, farm.Unauthorized)
		_, err = db.CreateEnrolment(ctx, farm.Enrolment{SiteID: 99, SecretHash: [32]byte{9}})
		wantCode(t, err, farm.Invalid)

		first := agent(t, db, berlin.ID, "first")
		adopted := must[farm.Printer](t)(db.Printer(ctx, waiting.ID))
		if adopted.AgentID != first.ID || adopted.SiteID != berlin.ID || adopted.Fence == 0 {
			t.Errorf("the first agent did not adopt the waiting printer: %+v", adopted)
		}
		_, err = db.RedeemEnrolment(ctx, [32]byte([]byte("first\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")), farm.Agent{UID: "again"})
		wantCode(t, err, farm.Unauthorized)
		if open := must[[]farm.Enrolment](t)(db.Enrolments(ctx)); len(open) != 0 {
			t.Errorf("open enrolments: %+v", open)
		}
		got := must[farm.Agent](t)(db.AgentByUID(ctx, "first"))
		if got.ID != first.ID || !slices.Equal(got.PublicKey, []byte{1, 2, 3}) || !got.LastSeen.IsZero() {
			t.Errorf("agent by uid: %+v", got)
		}
		_, err = db.AgentByUID(ctx, "nobody")
		wantCode(t, err, farm.NotFound)
	})
}

func TestOneTokenEnrolsOneAgent(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		hash := [32]byte{1}
		must[farm.Enrolment](t)(db.CreateEnrolment(t.Context(), farm.Enrolment{SiteID: 1, SecretHash: hash, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}))
		var mu sync.Mutex
		won := map[string]bool{}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				uid := fmt.Sprint(i)
				_, err := db.RedeemEnrolment(t.Context(), hash, farm.Agent{UID: uid})
				if err == nil {
					mu.Lock()
					won[uid] = true
					mu.Unlock()
				} else if !farm.Is(err, farm.Unauthorized) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Errorf("enrolled: %v", slices.Collect(maps.Keys(won)))
		}
	})
}

func TestAgents(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		a := agent(t, db, farm.DefaultSiteID, "a")
		p := must[farm.Printer](t)(db.CreatePrinter(ctx, printer("S1", a), []byte("x")))
		berlin := must[farm.Site](t)(db.CreateSite(ctx, "Berlin"))
		a.Name, a.SiteID = "moved", berlin.ID
		a = must[farm.Agent](t)(db.UpdateAgent(ctx, a))
		if p = must[farm.Printer](t)(db.Printer(ctx, p.ID)); p.SiteID != berlin.ID || a.Name != "moved" {
			t.Errorf("moved agent %+v, its printer %+v", a, p)
		}
		at := time.UnixMilli(1700000000000)
		if err := db.SeenAgent(ctx, a.ID, "1.0", "linux/arm64", at); err != nil {
			t.Fatal(err)
		}
		if a = must[farm.Agent](t)(db.Agent(ctx, a.ID)); a.Version != "1.0" || !a.LastSeen.Equal(at) {
			t.Errorf("seen: %+v", a)
		}
		wantCode(t, db.DeleteAgent(ctx, a.ID), farm.Conflict)
		before := a.Revision
		a = must[farm.Agent](t)(db.RevokeAgent(ctx, a.ID))
		again := must[farm.Agent](t)(db.RevokeAgent(ctx, a.ID))
		if !a.Revoked || a.Revision != before+1 || again.Revision != a.Revision {
			t.Errorf("revoked: %+v, again: %+v", a, again)
		}
		if err := db.DeleteAgent(ctx, a.ID); err != nil {
			t.Fatal(err)
		}
		if p = must[farm.Printer](t)(db.Printer(ctx, p.ID)); p.AgentID != 0 {
			t.Errorf("the printer of a deleted agent: %+v", p)
		}
		wantCode(t, db.DeleteAgent(ctx, a.ID), farm.NotFound)
		_, err := db.RevokeAgent(ctx, a.ID)
		wantCode(t, err, farm.NotFound)
	})
}

func TestKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		in := farm.APIKey{
			Name: "k", Prefix: "bb_abc", Hash: [32]byte{1, 2}, Permissions: []farm.Permission{farm.Read, farm.Admin},
			Sites: []int64{}, Limits: farm.Limits{Read: 5}, CreatedAt: time.UnixMilli(1700000000000).UTC(),
		}
		k := must[farm.APIKey](t)(db.CreateKey(ctx, in))
		in.ID = k.ID
		if got := must[farm.APIKey](t)(db.KeyByHash(ctx, in.Hash)); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", in) {
			t.Errorf("read back %#v\nwant      %#v", got, in)
		}
		if k.Printers != nil || k.Sites == nil {
			t.Error("an absent list and an empty one are mixed up")
		}
		used := time.UnixMilli(1700000005000).UTC()
		if err := db.TouchKeys(ctx, map[int64]time.Time{k.ID: used, 99: used}); err != nil {
			t.Fatal(err)
		}
		if err := db.TouchKeys(ctx, map[int64]time.Time{k.ID: used.Add(-time.Second)}); err != nil {
			t.Fatal(err)
		}
		k.Name, k.Printers = "renamed", []int64{1}
		if err := db.UpdateKey(ctx, k); err != nil {
			t.Fatal(err)
		}
		got := must[farm.APIKey](t)(db.Key(ctx, k.ID))
		if !got.LastUsedAt.Equal(used) || got.Name != "renamed" || !slices.Equal(got.Printers, []int64{1}) || got.Hash != in.Hash {
			t.Errorf("changed key: %+v", got)
		}
		if err := db.DeleteKey(ctx, k.ID); err != nil {
			t.Fatal(err)
		}
		wantCode(t, db.DeleteKey(ctx, k.ID), farm.NotFound)
		wantCode(t, db.UpdateKey(ctx, k), farm.NotFound)
		_, err := db.KeyByHash(ctx, in.Hash)
		wantCode(t, err, farm.NotFound)
		if left := must[[]farm.APIKey](t)(db.Keys(ctx)); len(left) != 0 {
			t.Errorf("left: %+v", left)
		}
	})
}
