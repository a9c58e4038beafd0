package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

func cancelled(t *testing.T, s blob.Store) {
	put(t, s, "k", []byte("before"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, put := s.Put(ctx, "k", strings.NewReader("after"), 5, blob.PutOptions{})
	_, _, get := s.Get(ctx, "k", 0, -1)
	_, stat := s.Stat(ctx, "k")
	for op, err := range map[string]error{
		"put": put, "get": get, "stat": stat, "delete": s.Delete(ctx, "k"), "check": s.Check(ctx),
		"list": s.List(ctx, "", "", func(blob.Info) error { return nil }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", op, err)
		}
	}
	holds(t, s, "k", []byte("before"))
}

// cut ends the context in the middle of a body.
func cut(t *testing.T, s blob.Store) {
	put(t, s, "k", []byte("before"))
	for _, size := range []int64{large, -1} {
		ctx, cancel := context.WithCancel(t.Context())
		half := func([]byte) (int, error) {
			cancel()
			return 0, nil
		}
		data := pattern(large)
		body := io.MultiReader(bytes.NewReader(data[:large/2+7]), readerFunc(half), bytes.NewReader(data[large/2+7:]))
		if _, err := s.Put(ctx, "k", body, size, blob.PutOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("size %d: %v, want context.Canceled", size, err)
		}
		cancel()
		holds(t, s, "k", []byte("before"))
	}
}

// readerFunc is a reader that ends after it was called once.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) {
	if n, err := f(p); err != nil || n > 0 {
		return n, err
	}
	return 0, io.EOF
}

// writers write the same key, and whoever reads sees one of the objects, whole. Who
// comes second may be told that his object is not there: it is not.
func writers(t *testing.T, s blob.Store) {
	body := func(n int) []byte { return bytes.Repeat([]byte{byte('a' + n)}, 20_000+n) }
	put(t, s, "w/k", body(0))
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			data := body(n)
			for range 5 {
				if _, err := s.Put(t.Context(), "w/k", bytes.NewReader(data), int64(len(data)), blob.PutOptions{SHA256: sum(data)}); err != nil && !farm.Is(err, farm.Unavailable) {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			for range 20 {
				data, _, err := get(t.Context(), s, "w/k", 0, -1)
				if err != nil || len(data) < 20_000 || !bytes.Equal(data, body(int(data[0]-'a'))) {
					t.Errorf("read %d bytes of several objects, or %v", len(data), err)
					return
				}
			}
		})
	}
	wg.Wait()
	if keys := list(t, s, "", ""); len(keys) != 1 {
		t.Errorf("left %q", keys)
	}
	put(t, s, "w/k", body(3))
	holds(t, s, "w/k", body(3))
}

// Neighbours has objects come and go in one folder, which must not go under those who
// come. It is no part of Run: versitygw now and then refuses a put beside a delete.
func Neighbours(t *testing.T, s blob.Store) {
	t.Helper()
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			key := fmt.Sprintf("n/o/%d", n)
			for range 15 {
				if _, err := s.Put(t.Context(), key, strings.NewReader(key), int64(len(key)), blob.PutOptions{}); err != nil {
					t.Errorf("put %s: %v", key, err)
					return
				}
				if data, _, err := get(t.Context(), s, key, 0, -1); err != nil || string(data) != key {
					t.Errorf("get %s: %q, %v", key, data, err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("delete %s: %v", key, err)
				}
				if _, err := s.Stat(t.Context(), key); !farm.Is(err, farm.NotFound) {
					t.Errorf("stat %s after its delete: %v", key, err)
				}
			}
		})
	}
	wg.Wait()
}
