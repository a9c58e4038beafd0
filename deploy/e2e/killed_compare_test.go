package e2e

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bambuddy/shared/simprinter"
)

// ledger is what physically happened, by printer.
func (w *works) ledger() map[int64][]simprinter.LedgerEntry {
	w.t.Helper()
	var all []simprinter.LedgerEntry
	if status := w.ask("GET", w.control+"/ledger", nil, &all); status != 200 {
		w.t.Fatalf("the ledger: %d", status)
	}
	out := map[int64][]simprinter.LedgerEntry{}
	for _, e := range all {
		out[w.ids[e.Serial]] = append(out[w.ids[e.Serial]], e)
	}
	return out
}

// archives are all that the hub has, by printer and in the order they began.
func (w *works) archives() (map[int64][]archive, error) {
	var page struct {
		Total    int       `json:"total"`
		Archives []archive `json:"archives"`
	}
	out := map[int64][]archive{}
	for offset := 0; ; offset += len(page.Archives) {
		if status := w.ask("GET", fmt.Sprintf("%s/api/v1/archives?limit=100&offset=%d", w.url, offset), nil, &page); status != 200 {
			return nil, fmt.Errorf("the archives: %d", status)
		}
		if len(page.Archives) == 0 {
			break
		}
		for _, a := range page.Archives {
			out[a.PrinterID] = append(out[a.PrinterID], a)
		}
	}
	for _, of := range out {
		slices.SortStableFunc(of, func(a, b archive) int { return cmp.Compare(a.StartedAt, b.StartedAt) })
	}
	return out, nil
}

// whoKnows tells that any print may have ended unseen: agents are killed at any moment,
// and printers have no ids for what is sent over the LAN.
func whoKnows(simprinter.LedgerEntry) bool { return true }

// pair is a print that happened and what is archived of it.
type pair struct {
	simprinter.LedgerEntry
	told archive
}

// pairs compares the hub's archives with what happened: "" when each print is there
// once, is told truly, and has the files that are to be had.
func (w *works) pairs() (all []pair, wrong string) {
	w.t.Helper()
	told, err := w.archives()
	if err != nil {
		return nil, err.Error()
	}
	happened := w.ledger()
	for serial, id := range w.ids {
		if wrong := compare(happened[id], told[id], whoKnows); wrong != "" {
			return nil, fmt.Sprintf("printer %d (%s): %s", id, serial, wrong)
		}
		for i, e := range happened[id] {
			all = append(all, pair{e, told[id][i]})
		}
	}
	for _, p := range all {
		if wrong := p.incomplete(); wrong != "" {
			return nil, fmt.Sprintf("archive %d (%s on %s, %s): %s", p.told.ID, p.Name, p.Serial, p.Source, wrong)
		}
	}
	return all, ""
}

// short is a print that may be over before an agent that is killed in it has looked which
// videos there were before.
const short = 15 * time.Second

// incomplete tells what an archive does not have and should.
func (p pair) incomplete() string {
	reason, a := "", p.told
	if a.FileError != nil {
		reason = *a.FileError
	}
	switch {
	case a.Status == "printing":
		return "it is under way still"
	case p.Path != "" && a.FileStatus != "stored":
		return fmt.Sprintf("its file is %s (%s), though the printer has it at %s", a.FileStatus, reason, p.Path)
	case p.Path != "" && a.Thumbnail == nil:
		return "it has no thumbnail"
	case p.TimelapseSHA256 != "" && a.Timelapse == nil && p.EndedAt.Sub(p.StartedAt) > short:
		return "it has no timelapse"
	}
	return ""
}

// settled waits until the archives are what happened.
func (w *works) settled(most time.Duration) (all []pair) {
	w.t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(most); ; <-tick.C {
		all, wrong := w.pairs()
		if wrong == "" {
			return all
		}
		if time.Now().After(end) {
			w.t.Fatalf("not settled within %v: %s", most, wrong)
		}
	}
}

// compareFiles downloads everything and compares it with what the printers had.
func (w *works) compareFiles(all []pair) (bytes int) {
	w.t.Helper()
	get := func(id int64, what string) string {
		status, data := w.fetch("GET", fmt.Sprintf("%s/api/v1/archives/%d/%s", w.url, id, what), nil)
		bytes += len(data)
		if status != 200 || len(data) == 0 {
			w.t.Errorf("archive %d: %s: %d, %d bytes", id, what, status, len(data))
		}
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:])
	}
	videos := map[string]bool{}
	for _, p := range all {
		videos[p.TimelapseSHA256] = true
	}
	for _, p := range all {
		if p.told.FileStatus == "stored" {
			if got := get(p.told.ID, "3mf"); got != p.SHA256 {
				w.t.Errorf("archive %d (%s): its 3MF has the hash %s, that on the printer %s", p.told.ID, p.Name, got, p.SHA256)
			}
			get(p.told.ID, "thumbnail")
		}
		if p.told.Timelapse != nil { // of a video that a power cut ended the ledger has no hash
			if got := get(p.told.ID, "timelapse"); got != p.TimelapseSHA256 && (p.TimelapseSHA256 != "" || videos[got]) {
				w.t.Errorf("archive %d (%s): its timelapse has the hash %s, that on the printer %q", p.told.ID, p.Name, got, p.TimelapseSHA256)
			}
		}
	}
	return bytes
}

// shown is what the list says of each archive, without what only a hub that has its
// printers can say.
func (w *works) shown() map[string]string {
	w.t.Helper()
	var page struct {
		Archives []map[string]any `json:"archives"`
	}
	out := map[string]string{}
	for offset := 0; ; offset += len(page.Archives) {
		if status := w.ask("GET", fmt.Sprintf("%s/api/v1/archives?limit=100&offset=%d", w.url, offset), nil, &page); status != 200 {
			w.t.Fatalf("the archives: %d", status)
		}
		if len(page.Archives) == 0 {
			return out
		}
		for _, a := range page.Archives {
			delete(a, "printer_id")
			text, err := json.Marshal(a)
			if err != nil {
				w.t.Fatal(err)
			}
			out[fmt.Sprint(a["id"])] = string(text)
		}
	}
}

// rebuild makes another hub from the object store alone and compares the two.
func (w *works) rebuild(all []pair) {
	w.t.Helper()
	until(w.t, "print.json of every archive", 90*time.Second, func() bool { return w.recorded(all) })
	before := w.shown()
	w.hub.stop()
	data := filepath.Join(w.dir, "rebuilt")
	if w.s3 == nil {
		copyDir(w.t, filepath.Join(w.dir, "hub", "objects"), filepath.Join(data, "objects"))
	}
	w.t.Log(w.command("bambuddy-hub", append([]string{"rebuild", "--data", data}, w.objects...)...))
	w.hub = w.newHub("rebuilt", strings.TrimPrefix(w.url, "http://"))
	w.hub.start()
	w.await("the rebuilt hub", func() bool { return w.ask("GET", w.url+"/health", nil, nil) == 200 })
	w.key = w.newKey("rebuilt")
	after := w.shown()
	for id, text := range before {
		if after[id] != text {
			w.t.Errorf("archive %s was\n%s\nand is, rebuilt,\n%s", id, text, after[id])
		}
		delete(after, id)
	}
	for id, text := range after {
		w.t.Errorf("archive %s came with the rebuild: %s", id, text)
	}
	w.compareFiles(all)
}

// recorded tells whether the object store tells all of the archives: print.json is written
// some moments after what it tells, later when the store was away.
func (w *works) recorded(all []pair) bool {
	dir := filepath.Join(w.dir, "hub", "objects")
	if w.s3 != nil {
		dir = filepath.Join(w.dir, "s3", s3Bucket)
	}
	files := map[int64]int{} // that it names, by archive
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.Name() != "print.json" {
			return nil //nolint:nilerr // folders come and go
		}
		var r struct {
			Print struct{ ID int64 }
			Files []any
		}
		if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &r) == nil {
			files[r.Print.ID] = len(r.Files)
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
	return !slices.ContainsFunc(all, func(p pair) bool { return files[p.told.ID] < p.files() })
}

// files is how many are stored of a print, as far as the list tells.
func (p pair) files() int {
	n := len(p.told.Photos)
	if p.told.FileStatus == "stored" {
		n++
	}
	for _, url := range []*string{p.told.Thumbnail, p.told.Timelapse} {
		if url != nil {
			n++
		}
	}
	return n
}

// archiveIn is the archive that the data of an event names, 0 without.
func archiveIn(data string) int64 {
	var of struct {
		Data struct {
			ArchiveID int64 `json:"archive_id"`
		} `json:"data"`
		ArchiveID int64 `json:"archive_id"`
	}
	if json.Unmarshal([]byte(data), &of) != nil {
		return 0
	}
	return max(of.ArchiveID, of.Data.ArchiveID)
}
