package ftps

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/ftpserver"
	"bambuddy/shared/memnet"
)

const code = "12345678"

// rig is a printer's file server and a client of it, on a network in memory
// inside a bubble.
type rig struct {
	t      *testing.T
	net    *memnet.Network
	serial string
	model  bambu.Model
	client *Client
	files  *card
	quirks atomic.Pointer[ftpserver.Quirks]
	log    bytes.Buffer

	mu     sync.Mutex
	dialed []string
	code   string
}

// card is a storage that counts and can fail at the end of an upload.
type card struct {
	*ftpserver.Memory
	mu      sync.Mutex
	created int
	spoil   error
}

type spoiling struct {
	ftpserver.Upload
	err error
}

func (s spoiling) Commit() error {
	s.Discard()
	return s.err
}

func (c *card) Create(name string) (ftpserver.Upload, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.created++
	u, err := c.Memory.Create(name)
	if err == nil && c.spoil != nil {
		u = spoiling{u, c.spoil}
	}
	return u, err
}

func (c *card) uploads() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.created
}

// bubble runs a test beside a printer of a model and the server it has.
func bubble(t *testing.T, model string, k ftpserver.Character, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, ok := bambu.ModelByCode(model)
		if !ok {
			t.Fatalf("no model %s", model)
		}
		r := &rig{t: t, net: memnet.New(), serial: m.Prefix + "00A000000001", model: m, code: code, files: &card{Memory: ftpserver.NewMemory(8<<20, "/cache")}}
		r.quirk(ftpserver.Quirks{})
		r.client = r.newClient()
		l, err := r.net.Listen("printer:990")
		if err != nil {
			t.Fatal(err)
		}
		s := ftpserver.New(ftpserver.Options{
			TLS:       &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{newCert(t, r.serial)}},
			Login:     func(user, password string) bool { return user == "bblp" && password == code },
			Storage:   r.files,
			Character: k, Listen: r.net.Listen,
			Quirks: func() ftpserver.Quirks { return *r.quirks.Load() },
		})
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan error, 1)
		go func() { over <- s.Serve(ctx, l) }()
		defer func() {
			cancel()
			if err := <-over; err != nil {
				t.Error(err)
			}
			if strings.Contains(r.log.String(), code) {
				t.Error("the log shows the access code")
			}
		}()
		test(t, r)
	})
}

func (r *rig) newClient() *Client {
	dial := r.net.Dialer("agent")
	return New(Options{
		Target: func(serial string) (Target, error) {
			if serial != r.serial {
				return Target{}, farm.Errorf(farm.NotFound, "no printer %s", serial)
			}
			return r.target(), nil
		},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			r.mu.Lock()
			r.dialed = append(r.dialed, addr)
			r.mu.Unlock()
			return dial(ctx, network, addr)
		},
		Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
}

func (r *rig) target() Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Target{Serial: r.serial, Address: "printer:990", AccessCode: farm.Secret(r.code), Model: r.model, TLS: template(r.serial)}
}

func (r *rig) quirk(q ftpserver.Quirks) { r.quirks.Store(&q) }

func (r *rig) upload(path string, content []byte) error {
	return r.client.Upload(r.t.Context(), r.serial, path, bytes.NewReader(content), int64(len(content)), nil)
}

func (r *rig) download(path string, offset int64) ([]byte, error) {
	var got bytes.Buffer
	_, err := r.client.Download(r.t.Context(), r.serial, path, offset, &got, nil)
	return got.Bytes(), err
}

func (r *rig) holds(path string, want []byte) {
	r.t.Helper()
	r.quirk(ftpserver.Quirks{})
	got, err := r.download(path, 0)
	if err != nil || !bytes.Equal(got, want) {
		r.t.Errorf("%s: %d bytes instead of %d, %v", path, len(got), len(want), err)
	}
}

// want fails unless err has the code, "" for none, and says nothing secret.
func (r *rig) want(what string, err error, code farm.Code) {
	r.t.Helper()
	if farm.CodeOf(err) != code {
		r.t.Errorf("%s: %v (%s), want %q", what, err, farm.CodeOf(err), code)
	}
	if err != nil && strings.Contains(err.Error(), r.target().AccessCode.Reveal()) {
		r.t.Errorf("%s: the error shows the access code", what)
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// took fails when something has not taken about as long as it should.
func (r *rig) took(what string, begun time.Time, least, most time.Duration) {
	r.t.Helper()
	if d := time.Since(begun); d < least || d > most {
		r.t.Errorf("%s took %v, not %v to %v", what, d, least, most)
	}
}
