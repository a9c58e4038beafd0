package s3door

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"bambuddy/shared/farm"
)

// prints is how many prints there are to page through, with a file each.
const prints = 10_000

// inJanuary is how many of them one of the ten printers made in one of the months.
const inJanuary = 84

// odd is the path of a file whose name tools have to escape.
const odd = "X1C-Büro/2024/01/05/143000-Käfer-+-Co-7/Käfer & Co (final) 100%.3mf"

// content is what odd holds.
var content = strings.Repeat("0123456789", 20_000)

// farmOf is a door with 10,000 prints at one site and something at another.
func farmOf(t *testing.T) *rig {
	r := newRig(t)
	r.put(3, "theirs", "secret of the attic")
	for i := range prints {
		path := fmt.Sprintf("A1-%d/2024/%02d/%02d/%06d-Benchy-%d/Benchy.3mf", i%10, i/10%12+1, i/120%28+1, i%86400, i+100)
		made := []byte(fmt.Sprintf("3MF %d", i/1000)) // the same file is printed again and again
		sum := sha256.Sum256(made)
		r.bytes[path] = made
		r.files = append(r.files, farm.PrintFile{
			SiteID: 1, Path: path, Key: path, Size: int64(len(made)), SHA256: hex.EncodeToString(sum[:]), MediaType: "model/3mf", StoredAt: stored,
		})
	}
	slices.SortFunc(r.files, func(a, b farm.PrintFile) int { return strings.Compare(a.Path, b.Path) })
	r.put(1, odd, content)
	return r
}

// Three clients of other makers, here and from another network namespace.
func TestOtherPeoplesClients(t *testing.T) {
	r := farmOf(t)
	for name, open := range map[string]func(*testing.T, *rig) spot{"here": loopback, "another namespace": namespace} {
		t.Run(name, func(t *testing.T) {
			p := open(t, r)
			t.Run("minio", func(t *testing.T) { tryMinio(t, p) })
			t.Run("rclone", func(t *testing.T) { tryRclone(t, p) })
			t.Run("s3cmd", func(t *testing.T) { tryS3cmd(t, p) })
			t.Run("aws", func(t *testing.T) { tryAWS(t, p) })
		})
	}
	if strings.Contains(r.log.String(), secret.Reveal()) {
		t.Error("the secret is in the log")
	}
}

// fetch reads a presigned URL as any program would, from where the test runs.
func fetch(t *testing.T, p spot, link string) {
	t.Helper()
	if got := p.run(t, nil, "curl", "--silent", "--show-error", "--fail", "--range", "3-6", link); got != "3456" {
		t.Errorf("presigned: %q", got)
	}
	p.refused(t, nil, "SignatureDoesNotMatch", "curl", "--silent", "--fail-with-body", strings.Replace(link, "X-Amz-Expires=", "X-Amz-Expires=1", 1))
}

// minioEnv tells this program, run again elsewhere, where the door is.
const minioEnv = "BAMBUDDY_TEST_S3_ENDPOINT"

// tryMinio runs TestMinio at the spot: minio-go has no program of its own.
func tryMinio(t *testing.T, p spot) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := p.run(t, []string{minioEnv + "=" + p.endpoint}, self, "-test.run=^TestMinio$", "-test.v")
	if !strings.Contains(out, "--- PASS: TestMinio") {
		t.Errorf("minio-go did not try: %s", out)
	}
}

func client(t *testing.T, endpoint, key string, secret farm.Secret) *minio.Client {
	t.Helper()
	c, err := minio.New(endpoint, &minio.Options{Creds: credentials.NewStaticV4(key, secret.Reveal(), "")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMinio is what minio-go does with a door.
func TestMinio(t *testing.T) {
	endpoint := os.Getenv(minioEnv)
	if endpoint == "" {
		r := farmOf(t)
		endpoint = listen(t, r, "127.0.0.1:0")
	}
	ctx, c := t.Context(), client(t, endpoint, "ONE", secret)
	buckets, err := c.ListBuckets(ctx)
	if err != nil || len(buckets) != 1 || buckets[0].Name != "workshop" {
		t.Fatalf("buckets %v: %v", buckets, err)
	}
	for _, v1 := range []bool{false, true} {
		n := 0
		for o := range c.ListObjectsIter(ctx, "workshop", minio.ListObjectsOptions{Recursive: true, UseV1: v1}) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			n++
		}
		if n != prints+1 {
			t.Errorf("version 1 %v: %d objects", v1, n)
		}
	}
	o, err := c.GetObject(ctx, "workshop", odd, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(o); err != nil || string(b) != content {
		t.Errorf("%d bytes: %v", len(b), err)
	}
	part := make([]byte, 4)
	if _, err := o.ReadAt(part, 100_003); err != nil || string(part) != "3456" {
		t.Errorf("range %q: %v", part, err)
	}
	link, err := c.PresignedGetObject(ctx, "workshop", odd, time.Minute, url.Values{"response-content-type": {"text/css"}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != content || res.Header.Get("Content-Type") != "text/css" {
		t.Errorf("presigned: %d, %d bytes: %v", res.StatusCode, len(b), err)
	}
	_ = res.Body.Close()
	minioRefusals(t, endpoint)
}

func minioRefusals(t *testing.T, endpoint string) {
	ctx, c := t.Context(), client(t, endpoint, "ONE", secret)
	putOne := func(c *minio.Client, key string) error {
		_, err := c.PutObject(ctx, "workshop", key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err
	}
	big := func() error {
		_, err := c.PutObject(ctx, "workshop", "big", bytes.NewReader(make([]byte, 20<<20)), -1, minio.PutObjectOptions{PartSize: 5 << 20})
		return err
	}
	copied := func() error {
		_, err := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: "workshop", Object: "copy"}, minio.CopySrcOptions{Bucket: "workshop", Object: odd})
		return err
	}
	stat := func(c *minio.Client, bucket, key string) error {
		_, err := c.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
		return err
	}
	list := func(c *minio.Client) error {
		_, err := c.ListBuckets(ctx)
		return err
	}
	for name, c := range map[string]struct {
		err  error
		code string
	}{
		"put":            {putOne(c, "new"), "AccessDenied"},
		"put over":       {putOne(c, odd), "AccessDenied"},
		"put in parts":   {big(), "AccessDenied"},
		"copy":           {copied(), "AccessDenied"},
		"delete":         {c.RemoveObject(ctx, "workshop", odd, minio.RemoveObjectOptions{}), "AccessDenied"},
		"make a bucket":  {c.MakeBucket(ctx, "new", minio.MakeBucketOptions{}), "AccessDenied"},
		"another's":      {stat(c, "attic", "theirs"), "NoSuchBucket"},
		"no such object": {stat(c, "workshop", "none"), "NoSuchKey"},
		"wrong secret":   {list(client(t, endpoint, "ONE", "wrong")), "SignatureDoesNotMatch"},
		"wrong key":      {list(client(t, endpoint, "TWO", secret)), "SignatureDoesNotMatch"},
	} {
		if got := minio.ToErrorResponse(c.err).Code; got != c.code {
			t.Errorf("%s: %v (%s), want %s", name, c.err, got, c.code)
		}
	}
	if there, err := c.BucketExists(ctx, "attic"); there || err != nil {
		t.Errorf("another site's bucket: %v, %v", there, err)
	}
}

func tryRclone(t *testing.T, p spot) {
	env := func(secret farm.Secret) []string {
		return []string{
			"RCLONE_CONFIG=" + filepath.Join(t.TempDir(), "rclone.conf"), "RCLONE_CONFIG_DOOR_TYPE=s3", "RCLONE_CONFIG_DOOR_PROVIDER=Other",
			"RCLONE_CONFIG_DOOR_ACCESS_KEY_ID=ONE", "RCLONE_CONFIG_DOOR_SECRET_ACCESS_KEY=" + secret.Reveal(),
			"RCLONE_CONFIG_DOOR_ENDPOINT=http://" + p.endpoint, "RCLONE_RETRIES=1", "RCLONE_LOW_LEVEL_RETRIES=1", "RCLONE_STATS=0",
		}
	}
	mine, wrong := env(secret), env("wrong")
	if out := p.run(t, mine, "rclone", "lsf", "door:"); out != "workshop/\n" {
		t.Errorf("buckets %q", out)
	}
	if out := p.run(t, mine, "rclone", "lsf", "door:workshop"); strings.Count(out, "\n") != 11 || !strings.Contains(out, "X1C-Büro/") {
		t.Errorf("printers %q", out)
	}
	if n := strings.Count(p.run(t, mine, "rclone", "lsf", "--fast-list", "-R", "--files-only", "door:workshop"), "\n"); n != prints+1 {
		t.Errorf("%d files", n)
	}
	if out := p.run(t, mine, "rclone", "cat", "--offset", "100003", "--count", "4", "door:workshop/"+odd); out != "3456" {
		t.Errorf("range %q", out)
	}
	to := t.TempDir()
	p.run(t, mine, "rclone", "copy", "--max-age", "100y", "door:workshop/X1C-Büro", to)
	p.run(t, mine, "rclone", "copy", "door:workshop/A1-3/2024/01", filepath.Join(to, "more"))
	if b, err := os.ReadFile(filepath.Join(to, filepath.FromSlash(strings.TrimPrefix(odd, "X1C-Büro/")))); err != nil || string(b) != content {
		t.Errorf("copied %d bytes: %v", len(b), err)
	}
	if n := filesIn(t, filepath.Join(to, "more")); n != inJanuary {
		t.Errorf("copied %d files", n)
	}
	p.run(t, mine, "rclone", "check", "--one-way", "door:workshop/A1-3/2024/01", filepath.Join(to, "more"))
	p.run(t, mine, "rclone", "check", "--download", "--one-way", "door:workshop/A1-3/2024/01", filepath.Join(to, "more"))
	fetch(t, p, strings.TrimSpace(p.run(t, mine, "rclone", "link", "--expire", "1m", "door:workshop/"+odd)))

	local := filepath.Join(to, "new.txt")
	if err := os.WriteFile(local, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.refused(t, mine, "AccessDenied", "rclone", "copyto", "--s3-no-check-bucket", local, "door:workshop/new.txt")
	p.refused(t, mine, "AccessDenied", "rclone", "copyto", "--s3-no-check-bucket", "door:workshop/"+odd, "door:workshop/copy")
	p.refused(t, mine, "AccessDenied", "rclone", "deletefile", "door:workshop/"+odd)
	p.refused(t, mine, "AccessDenied", "rclone", "mkdir", "door:new")
	p.refused(t, mine, "directory not found", "rclone", "lsf", "door:attic")
	p.refused(t, wrong, "SignatureDoesNotMatch", "rclone", "lsf", "door:workshop")
}

func tryS3cmd(t *testing.T, p spot) {
	settings := func(secret farm.Secret) string {
		file := filepath.Join(t.TempDir(), "s3cfg")
		text := fmt.Sprintf("[default]\naccess_key = ONE\nsecret_key = %s\nhost_base = %s\nhost_bucket = %s\nuse_https = False\nmax_retries = 1\n",
			secret.Reveal(), p.endpoint, p.endpoint)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "--config=" + file
	}
	mine, wrong, env := settings(secret), settings("wrong"), []string{"LC_ALL=C.UTF-8"}
	if out := p.run(t, env, "s3cmd", mine, "ls"); !strings.HasSuffix(out, "s3://workshop\n") || strings.Count(out, "\n") != 1 {
		t.Errorf("buckets %q", out)
	}
	if n := strings.Count(p.run(t, env, "s3cmd", mine, "ls", "--recursive", "s3://workshop"), "\n"); n != prints+1 {
		t.Errorf("%d files", n)
	}
	to := filepath.Join(t.TempDir(), "got")
	check := func(what string) {
		t.Helper()
		if b, err := os.ReadFile(to); err != nil || string(b) != content {
			t.Errorf("%s: %d bytes: %v", what, len(b), err)
		}
	}
	p.run(t, env, "s3cmd", mine, "get", "--no-progress", "s3://workshop/"+odd, to)
	check("get")
	if err := os.Truncate(to, 100_000); err != nil {
		t.Fatal(err)
	}
	p.run(t, env, "s3cmd", mine, "get", "--no-progress", "--continue", "s3://workshop/"+odd, to)
	check("the rest")
	out := p.run(t, env, "s3cmd", mine, "sync", "--no-progress", "s3://workshop/A1-3/2024/01/", filepath.Join(filepath.Dir(to), "all")+"/")
	again := p.run(t, env, "s3cmd", mine, "sync", "--no-progress", "s3://workshop/A1-3/2024/01/", filepath.Join(filepath.Dir(to), "all")+"/")
	if n := filesIn(t, filepath.Join(filepath.Dir(to), "all")); n != inJanuary || strings.Contains(out+again, "MD5") {
		t.Errorf("synchronised %d files: %s\nagain: %s", n, out, again)
	}
	p.run(t, env, "s3cmd", mine, "info", "s3://workshop/"+odd)
	p.refused(t, env, "AccessDenied", "s3cmd", mine, "put", "--no-progress", to, "s3://workshop/new")
	p.refused(t, env, "AccessDenied", "s3cmd", mine, "cp", "s3://workshop/"+odd, "s3://workshop/copy")
	p.refused(t, env, "AccessDenied", "s3cmd", mine, "del", "s3://workshop/"+odd)
	p.refused(t, env, "AccessDenied", "s3cmd", mine, "mb", "s3://new-bucket")
	p.refused(t, env, "NoSuchBucket", "s3cmd", mine, "ls", "s3://attic")
	p.refused(t, env, "SignatureDoesNotMatch", "s3cmd", wrong, "ls")
}

func tryAWS(t *testing.T, p spot) {
	env := func(secret farm.Secret) []string {
		return []string{
			"AWS_ACCESS_KEY_ID=ONE", "AWS_SECRET_ACCESS_KEY=" + secret.Reveal(), "AWS_DEFAULT_REGION=us-east-1", "AWS_MAX_ATTEMPTS=1",
			"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_ENDPOINT_URL=http://" + p.endpoint, "AWS_EC2_METADATA_DISABLED=true",
		}
	}
	mine, wrong := env(secret), env("wrong")
	if out := p.run(t, mine, "aws", "s3", "ls"); !strings.HasSuffix(out, " workshop\n") || strings.Count(out, "\n") != 1 {
		t.Errorf("buckets %q", out)
	}
	if n := strings.Count(p.run(t, mine, "aws", "s3", "ls", "--recursive", "s3://workshop"), "\n"); n != prints+1 {
		t.Errorf("%d files", n)
	}
	to := filepath.Join(t.TempDir(), "got")
	p.run(t, mine, "aws", "s3", "cp", "--quiet", "s3://workshop/"+odd, to)
	if b, err := os.ReadFile(to); err != nil || string(b) != content {
		t.Errorf("%d bytes: %v", len(b), err)
	}
	p.run(t, mine, "aws", "s3api", "get-object", "--bucket", "workshop", "--key", odd, "--range", "bytes=3-6", to)
	if b, err := os.ReadFile(to); err != nil || string(b) != "3456" {
		t.Errorf("range %q: %v", b, err)
	}
	p.run(t, mine, "aws", "s3", "sync", "--quiet", "s3://workshop/A1-3/2024/01", filepath.Join(filepath.Dir(to), "all"))
	if n := filesIn(t, filepath.Join(filepath.Dir(to), "all")); n != inJanuary {
		t.Errorf("synchronised %d files", n)
	}
	presign := append(slices.Clone(mine), "AWS_CONFIG_FILE="+awsV4(t))
	fetch(t, p, strings.TrimSpace(p.run(t, presign, "aws", "s3", "presign", "--expires-in", "60", "s3://workshop/"+odd)))
	p.refused(t, mine, "AccessDenied", "aws", "s3", "cp", to, "s3://workshop/new")
	p.refused(t, mine, "AccessDenied", "aws", "s3", "cp", "s3://workshop/"+odd, "s3://workshop/copy")
	p.refused(t, mine, "AccessDenied", "aws", "s3", "rm", "s3://workshop/"+odd)
	p.refused(t, mine, "AccessDenied", "aws", "s3", "mb", "s3://new-bucket")
	p.refused(t, mine, "NoSuchBucket", "aws", "s3", "ls", "s3://attic")
	p.refused(t, wrong, "SignatureDoesNotMatch", "aws", "s3", "ls")
}

// awsV4 has the AWS client presign as it does elsewhere: where nothing is said of an
// endpoint of somebody else's it takes version 2.
func awsV4(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("[default]\ns3 =\n    signature_version = s3v4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
