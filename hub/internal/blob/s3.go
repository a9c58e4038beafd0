package blob

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"bambuddy/shared/farm"
)

// S3Config says where an S3 service keeps the objects.
type S3Config struct {
	Endpoint    string // https://host[:port], or http:// for one on this network
	Region      string // "" is us-east-1
	Bucket      string // it must be there
	Prefix      string // of all keys, "" or a path that ends in a slash
	AccessKey   string
	SecretKey   farm.Secret
	CAFile      string // PEM of the authority of its certificate; "" for the system's
	VirtualHost bool   // address the bucket as a host name; most services of one's own want a path

	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the system's
}

// How large the parts of an upload are (each Put holds one, or two when the size is
// not known), and how long a service may do nothing.
const (
	partSize    = 5 << 20
	s3Silence   = time.Minute
	s3Connect   = 10 * time.Second
	s3Attempts  = 3
	maxPrefix   = 100      // with maxKey it stays below the 1024 bytes of S3
	hashHeader  = "Sha256" // of the user metadata
	checkPrefix = ".check-"
)

// S3 is a Store in a bucket of an S3 service.
type S3 struct {
	client *minio.Client
	bucket string
	prefix string
}

// NewS3 makes one. It asks nothing of the service yet: one that is away at the start
// of a hub is no reason not to start.
func NewS3(c S3Config) (*S3, error) {
	at, err := url.Parse(c.Endpoint)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || strings.Trim(at.Path, "/") != "" || at.User != nil {
		return nil, farm.Errorf(farm.Invalid, "objects-endpoint: expected https://host[:port]")
	}
	if c.Bucket == "" || c.AccessKey == "" || c.SecretKey == "" {
		return nil, farm.Errorf(farm.Invalid, "objects-bucket, objects-access-key and objects-secret-key: all are needed with objects-endpoint")
	}
	if err := s3utils.CheckValidBucketName(c.Bucket); err != nil {
		return nil, farm.Wrap(farm.Invalid, err, "objects-bucket: not the name of a bucket")
	}
	prefix := strings.Trim(c.Prefix, "/")
	if prefix != "" && (CheckKey(prefix) != nil || len(prefix) > maxPrefix) {
		return nil, farm.Errorf(farm.Invalid, "objects-prefix: expected a path of at most %d bytes, as keys have", maxPrefix)
	}
	transport, err := s3Transport(c)
	if err != nil {
		return nil, err
	}
	region, lookup := c.Region, minio.BucketLookupPath
	if region == "" {
		region = "us-east-1"
	}
	if c.VirtualHost {
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.New(at.Host, &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKey, c.SecretKey.Reveal(), ""), Secure: at.Scheme == "https",
		Transport: transport, Region: region, BucketLookup: lookup, MaxRetries: s3Attempts,
	})
	if err != nil {
		return nil, farm.Wrap(farm.Invalid, err, "objects-endpoint: cannot be used")
	}
	if prefix != "" {
		prefix += "/"
	}
	return &S3{client: client, bucket: c.Bucket, prefix: prefix}, nil
}

// name is what an object is called in the bucket.
func (s *S3) name(key string) string { return s.prefix + key }

// trouble says in our words what a service's error means; nil stays nil.
func (s *S3) trouble(ctx context.Context, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("object %s: %w", key, ctx.Err())
	}
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.Code == minio.NoSuchBucket:
		return s.noBucket(err)
	case answer.Code == minio.NoSuchKey, answer.Code == minio.NoSuchUpload:
		return missing(key) // nothing else: some say 404 to a key they do not know
	case answer.StatusCode == http.StatusForbidden:
		return farm.Wrap(farm.Unavailable, err, "the object store refuses our key (%s)", answer.Code)
	case answer.StatusCode != 0:
		return farm.Wrap(farm.Unavailable, err, "the object store answers %d (%s)", answer.StatusCode, answer.Code)
	}
	return farm.Wrap(farm.Unavailable, err, "the object store cannot be reached")
}

func (s *S3) noBucket(cause error) error {
	return farm.Wrap(farm.Unavailable, cause, "the object store has no bucket %s", s.bucket)
}
