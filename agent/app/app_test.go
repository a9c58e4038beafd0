package app

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/agent/internal/hublink"
	"bambuddy/shared/dirlock"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

const (
	hubID  = "hub-1"
	serial = "00M00A000000001"
)

// hub welcomes the one agent of a test.
type hub struct {
	t       *testing.T
	key     ed25519.PublicKey
	server  *http.Server
	served  sync.WaitGroup
	control chan *tunnel.Client
}

// newHub enrols an agent in dir with a hub that listens on the network.
func newHub(t *testing.T, network *memnet.Network, dir string) *hub {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	identity := hublink.Identity{HubURL: "http://hub:80", HubID: hubID, AgentID: "agent-1", Key: private}
	if err := hublink.SaveIdentity(dir, identity); err != nil {
		t.Fatal(err)
	}
	l, err := network.Listen("hub:80")
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, key: public, control: make(chan *tunnel.Client, 4)}
	h.server = &http.Server{Handler: http.HandlerFunc(h.connect), ReadHeaderTimeout: 10 * time.Second}
	h.served.Go(func() { _ = h.server.Serve(l) })
	return h
}

func (h *hub) connect(w http.ResponseWriter, r *http.Request) {
	k, err := tunnel.Accept(w, r, hubID)
	if err != nil {
		return // the agent was stopped meanwhile; else the test waits for control in vain
	}
	if !k.SignedBy(h.key) {
		h.t.Error("signed by somebody else")
	}
	c, err := k.Welcome(r.Context(), "session-1")
	if err != nil {
		return // the agent was stopped meanwhile
	}
	if k.Lane == tunnel.Control {
		h.control <- c
	}
}

func (h *hub) close() {
	_ = h.server.Close()
	h.served.Wait()
}

// agent is an agent that runs.
type agent struct {
	ended chan error
	stop  context.CancelFunc
}

func start(options Options) *agent {
	ctx, cancel := context.WithCancel(context.Background())
	a := &agent{ended: make(chan error, 1), stop: cancel}
	go func() { a.ended <- Run(ctx, options) }()
	return a
}

func (a *agent) end(t *testing.T) {
	t.Helper()
	began := time.Now()
	a.stop()
	if err := <-a.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ending took %v", took)
	}
}

func options(network *memnet.Network, dir string) Options {
	return Options{
		DataDir: dir, Dial: network.Dialer("agent"), HubDial: network.Dialer("agent"), AllowPlain: true,
		Announcements: func(context.Context) (net.PacketConn, error) { return nil, errors.New("there are none in memory") },
		Log:           slog.New(slog.DiscardHandler),
	}
}

func config() wire.Config {
	return wire.Config{HubID: hubID, Generation: 1, Revision: 4, Printers: []wire.PrinterConfig{{
		Serial: serial, Address: "p", MQTTPort: 8883, FTPSPort: 990, AccessCode: "12345678", Fence: 1,
	}}}
}

func TestAgentOfAHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, dir := memnet.New(), t.TempDir()
		h := newHub(t, network, dir)
		defer h.close()
		a := start(options(network, dir))
		c := <-h.control

		var result wire.ConfigResult
		if err := c.Call(t.Context(), http.MethodPut, "/v1/config", config(), &result); err != nil || len(result.Applied) != 1 {
			t.Fatalf("%+v, %v", result, err)
		}
		<-time.After(10 * time.Second)
		var hello wire.Hello
		if err := c.Call(t.Context(), http.MethodGet, "/v1/hello", nil, &hello); err != nil {
			t.Fatal(err)
		}
		if hello.Revision != 4 || len(hello.Printers) != 1 || hello.BootID == "" || hello.Version == "" {
			t.Errorf("%+v", hello)
		}
		frame := firstFrame(t, c)
		if frame.Serial != serial || !frame.Whole || frame.Connection == nil || frame.Connection.State != wire.Unreachable {
			t.Errorf("%+v", frame)
		}
		refresh := wire.Command{ID: "1", Fence: 1, ValidMS: 1000, Kind: wire.Refresh}
		if err := c.Call(t.Context(), http.MethodPost, "/v1/printers/"+serial+"/commands", refresh, nil); !farm.Is(err, farm.PrinterNotConnected) {
			t.Errorf("err = %v", err)
		}

		s, err := ReadStatus(dir)
		if err != nil || !s.Hub.Connected || len(s.Printers) != 1 || s.Printers[0].State != wire.Unreachable || s.PID != os.Getpid() {
			t.Errorf("%+v, %v", s, err)
		}
		if err := Run(t.Context(), options(network, dir)); !errors.Is(err, dirlock.ErrHeld) {
			t.Errorf("a second agent: %v", err)
		}
		a.end(t)
		if _, err := ReadStatus(dir); !errors.Is(err, ErrNotRunning) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func firstFrame(t *testing.T, c *tunnel.Client) wire.StateFrame {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://agent/v1/state", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	line, err := bufio.NewReader(resp.Body).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var frame wire.StateFrame
	if err := json.Unmarshal(line, &frame); err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestWithoutItsHubAnAgentGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, dir := memnet.New(), t.TempDir()
		h := newHub(t, network, dir)
		a := start(options(network, dir))
		c := <-h.control
		if err := c.Call(t.Context(), http.MethodPut, "/v1/config", config(), nil); err != nil {
			t.Fatal(err)
		}
		a.end(t)
		h.close()

		dialled := make(chan string, 100)
		o := options(network, dir)
		o.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled <- addr
			return nil, errors.New("nobody there")
		}
		a = start(o)
		if addr := <-dialled; addr != "p:8883" {
			t.Errorf("dialled %s", addr)
		}
		<-time.After(10 * time.Second)
		s, err := ReadStatus(dir)
		if err != nil || s.Hub.Connected || s.Hub.Problem == "" || len(s.Printers) != 1 || s.Printers[0].Detail == "" {
			t.Errorf("%+v, %v", s, err)
		}
		b, err := os.ReadFile(filepath.Join(dir, statusFile))
		if err != nil || strings.Contains(string(b), "12345678") {
			t.Errorf("the access code is in the status file (%v)", err)
		}
		a.end(t)
	})
}

func TestNotEnrolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "made", "here")
		if err := Run(t.Context(), options(memnet.New(), dir)); !farm.Is(err, farm.NotFound) {
			t.Errorf("err = %v", err)
		}
		if held, err := dirlock.Held(dir, lockFile); held || err != nil {
			t.Errorf("still locked: %v %v", held, err)
		}
	})
}

func TestPartsEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		waits := func(ctx context.Context) error { <-ctx.Done(); return nil }
		if err := runAll(t.Context(), waits, func(context.Context) error { return broken }, waits); !errors.Is(err, broken) {
			t.Errorf("err = %v", err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		stuck := make(chan struct{})
		time.AfterFunc(time.Minute, cancel)
		began := time.Now()
		err := runAll(ctx, waits, func(context.Context) error { <-stuck; return nil })
		if took := time.Since(began); err == nil || took != time.Minute+drainTime {
			t.Errorf("with a part that does not end: %v after %v", err, took)
		}
		close(stuck)
	})
}
