package s3door

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// Store keeps credentials.
type Store interface {
	CreateS3Credential(ctx context.Context, c farm.S3Credential, sealed []byte) (farm.S3Credential, error)
	S3Credentials(ctx context.Context) ([]farm.S3Credential, error)
	S3Credential(ctx context.Context, accessKey string) (farm.S3Credential, []byte, error)
	DeleteS3Credential(ctx context.Context, id int64) error
	TouchS3Credential(ctx context.Context, id int64, at time.Time) error
	User(ctx context.Context, id int64) (farm.User, error)
}

// Sealer seals secrets for the place they are kept at.
type Sealer interface {
	Seal(place string, value farm.Secret) []byte
	Open(place string, sealed []byte) (farm.Secret, error)
}

// Credentials makes, finds and ends the credentials of S3 tools. It may be used
// concurrently.
type Credentials struct {
	store Store
	seal  Sealer
	log   *slog.Logger
}

// NewCredentials builds it. The sealer may be nil where no secret is needed, to list
// and to revoke.
func NewCredentials(s Store, seal Sealer, log *slog.Logger) *Credentials {
	return &Credentials{s, seal, log}
}

// maxCredentialName is how long a credential's name may be, in characters.
const maxCredentialName = 100

// Create makes a credential of a person (0: of the hub itself) for some sites, nil for
// all, and gives its secret, this once.
func (c *Credentials) Create(ctx context.Context, ownerID int64, name string, sites []int64) (farm.S3Credential, farm.Secret, error) {
	if name = strings.TrimSpace(name); name == "" || utf8.RuneCountInString(name) > maxCredentialName {
		return farm.S3Credential{}, "", farm.Errorf(farm.Invalid, "name: 1 to %d characters", maxCredentialName)
	}
	made := farm.S3Credential{OwnerID: ownerID, AccessKey: newAccessKey(), Name: name, Sites: sites, CreatedAt: time.Now()}
	secret := newSecret()
	made, err := c.store.CreateS3Credential(ctx, made, c.seal.Seal(place(made.AccessKey), secret))
	return made, secret, err
}

// List gives all credentials by id.
func (c *Credentials) List(ctx context.Context) ([]farm.S3Credential, error) {
	return c.store.S3Credentials(ctx)
}

// Revoke ends a credential at once.
func (c *Credentials) Revoke(ctx context.Context, id int64) error {
	return c.store.DeleteS3Credential(ctx, id)
}

// Find gives the credential, narrowed to what its owner may see, and the secret of an
// access key; NOT_FOUND without, and when its owner is disabled.
func (c *Credentials) Find(ctx context.Context, accessKey string) (farm.S3Credential, farm.Secret, error) {
	found, sealed, err := c.store.S3Credential(ctx, accessKey)
	if err != nil {
		return farm.S3Credential{}, "", err
	}
	if found.OwnerID != 0 {
		owner, err := c.store.User(ctx, found.OwnerID)
		if err != nil {
			return farm.S3Credential{}, "", err
		}
		if owner.Disabled {
			return farm.S3Credential{}, "", farm.Errorf(farm.NotFound, "there is no such S3 credential")
		}
		found.Sites = owner.Narrow(found.Sites)
	}
	secret, err := c.seal.Open(place(accessKey), sealed)
	return found, secret, err
}

// usedEvery is how exactly it is known when a credential was last used.
const usedEvery = 5 * time.Minute

// Used notes that a credential was used just now, if that is worth noting.
func (c *Credentials) Used(ctx context.Context, used farm.S3Credential) {
	now := time.Now()
	if now.Sub(used.LastUsedAt) < usedEvery {
		return
	}
	if err := c.store.TouchS3Credential(ctx, used.ID, now); err != nil && ctx.Err() == nil {
		c.log.Warn("the use of an S3 credential was not noted", "err", err)
	}
}

// place is where a secret is kept, for its seal.
func place(accessKey string) string { return "s3_credentials/secret/" + accessKey }

// newAccessKey makes a name of the form that S3 tools know: 20 capitals and digits.
func newAccessKey() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return "BB" + base32.StdEncoding.EncodeToString(b[:])[:16] + "S3"
}

// newSecret makes a secret of 240 bits, 40 characters as S3's are.
func newSecret() farm.Secret {
	var b [30]byte
	_, _ = rand.Read(b[:]) // never fails
	return farm.Secret(base64.RawURLEncoding.EncodeToString(b[:]))
}
