package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

// recordCursor names the follower that writes print.json.
const recordCursor = "archive.record"

// recordVersion is raised when a Record can no longer be read by what reads the one
// before; fields only come on top.
const recordVersion = 1

// Record is print.json: what is known of a print, beside its files, so that the
// bucket alone tells everything.
type Record struct {
	Version int           `json:"version"`
	Site    string        `json:"site"`
	Project string        `json:"project,omitempty"`
	Runs    []string      `json:"runs,omitempty"` // that agents told it by
	Print   RecordedPrint `json:"print"`
	Files   []RecordFile  `json:"files"`
}

// RecordFile is one stored file of a print. The record itself is not among them.
type RecordFile struct {
	Role      string    `json:"role"`
	Path      string    `json:"path"` // below the site
	Key       string    `json:"key"`
	SHA256    string    `json:"sha256"`
	Size      int64     `json:"size"`
	MediaType string    `json:"media_type"`
	CreatedAt time.Time `json:"created_at"`
}

// RecordedPrint is a print in a Record.
type RecordedPrint struct {
	ID            int64                `json:"id"`
	Kind          farm.PrintKind       `json:"kind"`
	Status        farm.PrintStatus     `json:"status"`
	RunID         string               `json:"run_id,omitempty"`
	Subtask       string               `json:"subtask_id,omitempty"`
	Source        string               `json:"source,omitempty"`
	SourceID      int64                `json:"source_archive_id,omitempty"`
	Printer       string               `json:"printer_name,omitempty"`
	Serial        string               `json:"serial_number,omitempty"`
	Name          string               `json:"name"`
	Renamed       bool                 `json:"renamed,omitempty"`
	Filename      string               `json:"filename"`
	Plate         int                  `json:"plate,omitempty"`
	CreatedAt     time.Time            `json:"created_at"`
	StartedAt     time.Time            `json:"started_at,omitzero"`
	FinishedAt    time.Time            `json:"finished_at,omitzero"`
	Duration      *int64               `json:"duration"`
	TimeEstimated bool                 `json:"time_estimated,omitempty"`
	Progress      int                  `json:"progress"`
	Layer         int                  `json:"layer"`
	TotalLayers   int                  `json:"total_layers"`
	FailureReason string               `json:"failure_reason,omitempty"`
	FilamentUsed  *float64             `json:"filament_used"`
	FilamentType  string               `json:"filament_type,omitempty"`
	Filaments     []farm.PrintFilament `json:"filaments"`
	LayerHeight   *float64             `json:"layer_height"`
	Nozzle        *float64             `json:"nozzle_diameter"`
	BedType       string               `json:"bed_type,omitempty"`
	Estimate      *int64               `json:"estimated_duration"`
	EstimateGrams *float64             `json:"estimated_filament"`
	Cost          *float64             `json:"cost"`
	SHA256        string               `json:"sha256,omitempty"`
	FileSize      int64                `json:"file_size"`
	FileStatus    farm.FileStatus      `json:"file_status"`
	FileError     string               `json:"file_error,omitempty"`
	Notes         string               `json:"notes,omitempty"`
	Tags          []string             `json:"tags"`
	Favorite      bool                 `json:"favorite,omitempty"`
	Dir           string               `json:"dir"`
}

func recorded(p farm.Print) RecordedPrint {
	return RecordedPrint{
		ID: p.ID, Kind: p.Kind, Status: p.Status, RunID: p.RunID, Subtask: p.Subtask, Source: p.Source, SourceID: p.SourceID,
		Printer: p.PrinterName, Serial: p.Serial, Name: p.Name, Renamed: p.Renamed, Filename: p.Filename, Plate: p.Plate,
		CreatedAt: p.CreatedAt, StartedAt: p.StartedAt, FinishedAt: p.FinishedAt, Duration: p.Duration, TimeEstimated: p.TimeEstimated,
		Progress: p.Progress, Layer: p.Layer, TotalLayers: p.TotalLayers, FailureReason: p.FailureReason,
		FilamentUsed: p.FilamentUsed, FilamentType: p.FilamentType, Filaments: p.Filaments, LayerHeight: p.LayerHeight, Nozzle: p.Nozzle,
		BedType: p.BedType, Estimate: p.Estimate, EstimateGrams: p.EstimateGrams, Cost: p.Cost, SHA256: p.SHA256, FileSize: p.FileSize,
		FileStatus: p.FileStatus, FileError: p.FileError, Notes: p.Notes, Tags: p.Tags, Favorite: p.Favorite, Dir: p.Dir,
	}
}

func (r RecordedPrint) print() farm.Print {
	return farm.Print{
		ID: r.ID, Kind: r.Kind, Status: r.Status, RunID: r.RunID, Subtask: r.Subtask, Source: r.Source, SourceID: r.SourceID,
		PrinterName: r.Printer, Serial: r.Serial, Name: r.Name, Renamed: r.Renamed, Filename: r.Filename, Plate: r.Plate,
		CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, Duration: r.Duration, TimeEstimated: r.TimeEstimated,
		Progress: r.Progress, Layer: r.Layer, TotalLayers: r.TotalLayers, FailureReason: r.FailureReason,
		FilamentUsed: r.FilamentUsed, FilamentType: r.FilamentType, Filaments: r.Filaments, LayerHeight: r.LayerHeight, Nozzle: r.Nozzle,
		BedType: r.BedType, Estimate: r.Estimate, EstimateGrams: r.EstimateGrams, Cost: r.Cost, SHA256: r.SHA256, FileSize: r.FileSize,
		FileStatus: r.FileStatus, FileError: r.FileError, Notes: r.Notes, Tags: r.Tags, Favorite: r.Favorite, Dir: r.Dir,
	}
}

// recordLoop keeps print.json true to the rows: it follows the events of archives.
func (a *Archive) recordLoop(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.followRecords(ctx)
		if ctx.Err() != nil {
			return
		}
		a.log.Warn("print.json of an archive was not written, will be tried again", "err", err)
		select {
		case <-time.After(sweepEvery):
		case <-ctx.Done():
		}
	}
}

func (a *Archive) followRecords(ctx context.Context) error {
	after, err := a.o.Store.Cursor(ctx, recordCursor)
	if err != nil {
		return err
	}
	return a.o.Events.Follow(ctx, after, func(e farm.Event) error {
		id := archiveOf(e)
		if id == 0 {
			return nil
		}
		if err := a.writeRecord(ctx, id); err != nil {
			return err
		}
		return a.o.Store.SetCursor(ctx, recordCursor, e.ID)
	})
}

// archiveOf is the archive an event speaks of, if it may change its record.
func archiveOf(e farm.Event) int64 {
	var data struct {
		ArchiveID int64 `json:"archive_id"`
		ID        int64 `json:"id"`
	}
	switch e.Kind {
	case farm.EventPrintComplete, farm.EventPrintFailed, farm.EventPrintStopped, farm.EventArchiveUpdated, farm.EventArchiveAdded:
	default:
		return 0
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return 0
	}
	return max(data.ArchiveID, data.ID)
}

// writeRecord writes an archive's print.json, unless it is there as it should be. One
// that is under way gets none yet: it changes all the time, and its agent knows it.
func (a *Archive) writeRecord(ctx context.Context, id int64) error {
	p, err := a.o.Store.Print(ctx, id)
	if farm.Is(err, farm.NotFound) || err == nil && p.Status == farm.StatusPrinting {
		return nil
	}
	if err != nil {
		return err
	}
	r, before, err := a.recordOf(ctx, p)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the record of archive %d: %w", id, err)
	}
	sum := sha256.Sum256(data)
	in := content{role: farm.RoleRecord, sha256: hex.EncodeToString(sum[:]), size: int64(len(data)), name: "print.json"}
	if in.sha256 == before {
		return nil
	}
	key := "prints/" + farm.Slug(r.Site, 40) + "/" + p.Dir + "/print.json"
	err = a.store(ctx, p, in, key, bytes.NewReader(data), nil)
	if farm.Is(err, farm.NotFound) {
		return nil // deleted meanwhile: the intent sweeps the object
	}
	return err
}

// recordOf puts together what is known of a print, and gives the hash of the record that
// is stored, "" without one.
func (a *Archive) recordOf(ctx context.Context, p farm.Print) (r Record, stored string, err error) {
	site, err := a.o.Store.Site(ctx, p.SiteID)
	if err != nil {
		return r, "", err
	}
	runs, err := a.o.Store.Runs(ctx, p.ID)
	if err != nil {
		return r, "", err
	}
	files, err := a.o.Store.PrintFiles(ctx, p.ID)
	if err != nil {
		return r, "", err
	}
	r = Record{Version: recordVersion, Site: site.Name, Runs: runs, Print: recorded(p), Files: []RecordFile{}}
	if p.ProjectID != 0 {
		project, err := a.o.Store.Project(ctx, p.ProjectID)
		if err != nil && !farm.Is(err, farm.NotFound) {
			return r, "", err
		}
		r.Project = project.Name
	}
	for _, f := range files {
		switch {
		case f.Role == farm.RoleRecord:
			stored = f.SHA256
		case f.Status == farm.FileStored:
			r.Files = append(r.Files, RecordFile{f.Role, f.Path, f.Key, f.SHA256, f.Size, f.MediaType, f.CreatedAt})
		}
	}
	return r, stored, nil
}
