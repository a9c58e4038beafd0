package api

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"bambuddy/hub/internal/archive"
	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
	"bambuddy/shared/threemf"
)

// ArchiveStore is the files of archives.
type ArchiveStore interface {
	File(ctx context.Context, printID int64, role string) (farm.PrintFile, error)
	Open(ctx context.Context, f farm.PrintFile, offset, length int64) (io.ReadCloser, error)
	Plates(ctx context.Context, printID int64) ([]threemf.Plate, error)
	Upload(ctx context.Context, u archive.Upload) (farm.Print, error)
	WriteCSV(ctx context.Context, w io.Writer, q farm.PrintQuery) error
	WriteXLSX(ctx context.Context, w io.Writer, q farm.PrintQuery) error
	// Arrived tells how many bytes of a file have come that is on its way.
	Arrived(printID int64, role string) int64
	// Watch follows the files that are on their way.
	Watch() *archive.Watcher
}

// ArchivePlate is one plate of a 3MF.
type ArchivePlate struct {
	Index        int               `json:"index" doc:"Counts from 1; there may be gaps."`
	Name         *string           `json:"name"`
	Sliced       bool              `json:"sliced" doc:"It holds G-code, so it can be printed."`
	Prediction   *int64            `json:"estimated_duration" doc:"Seconds."`
	Weight       *float64          `json:"filament_used" doc:"Grams."`
	Filaments    []ArchiveFilament `json:"filaments"`
	Objects      []PlateObject     `json:"objects"`
	PrinterModel *string           `json:"printer_model" doc:"Product id of the printer it was sliced for."`
}

// PlateObject is one object on a plate.
type PlateObject struct {
	ID   int    `json:"id" doc:"As skip-objects takes it."`
	Name string `json:"name"`
}

func (s *server) archiveFileRoutes(tag string) {
	gone := []farm.Code{farm.FileUnavailable, farm.Unavailable, farm.BadRange}
	register(s, route{
		id: "upload_archive", method: http.MethodPost, path: "/archives", tag: tag, summary: "Upload Archive",
		about: "A 3MF as `multipart/form-data`, field `file`; it is read as it comes. It becomes an archive of its own with the status `uploaded`.",
		needs: farm.Queue, limit: auth.WriteClass, created: true, errors: []farm.Code{farm.Invalid, farm.TooLarge, farm.UnsupportedType, farm.Unavailable, farm.RequestTimeout},
		multipart: true,
	}, s.uploadArchive)
	register(s, route{
		id: "download_archive_3mf", method: http.MethodGet, path: "/archives/{id}/3mf", tag: tag, summary: "Download 3MF",
		about: "With `ETag` (the SHA-256) and `Range`.", needs: farm.Read, limit: auth.ReadClass, errors: gone,
		responses: binary("application/octet-stream", "The 3MF."),
	}, func(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
		return s.serveFile(ctx, in.ID, farm.RoleModel)
	})
	register(s, route{
		id: "get_archive_thumbnail", method: http.MethodGet, path: "/archives/{id}/thumbnail", tag: tag, summary: "Get Thumbnail",
		about: "The picture of the plate.", needs: farm.Read, media: true, limit: auth.ReadClass, errors: gone, responses: binary("image/jpeg", "The picture."),
	}, func(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
		return s.serveFile(ctx, in.ID, farm.RoleThumbnail)
	})
	register(s, route{
		id: "get_archive_photo", method: http.MethodGet, path: "/archives/{id}/photos/{n}", tag: tag, summary: "Get Photo",
		about: "What the printer's camera saw at the end; n counts from 1.", needs: farm.Read, media: true, limit: auth.ReadClass, errors: gone, responses: binary("image/jpeg", "The photo."),
	}, s.getPhoto)
	register(s, route{
		id: "get_archive_timelapse", method: http.MethodGet, path: "/archives/{id}/timelapse", tag: tag, summary: "Get Timelapse",
		about: "The video, as the printer made it: MP4 or, of a P1 or A1, AVI.", needs: farm.Read, media: true, limit: auth.ReadClass, errors: gone, responses: binary("video/mp4", "The video."),
	}, func(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
		return s.serveFile(ctx, in.ID, farm.RoleTimelapse)
	})
	register(s, route{
		id: "list_archive_plates", method: http.MethodGet, path: "/archives/{id}/plates", tag: tag, summary: "List Plates",
		about: "The plates of its 3MF.", needs: farm.Read, limit: auth.ReadClass, errors: gone[:2],
	}, s.listPlates)
}

type photoInput struct {
	ByID
	N int `path:"n" minimum:"1" doc:"Which, from 1."`
}

func (s *server) getPhoto(ctx context.Context, in *photoInput) (*huma.StreamResponse, error) {
	if in.N > 1 {
		if _, err := s.seenPrint(ctx, in.ID); err != nil {
			return nil, err
		}
		return nil, farm.Errorf(farm.FileUnavailable, "archive %d has no photo %d", in.ID, in.N)
	}
	return s.serveFile(ctx, in.ID, farm.RoleFinish)
}

// patientWriter gives each write its time, so that a client that takes nothing for a
// while is cut off, however long the whole takes.
type patientWriter struct {
	http.ResponseWriter
	rc *http.ResponseController
}

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(6 * writeTime)) // a writer without deadlines is a test's
	return p.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *patientWriter) done() { _ = p.rc.SetWriteDeadline(time.Time{}) }

func (s *server) listPlates(ctx context.Context, in *ByID) (*listing[ArchivePlate], error) {
	if _, err := s.seenPrint(ctx, in.ID); err != nil {
		return nil, err
	}
	plates, err := s.archive.Plates(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return paged(mapped(plates, plateOf), Page{}), nil
}

type exportInput struct {
	ArchiveFilter
	Format string `query:"format" enum:"csv,xlsx" default:"csv"`
	Limit  int    `query:"limit" minimum:"1" doc:"At most this many rows; all when absent."`
}

func (s *server) exportArchives(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	q, err := in.query(ctx)
	if err != nil {
		return nil, err
	}
	q.Limit = in.Limit
	write := s.archive.WriteCSV
	if in.Format == "xlsx" {
		write = s.archive.WriteXLSX
	}
	return s.export("archives", in.Format, func(w io.Writer) error { return write(ctx, w, q) }), nil
}

type uploadInput struct {
	SiteID    int64 `query:"site_id" minimum:"1" doc:"The site it is kept under; the default site otherwise."`
	ProjectID int64 `query:"project_id" minimum:"1"`

	request *http.Request
	writer  http.ResponseWriter
}

// Resolve keeps the request: the body is read as it comes, by nobody before us.
func (u *uploadInput) Resolve(hc huma.Context) []error {
	u.request, u.writer = humachi.Unwrap(hc)
	return nil
}

func (s *server) uploadArchive(ctx context.Context, in *uploadInput) (*body[ArchiveDetail], error) {
	who := auth.From(ctx)
	site := in.SiteID
	if site == 0 {
		site = defaultSite(who)
	}
	if !who.AllPrinters() {
		return nil, farm.Errorf(farm.Forbidden, "this key is limited to certain printers, an upload belongs to none")
	}
	if !who.SeesSite(site) {
		return nil, farm.Errorf(farm.NotFound, "site_id: there is no site %d", site)
	}
	if _, err := s.registry.Site(ctx, site); err != nil {
		return nil, err
	}
	if in.ProjectID != 0 && s.projects != nil {
		if _, err := s.projects.Project(ctx, in.ProjectID); err != nil {
			return nil, err
		}
	}
	rc := http.NewResponseController(in.writer)
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	in.request.Body = &patientBody{ReadCloser: in.request.Body, rc: rc}
	part, err := filePart(in.request)
	if err != nil {
		in.writer.Header().Set("Connection", "close")
		return nil, err
	}
	p, err := s.archive.Upload(ctx, archive.Upload{SiteID: site, ProjectID: in.ProjectID, Filename: part.FileName(), Body: part})
	if err != nil {
		in.writer.Header().Set("Connection", "close") // or the rest would be read and thrown away
		return nil, err
	}
	return s.detail(ctx, p)
}

// defaultSite is where an upload goes that names no site.
func defaultSite(who auth.Principal) int64 {
	if sites := who.Sites(); len(sites) > 0 && !who.SeesSite(farm.DefaultSiteID) {
		return sites[0]
	}
	return farm.DefaultSiteID
}

// filePart finds the field that holds the file; what comes before it is passed over.
func filePart(r *http.Request) (*multipart.Part, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, farm.Errorf(farm.UnsupportedType, "send the file as multipart/form-data, in the field \"file\"")
	}
	for range 16 {
		part, err := parts.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil, farm.Errorf(farm.Invalid, "file: there is no such field in the form")
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, farm.Wrap(farm.RequestTimeout, err, "file: the form did not arrive")
		case err != nil:
			return nil, farm.Wrap(farm.Invalid, err, "file: the form cannot be read")
		case part.FormName() != "file":
			continue
		case part.FileName() == "":
			return nil, farm.Errorf(farm.Invalid, "file: it has no file name")
		}
		return part, nil
	}
	return nil, farm.Errorf(farm.Invalid, "file: too many fields before it")
}

func plateOf(p threemf.Plate) ArchivePlate {
	out := ArchivePlate{
		Index: p.Index, Name: orNull(p.Name), Sliced: p.GcodePath != "", PrinterModel: orNull(p.PrinterModelID),
		Prediction: orNull(p.Prediction), Weight: orNull(p.Weight),
		Filaments: []ArchiveFilament{}, Objects: []PlateObject{},
	}
	for _, f := range p.Filaments {
		out.Filaments = append(out.Filaments, ArchiveFilament{Slot: f.ID, Type: f.Type, Color: f.Color, Grams: f.Grams, Metres: f.Metres})
	}
	for _, o := range p.Objects {
		out.Objects = append(out.Objects, PlateObject{ID: o.ID, Name: o.Name})
	}
	return out
}

// rounded is a number with so many decimals.
func rounded(v *float64, decimals int) *float64 {
	if v == nil {
		return nil
	}
	text := strconv.FormatFloat(*v, 'f', decimals, 64)
	out, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	return &out
}
