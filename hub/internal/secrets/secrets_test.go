package secrets

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

type settings struct {
	values map[string]string
	sealed bool
}

func (s *settings) Setting(_ context.Context, key string) (string, bool, error) {
	v, ok := s.values[key]
	return v, ok, nil
}
func (s *settings) SetSetting(_ context.Context, k, v string) error { s.values[k] = v; return nil }
func (s *settings) HasSecrets(context.Context) (bool, error)        { return s.sealed, nil }

func fresh() *settings { return &settings{values: map[string]string{}} }

func key(b byte) farm.Secret {
	return farm.Secret(hex.EncodeToString([]byte(strings.Repeat(string(rune(b)), 32))))
}

func open(t *testing.T, o Options) *Box {
	t.Helper()
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealedValuesOpenOnlyWhereTheyBelong(t *testing.T) {
	b := open(t, Options{Keys: []farm.Secret{key('a')}, Canary: fresh()})
	sealed := b.Seal("t/c/1", "12345678")
	if strings.Contains(string(sealed), "12345678") {
		t.Fatal("the value shows")
	}
	if v, err := b.Open("t/c/1", sealed); err != nil || v.Reveal() != "12345678" {
		t.Fatalf("opened %q, %v", v.Reveal(), err)
	}
	if _, err := b.Open("t/c/2", sealed); err == nil {
		t.Error("a value moved to another row opened")
	}
	for i := range sealed {
		bad := append([]byte(nil), sealed...)
		bad[i] ^= 1
		if _, err := b.Open("t/c/1", bad); err == nil {
			t.Errorf("opened with byte %d flipped", i)
		}
	}
	for n := range len(sealed) {
		if _, err := b.Open("t/c/1", sealed[:n]); err == nil {
			t.Errorf("opened with only %d bytes", n)
		}
	}
}

func TestKeyFileIsMadeOnceAndNeverReplaced(t *testing.T) {
	dir, db := t.TempDir(), fresh()
	sealed := open(t, Options{Dir: dir, Canary: db}).Seal("p", "v")
	path := filepath.Join(dir, "secret.key")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file: %v, %v", info, err)
	}
	if v, err := open(t, Options{Dir: dir, Canary: db}).Open("p", sealed); err != nil || v.Reveal() != "v" {
		t.Fatalf("after a restart: %q, %v", v.Reveal(), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir, Canary: db}); !errors.Is(err, ErrKey) {
		t.Errorf("a missing key gave %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a new key was made over the lost one")
	}
	noCanary := &settings{values: map[string]string{}, sealed: true}
	if _, err := Open(t.Context(), Options{Dir: dir, Canary: noCanary}); !errors.Is(err, ErrKey) {
		t.Errorf("sealed rows without a canary gave %v", err)
	}
}

func TestWrongAndMissingKeys(t *testing.T) {
	db := fresh()
	open(t, Options{Keys: []farm.Secret{key('a')}, Canary: db})
	for name, o := range map[string]Options{
		"another key":         {Keys: []farm.Secret{key('b')}},
		"none, no directory":  {},
		"too short":           {Keys: []farm.Secret{"abcd"}},
		"not a known writing": {Keys: []farm.Secret{farm.Secret(strings.Repeat("!", 64))}},
	} {
		o.Canary = db
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRotation(t *testing.T) {
	db := fresh()
	old := open(t, Options{Keys: []farm.Secret{key('a')}, Canary: db}).Seal("p", "v")
	both := open(t, Options{Keys: []farm.Secret{key('b'), key('a')}, Canary: db})
	if v, err := both.Open("p", old); err != nil || v.Reveal() != "v" {
		t.Fatalf("the old key no longer opens: %v", err)
	}
	onlyNew, err := newBox([][]byte{[]byte(strings.Repeat("b", 32))})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := onlyNew.Open("p", both.Seal("p", "w")); err != nil || v.Reveal() != "w" {
		t.Errorf("the first key does not seal: %v", err)
	}
	if _, err := onlyNew.Open("p", old); !errors.Is(err, ErrKey) {
		t.Errorf("a value of an unknown key gave %v", err)
	}
}

func TestKeysInBase64(t *testing.T) {
	raw := []byte(strings.Repeat("\xff", 32))
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		open(t, Options{Keys: []farm.Secret{farm.Secret(e.EncodeToString(raw))}, Canary: fresh()})
	}
}
