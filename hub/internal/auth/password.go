package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"bambuddy/shared/farm"
)

// The bounds of a password. The upper one keeps hashing cheap for us.
const (
	minPassword = 10
	maxPassword = 200
)

// cost is what a hash takes: OWASP's second choice for argon2id, some 30 ms here.
var cost = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// hasher makes and compares hashes of passwords, two at a time: more would let
// anybody fill the memory by signing in.
type hasher struct {
	slots chan struct{}
	blank func() (string, error) // a hash nothing matches, for people that do not exist
}

func newHasher() *hasher {
	return &hasher{make(chan struct{}, 2), sync.OnceValues(func() (string, error) {
		return argon2id.CreateHash(rand.Text(), cost)
	})}
}

func (h *hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hasher) leave() { <-h.slots }

// make hashes a password after it has checked it.
func (h *hasher) make(ctx context.Context, field string, password farm.Secret, username string) (farm.Secret, error) {
	plain := password.Reveal()
	switch n := utf8.RuneCountInString(plain); {
	case !utf8.ValidString(plain):
		return "", farm.Errorf(farm.Invalid, "%s: must be text", field)
	case n < minPassword || len(plain) > maxPassword:
		return "", farm.Errorf(farm.Invalid, "%s: must have at least %d characters, and at most %d bytes", field, minPassword, maxPassword)
	case strings.EqualFold(plain, username):
		return "", farm.Errorf(farm.Invalid, "%s: must not be the user name", field)
	}
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	hash, err := argon2id.CreateHash(plain, cost)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return farm.Secret(hash), nil
}

// matches compares a password with a hash; with an empty one it takes as long and
// says no.
func (h *hasher) matches(ctx context.Context, password, hash farm.Secret) (bool, error) {
	if len(password) > maxPassword {
		password = password[:maxPassword] + "…" // nobody has one of this length
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	against := hash.Reveal()
	if against == "" {
		blank, err := h.blank()
		if err != nil {
			return false, fmt.Errorf("hash a password: %w", err)
		}
		against = blank
	}
	ok, err := argon2id.ComparePasswordAndHash(password.Reveal(), against)
	if err != nil {
		return false, fmt.Errorf("compare a password: %w", err)
	}
	return ok && hash != "", nil
}

// token makes 32 random bytes as text.
func token() string {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // it never fails: the runtime ends the process first
	return base64.RawURLEncoding.EncodeToString(raw)
}

const tokenBytes = 32

// isToken tells whether a string could be a token at all.
func isToken(s string) bool {
	if len(s) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return false
	}
	_, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil
}
