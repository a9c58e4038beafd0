package api

import (
	"context"
	"net/http"
	"slices"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// Site is a place with printers.
type Site struct {
	ID           int64   `json:"id"`
	Name         string  `json:"name" example:"Workshop"`
	PrinterCount int     `json:"printer_count" doc:"Printers of the site that the key may see." example:"1"`
	CreatedAt    instant `json:"created_at"`
}

// NewSite is the body of POST /sites.
type NewSite struct {
	Name string `json:"name" example:"Workshop"`
}

// SiteChange is the body of PATCH /sites/{id}.
type SiteChange struct {
	Name *string `json:"name,omitempty" example:"Workshop"`
}

func (s *server) siteRoutes() {
	const tag = "Sites"
	register(s, route{
		id: "list_sites", method: http.MethodGet, path: "/sites", tag: tag, summary: "List Sites",
		about: "All sites, by id, unless `limit` is given.", needs: farm.Read, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listSites)
	register(s, route{
		id: "get_site", method: http.MethodGet, path: "/sites/{id}", tag: tag, summary: "Get Site",
		needs: farm.Read, limit: auth.ReadClass,
	}, s.getSite)
	register(s, route{
		id: "add_site", method: http.MethodPost, path: "/sites", tag: tag, summary: "Add Site",
		needs: farm.Admin, limit: auth.WriteClass, created: true, errors: []farm.Code{farm.Conflict},
	}, s.addSite)
	register(s, route{
		id: "update_site", method: http.MethodPatch, path: "/sites/{id}", tag: tag, summary: "Update Site",
		needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, s.updateSite)
	register(s, route{
		id: "delete_site", method: http.MethodDelete, path: "/sites/{id}", tag: tag, summary: "Delete Site",
		about: "Refused while it has printers or agents, and for the site every hub begins with.",
		needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, s.deleteSite)
}

func (s *server) listSites(ctx context.Context, in *Page) (*listing[Site], error) {
	sites, err := s.registry.Sites(ctx)
	if err != nil {
		return nil, err
	}
	who := auth.From(ctx)
	sites = slices.DeleteFunc(sites, func(site farm.Site) bool { return !s.seesSite(who, site.ID) })
	counts := s.printersBySite(who)
	wanted := paged(sites, *in)
	return &listing[Site]{Total: wanted.Total, Body: mapped(wanted.Body, func(site farm.Site) Site {
		return siteOf(site, counts)
	})}, nil
}

func (s *server) getSite(ctx context.Context, in *ByID) (*body[Site], error) {
	site, err := s.site(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.siteAnswer(ctx, site), nil
}

func (s *server) addSite(ctx context.Context, in *struct{ Body NewSite }) (*body[Site], error) {
	if who := auth.From(ctx); who.Sites() != nil || !who.AllPrinters() {
		return nil, farm.Errorf(farm.Forbidden, "this key is limited to certain sites or printers and cannot add a site")
	}
	site, err := s.registry.AddSite(ctx, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return s.siteAnswer(ctx, site), nil
}

type updateSiteInput struct {
	ByID
	Body SiteChange
}

func (s *server) updateSite(ctx context.Context, in *updateSiteInput) (*body[Site], error) {
	if err := s.mayChangeSite(ctx, in.ID); err != nil {
		return nil, err
	}
	if in.Body.Name == nil { // nothing to change
		return s.getSite(ctx, &in.ByID)
	}
	site, err := s.registry.RenameSite(ctx, in.ID, *in.Body.Name)
	if err != nil {
		return nil, err
	}
	return s.siteAnswer(ctx, site), nil
}

func (s *server) deleteSite(ctx context.Context, in *ByID) (*body[Deleted], error) {
	if err := s.mayChangeSite(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.registry.RemoveSite(ctx, in.ID); err != nil {
		return nil, err
	}
	return deleted(), nil
}

// site gives a site the caller may see.
func (s *server) site(ctx context.Context, id int64) (farm.Site, error) {
	if !s.seesSite(auth.From(ctx), id) {
		return farm.Site{}, farm.Errorf(farm.NotFound, "there is no site %d", id)
	}
	return s.registry.Site(ctx, id)
}

// siteThere is an error that names the field when the caller knows of no such site.
func (s *server) siteThere(ctx context.Context, id int64, field string) error {
	_, err := s.site(ctx, id)
	if farm.Is(err, farm.NotFound) {
		return farm.Errorf(farm.NotFound, "%s: there is no site %d", field, id)
	}
	return err
}

func (s *server) mayChangeSite(ctx context.Context, id int64) error {
	if _, err := s.site(ctx, id); err != nil {
		return err
	}
	return runsFarm(ctx)
}

func (s *server) siteAnswer(ctx context.Context, site farm.Site) *body[Site] {
	return &body[Site]{siteOf(site, s.printersBySite(auth.From(ctx)))}
}

func (s *server) printersBySite(who auth.Principal) map[int64]int {
	counts := map[int64]int{}
	for _, v := range s.fleet.Views() {
		if who.Sees(v.Printer.ID, v.Printer.SiteID) {
			counts[v.Printer.SiteID]++
		}
	}
	return counts
}

func siteOf(site farm.Site, printers map[int64]int) Site {
	return Site{ID: site.ID, Name: site.Name, PrinterCount: printers[site.ID], CreatedAt: instant{site.CreatedAt}}
}
