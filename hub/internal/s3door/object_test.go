package s3door

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
)

func TestObjectsAreReadWholeAndInParts(t *testing.T) {
	r := newRig(t)
	f := r.put(1, "a", "0123456789")
	r.put(1, "empty", "")
	tag := `"` + f.SHA256 + `-1"`
	for name, c := range map[string]struct {
		key    string
		header []string
		status int
		body   string
		ranged string
	}{
		"whole":                  {"a", nil, 200, "0123456789", ""},
		"empty":                  {"empty", nil, 200, "", ""},
		"first":                  {"a", []string{"Range", "bytes=0-0"}, 206, "0", "bytes 0-0/10"},
		"middle":                 {"a", []string{"Range", "bytes=3-5"}, 206, "345", "bytes 3-5/10"},
		"from":                   {"a", []string{"Range", "bytes=7-"}, 206, "789", "bytes 7-9/10"},
		"last":                   {"a", []string{"Range", "bytes=-2"}, 206, "89", "bytes 8-9/10"},
		"more than there is":     {"a", []string{"Range", "bytes=5-99999999999"}, 206, "56789", "bytes 5-9/10"},
		"longer than it":         {"a", []string{"Range", "bytes=-20"}, 206, "0123456789", "bytes 0-9/10"},
		"behind it":              {"a", []string{"Range", "bytes=10-"}, 416, "", "bytes */10"},
		"nothing":                {"a", []string{"Range", "bytes=-0"}, 416, "", "bytes */10"},
		"of nothing":             {"empty", []string{"Range", "bytes=0-"}, 416, "", "bytes */0"},
		"backwards":              {"a", []string{"Range", "bytes=5-3"}, 200, "0123456789", ""},
		"several":                {"a", []string{"Range", "bytes=0-1,3-4"}, 200, "0123456789", ""},
		"signs":                  {"a", []string{"Range", "bytes=+1-2"}, 200, "0123456789", ""},
		"other unit":             {"a", []string{"Range", "lines=1-2"}, 200, "0123456789", ""},
		"too many digits":        {"a", []string{"Range", "bytes=99999999999999999999-"}, 200, "0123456789", ""},
		"match":                  {"a", []string{"If-Match", tag}, 200, "0123456789", ""},
		"match without quotes":   {"a", []string{"If-Match", f.SHA256 + "-1", "Range", "bytes=0-1"}, 206, "01", "bytes 0-1/10"},
		"no match":               {"a", []string{"If-Match", `"x"`}, 412, "", ""},
		"none match":             {"a", []string{"If-None-Match", `"x", ` + tag}, 304, "", ""},
		"none of another":        {"a", []string{"If-None-Match", `"x"`}, 200, "0123456789", ""},
		"any":                    {"a", []string{"If-None-Match", "*"}, 304, "", ""},
		"not since":              {"a", []string{"If-Modified-Since", stored.Format(http.TimeFormat)}, 304, "", ""},
		"since":                  {"a", []string{"If-Modified-Since", stored.Add(-time.Second).Format(http.TimeFormat)}, 200, "0123456789", ""},
		"unmodified":             {"a", []string{"If-Unmodified-Since", stored.Format(http.TimeFormat)}, 200, "0123456789", ""},
		"modified":               {"a", []string{"If-Unmodified-Since", stored.Add(-time.Second).Format(http.TimeFormat)}, 412, "", ""},
		"match before time":      {"a", []string{"If-Match", tag, "If-Unmodified-Since", stored.Add(-time.Hour).Format(http.TimeFormat)}, 200, "0123456789", ""},
		"none match before time": {"a", []string{"If-None-Match", `"x"`, "If-Modified-Since", stored.Format(http.TimeFormat)}, 200, "0123456789", ""},
		"still the same":         {"a", []string{"Range", "bytes=0-1", "If-Range", tag}, 206, "01", "bytes 0-1/10"},
		"another by now":         {"a", []string{"Range", "bytes=0-1", "If-Range", `"x"`}, 200, "0123456789", ""},
		"as old":                 {"a", []string{"Range", "bytes=0-1", "If-Range", stored.Format(http.TimeFormat)}, 206, "01", "bytes 0-1/10"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				w := r.do(signed(request(method, "/workshop/"+c.key, c.header...), "ALL", secret))
				h := w.Header()
				if w.Code != c.status || h.Get("Content-Range") != c.ranged {
					t.Fatalf("%s: %d, range %q: %s", method, w.Code, h.Get("Content-Range"), w.Body)
				}
				want := c.body
				if method == http.MethodHead {
					want = ""
				}
				if w.Code < 300 && (w.Body.String() != want || h.Get("Content-Length") != fmt.Sprint(len(c.body)) || h.Get("Accept-Ranges") != "bytes") {
					t.Errorf("%s: %q, %v", method, w.Body, h)
				}
				if method == http.MethodHead && w.Body.Len() > 0 {
					t.Errorf("HEAD has a body: %s", w.Body)
				}
				if h.Get("ETag") == "" || h.Get("Last-Modified") != "Wed, 01 Dec 1999 14:30:00 GMT" {
					t.Errorf("%s: %v", method, h)
				}
			}
		})
	}
}

func TestHeadersOfAnAnswerMayBeChosen(t *testing.T) {
	r := newRig(t)
	r.put(1, "a", "0123456789")
	w := r.get("/workshop/a?response-content-type=text%2Fcsv&response-content-disposition=attachment&response-cache-control=no-store" +
		"&response-expires=never&response-content-language=de&response-content-encoding=x")
	for name, want := range map[string]string{
		"Content-Type": "text/csv", "Content-Disposition": "attachment", "Cache-Control": "no-store", "Expires": "never",
		"Content-Language": "de", "Content-Encoding": "x",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	r.wantFault(r.get("/workshop/a?response-content-type=a%0d%0aSet-Cookie:x"), http.StatusBadRequest, "InvalidArgument")
	w = r.get("/workshop/a", "x-amz-checksum-mode", "ENABLED")
	if got := w.Header().Get("x-amz-checksum-sha256"); got != "hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII=" { // openssl's
		t.Errorf("checksum %q", got)
	}
	if w = r.get("/workshop/a", "x-amz-checksum-mode", "ENABLED", "Range", "bytes=0-1"); w.Header().Get("x-amz-checksum-sha256") != "" {
		t.Error("a part has the checksum of the whole")
	}
}

func TestWhatThereIsNot(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Domain = "s3.farm.test" })
	r.put(1, "a/b", "content")
	r.put(3, "theirs", "secret of the attic")
	ask := func(method, target, who string, header ...string) *httptest.ResponseRecorder {
		return r.do(signed(request(method, target, header...), who, secret))
	}
	for name, c := range map[string]struct {
		method, target, who string
		status              int
		code                string
	}{
		"no such bucket":     {"GET", "/nowhere", "ALL", 404, "NoSuchBucket"},
		"bucket of another":  {"GET", "/attic", "ONE", 404, "NoSuchBucket"},
		"object of another":  {"GET", "/attic/theirs", "ONE", 404, "NoSuchBucket"},
		"no bucket at all":   {"GET", "/workshop", "NONE", 404, "NoSuchBucket"},
		"no such object":     {"GET", "/workshop/x", "ALL", 404, "NoSuchKey"},
		"a folder":           {"GET", "/workshop/a/", "ALL", 404, "NoSuchKey"},
		"up and down":        {"GET", "/workshop/../attic/theirs", "ONE", 404, "NoSuchKey"},
		"up, escaped":        {"GET", "/workshop/%2e%2e/attic/theirs", "ONE", 404, "NoSuchKey"},
		"two slashes":        {"GET", "//attic/theirs", "ONE", 400, "InvalidBucketName"},
		"a zero":             {"GET", "/workshop/a%00b", "ALL", 400, "InvalidURI"},
		"no text":            {"GET", "/workshop/%ff", "ALL", 400, "InvalidURI"},
		"long":               {"GET", "/workshop/" + strings.Repeat("x", 1025), "ALL", 400, "KeyTooLongError"},
		"put":                {"PUT", "/workshop/new", "ALL", 403, "AccessDenied"},
		"make a bucket":      {"PUT", "/new", "ALL", 403, "AccessDenied"},
		"delete":             {"DELETE", "/workshop/a/b", "ALL", 403, "AccessDenied"},
		"delete a bucket":    {"DELETE", "/workshop", "ALL", 403, "AccessDenied"},
		"delete many":        {"POST", "/workshop?delete=", "ALL", 403, "AccessDenied"},
		"begin an upload":    {"POST", "/workshop/new?uploads=", "ALL", 403, "AccessDenied"},
		"set rights":         {"PUT", "/workshop/a/b?acl=", "ALL", 403, "AccessDenied"},
		"other method":       {"PATCH", "/workshop/a/b", "ALL", 405, "MethodNotAllowed"},
		"head of it all":     {"HEAD", "/", "ALL", 405, ""},
		"rights":             {"GET", "/workshop?acl=", "ALL", 501, "NotImplemented"},
		"versions":           {"GET", "/workshop?versions=", "ALL", 501, "NotImplemented"},
		"a version":          {"GET", "/workshop/a/b?versionId=1", "ALL", 501, "NotImplemented"},
		"tags":               {"GET", "/workshop/a/b?tagging=", "ALL", 501, "NotImplemented"},
		"uploads under way":  {"GET", "/workshop?uploads=", "ALL", 501, "NotImplemented"},
		"head of no bucket":  {"HEAD", "/nowhere", "ALL", 404, ""},
		"head of no object":  {"HEAD", "/workshop/x", "ALL", 404, ""},
		"not of this domain": {"GET", "http://workshop.farm.test/a/b", "ALL", 404, "NoSuchBucket"},
	} {
		t.Run(name, func(t *testing.T) {
			var w *httptest.ResponseRecorder
			if host, path, ok := strings.Cut(strings.TrimPrefix(c.target, "http://"), "/"); ok && strings.HasPrefix(c.target, "http") {
				req := request(c.method, "/"+path)
				req.Host = host
				w = r.do(signed(req, c.who, secret))
			} else {
				w = ask(c.method, c.target, c.who)
			}
			if c.method == http.MethodHead {
				if w.Code != c.status || w.Body.Len() > 0 {
					t.Errorf("%d %q", w.Code, w.Body)
				}
				return
			}
			r.wantFault(w, c.status, c.code)
		})
	}
	if w := ask("PUT", "/workshop/copy", "ALL", "x-amz-copy-source", "/attic/theirs"); w.Code != http.StatusForbidden {
		t.Errorf("copy: %d %s", w.Code, w.Body)
	}
	w := ask(http.MethodGet, "/", "ONE")
	if body := w.Body.String(); !strings.Contains(body, "<Name>workshop</Name>") || strings.Contains(body, "attic") {
		t.Errorf("buckets: %s", body)
	}
	w = ask(http.MethodHead, "/workshop", "ONE")
	if w.Code != http.StatusOK || w.Header().Get("x-amz-bucket-region") != "us-east-1" || w.Body.Len() > 0 {
		t.Errorf("head of a bucket: %d %v", w.Code, w.Header())
	}
}

func TestABucketMayBeNamedByTheHost(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Domain = "S3.farm.test." })
	r.put(1, "workshop/b", "content")
	for host, want := range map[string]int{
		"workshop.s3.farm.test": 200, "WORKSHOP.s3.farm.test:9000": 200, "attic.s3.farm.test": 404, "s3.farm.test": 404, "[::1]:9000": 404,
	} {
		req := request(http.MethodGet, "/workshop/b")
		req.Host = host
		if w := r.do(signed(req, "ALL", secret)); w.Code != want {
			t.Errorf("%s: %d %s", host, w.Code, w.Body)
		}
	}
}

// An object that cannot be read whole is not taken for whole.
func TestAnObjectThatEndsEarlyCutsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(1, "a", strings.Repeat("x", 1<<20))
		r.cut = 300_000
		client, stop := serve(t, r)
		defer stop()
		res, err := client.Do(signed(request(http.MethodGet, "/workshop/a"), "ALL", secret))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err == nil || n != 300_000 {
			t.Errorf("%d bytes and %v", n, err)
		}
		if !strings.Contains(r.log.String(), "ended early") {
			t.Errorf("the log does not tell: %s", r.log)
		}
	})
}

// serve serves a rig over a network in memory.
func serve(t *testing.T, r *rig) (*http.Client, func()) {
	t.Helper()
	network := memnet.New()
	l, err := network.Listen("door.test:80")
	if err != nil {
		t.Fatal(err)
	}
	server, done := r.door.Server(), make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	transport := &http.Transport{DialContext: network.Dialer("client.test"), DisableCompression: true}
	return &http.Client{Transport: transport}, func() {
		transport.CloseIdleConnections()
		if err := errors.Join(server.Close(), <-done); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
}

// A client that takes nothing is given up; one that takes a little is not.
func TestAStalledClientIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		const size = 64 << 20
		r.put(1, "a", strings.Repeat("x", size))
		client, stop := serve(t, r)
		defer stop()
		res, err := client.Do(signed(request(http.MethodGet, "/workshop/a"), "ALL", secret))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		for range 5 {
			time.Sleep(stallTime - time.Second)
			if _, err := io.CopyN(io.Discard, res.Body, 4<<20); err != nil {
				t.Fatalf("a slow client was given up: %v", err)
			}
		}
		time.Sleep(2 * stallTime)
		if n, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Errorf("a stalled client still got %d bytes", n)
		}
	})
}

func TestNotTooManyObjectsAreReadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.MaxOpen = 2 })
		r.put(1, "a", "content")
		r.stall = make(chan struct{})
		got := make(chan int, 2)
		for range 2 {
			go func() { got <- r.get("/workshop/a").Code }()
		}
		synctest.Wait()
		w := r.get("/workshop/a")
		r.wantFault(w, http.StatusServiceUnavailable, "SlowDown")
		if w.Header().Get("Retry-After") == "" {
			t.Error("it does not say when to come again")
		}
		if w := r.get("/workshop"); w.Code != http.StatusOK {
			t.Errorf("a list: %d", w.Code)
		}
		close(r.stall)
		if a, b := <-got, <-got; a != 200 || b != 200 {
			t.Errorf("%d, %d", a, b)
		}
		if w := r.get("/workshop/a"); w.Code != http.StatusOK {
			t.Errorf("afterwards: %d", w.Code)
		}
	})
}

func TestAStoreThatIsAwayIsToldAsSuch(t *testing.T) {
	r := newRig(t)
	r.put(1, "a", "content")
	for code, want := range map[farm.Code]string{
		farm.Unavailable: "ServiceUnavailable", farm.FileUnavailable: "NoSuchKey", farm.Internal: "InternalError",
	} {
		r.openErr = farm.Errorf(code, "the bucket of /srv/secret says no")
		w := r.get("/workshop/a")
		r.wantFault(w, map[string]int{"ServiceUnavailable": 503, "NoSuchKey": 404, "InternalError": 500}[want], want)
		if strings.Contains(w.Body.String(), "/srv") {
			t.Errorf("it tells what is inside: %s", w.Body)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("/workshop/a", "list-type=2&prefix=a", "AWS4-HMAC-SHA256 Credential=ALL/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x", "bytes=0-1")
	f.Add("/", "X-Amz-Signature=x&X-Amz-Credential=a/b/c/s3/aws4_request", "", "bytes=-")
	r := newRig(f)
	r.put(1, "a", "content")
	f.Fuzz(func(t *testing.T, path, query, auth, span string) {
		req := request(http.MethodGet, "/")
		req.URL = &url.URL{Path: path, RawQuery: query}
		req.Header.Set("Range", span)
		if auth != "" {
			req.Header.Set("Authorization", auth)
		}
		if w := r.do(req); w.Code < 400 || w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body) // nobody signed it
		}
		req.Header.Del("Authorization")
		req.Header.Del("X-Amz-Date")
		w := r.do(signed(req, "ALL", secret)) // and whatever it says, it is answered
		if w.Code >= 500 && w.Code != http.StatusNotImplemented || bytes.Contains(w.Body.Bytes(), []byte(secret.Reveal())) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
