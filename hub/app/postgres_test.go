package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bambuddy/hub/internal/store/pgtest"
	"bambuddy/shared/farm"
)

// A database that is stuck must not stop the live picture: frames go on coming in
// and are shown. What has to be written waits and is written in the end.
func TestATransactionHeldOpenInPostgreSQL(t *testing.T) {
	server, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	url := server.URL(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	parts.Go(func() {
		err := Run(ctx, Options{
			DataDir: t.TempDir(), DatabaseURL: farm.Secret(url), Listener: l, Log: slog.New(slog.DiscardHandler),
			SecretKeys: []farm.Secret{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
			Limits:     farm.Limits{Read: 1 << 20, Write: 1 << 20},
		})
		if err != nil {
			t.Error(err)
		}
	})
	h := &client{t: t, url: "http://" + l.Addr().String()}
	h.await("the hub", func() bool { return h.do("GET", "/health", nil, nil) == 200 })
	agent, hubID := h.prepare(url)
	parts.Go(func() { agent.run(ctx, hubID, h.url) })
	var printers []struct {
		Connected bool   `json:"connected"`
		LastSeen  string `json:"last_seen"`
	}
	list := func() bool { return h.do("GET", "/api/v1/printers", nil, &printers) == 200 }
	h.await("the printer online", func() bool { return list() && printers[0].Connected })

	db, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	held, err := db.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(ctx, `UPDATE counters SET value = value WHERE name IN ('events', 'fences')`); err != nil {
		t.Fatal(err)
	}
	added := make(chan int, 1)
	parts.Go(func() {
		added <- h.do("POST", "/api/v1/printers", map[string]any{
			"name": "second", "serial_number": "01P00A000000009", "access_code": "12345678", "ip_address": "192.0.2.9",
		}, nil)
	})
	before := printers[0].LastSeen
	h.await("newer state while the database is stuck", func() bool { return list() && printers[0].LastSeen > before })
	select {
	case status := <-added:
		t.Errorf("a change that could not be written was answered with %d", status)
	default:
	}
	if err := held.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if status := <-added; status != 201 {
		t.Errorf("the change was answered with %d", status)
	}
}

// client asks a hub over the network.
type client struct {
	t        *testing.T
	url, key string
}

func (c *client) do(method, path string, body, into any) int {
	var in bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&in).Encode(body); err != nil {
			c.t.Error(err)
			return 0
		}
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, &in)
	if err != nil {
		c.t.Error(err)
		return 0
	}
	req.Header.Set("X-API-Key", c.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	if into != nil && json.NewDecoder(res.Body).Decode(into) != nil {
		return 0
	}
	return res.StatusCode
}

func (c *client) await(what string, holds func() bool) {
	c.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !holds(); <-tick.C {
		if time.Now().After(end) {
			c.t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// prepare makes a key, and an agent with one printer.
func (c *client) prepare(url string) (*loadAgent, string) {
	c.t.Helper()
	admin, err := OpenAdmin(c.t.Context(), c.t.TempDir(), farm.Secret(url))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	key, err := admin.NewKey(c.t.Context(), "test", farm.Permissions, farm.Limits{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.key = key.Reveal()
	agent := newLoadAgent(c.t, admin.db, 0)
	var added struct{ ID int64 }
	status := c.do("POST", "/api/v1/printers", map[string]any{
		"name": "first", "serial_number": "00M00A000000001", "access_code": "12345678", "ip_address": "192.0.2.1",
	}, &added)
	if status != 201 {
		c.t.Fatalf("the printer was answered with %d", status)
	}
	p, err := admin.db.Printer(c.t.Context(), added.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	agent.serials, agent.fences = []string{p.Serial}, []int64{p.Fence}
	hubID, _ := admin.db.Hub()
	return agent, hubID
}
