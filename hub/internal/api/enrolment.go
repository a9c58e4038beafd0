package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// EnrolmentToken is a permission to enrol one agent, without its secret.
type EnrolmentToken struct {
	ID        int64   `json:"id"`
	SiteID    int64   `json:"site_id"`
	CreatedAt instant `json:"created_at"`
	ExpiresAt instant `json:"expires_at"`
}

// CreatedEnrolmentToken is a new one, with the token for the one and only time.
type CreatedEnrolmentToken struct {
	EnrolmentToken
	Token string `json:"token" doc:"To paste into the agent. It is shown here once, works once, and runs out." example:"bbt_…"`
}

// NewEnrolmentToken is the body of POST /agents/enrolment-tokens.
type NewEnrolmentToken struct {
	SiteID *int64  `json:"site_id,omitempty" doc:"Where the agent stands. Default: the site every hub begins with."`
	HubURL *string `json:"hub_url,omitempty" doc:"The hub's address as the agent reaches it. Default: the configured one, else as this request was addressed." example:"https://farm.example.com"`
}

func (s *server) enrolmentRoutes() {
	const tag = "Agents"
	register(s, route{
		id: "list_enrolment_tokens", method: http.MethodGet, path: "/agents/enrolment-tokens", tag: tag, summary: "List Enrolment Tokens",
		about: "Those that can still be used.", needs: farm.Admin, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listEnrolments)
	register(s, route{
		id: "create_enrolment_token", method: http.MethodPost, path: "/agents/enrolment-tokens", tag: tag, summary: "Create Enrolment Token",
		about: "The answer holds the token, once.", needs: farm.Admin, limit: auth.WriteClass, created: true, errors: []farm.Code{farm.NotFound},
	}, s.createEnrolment)
	register(s, route{
		id: "delete_enrolment_token", method: http.MethodDelete, path: "/agents/enrolment-tokens/{id}", tag: tag, summary: "Delete Enrolment Token",
		needs: farm.Admin, limit: auth.WriteClass,
	}, s.deleteEnrolment)
}

func (s *server) listEnrolments(ctx context.Context, in *Page) (*listing[EnrolmentToken], error) {
	open, err := s.enrolments(ctx)
	if err != nil {
		return nil, err
	}
	wanted := paged(open, *in)
	return &listing[EnrolmentToken]{Total: wanted.Total, Body: mapped(wanted.Body, enrolmentOf)}, nil
}

// newEnrolmentInput looks at how the request was addressed, too.
type newEnrolmentInput struct {
	Body      *NewEnrolmentToken
	addressed string
}

// Resolve is called by huma with the request.
func (in *newEnrolmentInput) Resolve(hc huma.Context) []error {
	u := url.URL{Scheme: clientScheme(hc.Context()), Host: hc.Host()}
	in.addressed = u.String()
	return nil
}

func (s *server) createEnrolment(ctx context.Context, in *newEnrolmentInput) (*body[CreatedEnrolmentToken], error) {
	var wanted NewEnrolmentToken
	if in.Body != nil {
		wanted = *in.Body
	}
	siteID, err := s.enrolmentSite(ctx, wanted.SiteID)
	if err != nil {
		return nil, err
	}
	hubURL := in.addressed
	if s.publicURL != "" {
		hubURL = s.publicURL
	}
	if given := wanted.HubURL; given != nil {
		u, err := url.Parse(*given)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, farm.Errorf(farm.Invalid, "hub_url: expected an address like https://farm.example.com")
		}
		hubURL = *given
	}
	token, e, err := s.registry.NewEnrolment(ctx, siteID, hubURL, s.fingerprint)
	if err != nil {
		return nil, err
	}
	return &body[CreatedEnrolmentToken]{CreatedEnrolmentToken{EnrolmentToken: enrolmentOf(e), Token: token.Reveal()}}, nil
}

// enrolmentSite is the site asked for, or the one the caller can only mean.
func (s *server) enrolmentSite(ctx context.Context, asked *int64) (int64, error) {
	who := auth.From(ctx)
	switch {
	case !who.AllPrinters(): // an agent adopts printers
		return 0, farm.Errorf(farm.Forbidden, "this key is limited to certain printers and cannot enrol an agent")
	case asked != nil:
		return *asked, s.siteThere(ctx, *asked, "site_id")
	case len(who.Sites()) == 1:
		return who.Sites()[0], nil
	case !who.SeesSite(farm.DefaultSiteID):
		return 0, farm.Errorf(farm.Invalid, "site_id: is required, as this key is limited to certain sites")
	}
	return farm.DefaultSiteID, nil
}

func (s *server) deleteEnrolment(ctx context.Context, in *ByID) (*body[Deleted], error) {
	open, err := s.enrolments(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(open, func(e farm.Enrolment) bool { return e.ID == in.ID }) {
		return nil, farm.Errorf(farm.NotFound, "there is no open enrolment token %d", in.ID)
	}
	if err := s.registry.DeleteEnrolment(ctx, in.ID); err != nil {
		return nil, err
	}
	return deleted(), nil
}

// enrolments gives the open tokens the caller may see.
func (s *server) enrolments(ctx context.Context) ([]farm.Enrolment, error) {
	open, err := s.registry.Enrolments(ctx)
	who := auth.From(ctx)
	return slices.DeleteFunc(open, func(e farm.Enrolment) bool { return !who.AllPrinters() || !who.SeesSite(e.SiteID) }), err
}

func enrolmentOf(e farm.Enrolment) EnrolmentToken {
	return EnrolmentToken{ID: e.ID, SiteID: e.SiteID, CreatedAt: instant{e.CreatedAt}, ExpiresAt: instant{e.ExpiresAt}}
}
