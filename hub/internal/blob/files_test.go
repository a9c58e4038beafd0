package blob_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

// diesIn is the environment in which the test program writes until it is killed.
const diesIn = "BLOB_TEST_WRITES_TO"

func TestMain(m *testing.M) {
	if dir := os.Getenv(diesIn); dir != "" {
		if err := writeForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver writes objects, new ones and over old ones, and says what is stored.
func writeForEver(dir string) error {
	s, err := blob.NewFiles(dir)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	for i := 0; ; i++ {
		key := fmt.Sprintf("prints/%d/%d.bin", i%5, i%40)
		data := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 40_000+i%1000)
		sum := sha256.Sum256(data)
		fmt.Fprintf(out, "begins %s %x\n", key, sum)
		if err := out.Flush(); err != nil {
			return err
		}
		if _, err := s.Put(context.Background(), key, bytes.NewReader(data), int64(len(data)), blob.PutOptions{}); err != nil {
			return err
		}
		fmt.Fprintf(out, "holds %s %x\n", key, sum)
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

func TestKilledWritersLeaveWholeObjects(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "objects")
	for round := range 6 {
		begun, held := killedWriter(t, dir, 25+17*round)
		s := files(t, dir)
		found := 0
		err := s.List(t.Context(), "", "", func(i blob.Info) error {
			found++
			sum := sumOf(t, s, i.Key)
			if want, ok := held[i.Key]; ok && sum != want && sum != begun[i.Key] {
				t.Errorf("round %d: %s holds neither what was acknowledged nor what came after it", round, i.Key)
			}
			return nil
		})
		if err != nil || found < len(held) {
			t.Fatalf("round %d: %d objects, %d were acknowledged, %v", round, found, len(held), err)
		}
		for key := range held {
			sumOf(t, s, key)
		}
		if err := s.Clear(); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".part-*")); len(left) != 0 {
			t.Errorf("round %d: cleared, and %q is left", round, left)
		}
	}
}

// killedWriter lets a process write and kills it after a number of its lines; it gives
// the last hash that was begun and the last that was acknowledged of each key.
func killedWriter(t *testing.T, dir string, lines int) (begun, held map[string]string) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), diesIn+"="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	begun, held = map[string]string{}, map[string]string{}
	said := bufio.NewScanner(out)
	for n := 0; said.Scan(); n++ {
		if n == lines {
			_ = c.Process.Kill() // what it said until it died is read all the same
		}
		f := strings.Fields(said.Text())
		if len(f) != 3 {
			break // the line it died in
		}
		if f[0] == "begins" {
			begun[f[1]] = f[2]
		} else {
			held[f[1]] = f[2]
		}
	}
	_ = c.Process.Kill()
	if err := c.Wait(); err == nil || len(held) == 0 {
		t.Fatalf("the writer stored %d objects and ended with %v", len(held), err)
	}
	return begun, held
}

func sumOf(t *testing.T, s blob.Store, key string) string {
	t.Helper()
	r, _, err := s.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestWhatIsBeingWrittenIsNoObject(t *testing.T) {
	dir := t.TempDir()
	s := files(t, dir)
	inside := func([]byte) (int, error) {
		err := s.List(t.Context(), "", "", func(i blob.Info) error { return fmt.Errorf("%s is listed", i.Key) })
		if err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
			t.Errorf("while it is written: %q", left)
		}
		return 0, io.EOF
	}
	body := io.MultiReader(strings.NewReader("abc"), readerFunc(inside))
	if _, err := s.Put(t.Context(), "a/b", body, 3, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAKeyThatIsAFolderOfAnother(t *testing.T) {
	dir := t.TempDir()
	s := files(t, dir)
	put := func(key string) error {
		_, err := s.Put(t.Context(), key, strings.NewReader("x"), 1, blob.PutOptions{})
		return err
	}
	if err := put("a/b"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "a/b/c", "a/b/c/d"} {
		if err := put(key); !farm.Is(err, farm.Invalid) {
			t.Errorf("%s: %v, want VALIDATION_ERROR", key, err)
		}
	}
	if _, err := s.Stat(t.Context(), "a/b/c"); !farm.Is(err, farm.NotFound) {
		t.Errorf("below a file: %v", err)
	}
	if got := len(dirNames(t, dir)); got != 1 {
		t.Errorf("%d names in the folder, want one", got)
	}
}

func TestEmptyFoldersGo(t *testing.T) {
	dir := t.TempDir()
	s := files(t, dir)
	for _, key := range []string{"a/b/c/d", "a/x"} {
		if _, err := s.Put(t.Context(), key, strings.NewReader("x"), 1, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context(), "a/b/c/d"); err != nil {
		t.Fatal(err)
	}
	if got := dirNames(t, filepath.Join(dir, "a")); len(got) != 1 || got[0] != "x" {
		t.Errorf("left in a: %q", got)
	}
	if err := s.Delete(t.Context(), "a/x"); err != nil || len(dirNames(t, dir)) != 0 {
		t.Errorf("left: %q, %v", dirNames(t, dir), err)
	}
}

func dirNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func TestLinksLeadNowhereElse(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := files(t, dir)
	for name, to := range map[string]string{"file": secret, "folder": filepath.Dir(secret)} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skipf("no links here: %v", err)
		}
	}
	for _, key := range []string{"file", "folder/secret"} {
		if r, _, err := s.Get(t.Context(), key, 0, -1); err == nil {
			_ = r.Close()
			t.Errorf("%s can be read", key)
		}
		if _, err := s.Put(t.Context(), "folder/new", strings.NewReader("y"), 1, blob.PutOptions{}); err == nil {
			t.Error("written behind a link")
		}
	}
	if got := dirNames(t, filepath.Dir(secret)); len(got) != 1 {
		t.Errorf("behind the link: %q", got)
	}
}

func TestADiskThatIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := mountSmall(dir); err != nil {
		t.Skipf("no small disk can be had: %v", err)
	}
	t.Cleanup(func() { _ = unmount(dir) })
	s := files(t, filepath.Join(dir, "objects"))
	if _, err := s.Put(t.Context(), "a", strings.NewReader("before"), 6, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("x"), 2<<20)
	_, err := s.Put(t.Context(), "a", bytes.NewReader(big), int64(len(big)), blob.PutOptions{})
	if !farm.Is(err, farm.Unavailable) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "full") {
		t.Errorf("a full disk: %v", err)
	}
	if want := sha256.Sum256([]byte("before")); sumOf(t, s, "a") != hex.EncodeToString(want[:]) {
		t.Error("the old object is hurt")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "objects", ".part-*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("there is room again, and the check says %v", err)
	}
}

func TestADiskThatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "objects")
	s := files(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); !farm.Is(err, farm.Unavailable) {
		t.Errorf("check: %v, want UNAVAILABLE", err)
	}
	if _, err := s.Put(t.Context(), "a", strings.NewReader("x"), 1, blob.PutOptions{}); !farm.Is(err, farm.Unavailable) {
		t.Errorf("put: %v, want UNAVAILABLE", err)
	}
}
