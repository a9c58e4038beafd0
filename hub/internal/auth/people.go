package auth

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// NewUser is what a person is to be. Nil sites mean all, empty ones none.
type NewUser struct {
	Username string
	Name     string
	Role     farm.Role
	Sites    []int64
	Password farm.Secret
}

// UserChange is what is to change of a person; nil leaves a field as it is. A pointer
// to a nil list means all sites.
type UserChange struct {
	Username *string
	Name     *string
	Role     *farm.Role
	Sites    *[]int64
	Disabled *bool
}

// CreateUser makes a person who may sign in at once.
func (a *Auth) CreateUser(ctx context.Context, n NewUser) (farm.User, error) {
	u, _, err := a.createUser(ctx, n, false)
	return u, err
}

// createUser gives the hash of the password as well.
func (a *Auth) createUser(ctx context.Context, n NewUser, first bool) (farm.User, farm.Secret, error) {
	now := time.Now()
	u := farm.User{Username: folded(n.Username), Name: strings.TrimSpace(n.Name), Role: n.Role, Sites: n.Sites, CreatedAt: now, UpdatedAt: now}
	if err := checkUser(u); err != nil {
		return farm.User{}, "", err
	}
	hash, err := a.hasher.make(ctx, "password", n.Password, u.Username)
	if err != nil {
		return farm.User{}, "", err
	}
	u, err = a.store.CreateUser(ctx, u, hash, first)
	return u, hash, err
}

// Users lists all people.
func (a *Auth) Users(ctx context.Context) ([]farm.User, error) { return a.store.Users(ctx) }

// User gives one person.
func (a *Auth) User(ctx context.Context, id int64) (farm.User, error) { return a.store.User(ctx, id) }

// UserNamed finds a person by the name they sign in with.
func (a *Auth) UserNamed(ctx context.Context, username string) (farm.User, error) {
	u, _, err := a.store.UserByName(ctx, folded(username))
	return u, err
}

// To gives a person with the change laid over, checked but not written: the caller
// may first want to know what it would become.
func (c UserChange) To(u farm.User) (farm.User, error) {
	if c.Username != nil {
		u.Username = folded(*c.Username)
	}
	if c.Name != nil {
		u.Name = strings.TrimSpace(*c.Name)
	}
	if c.Role != nil {
		u.Role = *c.Role
	}
	if c.Sites != nil {
		u.Sites = *c.Sites
	}
	if c.Disabled != nil {
		u.Disabled = *c.Disabled
	}
	return u, checkUser(u)
}

// SaveUser writes a person made by UserChange.To. Who is disabled by it is out at
// once, with every session and key.
func (a *Auth) SaveUser(ctx context.Context, u farm.User) (farm.User, error) {
	defer a.tellChange() // whatever the error: it may have been written
	u.UpdatedAt = time.Now()
	return a.store.UpdateUser(ctx, u)
}

// DeleteUser removes a person with all sessions and keys.
func (a *Auth) DeleteUser(ctx context.Context, id int64) error {
	defer a.tellChange()
	return a.store.DeleteUser(ctx, id)
}

// ResetPassword gives a person another password without the one before, and ends all
// their sessions.
func (a *Auth) ResetPassword(ctx context.Context, u farm.User, password farm.Secret) error {
	return a.setPassword(ctx, u, "password", password, "", 0)
}

// setPassword gives a person another password, if it still has the hash it was to have
// ("": whatever it was), and ends all sessions but one.
func (a *Auth) setPassword(ctx context.Context, u farm.User, field string, password, was farm.Secret, keep int64) error {
	hash, err := a.hasher.make(ctx, field, password, u.Username)
	if err != nil {
		return err
	}
	defer a.tellChange()
	return a.store.SetPassword(ctx, u.ID, hash, was, keep, time.Now())
}

func folded(username string) string { return strings.ToLower(strings.TrimSpace(username)) }

var usernames = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)

func checkUser(u farm.User) error {
	switch {
	case !usernames.MatchString(u.Username):
		return farm.Errorf(farm.Invalid, "username: must have 1 to 64 characters of a to z, 0 to 9 and . _ @ + -, and begin with a letter or digit")
	case utf8.RuneCountInString(u.Name) > maxName:
		return farm.Errorf(farm.Invalid, "name: must have at most %d characters", maxName)
	case !slices.Contains(farm.Roles, u.Role):
		return farm.Errorf(farm.Invalid, "role: must be viewer, operator or admin")
	}
	return nil
}
