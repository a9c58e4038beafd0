// Package app builds the parts of one hub, in order, and runs them.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"bambuddy/hub/internal/api"
	"bambuddy/hub/internal/archive"
	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/blob"
	"bambuddy/hub/internal/camera"
	"bambuddy/hub/internal/events"
	"bambuddy/hub/internal/fleet"
	"bambuddy/hub/internal/links"
	"bambuddy/hub/internal/prints"
	"bambuddy/hub/internal/registry"
	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/hub/internal/web"
	"bambuddy/hub/internal/webhook"
	"bambuddy/shared/buildinfo"
	"bambuddy/shared/dirlock"
	"bambuddy/shared/farm"
)

// lockFile is what a running hub locks in its data directory.
const lockFile = "hub.lock"

// How long each step of the way down may take; a daemon is to be gone within 10 s.
const (
	drainTime    = 3 * time.Second
	shutdownTime = 4 * time.Second
)

// headerTime bounds how long a request's header may take. There is no bound on
// bodies here: a link to an agent and an event stream have no end.
const headerTime = 10 * time.Second

// Options are what a hub needs from outside. Tests give their own listener.
type Options struct {
	DataDir     string        // made if it is missing
	DatabaseURL farm.Secret   // postgres://…; empty: SQLite in DataDir
	SecretKeys  []farm.Secret // the first seals; none: a key file in DataDir, SQLite only
	Listener    net.Listener  // closed when Run returns
	// PublicURL is the hub's address as agents reach it; empty: what the
	// listener says. Fingerprint is the SHA-256 of its own certificate, if any.
	PublicURL    string
	Fingerprint  string
	Limits       farm.Limits   // requests a minute; 0 means the contract's
	OfflineAfter time.Duration // 0: 60 s

	Objects   blob.Store        // where archives keep their files; nil: the folder objects in DataDir
	Retention archive.Retention // how long archives are kept; zero: for ever
	MaxUpload int64             // bytes of an uploaded 3MF; 0: 1 GiB
	S3        S3                // the door for S3 tools

	Log *slog.Logger
}

// Run runs one hub until ctx ends; it is gone within 10 s then. It fails at once
// when another hub works on the data directory (dirlock.ErrHeld), when the secret
// key is not the right one (secrets.ErrKey), or the database cannot be used.
func Run(ctx context.Context, o Options) (err error) {
	defer func() { _ = o.Listener.Close() }() // the server closes it too; not when it never ran
	defer func() {
		if o.S3.Listener != nil {
			_ = o.S3.Listener.Close()
		}
	}()
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := dirlock.Take(ctx, o.DataDir, lockFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	news := events.New()
	db, err := store.Open(ctx, store.Config{Dir: o.DataDir, URL: o.DatabaseURL.Reveal(), Wake: news.Wake})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }() // last: every part writes into it
	news.Read(db)
	if o.Objects == nil {
		files, err := blob.NewFiles(filepath.Join(o.DataDir, "objects"))
		if err != nil {
			return err
		}
		defer func() { _ = files.Close() }()
		if err := files.Clear(); err != nil {
			return err
		}
		o.Objects = files
	}
	h, err := build(ctx, o, db, news)
	if err != nil {
		return err
	}
	o.Log.Info("hub is up", "version", buildinfo.Version(), "address", o.Listener.Addr().String(), "url", o.publicURL(), "data", o.DataDir)
	return h.run(ctx)
}

// hub is the built parts.
type hub struct {
	fleet  *fleet.Fleet
	links  *links.Links
	prints *prints.Prints
	files  *archive.Archive
	door   *door
	hooks  *webhook.Webhooks
	camera *camera.Relay
	auth   *auth.Auth
	db     *store.DB
	server *http.Server
	listen net.Listener
	ending chan struct{} // closed when the way down begins
	log    *slog.Logger
}

func build(ctx context.Context, o Options, db *store.DB, news *events.Log) (*hub, error) {
	keyDir := o.DataDir
	if o.DatabaseURL != "" {
		keyDir = "" // a key on this disk would be lost to every other machine
	}
	box, err := secrets.Open(ctx, secrets.Options{Keys: o.SecretKeys, Dir: keyDir, Canary: db})
	if err != nil {
		return nil, err
	}
	h := &hub{db: db, listen: o.Listener, ending: make(chan struct{}), log: o.Log}
	h.fleet = fleet.New(fleet.Options{Store: db, OfflineAfter: o.OfflineAfter, Log: o.Log.With("part", "fleet")})
	if err := h.fleet.Load(ctx); err != nil {
		return nil, err
	}
	reg := registry.New(registry.Options{
		Store: db, Sealer: box, Live: h.fleet, Log: o.Log.With("part", "registry"),
		Seen: func(ctx context.Context, serial, address string) []int64 {
			return h.links.WhoHasSeen(ctx, serial, address)
		},
	})
	hubID, generation := db.Hub()
	h.prints = prints.New(prints.Options{
		Store: printStore{db}, Events: news, Settled: h.fleet.Settle, Wanted: func() { h.files.Wake() }, Log: o.Log.With("part", "prints"), // not before Run
	})
	if err := h.prints.Load(ctx); err != nil {
		return nil, err
	}
	h.links = links.New(links.Options{
		Store: db, Registry: reg, Live: h.fleet, Events: news, Prints: h.prints, HubID: hubID, Generation: generation, Log: o.Log.With("part", "links"),
	})
	h.files, err = archive.New(archive.Options{
		Store: db, Objects: o.Objects, Events: news, Agents: h.links, Dir: filepath.Join(o.DataDir, "staging"),
		Retention: o.Retention, MaxUpload: o.MaxUpload, SweepAfter: time.Hour, Log: o.Log.With("part", "archive"),
	})
	if err != nil {
		return nil, err
	}
	h.door = newDoor(o.S3, db, h.files, box, o.Log.With("part", "s3"))
	h.hooks = webhook.New(webhook.Options{Store: db, Events: news, Sealer: box, Config: func() webhook.Config { return webhook.Defaults }, Log: o.Log.With("part", "webhook")})
	h.camera = camera.New(h.links, o.Log.With("part", "camera"))
	h.auth = auth.New(auth.Options{Store: db, Limits: o.Limits, Log: o.Log.With("part", "auth")})
	page, err := web.New()
	if err != nil {
		return nil, err
	}
	public, err := api.New(api.Deps{
		Registry: reg, Fleet: h.fleet, Links: h.links, Cameras: h.camera, Events: news, Audit: db, Auth: h.auth,
		Prints: db, Archive: h.files, Projects: db, Current: h.prints, S3: h.door.credentials, Webhooks: h.hooks,
		Health: api.Health{Database: db.Ping, Storage: h.files.Check}, Ending: h.ending, PublicURL: o.PublicURL, Fingerprint: o.Fingerprint,
		Version: buildinfo.Version(), Web: page, Log: o.Log.With("part", "api"),
	})
	if err != nil {
		return nil, fmt.Errorf("build the API: %w", err)
	}
	if err := introduce(ctx, db, o); err != nil {
		return nil, err
	}
	h.server = &http.Server{
		Handler: doors(h.links.Handler(), public), ReadHeaderTimeout: headerTime,
		ErrorLog: slog.NewLogLogger(o.Log.With("part", "http").Handler(), slog.LevelDebug),
	}
	return h, nil
}

// doors leads agents to links and everybody else to the API. It is no ServeMux,
// which would answer paths like //x by a redirect.
func doors(agents, public http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/agent/v1/") {
			agents.ServeHTTP(w, r)
			return
		}
		public.ServeHTTP(w, r)
	})
}

// run runs the parts. The way down: no new work, agents told to come back later,
// requests finished, then the parts that write what is left to write.
func (h *hub) run(ctx context.Context) error {
	parts, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, failed := errgroup.WithContext(parts)
	for _, run := range []func(context.Context) error{h.fleet.Run, h.prints.Run, h.links.Run, h.files.Run, h.camera.Run, h.auth.Run, h.door.run, h.hooks.Run, h.prune} {
		group.Go(func() error { return run(failed) })
	}
	group.Go(func() error {
		if err := h.server.Serve(h.listen); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	h.log.Info("hub is stopping")
	h.drain(context.WithoutCancel(ctx))
	stop()
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (h *hub) drain(ctx context.Context) {
	close(h.ending)
	drain, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	h.links.Drain(drain)
	shutdown, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	var door sync.WaitGroup
	door.Go(func() {
		if err := h.door.drain(shutdown); err != nil {
			h.log.Warn("some S3 requests were cut off", "err", err)
		}
	})
	defer door.Wait()
	if err := h.server.Shutdown(shutdown); err != nil {
		h.log.Warn("some requests were cut off", "err", err)
		_ = h.server.Close()
	}
}

// keepEvents is how long the event table goes back.
const keepEvents = 30 * 24 * time.Hour

// prune drops old events, now and then.
func (h *hub) prune(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if _, err := h.db.PruneEvents(ctx, time.Now().Add(-keepEvents)); err != nil && ctx.Err() == nil {
			h.log.Error("old events not dropped, will be tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// printStore is the database as prints want it.
type printStore struct{ *store.DB }

// ApplyPrints is prints.Store's.
func (s printStore) ApplyPrints(ctx context.Context, agentID int64, epoch string, fn func(prints.Tx) error) error {
	return s.DB.ApplyPrints(ctx, agentID, epoch, func(t *store.PrintTx) error { return fn(t) })
}
