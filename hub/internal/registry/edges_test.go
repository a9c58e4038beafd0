package registry

import (
	"reflect"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

// Every part of a printer changes by itself and leaves the others alone.
func TestAnySubsetChanges(t *testing.T) {
	r := newRig(t)
	a := r.agent(farm.DefaultSiteID)
	n := example("S01")
	n.Tags, n.Location, n.Model = []string{"red"}, "shelf", "A1"
	p := r.add(n)
	for name, c := range map[string]struct {
		change PrinterChange
		want   func(*farm.Printer)
	}{
		"nothing":       {PrinterChange{}, func(*farm.Printer) {}},
		"name":          {PrinterChange{Name: to(" Left ")}, func(p *farm.Printer) { p.Name = "Left" }},
		"address":       {PrinterChange{Address: to(" 192.0.2.7 ")}, func(p *farm.Printer) { p.Address = "192.0.2.7" }},
		"model":         {PrinterChange{Model: to("X1 Carbon")}, func(p *farm.Printer) { p.ModelGiven = "X1C" }},
		"no model":      {PrinterChange{Model: to("")}, func(p *farm.Printer) { p.ModelGiven = "" }},
		"location":      {PrinterChange{Location: to("")}, func(p *farm.Printer) { p.Location = "" }},
		"tags":          {PrinterChange{Tags: &[]string{" a ", "b"}}, func(p *farm.Printer) { p.Tags = []string{"a", "b"} }},
		"no tags":       {PrinterChange{Tags: &[]string{}}, func(p *farm.Printer) { p.Tags = []string{} }},
		"ports":         {PrinterChange{MQTTPort: to(1), FTPSPort: to(2), CameraPort: to(3)}, func(p *farm.Printer) { p.MQTTPort, p.FTPSPort, p.CameraPort = 1, 2, 3 }},
		"default ports": {PrinterChange{MQTTPort: to(0), FTPSPort: to(0), CameraPort: to(0)}, func(p *farm.Printer) { p.MQTTPort, p.FTPSPort, p.CameraPort = 8883, 990, 0 }},
		"same agent":    {PrinterChange{AgentID: &a.ID}, func(*farm.Printer) {}},
		"same site":     {PrinterChange{SiteID: to(farm.DefaultSiteID)}, func(*farm.Printer) {}},
		"code":          {PrinterChange{AccessCode: to(farm.Secret("87654321"))}, func(p *farm.Printer) { p.Fence++ }},
		"the same code": {PrinterChange{AccessCode: to(farm.Secret("87654321"))}, func(p *farm.Printer) { p.Fence++ }},
	} {
		before, err := r.db.Printer(t.Context(), p.ID)
		if err != nil {
			t.Fatal(err)
		}
		c.want(&before)
		got, err := r.ChangePrinter(t.Context(), p.ID, c.change)
		before.UpdatedAt = got.UpdatedAt
		if err != nil || !reflect.DeepEqual(got, before) || !reflect.DeepEqual(got, r.live.printers[p.ID]) {
			t.Errorf("%s: %+v, %v, want %+v, in the picture %+v", name, got, err, before, r.live.printers[p.ID])
		}
	}
	kept := r.live.printers[p.ID]
	for field, c := range map[string]PrinterChange{
		"name":          {Name: to("")},
		"ip_address":    {Address: to("")},
		"access_code":   {AccessCode: to(farm.Secret(""))},
		"access_code: ": {AccessCode: to(farm.Secret(strings.Repeat("hunter2", 10)))},
		"model":         {Model: to("Prusa")},
		"location":      {Location: to(strings.Repeat("x", 201))},
		"tags":          {Tags: &[]string{" "}},
		"mqtt_port":     {MQTTPort: to(65536)},
		"ftps_port":     {FTPSPort: to(-1)},
		"camera_port":   {CameraPort: to(65536)},
		"agent_id":      {AgentID: to(int64(99))},
		"site_id":       {SiteID: to(int64(99))},
		"site_id: ":     {SiteID: to(int64(99)), AgentID: to(int64(0))},
	} {
		c.Location = or2(c.Location, to("not to be kept"))
		_, err := r.ChangePrinter(t.Context(), p.ID, c)
		code := farm.Invalid
		if c.AgentID != nil || c.SiteID != nil { // what is not there
			code = farm.NotFound
		}
		r.wantError(err, code, field)
	}
	if row, err := r.db.Printer(t.Context(), p.ID); err != nil || !reflect.DeepEqual(row, kept) || !reflect.DeepEqual(r.live.printers[p.ID], kept) {
		t.Errorf("a refused change left %+v, %v; want %+v", row, err, kept)
	}
}

func or2[T any](v, def *T) *T {
	if v != nil {
		return v
	}
	return def
}

func TestAPrinterMovesBetweenSites(t *testing.T) {
	r := newRig(t)
	home := r.agent(farm.DefaultSiteID)
	berlin, empty := r.site("Berlin"), r.site("Graz")
	there := r.agent(berlin.ID)
	n := example("S01")
	n.AgentID = &home.ID
	p := r.add(n)
	for _, step := range []struct {
		change      PrinterChange
		agent, site int64
	}{
		{PrinterChange{SiteID: &berlin.ID}, there.ID, berlin.ID},
		{PrinterChange{SiteID: &empty.ID, AgentID: to(int64(0))}, 0, empty.ID},
		{PrinterChange{AgentID: &home.ID}, home.ID, farm.DefaultSiteID},
		{PrinterChange{AgentID: to(int64(0)), SiteID: &berlin.ID}, 0, berlin.ID},
		{PrinterChange{AgentID: &there.ID, SiteID: &berlin.ID}, there.ID, berlin.ID},
	} {
		before := r.live.printers[p.ID]
		got, err := r.ChangePrinter(t.Context(), p.ID, step.change)
		if err != nil || got.AgentID != step.agent || got.SiteID != step.site || !reflect.DeepEqual(got, r.live.printers[p.ID]) {
			t.Errorf("moved: %+v, %v, want agent %d at site %d", got, err, step.agent, step.site)
		}
		if step.agent != 0 && got.Fence <= before.Fence {
			t.Errorf("fence %d after %d", got.Fence, before.Fence)
		}
		if before.AgentID != 0 {
			c, err := r.AgentConfig(t.Context(), before.AgentID)
			if err != nil || len(c.Printers) != 0 || len(c.Tombstones) != 1 || c.Tombstones[0].Fence != before.Fence {
				t.Errorf("the former agent is told %+v, %v", c, err)
			}
		}
	}
	_, err := r.ChangePrinter(t.Context(), p.ID, PrinterChange{SiteID: &empty.ID})
	r.wantError(err, farm.Conflict, "no agent")
	r.live.away = true
	_, err = r.ChangePrinter(t.Context(), p.ID, PrinterChange{AgentID: to(int64(0))})
	r.wantError(err, farm.Conflict, "force=true")
	if err := r.RevokeAgent(t.Context(), there.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := r.ChangePrinter(t.Context(), p.ID, PrinterChange{AgentID: &home.ID}); err != nil || got.AgentID != home.ID {
		t.Errorf("away from a revoked agent: %+v, %v", got, err)
	}
}

// What the picture holds after an agent is gone is what the rows say.
func TestThePictureOfARemovedAgentsPrinters(t *testing.T) {
	r := newRig(t)
	a := r.agent(farm.DefaultSiteID)
	p := r.add(example("S01"))
	if err := r.RevokeAgent(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveAgent(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	row, err := r.db.Printer(t.Context(), p.ID)
	if err != nil || !reflect.DeepEqual(row, r.live.printers[p.ID]) {
		t.Errorf("row %+v, %v; picture %+v", row, err, r.live.printers[p.ID])
	}
	r.wantError(r.RemoveAgent(t.Context(), a.ID), farm.NotFound, "agent")
	r.wantError(r.RevokeAgent(t.Context(), a.ID), farm.NotFound, "agent")
	r.wantError(r.RemovePrinter(t.Context(), 99, true), farm.NotFound, "99")
	_, err = r.ChangeAgent(t.Context(), a.ID, AgentChange{})
	r.wantError(err, farm.NotFound, "agent")
}

func TestSites(t *testing.T) {
	r := newRig(t)
	berlin := r.site(" Berlin ")
	_, err := r.AddSite(t.Context(), "Berlin")
	r.wantError(err, farm.Conflict, "name")
	_, err = r.RenameSite(t.Context(), berlin.ID, "a\nb")
	r.wantError(err, farm.Invalid, "name")
	if s, err := r.RenameSite(t.Context(), berlin.ID, " Wien "); err != nil || s.Name != "Wien" {
		t.Errorf("renamed: %+v, %v", s, err)
	}
	if s, err := r.Site(t.Context(), berlin.ID); err != nil || s.Name != "Wien" {
		t.Errorf("site: %+v, %v", s, err)
	}
	a := r.agent(berlin.ID)
	_, err = r.ChangeAgent(t.Context(), a.ID, AgentChange{Name: to(" ")})
	r.wantError(err, farm.Invalid, "name")
	_, err = r.ChangeAgent(t.Context(), a.ID, AgentChange{SiteID: to(int64(99))})
	r.wantError(err, farm.NotFound, "site_id")
	r.wantError(r.RemoveSite(t.Context(), berlin.ID), farm.Conflict, "site")
	if _, err := r.ChangeAgent(t.Context(), a.ID, AgentChange{SiteID: to(farm.DefaultSiteID)}); err != nil {
		t.Fatal(err)
	}
	_, e, err := r.NewEnrolment(t.Context(), farm.DefaultSiteID, "https://hub.example", "")
	if err != nil {
		t.Fatal(err)
	}
	if open, err := r.Enrolments(t.Context()); err != nil || len(open) != 1 || open[0].ID != e.ID {
		t.Errorf("open enrolments: %+v, %v", open, err)
	}
	if err := r.RemoveSite(t.Context(), berlin.ID); err != nil {
		t.Errorf("an empty site: %v", err)
	}
	if sites, err := r.Sites(t.Context()); err != nil || len(sites) != 1 {
		t.Errorf("sites: %+v, %v", sites, err)
	}
}
