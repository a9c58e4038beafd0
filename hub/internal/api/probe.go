package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/fleet"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Discovery is the body of POST /agents/{id}/discover.
type Discovery struct {
	Ranges  []string `json:"ranges,omitempty" maxItems:"16" doc:"Address ranges to look through, private IPv4, 1024 addresses at most. None: only what announces itself." example:"[\"192.168.1.0/24\"]"`
	Seconds *int     `json:"seconds,omitempty" minimum:"0" maximum:"30" doc:"How long to listen for announcements, beside a scan, which come every 5 s or so. Default 6; 0: what was heard so far."`
}

// FoundPrinter is a printer that an agent saw on its network. It is what that
// machine says of itself.
type FoundPrinter struct {
	SerialNumber  string            `json:"serial_number" example:"01P00A000000001"`
	Name          *string           `json:"name" example:"Workshop P1S"`
	Model         *string           `json:"model" example:"P1S" doc:"Marketing name; null: not known."`
	ModelCode     *string           `json:"model_code" example:"P1S" doc:"Short name of the model; null: not known."`
	IPAddress     string            `json:"ip_address" example:"192.168.1.101" doc:"Its address on the network of the agent."`
	Firmware      *string           `json:"firmware" example:"01.08.02.00" doc:"Its firmware; null: not told."`
	Connect       *string           `json:"connect" doc:"lan, cloud or farm: in which mode it says it is." example:"lan"`
	Bind          *string           `json:"bind" doc:"free or occupied: whether it is bound to an account." example:"free"`
	DeveloperMode *bool             `json:"developer_mode" doc:"A guess from mode and firmware; null: only its report will tell."`
	Via           string            `json:"via" enum:"ssdp,detect,certificate" doc:"How it was found."`
	SeenAt        nullable[instant] `json:"seen_at" doc:"When it was last heard; null: not told."`
	PrinterID     *int64            `json:"printer_id" doc:"It is registered already; null: it is not, or not within the key's scope."`
}

// PrinterTest is the body of POST /printers/{id}/test: what to try instead of what is saved.
type PrinterTest struct {
	IPAddress  string      `json:"ip_address,omitempty" example:"192.168.1.101" doc:"To be tried instead of the saved one."`
	AccessCode farm.Secret `json:"access_code,omitempty" writeOnly:"true" example:"12345678" doc:"To be tried instead of the saved one."`
	MQTTPort   int         `json:"mqtt_port,omitempty" minimum:"1" maximum:"65535"`
	FTPSPort   int         `json:"ftps_port,omitempty" minimum:"1" maximum:"65535"`
	CameraPort int         `json:"camera_port,omitempty" minimum:"1" maximum:"65535"`
}

// NewPrinterTest is the body of POST /agents/{id}/test: a printer that is not
// registered.
type NewPrinterTest struct {
	SerialNumber string      `json:"serial_number" example:"01P00A000000002"`
	IPAddress    string      `json:"ip_address" example:"192.168.1.101" doc:"IP address or host name on the network of the agent."`
	AccessCode   farm.Secret `json:"access_code" writeOnly:"true" example:"12345678" doc:"As the screen of the printer shows it."`
	Model        string      `json:"model,omitempty" doc:"Short code, marketing name or product id."`
	MQTTPort     int         `json:"mqtt_port,omitempty" minimum:"1" maximum:"65535" doc:"Default 8883."`
	FTPSPort     int         `json:"ftps_port,omitempty" minimum:"1" maximum:"65535" doc:"Default 990."`
	CameraPort   int         `json:"camera_port,omitempty" minimum:"1" maximum:"65535" doc:"Default: the model's own."`
}

// PrinterReport is what was found out about a printer, in the order in which a
// person would look.
type PrinterReport struct {
	Result string         `json:"result" enum:"pass,warn,fail" doc:"The worst of the checks."`
	Checks []PrinterCheck `json:"checks" doc:"What was looked at, in order."`
}

// PrinterCheck is one thing that was looked at.
type PrinterCheck struct {
	ID     string       `json:"id" doc:"For programs; never reworded." example:"mqtt_port"`
	Title  string       `json:"title" example:"MQTT port" doc:"What was looked at, for a person."`
	Result wire.Verdict `json:"result" enum:"pass,warn,fail,skip" doc:"What came out."`
	Detail string       `json:"detail" doc:"What was seen."`
	Mend   *string      `json:"mend" doc:"What to do about it; null: nothing."`
}

func (s *server) probeRoutes() {
	errs := []farm.Code{farm.Invalid, farm.Conflict, farm.AgentOffline, farm.Unsupported, farm.Unavailable, farm.OutcomeUnknown}
	register(s, route{
		id: "get_printer_diagnostics", method: http.MethodGet, path: "/printers/{id}/diagnostics", tag: "Printers", summary: "Get Printer Diagnostics",
		about: "Looks at everything between here and the printer, which takes some seconds. It opens no second session beside one that is up.",
		needs: farm.Read, limit: auth.ReadClass, errors: []farm.Code{farm.Unavailable},
	}, s.diagnose)
	register(s, route{
		id: "test_printer", method: http.MethodPost, path: "/printers/{id}/test", tag: "Printers", summary: "Test Printer",
		about: "The same look, with another address or access code in the place of the saved one. Nothing is saved.",
		needs: farm.Control, limit: auth.ControlClass, errors: errs,
	}, s.testPrinter)
	register(s, route{
		id: "test_new_printer", method: http.MethodPost, path: "/agents/{id}/test", tag: "Agents", summary: "Test New Printer",
		about: "Looks at a printer before it is registered.", needs: farm.Control, limit: auth.ControlClass, errors: errs,
	}, s.testNewPrinter)
	register(s, route{
		id: "discover_printers", method: http.MethodPost, path: "/agents/{id}/discover", tag: "Agents", summary: "Discover Printers",
		about: "The printers on the agent's network: those that announce themselves, and those a scan finds. It may take up to a minute.",
		needs: farm.Control, limit: auth.ControlClass, errors: errs,
	}, s.discover)
}

// How long an agent may take to look closely, or around.
const (
	probeTime    = 45 * time.Second
	discoverTime = 58 * time.Second
	listenFirst  = 6 // seconds
	clockSlack   = 30 * time.Second
)

type discoverInput struct {
	ByID
	Body *Discovery
}

func (s *server) discover(ctx context.Context, in *discoverInput) (*listing[FoundPrinter], error) {
	a, err := s.agent(ctx, in.ID)
	if err == nil {
		err = runsFarm(ctx)
	}
	if err != nil {
		return nil, err
	}
	var asked Discovery
	if in.Body != nil {
		asked = *in.Body
	}
	seconds := listenFirst
	if asked.Seconds != nil {
		seconds = *asked.Seconds
	}
	ctx, cancel := context.WithTimeout(ctx, discoverTime)
	defer cancel()
	var seen wire.DiscoverResult
	req := wire.DiscoverRequest{Ranges: list(asked.Ranges), ListenMS: int64(seconds) * 1000}
	if err := s.links.Call(ctx, a.ID, wire.CapDiscover, http.MethodPost, "/v1/discover", req, &seen); err != nil {
		return nil, err
	}
	known := s.idsBySerial(auth.From(ctx))
	out := mapped(seen.Found, func(f wire.Found) FoundPrinter { return foundOf(f, known) })
	return &listing[FoundPrinter]{Total: len(out), Body: out}, nil
}

func (s *server) idsBySerial(who auth.Principal) map[string]int64 {
	ids := map[string]int64{}
	for _, v := range s.fleet.Views() {
		if who.Sees(v.Printer.ID, v.Printer.SiteID) {
			ids[v.Printer.Serial] = v.Printer.ID
		}
	}
	return ids
}

func foundOf(f wire.Found, known map[string]int64) FoundPrinter {
	out := FoundPrinter{
		SerialNumber: f.Serial, Name: orNull(f.Name), ModelCode: orNull(f.Model), IPAddress: f.Address, Firmware: orNull(f.Firmware),
		Connect: orNull(f.Connect), Bind: orNull(f.Bind), DeveloperMode: f.Developer, Via: string(f.Via), PrinterID: orNull(known[f.Serial]),
	}
	if m, ok := bambu.ModelByCode(f.Model); ok {
		out.Model = &m.Name
	}
	if f.SeenMS > 0 {
		out.SeenAt = someTime(time.UnixMilli(f.SeenMS))
	}
	return out
}

func (s *server) diagnose(ctx context.Context, in *ByID) (*body[PrinterReport], error) {
	v, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	checks := s.hubChecks(v)
	if wire.Worst(checks) == wire.Fail {
		return reportOf(checks), nil
	}
	report, err := s.probe(ctx, v.Printer.AgentID, wire.ProbeRequest{Serial: v.Printer.Serial, LookOnly: true})
	switch {
	case farm.Is(err, farm.AgentOffline), farm.Is(err, farm.Unsupported), farm.Is(err, farm.PrinterNotConnected), farm.Is(err, farm.OutcomeUnknown):
		// Each of them is a finding.
		checks = append(checks, wire.Check{
			ID: "agent_answer", Title: "Agent looks at the printer", Result: wire.Fail, Detail: asError(err).Detail,
			Mend: "Try again in a moment. If it stays, look at the agent's log and update the agent.",
		})
	case err != nil:
		return nil, err
	}
	return reportOf(append(checks, report.Checks...)), nil
}

// hubChecks are what the hub knows by itself of the way to a printer.
func (s *server) hubChecks(v fleet.View) []wire.Check {
	agent := wire.Check{ID: "agent", Title: "Agent", Result: wire.Pass, Detail: "The agent that holds this printer is connected."}
	switch {
	case v.Printer.AgentID == 0:
		agent.Result, agent.Detail = wire.Fail, "No agent holds this printer."
		agent.Mend = "Enrol an agent at the printer's site, or choose one for this printer."
		return []wire.Check{agent}
	case !v.AgentConnected:
		agent.Result, agent.Detail = wire.Fail, "The agent that holds this printer is not connected to the hub."
		agent.Mend = "At the site: is the machine on, the service running (bambuddy-agent status) and the hub's address reachable (bambuddy-agent doctor)?"
		return []wire.Check{agent}
	}
	checks := []wire.Check{agent}
	st, _ := s.links.Status(v.Printer.AgentID)
	if ahead := st.ClockAhead; ahead.Abs() > clockSlack {
		checks = append(checks, wire.Check{
			ID: "agent_clock", Title: "Agent's clock", Result: wire.Warn,
			Detail: fmt.Sprintf("The clock of the agent's machine differs from the hub's by %s.", ahead.Abs().Round(time.Second)),
			Mend:   "Let both machines set their clocks over the network (NTP).",
		})
	}
	if st.Config.Problem != "" {
		checks = append(checks, wire.Check{
			ID: "agent_config", Title: "Agent configuration", Result: wire.Warn, Detail: st.Config.Problem,
			Mend: "The agent works with an older configuration. Look at its log; if the hub was restored from a backup, this ends by itself.",
		})
	}
	if v.SeenAddress != "" {
		checks = append(checks, wire.Check{
			ID: "address_moved", Title: "Address", Result: wire.Warn,
			Detail: fmt.Sprintf("A printer with this serial number was seen at %s, not at %s.", v.SeenAddress, v.Printer.Address),
			Mend:   "If it is this printer, save the new address, and give the printer a fixed one in the router.",
		})
	}
	return checks
}

type testPrinterInput struct {
	ByID
	Body *PrinterTest
}

func (s *server) testPrinter(ctx context.Context, in *testPrinterInput) (*body[PrinterReport], error) {
	v, err := s.view(ctx, in.ID)
	if err == nil {
		err = hasAgent(v)
	}
	if err != nil {
		return nil, err
	}
	var with PrinterTest
	if in.Body != nil {
		with = *in.Body
	}
	if with.IPAddress != "" {
		tried := v.Printer
		tried.Address = with.IPAddress
		if tried, err = s.registry.CheckPrinter(tried, nil); err != nil {
			return nil, err
		}
		with.IPAddress = tried.Address
	}
	report, err := s.probe(ctx, v.Printer.AgentID, wire.ProbeRequest{
		Serial: v.Printer.Serial, Address: with.IPAddress, AccessCode: with.AccessCode,
		MQTTPort: with.MQTTPort, FTPSPort: with.FTPSPort, CameraPort: with.CameraPort,
	})
	if err != nil {
		return nil, err
	}
	return reportOf(report.Checks), nil
}

type testNewPrinterInput struct {
	ByID
	Body NewPrinterTest
}

func (s *server) testNewPrinter(ctx context.Context, in *testNewPrinterInput) (*body[PrinterReport], error) {
	a, err := s.agent(ctx, in.ID)
	if err == nil {
		err = runsFarm(ctx)
	}
	if err != nil {
		return nil, err
	}
	b := in.Body
	p := farm.Printer{Serial: b.SerialNumber, Address: b.IPAddress, ModelGiven: b.Model, MQTTPort: b.MQTTPort, FTPSPort: b.FTPSPort, CameraPort: b.CameraPort}
	if p, err = s.registry.CheckPrinter(p, &b.AccessCode); err != nil {
		return nil, err
	}
	report, err := s.probe(ctx, a.ID, wire.ProbeRequest{
		Serial: p.Serial, Model: p.ModelGiven, Address: p.Address, AccessCode: b.AccessCode,
		MQTTPort: p.MQTTPort, FTPSPort: p.FTPSPort, CameraPort: p.CameraPort,
	})
	if err != nil {
		return nil, err
	}
	return reportOf(report.Checks), nil
}

func (s *server) probe(ctx context.Context, agentID int64, r wire.ProbeRequest) (wire.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var report wire.Report
	err := s.links.Call(ctx, agentID, wire.CapProbe, http.MethodPost, "/v1/probe", r, &report)
	return report, err
}

func reportOf(checks []wire.Check) *body[PrinterReport] {
	return &body[PrinterReport]{PrinterReport{
		Result: string(wire.Worst(checks)),
		Checks: mapped(checks, func(c wire.Check) PrinterCheck {
			return PrinterCheck{ID: c.ID, Title: c.Title, Result: c.Result, Detail: c.Detail, Mend: orNull(c.Mend)}
		}),
	}}
}
