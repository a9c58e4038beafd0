package blob_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/hub/internal/blob/blobtest"
	"bambuddy/hub/internal/blob/s3test"
	"bambuddy/shared/farm"
)

func TestMemory(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return blob.NewMemory() })
}

func TestFiles(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return files(t, t.TempDir()) })
}

func TestNeighbours(t *testing.T) {
	t.Run("memory", func(t *testing.T) { blobtest.Neighbours(t, blob.NewMemory()) })
	t.Run("files", func(t *testing.T) { blobtest.Neighbours(t, files(t, t.TempDir())) })
}

func TestMemoryInTrouble(t *testing.T) {
	m := blob.NewMemory()
	put := func(ctx context.Context) error {
		_, err := m.Put(ctx, "k", strings.NewReader("content"), 7, blob.PutOptions{})
		return err
	}
	if err := put(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Break(func(op, _ string) error {
		if op == "stat" {
			return blob.ErrRefused
		}
		return nil
	})
	if _, err := m.Stat(t.Context(), "k"); !errors.Is(err, blob.ErrRefused) || put(t.Context()) != nil {
		t.Errorf("broken for stat alone: %v", err)
	}
	m.Break(nil)
	m.Cut(3)
	r, _, err := m.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "con" || !farm.Is(err, farm.Unavailable) {
		t.Errorf("cut after 3: %q, %v", got, err)
	}
	synctest.Test(t, func(t *testing.T) {
		m.Slow(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := put(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("slow, with a second's time: %v after %s", err, time.Since(began))
		}
		if err := put(t.Context()); err != nil || time.Since(began) != 61*time.Second {
			t.Errorf("slow: %v after %s", err, time.Since(began))
		}
	})
}

func TestS3(t *testing.T) {
	server := s3test.Start(t)
	blobtest.Run(t, func(t *testing.T) blob.Store { return s3(t, server, nil) })
}

func files(t testing.TB, dir string) *blob.Files {
	t.Helper()
	f, err := blob.NewFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// s3 is a store in a bucket of its own, below a prefix.
func s3(t testing.TB, server *s3test.Server, change func(*blob.S3Config)) *blob.S3 {
	t.Helper()
	c := blob.S3Config{
		Endpoint: server.Endpoint, Bucket: server.Bucket(t), Prefix: "farm/one/",
		AccessKey: server.AccessKey, SecretKey: farm.Secret(server.SecretKey),
	}
	if change != nil {
		change(&c)
	}
	s, err := blob.NewS3(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
