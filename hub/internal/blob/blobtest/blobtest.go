// Package blobtest is what every blob.Store does, as tests. Each store runs it:
//
//	blobtest.Run(t, func(t *testing.T) blob.Store { return blob.NewMemory() })
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

// large is a size of several parts of an upload, to the byte: an error behind the last
// byte is easily overlooked there.
const large = 16 << 20

// Run runs all tests, each with an empty store of its own.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for name, test := range map[string]func(*testing.T, blob.Store){
		"Content": content, "Replace": replace, "UnknownSize": unknownSize, "WrongBodies": wrongBodies, "WrongLargeBodies": wrongLargeBodies,
		"Ranges": ranges, "Delete": deletes, "Order": order, "Paging": paging, "ListEnds": listEnds,
		"Keys": keys, "Cancelled": cancelled, "Cut": cut, "Writers": writers, "Check": check,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func put(t *testing.T, s blob.Store, key string, data []byte) blob.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, bytes.NewReader(data), int64(len(data)), blob.PutOptions{SHA256: sum(data)})
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return info
}

func get(ctx context.Context, s blob.Store, key string, offset, length int64) ([]byte, blob.Info, error) {
	r, info, err := s.Get(ctx, key, offset, length)
	if err != nil {
		return nil, info, err
	}
	data, err := io.ReadAll(r)
	return data, info, errors.Join(err, r.Close())
}

// holds fails unless an object has that content.
func holds(t *testing.T, s blob.Store, key string, want []byte) {
	t.Helper()
	got, info, err := get(t.Context(), s, key, 0, -1)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if !bytes.Equal(got, want) || info.Size != int64(len(want)) {
		t.Fatalf("%s holds %d bytes and says %d, want %d: other content", key, len(got), info.Size, len(want))
	}
}

// absent fails unless there is nothing of that key.
func absent(t *testing.T, s blob.Store, key string) {
	t.Helper()
	if info, err := s.Stat(t.Context(), key); !farm.Is(err, farm.NotFound) {
		t.Fatalf("stat %s: %+v, %v; want NOT_FOUND", key, info, err)
	}
	if _, _, err := get(t.Context(), s, key, 0, -1); !farm.Is(err, farm.NotFound) {
		t.Fatalf("get %s: %v; want NOT_FOUND", key, err)
	}
	for _, k := range list(t, s, "", "") {
		if k == key {
			t.Fatalf("%s is listed", key)
		}
	}
}

func list(t *testing.T, s blob.Store, prefix, after string) []string {
	t.Helper()
	keys := []string{}
	err := s.List(t.Context(), prefix, after, func(i blob.Info) error {
		keys = append(keys, i.Key)
		return nil
	})
	if err != nil {
		t.Fatalf("list %q after %q: %v", prefix, after, err)
	}
	return keys
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// pattern is n bytes of which no two stretches are alike.
func pattern(n int) []byte {
	out := make([]byte, 0, n+8)
	for i := uint64(1); len(out) < n; i++ {
		out = binary.LittleEndian.AppendUint64(out, i*0x9e3779b97f4a7c15)
	}
	return out[:n]
}

func content(t *testing.T, s blob.Store) {
	absent(t, s, "a/b")
	for key, data := range map[string][]byte{"empty.bin": {}, "one": {'x'}, "deep/er/still/m.json": pattern(1000), "large": pattern(large), "odd": pattern(large + 1)} {
		info := put(t, s, key, data)
		stat, err := s.Stat(t.Context(), key)
		if err != nil || stat != info || info.Key != key || info.Size != int64(len(data)) || info.Modified.IsZero() {
			t.Fatalf("put says %+v, stat %+v, %v", info, stat, err)
		}
		holds(t, s, key, data)
	}
	info, err := s.Put(t.Context(), "t.json", strings.NewReader("{}"), 2, blob.PutOptions{ContentType: "application/json"})
	if err != nil || info.ContentType != "application/json" {
		t.Errorf("a type that its name tells as well: %+v, %v", info, err)
	}
}

func replace(t *testing.T, s blob.Store) {
	first, second := pattern(3000), []byte("another, and shorter")
	put(t, s, "a/b.txt", first)
	r, _, err := s.Get(t.Context(), "a/b.txt", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "a/b.txt", second)
	held, err := io.ReadAll(r)
	if _ = r.Close(); err != nil || !bytes.Equal(held, first) {
		t.Errorf("who was reading got %d bytes, %v; want the old object whole", len(held), err)
	}
	holds(t, s, "a/b.txt", second)
}

func unknownSize(t *testing.T, s blob.Store) {
	for _, n := range []int{0, 1, large, large + 5} {
		data := pattern(n)
		info, err := s.Put(t.Context(), "u", iotest.OneByteReader(bytes.NewReader(data[:min(n, 10)])), -1, blob.PutOptions{})
		if err != nil || info.Size != int64(min(n, 10)) {
			t.Fatalf("byte by byte: %+v, %v", info, err)
		}
		info, err = s.Put(t.Context(), "u", bytes.NewReader(data), -1, blob.PutOptions{SHA256: sum(data)})
		if err != nil || info.Size != int64(n) {
			t.Fatalf("%d bytes: %+v, %v", n, info, err)
		}
		holds(t, s, "u", data)
	}
}

// wrong are bodies that are not what was announced.
func wrong(t *testing.T, s blob.Store, data []byte) {
	broken := errors.New("the printer is gone")
	n := int64(len(data))
	for name, c := range map[string]struct {
		r    io.Reader
		size int64
		sum  string
		code farm.Code
	}{
		"short":              {bytes.NewReader(data[:n-1]), n, "", farm.Invalid},
		"long":               {io.MultiReader(bytes.NewReader(data), strings.NewReader("x")), n, "", farm.Invalid},
		"hash":               {bytes.NewReader(data), n, sum([]byte("x")), farm.Invalid},
		"hash, unknown size": {bytes.NewReader(data), -1, sum([]byte("x")), farm.Invalid},
		"broken":             {io.MultiReader(bytes.NewReader(data[:n/2]), iotest.ErrReader(broken)), n, "", farm.Internal},
		"broken at its end":  {io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)), n, "", farm.Internal},
	} {
		for _, key := range []string{"old", "new"} {
			_, err := s.Put(t.Context(), key, c.r, c.size, blob.PutOptions{SHA256: c.sum})
			if farm.CodeOf(err) != c.code || c.code == farm.Internal && !errors.Is(err, broken) {
				t.Errorf("%s body: %v (%s), want %s", name, err, farm.CodeOf(err), c.code)
			}
			if seeker, ok := c.r.(io.Seeker); ok {
				_, _ = seeker.Seek(0, io.SeekStart)
			} else {
				break // it cannot be read again
			}
		}
		holds(t, s, "old", []byte("before"))
		absent(t, s, "new")
	}
}

func wrongBodies(t *testing.T, s blob.Store) {
	put(t, s, "old", []byte("before"))
	wrong(t, s, pattern(5000))
	if keys := list(t, s, "", ""); len(keys) != 1 {
		t.Errorf("left behind: %q", keys)
	}
}

func wrongLargeBodies(t *testing.T, s blob.Store) {
	put(t, s, "old", []byte("before"))
	wrong(t, s, pattern(large))
}

func ranges(t *testing.T, s blob.Store) {
	data := pattern(1000)
	put(t, s, "r", data)
	put(t, s, "empty", nil)
	for _, c := range []struct {
		key            string
		offset, length int64
		want           []byte
	}{
		{"r", 0, -1, data},
		{"r", 0, 1000, data},
		{"r", 0, 5000, data},
		{"r", 0, 1, data[:1]},
		{"r", 1, 1, data[1:2]},
		{"r", 999, 1, data[999:]},
		{"r", 999, 10, data[999:]},
		{"r", 500, -1, data[500:]},
		{"r", 500, 1 << 62, data[500:]},
		{"r", 1000, -1, nil},
		{"r", 1000, 5, nil},
		{"r", 5, 0, nil},
		{"empty", 0, -1, nil},
		{"empty", 0, 5, nil},
		{"empty", 0, 0, nil},
	} {
		got, info, err := get(t.Context(), s, c.key, c.offset, c.length)
		size := int64(1000)
		if c.key == "empty" {
			size = 0
		}
		if err != nil || !bytes.Equal(got, c.want) || info.Size != size || info.Key != c.key {
			t.Errorf("%s %d+%d: %d bytes, %+v, %v; want %d of %d", c.key, c.offset, c.length, len(got), info, err, len(c.want), size)
		}
	}
	for _, c := range [][2]int64{{1001, -1}, {1001, 5}, {5000, 0}, {-1, 5}} {
		if _, _, err := get(t.Context(), s, "r", c[0], c[1]); !farm.Is(err, farm.Invalid) {
			t.Errorf("from %d on: %v, want VALIDATION_ERROR", c[0], err)
		}
	}
	if _, _, err := get(t.Context(), s, "gone", 5, 5); !farm.Is(err, farm.NotFound) {
		t.Errorf("a part of nothing: %v", err)
	}
	r, _, err := s.Get(t.Context(), "r", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil { // nothing of it was read
		t.Errorf("close: %v", err)
	}
}

func deletes(t *testing.T, s blob.Store) {
	put(t, s, "d/e/f", []byte("1"))
	put(t, s, "d/g", []byte("2"))
	for range 2 {
		if err := s.Delete(t.Context(), "d/e/f"); err != nil {
			t.Fatal(err)
		}
		absent(t, s, "d/e/f")
	}
	if err := s.Delete(t.Context(), "never/there"); err != nil {
		t.Errorf("delete of nothing: %v", err)
	}
	if err := s.Delete(t.Context(), "d"); err != nil { // the start of a key is no key
		t.Errorf("delete of a folder: %v", err)
	}
	absent(t, s, "d")
	holds(t, s, "d/g", []byte("2"))
	put(t, s, "d/e/f", []byte("3"))
	holds(t, s, "d/e/f", []byte("3"))
}

func check(t *testing.T, s blob.Store) {
	for range 2 {
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if keys := list(t, s, "", ""); len(keys) != 0 {
		t.Errorf("a check left %q", keys)
	}
}
