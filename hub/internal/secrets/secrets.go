// Package secrets seals what the hub must keep but nobody may read at rest:
// access codes now, webhook secrets later. A sealed value is bound to the place
// it is stored at, so that a row copied elsewhere does not open.
//
// Sealed form: version byte 1, 4-byte key id, 12-byte nonce, AES-256-GCM of the
// value with the place as additional data.
package secrets

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"bambuddy/shared/atomicfile"
	"bambuddy/shared/farm"
)

// ErrKey is in the chain of every error about the key itself: missing, unreadable
// or not the one this database was sealed with. The hub must not start then.
var ErrKey = errors.New("secret key")

// Canary is where the proof of the right key is kept.
type Canary interface {
	Setting(ctx context.Context, key string) (string, bool, error)
	SetSetting(ctx context.Context, key, value string) error
	HasSecrets(ctx context.Context) (bool, error)
}

// Options say where the key comes from.
type Options struct {
	// Keys are keys given from outside, each 32 bytes in hex or base64; the
	// first seals, all of them open.
	Keys []farm.Secret
	// Dir is where a key is made and kept when none is given; "" means one must
	// be given (a database on another machine must not depend on this one's disk).
	Dir    string
	Canary Canary
}

const (
	version    = 1
	keyIDSize  = 4
	nonceSize  = 12
	headerSize = 1 + keyIDSize + nonceSize
	canaryName = "secret_canary"
	canaryText = "bambuddy"
)

// Box seals and opens. It may be used concurrently.
type Box struct {
	first keyID
	keys  map[keyID]cipher.AEAD
}

type keyID [keyIDSize]byte

// Open finds the key and proves it against the canary, or makes a key for a hub
// that has sealed nothing yet.
func Open(ctx context.Context, o Options) (*Box, error) {
	proof, sealed, err := o.Canary.Setting(ctx, canaryName)
	if err != nil {
		return nil, err
	}
	if !sealed {
		if sealed, err = o.Canary.HasSecrets(ctx); err != nil {
			return nil, err
		}
	}
	raw, err := rawKeys(o, sealed)
	if err != nil {
		return nil, err
	}
	b, err := newBox(raw)
	if err != nil {
		return nil, err
	}
	return b, b.prove(ctx, o.Canary, proof)
}

func rawKeys(o Options, sealed bool) ([][]byte, error) {
	var raw [][]byte
	for _, k := range o.Keys {
		b, err := decode(k.Reveal())
		if err != nil {
			return nil, err
		}
		raw = append(raw, b)
	}
	if len(raw) > 0 {
		return raw, nil
	}
	if o.Dir == "" {
		return nil, fmt.Errorf("%w: PostgreSQL needs one, set BAMBUDDY_SECRET_KEY or BAMBUDDY_SECRET_KEY_FILE (32 bytes in hex or base64)", ErrKey)
	}
	b, err := keyFile(filepath.Join(o.Dir, "secret.key"), sealed)
	return [][]byte{b}, err
}

// keyFile reads the key file, or makes one while nothing depends on an old one.
func keyFile(path string, sealed bool) ([]byte, error) {
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		return decode(strings.TrimSpace(string(text)))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	case sealed:
		return nil, fmt.Errorf("%w: %s is missing, but this database holds values sealed with it: bring the file back or give the key in BAMBUDDY_SECRET_KEY", ErrKey, path)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if err := atomicfile.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("keep the new secret key: %w", err)
	}
	return key, nil
}

func decode(s string) ([]byte, error) {
	for _, read := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.URLEncoding.DecodeString,
		base64.RawStdEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if b, err := read(s); err == nil && len(b) == 32 {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: it must be 32 bytes in hex or base64", ErrKey)
}

func newBox(raw [][]byte) (*Box, error) {
	b := &Box{keys: map[keyID]cipher.AEAD{}}
	for i, key := range raw {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		sum := sha256.Sum256(append([]byte("bambuddy key id\x00"), key...))
		id := keyID(sum[:keyIDSize])
		if i == 0 {
			b.first = id
		}
		b.keys[id] = gcm
	}
	return b, nil
}

// prove opens the canary, or writes the first one.
func (b *Box) prove(ctx context.Context, c Canary, proof string) error {
	if proof == "" {
		return c.SetSetting(ctx, canaryName, base64.StdEncoding.EncodeToString(b.Seal(canaryName, canaryText)))
	}
	sealed, err := base64.StdEncoding.DecodeString(proof)
	if err == nil {
		_, err = b.Open(canaryName, sealed)
	}
	if err != nil {
		return fmt.Errorf("%w: it is not the key this database was sealed with", ErrKey)
	}
	return nil
}

// Seal seals a value for a place, "table/column/row".
func (b *Box) Seal(place string, value farm.Secret) []byte {
	out := make([]byte, headerSize, headerSize+len(value)+16)
	out[0] = version
	copy(out[1:], b.first[:])
	_, _ = rand.Read(out[1+keyIDSize : headerSize]) // never fails
	return b.keys[b.first].Seal(out, out[1+keyIDSize:headerSize], []byte(value.Reveal()), []byte(place))
}

// Open opens what Seal made for the same place.
func (b *Box) Open(place string, sealed []byte) (farm.Secret, error) {
	if len(sealed) < headerSize || sealed[0] != version {
		return "", fmt.Errorf("open the sealed value of %s: not a sealed value", place)
	}
	gcm, ok := b.keys[keyID(sealed[1:1+keyIDSize])]
	if !ok {
		return "", fmt.Errorf("open the sealed value of %s: sealed with a key that was not given: %w", place, ErrKey)
	}
	plain, err := gcm.Open(nil, sealed[1+keyIDSize:headerSize], sealed[headerSize:], []byte(place))
	if err != nil {
		return "", fmt.Errorf("open the sealed value of %s: changed or moved", place)
	}
	return farm.Secret(plain), nil
}
