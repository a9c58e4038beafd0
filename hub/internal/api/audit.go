package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/fleet"
	"bambuddy/hub/internal/sheet"
	"bambuddy/shared/farm"
)

// Audit is where it is written down who did what.
type Audit interface {
	// AppendAudit writes down one entry, behind all others.
	AppendAudit(ctx context.Context, a farm.Audit) error
	// Audit gives a page of what a query finds, newest first, and how many there are
	// in all.
	Audit(ctx context.Context, q farm.AuditQuery) (rows []farm.Audit, total int, err error)
	// EachAudit calls fn for all that a query finds.
	EachAudit(ctx context.Context, q farm.AuditQuery, fn func(farm.Audit) error) error
	// CheckAudit tells whether every entry is there and as it was written.
	CheckAudit(ctx context.Context) (farm.AuditCheck, error)
}

// AuditEntry is one thing that was done, or tried.
type AuditEntry struct {
	ID        int64           `json:"id"`
	Timestamp instant         `json:"timestamp"`
	Who       string          `json:"who" doc:"The name of the person or the key. Of a sign-in that failed: the name that was given." example:"Home automation"`
	Kind      *string         `json:"kind" enum:"key,user" doc:"Of caller; null: nobody known."`
	Action    string          `json:"action" doc:"The operation, by its operation id." example:"delete_printer"`
	Result    string          `json:"result" enum:"done,refused,failed,begun" doc:"begun: written down before it was done, as raw G-code is; what came of it is an entry of its own."`
	Status    *int            `json:"status" doc:"HTTP status of the answer." example:"200"`
	Code      *string         `json:"code" doc:"Of an answer that is an error." example:"CONFLICT"`
	Method    string          `json:"method" doc:"HTTP method." example:"DELETE"`
	Path      string          `json:"path" doc:"Without the query." example:"/api/v1/printers/1"`
	Remote    string          `json:"remote" doc:"The caller's address." example:"192.0.2.17"`
	RequestID string          `json:"request_id" doc:"As in X-Request-Id, and in the log." example:"8f14e45fceea167a"`
	PrinterID *int64          `json:"printer_id"`
	SiteID    *int64          `json:"site_id"`
	Data      json.RawMessage `json:"data" doc:"ids that the path names, fields that the body had (their names alone); of raw G-code the G-code itself."`
}

// AuditCheck tells whether the audit is whole.
type AuditCheck struct {
	Whole   bool   `json:"whole" doc:"No entry is missing or was changed since it was written."`
	Entries int64  `json:"entries" doc:"So many are whole, from the first one on." example:"1234"`
	FirstID int64  `json:"first_id" doc:"Where the chain begins: what was before was dropped by age, or written before entries were chained."`
	Broken  *int64 `json:"broken_at" doc:"The first entry that is missing or was changed."`
}

func (s *server) auditRoutes() {
	const tag = "Audit"
	const whom = " For callers who are not limited to certain printers or sites."
	register(s, route{
		id: "list_audit", method: http.MethodGet, path: "/audit", tag: tag, summary: "List Audit",
		about: "Who has changed something, or tried to, newest first. Entries are never changed. Raw G-code is written down before it is sent as well." + whom,
		needs: farm.Admin, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listAudit)
	register(s, route{
		id: "export_audit", method: http.MethodGet, path: "/audit/export", tag: tag, summary: "Export Audit",
		about: "All that the filters find, as a file." + whom,
		needs: farm.Admin, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid}, audit: true,
		responses: binary("application/octet-stream", "The file: CSV (RFC 4180), XLSX or JSON lines, the same rows."),
	}, s.exportAudit)
	register(s, route{
		id: "check_audit", method: http.MethodGet, path: "/audit/check", tag: tag, summary: "Check Audit",
		about: "Each entry holds a hash over itself and the one before. This walks them all and tells whether one is missing or was changed in the database." + whom,
		needs: farm.Admin, limit: auth.ReadClass,
	}, s.checkAudit)
}

// AuditFilter is what lists and exports have in common. It is exported for huma.
type AuditFilter struct {
	Who       string `query:"who" maxLength:"200" doc:"Only of this name." example:"Home automation"`
	Kind      string `query:"kind" enum:"key,user" doc:"Only of this kind of caller."`
	Action    string `query:"action" maxLength:"100" doc:"Only this operation." example:"delete_printer"`
	Result    string `query:"result" enum:"done,refused,failed,begun" doc:"Only with this result."`
	PrinterID int64  `query:"printer_id" minimum:"1" doc:"Only about this printer."`
	SiteID    int64  `query:"site_id" minimum:"1" doc:"Only about this site and its printers."`
	Since     string `query:"since" doc:"From this day or moment on." example:"2024-01-15"`
	Until     string `query:"until" doc:"Up to and with this day or moment." example:"2024-01-31"`
	TZ        string `query:"tz" doc:"The time zone that days are of; UTC by default." example:"Europe/Berlin"`
}

func (f AuditFilter) query() (farm.AuditQuery, error) {
	q := farm.AuditQuery{Who: f.Who, Kind: f.Kind, Action: f.Action, Result: f.Result, PrinterID: f.PrinterID, SiteID: f.SiteID}
	var err error
	q.Since, q.Until, err = period(bounds{"since", f.Since}, bounds{"until", f.Until}, f.TZ)
	return q, err
}

type listAuditInput struct {
	AuditFilter
	Limit  int   `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"At most this many."`
	Offset int   `query:"offset" minimum:"0" doc:"Skip this many. A cursor is faster."`
	Cursor int64 `query:"cursor" minimum:"0" doc:"As X-Next-Cursor said; the filters must be the same."`
}

type listAuditOutput struct {
	Total int    `header:"X-Total-Count" doc:"How many the filters find."`
	Next  string `header:"X-Next-Cursor" doc:"For the next page; absent on the last."`
	Body  []AuditEntry
}

func (s *server) listAudit(ctx context.Context, in *listAuditInput) (*listAuditOutput, error) {
	if err := wholeFarm(ctx, "the audit"); err != nil {
		return nil, err
	}
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	q.Before, q.Limit, q.Offset = in.Cursor, in.Limit+1, in.Offset // one more tells whether there is a next page
	rows, total, err := s.audit.Audit(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listAuditOutput{Total: total}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		out.Next = fmt.Sprint(rows[in.Limit-1].ID)
	}
	out.Body = mapped(rows, auditEntryOf)
	return out, nil
}

func auditEntryOf(a farm.Audit) AuditEntry {
	return AuditEntry{
		ID: a.ID, Timestamp: instant{a.At}, Who: a.Who, Kind: orNull(a.Kind), Action: a.Action, Result: a.Result(), Status: orNull(a.Status), Code: orNull(string(a.Code)),
		Method: a.Method, Path: a.Path, Remote: a.Remote, RequestID: a.RequestID, PrinterID: orNull(a.PrinterID), SiteID: orNull(a.SiteID), Data: a.Data,
	}
}

func (s *server) checkAudit(ctx context.Context, _ *struct{}) (*body[AuditCheck], error) {
	if err := wholeFarm(ctx, "the audit"); err != nil {
		return nil, err
	}
	c, err := s.audit.CheckAudit(ctx)
	if err != nil {
		return nil, err
	}
	return &body[AuditCheck]{AuditCheck{Whole: c.Broken == 0, Entries: c.Entries, FirstID: c.First, Broken: orNull(c.Broken)}}, nil
}

// auditColumns are those of the list, in its order.
var auditColumns = []sheet.Column[farm.Audit]{
	{Title: "id", Value: func(a farm.Audit) any { return a.ID }},
	{Title: "timestamp", Value: func(a farm.Audit) any { return sheet.Time(a.At) }},
	{Title: "who", Value: func(a farm.Audit) any { return a.Who }},
	{Title: "kind", Value: func(a farm.Audit) any { return a.Kind }},
	{Title: "action", Value: func(a farm.Audit) any { return a.Action }},
	{Title: "result", Value: func(a farm.Audit) any { return a.Result() }},
	{Title: "status", Value: func(a farm.Audit) any { return sheet.ID(int64(a.Status)) }},
	{Title: "code", Value: func(a farm.Audit) any { return string(a.Code) }},
	{Title: "method", Value: func(a farm.Audit) any { return a.Method }},
	{Title: "path", Value: func(a farm.Audit) any { return a.Path }},
	{Title: "remote", Value: func(a farm.Audit) any { return a.Remote }},
	{Title: "request_id", Value: func(a farm.Audit) any { return a.RequestID }},
	{Title: "printer_id", Value: func(a farm.Audit) any { return sheet.ID(a.PrinterID) }},
	{Title: "site_id", Value: func(a farm.Audit) any { return sheet.ID(a.SiteID) }},
	{Title: "data", Value: func(a farm.Audit) any { return string(a.Data) }},
}

type exportAuditInput struct {
	AuditFilter
	Format string `query:"format" enum:"csv,xlsx,jsonl" default:"csv" doc:"CSV (RFC 4180), a spreadsheet, or one JSON object a line."`
	Limit  int    `query:"limit" minimum:"1" doc:"At most this many rows; all when absent."`
}

func (s *server) exportAudit(ctx context.Context, in *exportAuditInput) (*huma.StreamResponse, error) {
	if err := wholeFarm(ctx, "the audit"); err != nil {
		return nil, err
	}
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	q.Limit = in.Limit
	each := func(add func(farm.Audit) error) error { return s.audit.EachAudit(ctx, q, add) }
	return s.export("audit", in.Format, func(w io.Writer) error {
		switch in.Format {
		case "xlsx":
			return sheet.XLSX(w, sheet.Book{Name: "Audit", Dir: s.staging}, auditColumns, each)
		case "jsonl":
			return each(func(a farm.Audit) error { return encode(w, auditEntryOf(a)) })
		default:
			return sheet.CSV(w, auditColumns, each)
		}
	}), nil
}

// export answers with a file that is written as it is sent.
func (s *server) export(what, format string, write func(io.Writer) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", attachment(what+"_"+time.Now().UTC().Format("20060102_150405")+"."+format))
		if r.Method == http.MethodHead {
			return
		}
		out := &patientWriter{ResponseWriter: w, rc: http.NewResponseController(w)}
		defer out.done()
		if err := write(out); err != nil {
			s.log.Warn("an export broke off", "of", what, "err", err)
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to tell a client that the answer is not whole
		}
	}}
}

// writeDown notes what the caller is about to do to a printer; without that it is
// not done.
func (s *server) writeDown(ctx context.Context, v fleet.View, action string, what any) error {
	data, err := json.Marshal(what)
	if err == nil {
		n := note(ctx)
		err = s.audit.AppendAudit(ctx, farm.Audit{
			At: time.Now(), Who: auth.From(ctx).Name(), Kind: auth.From(ctx).Kind(), Action: action, Method: n.method, Path: n.path, Remote: n.remote, RequestID: n.id,
			PrinterID: v.Printer.ID, SiteID: v.Printer.SiteID, Data: data,
		})
	}
	if err != nil {
		return farm.Wrap(farm.Unavailable, err, "it could not be written down who does this, so it was not done")
	}
	return nil
}
