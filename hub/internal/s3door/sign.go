package s3door

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"bambuddy/shared/farm"
)

// The words of Signature V4.
const (
	algorithm   = "AWS4-HMAC-SHA256"
	dateTime    = "20060102T150405Z"
	unsigned    = "UNSIGNED-PAYLOAD"
	emptyHash   = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	payloadName = "X-Amz-Content-Sha256"
)

// How far the clock of a caller may be off, and how long a presigned request may
// be good for.
const (
	clockWindow = 15 * time.Minute
	maxExpiry   = 7 * 24 * time.Hour
)

// maxSigned bounds how many headers a signature covers.
const maxSigned = 64

// signature is what a request says of its signature.
type signature struct {
	accessKey string
	day       string // of the scope, yyyymmdd
	region    string
	at        time.Time
	headers   []string // lower case, in order
	sum       string   // hex
	payload   string
	expires   time.Duration // of a presigned request
	presigned bool
}

// errSignature is one answer for a wrong key, a wrong secret and a changed request:
// it does not tell which keys there are.
var errSignature = &fault{
	http.StatusForbidden, "SignatureDoesNotMatch",
	"the access key or its secret is not right, or the request was changed on its way", nil,
}

func malformed(message string) *fault {
	return &fault{http.StatusBadRequest, "AuthorizationHeaderMalformed", message, nil}
}

// authenticate finds out who signed a request.
func (d *Door) authenticate(ctx context.Context, r *http.Request, query url.Values) (farm.S3Credential, error) {
	s, err := readSignature(r, query)
	if err != nil {
		return farm.S3Credential{}, err
	}
	if err := s.timely(time.Now()); err != nil {
		return farm.S3Credential{}, err
	}
	if s.region != d.o.Region {
		f := malformed("the request is signed for region " + strconv.Quote(s.region) + ", sign it for " + strconv.Quote(d.o.Region))
		f.cause = wrongRegion{d.o.Region}
		return farm.S3Credential{}, f
	}
	who, secret, err := d.o.Keys.Find(ctx, s.accessKey)
	found := err == nil
	if farm.Is(err, farm.NotFound) {
		secret, err = d.decoy, nil
	}
	if err != nil {
		return farm.S3Credential{}, err
	}
	if right := s.by(secret, r, query); subtle.ConstantTimeCompare([]byte(right), []byte(s.sum)) != 1 || !found {
		return farm.S3Credential{}, errSignature
	}
	return who, s.checkPayload(r)
}

// readSignature takes the signature out of a request's header or query. It refuses
// what is signed in another way or leaves out what has to be signed.
func readSignature(r *http.Request, query url.Values) (s signature, err error) {
	header := r.Header.Values("Authorization")
	presigned := query.Has("X-Amz-Signature") || query.Has("X-Amz-Algorithm") || query.Has("X-Amz-Credential")
	switch {
	case len(header) > 1, len(header) == 1 && presigned:
		return s, &fault{http.StatusBadRequest, "InvalidArgument", "a request is signed once, in its header or in its query", nil}
	case query.Has("AWSAccessKeyId"), len(header) == 1 && strings.HasPrefix(header[0], "AWS "):
		return s, &fault{http.StatusBadRequest, "InvalidRequest", "signatures of version 2 are not taken, use " + algorithm, nil}
	case presigned:
		s, err = fromQuery(query)
	case len(header) == 1:
		s, err = fromHeader(header[0], r.Header)
	default:
		return s, denied("the request is not signed")
	}
	switch {
	case err != nil:
		return s, err
	case query.Has("X-Amz-Security-Token"), r.Header.Get("X-Amz-Security-Token") != "":
		return s, &fault{http.StatusBadRequest, "InvalidToken", "there are no session tokens here", nil}
	case s.at.Format("20060102") != s.day:
		return s, malformed("the date of the credential is not the date of the request")
	}
	return s, s.covers(r.Header)
}

// fromHeader reads AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=….
func fromHeader(text string, h http.Header) (s signature, err error) {
	rest, ok := strings.CutPrefix(text, algorithm+" ")
	if !ok {
		return s, malformed("use " + algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; twice {
			return s, malformed("the header says something twice")
		}
		parts[name] = value
	}
	if err := s.fill(parts["Credential"], parts["SignedHeaders"], parts["Signature"]); err != nil {
		return s, err
	}
	if s.at, err = timeOf(h); err != nil {
		return s, err
	}
	if s.payload = h.Get(payloadName); s.payload == "" {
		return s, &fault{http.StatusBadRequest, "InvalidRequest", "the header x-amz-content-sha256 is missing", nil}
	}
	return s, nil
}

// timeOf is when a request was signed: X-Amz-Date, or else Date.
func timeOf(h http.Header) (time.Time, error) {
	at, err := time.Parse(dateTime, h.Get("X-Amz-Date"))
	if h.Get("X-Amz-Date") == "" {
		at, err = http.ParseTime(h.Get("Date"))
	}
	if err != nil {
		return at, denied("the request says no time that can be read")
	}
	return at.UTC(), nil
}

// fromQuery reads a presigned request.
func fromQuery(query url.Values) (s signature, err error) {
	one := func(name string) string {
		if v := query[name]; len(v) == 1 {
			return v[0]
		}
		return ""
	}
	bad := func(message string) *fault {
		return &fault{http.StatusBadRequest, "AuthorizationQueryParametersError", message, nil}
	}
	if one("X-Amz-Algorithm") != algorithm {
		return s, bad("X-Amz-Algorithm must be " + algorithm)
	}
	if err := s.fill(one("X-Amz-Credential"), one("X-Amz-SignedHeaders"), one("X-Amz-Signature")); err != nil {
		return s, bad(err.message)
	}
	if s.at, err = time.Parse(dateTime, one("X-Amz-Date")); err != nil {
		return s, bad("X-Amz-Date must be a time like 20240115T143000Z")
	}
	seconds, err := strconv.Atoi(one("X-Amz-Expires"))
	if err != nil || seconds < 1 || seconds > int(maxExpiry.Seconds()) {
		return s, bad("X-Amz-Expires must be 1 to 604800 seconds")
	}
	s.expires, s.presigned, s.payload = time.Duration(seconds)*time.Second, true, unsigned
	return s, nil
}

// fill takes what both forms of a signature have.
func (s *signature) fill(credential, headers, sum string) *fault {
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[0] == "" || scope[3] != "s3" || scope[4] != "aws4_request" {
		return malformed("the credential must be KEY/yyyymmdd/REGION/s3/aws4_request")
	}
	s.accessKey, s.day, s.region = scope[0], scope[1], scope[2]
	if !isText(s.accessKey) {
		return malformed("the access key cannot be read")
	}
	s.headers = strings.Split(headers, ";")
	lower := strings.ToLower(headers) == headers
	if !lower || len(s.headers) > maxSigned || !slices.IsSorted(s.headers) || len(slices.Compact(slices.Clone(s.headers))) != len(s.headers) {
		return malformed("the signed headers must be named once each, in lower case and in order")
	}
	if len(sum) != 2*sha256.Size {
		return malformed("the signature must be 64 hex digits")
	}
	s.sum = sum
	return nil
}

// covers refuses a signature that leaves out what must not be changed: the host, and
// every header of S3's own.
func (s signature) covers(h http.Header) error {
	if !slices.Contains(s.headers, "host") {
		return denied("the header host is not signed")
	}
	if h.Get("X-Amz-Date") == "" && !s.presigned && !slices.Contains(s.headers, "date") {
		return denied("the header date is not signed")
	}
	for name := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(s.headers, name) {
			return denied("the header " + name + " is not signed")
		}
	}
	return nil
}

// timely refuses a request of another time.
func (s signature) timely(now time.Time) error {
	switch {
	case s.presigned && now.Add(clockWindow).Before(s.at):
		return denied("the request is not valid yet")
	case s.presigned && now.After(s.at.Add(s.expires)):
		return denied("the request has expired")
	case !s.presigned && now.Sub(s.at).Abs() > clockWindow:
		return &fault{http.StatusForbidden, "RequestTimeTooSkewed", "the time of the request is more than 15 minutes from the time here", nil}
	}
	return nil
}

// by is the signature the request has if it was signed with the secret: what is to
// be signed is made again from what arrived, and signed by minio-go.
func (s signature) by(secret farm.Secret, r *http.Request, query url.Values) string {
	sum := sha256.Sum256([]byte(s.canonical(r, query)))
	scope := strings.Join([]string{s.day, s.region, "s3", "aws4_request"}, "/")
	text := strings.Join([]string{algorithm, s.at.Format(dateTime), scope, hex.EncodeToString(sum[:])}, "\n")
	// Of minio-go's signers this is the one that signs a text as of a given time.
	return signer.PostPresignSignatureV4(text, s.at, secret.Reveal(), s.region)
}

// canonical writes a request down in the one form that is signed.
func (s signature) canonical(r *http.Request, query url.Values) string {
	var headers strings.Builder
	for _, name := range s.headers {
		headers.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	path := r.URL.Path
	if path == "" {
		path = "/"
	}
	return strings.Join([]string{
		r.Method, escape(path), canonicalQuery(query), headers.String(), strings.Join(s.headers, ";"), s.payload,
	}, "\n")
}

func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header[textproto.CanonicalMIMEHeaderKey(name)])
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

func canonicalQuery(query url.Values) string {
	type pair struct{ name, value string }
	var pairs []pair
	for name, values := range query {
		if name == "X-Amz-Signature" {
			continue
		}
		for _, v := range values {
			pairs = append(pairs, pair{escapeAll(name), escapeAll(v)})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	out := make([]string, len(pairs))
	for i, p := range pairs {
		out[i] = p.name + "=" + p.value
	}
	return strings.Join(out, "&")
}

// escape percent-encodes a path as Signature V4 wants it; slashes stay.
func escape(path string) string {
	const hexDigits = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			out.WriteByte(c)
		default:
			out.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return out.String()
}

func escapeAll(text string) string { return strings.ReplaceAll(escape(text), "/", "%2F") }

// checkPayload refuses a request to read that says it has a body: it has none, see
// serve. Of the others no body is ever read.
func (s signature) checkPayload(r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || s.payload == unsigned || s.payload == emptyHash {
		return nil
	}
	return &fault{http.StatusBadRequest, "XAmzContentSHA256Mismatch", "the request has no body, and x-amz-content-sha256 says otherwise", nil}
}
