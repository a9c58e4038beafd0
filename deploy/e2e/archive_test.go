package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	hubapp "bambuddy/hub/app"
	"bambuddy/shared/farm"
	"bambuddy/shared/simprinter"
)

// Whoever starts a print, and however it ends, it becomes one archive with its file,
// its picture and what it used.
func TestEveryPrintBecomesAnArchive(t *testing.T) {
	inBubble(t, []string{"X1C", "P1S", "A1", "H2D"}, func(r *rig) {
		for id := 1; id <= 4; id++ {
			r.awaitState(id, "idle", 30*time.Second)
		}
		r.print(1, "Benchy", "slicer", 20)
		r.print(2, "Vase", "cloud", 20)
		r.print(3, "Cube", "slicer", 20)
		r.print(4, "Gear", "slicer", 20)
		time.Sleep(8 * time.Minute)
		if err := r.sim(3).Stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		r.settled(10 * time.Minute)
		all := r.archives()
		for _, a := range all {
			switch {
			case a.Thumbnail == nil:
				t.Errorf("%s has no thumbnail", a.Name)
			case a.FilamentType == nil || *a.FilamentType != "PLA":
				t.Errorf("%s: filament %v", a.Name, a.FilamentType)
			case a.Status == "success" && (a.FilamentUsed == nil || *a.FilamentUsed != 5 || a.Duration == nil || *a.Duration < 20*60 || *a.Duration > 40*60):
				t.Errorf("%s: %v g in %v s", a.Name, a.FilamentUsed, a.Duration)
			case a.Status == "stopped" && (a.FilamentUsed == nil || *a.FilamentUsed <= 0 || *a.FilamentUsed >= 5):
				t.Errorf("%s: %v g", a.Name, a.FilamentUsed)
			}
		}
		for kind, want := range map[string]int{"print_started": 4, "print_complete": 3, "print_stopped": 1, "print_failed": 0} {
			if got := r.feed.count(kind); got != want {
				t.Errorf("%d events %s, want %d", got, kind, want)
			}
		}
	})
}

// A hundred prints while the hub is away for a day are told when it is back, in
// their order, each once.
func TestTheHubIsAwayForADay(t *testing.T) {
	inFastBubble(t, 20, []string{"X1C", "P1S", "A1", "X1C"}, func(r *rig) {
		for id := 1; id <= 4; id++ {
			r.awaitState(id, "idle", 30*time.Second)
		}
		r.hub.stop()
		gone := time.Now()
		for n := range 25 {
			for id := 1; id <= 4; id++ {
				r.print(id, fmt.Sprintf("part %d", n), "slicer", 10)
			}
			time.Sleep(90 * time.Second)
		}
		r.sims.stop() // somebody switches them off for the night
		time.Sleep(24*time.Hour - time.Since(gone))
		r.hub.start()
		r.await("the hub", 10*time.Second, func() bool { return r.try("GET", "/health", nil, nil) == 200 })
		r.settled(time.Hour)
		if n := len(r.archives()); n != 100 {
			t.Errorf("%d archives", n)
		}
		for _, a := range r.archives() {
			if a.Status != "success" || a.Estimated {
				t.Errorf("archive %d: %s, estimated %v", a.ID, a.Status, a.Estimated)
			}
		}
	})
}

// An agent that restarts in the middle of prints goes on with them: those that run,
// that are paused, and that ended while it was away.
func TestAnAgentRestartsInTheMiddle(t *testing.T) {
	inFastBubble(t, 10, []string{"X1C", "X1C", "P1S", "P1S", "A1", "A1"}, func(r *rig) {
		for id := 1; id <= 6; id++ {
			r.awaitState(id, "idle", 30*time.Second)
		}
		for id := 1; id <= 6; id++ {
			r.print(id, "long", "cloud", 60)
		}
		time.Sleep(2 * time.Minute)
		for _, id := range []int{3, 4} {
			if err := r.sim(id).Pause(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		for _, a := range r.agents {
			a.stop()
		}
		if err := r.sim(1).Stop(); err != nil { // ends while nobody looks
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for _, a := range r.agents {
			a.start()
		}
		time.Sleep(time.Minute)
		for _, id := range []int{3, 4} {
			if err := r.sim(id).Resume(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(8 * time.Minute)
		r.settled(time.Hour)
		if n := r.feed.count("print_started"); n != 6 {
			t.Errorf("%d starts were told of", n)
		}
		for _, a := range r.archives() {
			if a.PrinterID != 1 && a.Status != "success" {
				t.Errorf("printer %d: %s", a.PrinterID, a.Status)
			}
			if a.PrinterID == 1 && a.Status != "stopped" {
				t.Errorf("the stopped one is %s", a.Status)
			}
		}
	})
}

// A link that is cut every few seconds delays everything and loses nothing.
func TestALinkThatKeepsBreaking(t *testing.T) {
	inBubble(t, []string{"X1C", "P1S"}, func(r *rig) {
		for id := 1; id <= 2; id++ {
			r.awaitState(id, "idle", 30*time.Second)
		}
		r.print(1, "one", "slicer", 10)
		r.print(2, "two", "cloud", 10)
		for range 150 {
			time.Sleep(7 * time.Second)
			for site := range 2 {
				r.network.Cut(wan(site))
			}
			time.Sleep(time.Second)
			for site := range 2 {
				r.network.Heal(wan(site))
			}
		}
		r.settled(time.Hour)
	})
}

// A hub that comes back with an older copy of its database reads again what its agents
// keep.
func TestAHubRestoredFromAnOlderCopy(t *testing.T) {
	inBubble(t, []string{"X1C", "P1S"}, func(r *rig) {
		for id := 1; id <= 2; id++ {
			r.awaitState(id, "idle", 30*time.Second)
		}
		r.print(1, "before", "slicer", 5)
		time.Sleep(20 * time.Minute)
		r.settled(time.Hour)
		r.hub.stop()
		backup := filepath.Join(r.root, "backup")
		copyDir(t, r.hubDir(), backup)
		r.hub.start()
		r.print(1, "after", "slicer", 5)
		r.print(2, "after too", "cloud", 5)
		time.Sleep(20 * time.Minute)
		r.settled(time.Hour)
		r.hub.stop()
		if err := os.RemoveAll(r.hubDir()); err != nil {
			t.Fatal(err)
		}
		copyDir(t, backup, r.hubDir())
		r.hub.start()
		r.await("the hub", 10*time.Second, func() bool { return r.try("GET", "/health", nil, nil) == 200 })
		r.settled(time.Hour)
		if n := len(r.archives()); n != 3 {
			t.Errorf("%d archives, want 3", n)
		}
	})
}

// An agent that is installed anew in the middle of a print sees it as one it does not
// know; the hub knows better.
func TestAnAgentInstalledAnewInTheMiddle(t *testing.T) {
	inBubble(t, []string{"X1C"}, func(r *rig) {
		r.awaitState(1, "idle", 30*time.Second)
		r.print(1, "long", "cloud", 60)
		time.Sleep(20 * time.Minute)
		r.agents[0].stop()
		for _, file := range []string{"outbox.db", "outbox.db-wal", "outbox.db-shm"} {
			if err := os.Remove(filepath.Join(r.agentDir(0), file)); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		r.agents[0].start()
		time.Sleep(80 * time.Minute)
		r.settled(time.Hour)
		if n := r.feed.count("print_started"); n != 1 {
			t.Errorf("%d starts were told of", n)
		}
	})
}

// While the object store is away files wait; prints and their events do not.
func TestTheObjectStoreIsAway(t *testing.T) {
	inBubble(t, []string{"X1C"}, func(r *rig) {
		r.awaitState(1, "idle", 30*time.Second)
		r.objects.Break(func(op, _ string) error {
			if op == "list" {
				return nil
			}
			return farm.Errorf(farm.Unavailable, "the object store refuses our key (AccessDenied)")
		})
		r.print(1, "Benchy", "slicer", 5)
		r.await("the end to be told of", 30*time.Minute, func() bool { return r.feed.count("print_complete") == 1 })
		a := r.archives()[0]
		if a.Status != "success" || a.FileStatus != "pending" {
			t.Errorf("it is %s, its file %s", a.Status, a.FileStatus)
		}
		var detail struct {
			Files []struct {
				Role, Status string
				Error        *string
			}
		}
		r.await("the reason", 10*time.Minute, func() bool {
			r.must("GET", fmt.Sprintf("/api/v1/archives/%d", a.ID), nil, &detail, 200)
			for _, f := range detail.Files {
				if f.Role == "model" && f.Error != nil && strings.Contains(*f.Error, "AccessDenied") {
					return true
				}
			}
			return false
		})
		r.objects.Break(nil)
		r.settled(time.Hour)
	})
}

// The same file printed again and again is one object.
func TestTheSameFileManyTimes(t *testing.T) {
	inFastBubble(t, 20, []string{"X1C", "X1C"}, func(r *rig) {
		for id := 1; id <= 2; id++ {
			r.awaitState(id, "idle", 30*time.Second)
		}
		for range 20 {
			for id := 1; id <= 2; id++ {
				r.print(id, "serial part", "slicer", 3)
			}
			time.Sleep(90 * time.Second)
		}
		r.settled(2 * time.Hour)
		models := 0
		if err := r.objects.List(t.Context(), "models/", "", func(hubapp.ObjectInfo) error { models++; return nil }); err != nil {
			t.Fatal(err)
		}
		if n := len(r.archives()); n != 40 || models != 1 {
			t.Errorf("%d archives, %d objects", n, models)
		}
	})
}

// A printer that loses its power in the middle comes back idle: that the print is over
// is all that can be known.
func TestAPowerCutInTheMiddle(t *testing.T) {
	inBubble(t, []string{"X1C", "P1S"}, func(r *rig) {
		r.unprovable["long"] = true
		for id := 1; id <= 2; id++ {
			r.awaitState(id, "idle", 30*time.Second)
			r.print(id, "long", "slicer", 60)
		}
		time.Sleep(20 * time.Minute)
		for id := 1; id <= 2; id++ {
			r.fault(id, "power_cut", 10*time.Minute)
		}
		time.Sleep(20 * time.Minute)
		r.print(1, "next", "slicer", 5)
		time.Sleep(30 * time.Minute)
		r.settled(time.Hour)
		for _, a := range r.archives() {
			want := "unknown"
			if a.Name == "next" {
				want = "success"
			}
			if a.Status != want {
				t.Errorf("%s: %s, want %s", a.Name, a.Status, want)
			}
		}
	})
}

// A ghost that a printer begins by itself is a print like any other.
func TestAGhost(t *testing.T) {
	inBubble(t, []string{"A1"}, func(r *rig) {
		r.awaitState(1, "idle", 30*time.Second)
		r.print(1, "haunted", "slicer", 5)
		time.Sleep(20 * time.Minute)
		r.fault(1, "ghost_replay", time.Minute)
		time.Sleep(30 * time.Minute)
		r.settled(time.Hour)
		if n := len(r.printers.Ledger()); n != 2 {
			t.Errorf("the ghost did not print: %d in the ledger", n)
		}
	})
}

// Files that come late, lie elsewhere, are known by the name of the print before, or that
// nobody can read; and films.
func TestFilesThatAreHardToGet(t *testing.T) {
	inBubble(t, []string{"X1C", "A1", "P2S", "P1S"}, func(r *rig) {
		for id := 1; id <= 4; id++ {
			r.awaitState(id, "idle", 30*time.Second)
		}
		film := true
		r.print(2, "the one before", "cloud", 3)
		time.Sleep(12 * time.Minute)
		r.fault(1, "late_file", time.Hour)
		r.fault(2, "late_name", time.Hour)
		r.fault(3, "internal_storage", time.Hour)
		for id := 1; id <= 4; id++ {
			job := simprinter.PrintJob{Name: fmt.Sprint("hard ", id), Source: "slicer", Minutes: 10, Timelapse: &film}
			if id == 1 { // the only one here that tells which plate it prints
				job.Plate, job.Plates = 2, 3
			}
			if err := r.sim(id).Start(job); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Minute)
		r.await("all that can be had", 2*time.Hour, func() bool {
			waits := 0
			for _, a := range r.archives() {
				if a.Status == "printing" || a.FileStatus == "pending" || a.Timelapse == nil && a.PrinterID != 3 && a.Name != "the one before" {
					waits++
				}
			}
			return waits == 0
		})
		if wrong := r.accounts(); wrong != "" {
			t.Error(wrong)
		}
		for _, a := range r.archives() {
			hidden := a.PrinterID == 3
			if hidden != (a.FileStatus == "unavailable") || hidden != (a.FileError != nil) {
				t.Errorf("%s: its file is %s, %v", a.Name, a.FileStatus, a.FileError)
			}
			if !hidden && !strings.HasPrefix(a.Name, "hard ") && a.Name != "the one before" {
				t.Errorf("archive %d is called %q", a.ID, a.Name)
			}
		}
		for _, e := range r.printers.Ledger() {
			if e.Timelapse != "" && e.Path != "" && !r.stores(e.TimelapseSHA256) {
				t.Errorf("the film of %s is not stored as it was made", e.Name)
			}
		}
	})
}
