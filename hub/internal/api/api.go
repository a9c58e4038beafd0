// Package api is the hub's REST API and its live event stream, as
// docs and the OpenAPI document describe them. It turns requests into calls of
// the services and their answers into the contract's shapes; it decides nothing
// itself and knows no SQL.
//
// There is a file per resource with its JSON types, routes and handlers.
// routes.go is the one way to add a route, errors.go the one place where an
// error becomes an answer.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"golang.org/x/time/rate"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/fleet"
	"bambuddy/hub/internal/links"
	"bambuddy/hub/internal/registry"
	"bambuddy/hub/internal/settings"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Registry is sites, agents and printers as people configure them.
type Registry interface {
	AddPrinter(ctx context.Context, n registry.NewPrinter) (farm.Printer, error)
	ChangePrinter(ctx context.Context, id int64, c registry.PrinterChange) (farm.Printer, error)
	RemovePrinter(ctx context.Context, id int64, force bool) error
	// CheckPrinter brings what tells a printer apart into form, as AddPrinter does.
	CheckPrinter(p farm.Printer, code *farm.Secret) (farm.Printer, error)

	Sites(ctx context.Context) ([]farm.Site, error)
	Site(ctx context.Context, id int64) (farm.Site, error)
	AddSite(ctx context.Context, name string) (farm.Site, error)
	RenameSite(ctx context.Context, id int64, name string) (farm.Site, error)
	RemoveSite(ctx context.Context, id int64) error

	Agents(ctx context.Context) ([]farm.Agent, error)
	Agent(ctx context.Context, id int64) (farm.Agent, error)
	ChangeAgent(ctx context.Context, id int64, c registry.AgentChange) (farm.Agent, error)
	RevokeAgent(ctx context.Context, id int64) error
	RemoveAgent(ctx context.Context, id int64) error

	NewEnrolment(ctx context.Context, siteID int64, hubURL, fingerprint string) (farm.Secret, farm.Enrolment, error)
	Enrolments(ctx context.Context) ([]farm.Enrolment, error)
	DeleteEnrolment(ctx context.Context, id int64) error
}

// Fleet is the live picture.
type Fleet interface {
	View(printerID int64) (fleet.View, bool)
	Views() []fleet.View
	Watch() *fleet.Watcher
}

// Links is the way to the agents.
type Links interface {
	// Command carries a command to an agent and gives its answer.
	Command(ctx context.Context, agentID int64, serial string, c wire.Command) (wire.CommandResult, error)
	// Call makes one call of the agent API that needs a capability.
	Call(ctx context.Context, agentID int64, need wire.Capability, method, path string, in, out any) error
	// Stream asks an agent for something over its bulk lane. The caller drains or
	// closes the body of the answer.
	Stream(ctx context.Context, agentID int64, need wire.Capability, path string) (*http.Response, error)
	// Status tells how an agent is connected; false: never to this process. It
	// does not wait.
	Status(agentID int64) (links.Status, bool)
}

// Events is the table of events and the news of it.
type Events interface {
	// Range gives the first and the last id that are kept; first is 0 when
	// none is.
	Range(ctx context.Context) (first, last int64, err error)
	// Follow calls fn for each event after an id, in order, as they come, until
	// ctx ends or fn fails.
	Follow(ctx context.Context, after int64, fn func(farm.Event) error) error
}

// Health are the checks behind /health. Each gets a short time and says why not.
type Health struct {
	Database func(ctx context.Context) error // always there
	Storage  func(ctx context.Context) error // nil: this hub stores no objects
}

// Deps are the parts and settings of the API.
type Deps struct {
	Registry Registry
	Fleet    Fleet
	Links    Links
	Cameras  Cameras
	Events   Events
	Audit    Audit
	Prints   Prints
	Archive  ArchiveStore
	Projects Projects
	Current  CurrentPrints
	S3       S3Credentials
	Settings *settings.Settings
	Webhooks Webhooks
	Auth     *auth.Auth
	Health   Health
	// Ending is closed when the hub begins to stop: it ends the event streams,
	// which would hold up http.Server.Shutdown for ever.
	Ending <-chan struct{}
	// PublicURL is the hub's address as agents reach it, for enrolment tokens;
	// empty: as the request for the token was addressed. Fingerprint is the
	// SHA-256 of the hub's own certificate in hex, empty when it has none.
	PublicURL   string
	Fingerprint string
	Version     string       // without a v
	Web         http.Handler // the page for people; nil: none
	Staging     string       // folder for temporary files; empty: the system's
	Log         *slog.Logger
}

type server struct {
	registry    Registry
	fleet       Fleet
	links       Links
	cameras     Cameras
	events      Events
	audit       Audit
	prints      Prints
	archive     ArchiveStore
	projects    Projects
	current     CurrentPrints
	s3          S3Credentials
	settings    *settings.Settings
	webhooks    Webhooks
	auth        *auth.Auth
	ending      <-chan struct{}
	publicURL   string
	fingerprint string
	log         *slog.Logger

	foreign *http.CrossOriginProtection // refuses what another site makes a browser do
	media   []*regexp.Regexp            // paths that media links may open
	grants  chan struct{}               // holds one: the change of who may what under way

	huma   huma.API
	faults []error // what is wrong with the routes, found while they are registered
	health healthCheck
	feed   feed

	strangers *rate.Limiter // entries of the audit of callers that nobody knows
	leftOut   atomic.Int64  // such entries that were one too many

	downloads downloads
	staging   string // folder for temporary files
	printers  printerCache
	spec      func() ([]byte, error)
}

// New builds the handler of everything the hub serves to people and programs.
// Agents connect elsewhere (links). It fails when a route does not declare who
// may call it.
func New(d Deps) (http.Handler, error) {
	h, _, err := build(d)
	return h, err
}

// build is New, and gives the server too, for the tests that walk it.
func build(d Deps) (chi.Router, *server, error) {
	setUpHuma()
	s := &server{
		registry: d.Registry, fleet: d.Fleet, links: d.Links, cameras: d.Cameras, events: d.Events, audit: d.Audit, auth: d.Auth,
		prints: d.Prints, archive: d.Archive, projects: d.Projects, current: d.Current, s3: d.S3, webhooks: d.Webhooks, settings: d.Settings,
		foreign: http.NewCrossOriginProtection(), grants: make(chan struct{}, 1), ending: d.Ending, publicURL: d.PublicURL, fingerprint: d.Fingerprint, log: d.Log,
		printers: printerCache{latest: map[int64]shownPrinter{}}, strangers: strangers(), staging: d.Staging,
		health: healthCheck{checks: d.Health}, feed: feed{latest: map[int64]*rendition{}}, downloads: downloads{open: map[int64]int{}},
	}
	r := chi.NewRouter()
	r.Use(impose, observe(d.Log), impatient, harden, s.crossOrigin, middleware.StripSlashes, middleware.GetHead)
	unrouted := s.unrouted(r, d.Web)
	r.NotFound(unrouted)
	r.MethodNotAllowed(unrouted)

	s.huma = huma.NewAPI(document(d.Version), &adapter{server: s, router: r})
	s.spec = sync.OnceValues(func() ([]byte, error) { return s.huma.OpenAPI().MarshalJSON() })
	s.routes()
	s.complete()
	if err := errors.Join(s.faults...); err != nil {
		return nil, nil, fmt.Errorf("build the API: %w", err)
	}
	return r, s, nil
}

func (s *server) routes() {
	s.printerRoutes()
	s.statusRoutes()
	s.controlRoutes()
	s.cameraRoutes()
	s.fileRoutes()
	s.probeRoutes()
	s.archiveRoutes()
	s.projectRoutes()
	s.s3CredentialRoutes(s.s3)
	s.webhookRoutes(s.webhooks)
	s.siteRoutes()
	s.agentRoutes()
	s.enrolmentRoutes()
	s.eventRoutes()
	s.signInRoutes()
	s.userRoutes()
	s.keyRoutes()
	s.settingRoutes()
	s.mediaLinkRoutes()
	s.auditRoutes()
	s.systemRoutes()
}
