package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"strings"
	"time"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// signInWindow is how long a failed sign-in counts.
const signInWindow = 15 * time.Minute

// Origin is where a sign-in comes from.
type Origin struct {
	Address string // as net/http tells it, host:port
	Agent   string // what the browser calls itself
}

// errWrongPassword is the same for everything that can be wrong, so that nobody
// learns which names there are.
func errWrongPassword() error {
	return farm.Errorf(farm.Unauthorized, "the user name or the password is wrong")
}

// SignIn begins a session of a person and gives its token, which is kept nowhere.
// Errors are UNAUTHORIZED, a *ThrottledError, or UNAVAILABLE.
func (a *Auth) SignIn(ctx context.Context, username string, password farm.Secret, from Origin) (farm.Secret, Principal, error) {
	username = folded(username)
	u, hash, err := a.verify(ctx, username, password, "s:"+cut(username, 100), addrSubject(from.Address))
	if err != nil {
		return "", Principal{}, err
	}
	return a.begin(ctx, u, hash, from)
}

// verify finds a person by name and password, and gives the hash that it matches. The
// try counts for each subject unless it succeeds.
func (a *Auth) verify(ctx context.Context, username string, password farm.Secret, subjects ...string) (farm.User, farm.Secret, error) {
	if err := a.failed.take(a.failedSignIns(), subjects...); err != nil {
		return farm.User{}, "", err
	}
	u, hash, err := a.store.UserByName(ctx, username)
	if err != nil && !farm.Is(err, farm.NotFound) {
		a.failed.give(subjects...)
		return farm.User{}, "", closed(err, nil)
	}
	ok, err := a.hasher.matches(ctx, password, hash) // nobody of that name takes as long
	if err != nil {
		a.failed.give(subjects...)
		return farm.User{}, "", err
	}
	if !ok || u.Disabled {
		return farm.User{}, "", errWrongPassword()
	}
	a.failed.give(subjects...)
	return u, hash, nil
}

// failedSignIns is how many may fail.
func (a *Auth) failedSignIns() int {
	if n := a.config().FailedSignIns; n > 0 {
		return n
	}
	return DefaultConfig.FailedSignIns
}

// begin begins a session of a person whose password has this hash.
func (a *Auth) begin(ctx context.Context, u farm.User, hash farm.Secret, from Origin) (farm.Secret, Principal, error) {
	plain, now := token(), time.Now()
	host, _, err := net.SplitHostPort(from.Address)
	if err != nil {
		host = from.Address
	}
	s, err := a.store.CreateSession(ctx, farm.Session{
		UserID: u.ID, Hash: sha256.Sum256([]byte(plain)), CreatedAt: now, Address: host, Agent: cut(from.Agent, 200),
	}, hash)
	if farm.Is(err, farm.NotFound) { // disabled, removed or with another password since a moment ago
		return "", Principal{}, errWrongPassword()
	}
	if err != nil {
		return "", Principal{}, err
	}
	c := a.config()
	p := person(u, c)
	p.session, p.key.ExpiresAt = s, s.CreatedAt.Add(orDuration(c.Absolute, DefaultConfig.Absolute))
	return farm.Secret(plain), p, nil
}

// SignOut ends the caller's session.
func (a *Auth) SignOut(ctx context.Context, p Principal) error {
	return a.EndSession(ctx, p, p.session.ID)
}

// Sessions lists where the caller is signed in.
func (a *Auth) Sessions(ctx context.Context, p Principal) ([]farm.Session, error) {
	all, err := a.store.Sessions(ctx, p.user.ID)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range all {
		if used := a.usedSess[all[i].ID]; used.After(all[i].SeenAt) {
			all[i].SeenAt = used
		}
	}
	return all, nil
}

// EndSession ends one of the caller's sessions.
func (a *Auth) EndSession(ctx context.Context, p Principal, id int64) error {
	defer a.tellChange()
	return a.store.DeleteSession(ctx, p.user.ID, id)
}

// ChangePassword gives the caller another password and ends all other sessions. The
// current one must be right: a session somebody left open is not enough.
func (a *Auth) ChangePassword(ctx context.Context, p Principal, current, password farm.Secret) error {
	_, hash, err := a.verify(ctx, p.user.Username, current, "s:"+p.user.Username)
	if farm.Is(err, farm.Unauthorized) {
		return farm.Errorf(farm.Forbidden, "current_password: is wrong")
	}
	if err != nil {
		return err
	}
	return a.setPassword(ctx, p.user, "new_password", password, hash, p.session.ID)
}

// OpenSetup gives the token that lets whoever has it make the first person, or none
// when there is one already. There is one such token at a time; it lives until then,
// or until the hub ends.
func (a *Auth) OpenSetup(ctx context.Context) (farm.Secret, error) {
	has, err := a.store.HasUsers(ctx)
	if err != nil || has {
		return "", err
	}
	plain := token()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setup = sha256.Sum256([]byte(plain))
	return farm.Secret(plain), nil
}

// NeedsSetup tells whether nobody may sign in yet.
func (a *Auth) NeedsSetup(ctx context.Context) (bool, error) {
	has, err := a.store.HasUsers(ctx)
	return !has, err
}

// SetUp makes the first person, an administrator of all sites, and signs them in.
func (a *Auth) SetUp(ctx context.Context, given farm.Secret, n NewUser, from Origin) (farm.Secret, Principal, error) {
	subject := "setup:" + addrSubject(from.Address)
	if err := a.failed.take(a.failedSignIns(), subject); err != nil {
		return "", Principal{}, err
	}
	sum := sha256.Sum256([]byte(given.Reveal()))
	a.mu.Lock()
	right := a.setup != [32]byte{} && subtle.ConstantTimeCompare(sum[:], a.setup[:]) == 1
	a.mu.Unlock()
	if !right {
		return "", Principal{}, farm.Errorf(farm.Forbidden, "token: is not the one of the setup link; the hub's log has it, anew at each start until somebody has set it up")
	}
	a.failed.give(subject)
	n.Role, n.Sites = farm.Administrator, nil
	u, hash, err := a.createUser(ctx, n, true)
	if err != nil {
		return "", Principal{}, err
	}
	a.mu.Lock()
	a.setup = [32]byte{}
	a.mu.Unlock()
	return a.begin(ctx, u, hash, from)
}

// cut shortens foreign text to a number of bytes, and leaves it valid.
func cut(s string, n int) string {
	if s = strings.ToValidUTF8(s, "�"); len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
