package blob_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"bambuddy/hub/internal/blob"
	"bambuddy/hub/internal/blob/s3test"
	"bambuddy/shared/farm"
)

func TestAnOutageInTheMiddle(t *testing.T) {
	server := s3test.Start(t)
	s := s3(t, server, nil)
	data := bytes.Repeat([]byte("0123456789abcdef"), 5<<18) // 20 MiB, three parts
	put := func(key string, r io.Reader) error {
		_, err := s.Put(t.Context(), key, r, int64(len(data)), blob.PutOptions{SHA256: hexSum(data)})
		return err
	}
	if err := put("old", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	die := func([]byte) (int, error) {
		server.Kill()
		return 0, io.EOF
	}
	for _, key := range []string{"old", "new"} {
		err := put(key, io.MultiReader(bytes.NewReader(data[:18<<20]), readerFunc(die), bytes.NewReader(data[18<<20:])))
		if !farm.Is(err, farm.Unavailable) {
			t.Errorf("put %s while the store dies: %v, want UNAVAILABLE", key, err)
		}
		if err := s.Check(t.Context()); !farm.Is(err, farm.Unavailable) {
			t.Errorf("check without a store: %v, want UNAVAILABLE", err)
		}
		if _, err := s.Stat(t.Context(), "new"); !farm.Is(err, farm.Unavailable) {
			t.Errorf("stat without a store: %v, want UNAVAILABLE", err)
		}
		server.Restart(t)
		if sumOf(t, s, "old") != hexSum(data) {
			t.Error("the old object is another after an outage")
		}
		if _, err := s.Stat(t.Context(), "new"); !farm.Is(err, farm.NotFound) {
			t.Errorf("half an object: %v, want NOT_FOUND", err)
		}
	}
	readThroughOutage(t, server, s, data)
	if err := put("new", bytes.NewReader(data)); err != nil || sumOf(t, s, "new") != hexSum(data) {
		t.Errorf("the same store after outages: %v", err)
	}
}

func readThroughOutage(t *testing.T, server *s3test.Server, s *blob.S3, data []byte) {
	t.Helper()
	r, _, err := s.Get(t.Context(), "old", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	rest, err := io.Copy(io.Discard, r)
	if !farm.Is(err, farm.Unavailable) || rest >= int64(len(data))-1<<20 {
		t.Errorf("read on through an outage: %d bytes, %v; want UNAVAILABLE", rest, err)
	}
	_ = r.Close()
	server.Restart(t)
}

func TestAStoreThatRefuses(t *testing.T) {
	server := s3test.Start(t)
	for name, c := range map[string]struct {
		change func(*blob.S3Config)
		want   string
	}{
		"wrong secret": {func(c *blob.S3Config) { c.SecretKey = secretKey }, "refuses our key (SignatureDoesNotMatch)"},
		"unknown key":  {func(c *blob.S3Config) { c.AccessKey = "stranger" }, "404 (XAdminUserNotFound)"}, // its own word
		"no bucket":    {func(c *blob.S3Config) { c.Bucket = "not-there" }, "has no bucket not-there"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s3(t, server, c.change)
			_, err := s.Put(t.Context(), "x", strings.NewReader("x"), 1, blob.PutOptions{})
			if !farm.Is(err, farm.Unavailable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("put: %v, want UNAVAILABLE with %q", err, c.want)
			}
			_, _, get := s.Get(t.Context(), "x", 0, -1)
			_, stat := s.Stat(t.Context(), "x")
			for op, err := range map[string]error{
				"get": get, "stat": stat, "check": s.Check(t.Context()), "delete": s.Delete(t.Context(), "x"),
				"list": s.List(t.Context(), "", "", func(blob.Info) error { return nil }),
			} {
				if !farm.Is(err, farm.Unavailable) || strings.Contains(err.Error(), secretKey) {
					t.Errorf("%s: %v, want UNAVAILABLE without a secret", op, err)
				}
			}
		})
	}
}

func TestWhatAnUploadLeavesIsCleared(t *testing.T) {
	server := s3test.Start(t)
	var bucket string
	s := s3(t, server, func(c *blob.S3Config) { bucket = c.Bucket })
	client, err := minio.NewCore(strings.TrimPrefix(server.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, ""), Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	pending := func() int {
		all, err := client.ListMultipartUploads(t.Context(), bucket, "", "", "", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(all.Uploads)
	}
	for _, name := range []string{"farm/one/a", "elsewhere/b"} { // begun by a hub that was killed, and by others
		if _, err := client.NewMultipartUpload(t.Context(), bucket, name, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Clear(t.Context(), time.Now().Add(-time.Hour)); err != nil || pending() != 2 {
		t.Errorf("young ones: %d are left of 2, %v", pending(), err)
	}
	if err := s.Clear(t.Context(), time.Now().Add(time.Hour)); err != nil || pending() != 1 {
		t.Errorf("%d are left, want the one of others; %v", pending(), err)
	}
}

func TestWhatOthersPutIntoTheBucket(t *testing.T) {
	server := s3test.Start(t)
	var config blob.S3Config
	ours := s3(t, server, func(c *blob.S3Config) { config = *c })
	whole := config
	whole.Prefix = ""
	theirs, err := blob.NewS3(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"farm/on", "farm/one0", "farm/one/a"} {
		if _, err := theirs.Put(t.Context(), key, strings.NewReader(key), int64(len(key)), blob.PutOptions{ContentType: "model/3mf"}); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	err = ours.List(t.Context(), "", "", func(i blob.Info) error {
		keys = append(keys, i.Key)
		return nil
	})
	if err != nil || len(keys) != 1 || keys[0] != "a" {
		t.Errorf("listed %q, %v", keys, err)
	}
	if info, err := ours.Stat(t.Context(), "a"); err != nil || info.ContentType != "model/3mf" || info.ETag == "" {
		t.Errorf("stat: %+v, %v", info, err)
	}
}

func TestAStoreWithItsOwnCertificate(t *testing.T) {
	data := []byte("x")
	server := httptest.NewUnstartedServer(&liar{holds: data, etag: md5of(data)})
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]farm.Code{ca: "", "": farm.Unavailable} {
		s, err := blob.NewS3(blob.S3Config{Endpoint: server.URL, Bucket: "objects", AccessKey: "k", SecretKey: secretKey, CAFile: file})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), "x", bytes.NewReader(data), 1, blob.PutOptions{}); farm.CodeOf(err) != want {
			t.Errorf("with the authority %q: %v, want %q", file, err, want)
		}
	}
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
