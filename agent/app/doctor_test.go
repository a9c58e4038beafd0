package app

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/agent/internal/fleet"
	"bambuddy/agent/internal/hublink"
	"bambuddy/shared/atomicfile"
	"bambuddy/shared/bambu"
	"bambuddy/shared/dirlock"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/simprinter"
	"bambuddy/shared/wire"
)

// clinic is an agent's data directory with one simulated printer, and a hub that
// tells its health.
type clinic struct {
	dir     string
	network *memnet.Network
	farm    *simprinter.Farm
}

const patientCode = "24681357"

func newClinic(t *testing.T, health http.HandlerFunc) *clinic {
	t.Helper()
	c := &clinic{dir: t.TempDir(), network: memnet.New()}
	if err := os.Chmod(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := hublink.SaveIdentity(c.dir, hublink.Identity{HubURL: "http://hub:80", HubID: hubID, AgentID: "agent-1", Key: key}); err != nil {
		t.Fatal(err)
	}
	c.serveHub(t, health)
	c.startPrinter(t)
	return c
}

func (c *clinic) serveHub(t *testing.T, health http.HandlerFunc) {
	t.Helper()
	l, err := c.network.Listen("hub:80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: health, ReadHeaderTimeout: time.Minute}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		served.Wait()
	})
}

// startPrinter runs a P1S and has the agent hold it.
func (c *clinic) startPrinter(t *testing.T) {
	t.Helper()
	var err error
	c.farm, err = simprinter.NewFarm([]simprinter.Spec{{
		Serial: "01P00A000000001", Name: "Shop", Model: "P1S", AccessCode: patientCode, Address: "p", MQTTPort: 8883, FTPSPort: 990, CameraPort: 6000,
	}}, simprinter.Options{Listen: c.network.Listen})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var life sync.WaitGroup
	life.Go(func() {
		if err := c.farm.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		life.Wait()
	})
	<-c.farm.Ready()
	c.hold(t, patientCode)
}

// hold has the agent hold the printer with an access code.
func (c *clinic) hold(t *testing.T, code string) {
	t.Helper()
	f, err := fleet.New(fleet.Options{Dir: c.dir, HubID: hubID, Log: options(c.network, c.dir).Log})
	if err != nil {
		t.Fatal(err)
	}
	printer := wire.PrinterConfig{
		Serial: "01P00A000000001", Name: "Shop", Address: "p", MQTTPort: 8883, FTPSPort: 990, CameraPort: 6000,
		AccessCode: farm.Secret(code), Fence: 1,
	}
	if _, err := f.Apply(t.Context(), wire.Config{HubID: hubID, Generation: 1, Revision: 4, Printers: []wire.PrinterConfig{printer}}); err != nil {
		t.Fatal(err)
	}
}

func (c *clinic) examine(t *testing.T, serials ...string) (Examination, error) {
	t.Helper()
	return Doctor(t.Context(), DoctorOptions{
		DataDir: c.dir, Serials: serials, AllowPlain: true, Dial: c.network.Dialer("agent"), HubDial: c.network.Dialer("agent"),
	})
}

func healthy(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/health" {
		w.WriteHeader(http.StatusNotFound)
	}
}

// troubles are the checks that failed or warn, but for ffmpeg's, which depends on
// the machine.
func troubles(checks []wire.Check) []string {
	var all []string
	for _, c := range checks {
		if (c.Result == wire.Fail || c.Result == wire.Warn) && c.ID != "ffmpeg" {
			all = append(all, c.ID+" "+string(c.Result))
		}
	}
	return all
}

func find(t *testing.T, checks []wire.Check, id string) wire.Check {
	t.Helper()
	for _, c := range checks {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no check %s", id)
	return wire.Check{}
}

func TestDoctorWithoutARunningAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic(t, healthy)
		before := files(t, c.dir)
		e, err := c.examine(t)
		if err != nil {
			t.Fatal(err)
		}
		if got := troubles(e.Agent); !slices.Equal(got, []string{"running warn"}) {
			t.Errorf("of the agent: %v", got)
		}
		if len(e.Printers) != 1 {
			t.Fatalf("%d printers", len(e.Printers))
		}
		if got := troubles(e.Printers[0].Checks); len(got) != 0 {
			t.Errorf("of the printer: %v %+v", got, e.Printers[0])
		}
		for _, id := range []string{"access_code", "reports", "firmware", "files", "camera", "storage"} {
			if got := find(t, e.Printers[0].Checks, id); got.Result != wire.Pass {
				t.Errorf("%+v", got)
			}
		}
		if after := files(t, c.dir); !slices.Equal(before, after) {
			t.Errorf("it left %v where there was %v", after, before)
		}
		b, err := json.Marshal(e)
		if err != nil || strings.Contains(string(b), patientCode) {
			t.Errorf("the access code is told (%v)", err)
		}

		c.hold(t, "11111111")
		e, err = c.examine(t, strings.ToLower("01P00A000000001"))
		if err != nil {
			t.Fatal(err)
		}
		if got := find(t, e.Printers[0].Checks, "access_code"); got.Result != wire.Fail {
			t.Errorf("with a wrong code: %+v", got)
		}
		if _, err := c.examine(t, "22E00A000000009"); !farm.Is(err, farm.NotFound) {
			t.Errorf("a strange printer: %v", err)
		}
	})
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDoctorBesideARunningAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic(t, healthy)
		a := start(options(c.network, c.dir))
		time.Sleep(time.Minute)
		logins := func() int {
			n := 0
			for _, conn := range c.network.Conns("agent") {
				if conn.RemoteAddr().String() == "p:8883" {
					n++
				}
			}
			return n
		}
		if logins() != 1 {
			t.Fatalf("%d sessions", logins())
		}
		e, err := c.examine(t)
		if err != nil {
			t.Fatal(err)
		}
		if got := troubles(e.Agent); !slices.Equal(got, []string{"link fail"}) { // this hub is no more than its health
			t.Errorf("of the agent: %v %+v", got, e.Agent)
		}
		checks := e.Printers[0].Checks
		for id, want := range map[string]wire.Verdict{
			"running": wire.Pass, "access_code": wire.Pass, "reports": wire.Pass, "firmware": wire.Pass, "camera": wire.Skip,
		} {
			if got := find(t, append(e.Agent, checks...), id); got.Result != want || (want != wire.Pass) != (got.Mend != "") {
				t.Errorf("%+v", got)
			}
		}
		if logins() != 1 {
			t.Errorf("%d sessions afterwards", logins())
		}
		a.end(t)
	})
}

func TestDoctorOfAHub(t *testing.T) {
	for _, test := range []struct {
		name   string
		health http.HandlerFunc
		want   []string
	}{
		{"not well", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, []string{"hub warn"}},
		{"no hub", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, []string{"hub fail"}},
		{"no clock", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }, []string{"hub fail"}},
		{"wrong clock", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		}, []string{"clock warn"}},
		{"never answers", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []string{"hub fail"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClinic(t, test.health)
				e, err := c.examine(t)
				if err != nil {
					t.Fatal(err)
				}
				if got := troubles(e.Agent); !slices.Equal(got, append([]string{"running warn"}, test.want...)) {
					t.Errorf("%v", got)
				}
			})
		})
	}
}

func TestDoctorOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		dir := filepath.Join(t.TempDir(), "none")
		e, err := Doctor(t.Context(), DoctorOptions{DataDir: dir, Dial: network.Dialer("a"), HubDial: network.Dialer("a")})
		if err != nil {
			t.Fatal(err)
		}
		if got := troubles(e.Agent); !slices.Equal(got, []string{"data fail", "identity fail", "running warn", "config warn"}) {
			t.Errorf("%v", got)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it made %s (%v)", dir, err)
		}
	})
}

func TestHubErrorsHaveTheirMend(t *testing.T) {
	for _, test := range []struct{ url, words string }{
		{"http://hub.example:80", "--allow-plain"},
		{"http://127.0.0.1:1", "cannot be reached"},
		{"https://hub.example", "No address is known"},
	} {
		d := doctor{DoctorOptions: DoctorOptions{HubDial: func(context.Context, string, string) (net.Conn, error) {
			if strings.HasPrefix(test.url, "https") {
				return nil, &net.DNSError{Err: "no such host", Name: "hub.example", IsNotFound: true}
			}
			return nil, errors.New("connection refused")
		}}}
		d.identity.HubURL = test.url
		checks := d.examineHub(t.Context())
		if got := find(t, checks, "hub"); got.Result != wire.Fail || !strings.Contains(got.Detail+got.Mend, test.words) {
			t.Errorf("%s: %+v", test.url, got)
		}
	}
}

func TestStatusFacts(t *testing.T) {
	p := PrinterStatus{Serial: serial, State: wire.Online, Facts: &PrinterFacts{
		Firmware: "01.02.00.00", DeveloperMode: bambu.Some(true), SignedCommands: bambu.Some(false), Storage: bambu.Some(true), Wired: true,
	}}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var again PrinterStatus
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	m := again.session().Status.Machine
	if m.Firmware != "01.02.00.00" || m.DeveloperMode != bambu.Some(true) || m.Storage != bambu.Some(true) || !m.Wired {
		t.Errorf("%s became %+v", b, m)
	}
}

// unheard is in the place of the socket for announcements, which a bubble cannot wait for.
func unheard(context.Context) (net.PacketConn, error) { return nil, errors.New("the port is taken") }

func TestDiscover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		l, err := network.Listen("10.0.0.9:3000")
		if err != nil {
			t.Fatal(err)
		}
		reply := `{"login":{"command":"detect","id":"01P00A000000001","model":"C12","name":"Shop","version":"01.07.00.00","connect":"lan"}}`
		var served sync.WaitGroup
		served.Go(func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 200))
			_, _ = c.Write(append(append([]byte{0xA5, 0xA5, byte(len(reply) + 6), 0}, reply...), 0xA7, 0xA7))
			_ = c.Close()
		})
		found, err := Discover(t.Context(), DiscoverOptions{
			Ranges: []string{"10.0.0.8/29"}, Listen: time.Second, Dial: network.Dialer("a"), Hear: unheard, Log: options(network, "").Log,
		})
		_ = l.Close()
		served.Wait()
		if err != nil || len(found) != 1 || found[0].Model != "P1S" || found[0].Address != "10.0.0.9" || found[0].Developer == nil || !*found[0].Developer {
			t.Errorf("%+v, %v", found, err)
		}
		for _, bad := range []string{"8.8.8.0/24", "kitchen"} {
			if _, err := Discover(t.Context(), DiscoverOptions{Ranges: []string{bad}, Listen: time.Hour, Hear: unheard, Log: options(network, "").Log}); !farm.Is(err, farm.Invalid) {
				t.Errorf("%s: %v", bad, err)
			}
		}
	})
}

func TestADamagedStatusFile(t *testing.T) {
	dir := t.TempDir()
	lock, err := dirlock.Take(t.Context(), dir, lockFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	if err := atomicfile.WriteFile(filepath.Join(dir, statusFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := Doctor(t.Context(), DoctorOptions{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := find(t, e.Agent, "link"); got.Result != wire.Skip || !strings.Contains(got.Detail, "could not be asked") {
		t.Errorf("%+v", got)
	}
	if got := find(t, e.Agent, "running"); got.Result != wire.Warn || !strings.Contains(got.Detail, "cannot be read") {
		t.Errorf("%+v", got)
	}
}
