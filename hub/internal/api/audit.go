package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/fleet"
	"bambuddy/shared/farm"
)

// Audit is where it is written down who did what.
type Audit interface {
	// AppendAudit writes down that something is about to be done.
	AppendAudit(ctx context.Context, a farm.Audit) error
	// AuditBefore gives up to limit entries with ids below before (0: the
	// newest), newest first.
	AuditBefore(ctx context.Context, before int64, limit, offset int) ([]farm.Audit, error)
	// CountAudit tells how many entries there are.
	CountAudit(ctx context.Context) (int, error)
}

// AuditEntry is one thing that was done, or tried.
type AuditEntry struct {
	ID        int64           `json:"id"`
	Timestamp instant         `json:"timestamp"`
	Who       string          `json:"who" doc:"The name of the key." example:"Home automation"`
	Action    string          `json:"action" example:"gcode"`
	PrinterID *int64          `json:"printer_id"`
	SiteID    *int64          `json:"site_id"`
	Data      json.RawMessage `json:"data" doc:"What exactly."`
}

func (s *server) auditRoutes() {
	register(s, route{
		id: "list_audit", method: http.MethodGet, path: "/audit", tag: "System", summary: "List Audit",
		about: "Who sent raw G-code, newest first. Entries are written before anything is sent, and never changed. For keys that are not limited to certain printers or sites.",
		needs: farm.Admin, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listAudit)
}

type listAuditInput struct {
	Limit  int   `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Offset int   `query:"offset" minimum:"0" doc:"Skip this many."`
	Cursor int64 `query:"cursor" minimum:"0" doc:"As X-Next-Cursor said."`
}

type listAuditOutput struct {
	Total int    `header:"X-Total-Count" doc:"How many there are in all."`
	Next  string `header:"X-Next-Cursor" doc:"For the next page; absent on the last."`
	Body  []AuditEntry
}

func (s *server) listAudit(ctx context.Context, in *listAuditInput) (*listAuditOutput, error) {
	if err := wholeFarm(ctx, "the audit"); err != nil {
		return nil, err
	}
	total, err := s.audit.CountAudit(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.audit.AuditBefore(ctx, in.Cursor, in.Limit, in.Offset)
	if err != nil {
		return nil, err
	}
	out := &listAuditOutput{Total: total}
	if len(rows) == in.Limit {
		out.Next = fmt.Sprint(rows[len(rows)-1].ID)
	}
	out.Body = mapped(rows, func(a farm.Audit) AuditEntry {
		return AuditEntry{
			ID: a.ID, Timestamp: instant{a.At}, Who: a.Who, Action: a.Action,
			PrinterID: orNull(a.PrinterID), SiteID: orNull(a.SiteID), Data: a.Data,
		}
	})
	return out, nil
}

// writeDown notes what the caller is about to do to a printer; without that it is
// not done.
func (s *server) writeDown(ctx context.Context, v fleet.View, action string, what any) error {
	data, err := json.Marshal(what)
	if err == nil {
		err = s.audit.AppendAudit(ctx, farm.Audit{
			At: time.Now(), Who: auth.From(ctx).Name(), Action: action,
			PrinterID: v.Printer.ID, SiteID: v.Printer.SiteID, Data: data,
		})
	}
	if err != nil {
		return farm.Wrap(farm.Unavailable, err, "it could not be written down who does this, so it was not done")
	}
	return nil
}
