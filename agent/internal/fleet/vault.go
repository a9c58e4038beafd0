package fleet

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"bambuddy/shared/atomicfile"
)

// keyFile holds the key of the sealed files beside it. It protects copies of
// them (a backup, a lost disk image of DATA without it), not the host.
const keyFile = "agent.key"

const (
	keySize     = 32 // AES-256
	sealVersion = 1  // first byte of a sealed file
)

// errUnreadable is a sealed file that our key does not open.
var errUnreadable = errors.New("file is damaged or was sealed with another key")

// vault keeps small files encrypted in one folder.
type vault struct {
	dir  string
	aead cipher.AEAD
}

// openVault reads the folder's key, or makes one.
func openVault(dir string, log *slog.Logger) (*vault, error) {
	path := filepath.Join(dir, keyFile)
	key, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newVault(dir, path)
	case err != nil:
		return nil, fmt.Errorf("read the agent's key: %w", err)
	case len(key) == keySize:
		return vaultOf(dir, key)
	}
	log.Error("the key of the agent's files is damaged, a new one is made", "file", path)
	if err := setAside(path); err != nil {
		return nil, err
	}
	return newVault(dir, path)
}

func newVault(dir, path string) (*vault, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	if err := atomicfile.WriteFile(path, key, 0o600); err != nil {
		return nil, fmt.Errorf("make the agent's key: %w", err)
	}
	return vaultOf(dir, key)
}

func vaultOf(dir string, key []byte) (*vault, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &vault{dir: dir, aead: aead}, nil
}

// write seals data into the named file, whole or not at all.
func (v *vault) write(name string, data []byte) error {
	nonce := make([]byte, v.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	sealed := append([]byte{sealVersion}, nonce...)
	sealed = v.aead.Seal(sealed, nonce, data, []byte(name))
	return atomicfile.WriteFile(filepath.Join(v.dir, name), sealed, 0o600)
}

// read opens the named file. It gives fs.ErrNotExist without one, errUnreadable
// for one that is not ours.
func (v *vault) read(name string) ([]byte, error) {
	sealed, err := os.ReadFile(filepath.Join(v.dir, name))
	if err != nil {
		return nil, err
	}
	start := 1 + v.aead.NonceSize()
	if len(sealed) < start || sealed[0] != sealVersion {
		return nil, errUnreadable
	}
	data, err := v.aead.Open(nil, sealed[1:start], sealed[start:], []byte(name))
	if err != nil {
		return nil, errUnreadable
	}
	return data, nil
}

// setAside keeps a file that cannot be used under another name, for a person to
// look at. Only the last one is kept.
func (v *vault) setAside(name string) error { return setAside(filepath.Join(v.dir, name)) }

func setAside(path string) error {
	if err := os.Rename(path, path+".unusable"); err != nil {
		return fmt.Errorf("set an unusable file aside: %w", err)
	}
	return nil
}
