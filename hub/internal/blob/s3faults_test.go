package blob_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
)

const secretKey = "a-secret-that-nobody-sees"

// liar is an S3 service that does what a real one cannot be made to do.
type liar struct {
	put    func(w http.ResponseWriter, q *http.Request) // nil: takes it and says yes
	holds  []byte                                       // what it gives and says it holds
	etag   string
	absent bool // it holds nothing
	bucket int  // status of a HEAD of the bucket, 0 is 200
	get    func(w http.ResponseWriter, q *http.Request)
	asked  atomic.Int64
}

func (l *liar) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	l.asked.Add(1)
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	switch {
	case strings.Trim(q.URL.Path, "/") == "objects":
		w.WriteHeader(max(l.bucket, http.StatusOK))
	case q.Method == http.MethodPut && l.put != nil:
		l.put(w, q)
	case q.Method == http.MethodPut:
		_, _ = io.Copy(io.Discard, q.Body)
	case q.Method == http.MethodGet && l.get != nil:
		l.get(w, q)
	case l.absent:
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("ETag", `"`+l.etag+`"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(l.holds)))
		if q.Method == http.MethodGet {
			_, _ = w.Write(l.holds)
		}
	}
}

// refuse answers with an error of S3's.
func refuse(status int, code string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
}

// against runs a test in a bubble, with a store in the liar's hands.
func against(t *testing.T, l *liar, test func(t *testing.T, s *blob.S3, n *memnet.Network)) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		listener, err := network.Listen("s3:80")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: l}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		conns := &closer{dial: network.Dialer("hub"), conns: make(chan net.Conn, 100)}
		s, err := blob.NewS3(blob.S3Config{
			Endpoint: "http://s3:80", Bucket: "objects", AccessKey: "k", SecretKey: secretKey, Dial: conns.Dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			conns.close()
			_ = server.Close()
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("the liar: %v", err)
			}
		})
		test(t, s, network)
	})
}

// closer remembers the connections, so that none outlives the bubble.
type closer struct {
	dial  func(context.Context, string, string) (net.Conn, error)
	conns chan net.Conn
}

func (c *closer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, addr)
	if err == nil {
		c.conns <- conn
	}
	return conn, err
}

func (c *closer) close() {
	for {
		select {
		case conn := <-c.conns:
			_ = conn.Close()
		default:
			return
		}
	}
}

func md5of(data []byte) string { return fmt.Sprintf("%x", md5.Sum(data)) }

func TestWhatAStoreSaysItKept(t *testing.T) {
	data := []byte("the whole object")
	other := []byte("THE WHOLE OBJECT")
	for name, c := range map[string]struct {
		liar *liar
		want string // in the error; "" is none
	}{
		"kept":              {&liar{holds: data, etag: md5of(data)}, ""},
		"kept, encrypted":   {&liar{holds: data, etag: "not-the-md5"}, ""},
		"cut short":         {&liar{holds: data[:7], etag: md5of(data)}, "7 of its 16 bytes"},
		"forgotten":         {&liar{absent: true}, "does not hold it"},
		"something else":    {&liar{holds: other, etag: md5of(other)}, "something else"},
		"empty":             {&liar{etag: md5of(nil)}, "0 of its 16 bytes"},
		"no bucket at all":  {&liar{absent: true, bucket: http.StatusNotFound}, "no bucket objects"},
		"refused":           {&liar{put: refuse(http.StatusForbidden, "SignatureDoesNotMatch")}, "refuses our key (SignatureDoesNotMatch)"},
		"another region":    {&liar{put: refuse(http.StatusMovedPermanently, "PermanentRedirect")}, "301 (PermanentRedirect)"},
		"no room":           {&liar{put: refuse(http.StatusInsufficientStorage, "XStorageFull")}, "507 (XStorageFull)"},
		"a bucket not made": {&liar{put: refuse(http.StatusNotFound, "NoSuchBucket")}, "no bucket objects"},
	} {
		t.Run(name, func(t *testing.T) {
			against(t, c.liar, func(t *testing.T, s *blob.S3, _ *memnet.Network) {
				info, err := s.Put(t.Context(), "x", bytes.NewReader(data), int64(len(data)), blob.PutOptions{})
				if c.want == "" {
					if err != nil || info.Size != 16 {
						t.Errorf("%+v, %v", info, err)
					}
					return
				}
				if !farm.Is(err, farm.Unavailable) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want UNAVAILABLE with %q", err, c.want)
				}
				if strings.Contains(err.Error(), secretKey) {
					t.Errorf("the secret is in %v", err)
				}
			})
		})
	}
}

func TestABucketThatIsGoneIsNoLostObject(t *testing.T) {
	for name, l := range map[string]*liar{
		"gone": {absent: true, bucket: http.StatusNotFound}, "refused": {absent: true, bucket: http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			against(t, l, func(t *testing.T, s *blob.S3, _ *memnet.Network) {
				if _, err := s.Stat(t.Context(), "x"); !farm.Is(err, farm.Unavailable) {
					t.Errorf("stat: %v, want UNAVAILABLE", err)
				}
			})
		})
	}
	against(t, &liar{absent: true}, func(t *testing.T, s *blob.S3, _ *memnet.Network) {
		if _, err := s.Stat(t.Context(), "x"); !farm.Is(err, farm.NotFound) {
			t.Errorf("stat: %v, want NOT_FOUND", err)
		}
	})
}

func TestHowOftenAStoreIsAsked(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   int64
	}{{403, "AccessDenied", 1}, {503, "SlowDown", 3}, {500, "InternalError", 3}, {429, "TooManyRequests", 3}} {
		l := &liar{put: refuse(c.status, c.code)}
		against(t, l, func(t *testing.T, s *blob.S3, _ *memnet.Network) {
			_, err := s.Put(t.Context(), "x", strings.NewReader("x"), 1, blob.PutOptions{})
			if !farm.Is(err, farm.Unavailable) || l.asked.Load() != c.want {
				t.Errorf("%d: asked %d times, want %d; %v", c.status, l.asked.Load(), c.want, err)
			}
		})
	}
}

// hang answers nothing until the caller has gone.
func hang(_ http.ResponseWriter, q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body) // a server sees the end of a connection only behind the body
	<-q.Context().Done()
}

func TestAStoreThatSaysNothing(t *testing.T) {
	against(t, &liar{put: hang, get: hang}, func(t *testing.T, s *blob.S3, n *memnet.Network) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := s.Put(ctx, "x", strings.NewReader("x"), 1, blob.PutOptions{})
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second {
			t.Errorf("a call of 5 s took %s: %v", took, err)
		}
		for what, call := range map[string]func() error{
			"put": func() error {
				_, err := s.Put(t.Context(), "x", strings.NewReader("x"), 1, blob.PutOptions{})
				return err
			},
			"get": func() error {
				_, _, err := s.Get(t.Context(), "x", 0, -1)
				return err
			},
		} {
			began = time.Now()
			err = call()
			if took := time.Since(began); !farm.Is(err, farm.Unavailable) || took > 4*time.Minute {
				t.Errorf("%s took %s: %v", what, took, err)
			}
		}
		n.Cut("hub") // a cable is pulled: nothing is heard even of connections
		began = time.Now()
		err = s.Check(t.Context())
		if took := time.Since(began); !farm.Is(err, farm.Unavailable) || took > 4*time.Minute {
			t.Errorf("check took %s: %v", took, err)
		}
		n.Heal("hub")
	})
}

func TestABodyThatStopsComing(t *testing.T) {
	const announced = 1000
	stall := func(cut bool) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(announced))
			_, _ = w.Write(make([]byte, 400))
			_ = http.NewResponseController(w).Flush()
			if !cut {
				<-q.Context().Done()
			}
		}
	}
	for name, cut := range map[string]bool{"cut": true, "stalled": false} {
		t.Run(name, func(t *testing.T) {
			against(t, &liar{get: stall(cut)}, func(t *testing.T, s *blob.S3, _ *memnet.Network) {
				r, info, err := s.Get(t.Context(), "x", 0, -1)
				if err != nil || info.Size != announced {
					t.Fatalf("%+v, %v", info, err)
				}
				began := time.Now()
				got, err := io.ReadAll(r)
				if took := time.Since(began); len(got) != 400 || !farm.Is(err, farm.Unavailable) || took > 2*time.Minute {
					t.Errorf("read %d bytes in %s, %v; want 400 and UNAVAILABLE", len(got), took, err)
				}
				_ = r.Close()
			})
		})
	}
}

func TestARangeThatIsAnother(t *testing.T) {
	for name, get := range map[string]func(http.ResponseWriter, *http.Request){
		"none":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) },
		"another": func(w http.ResponseWriter, _ *http.Request) { part(w, "bytes 0-9/1000") },
		"strange": func(w http.ResponseWriter, _ *http.Request) { part(w, "lines 10-19") },
	} {
		t.Run(name, func(t *testing.T) {
			against(t, &liar{get: get}, func(t *testing.T, s *blob.S3, _ *memnet.Network) {
				if _, _, err := s.Get(t.Context(), "x", 10, 10); !farm.Is(err, farm.Unavailable) {
					t.Errorf("%v, want UNAVAILABLE", err)
				}
			})
		})
	}
}

func part(w http.ResponseWriter, which string) {
	w.Header().Set("Content-Range", which)
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(make([]byte, 10))
}

// TestSlowIsNotSilent sends an object for longer than a silent store is waited for.
func TestSlowIsNotSilent(t *testing.T) {
	data := bytes.Repeat([]byte("slow"), 1<<20)
	l := &liar{holds: data, etag: md5of(data)}
	against(t, l, func(t *testing.T, s *blob.S3, n *memnet.Network) {
		n.Throttle("hub", 30<<10)
		began := time.Now()
		_, err := s.Put(t.Context(), "x", bytes.NewReader(data), int64(len(data)), blob.PutOptions{})
		if took := time.Since(began); err != nil || took < 2*time.Minute || l.asked.Load() != 2 {
			t.Errorf("took %s, asked %d times: %v", took, l.asked.Load(), err)
		}
	})
}

// TestAStoreThatStopsTaking: an upload is not waited for either when nothing of it is taken.
func TestAStoreThatStopsTaking(t *testing.T) {
	data := make([]byte, 8<<20)
	stuck := func(_ http.ResponseWriter, q *http.Request) {
		ctx, cancel := context.WithTimeout(q.Context(), time.Hour)
		defer cancel()
		<-ctx.Done()
	}
	against(t, &liar{put: stuck}, func(t *testing.T, s *blob.S3, _ *memnet.Network) {
		began := time.Now()
		_, err := s.Put(t.Context(), "x", bytes.NewReader(data), int64(len(data)), blob.PutOptions{})
		if took := time.Since(began); !farm.Is(err, farm.Unavailable) || took > 4*time.Minute {
			t.Errorf("took %s: %v", took, err)
		}
		time.Sleep(2 * time.Hour) // for those that are stuck
	})
}

func TestSettingsOfS3(t *testing.T) {
	good := blob.S3Config{Endpoint: "https://s3.example", Bucket: "objects", AccessKey: "k", SecretKey: secretKey}
	if _, err := blob.NewS3(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*blob.S3Config){
		"no endpoint": func(c *blob.S3Config) { c.Endpoint = "" }, "a path": func(c *blob.S3Config) { c.Endpoint += "/b" },
		"no scheme": func(c *blob.S3Config) { c.Endpoint = "s3.example:443" }, "another scheme": func(c *blob.S3Config) { c.Endpoint = "ftp://x" },
		"a user": func(c *blob.S3Config) { c.Endpoint = "https://u:p@s3.example" }, "no bucket": func(c *blob.S3Config) { c.Bucket = "" }, "a bad bucket": func(c *blob.S3Config) { c.Bucket = "a/b" },
		"no key": func(c *blob.S3Config) { c.AccessKey = "" }, "no secret": func(c *blob.S3Config) { c.SecretKey = "" },
		"a prefix up": func(c *blob.S3Config) { c.Prefix = "../x" }, "a long prefix": func(c *blob.S3Config) { c.Prefix = strings.Repeat("x", 101) },
		"no such CA": func(c *blob.S3Config) { c.CAFile = "/none" }, "no CA": func(c *blob.S3Config) { c.CAFile = "s3faults_test.go" },
	} {
		c := good
		change(&c)
		if _, err := blob.NewS3(c); !farm.Is(err, farm.Invalid) || strings.Contains(err.Error(), secretKey) {
			t.Errorf("%s: %v, want VALIDATION_ERROR", name, err)
		}
	}
}
