package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
)

// memStore keeps keys in memory.
type memStore struct {
	People
	mu      sync.Mutex
	keys    map[[32]byte]farm.APIKey
	touched []map[int64]time.Time
	asked   int
	err     error
}

func (s *memStore) CreateKey(_ context.Context, k farm.APIKey) (farm.APIKey, error) {
	k.ID = int64(len(s.keys) + 1)
	s.keys[k.Hash] = k
	return k, s.err
}
func (s *memStore) Keys(context.Context) ([]farm.APIKey, error)     { return nil, s.err }
func (s *memStore) Key(context.Context, int64) (farm.APIKey, error) { return farm.APIKey{}, s.err }
func (s *memStore) UpdateKey(_ context.Context, k farm.APIKey) error {
	s.keys[k.Hash] = k
	return s.err
}

func (s *memStore) ReplaceKey(context.Context, int64, string, [32]byte) (farm.APIKey, error) {
	return farm.APIKey{}, s.err
}
func (s *memStore) DeleteKey(context.Context, int64) error { clear(s.keys); return s.err }

func (s *memStore) KeyByHash(_ context.Context, h [32]byte) (farm.APIKey, error) {
	s.asked++
	k, ok := s.keys[h]
	if s.err == nil && !ok {
		return k, fmt.Errorf("key by hash: %w", farm.Errorf(farm.NotFound, "no key"))
	}
	return k, s.err
}

func (s *memStore) TouchKeys(_ context.Context, used map[int64]time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.touched = append(s.touched, used)
	}
	return s.err
}

func newAuth() (*Auth, *memStore) {
	s := &memStore{keys: map[[32]byte]farm.APIKey{}}
	return New(Options{Store: s, Log: slog.New(slog.DiscardHandler)}), s
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestAKeyIsShownOnceAndKeptAsAHash(t *testing.T) {
	a, s := newAuth()
	secret, k, err := a.CreateKey(t.Context(), NewKey{Name: " HA ", Permissions: []farm.Permission{farm.Control, farm.Read, farm.Read}})
	if err != nil {
		t.Fatal(err)
	}
	plain := secret.Reveal()
	if !strings.HasPrefix(plain, "bb_") || len(plain) != 46 || k.Hash != sha256.Sum256([]byte(plain)) || k.Prefix != plain[:9] || k.Name != "HA" {
		t.Errorf("%q %+v", plain, k)
	}
	if fmt.Sprint(k.Permissions) != "[read control]" {
		t.Errorf("permissions %v", k.Permissions)
	}
	if strings.Contains(fmt.Sprintf("%+v", s.keys), plain) || fmt.Sprint(secret) == plain {
		t.Error("the key itself is kept or printed")
	}
	again, _, _ := a.CreateKey(t.Context(), NewKey{Name: "B", Permissions: farm.Permissions})
	if again.Reveal() == plain {
		t.Error("two keys are the same")
	}
}

func TestAuthenticate(t *testing.T) {
	a, s := newAuth()
	secret, _, _ := a.CreateKey(t.Context(), NewKey{Name: "A", Permissions: []farm.Permission{farm.Read}})
	other, _, _ := a.CreateKey(t.Context(), NewKey{Name: "B", Permissions: []farm.Permission{farm.Read}})
	good := secret.Reveal()
	for _, c := range []struct {
		name string
		h    http.Header
		who  string
		code farm.Code
	}{
		{"header", header("X-API-Key", good), "A", ""},
		{"bearer", header("Authorization", "Bearer "+good), "A", ""},
		{"bearer in small letters", header("Authorization", "bearer  "+good), "A", ""},
		{"header before bearer", header("X-API-Key", good, "Authorization", "Bearer "+other.Reveal()), "A", ""},
		{"wrong header, good bearer", header("X-API-Key", "bb_x", "Authorization", "Bearer "+good), "", farm.Unauthorized},
		{"nothing", header(), "", farm.Unauthorized},
		{"another scheme", header("Authorization", "Basic "+good), "", farm.Unauthorized},
		{"of the right form", header("X-API-Key", "bb_"+strings.Repeat("A", 43)), "", farm.Unauthorized},
		{"longer", header("X-API-Key", good+"A"), "", farm.Unauthorized},
		{"without prefix", header("X-API-Key", good[3:]), "", farm.Unauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := a.Authenticate(t.Context(), c.h)
			if farm.CodeOf(err) != c.code || p.Name() != c.who {
				t.Errorf("%v %v", p.Name(), err)
			}
			if err != nil && (p.May(farm.Read) || strings.Contains(err.Error(), good)) {
				t.Errorf("a refused caller may read, or the error tells the key: %v", err)
			}
		})
	}
	asked := s.asked
	_, _ = a.Authenticate(t.Context(), header("X-API-Key", "no key at all"))
	if s.asked != asked {
		t.Error("the database was asked for what cannot be a key")
	}
	s.err = errors.New("disk gone")
	a.tellChange() // or the key would be believed for another second
	if _, err := a.Authenticate(t.Context(), header("X-API-Key", good)); !farm.Is(err, farm.Unavailable) {
		t.Errorf("with a broken database: %v", err)
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newAuth()
		secret, _, err := a.CreateKey(t.Context(), NewKey{Name: "A", Permissions: farm.Permissions, ExpiresAt: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		h := header("X-API-Key", secret.Reveal())
		p, err := a.Authenticate(t.Context(), h)
		if err != nil || a.Recheck(t.Context(), p) != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		if _, err := a.Authenticate(t.Context(), h); !farm.Is(err, farm.Unauthorized) || !farm.Is(a.Recheck(t.Context(), p), farm.Unauthorized) {
			t.Errorf("after its time: %v", err)
		}
	})
}

func TestRecheck(t *testing.T) {
	a, s := newAuth()
	secret, k, _ := a.CreateKey(t.Context(), NewKey{Name: "A", Permissions: farm.Permissions})
	p, err := a.Authenticate(t.Context(), header("X-API-Key", secret.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	k.Name, k.Limits.Read, k.LastUsedAt = "B", 7, time.Now()
	_ = a.SaveKey(t.Context(), k)
	if err := a.Recheck(t.Context(), p); err != nil {
		t.Errorf("after a new name: %v", err)
	}
	k.Sites = []int64{}
	_ = a.SaveKey(t.Context(), k)
	if err := a.Recheck(t.Context(), p); !farm.Is(err, farm.Unauthorized) {
		t.Errorf("after a new scope: %v", err)
	}
	_ = a.DeleteKey(t.Context(), k.ID)
	if err := a.Recheck(t.Context(), p); !farm.Is(err, farm.Unauthorized) {
		t.Errorf("after its end: %v", err)
	}
	s.err = errors.New("gone")
	if err := a.Recheck(t.Context(), p); !farm.Is(err, farm.Unavailable) {
		t.Errorf("with a broken database: %v", err)
	}
}

func TestNobodyIsTheDefault(t *testing.T) {
	p := From(context.Background())
	for _, perm := range farm.Permissions {
		if p.May(perm) {
			t.Errorf("may %s", perm)
		}
	}
	if p.Sees(1, 1) || p.SeesSite(1) || p.AllPrinters() {
		t.Error("sees something")
	}
}

func TestExceeds(t *testing.T) {
	all := []farm.Permission{farm.Read, farm.Admin}
	soon := time.Now().Add(time.Hour)
	for _, c := range []struct {
		name       string
		owner, key farm.APIKey
		want       string
	}{
		{"the same", farm.APIKey{Permissions: all}, farm.APIKey{Permissions: all}, ""},
		{"less", farm.APIKey{Permissions: all}, farm.APIKey{Permissions: all[:1], Sites: []int64{1}, Printers: []int64{}}, ""},
		{"more permissions", farm.APIKey{Permissions: all}, farm.APIKey{Permissions: []farm.Permission{farm.Control}}, "permissions"},
		{"all sites of one", farm.APIKey{Permissions: all, Sites: []int64{1}}, farm.APIKey{Permissions: all}, "sites"},
		{"another site", farm.APIKey{Permissions: all, Sites: []int64{1, 3}}, farm.APIKey{Permissions: all, Sites: []int64{3, 2}}, "sites"},
		{"another printer", farm.APIKey{Permissions: all, Printers: []int64{1}}, farm.APIKey{Permissions: all, Printers: []int64{2}}, "printers"},
		{"a higher limit", farm.APIKey{Permissions: all, Limits: farm.Limits{Read: 7}}, farm.APIKey{Permissions: all, Limits: farm.Limits{Read: 8}}, "limits"},
		{"the hub's limit, which is higher", farm.APIKey{Permissions: all, Limits: farm.Limits{Read: 7}}, farm.APIKey{Permissions: all}, "limits"},
		{"the hub's limit, which is lower", farm.APIKey{Permissions: all, Limits: farm.Limits{Read: 700, Write: 700, Control: 700}}, farm.APIKey{Permissions: all}, ""},
		{"a limit by one who has none of his own", farm.APIKey{Permissions: all}, farm.APIKey{Permissions: all, Limits: farm.Limits{Read: 6000}}, ""},
		{"a limit above the hub's by one of a site", farm.APIKey{Permissions: all, Sites: []int64{1}}, farm.APIKey{Permissions: all, Sites: []int64{1}, Limits: farm.Limits{Read: 6000}}, "limits"},
		{"a limit above the hub's by one who is no administrator", farm.APIKey{Permissions: all[:1]}, farm.APIKey{Permissions: all[:1], Limits: farm.Limits{Read: 101}}, "limits"},
		{"no expiry", farm.APIKey{Permissions: all, ExpiresAt: soon}, farm.APIKey{Permissions: all}, "expiry"},
		{"a later expiry", farm.APIKey{Permissions: all, ExpiresAt: soon}, farm.APIKey{Permissions: all, ExpiresAt: soon.Add(1)}, "expiry"},
		{"the same expiry", farm.APIKey{Permissions: all, ExpiresAt: soon}, farm.APIKey{Permissions: all, ExpiresAt: soon}, ""},
		{"none of none", farm.APIKey{Permissions: all, Sites: []int64{}}, farm.APIKey{Permissions: all, Sites: []int64{}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.owner.ID = 1
			if got := (Principal{key: c.owner, defaults: DefaultLimits}).Exceeds(c.key); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestLastUseIsWrittenInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, s := newAuth()
		secret, k, _ := a.CreateKey(t.Context(), NewKey{Name: "A", Permissions: farm.Permissions})
		h := header("X-API-Key", secret.Reveal())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		for range 100 {
			_, _ = a.Authenticate(ctx, h)
		}
		used := time.Now()
		s.mu.Lock()
		s.err = errors.New("busy")
		s.mu.Unlock()
		<-time.After(flushEvery + time.Second)
		s.mu.Lock()
		s.err = nil
		s.mu.Unlock()
		<-time.After(10 * flushEvery)
		if len(s.touched) != 1 || !s.touched[0][k.ID].Equal(used) {
			t.Errorf("written: %v, used %v", s.touched, used)
		}
		_, _ = a.Authenticate(ctx, h)
		cancel()
		if err := <-done; err != nil || len(s.touched) != 2 {
			t.Errorf("at the end: %v, %d batches", err, len(s.touched))
		}
	})
}
