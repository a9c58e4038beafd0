package s3door

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"bambuddy/shared/farm"
)

// The signatures of other people's code are right: paths, queries and headers that
// have to be escaped, sorted and trimmed in the same way.
func TestSignaturesOfMinioAreTaken(t *testing.T) {
	r := newRig(t)
	r.put(1, "a b/ü+&=~'(1).3mf", "x")
	for name, target := range map[string]string{
		"service":  "/",
		"bucket":   "/workshop?list-type=2",
		"slash":    "/workshop/?list-type=2",
		"query":    "/workshop?prefix=a%20b%2F%C3%BC&delimiter=%2F&marker=%2B&max-keys=2&a-b=1&a=1&a=2",
		"object":   "/workshop/a%20b/%C3%BC+%26=~%27%281%29.3mf",
		"no value": "/workshop?location",
	} {
		t.Run(name, func(t *testing.T) {
			for _, who := range []string{"ALL", "ONE"} {
				if w := r.do(signed(request(http.MethodGet, target, "X-Other", "  two   spaces "), who, secret)); w.Code != http.StatusOK {
					t.Errorf("header: %d %s", w.Code, w.Body)
				}
				if w := r.do(presigned(target, who, 60)); w.Code != http.StatusOK {
					t.Errorf("query: %d %s", w.Code, w.Body)
				}
			}
		})
	}
	if len(r.used) != 24 {
		t.Errorf("the use of credentials was noted %d times", len(r.used))
	}
}

func presigned(target, who string, seconds int64) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://door.test"+target, nil)
	return signer.PreSignV4(*r, who, secret.Reveal(), "", defaultRegion, seconds)
}

func TestWhatIsNotSignedAsItArrivesIsRefused(t *testing.T) {
	object := "/workshop/a"
	header := func(change func(r *http.Request)) func() *http.Request {
		return func() *http.Request {
			r := signed(request(http.MethodGet, object, "X-Other", "x"), "ALL", secret)
			change(r)
			return r
		}
	}
	query := func(change func(q url.Values)) func() *http.Request {
		return func() *http.Request {
			r := presigned(object, "ALL", 60)
			q := r.URL.Query()
			change(q)
			r.URL.RawQuery = q.Encode()
			return r
		}
	}
	auth := func(old, new string) func() *http.Request {
		return header(func(r *http.Request) {
			was := r.Header.Get("Authorization")
			r.Header.Set("Authorization", strings.Replace(was, old, new, 1))
		})
	}
	const mismatch = "SignatureDoesNotMatch"
	for name, c := range map[string]struct {
		request func() *http.Request
		status  int
		code    string
	}{
		"method":            {header(func(r *http.Request) { r.Method = http.MethodDelete }), 403, mismatch},
		"path":              {header(func(r *http.Request) { r.URL.Path = "/workshop/b" }), 403, mismatch},
		"query added":       {header(func(r *http.Request) { r.URL.RawQuery = "x=y" }), 403, mismatch},
		"host":              {header(func(r *http.Request) { r.Host = "other.test" }), 403, mismatch},
		"signed header":     {header(func(r *http.Request) { r.Header.Set("X-Other", "y") }), 403, mismatch},
		"header gone":       {header(func(r *http.Request) { r.Header.Del("X-Other") }), 403, mismatch},
		"header twice":      {header(func(r *http.Request) { r.Header.Add("X-Other", "x") }), 403, mismatch},
		"amz header added":  {header(func(r *http.Request) { r.Header.Set("X-Amz-Copy-Source", "/attic/b") }), 403, "AccessDenied"},
		"payload":           {header(func(r *http.Request) { r.Header.Set(payloadName, unsigned) }), 403, mismatch},
		"no payload":        {header(func(r *http.Request) { r.Header.Del(payloadName) }), 400, "InvalidRequest"},
		"time":              {header(func(r *http.Request) { r.Header.Set("X-Amz-Date", time.Now().UTC().Add(time.Second).Format(dateTime)) }), 403, mismatch},
		"no time":           {header(func(r *http.Request) { r.Header.Del("X-Amz-Date") }), 403, "AccessDenied"},
		"nonsense time":     {header(func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") }), 403, "AccessDenied"},
		"unknown key":       {auth("Credential=ALL", "Credential=NOBODY"), 403, mismatch},
		"other day":         {auth(time.Now().UTC().Format("/20060102/"), "/19990101/"), 400, "AuthorizationHeaderMalformed"},
		"other region":      {auth("/us-east-1/", "/eu-central-1/"), 400, "AuthorizationHeaderMalformed"},
		"other service":     {auth("/s3/", "/sts/"), 400, "AuthorizationHeaderMalformed"},
		"no host signed":    {auth("SignedHeaders=host;", "SignedHeaders="), 403, "AccessDenied"},
		"headers not lower": {auth("SignedHeaders=host;", "SignedHeaders=Host;"), 400, "AuthorizationHeaderMalformed"},
		"headers unordered": {auth("SignedHeaders=host;", "SignedHeaders=x-other;host;"), 400, "AuthorizationHeaderMalformed"},
		"headers twice":     {auth("SignedHeaders=host;", "SignedHeaders=host;host;"), 400, "AuthorizationHeaderMalformed"},
		"short signature":   {auth("Signature=", "Signature=0"), 400, "AuthorizationHeaderMalformed"},
		"other signature": {header(func(r *http.Request) {
			was := r.Header.Get("Authorization")
			r.Header.Set("Authorization", was[:len(was)-64]+strings.Repeat("0", 64))
		}), 403, mismatch},
		"another algorithm": {auth("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), 400, "AuthorizationHeaderMalformed"},
		"version 2":         {header(func(r *http.Request) { r.Header.Set("Authorization", "AWS ALL:abc") }), 400, "InvalidRequest"},
		"version 2 query":   {query(func(q url.Values) { clear(q); q.Set("AWSAccessKeyId", "ALL") }), 400, "InvalidRequest"},
		"session token":     {header(func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }), 400, "InvalidToken"},
		"not signed":        {header(func(r *http.Request) { r.Header.Del("Authorization") }), 403, "AccessDenied"},
		"signed twice":      {header(func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=x" }), 400, "InvalidArgument"},
		"two headers":       {header(func(r *http.Request) { r.Header.Add("Authorization", "x") }), 400, "InvalidArgument"},
		"body on reading":   {header(func(r *http.Request) { r.ContentLength = 5 }), 400, "InvalidRequest"},

		"presigned path":    {func() *http.Request { r := presigned(object, "ALL", 60); r.URL.Path = "/workshop/b"; return r }, 403, mismatch},
		"presigned method":  {func() *http.Request { r := presigned(object, "ALL", 60); r.Method = http.MethodPut; return r }, 403, mismatch},
		"presigned host":    {func() *http.Request { r := presigned(object, "ALL", 60); r.Host = "x.test"; return r }, 403, mismatch},
		"longer":            {query(func(q url.Values) { q.Set("X-Amz-Expires", "61") }), 403, mismatch},
		"query changed":     {query(func(q url.Values) { q.Set("response-content-type", "text/html") }), 403, mismatch},
		"too long":          {query(func(q url.Values) { q.Set("X-Amz-Expires", "604801") }), 400, "AuthorizationQueryParametersError"},
		"no end":            {query(func(q url.Values) { q.Del("X-Amz-Expires") }), 400, "AuthorizationQueryParametersError"},
		"negative":          {query(func(q url.Values) { q.Set("X-Amz-Expires", "-1") }), 400, "AuthorizationQueryParametersError"},
		"no algorithm":      {query(func(q url.Values) { q.Del("X-Amz-Algorithm") }), 400, "AuthorizationQueryParametersError"},
		"said twice":        {query(func(q url.Values) { q.Add("X-Amz-Credential", "x") }), 400, "AuthorizationQueryParametersError"},
		"presigned unknown": {query(func(q url.Values) { q.Set("X-Amz-Credential", "X"+q.Get("X-Amz-Credential")) }), 403, mismatch},
		"presigned amz":     {func() *http.Request { r := presigned(object, "ALL", 60); r.Header.Set("X-Amz-Acl", "x"); return r }, 403, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.put(1, "a", "content")
			w := r.do(c.request())
			if c.status == http.StatusOK {
				if w.Code != c.status {
					t.Errorf("got %d %s", w.Code, w.Body)
				}
				return
			}
			r.wantFault(w, c.status, c.code)
			if strings.Contains(w.Body.String(), "content<") || strings.Contains(r.log.String(), secret.Reveal()) {
				t.Error("it tells what it must not")
			}
		})
	}
}

// A wrong secret and a key nobody has are answered by the same words.
func TestAnUnknownKeyIsNotTold(t *testing.T) {
	r := newRig(t)
	wrong := r.do(signed(request(http.MethodGet, "/"), "ALL", "another"))
	unknown := r.do(signed(request(http.MethodGet, "/"), "NOBODY", secret))
	r.wantFault(wrong, http.StatusForbidden, "SignatureDoesNotMatch")
	same := func(w *httptest.ResponseRecorder) string {
		return strings.ReplaceAll(w.Body.String(), w.Header().Get("x-amz-request-id"), "")
	}
	if same(wrong) != same(unknown) {
		t.Errorf("a wrong secret: %s\nan unknown key: %s", wrong.Body, unknown.Body)
	}
	if len(r.used) != 0 {
		t.Error("a use was noted that was none")
	}
}

func TestAWrongRegionIsToldTheRightOne(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Region = "farm-1" })
	w := r.do(signed(request(http.MethodGet, "/"), "ALL", secret))
	r.wantFault(w, http.StatusBadRequest, "AuthorizationHeaderMalformed")
	if !strings.Contains(w.Body.String(), "<Region>farm-1</Region>") {
		t.Errorf("it does not tell the region: %s", w.Body)
	}
	w = r.do(signer.SignV4(*request(http.MethodGet, "/workshop?location"), "ALL", secret.Reveal(), "", "farm-1"))
	if !strings.Contains(w.Body.String(), ">farm-1</LocationConstraint>") {
		t.Errorf("location: %d %s", w.Code, w.Body)
	}
}

func TestSignaturesAreOfTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(1, "a", "content")
		header, query := signed(request(http.MethodGet, "/workshop/a"), "ALL", secret), presigned("/workshop/a", "ALL", 3600)
		week := presigned("/workshop/a", "ALL", 7*24*3600)
		check := func(when string, req *http.Request, status int) {
			t.Helper()
			if w := r.do(req); w.Code != status {
				t.Errorf("%s: %d %s, want %d", when, w.Code, w.Body, status)
			}
		}
		time.Sleep(15 * time.Minute)
		check("header after 15 min", header, 200)
		time.Sleep(time.Second)
		r.wantFault(r.do(header), 403, "RequestTimeTooSkewed")
		time.Sleep(45*time.Minute - time.Second)
		check("presigned after an hour", query, 200)
		time.Sleep(time.Second)
		r.wantFault(r.do(query), 403, "AccessDenied")
		time.Sleep(7*24*time.Hour - time.Hour - time.Second)
		check("presigned after a week", week, 200)
		time.Sleep(time.Second)
		check("presigned after more", week, 403)
	})
}

func TestTheDateHeaderWillDo(t *testing.T) {
	r := newRig(t)
	now := time.Now().UTC().Truncate(time.Second)
	req := request(http.MethodGet, "/", "Date", now.Format(http.TimeFormat))
	s := signature{
		accessKey: "ALL", day: now.Format("20060102"), region: defaultRegion, at: now, payload: emptyHash,
		headers: []string{"date", "host", "x-amz-content-sha256"},
	}
	sign := func() {
		req.Header.Set("Authorization", algorithm+" Credential=ALL/"+s.day+"/us-east-1/s3/aws4_request, SignedHeaders="+
			strings.Join(s.headers, ";")+", Signature="+s.by(secret, req, url.Values{}))
	}
	sign()
	if w := r.do(req); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.headers = s.headers[1:]
	sign()
	r.wantFault(r.do(req), http.StatusForbidden, "AccessDenied")
}

func TestACallersClockMayBeAheadABit(t *testing.T) {
	now := time.Now()
	for ahead, fine := range map[time.Duration]bool{14 * time.Minute: true, 16 * time.Minute: false} {
		for _, s := range []signature{{at: now.Add(ahead)}, {at: now.Add(ahead), presigned: true, expires: time.Hour}} {
			if err := s.timely(now); (err == nil) != fine {
				t.Errorf("%v ahead, presigned %v: %v", ahead, s.presigned, err)
			}
		}
	}
}

func TestADatabaseThatIsAwayIsNoRefusal(t *testing.T) {
	r := newRig(t)
	r.err = farm.Errorf(farm.Unavailable, "away")
	r.wantFault(r.get("/"), http.StatusServiceUnavailable, "ServiceUnavailable")
	if w := r.do(signed(request(http.MethodGet, "/"), "NOBODY", secret)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
