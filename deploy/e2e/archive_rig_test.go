package e2e

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	hubapp "bambuddy/hub/app"
	"bambuddy/shared/simprinter"
)

// archive is an archive as the API shows it.
type archive struct {
	ID            int64    `json:"id"`
	Name          string   `json:"name"`
	Filename      string   `json:"filename"`
	PrinterID     int64    `json:"printer_id"`
	Status        string   `json:"status"`
	StartedAt     string   `json:"started_at"`
	FinishedAt    *string  `json:"finished_at"`
	Duration      *int64   `json:"duration"`
	Estimated     bool     `json:"time_estimated"`
	FileStatus    string   `json:"file_status"`
	FileError     *string  `json:"file_error"`
	SHA256        *string  `json:"sha256"`
	FilamentUsed  *float64 `json:"filament_used"`
	FilamentType  *string  `json:"filament_type"`
	FailureReason *string  `json:"failure_reason"`
	Thumbnail     *string  `json:"thumbnail_url"`
	Photos        []string `json:"photo_urls"`
	Timelapse     *string  `json:"timelapse_url"`
	Source        *string  `json:"source"`
}

// archives gives all of them, oldest first.
func (r *rig) archives() (out []archive) {
	r.t.Helper()
	for offset := 0; ; offset += 200 {
		var page struct {
			Total    int       `json:"total"`
			Archives []archive `json:"archives"`
		}
		r.must("GET", fmt.Sprintf("/api/v1/archives?limit=200&offset=%d", offset), nil, &page, 200)
		out = append(out, page.Archives...)
		if len(page.Archives) < 200 {
			if len(out) != page.Total {
				r.t.Errorf("the list says %d archives and gives %d", page.Total, len(out))
			}
			slices.Reverse(out)
			return out
		}
	}
}

// accounts compares the hub's archives with what physically happened, and gives the
// first thing that does not fit, "" when all does. Prints of a printer happen one after
// the other, so they are compared in their order.
func (r *rig) accounts() string {
	r.t.Helper()
	serials := map[string]int64{}
	for i, e := range r.printers.Inventory() {
		serials[e.SerialNumber] = int64(i + 1)
	}
	happened, told := map[int64][]simprinter.LedgerEntry{}, map[int64][]archive{}
	for _, e := range r.printers.Ledger() {
		happened[serials[e.Serial]] = append(happened[serials[e.Serial]], e)
	}
	for _, a := range r.archives() {
		told[a.PrinterID] = append(told[a.PrinterID], a)
	}
	for id := range int64(len(serials)) {
		if wrong := compare(happened[id+1], told[id+1], func(e simprinter.LedgerEntry) bool { return r.unprovable[e.Name] }); wrong != "" {
			return fmt.Sprintf("printer %d: %s", id+1, wrong)
		}
	}
	return ""
}

func compare(happened []simprinter.LedgerEntry, told []archive, unprovable func(simprinter.LedgerEntry) bool) string {
	slices.SortStableFunc(told, func(a, b archive) int { return cmp.Compare(a.StartedAt, b.StartedAt) })
	if len(happened) != len(told) {
		return fmt.Sprintf("%d prints happened, %d are archived: %+v", len(happened), len(told), told)
	}
	for i, e := range happened {
		if wrong := differs(e, told[i], unprovable(e)); wrong != "" {
			return fmt.Sprintf("print %d (%s, archive %d): %s", i+1, e.Name, told[i].ID, wrong)
		}
	}
	return ""
}

// differs tells what an archive says that is not true. What nobody saw and nothing proves
// is unknown, and never something else.
func differs(e simprinter.LedgerEntry, a archive, unprovable bool) string {
	outcome := cmp.Or(e.Outcome, "printing")
	switch {
	case a.Status != outcome && (!unprovable || a.Status != "unknown"):
		return fmt.Sprintf("it is %s, archived as %s", outcome, a.Status)
	case a.FileStatus == "stored" && (a.SHA256 == nil || *a.SHA256 != e.SHA256):
		return fmt.Sprintf("its file is another one (want %s): %+v", e.SHA256, a)
	}
	if start, err := time.Parse(time.RFC3339, a.StartedAt); err != nil || !a.Estimated && start.Sub(e.StartedAt).Abs() > 30*time.Second {
		return fmt.Sprintf("it began %v, archived as %s", e.StartedAt, a.StartedAt)
	}
	return ""
}

// settled waits until everything that happened is archived, ended, with its file.
func (r *rig) settled(most time.Duration) {
	r.t.Helper()
	wrong := ""
	for end := time.Now().Add(most); ; time.Sleep(5 * time.Second) {
		if wrong = r.accounts(); wrong == "" {
			if wrong = r.pending(); wrong == "" {
				return
			}
		}
		if time.Now().After(end) {
			r.t.Fatalf("not settled within %v: %s", most, wrong)
		}
	}
}

func (r *rig) pending() string {
	r.t.Helper()
	for _, a := range r.archives() {
		if a.Status == "printing" || a.FileStatus != "stored" {
			reason := ""
			if a.FileError != nil {
				reason = *a.FileError
			}
			return fmt.Sprintf("archive %d is %s, its file %s (%s)", a.ID, a.Status, a.FileStatus, reason)
		}
	}
	return ""
}

// print begins one at a printer's screen, in a slicer or in the cloud.
func (r *rig) print(printer int, name, source string, minutes float64) {
	r.t.Helper()
	if err := r.sim(printer).Start(simprinter.PrintJob{Name: name, Source: source, Minutes: minutes}); err != nil {
		r.t.Fatalf("printer %d does not begin %s: %v", printer, name, err)
	}
}

// stores tells whether the object store holds a content.
func (r *rig) stores(sum string) bool {
	r.t.Helper()
	held := false
	err := r.objects.List(r.t.Context(), "", "", func(i hubapp.ObjectInfo) error {
		body, _, err := r.objects.Get(r.t.Context(), i.Key, 0, -1)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, body)
		held = held || hex.EncodeToString(h.Sum(nil)) == sum
		return errors.Join(err, body.Close())
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return held
}
