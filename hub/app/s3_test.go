package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
)

// nothing is an archive without bytes.
type nothing struct{}

func (nothing) Open(context.Context, farm.PrintFile, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("")), nil
}

// What the command beside the hub makes opens the door of the hub, and what it
// revokes does not.
func TestTheCommandsAndTheDoorAgree(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := store.Open(ctx, store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	box, err := secrets.Open(ctx, secrets.Options{Dir: dir, Canary: db})
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d, done := newDoor(S3{Listener: l}, db, nothing{}, box, slog.New(slog.DiscardHandler)), make(chan error, 1)
	go func() { done <- d.run(ctx) }()

	a, err := OpenAdmin(ctx, dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	if _, err := db.CreateSite(ctx, "Attic"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.NewS3Credential(ctx, nil, "", []string{"Cellar"}); !farm.Is(err, farm.Invalid) {
		t.Errorf("a site that is not there: %v", err)
	}
	made, secret, err := a.NewS3Credential(ctx, nil, "", []string{"Attic"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(l.Addr().String(), &minio.Options{Creds: credentials.NewStaticV4(made.AccessKey, secret.Reveal(), ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if buckets, err := c.ListBuckets(ctx); err != nil || len(buckets) != 1 || buckets[0].Name != "attic" {
		t.Errorf("%v, %v", buckets, err)
	}
	if _, sites, err := a.S3Credentials(ctx); err != nil || len(sites) != 1 || sites[0][0] != "Attic" {
		t.Errorf("%v, %v", sites, err)
	}
	if err := a.RevokeS3Credential(ctx, made.AccessKey); err != nil {
		t.Error(err)
	}
	if _, err := c.ListBuckets(ctx); minio.ToErrorResponse(err).Code != "SignatureDoesNotMatch" {
		t.Errorf("revoked: %v", err)
	}
	if err := a.RevokeS3Credential(ctx, made.AccessKey); !farm.Is(err, farm.Invalid) {
		t.Errorf("revoked twice: %v", err)
	}
	drain, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := d.drain(drain); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Without a listener the door is closed and in nobody's way.
func TestAHubWithoutADoor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := newDoor(S3{}, nil, nil, nil, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- d.run(ctx) }()
	if err := d.drain(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
