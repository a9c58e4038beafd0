// Package s3door is the archive as a read-only S3 service, so that any S3 tool can
// browse it: a site is a bucket, a file of a print is an object. It lists from the
// database and reads bytes from wherever they are stored; nothing can be written
// through it.
//
// Who asks is told by Signature V4, in a header or in the query (sign.go); what a
// credential may not see does not exist for it. Every answer that is not a file is
// S3's XML (answer.go).
package s3door

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// Index is what the database knows of the files.
type Index interface {
	Sites(ctx context.Context) ([]farm.Site, error)
	// FilesBetween gives stored files in the order of their paths' bytes.
	FilesBetween(ctx context.Context, r farm.FileRange) ([]farm.PrintFile, error)
	// FileAt finds a stored file; NOT_FOUND without.
	FileAt(ctx context.Context, siteID int64, path string) (farm.PrintFile, error)
}

// Objects are the bytes of the files.
type Objects interface {
	// Open gives length bytes of a file; the caller closes it. It must end with ctx.
	Open(ctx context.Context, f farm.PrintFile, offset, length int64) (io.ReadCloser, error)
}

// Keys are the credentials as the door needs them. *Credentials is one.
type Keys interface {
	// Find gives the credential and the secret of an access key; NOT_FOUND without.
	Find(ctx context.Context, accessKey string) (farm.S3Credential, farm.Secret, error)
	// Used notes that a credential was used just now.
	Used(ctx context.Context, c farm.S3Credential)
}

// The region when none is configured, which is what most tools take for granted.
const defaultRegion = "us-east-1"

// maxOpen bounds how many objects are read at a time, unless Options say otherwise.
const maxOpen = 64

// Options are the parts and settings of a door.
type Options struct {
	Index   Index
	Objects Objects
	Keys    Keys
	Region  string // requests are signed for it; "": us-east-1
	// Domain makes <bucket>.<Domain> another way to name a bucket than the first
	// part of the path; "": there is none.
	Domain  string
	MaxOpen int // objects read at a time; 0: 64
	Log     *slog.Logger
}

// Door is the service. It starts nothing that outlives a request.
type Door struct {
	o     Options
	decoy farm.Secret   // signs for access keys that do not exist
	slots chan struct{} // one for each object that is being read
}

// New builds the service.
func New(o Options) *Door {
	if o.Region == "" {
		o.Region = defaultRegion
	}
	if o.MaxOpen == 0 {
		o.MaxOpen = maxOpen
	}
	o.Domain = strings.ToLower(strings.Trim(o.Domain, "."))
	return &Door{o: o, decoy: newSecret(), slots: make(chan struct{}, o.MaxOpen)}
}

// The bounds of a connection. There is none on how long an answer takes: a large
// file over a thin line takes its time, and a stalled one is given up by its writer.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
)

// Server is an http.Server for the door with bounds that fit it.
func (d *Door) Server() *http.Server {
	return &http.Server{
		Handler: d, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(d.o.Log.Handler(), slog.LevelDebug),
	}
}

// call is one request on its way through the door.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	id     string // told to the caller and written to the log
	query  url.Values
	bucket string // "": the service itself
	key    string // "": the bucket itself
	who    farm.S3Credential
}

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{w: w, r: r, id: newID()}
	w.Header().Set("x-amz-request-id", c.id)
	w.Header().Set("Server", "Bambuddy")
	start := time.Now()
	err := d.serve(r.Context(), c)
	log := d.o.Log.With("request", c.id, "method", r.Method, "bucket", c.bucket, "key", c.key, "who", c.who.AccessKey, "took", time.Since(start))
	if err == nil {
		log.Debug("S3 request served")
		return
	}
	f := asFault(err)
	switch {
	case r.Context().Err() != nil:
		log.Debug("S3 client went away", "err", err)
		return
	case f.status >= http.StatusInternalServerError:
		log.Warn("S3 request failed", "code", f.code, "err", err)
	default:
		log.Debug("S3 request refused", "code", f.code, "err", err)
	}
	c.refuse(f)
}

func (d *Door) serve(ctx context.Context, c *call) (err error) {
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return invalid("the query cannot be read")
	}
	if err := d.address(c); err != nil {
		return err
	}
	if c.who, err = d.authenticate(ctx, c.r, c.query); err != nil {
		return err
	}
	d.o.Keys.Used(ctx, c.who)
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPut, http.MethodPost, http.MethodDelete:
		return denied("this service is read-only")
	default:
		return errMethod
	}
	if c.r.ContentLength != 0 {
		return &fault{http.StatusBadRequest, "InvalidRequest", "a request to read has no body", nil}
	}
	if name := c.subresource(); name != "" {
		return &fault{http.StatusNotImplemented, "NotImplemented", "there is no " + name + " here", nil}
	}
	if c.bucket == "" {
		return d.listBuckets(ctx, c)
	}
	b, err := d.bucket(ctx, c)
	switch {
	case err != nil:
		return err
	case c.key != "":
		return d.object(ctx, c, b)
	case c.r.Method == http.MethodHead:
		c.w.Header().Set("x-amz-bucket-region", d.o.Region)
		c.w.WriteHeader(http.StatusOK)
		return nil
	case c.query.Has("location"):
		return d.location(c)
	default:
		return d.listObjects(ctx, c, b)
	}
}

// address reads which bucket and which object are meant. A path is taken as it is:
// nothing in it is a folder, so nothing is cleaned up.
func (d *Door) address(c *call) error {
	path := strings.TrimPrefix(c.r.URL.Path, "/")
	if bucket, ok := d.bucketOfHost(c.r.Host); ok {
		c.bucket, c.key = bucket, path
	} else {
		c.bucket, c.key, _ = strings.Cut(path, "/")
	}
	switch {
	case c.r.URL.Path == "*" || !isText(c.bucket) || !isText(c.key):
		return &fault{http.StatusBadRequest, "InvalidURI", "the path cannot be read", nil}
	case len(c.key) > maxKey:
		return &fault{http.StatusBadRequest, "KeyTooLongError", "a key has at most 1024 bytes", nil}
	case c.bucket == "" && c.key != "":
		return &fault{http.StatusBadRequest, "InvalidBucketName", "the path names no bucket", nil}
	}
	return nil
}

// bucketOfHost is the bucket that a virtual host names.
func (d *Door) bucketOfHost(host string) (string, bool) {
	if d.o.Domain == "" {
		return "", false
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	bucket, ok := strings.CutSuffix(strings.ToLower(host), "."+d.o.Domain)
	return bucket, ok && bucket != ""
}

// maxKey is the length of the longest key of S3.
const maxKey = 1024

// isText tells whether a database can look for it.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// subresources are the things of S3 that an object or a bucket may have elsewhere
// and nothing has here.
var subresources = []string{
	"accelerate", "acl", "analytics", "attributes", "cors", "encryption", "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "logging",
	"metadataTable", "metrics", "notification", "object-lock", "ownershipControls", "partNumber", "policy", "policyStatus", "publicAccessBlock",
	"replication", "requestPayment", "restore", "retention", "select", "session", "tagging", "torrent", "uploadId", "uploads", "versionId",
	"versioning", "versions", "website",
}

func (c *call) subresource() string {
	i := slices.IndexFunc(subresources, c.query.Has)
	if i < 0 {
		return ""
	}
	return subresources[i]
}

// newID names a request.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// asFault gives any error the form in which S3 tells of it.
func asFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	switch farm.CodeOf(err) {
	case farm.NotFound, farm.FileUnavailable:
		return &fault{http.StatusNotFound, "NoSuchKey", "there is no such object", err}
	case farm.Unavailable:
		return &fault{http.StatusServiceUnavailable, "ServiceUnavailable", "the archive cannot be read at the moment", err}
	default:
		return &fault{http.StatusInternalServerError, "InternalError", "something went wrong here; the log of the hub says what", err}
	}
}
