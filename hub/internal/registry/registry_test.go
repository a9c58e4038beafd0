package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"strings"
	"testing"
	"time"

	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// picture is the live picture as the registry uses it.
type picture struct {
	printers map[int64]farm.Printer
	agents   map[int64]farm.Agent
	printing bool
	away     bool // no agent is connected
}

func (p *picture) Put(f farm.Printer)        { p.printers[f.ID] = f }
func (p *picture) Remove(id int64)           { delete(p.printers, id) }
func (p *picture) PutAgent(a farm.Agent)     { p.agents[a.ID] = a }
func (p *picture) RemoveAgent(id int64)      { delete(p.agents, id) }
func (p *picture) InPrint(int64) bool        { return p.printing }
func (p *picture) AgentConnected(int64) bool { return !p.away }

// rig is a registry on a real store with a real key.
type rig struct {
	*Registry
	t    *testing.T
	dir  string
	db   *store.DB
	live *picture
	log  bytes.Buffer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	box, err := secrets.Open(t.Context(), secrets.Options{Dir: dir, Canary: db})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, db: db, live: &picture{printers: map[int64]farm.Printer{}, agents: map[int64]farm.Agent{}}}
	r.Registry = New(Options{Store: db, Sealer: box, Live: r.live, Log: slog.New(slog.NewTextHandler(&r.log, nil))})
	return r
}

func example(serial string) NewPrinter {
	return NewPrinter{Name: "New Printer", Address: "192.168.1.101", AccessCode: "12345678", Serial: serial}
}

func (r *rig) add(n NewPrinter) farm.Printer {
	r.t.Helper()
	p, err := r.AddPrinter(r.t.Context(), n)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) site(name string) farm.Site {
	r.t.Helper()
	s, err := r.AddSite(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// agent enrols one at a site, by its token as an agent does.
func (r *rig) agent(site int64) farm.Agent {
	r.t.Helper()
	token, _, err := r.NewEnrolment(r.t.Context(), site, "https://hub.example", "")
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, err := wire.ParseToken(token.Reveal())
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := r.RedeemEnrolment(r.t.Context(), sha256.Sum256([]byte(parsed.Secret)), farm.Agent{UID: parsed.Secret, Name: "agent"})
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) wantError(err error, code farm.Code, mentions string) {
	r.t.Helper()
	if !farm.Is(err, code) || !strings.Contains(err.Error(), mentions) {
		r.t.Errorf("got %v, want %s about %q", err, code, mentions)
	}
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		r.t.Errorf("the access code shows: %v", err)
	}
}

func to[T any](v T) *T { return &v }

func TestWrongInputNamesItsField(t *testing.T) {
	r := newRig(t)
	for field, change := range map[string]func(*NewPrinter){
		"name":                      func(n *NewPrinter) { n.Name = "  " },
		"name:":                     func(n *NewPrinter) { n.Name = strings.Repeat("x", 101) },
		"serial_number":             func(n *NewPrinter) { n.Serial = "A/B+#" },
		"serial_number:":            func(n *NewPrinter) { n.Serial = "" },
		"ip_address":                func(n *NewPrinter) { n.Address = "http://192.0.2.1" },
		"ip_address:":               func(n *NewPrinter) { n.Address = "192.0.2.1:8883" },
		"ip_address: must":          func(n *NewPrinter) { n.Address = "192.0.2" },
		"ip_address: must be":       func(n *NewPrinter) { n.Address = "255.255.255.255" },
		"ip_address: must be an":    func(n *NewPrinter) { n.Address = "0x7f000001" },
		"ip_address: must be an IP": func(n *NewPrinter) { n.Address = "printer.0x7f" },
		"access_code":               func(n *NewPrinter) { n.AccessCode = "" },
		"access_code:":              func(n *NewPrinter) { n.AccessCode = "hunter2 with spaces" },
		"model":                     func(n *NewPrinter) { n.Model = "Prusa" },
		"mqtt_port":                 func(n *NewPrinter) { n.MQTTPort = 70000 },
		"ftps_port":                 func(n *NewPrinter) { n.FTPSPort = -1 },
		"camera_port":               func(n *NewPrinter) { n.CameraPort = -1 },
		"tags":                      func(n *NewPrinter) { n.Tags = make([]string, 21) },
		"tags:":                     func(n *NewPrinter) { n.Tags = []string{""} },
		"location":                  func(n *NewPrinter) { n.Location = "a\x00b" },
		"agent_id":                  func(n *NewPrinter) { n.AgentID = to(int64(9)) },
		"site_id":                   func(n *NewPrinter) { n.SiteID = to(int64(9)) },
	} {
		n := example("01P00A000000002")
		change(&n)
		_, err := r.AddPrinter(t.Context(), n)
		code := farm.Invalid
		if n.AgentID != nil || n.SiteID != nil { // what is not there
			code = farm.NotFound
		}
		r.wantError(err, code, field)
	}
	if len(r.live.printers) != 0 {
		t.Errorf("refused printers are in the picture: %v", r.live.printers)
	}
	_, err := r.AddSite(t.Context(), "")
	r.wantError(err, farm.Invalid, "name")
}

func TestAHubWithoutAgentsTakesPrinters(t *testing.T) {
	r := newRig(t)
	p := r.add(example(" 01p00a000000002 "))
	if p.Serial != "01P00A000000002" || p.AgentID != 0 || p.SiteID != farm.DefaultSiteID || p.MQTTPort != 8883 || p.FTPSPort != 990 {
		t.Errorf("added: %+v", p)
	}
	_, err := r.AddPrinter(t.Context(), example("01P00A000000002"))
	r.wantError(err, farm.Conflict, "serial_number")
	site := r.site("Berlin")
	a := r.agent(site.ID)
	if got := r.live.printers[p.ID]; got.AgentID != a.ID || got.SiteID != site.ID || got.Fence == 0 {
		t.Errorf("the picture was not told of the adoption: %+v", got)
	}
	if r.live.agents[a.ID].ID != a.ID {
		t.Error("the picture was not told of the agent")
	}
}

func TestTheAgentIsChosen(t *testing.T) {
	r := newRig(t)
	berlin := r.site("Berlin")
	only := r.agent(berlin.ID)
	if p := r.add(example("S01")); p.AgentID != only.ID || p.SiteID != berlin.ID {
		t.Errorf("the only agent: %+v", p)
	}
	wien := r.site("Wien")
	second := r.agent(wien.ID)
	_, err := r.AddPrinter(t.Context(), example("S02"))
	r.wantError(err, farm.Invalid, "agent_id")
	atDefault := r.agent(farm.DefaultSiteID)
	if p := r.add(example("S03")); p.AgentID != atDefault.ID {
		t.Errorf("the default site's agent: %+v", p)
	}
	n := example("S04")
	n.AgentID = &second.ID
	if p := r.add(n); p.AgentID != second.ID || p.SiteID != wien.ID {
		t.Errorf("the agent named: %+v", p)
	}
	n = example("S05")
	n.SiteID = &wien.ID
	if p := r.add(n); p.AgentID != second.ID {
		t.Errorf("the agent of the site named: %+v", p)
	}
	n.Serial, n.AgentID = "S06", &only.ID
	_, err = r.AddPrinter(t.Context(), n)
	r.wantError(err, farm.Invalid, "site_id")
	r.agent(wien.ID)
	n = example("S07")
	n.SiteID = &wien.ID
	_, err = r.AddPrinter(t.Context(), n)
	r.wantError(err, farm.Invalid, "agent_id")
	empty := r.site("Graz")
	n.SiteID = &empty.ID
	waiting := r.add(n)
	if waiting.AgentID != 0 || waiting.SiteID != empty.ID {
		t.Errorf("at a site without an agent: %+v", waiting)
	}
	if a := r.agent(empty.ID); r.live.printers[waiting.ID].AgentID != a.ID {
		t.Errorf("not adopted: %+v", r.live.printers[waiting.ID])
	}
	if err := r.RevokeAgent(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	n = example("S08")
	n.AgentID = &second.ID
	_, err = r.AddPrinter(t.Context(), n)
	r.wantError(err, farm.NotFound, "revoked")
}

func TestModelsAreWrittenInManyWays(t *testing.T) {
	r := newRig(t)
	for serial, model := range map[string]string{"S01": "X1C", "S02": "X1 Carbon", "S03": "BL-P001", "S04": "x1 carbon"} {
		n := example(serial)
		n.Model = model
		if p := r.add(n); p.ModelGiven != "X1C" {
			t.Errorf("%q became %q", model, p.ModelGiven)
		}
	}
}

func TestChangesOfAPrinter(t *testing.T) {
	r := newRig(t)
	a, b := r.agent(farm.DefaultSiteID), r.agent(farm.DefaultSiteID)
	n := example("S01")
	n.AgentID = &a.ID
	p := r.add(n)
	change := func(c PrinterChange) (farm.Printer, error) { return r.ChangePrinter(t.Context(), p.ID, c) }
	got, err := change(PrinterChange{Name: to("Updated Name"), Tags: &[]string{"a"}})
	if err != nil || got.Name != "Updated Name" || got.Address != p.Address || got.Fence != p.Fence || r.live.printers[p.ID].Name != "Updated Name" {
		t.Errorf("renamed: %+v, %v", got, err)
	}
	_, err = change(PrinterChange{AccessCode: to(farm.Secret("hunter2\n"))})
	r.wantError(err, farm.Invalid, "access_code")
	_, err = change(PrinterChange{MQTTPort: to(-1)})
	r.wantError(err, farm.Invalid, "mqtt_port")
	r.live.away = true
	_, err = change(PrinterChange{AgentID: &b.ID})
	r.wantError(err, farm.Conflict, "force=true")
	if got, err = change(PrinterChange{AgentID: &b.ID, Force: true}); err != nil || got.AgentID != b.ID || got.Fence <= p.Fence {
		t.Errorf("moved: %+v, %v", got, err)
	}
	r.live.away = false
	if got, err = change(PrinterChange{AgentID: to(int64(0))}); err != nil || got.AgentID != 0 {
		t.Errorf("taken from its agent: %+v, %v", got, err)
	}
	_, err = r.ChangePrinter(t.Context(), 99, PrinterChange{})
	r.wantError(err, farm.NotFound, "99")
	r.live.printing = true
	r.wantError(r.RemovePrinter(t.Context(), p.ID, false), farm.Conflict, "force=true")
	if err := r.RemovePrinter(t.Context(), p.ID, true); err != nil || len(r.live.printers) != 0 {
		t.Errorf("removed: %v, picture %v", err, r.live.printers)
	}
}

func TestAnAgentsConfig(t *testing.T) {
	r := newRig(t)
	a := r.agent(farm.DefaultSiteID)
	good, bad, gone := r.add(example("01P00A000000001")), r.add(example("S02")), r.add(example("S03"))
	if _, err := r.db.UpdatePrinter(t.Context(), bad, []byte("not sealed by us")); err != nil {
		t.Fatal(err)
	}
	if err := r.RemovePrinter(t.Context(), gone.ID, false); err != nil {
		t.Fatal(err)
	}
	c, err := r.AgentConfig(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	hub, _ := r.db.Hub()
	if c.HubID != hub || c.Generation != 1 || c.Revision == 0 || c.SiteName != "Default" || len(c.Printers) != 1 {
		t.Fatalf("config: %+v", c)
	}
	want := wire.PrinterConfig{
		Serial: good.Serial, Name: good.Name, Model: "P1S", Address: good.Address, MQTTPort: 8883, FTPSPort: 990, AccessCode: "12345678", Fence: good.Fence,
	}
	if c.Printers[0] != want || c.Printers[0].AccessCode.Reveal() != "12345678" {
		t.Errorf("printer: %+v, want %+v", c.Printers[0], want)
	}
	if len(c.Tombstones) != 1 || c.Tombstones[0] != (farm.Tombstone{Serial: "S03", Fence: gone.Fence}) {
		t.Errorf("tombstones: %+v", c.Tombstones)
	}
	if !strings.Contains(r.log.String(), "cannot be opened") || strings.Contains(r.log.String(), "12345678") {
		t.Errorf("log: %s", r.log.String())
	}
	if err := r.ConfigAcked(t.Context(), a.ID, c.Revision); err != nil {
		t.Fatal(err)
	}
	if c, err = r.AgentConfig(t.Context(), a.ID); err != nil || len(c.Tombstones) != 0 {
		t.Errorf("after the answer: %+v, %v", c.Tombstones, err)
	}
}

func TestAgentsAndEnrolments(t *testing.T) {
	r := newRig(t)
	token, e, err := r.NewEnrolment(t.Context(), 0, "https://hub.example:8000", "ab12")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := wire.ParseToken(token.Reveal())
	if err != nil || parsed.URL != "https://hub.example:8000" || parsed.Fingerprint != "ab12" {
		t.Errorf("token: %+v, %v", parsed, err)
	}
	if life := e.ExpiresAt.Sub(e.CreatedAt); life != 15*time.Minute || e.SiteID != farm.DefaultSiteID {
		t.Errorf("enrolment: %+v", e)
	}
	_, _, err = r.NewEnrolment(t.Context(), 0, "nonsense", "")
	r.wantError(err, farm.Invalid, "address")
	_, _, err = r.NewEnrolment(t.Context(), 99, "https://hub.example", "")
	r.wantError(err, farm.Invalid, "site_id")
	if err := r.DeleteEnrolment(t.Context(), e.ID); err != nil {
		t.Error(err)
	}
	a := r.agent(farm.DefaultSiteID)
	p := r.add(example("S01"))
	site := r.site("Berlin")
	if a, err = r.ChangeAgent(t.Context(), a.ID, AgentChange{Name: to("Left"), SiteID: &site.ID}); err != nil || a.Name != "Left" {
		t.Errorf("changed: %+v, %v", a, err)
	}
	if r.live.printers[p.ID].SiteID != site.ID || r.live.agents[a.ID].Name != "Left" {
		t.Errorf("the picture: %+v", r.live)
	}
	r.wantError(r.RemoveAgent(t.Context(), a.ID), farm.Conflict, "printers")
	if err := r.RevokeAgent(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveAgent(t.Context(), a.ID); err != nil || r.live.printers[p.ID].AgentID != 0 || len(r.live.agents) != 0 {
		t.Errorf("removed: %v, picture %+v", err, r.live)
	}
}

// Of several agents, the one that has seen the printer holds it.
func TestTheAgentThatHasSeenThePrinter(t *testing.T) {
	r := newRig(t)
	wien := r.site("Wien")
	home, away := r.agent(farm.DefaultSiteID), r.agent(wien.ID)
	var asked []string
	seen := []int64{away.ID}
	r.seen = func(_ context.Context, serial, address string) []int64 {
		asked = append(asked, serial+" "+address)
		return seen
	}
	if p := r.add(example("S01")); p.AgentID != away.ID || p.SiteID != wien.ID {
		t.Errorf("seen by one: %+v", p)
	}
	seen = []int64{home.ID, away.ID} // two networks with the same addresses
	if p := r.add(example("S02")); p.AgentID != home.ID {
		t.Errorf("seen by both: %+v", p)
	}
	n := example("S03")
	n.SiteID = to(farm.DefaultSiteID)
	seen = []int64{away.ID}
	if p := r.add(n); p.AgentID != home.ID {
		t.Errorf("a site was named: %+v", p)
	}
	if len(asked) != 2 || asked[0] != "S01 192.168.1.101" {
		t.Errorf("asked %q", asked)
	}
}
