package blobtest

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

// sorted are keys in their order, which is that of their bytes: a folder comes where
// its slash puts it, not where its name does.
var sorted = []string{
	"a-b/x", "a.b", "a/b", "a/b-c", "a/b.d/e", "a/c/1", "a/c/2", "a0", "b", "b b/ü ö.3mf", "b+c&d=e%20.txt", "c/日本/プリント.3mf", "d", "ü",
}

func order(t *testing.T, s blob.Store) {
	for _, i := range []int{7, 3, 11, 0, 13, 5, 9, 2, 12, 1, 6, 10, 4, 8} {
		put(t, s, sorted[i], []byte(sorted[i]))
	}
	for _, key := range sorted {
		holds(t, s, key, []byte(key))
	}
	for _, prefix := range []string{"", "a", "a/", "a/c", "a/c/", "a/b", "b ", "b b/ü", "c/日本/", "a/c/1", "a/c/1/", "z", "a/c/../", "ü"} {
		for _, after := range append([]string{"", "a", "a/", "a/b", "a/c", "a/c/", "a/zzz", "b", "z", "~"}, sorted...) {
			want := []string{}
			for _, key := range sorted {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			if got := list(t, s, prefix, after); !slices.Equal(got, want) {
				t.Errorf("list %q after %q: %q, want %q", prefix, after, got, want)
			}
		}
	}
	err := s.List(t.Context(), "a/c/2", "", func(i blob.Info) error {
		if i.Size != 5 || i.Modified.IsZero() {
			t.Errorf("listed as %+v", i)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// paging has more keys than a page of S3 has.
func paging(t *testing.T, s blob.Store) {
	const many = 1050
	want := make([]string, many)
	for i := range want {
		want[i] = fmt.Sprintf("many/%d/%04d.txt", i%7, i)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < many; i += 8 {
				if _, err := s.Put(t.Context(), want[i], strings.NewReader("x"), 1, blob.PutOptions{}); err != nil {
					t.Errorf("put %s: %v", want[i], err)
					return
				}
			}
		})
	}
	wg.Wait()
	sort.Strings(want)
	if got := list(t, s, "many/", ""); !slices.Equal(got, want) {
		t.Errorf("%d keys, want %d in order", len(got), many)
	}
	if got := list(t, s, "", want[1020]); !slices.Equal(got, want[1021:]) {
		t.Errorf("%d keys after one of them, want %d", len(got), many-1021)
	}
}

func listEnds(t *testing.T, s blob.Store) {
	for _, key := range []string{"1", "2", "3"} {
		put(t, s, key, []byte(key))
	}
	enough := errors.New("enough")
	seen := 0
	err := s.List(t.Context(), "", "", func(blob.Info) error {
		if seen++; seen == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen != 2 {
		t.Errorf("ended with %v after %d", err, seen)
	}
	err = s.List(t.Context(), "", "", func(i blob.Info) error { return s.Delete(t.Context(), i.Key) })
	if left := list(t, s, "", ""); err != nil || len(left) != 0 {
		t.Errorf("deleted while listing: %v, left %q", err, left)
	}
}

// keys are those that no store takes.
func keys(t *testing.T, s blob.Store) {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", `a\b`, "a:b", "a*", "a?", `"a"`, "a<b>", "a|b",
		"a\x00b", "a\nb", "a\x7f", "a\xff", "a.", "a ", "a./b", "a /b", "nul", "a/CON.txt", "com1/x", "aux.3mf", ".part-x", ".part-x/y",
		strings.Repeat("a", 201), strings.Repeat("a/", 450) + "a", "b/" + strings.Repeat("ü", 101),
	} {
		_, put := s.Put(t.Context(), key, strings.NewReader("x"), 1, blob.PutOptions{})
		_, _, get := s.Get(t.Context(), key, 0, -1)
		_, stat := s.Stat(t.Context(), key)
		for op, err := range map[string]error{"put": put, "get": get, "stat": stat, "delete": s.Delete(t.Context(), key)} {
			if !farm.Is(err, farm.Invalid) {
				t.Errorf("%s %q: %v, want VALIDATION_ERROR", op, key, err)
			}
		}
	}
	if left := list(t, s, "", ""); len(left) != 0 {
		t.Errorf("left %q", left)
	}
	for _, key := range []string{"a", "a.b.c", "..a", ".hidden", "...x", strings.Repeat("b", 200), "x/" + strings.Repeat("c/", 448) + "d"} {
		put := func(key string) error {
			_, err := s.Put(t.Context(), key, strings.NewReader(key), int64(len(key)), blob.PutOptions{})
			return err
		}
		if err := put(key); err != nil {
			t.Errorf("%.20q: %v", key, err)
			continue
		}
		holds(t, s, key, []byte(key))
	}
}
