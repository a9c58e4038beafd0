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

// Store is what auth needs of the database. What is not there is farm.NotFound;
// every other error closes the door.
type Store interface {
	CreateKey(ctx context.Context, k farm.APIKey) (farm.APIKey, error)
	Keys(ctx context.Context) ([]farm.APIKey, error)
	Key(ctx context.Context, id int64) (farm.APIKey, error)
	KeyByHash(ctx context.Context, hash [32]byte) (farm.APIKey, error)
	UpdateKey(ctx context.Context, k farm.APIKey) error
	ReplaceKey(ctx context.Context, id int64, prefix string, hash [32]byte) (farm.APIKey, error)
	DeleteKey(ctx context.Context, id int64) error
	TouchKeys(ctx context.Context, used map[int64]time.Time) error
	People
}

// People are those who may sign in, and their sessions.
type People interface {
	HasUsers(ctx context.Context) (bool, error)
	Users(ctx context.Context) ([]farm.User, error)
	User(ctx context.Context, id int64) (farm.User, error)
	// UserByName gives the hash of the password with the person.
	UserByName(ctx context.Context, username string) (farm.User, farm.Secret, error)
	// CreateUser with first is a CONFLICT when there is anybody already.
	CreateUser(ctx context.Context, u farm.User, password farm.Secret, first bool) (farm.User, error)
	// UpdateUser and DeleteUser are a CONFLICT when they would leave no
	// administrator of all sites.
	UpdateUser(ctx context.Context, u farm.User) (farm.User, error)
	DeleteUser(ctx context.Context, id int64) error
	// SetPassword ends all sessions but one (0: all). It is a CONFLICT when the password
	// is not what it was to be any more ("": whatever it was).
	SetPassword(ctx context.Context, userID int64, password, was farm.Secret, keep int64, at time.Time) error

	// CreateSession is NOT_FOUND when the person is disabled, or has another password
	// by now.
	CreateSession(ctx context.Context, s farm.Session, password farm.Secret) (farm.Session, error)
	Session(ctx context.Context, userID, id int64) (farm.Session, error)
	SessionByHash(ctx context.Context, hash [32]byte) (farm.Session, error)
	Sessions(ctx context.Context, userID int64) ([]farm.Session, error)
	DeleteSession(ctx context.Context, userID, id int64) error
	TouchSessions(ctx context.Context, used map[int64]time.Time) error
	PruneSessions(ctx context.Context, begunBefore, usedBefore time.Time) error
}

// Config are the settings that may change while the hub runs. A 0 means the
// default's.
type Config struct {
	Limits        farm.Limits   // requests a minute of a key that has none of its own
	SessionLimit  int           // requests a minute of a session, in each class
	Idle          time.Duration // a session ends that was not used for so long
	Absolute      time.Duration // a session ends so long after the sign-in
	FailedSignIns int           // of one account, and of one address, in 15 minutes
}

// DefaultConfig is the contract's.
var DefaultConfig = Config{Limits: DefaultLimits, SessionLimit: 6000, Idle: 7 * 24 * time.Hour, Absolute: 30 * 24 * time.Hour, FailedSignIns: 10}

// Options are the parts and settings of an Auth.
type Options struct {
	Store  Store
	Log    *slog.Logger
	Config func() Config // nil: DefaultConfig
}

// Auth knows people and API keys. All its methods may be called at the same time.
type Auth struct {
	store    Store
	log      *slog.Logger
	config   func() Config
	requests *limiter
	failed   *tries
	hasher   *hasher
	linkKey  [32]byte // signs media links; a new one each start, they live for minutes

	mu       sync.Mutex
	setup    [32]byte // hash of the token that makes the first person; zero: none
	known    map[[32]byte]found
	used     map[int64]time.Time // last use of each key, not yet written
	usedSess map[int64]time.Time // the same of sessions
	changed  chan struct{}       // closed, and replaced, when somebody or a key changes or ends
}

// New makes an Auth. It starts nothing: Run writes the times of last use.
func New(o Options) *Auth {
	if o.Config == nil {
		o.Config = func() Config { return DefaultConfig }
	}
	return &Auth{
		store: o.Store, log: o.Log, config: o.Config,
		requests: newLimiter(time.Minute, false), failed: newTries(signInWindow), hasher: newHasher(),
		linkKey: sha256.Sum256([]byte(token())), known: map[[32]byte]found{},
		used: map[int64]time.Time{}, usedSess: map[int64]time.Time{}, changed: make(chan struct{}),
	}
}

// found is a caller found by a key or a session's token. It is believed for a
// second, so that the database is not asked for each request of a busy caller.
type found struct {
	who Principal
	at  time.Time
}

const (
	believeFor = time.Second
	maxKnown   = 10_000
)

// Authenticate finds the caller by the headers of a request: X-API-Key, or
// Authorization: Bearer, or else the cookie of a session. Errors are UNAUTHORIZED,
// or UNAVAILABLE when the database did not answer.
func (a *Auth) Authenticate(ctx context.Context, h http.Header) (Principal, error) {
	given, isKey := credential(h)
	switch {
	case given == "":
		return Principal{}, farm.Errorf(farm.Unauthorized, "sign in, or send an API key in the X-API-Key header")
	case isKey && !wellFormed(given): // never an own question to the database for what cannot be a key
		return Principal{}, errWrongKey()
	case !isKey && !isToken(given):
		return Principal{}, errNoSession()
	}
	p, err := a.find(ctx, sha256.Sum256([]byte(given)), isKey)
	if err != nil {
		return Principal{}, err
	}
	a.use(p)
	return p, nil
}

// find gives the caller a credential stands for, from memory or the database.
func (a *Auth) find(ctx context.Context, hash [32]byte, isKey bool) (Principal, error) {
	now := time.Now()
	a.mu.Lock()
	f, ok := a.known[hash]
	changed := a.changed
	a.mu.Unlock()
	if ok && now.Sub(f.at) < believeFor && f.who.stands(now) && (f.who.session.ID == 0) == isKey {
		return f.who, nil
	}
	p, err := a.lookUp(ctx, hash, isKey)
	if err != nil {
		return Principal{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == changed { // else it may have been read before that
		if len(a.known) >= maxKnown {
			clear(a.known)
		}
		a.known[hash] = found{p, now}
	}
	return p, nil
}

func (a *Auth) lookUp(ctx context.Context, hash [32]byte, isKey bool) (Principal, error) {
	if !isKey {
		return a.ofSession(ctx, hash)
	}
	k, err := a.store.KeyByHash(ctx, hash)
	if err != nil {
		return Principal{}, closed(err, errWrongKey())
	}
	return a.ofKey(ctx, k)
}

// closed is the error of a lookup: what is not there is refused, and what cannot be
// looked up as well.
func closed(err, refusal error) error {
	if farm.Is(err, farm.NotFound) {
		return refusal
	}
	return farm.Wrap(farm.Unavailable, err, "it could not be checked who you are; try again")
}

// ofKey is the caller of a key: what it carries, but never more than its owner.
func (a *Auth) ofKey(ctx context.Context, k farm.APIKey) (Principal, error) {
	p := Principal{key: k, defaults: orDefault(a.config().Limits, DefaultLimits)}
	if k.OwnerID != 0 {
		owner, err := a.store.User(ctx, k.OwnerID)
		if err != nil {
			return Principal{}, closed(err, errWrongKey())
		}
		if owner.Disabled {
			return Principal{}, errWrongKey()
		}
		p.user, p.key = owner, narrowed(k, owner)
	}
	if !p.stands(time.Now()) {
		return Principal{}, farm.Errorf(farm.Unauthorized, "this API key has expired")
	}
	return p, nil
}

// ofSession is the caller of a session.
func (a *Auth) ofSession(ctx context.Context, hash [32]byte) (Principal, error) {
	s, err := a.store.SessionByHash(ctx, hash)
	if err != nil {
		return Principal{}, closed(err, errNoSession())
	}
	return a.signedIn(ctx, s)
}

// signedIn is the caller of a session that is there, if its time has not run out.
func (a *Auth) signedIn(ctx context.Context, s farm.Session) (Principal, error) {
	u, err := a.store.User(ctx, s.UserID)
	if err != nil {
		return Principal{}, closed(err, errNoSession())
	}
	now, c := time.Now(), a.config()
	a.mu.Lock()
	if used := a.usedSess[s.ID]; used.After(s.SeenAt) {
		s.SeenAt = used
	}
	a.mu.Unlock()
	if u.Disabled || now.Sub(s.SeenAt) >= orDuration(c.Idle, DefaultConfig.Idle) {
		return Principal{}, errNoSession()
	}
	p := person(u, c)
	p.session, p.key.ExpiresAt = s, s.CreatedAt.Add(orDuration(c.Absolute, DefaultConfig.Absolute))
	if !p.stands(now) {
		return Principal{}, errNoSession()
	}
	return p, nil
}

func orDuration(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// use notes that a caller was here just now.
func (a *Auth) use(p Principal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.session.ID != 0 {
		a.usedSess[p.session.ID] = time.Now()
		return
	}
	a.used[p.key.ID] = time.Now()
}

// Recheck tells whether a caller found earlier still stands, with the same
// permissions and scope. Long streams ask it; the errors are those of
// Authenticate. A stream that is open is a use of its session.
func (a *Auth) Recheck(ctx context.Context, p Principal) error {
	now, err := a.again(ctx, p)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(now.key.Permissions, p.key.Permissions) || !reflect.DeepEqual(now.key.Printers, p.key.Printers) ||
		!reflect.DeepEqual(now.key.Sites, p.key.Sites) {
		return farm.Errorf(farm.Unauthorized, "what you may do has changed")
	}
	a.use(now)
	return nil
}

// again finds a caller anew.
func (a *Auth) again(ctx context.Context, p Principal) (Principal, error) {
	if p.session.ID != 0 {
		return a.lookUp(ctx, p.session.Hash, false)
	}
	return a.lookUp(ctx, p.key.Hash, true)
}

// Changed is closed at the next change or end of any key, session or person. Take it
// before what is to be checked, so that no change falls in between.
func (a *Auth) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// tellChange wakes everybody who holds a channel of Changed, and believes nobody any
// longer.
func (a *Auth) tellChange() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.known)
	close(a.changed)
	a.changed = make(chan struct{})
}

func errWrongKey() error { return farm.Errorf(farm.Unauthorized, "this API key is not valid") }

func errNoSession() error {
	return farm.Errorf(farm.Unauthorized, "this session has ended: sign in again")
}

// SessionCookie is the name of the cookie that holds a session's token.
const SessionCookie = "bambuddy_session"

// credential is the key of a request, or else the token of its session. A key, even a
// wrong one, goes before the cookie.
func credential(h http.Header) (given string, isKey bool) {
	if k := strings.TrimSpace(h.Get("X-API-Key")); k != "" {
		return k, true
	}
	scheme, rest, ok := strings.Cut(h.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest), true
	}
	c, err := (&http.Request{Header: h}).Cookie(SessionCookie)
	if err != nil {
		return "", false
	}
	return c.Value, false
}

const (
	flushEvery = 15 * time.Second // how long a last use may be unwritten
	pruneEvery = time.Hour
)

// Run writes the times of last use in batches until ctx ends, and once more then. It
// also drops sessions that have ended.
func (a *Auth) Run(ctx context.Context) error {
	if _, err := a.hasher.blank(); err != nil { // made now, or the first wrong name would take longer than others
		return err
	}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := a.flush(last); err != nil {
				a.log.Error("last use of keys and sessions not written", "err", err)
			}
			return nil
		case <-tick.C:
			if err := a.flush(ctx); err != nil {
				a.log.Warn("last use of keys and sessions not written, will be tried again", "err", err)
			}
		case <-prune.C:
			now, c := time.Now(), a.config()
			err := a.store.PruneSessions(ctx, now.Add(-orDuration(c.Absolute, DefaultConfig.Absolute)), now.Add(-orDuration(c.Idle, DefaultConfig.Idle)))
			if err != nil && ctx.Err() == nil {
				a.log.Warn("ended sessions not dropped, will be tried again", "err", err)
			}
		}
	}
}

func (a *Auth) flush(ctx context.Context) error {
	if err := a.flushOne(ctx, &a.used, a.store.TouchKeys); err != nil {
		return fmt.Errorf("write the last use of API keys: %w", err)
	}
	if err := a.flushOne(ctx, &a.usedSess, a.store.TouchSessions); err != nil {
		return fmt.Errorf("write the last use of sessions: %w", err)
	}
	return nil
}

func (a *Auth) flushOne(ctx context.Context, from *map[int64]time.Time, write func(context.Context, map[int64]time.Time) error) error {
	a.mu.Lock()
	used := *from
	*from = map[int64]time.Time{}
	a.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	err := write(ctx, used)
	if err == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range used {
		if at.After((*from)[id]) {
			(*from)[id] = at
		}
	}
	return err
}
