package auth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"bambuddy/shared/farm"
)

// Store is what auth needs of the database. KeyByHash and Key answer a missing
// row with farm.NotFound; every other error closes the door.
type Store interface {
	CreateKey(ctx context.Context, k farm.APIKey) (farm.APIKey, error)
	Keys(ctx context.Context) ([]farm.APIKey, error)
	Key(ctx context.Context, id int64) (farm.APIKey, error)
	KeyByHash(ctx context.Context, hash [32]byte) (farm.APIKey, error)
	UpdateKey(ctx context.Context, k farm.APIKey) error
	DeleteKey(ctx context.Context, id int64) error
	TouchKeys(ctx context.Context, used map[int64]time.Time) error
}

// Options are the parts and settings of an Auth.
type Options struct {
	Store Store
	Log   *slog.Logger
	// Limits are the requests a minute of whoever has none of their own; a 0
	// in it means the contract's default.
	Limits farm.Limits
}

// Auth knows the API keys. All its methods may be called at the same time.
type Auth struct {
	store   Store
	log     *slog.Logger
	limits  farm.Limits
	limiter *Limiter

	mu      sync.Mutex
	used    map[int64]time.Time // last use of each key, not yet written
	changed chan struct{}       // closed, and replaced, when a key changes or ends
}

// New makes an Auth. It starts nothing: Run writes the times of last use.
func New(o Options) *Auth {
	return &Auth{
		store: o.Store, log: o.Log, limits: orDefault(o.Limits, DefaultLimits),
		limiter: NewLimiter(), used: map[int64]time.Time{}, changed: make(chan struct{}),
	}
}

// Authenticate finds the caller by the key in a request's headers: X-API-Key, or
// Authorization: Bearer. Errors are UNAUTHORIZED, or UNAVAILABLE when the
// database did not answer.
func (a *Auth) Authenticate(ctx context.Context, h http.Header) (Principal, error) {
	given := credential(h)
	if given == "" {
		return Principal{}, farm.Errorf(farm.Unauthorized, "an API key is needed: send it in the X-API-Key header")
	}
	if !wellFormed(given) { // never an own question to the database for what cannot be a key
		return Principal{}, errWrongKey()
	}
	k, err := a.lookUp(ctx, sha256.Sum256([]byte(given)))
	if err != nil {
		return Principal{}, err
	}
	a.mu.Lock()
	a.used[k.ID] = time.Now()
	a.mu.Unlock()
	return Principal{key: k, defaults: a.limits}, nil
}

// Recheck tells whether a caller found earlier still stands, with the same
// permissions and scope. Long streams ask it; the errors are those of
// Authenticate.
func (a *Auth) Recheck(ctx context.Context, p Principal) error {
	now, err := a.lookUp(ctx, p.key.Hash)
	if err != nil {
		return err
	}
	was := p.key
	if !reflect.DeepEqual(now.Permissions, was.Permissions) || !reflect.DeepEqual(now.Printers, was.Printers) ||
		!reflect.DeepEqual(now.Sites, was.Sites) {
		return farm.Errorf(farm.Unauthorized, "what this API key may do has changed")
	}
	return nil
}

// Changed is closed at the next change or end of any key. Take it before what is
// to be checked, so that no change falls in between.
func (a *Auth) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// tellChange wakes everybody who holds a channel of Changed.
func (a *Auth) tellChange() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *Auth) lookUp(ctx context.Context, hash [32]byte) (farm.APIKey, error) {
	k, err := a.store.KeyByHash(ctx, hash)
	switch {
	case farm.Is(err, farm.NotFound):
		return farm.APIKey{}, errWrongKey()
	case err != nil:
		return farm.APIKey{}, farm.Wrap(farm.Unavailable, err, "the key could not be checked; try again")
	case !k.ExpiresAt.IsZero() && !time.Now().Before(k.ExpiresAt):
		return farm.APIKey{}, farm.Errorf(farm.Unauthorized, "this API key has expired")
	}
	return k, nil
}

func errWrongKey() error { return farm.Errorf(farm.Unauthorized, "this API key is not valid") }

func credential(h http.Header) string {
	if k := strings.TrimSpace(h.Get("X-API-Key")); k != "" {
		return k
	}
	scheme, rest, ok := strings.Cut(h.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest)
	}
	return ""
}

// flushEvery is how long a key's last use may be unwritten.
const flushEvery = 15 * time.Second

// Run writes the times of last use in batches until ctx ends, and once more then.
func (a *Auth) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := a.flush(last); err != nil {
				a.log.Error("last use of API keys not written", "err", err)
			}
			return nil
		case <-tick.C:
			if err := a.flush(ctx); err != nil {
				a.log.Warn("last use of API keys not written, will be tried again", "err", err)
			}
		}
	}
}

func (a *Auth) flush(ctx context.Context) error {
	a.mu.Lock()
	used := a.used
	a.used = map[int64]time.Time{}
	a.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	err := a.store.TouchKeys(ctx, used)
	if err == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range used {
		if at.After(a.used[id]) {
			a.used[id] = at
		}
	}
	return fmt.Errorf("write the last use of %d API keys: %w", len(used), err)
}
