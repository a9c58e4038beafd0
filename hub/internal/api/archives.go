package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
	_ "time/tzdata" // zones in filters, also where the system has none

	"bambuddy/hub/internal/archive"
	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// Prints are the rows of archives.
type Prints interface {
	Print(ctx context.Context, id int64) (farm.Print, error)
	Prints(ctx context.Context, q farm.PrintQuery) (farm.PrintPage, error)
	PrintFiles(ctx context.Context, printID int64) ([]farm.PrintFile, error)
	ChangePrint(ctx context.Context, id int64, c farm.PrintChange) (farm.Print, error)
	DeletePrint(ctx context.Context, id int64, purge bool) error
}

// Archive is one physical print, or one uploaded file.
type Archive struct {
	ID           int64    `json:"id"`
	Name         string   `json:"name" doc:"The title in the 3MF, else the stem of its name, until somebody renames it." example:"Benchy"`
	Filename     string   `json:"filename" doc:"Base name of the 3MF." example:"benchy.3mf"`
	PrinterID    *int64   `json:"printer_id" doc:"Null of an upload, and when the printer was removed." example:"1"`
	PrinterName  *string  `json:"printer_name" example:"Workshop X1C"`
	CreatedAt    instant  `json:"created_at" doc:"When the print began; of an upload: when it came."`
	Duration     *int64   `json:"duration" doc:"Seconds from start to end; null while it is not known." example:"8100"`
	Status       string   `json:"status" enum:"printing,success,failed,stopped,unknown,uploaded" doc:"unknown: it ended unseen, and nothing proves how." example:"success"`
	FilamentUsed *float64 `json:"filament_used" doc:"Grams: the slicer's for a success, by the share of layers for one that ended early." example:"45.2"`
	FilamentType *string  `json:"filament_type" doc:"Distinct types, joined." example:"PLA"`

	SiteID        int64             `json:"site_id" example:"1"`
	ProjectID     *int64            `json:"project_id"`
	StartedAt     nullable[instant] `json:"started_at" doc:"When the print began; null of an upload."`
	FinishedAt    nullable[instant] `json:"finished_at" doc:"When the print ended; null while it is not known."`
	TimeEstimated bool              `json:"time_estimated" doc:"Nobody saw all of these times."`
	Progress      int               `json:"progress" doc:"Percent, the last that was seen." example:"100"`
	Paused        bool              `json:"paused" doc:"It is paused."`
	FailureReason *string           `json:"failure_reason" doc:"Why it failed; null: it did not, or nobody knows."`
	Source        *string           `json:"source" enum:"queue,slicer,screen,cloud,upload" doc:"slicer: sent over the LAN, or begun at the printer from a file that was; printers do not tell which."`
	QueueItemID   *int64            `json:"queue_item_id" doc:"The item of the queue that started it; null: none did."`
	SourceID      *int64            `json:"source_archive_id" doc:"The archive it was printed from."`

	SHA256     *string `json:"sha256" doc:"Of the 3MF; null until it is known."`
	FileSize   *int64  `json:"file_size" doc:"Bytes of the 3MF."`
	FileStatus string  `json:"file_status" enum:"pending,stored,unavailable" doc:"Where the 3MF stands." example:"stored"`
	FileError  *string `json:"file_error" doc:"Why it is unavailable, or what holds it up."`
	Duplicate  *int64  `json:"duplicate_of" doc:"The first archive with the same 3MF; null as well when the caller does not see that one."`

	Plate             *int64            `json:"plate" doc:"Number of the plate in the 3MF, from 1; null: not known."`
	Filaments         []ArchiveFilament `json:"filaments" doc:"What the plate uses."`
	LayerHeight       *float64          `json:"layer_height" doc:"mm"`
	TotalLayers       *int64            `json:"total_layers" doc:"How many layers it has; null: not known."`
	NozzleDiameter    *float64          `json:"nozzle_diameter" doc:"mm"`
	BedType           *string           `json:"bed_type" example:"Textured PEI Plate" doc:"The build plate it was sliced for."`
	EstimatedDuration *int64            `json:"estimated_duration" doc:"Seconds, as the slicer says."`
	Cost              *float64          `json:"cost" doc:"In the hub's currency."`

	Notes    *string  `json:"notes"`
	Tags     []string `json:"tags"`
	Favorite bool     `json:"favorite" doc:"Retention never deletes it."`

	ThumbnailURL *string  `json:"thumbnail_url" doc:"Where the picture of the plate is, relative to the hub; null: there is none."`
	PhotoURLs    []string `json:"photo_urls" doc:"Where its photos are, relative to the hub."`
	TimelapseURL *string  `json:"timelapse_url" doc:"Where the timelapse is, relative to the hub; null: there is none."`
}

// ArchiveFilament is one filament of the plate.
type ArchiveFilament struct {
	Slot   int     `json:"slot" doc:"Of the project, from 1." example:"1"`
	Type   string  `json:"type" example:"PLA" doc:"Material."`
	Color  string  `json:"colour" example:"#5E43B7" doc:"#RRGGBB, as the slicer says."`
	Grams  float64 `json:"grams" doc:"Grams the plate uses of it." example:"45.2"`
	Metres float64 `json:"metres" doc:"Metres the plate uses of it." example:"15.1"`
}

// ArchiveDetail is an archive with where each of its files stands.
type ArchiveDetail struct {
	Archive
	Files []ArchiveFile `json:"files" doc:"Its files, and where each stands."`
}

// ArchiveFile is one file of an archive.
type ArchiveFile struct {
	Role      string            `json:"role" enum:"model,thumbnail,finish,timelapse,record" doc:"What it is to the archive: the 3MF, the picture of the plate, the photo of the end, the film, the record of what the printer reported."`
	Status    string            `json:"status" enum:"pending,stored,unavailable"`
	Bytes     int64             `json:"bytes" doc:"Of a pending one: how many have arrived." example:"1048576"`
	Size      *int64            `json:"size" doc:"Bytes in all; null until it is known."`
	Error     *string           `json:"error" doc:"Why it is unavailable, or what holds it up."`
	MediaType *string           `json:"media_type" doc:"What kind of file it is; null while it is not stored."`
	StoredAt  nullable[instant] `json:"stored_at" doc:"When it was stored; null while it is not."`
}

// Archives is a page of them.
type Archives struct {
	Total    int64     `json:"total" doc:"How many the filters find." example:"1234"`
	Archives []Archive `json:"archives" doc:"This page of them, newest first."`
	Next     *string   `json:"next_cursor" doc:"For the next page; null on the last."`
}

// ArchiveChange is the body of PATCH /archives/{id}: any subset.
type ArchiveChange struct {
	Name          *string            `json:"name,omitempty" minLength:"1" maxLength:"200" example:"Updated Name"`
	Notes         optional[string]   `json:"notes,omitempty" example:"Great print"`
	Tags          optional[[]string] `json:"tags,omitempty" example:"functional,gift"`
	ProjectID     optional[int64]    `json:"project_id,omitempty" doc:"Null: of no project."`
	FailureReason optional[string]   `json:"failure_reason,omitempty" doc:"Why it failed, in words; null: none."`
	Favorite      *bool              `json:"favorite,omitempty" doc:"True: retention never deletes it."`
}

func (s *server) archiveRoutes() {
	if s.archive == nil {
		return
	}
	const tag = "Archives"
	register(s, route{
		id: "list_archives", method: http.MethodGet, path: "/archives", tag: tag, summary: "List Archives",
		about: "Prints and uploads, newest first. `search` looks for words, or the beginnings of words, in name, file name, notes, tags, printer and filament, and orders by id.",
		needs: farm.Read, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listArchives)
	register(s, route{
		id: "export_archives", method: http.MethodGet, path: "/archives/export", tag: tag, summary: "Export Archives",
		about: "All that the filters find, as a file. Cells that a spreadsheet would take for a formula begin with an apostrophe.",
		needs: farm.Read, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid}, audit: true,
		responses: binary("application/octet-stream", "The file: CSV (RFC 4180) or XLSX, the same rows."),
	}, s.exportArchives)
	register(s, route{
		id: "get_archive", method: http.MethodGet, path: "/archives/{id}", tag: tag, summary: "Get Archive",
		needs: farm.Read, limit: auth.ReadClass,
	}, s.getArchive)
	register(s, route{
		id: "update_archive", method: http.MethodPatch, path: "/archives/{id}", tag: tag, summary: "Update Archive",
		needs: farm.Queue, limit: auth.WriteClass,
	}, s.updateArchive)
	register(s, route{
		id: "delete_archive", method: http.MethodDelete, path: "/archives/{id}", tag: tag, summary: "Delete Archive",
		about: "Deletes its files, but for those that other archives use. Statistics go on counting the print, unless `purge_stats` is true. Refused while it prints.",
		needs: farm.Queue, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict, farm.Invalid},
	}, s.deleteArchive)
	s.archiveFileRoutes(tag)
}

// ArchiveFilter is what lists and exports have in common. It is exported for huma, which
// passes over an embedded struct that is not.
type ArchiveFilter struct {
	PrinterID int64  `query:"printer_id" minimum:"1" doc:"Only this printer's."`
	SiteID    int64  `query:"site_id" minimum:"1" doc:"Only this site's."`
	ProjectID int64  `query:"project_id" minimum:"1" doc:"Only this project's."`
	Status    string `query:"status" doc:"printing, success, failed, stopped, unknown or uploaded; completed, aborted and cancelled mean success, failed and stopped." example:"success"`
	StartDate string `query:"start_date" doc:"From this day or moment on." example:"2024-01-15"`
	EndDate   string `query:"end_date" doc:"Up to and with this day or moment." example:"2024-01-31"`
	DateFrom  string `query:"date_from" doc:"The same as start_date." example:"2024-01-15"`
	DateTo    string `query:"date_to" doc:"The same as end_date." example:"2024-01-31"`
	TZ        string `query:"tz" doc:"The time zone that days are of; UTC by default." example:"Europe/Berlin"`
	Search    string `query:"search" maxLength:"200" doc:"Words; each must be found." example:"benchy"`
	Tag       string `query:"tag" doc:"Only with this tag." example:"functional"`
	Source    string `query:"source" enum:"queue,slicer,screen,cloud,upload" doc:"Only from there."`
	File      string `query:"file_status" enum:"pending,stored,unavailable" doc:"Only with a 3MF that stands so."`
	SHA256    string `query:"sha256" doc:"Only with this 3MF." example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Favorite  string `query:"favorite" enum:"true,false" doc:"true: only favourites; false: only others."`
}

type listArchivesInput struct {
	ArchiveFilter
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Offset int    `query:"offset" minimum:"0" doc:"Skip this many. A cursor is faster."`
	Cursor string `query:"cursor" doc:"As next_cursor said; the filters must be the same." example:"1183"`
}

type listArchivesOutput struct {
	Total int64  `header:"X-Total-Count" doc:"How many the filters find."`
	Next  string `header:"X-Next-Cursor" doc:"For the next page; absent on the last."`
	Body  Archives
}

func (s *server) listArchives(ctx context.Context, in *listArchivesInput) (*listArchivesOutput, error) {
	q, err := in.query(ctx)
	if err != nil {
		return nil, err
	}
	q.Limit, q.Offset, q.After = in.Limit, in.Offset, in.Cursor
	page, err := s.prints.Prints(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := s.hideOthers(ctx, page.Prints); err != nil {
		return nil, err
	}
	return &listArchivesOutput{Total: page.Total, Next: page.Next, Body: Archives{
		Total: page.Total, Archives: mapped(page.Prints, s.archiveOf), Next: orNull(page.Next),
	}}, nil
}

// query turns the filters into a query within the caller's scope.
func (f ArchiveFilter) query(ctx context.Context) (farm.PrintQuery, error) {
	q := farm.PrintQuery{
		Scope: auth.From(ctx).PrintScope(), PrinterID: f.PrinterID, SiteID: f.SiteID, ProjectID: f.ProjectID,
		Source: f.Source, FileStatus: farm.FileStatus(f.File), Tag: f.Tag, SHA256: strings.ToLower(f.SHA256), Search: f.Search,
	}
	if f.Favorite != "" {
		yes := f.Favorite == "true"
		q.Favorite = &yes
	}
	var err error
	if q.Status, err = statusFilter(f.Status); err != nil {
		return q, err
	}
	q.From, q.To, err = period(bounds{"start_date", orElse(f.StartDate, f.DateFrom)}, bounds{"end_date", orElse(f.EndDate, f.DateTo)}, f.TZ)
	return q, err
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// statusFilter reads a status, also by the words of before.
func statusFilter(word string) (farm.PrintStatus, error) {
	switch s := farm.PrintStatus(word); s {
	case "", farm.StatusPrinting, farm.StatusSuccess, farm.StatusFailed, farm.StatusStopped, farm.StatusUnknown, farm.StatusUploaded:
		return s, nil
	case "completed":
		return farm.StatusSuccess, nil
	case "cancelled":
		return farm.StatusStopped, nil
	case "aborted":
		return farm.StatusFailed, nil
	default:
		return "", farm.Errorf(farm.Invalid, "status: printing, success, failed, stopped, unknown or uploaded")
	}
}

// bounds is a bound of a filter as it was written, with the name of its parameter.
type bounds struct{ field, text string }

// period reads the bounds of a filter: bare days are whole ones in a time zone,
// moments are inclusive to the second. to is exclusive.
func period(first, last bounds, zone string) (from, to time.Time, err error) {
	place := time.UTC
	if zone != "" {
		if place, err = time.LoadLocation(zone); err != nil || zone == "Local" {
			return from, to, farm.Errorf(farm.Invalid, "tz: not a time zone, as Europe/Berlin")
		}
	}
	if from, _, err = bound(first.field, first.text, place); err != nil {
		return from, to, err
	}
	if _, to, err = bound(last.field, last.text, place); err != nil {
		return from, to, err
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, farm.Errorf(farm.Invalid, "%s: after %s", first.field, last.field)
	}
	return from, to, nil
}

// bound reads one bound: where what it names begins, and where it is over.
func bound(field, text string, place *time.Location) (begin, end time.Time, err error) {
	if text == "" {
		return begin, end, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, place); err == nil {
		return day, day.AddDate(0, 0, 1), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return begin, end, farm.Errorf(farm.Invalid, "%s: a day as 2024-01-15 or a moment as 2024-01-15T14:30:00Z", field)
	}
	return at, at.Truncate(time.Second).Add(time.Second), nil
}

func (s *server) getArchive(ctx context.Context, in *ByID) (*body[ArchiveDetail], error) {
	p, err := s.seenPrint(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.detail(ctx, p)
}

// seenPrint finds an archive within the caller's scope.
func (s *server) seenPrint(ctx context.Context, id int64) (farm.Print, error) {
	p, err := s.prints.Print(ctx, id)
	if err == nil && !auth.From(ctx).SeesPrint(p) {
		err = farm.Errorf(farm.NotFound, "there is no archive %d", id)
	}
	return p, err
}

// hideOthers takes away what prints say of archives that the caller does not see: that
// somebody else has the same 3MF.
func (s *server) hideOthers(ctx context.Context, prints []farm.Print) error {
	who := auth.From(ctx)
	if who.AllPrinters() && who.Sites() == nil {
		return nil
	}
	seen := map[int64]bool{}
	for i := range prints {
		for _, other := range []*int64{&prints[i].Duplicate, &prints[i].SourceID} {
			sees, known := seen[*other]
			if !known && *other != 0 {
				p, err := s.prints.Print(ctx, *other)
				if err != nil && !farm.Is(err, farm.NotFound) {
					return err
				}
				sees = err == nil && who.SeesPrint(p)
				seen[*other] = sees
			}
			if !sees {
				*other = 0
			}
		}
	}
	return nil
}

func (s *server) detail(ctx context.Context, p farm.Print) (*body[ArchiveDetail], error) {
	files, err := s.prints.PrintFiles(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	one := []farm.Print{p}
	if err := s.hideOthers(ctx, one); err != nil {
		return nil, err
	}
	out := ArchiveDetail{Archive: s.archiveOf(one[0]), Files: []ArchiveFile{}}
	for _, f := range files {
		one := ArchiveFile{
			Role: f.Role, Status: string(f.Status), Size: orNull(f.Size), Error: orNull(f.Reason), MediaType: orNull(f.MediaType),
			StoredAt: someTime(f.StoredAt),
		}
		switch f.Status {
		case farm.FileStored:
			one.Bytes = f.Size
		case farm.FilePending:
			one.Bytes = s.archive.Arrived(p.ID, f.Role)
		}
		out.Files = append(out.Files, one)
	}
	return &body[ArchiveDetail]{out}, nil
}

type updateArchiveInput struct {
	ByID
	Body ArchiveChange
}

func (s *server) updateArchive(ctx context.Context, in *updateArchiveInput) (*body[ArchiveDetail], error) {
	if _, err := s.seenPrint(ctx, in.ID); err != nil {
		return nil, err
	}
	b := in.Body
	c := farm.PrintChange{
		Name: b.Name, Notes: b.Notes.ptr(), Tags: b.Tags.ptr(), ProjectID: b.ProjectID.ptr(), FailureReason: b.FailureReason.ptr(), Favorite: b.Favorite,
	}
	if err := archive.CheckChange(&c); err != nil {
		return nil, err
	}
	p, err := s.prints.ChangePrint(ctx, in.ID, c)
	if err != nil {
		return nil, err
	}
	return s.detail(ctx, p)
}

type deleteArchiveInput struct {
	ByID
	Purge bool `query:"purge_stats" doc:"Statistics forget the print as well."`
}

func (s *server) deleteArchive(ctx context.Context, in *deleteArchiveInput) (*body[Deleted], error) {
	if _, err := s.seenPrint(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.prints.DeletePrint(ctx, in.ID, in.Purge); err != nil {
		return nil, err
	}
	return deleted(), nil
}

func (s *server) archiveOf(p farm.Print) Archive {
	a := Archive{
		ID: p.ID, Name: p.Name, Filename: p.Filename, PrinterID: orNull(p.PrinterID), PrinterName: orNull(p.PrinterName),
		CreatedAt: instant{p.CreatedAt}, Duration: p.Duration, Status: string(p.Status), FilamentUsed: rounded(p.FilamentUsed, 2), FilamentType: orNull(p.FilamentType),
		SiteID: p.SiteID, ProjectID: orNull(p.ProjectID), StartedAt: someTime(p.StartedAt), FinishedAt: someTime(p.FinishedAt),
		TimeEstimated: p.TimeEstimated, Progress: p.Progress, Paused: p.Paused, FailureReason: orNull(p.FailureReason),
		Source: orNull(p.Source), QueueItemID: orNull(p.QueueID), SourceID: orNull(p.SourceID),
		SHA256: orNull(p.SHA256), FileSize: orNull(p.FileSize), FileStatus: string(p.FileStatus), FileError: orNull(p.FileError), Duplicate: orNull(p.Duplicate),
		Plate: orNull(int64(p.Plate)), LayerHeight: p.LayerHeight, TotalLayers: orNull(int64(p.TotalLayers)), NozzleDiameter: p.Nozzle,
		BedType: orNull(p.BedType), EstimatedDuration: p.Estimate, Cost: rounded(p.Cost, 2),
		Filaments: mapped(p.Filaments, func(f farm.PrintFilament) ArchiveFilament { return ArchiveFilament(f) }),
		Notes:     orNull(p.Notes), Tags: list(p.Tags), Favorite: p.Favorite, PhotoURLs: []string{},
	}
	url := func(what string) *string {
		u := fmt.Sprintf("%s/archives/%d/%s", base, p.ID, what)
		return &u
	}
	if p.HasFile(farm.RoleThumbnail) {
		a.ThumbnailURL = url("thumbnail")
	}
	if p.HasFile(farm.RoleFinish) {
		a.PhotoURLs = append(a.PhotoURLs, *url("photos/1"))
	}
	if p.HasFile(farm.RoleTimelapse) {
		a.TimelapseURL = url("timelapse")
	}
	return a
}
