package auth

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

const (
	keyPrefix   = "bb_"
	shownPrefix = len(keyPrefix) + 6 // enough to recognise a key by, far too little to guess it
	maxName     = 100
	maxLimit    = 1_000_000
)

// NewKey is what a key is to be. ExpiresAt zero means never; nil lists mean all
// printers and sites, empty ones none; a limit of 0 means the hub's default.
type NewKey struct {
	OwnerID     int64 // the person it will never exceed; 0: the hub itself
	Name        string
	Permissions []farm.Permission
	Printers    []int64
	Sites       []int64
	Limits      farm.Limits
	ExpiresAt   time.Time
}

// KeyChange is what is to change of a key; nil leaves a field as it is. A
// pointer to a nil list means all.
type KeyChange struct {
	Name        *string
	Permissions *[]farm.Permission
	Printers    *[]int64
	Sites       *[]int64
	Limits      *farm.Limits
	ExpiresAt   *time.Time
}

// CreateKey makes a key. The secret is given here once and kept nowhere.
func (a *Auth) CreateKey(ctx context.Context, n NewKey) (farm.Secret, farm.APIKey, error) {
	plain := keyPrefix + token()
	k := farm.APIKey{
		OwnerID: n.OwnerID, Name: strings.TrimSpace(n.Name), Prefix: plain[:shownPrefix], Hash: sha256.Sum256([]byte(plain)),
		Permissions: n.Permissions, Printers: n.Printers, Sites: n.Sites, Limits: n.Limits,
		CreatedAt: time.Now(), ExpiresAt: n.ExpiresAt,
	}
	if err := check(&k); err != nil {
		return "", farm.APIKey{}, err
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(time.Now()) {
		return "", farm.APIKey{}, farm.Errorf(farm.Invalid, "expires_at: is in the past")
	}
	k, err := a.store.CreateKey(ctx, k)
	if err != nil {
		return "", farm.APIKey{}, err
	}
	return farm.Secret(plain), k, nil
}

// Keys lists all keys.
func (a *Auth) Keys(ctx context.Context) ([]farm.APIKey, error) { return a.store.Keys(ctx) }

// Key gives one key.
func (a *Auth) Key(ctx context.Context, id int64) (farm.APIKey, error) { return a.store.Key(ctx, id) }

// To gives a key with the change laid over it, checked but not written: the
// caller may first want to know what it would become.
func (c KeyChange) To(k farm.APIKey) (farm.APIKey, error) {
	if c.Name != nil {
		k.Name = strings.TrimSpace(*c.Name)
	}
	if c.Permissions != nil {
		k.Permissions = *c.Permissions
	}
	if c.Printers != nil {
		k.Printers = *c.Printers
	}
	if c.Sites != nil {
		k.Sites = *c.Sites
	}
	if c.Limits != nil {
		k.Limits = *c.Limits
	}
	if c.ExpiresAt != nil {
		k.ExpiresAt = *c.ExpiresAt // in the past ends the key, which is a wish one may have
	}
	return k, check(&k)
}

// SaveKey writes a key made by KeyChange.To.
func (a *Auth) SaveKey(ctx context.Context, k farm.APIKey) error {
	defer a.tellChange() // whatever the error: it may have been written
	return a.store.UpdateKey(ctx, k)
}

// RotateKey gives a key another secret. The one before ends at once.
func (a *Auth) RotateKey(ctx context.Context, id int64) (farm.Secret, farm.APIKey, error) {
	plain := keyPrefix + token()
	defer a.tellChange()
	k, err := a.store.ReplaceKey(ctx, id, plain[:shownPrefix], sha256.Sum256([]byte(plain)))
	if err != nil {
		return "", farm.APIKey{}, err
	}
	return farm.Secret(plain), k, nil
}

// DeleteKey ends a key at once.
func (a *Auth) DeleteKey(ctx context.Context, id int64) error {
	defer a.tellChange()
	return a.store.DeleteKey(ctx, id)
}

func check(k *farm.APIKey) error {
	if n := utf8.RuneCountInString(k.Name); n == 0 || n > maxName {
		return farm.Errorf(farm.Invalid, "name: must have 1 to %d characters", maxName)
	}
	if len(k.Permissions) == 0 {
		return farm.Errorf(farm.Invalid, "permissions: name at least one of read, queue, control, admin")
	}
	for _, p := range k.Permissions {
		if !slices.Contains(farm.Permissions, p) {
			return farm.Errorf(farm.Invalid, "permissions: %q is none of read, queue, control, admin", p)
		}
	}
	ordered := make([]farm.Permission, 0, len(farm.Permissions))
	for _, p := range farm.Permissions { // in the shown order, each once
		if k.May(p) {
			ordered = append(ordered, p)
		}
	}
	k.Permissions = ordered
	for _, c := range []Class{ReadClass, WriteClass, ControlClass} {
		if l := limitOf(k.Limits, c); l < 0 || l > maxLimit {
			return farm.Errorf(farm.Invalid, "limits.%s: must be 0 (the hub's default) to %d", c, maxLimit)
		}
	}
	return nil
}

// wellFormed tells whether a string could be a key at all.
func wellFormed(s string) bool {
	rest, ok := strings.CutPrefix(s, keyPrefix)
	return ok && isToken(rest)
}
