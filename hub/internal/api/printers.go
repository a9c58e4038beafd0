package api

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/fleet"
	"bambuddy/hub/internal/registry"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

// Printer is one registered printer with what it is doing.
type Printer struct {
	ID             int64                  `json:"id"`
	Name           string                 `json:"name" example:"Workshop X1C"`
	IPAddress      string                 `json:"ip_address" doc:"IP address or host name on the site's network." example:"192.168.1.100"`
	SerialNumber   string                 `json:"serial_number" example:"01P00A000000001"`
	Model          *string                `json:"model" doc:"Marketing name; null when nobody knows it. The printer's own report counts before what was given at registration, and that before the serial number." example:"X1 Carbon"`
	ModelCode      *string                `json:"model_code" doc:"Short name of the model." example:"X1C"`
	Status         string                 `json:"status" enum:"offline,idle,preparing,printing,paused,finished,failed" doc:"The state of its status."`
	CurrentPrint   nullable[CurrentPrint] `json:"current_print" doc:"Null unless preparing, printing or paused."`
	SiteID         int64                  `json:"site_id"`
	AgentID        *int64                 `json:"agent_id" doc:"The agent that holds it; null until there is one."`
	Location       *string                `json:"location" doc:"Where it stands, in people's words."`
	Tags           []string               `json:"tags"`
	MQTTPort       int                    `json:"mqtt_port" example:"8883"`
	FTPSPort       int                    `json:"ftps_port" example:"990"`
	CameraPort     *int                   `json:"camera_port" doc:"Null: the model's own."`
	AgentConnected bool                   `json:"agent_connected"`
	Connected      bool                   `json:"connected" doc:"What is shown is live: agent and printer are there."`
	LastSeen       nullable[instant]      `json:"last_seen" doc:"When the printer last reported; null: never."`
	Warnings       []Warning              `json:"warnings" doc:"What a person should look at."`
	CreatedAt      instant                `json:"created_at"`
	UpdatedAt      instant                `json:"updated_at"`
}

// CurrentPrint is the print under way.
type CurrentPrint struct {
	Filename      *string `json:"filename" doc:"Base name of the 3MF; null while the printer does not say." example:"benchy.3mf"`
	Progress      *int    `json:"progress" doc:"Percent." example:"45"`
	RemainingTime *int    `json:"remaining_time" doc:"Seconds." example:"3600"`
	ArchiveID     *int64  `json:"archive_id" doc:"The archive of this print."`
}

// CurrentPrints tells which print is under way at a printer.
type CurrentPrints interface {
	Current(printerID int64) (farm.Print, bool)
}

// Warning is something that does not fit together.
type Warning struct {
	Code    string `json:"code" enum:"MODEL_MISMATCH,NO_AGENT,ADDRESS_CHANGED"`
	Message string `json:"message"`
}

// NewPrinter is the body of POST /printers.
type NewPrinter struct {
	Name         string      `json:"name" example:"New Printer"`
	IPAddress    string      `json:"ip_address" doc:"IP address or host name on the site's network." example:"192.168.1.101"`
	AccessCode   farm.Secret `json:"access_code" writeOnly:"true" doc:"As the printer's screen shows it. It is stored sealed and never told again." example:"12345678"`
	SerialNumber string      `json:"serial_number" doc:"Trimmed and put in upper case; it cannot be changed later." example:"01P00A000000002"`
	SiteID       *int64      `json:"site_id,omitempty" doc:"Default: the agent's site, else the hub's default site."`
	AgentID      *int64      `json:"agent_id,omitempty" doc:"Default: the only agent of the named site; without a site, the hub's only agent, else the only one of the default site. Where there is none yet, the printer waits for the first one to be enrolled there."`
	Model        string      `json:"model,omitempty" doc:"Short code, marketing name or product id."`
	Location     string      `json:"location,omitempty"`
	Tags         []string    `json:"tags,omitempty"`
	MQTTPort     int         `json:"mqtt_port,omitempty" minimum:"1" maximum:"65535" doc:"Default 8883."`
	FTPSPort     int         `json:"ftps_port,omitempty" minimum:"1" maximum:"65535" doc:"Default 990."`
	CameraPort   int         `json:"camera_port,omitempty" minimum:"0" maximum:"65535" doc:"Default, and 0: the model's own."`
}

// PrinterChange is the body of PATCH /printers/{id}: any subset.
type PrinterChange struct {
	Name         *string            `json:"name,omitempty" example:"Updated Name"`
	IPAddress    *string            `json:"ip_address,omitempty" doc:"A change reconnects."`
	AccessCode   *farm.Secret       `json:"access_code,omitempty" writeOnly:"true" doc:"A change reconnects."`
	SerialNumber *string            `json:"serial_number,omitempty" doc:"Cannot be changed; the present value is accepted."`
	SiteID       *int64             `json:"site_id,omitempty" doc:"Another site means its only agent, unless agent_id is sent as well."`
	AgentID      optional[int64]    `json:"agent_id,omitempty" doc:"The agent that is to hold it; null: none."`
	Model        optional[string]   `json:"model,omitempty" doc:"Short code, marketing name or product id; null: unknown."`
	Location     optional[string]   `json:"location,omitempty"`
	Tags         optional[[]string] `json:"tags,omitempty"`
	MQTTPort     *int               `json:"mqtt_port,omitempty" minimum:"1" maximum:"65535"`
	FTPSPort     *int               `json:"ftps_port,omitempty" minimum:"1" maximum:"65535"`
	CameraPort   optional[int]      `json:"camera_port,omitempty" doc:"Null or 0: the model's own."`
}

func (s *server) printerRoutes() {
	const tag = "Printers"
	register(s, route{
		id: "list_printers", method: http.MethodGet, path: "/printers", tag: tag, summary: "List Printers",
		about: "All printers, by id, unless `limit` is given.", needs: farm.Read, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listPrinters)
	register(s, route{
		id: "get_printer", method: http.MethodGet, path: "/printers/{id}", tag: tag, summary: "Get Printer",
		needs: farm.Read, limit: auth.ReadClass,
	}, s.getPrinter)
	register(s, route{
		id: "add_printer", method: http.MethodPost, path: "/printers", tag: tag, summary: "Add Printer",
		about: "The printer and its agent may be off. A serial number is registered once.",
		needs: farm.Admin, limit: auth.WriteClass, created: true, errors: []farm.Code{farm.Conflict, farm.NotFound},
	}, s.addPrinter)
	register(s, route{
		id: "update_printer", method: http.MethodPatch, path: "/printers/{id}", tag: tag, summary: "Update Printer",
		about: "Moving it away from an agent that is out of contact is refused, unless forced: that agent may still command it.",
		needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, s.updatePrinter)
	register(s, route{
		id: "delete_printer", method: http.MethodDelete, path: "/printers/{id}", tag: tag, summary: "Delete Printer",
		about: "Refused while it prints, unless forced.", needs: farm.Admin, limit: auth.WriteClass,
		errors: []farm.Code{farm.Conflict, farm.Invalid},
	}, s.deletePrinter)
}

type listPrintersInput struct {
	Page
	SiteID int64 `query:"site_id" doc:"Only this site's."`
}

// listPrintersOutput is a listing of printers.
type listPrintersOutput struct {
	Total int `header:"X-Total-Count" doc:"How many there are without limit and offset."`
	Body  printerList
}

func (s *server) listPrinters(ctx context.Context, in *listPrintersInput) (*listPrintersOutput, error) {
	who, views := auth.From(ctx), s.fleet.Views()
	s.printers.keep(views)
	views = slices.DeleteFunc(views, func(v fleet.View) bool {
		return !who.Sees(v.Printer.ID, v.Printer.SiteID) || (in.SiteID != 0 && v.Printer.SiteID != in.SiteID)
	})
	wanted := paged(views, in.Page)
	out := &listPrintersOutput{Total: wanted.Total, Body: make(printerList, len(wanted.Body))}
	for i, v := range wanted.Body {
		one, err := s.shown(v)
		if err != nil {
			return nil, err
		}
		out.Body[i] = one
	}
	return out, nil
}

func (s *server) getPrinter(ctx context.Context, in *ByID) (*body[Printer], error) {
	v, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[Printer]{s.printerOf(v)}, nil
}

func (s *server) addPrinter(ctx context.Context, in *struct{ Body NewPrinter }) (*body[Printer], error) {
	who, n := auth.From(ctx), in.Body
	if !who.AllPrinters() {
		return nil, farm.Errorf(farm.Forbidden, "this key is limited to certain printers and cannot add one")
	}
	if n.SiteID == nil && n.AgentID == nil && who.Sites() != nil {
		if len(who.Sites()) != 1 {
			return nil, farm.Errorf(farm.Invalid, "site_id: is required, as this key is limited to certain sites")
		}
		n.SiteID = &who.Sites()[0]
	}
	if err := s.seesTarget(ctx, n.SiteID, n.AgentID); err != nil {
		return nil, err
	}
	p, err := s.registry.AddPrinter(ctx, registry.NewPrinter{
		Name: n.Name, Serial: n.SerialNumber, Address: n.IPAddress, AccessCode: n.AccessCode,
		SiteID: n.SiteID, AgentID: n.AgentID, Model: n.Model, Location: n.Location, Tags: n.Tags,
		MQTTPort: n.MQTTPort, FTPSPort: n.FTPSPort, CameraPort: n.CameraPort,
	})
	if err != nil {
		return nil, err
	}
	return &body[Printer]{s.printerOf(s.viewOf(p))}, nil
}

type updatePrinterInput struct {
	ByID
	Force bool `query:"force" doc:"Move it even though its present agent is out of contact."`
	Body  PrinterChange
}

func (s *server) updatePrinter(ctx context.Context, in *updatePrinterInput) (*body[Printer], error) {
	v, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	c := in.Body
	if c.SerialNumber != nil && !strings.EqualFold(strings.TrimSpace(*c.SerialNumber), v.Printer.Serial) {
		return nil, farm.Errorf(farm.Invalid, "serial_number: cannot be changed; delete this printer and add the other one")
	}
	if err := s.seesTarget(ctx, c.SiteID, c.AgentID.ptr()); err != nil {
		return nil, err
	}
	p, err := s.registry.ChangePrinter(ctx, in.ID, registry.PrinterChange{
		Name: c.Name, Address: c.IPAddress, AccessCode: c.AccessCode, SiteID: c.SiteID, AgentID: c.AgentID.ptr(),
		Model: c.Model.ptr(), Location: c.Location.ptr(), Tags: c.Tags.ptr(),
		MQTTPort: c.MQTTPort, FTPSPort: c.FTPSPort, CameraPort: c.CameraPort.ptr(), Force: in.Force,
	})
	if err != nil {
		return nil, err
	}
	if was := v.Printer; p.Fence != was.Fence || p.SiteID != was.SiteID || p.AgentID != was.AgentID || p.Address != was.Address || p.CameraPort != was.CameraPort {
		s.cameras.Stop(p.ID) // who looked may no longer see it, and the picture may be of another machine
	}
	return &body[Printer]{s.printerOf(s.viewOf(p))}, nil
}

type deletePrinterInput struct {
	ByID
	Force bool `query:"force" doc:"Even while it prints."`
}

func (s *server) deletePrinter(ctx context.Context, in *deletePrinterInput) (*body[Deleted], error) {
	if _, err := s.view(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.registry.RemovePrinter(ctx, in.ID, in.Force); err != nil {
		return nil, err
	}
	s.cameras.Stop(in.ID)
	return deleted(), nil
}

// view gives a printer the caller may see.
func (s *server) view(ctx context.Context, id int64) (fleet.View, error) {
	v, ok := s.fleet.View(id)
	if !ok || !auth.From(ctx).Sees(id, v.Printer.SiteID) {
		return fleet.View{}, farm.Errorf(farm.NotFound, "there is no printer %d", id)
	}
	return v, nil
}

// viewOf gives the live picture of a printer as it has just been written.
func (s *server) viewOf(p farm.Printer) fleet.View {
	v, ok := s.fleet.View(p.ID)
	if !ok {
		v.State = fleet.Offline
	}
	v.Printer = p
	return v
}

// seesTarget tells whether a printer may be put at a site or under an agent.
func (s *server) seesTarget(ctx context.Context, siteID, agentID *int64) error {
	if siteID != nil {
		if err := s.siteThere(ctx, *siteID, "site_id"); err != nil {
			return err
		}
	}
	if agentID == nil || *agentID == 0 {
		return nil
	}
	_, err := s.agent(ctx, *agentID)
	if farm.Is(err, farm.NotFound) {
		return farm.Errorf(farm.NotFound, "agent_id: there is no agent %d", *agentID)
	}
	return err
}

func (s *server) printerOf(v fleet.View) Printer {
	p := v.Printer
	m := modelOf(v)
	return Printer{
		ID: p.ID, Name: p.Name, IPAddress: p.Address, SerialNumber: p.Serial,
		Model: orNull(m.name), ModelCode: orNull(m.code), Status: v.State, CurrentPrint: s.currentPrint(v),
		SiteID: p.SiteID, AgentID: orNull(p.AgentID), Location: orNull(p.Location), Tags: list(p.Tags),
		MQTTPort: p.MQTTPort, FTPSPort: p.FTPSPort, CameraPort: orNull(p.CameraPort),
		AgentConnected: v.AgentConnected, Connected: v.Connected, LastSeen: someTime(v.LastSeen), Warnings: warningsOf(v, m),
		CreatedAt: instant{p.CreatedAt}, UpdatedAt: instant{p.UpdatedAt},
	}
}

func warningsOf(v fleet.View, m model) []Warning {
	out := list(m.warnings)
	if v.SeenAddress != "" {
		out = append(out, Warning{Code: "ADDRESS_CHANGED", Message: fmt.Sprintf("It cannot be reached at %s, but a printer with its serial number was seen at %s.", v.Printer.Address, v.SeenAddress)})
	}
	if v.Printer.AgentID == 0 {
		out = append(out, Warning{Code: "NO_AGENT", Message: "No agent holds this printer. The first one to be enrolled at its site will; or choose one."})
	}
	return out
}

// currentPrint is what is under way: its file as the archive knows it, how far it is
// as the printer says.
func (s *server) currentPrint(v fleet.View) nullable[CurrentPrint] {
	if !v.InPrint() {
		return nullable[CurrentPrint]{}
	}
	j := v.Status.Job
	filename := fileName(j)
	out := CurrentPrint{Filename: orNull(filename)}
	if s.current != nil {
		if p, ok := s.current.Current(v.Printer.ID); ok {
			out.Filename, out.ArchiveID = orNull(p.Filename), orNull(p.ID)
		}
	}
	out.Progress, out.RemainingTime = j.Progress.Ptr(), j.Remaining.Ptr()
	return some(out)
}

var plateGcode = regexp.MustCompile(`^plate_\d+\.gcode$`)

// fileName is the base name of the 3MF a job was started from, "" when the
// printer does not say. Started from the cloud or a slicer, gcode_file is a path
// inside the 3MF, and subtask_name is the name, with or without its ending.
func fileName(j bambu.Job) string {
	file := baseName(j.File)
	if strings.HasSuffix(strings.ToLower(file), ".3mf") {
		return file
	}
	switch name := baseName(j.Name); {
	case name == "" && plateGcode.MatchString(file):
		return ""
	case name == "":
		return file
	case strings.HasSuffix(strings.ToLower(name), ".3mf"):
		return name
	default:
		return name + ".3mf"
	}
}

func baseName(s string) string {
	b := path.Base(strings.ReplaceAll(strings.TrimSpace(s), `\`, "/"))
	if b == "." || b == "/" {
		return ""
	}
	return b
}
