// Package app builds the parts of one hub, in order, and runs them.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
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
	"bambuddy/hub/internal/proxy"
	"bambuddy/hub/internal/registry"
	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/settings"
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

// headerTime bounds how long a request's header may take, and maxHeader how long it may
// be; idleTime is how long a connection may wait for its next request. There is no bound
// on bodies here: a link to an agent and an event stream have no end.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 64 << 10
)

// Options are what a hub needs from outside. Tests give their own listener.
type Options struct {
	DataDir     string        // made if it is missing
	DatabaseURL farm.Secret   // postgres://…; empty: SQLite in DataDir
	SecretKeys  []farm.Secret // the first seals; none: a key file in DataDir, SQLite only
	Listener    net.Listener  // closed when Run returns
	// PublicURL is the hub's address as agents reach it; empty: what the
	// listener says. Fingerprint is the SHA-256 of its own certificate, if any.
	PublicURL   string
	Fingerprint string
	// TrustedProxies are those whose word counts on whom they speak for.
	TrustedProxies []netip.Prefix
	// Limits (requests a minute) and OfflineAfter are what these settings are before
	// somebody changes them; 0: their defaults.
	Limits       farm.Limits
	OfflineAfter time.Duration

	Objects   blob.Store        // where archives keep their files; nil: the folder objects in DataDir
	Retention archive.Retention // how long archives are kept; zero: for ever
	MaxUpload int64             // bytes of an uploaded 3MF; 0: 1 GiB
	S3        S3                // the door for S3 tools

	Log *slog.Logger
}

// ParseProxies reads the ranges of addresses of trusted proxies.
func ParseProxies(ranges []string) ([]netip.Prefix, error) { return proxy.Parse(ranges) }

// initial changes settings that nobody has set.
func (o Options) initial(v *settings.Values) {
	for _, n := range []struct {
		given int
		value *int
	}{
		{o.Limits.Read, &v.Limits.Read},
		{o.Limits.Write, &v.Limits.Write},
		{o.Limits.Control, &v.Limits.Control},
		{int(math.Ceil(o.OfflineAfter.Seconds())), &v.PrinterOfflineSeconds},
	} {
		if n.given > 0 {
			*n.value = n.given
		}
	}
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
	if err := h.offerSetup(ctx, o); err != nil {
		return err
	}
	o.Log.Info("hub is up", "version", buildinfo.Version(), "address", o.Listener.Addr().String(), "url", o.publicURL(), "data", o.DataDir)
	return h.run(ctx)
}

// hub is the built parts.
type hub struct {
	fleet    *fleet.Fleet
	links    *links.Links
	prints   *prints.Prints
	files    *archive.Archive
	door     *door
	hooks    *webhook.Webhooks
	camera   *camera.Relay
	auth     *auth.Auth
	settings *settings.Settings
	db       *store.DB
	server   *http.Server
	listen   net.Listener
	ending   chan struct{} // closed when the way down begins
	log      *slog.Logger
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
	h.settings = settings.New(settings.Options{Store: db, Overrides: o.initial, Log: o.Log.With("part", "settings")})
	if err := h.settings.Load(ctx); err != nil {
		return nil, err
	}
	prices := func() farm.Prices { return h.settings.Values().Prices() }
	h.fleet = fleet.New(fleet.Options{
		Store: db, OfflineAfter: func() time.Duration { return h.settings.Values().OfflineAfter() }, Log: o.Log.With("part", "fleet"),
	})
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
		Store: printStore{db}, Events: news, Settled: h.fleet.Settle, Wanted: func() { h.files.Wake() }, // not before Run
		Milestones: func() []int { return h.settings.Values().Milestones }, Prices: prices, Log: o.Log.With("part", "prints"),
	})
	if err := h.prints.Load(ctx); err != nil {
		return nil, err
	}
	h.links = links.New(links.Options{
		Store: db, Registry: reg, Live: h.fleet, Events: news, Prints: h.prints, HubID: hubID, Generation: generation, Log: o.Log.With("part", "links"),
	})
	h.files, err = archive.New(archive.Options{
		Store: db, Objects: o.Objects, Events: news, Agents: h.links, Dir: filepath.Join(o.DataDir, "staging"),
		Retention: o.Retention, MaxUpload: o.MaxUpload, Prices: prices, SweepAfter: time.Hour, Log: o.Log.With("part", "archive"),
	})
	if err != nil {
		return nil, err
	}
	h.door = newDoor(o.S3, db, h.files, box, o.Log.With("part", "s3"))
	h.hooks = webhook.New(webhook.Options{Store: db, Events: news, Sealer: box, Config: func() webhook.Config { return webhookConfig(h.settings.Values().Webhooks) }, Log: o.Log.With("part", "webhook")})
	h.camera = camera.New(h.links, o.Log.With("part", "camera"))
	h.auth = auth.New(auth.Options{Store: db, Config: func() auth.Config { return authConfig(h.settings.Values()) }, Log: o.Log.With("part", "auth")})
	page, err := web.New()
	if err != nil {
		return nil, err
	}
	public, err := api.New(api.Deps{
		Registry: reg, Fleet: h.fleet, Links: h.links, Cameras: h.camera, Events: news, Audit: db, Auth: h.auth,
		Prints: db, Archive: h.files, Projects: db, Current: h.prints, S3: h.door.credentials, Webhooks: h.hooks, Settings: h.settings,
		Health: api.Health{Database: db.Ping, Storage: h.files.Check}, Ending: h.ending, PublicURL: o.PublicURL, Fingerprint: o.Fingerprint,
		Version: buildinfo.Version(), Web: page, Staging: filepath.Join(o.DataDir, "staging"), Log: o.Log.With("part", "api"),
	})
	if err != nil {
		return nil, fmt.Errorf("build the API: %w", err)
	}
	if err := introduce(ctx, db, o); err != nil {
		return nil, err
	}
	h.server = &http.Server{
		Handler:           proxy.Trust(o.TrustedProxies)(doors(h.links.Handler(), public)),
		ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(o.Log.With("part", "http").Handler(), slog.LevelDebug),
	}
	return h, nil
}

// offerSetup tells how to make the first person while there is none. It is the one
// secret the log ever holds: who reads it could read the database as well.
func (h *hub) offerSetup(ctx context.Context, o Options) error {
	token, err := h.auth.OpenSetup(ctx)
	if err == nil && token != "" {
		o.Log.Warn("nobody can sign in yet: open this link once, to make the administrator", "link", o.publicURL()+"/setup#"+token.Reveal())
	}
	return err
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
	for _, run := range []func(context.Context) error{h.settings.Run, h.fleet.Run, h.prints.Run, h.links.Run, h.files.Run, h.camera.Run, h.auth.Run, h.door.run, h.hooks.Run, h.prune} {
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

// prune drops old events and audit, now and then, and when the settings say otherwise.
func (h *hub) prune(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		changed := h.settings.Changed()
		if _, err := h.db.PruneEvents(ctx, time.Now().Add(-h.settings.Values().EventsKeep())); err != nil && ctx.Err() == nil {
			h.log.Error("old events not dropped, will be tried again", "err", err)
		}
		if keep := h.settings.Values().AuditKeep(); keep > 0 {
			if _, err := h.db.PruneAudit(ctx, time.Now().Add(-keep)); err != nil && ctx.Err() == nil {
				h.log.Error("old audit not dropped, will be tried again", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
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

// authConfig is what of the settings is auth's.
func authConfig(v settings.Values) auth.Config {
	c := auth.DefaultConfig
	c.Limits, c.SessionLimit = v.Limits.Keys(), v.Limits.Session
	c.Idle, c.Absolute, c.FailedSignIns = v.Sessions.Idle(), v.Sessions.Absolute(), v.Sessions.FailedSignIns
	return c
}

// webhookConfig is what of the settings is webhook's.
func webhookConfig(v settings.WebhookSettings) webhook.Config {
	return webhook.Config{
		AllowPrivate: v.AllowPrivate, RetryFor: time.Duration(v.RetryHours) * time.Hour,
		DisableAfter: time.Duration(v.DisableAfterHours) * time.Hour, KeepFor: time.Duration(v.KeepDays) * 24 * time.Hour,
	}
}
