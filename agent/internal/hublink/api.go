package hublink

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// Fleet is the agent's printers, as the hub deals with them. Every method may be
// called concurrently. Errors that the hub shall decide on are *farm.Error.
type Fleet interface {
	// Held gives the config this agent holds (generation 0: none) and the printers
	// it runs sessions for.
	Held() (generation, revision int64, printers []wire.Presence)
	// Apply takes in a config of the right hub: CONFLICT when it is older than the
	// one held.
	Apply(ctx context.Context, c wire.Config) (wire.ConfigResult, error)
	// Watch begins a stream of states.
	Watch() Watcher
	// Command carries out a command that has not been seen before, which must begin
	// within c.ValidMS from now. It returns when the outcome is known.
	Command(ctx context.Context, serial string, c wire.Command) (wire.CommandResult, error)
	// Diagnostics describes every session.
	Diagnostics() []wire.SessionDiagnostic
}

// Watcher gives the states of all printers, newest wins: the first Next gives a
// whole frame of each, later ones what changed since the last. Next waits for a
// change; when ctx ends it gives ctx's error and has lost nothing. One goroutine
// uses a Watcher and closes it.
type Watcher interface {
	Next(ctx context.Context) ([]wire.StateFrame, error)
	Close()
}

// api serves the agent API.
type api struct {
	fleet    Fleet
	hubID    string
	agentID  string
	bootID   string
	version  string
	started  time.Time
	commands *commandTable
	journal  *Journal // nil: none
	site     Site
	books    books
	log      *slog.Logger
}

func newAPI(o Options, started time.Time) *api {
	var before []journalEntry
	if o.Journal != nil {
		before = o.Journal.begun()
	}
	return &api{
		fleet: o.Fleet, hubID: o.Identity.HubID, agentID: o.Identity.AgentID, bootID: o.BootID,
		version: o.Version, started: started, commands: newCommandTable(maxCommands, before), journal: o.Journal, site: o.Site, log: o.Log,
		books: books{outbox: o.Outbox, captures: o.Captures, hubID: o.Identity.HubID},
	}
}

// control is what the control lane serves.
func (a *api) control() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/hello", a.only(http.MethodGet, a.getHello))
	mux.Handle("/v1/config", a.only(http.MethodPut, a.putConfig))
	mux.Handle("/v1/state", a.only(http.MethodGet, a.getState))
	mux.Handle("/v1/printers/{serial}/commands", a.only(http.MethodPost, a.postCommand))
	mux.Handle("/v1/diagnostics", a.only(http.MethodGet, a.getDiagnostics))
	a.site.control(mux, a)
	a.books.control(mux, a)
	return strict(mux)
}

// bulk is what the bulk lane serves: hello, by which the hub measures it, and what
// moves many bytes.
func (a *api) bulk() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/hello", a.only(http.MethodGet, a.getHello))
	a.site.bulk(mux, a)
	a.books.bulk(mux, a)
	return strict(mux)
}

// strict answers what the mux does not know, or would redirect, in the form of
// every other error.
func strict(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clean := strings.HasPrefix(r.URL.Path, "/") && path.Clean(r.URL.Path) == strings.TrimSuffix(r.URL.Path, "/")
		if _, pattern := mux.Handler(r); !clean || pattern == "" {
			tunnel.Answer(w, farm.Errorf(farm.NotFound, "this agent does not know %.100s", r.URL.Path), 0)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// only limits a handler to one method and answers the error it returns.
func (a *api) only(method string, h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			tunnel.Answer(w, farm.Errorf(farm.MethodNotAllowed, "%.100s only takes %s", r.URL.Path, method), 0)
			return
		}
		err := h(w, r)
		if err == nil {
			return
		}
		if farm.Is(err, farm.Internal) && r.Context().Err() == nil {
			a.log.Error("agent API call failed", "path", r.URL.Path, "err", err)
		}
		tunnel.Answer(w, err, 0)
	})
}

func (a *api) getHello(w http.ResponseWriter, _ *http.Request) error { return reply(w, a.hello()) }

func (a *api) hello() wire.Hello {
	generation, revision, printers := a.fleet.Held()
	now := time.Now()
	return wire.Hello{
		AgentID: a.agentID, BootID: a.bootID, Version: a.version, Platform: platform(),
		Capabilities: slices.Concat([]wire.Capability{wire.CapState, wire.CapRefresh, wire.CapControl}, a.site.capabilities(), a.books.capabilities()),
		Generation:   generation, Revision: revision, Epoch: a.books.epoch(), Alarm: a.books.alarm(), Printers: printers,
		Clock: wire.Clock{WallMS: now.UnixMilli(), MonoMS: now.Sub(a.started).Milliseconds(), ProcessID: a.bootID},
	}
}

func (a *api) putConfig(w http.ResponseWriter, r *http.Request) error {
	c, err := decode[wire.Config](w, r, wire.MaxConfigBody)
	if err != nil {
		return err
	}
	if c.HubID != a.hubID {
		return farm.Errorf(farm.Conflict, "this agent belongs to another hub (%s) than the config (%.64s)", a.hubID, c.HubID)
	}
	result, err := a.fleet.Apply(r.Context(), c)
	if err != nil {
		return err
	}
	return reply(w, result)
}

func (a *api) getDiagnostics(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, wire.Diagnostics{Hello: a.hello(), Sessions: a.fleet.Diagnostics()})
}

// decode reads a JSON body of at most limit bytes.
func decode[T any](w http.ResponseWriter, r *http.Request, limit int64) (T, error) {
	var v T
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return v, farm.Errorf(farm.TooLarge, "the body is larger than %d bytes", limit)
	case err != nil:
		return v, farm.Wrap(farm.Invalid, err, "the body could not be read")
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, farm.Errorf(farm.Invalid, "the body is not the JSON that is expected here") // the cause may quote a secret
	}
	return v, nil
}

// reply writes a 200 with a JSON body.
func reply(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the lane may be gone: then nobody is left to hear of it
	return nil
}
