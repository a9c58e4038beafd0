// Package registry is the farm as people configure it: sites, agents and
// printers, and which agent holds which printer. It checks what comes in, seals
// access codes, and turns an agent's share into the config that is pushed to it.
package registry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"sync"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// EnrolmentLife is how long an enrolment token may be used.
const EnrolmentLife = 15 * time.Minute

// Sealer seals access codes at rest.
type Sealer interface {
	Seal(place string, value farm.Secret) []byte
	Open(place string, sealed []byte) (farm.Secret, error)
}

// Live is the live picture, told at once so that a printer is in it when the
// answer to its registration goes out.
type Live interface {
	Put(p farm.Printer)
	Remove(printerID int64)
	PutAgent(a farm.Agent)
	RemoveAgent(agentID int64)
	InPrint(printerID int64) bool
	AgentConnected(agentID int64) bool
}

// Options are the parts of a Registry.
type Options struct {
	Store  Store
	Sealer Sealer
	Live   Live
	// Seen asks which agents have seen a printer on their network, by its serial
	// number or its address. It may take a moment. nil: nobody knows.
	Seen func(ctx context.Context, serial, address string) []int64
	Log  *slog.Logger
}

// Registry is what people configure. Its methods may be called concurrently.
type Registry struct {
	// mu makes a change of agents or printers one step: what it read still holds
	// when it writes, and the live picture is told in the order of the rows.
	mu     sync.Mutex
	store  Store
	sealer Sealer
	live   Live
	seen   func(ctx context.Context, serial, address string) []int64
	log    *slog.Logger
}

// New makes a Registry.
func New(o Options) *Registry {
	return &Registry{store: o.Store, sealer: o.Sealer, live: o.Live, seen: o.Seen, log: o.Log}
}

// Sites gives all sites by id.
func (r *Registry) Sites(ctx context.Context) ([]farm.Site, error) { return r.store.Sites(ctx) }

// Site gives one site.
func (r *Registry) Site(ctx context.Context, id int64) (farm.Site, error) {
	return r.store.Site(ctx, id)
}

// AddSite makes a site; CONFLICT when the name is taken.
func (r *Registry) AddSite(ctx context.Context, name string) (farm.Site, error) {
	name, err := checkName("name", name)
	if err != nil {
		return farm.Site{}, err
	}
	return r.store.CreateSite(ctx, name)
}

// RenameSite gives a site another name.
func (r *Registry) RenameSite(ctx context.Context, id int64, name string) (farm.Site, error) {
	name, err := checkName("name", name)
	if err != nil {
		return farm.Site{}, err
	}
	return r.store.RenameSite(ctx, id, name)
}

// RemoveSite removes an empty site.
func (r *Registry) RemoveSite(ctx context.Context, id int64) error {
	return r.store.DeleteSite(ctx, id)
}

// AgentChange is what may change of an agent; nil is unchanged.
type AgentChange struct {
	Name   *string
	SiteID *int64
}

// Agents gives all agents by id.
func (r *Registry) Agents(ctx context.Context) ([]farm.Agent, error) { return r.store.Agents(ctx) }

// Agent gives one agent.
func (r *Registry) Agent(ctx context.Context, id int64) (farm.Agent, error) {
	return r.store.Agent(ctx, id)
}

// ChangeAgent renames an agent or moves it, with its printers, to another site.
func (r *Registry) ChangeAgent(ctx context.Context, id int64, c AgentChange) (farm.Agent, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, err := r.store.Agent(ctx, id)
	if err != nil {
		return a, err
	}
	if c.Name != nil {
		if a.Name, err = checkName("name", *c.Name); err != nil {
			return a, err
		}
	}
	if c.SiteID != nil {
		if err := r.siteThere(ctx, *c.SiteID); err != nil {
			return a, err
		}
		a.SiteID = *c.SiteID
	}
	if a, err = r.store.UpdateAgent(ctx, a); err != nil {
		return a, err
	}
	r.live.PutAgent(a)
	return a, r.refresh(ctx, id)
}

// RevokeAgent ends an agent's right to connect.
func (r *Registry) RevokeAgent(ctx context.Context, id int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.store.RevokeAgent(ctx, id)
	return err
}

// RemoveAgent removes an agent; CONFLICT while it holds printers and is not revoked.
func (r *Registry) RemoveAgent(ctx context.Context, id int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	held, err := r.heldBy(ctx, id)
	if err != nil {
		return err
	}
	if err := r.store.DeleteAgent(ctx, id); err != nil {
		return err
	}
	r.live.RemoveAgent(id)
	for _, p := range held {
		p.AgentID = 0
		r.live.Put(p)
	}
	return nil
}

// RedeemEnrolment uses up an enrolment by the SHA-256 of its secret and makes the
// agent, which adopts printers that have none.
func (r *Registry) RedeemEnrolment(ctx context.Context, secretHash [32]byte, a farm.Agent) (farm.Agent, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, err := r.store.RedeemEnrolment(ctx, secretHash, a)
	if err != nil {
		return a, err
	}
	r.live.PutAgent(a)
	return a, r.refresh(ctx, a.ID)
}

// refresh gives the live picture an agent's printers as they are now.
func (r *Registry) refresh(ctx context.Context, agentID int64) error {
	held, err := r.heldBy(ctx, agentID)
	if err != nil {
		return err
	}
	for _, p := range held {
		r.live.Put(p)
	}
	return nil
}

func (r *Registry) heldBy(ctx context.Context, agentID int64) (held []farm.Printer, err error) {
	all, err := r.store.Printers(ctx)
	for _, p := range all {
		if p.AgentID == agentID {
			held = append(held, p)
		}
	}
	return held, err
}

// NewEnrolment makes a permission to enrol one agent at a site (0: the default
// site) and the token to paste there. Only the hash of its secret is kept.
func (r *Registry) NewEnrolment(ctx context.Context, siteID int64, hubURL, fingerprint string) (farm.Secret, farm.Enrolment, error) {
	if siteID == 0 {
		siteID = farm.DefaultSiteID
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	secret := base64.RawURLEncoding.EncodeToString(raw)
	token := wire.Token{URL: hubURL, Secret: secret, Fingerprint: fingerprint}.Encode()
	if _, err := wire.ParseToken(token.Reveal()); err != nil {
		return "", farm.Enrolment{}, err // better here than at the agent
	}
	now := time.Now()
	e, err := r.store.CreateEnrolment(ctx, farm.Enrolment{
		SiteID: siteID, SecretHash: sha256.Sum256([]byte(secret)), CreatedAt: now, ExpiresAt: now.Add(EnrolmentLife),
	})
	if err != nil {
		return "", e, err
	}
	return token, e, nil
}

// Enrolments gives the permissions that can still be used.
func (r *Registry) Enrolments(ctx context.Context) ([]farm.Enrolment, error) {
	return r.store.Enrolments(ctx)
}

// DeleteEnrolment takes a permission back.
func (r *Registry) DeleteEnrolment(ctx context.Context, id int64) error {
	return r.store.DeleteEnrolment(ctx, id)
}
