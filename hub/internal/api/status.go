package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/fleet"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Status is what a printer is doing. Of an offline printer it is the last that
// was known. Its top-level keys are what a state frame of /events carries.
type Status struct {
	State          string               `json:"state" enum:"offline,idle,preparing,printing,paused,finished,failed" doc:"What it does, in one word." example:"printing"`
	Progress       *int                 `json:"progress" doc:"Percent; 0 when nothing prints." example:"45"`
	RemainingTime  *int                 `json:"remaining_time" doc:"Seconds; 0 when nothing prints." example:"3600"`
	CurrentLayer   *int                 `json:"current_layer" doc:"0 when nothing prints." example:"120"`
	LayerNum       *int                 `json:"layer_num" doc:"The same as current_layer." example:"120"`
	TotalLayers    *int                 `json:"total_layers" doc:"0 when nothing prints." example:"267"`
	Temperatures   Temperatures         `json:"temperatures" doc:"In °C."`
	HMSStatus      string               `json:"hms_status" enum:"ok,warning,error" doc:"error: a fatal or serious message, or a print error; warning: a common one or a notice."`
	HMSErrors      []HMSError           `json:"hms_errors" doc:"The messages of its health system, worst or newest as the printer gives them."`
	PrintError     nullable[PrintError] `json:"print_error" doc:"The error that holds up the print; null: none."`
	GcodeState     *string              `json:"gcode_state" doc:"The printer's own word; null before its first report." example:"RUNNING"`
	Stage          nullable[Stage]      `json:"stage" doc:"What it does within a print; null: nothing special."`
	File           *string              `json:"file" doc:"Base name of the 3MF of the present or last print."`
	SpeedLevel     *int                 `json:"speed_level" doc:"1 silent, 2 standard, 3 sport, 4 ludicrous."`
	Fans           Fans                 `json:"fans" doc:"How fast its fans turn, in percent."`
	Lights         []Light              `json:"lights" doc:"Its lamps."`
	AMS            []AMS                `json:"ams" doc:"Its filament units."`
	ExternalSpools []Spool              `json:"external_spools" doc:"Spools beside the units."`
	ActiveSlots    []ActiveSlot         `json:"active_slots" doc:"What feeds each extruder."`
	Nozzles        []Nozzle             `json:"nozzles" doc:"Its nozzles."`
	WiFiSignal     *int                 `json:"wifi_signal" doc:"dBm; null when wired."`
	Firmware       *string              `json:"firmware" doc:"Its firmware; null: not told."`
	Storage        *bool                `json:"storage" doc:"A card or stick is in the printer."`
	DoorOpen       *bool                `json:"door_open" doc:"Its door is open; null: it has no sensor."`
	DeveloperMode  *bool                `json:"developer_mode" doc:"It takes commands over the LAN without the cloud; null: not known."`
	SignedCommands *bool                `json:"signed_commands" doc:"The firmware takes only signed commands: it can be watched, not controlled."`
	Plate          nullable[Plate]      `json:"plate" doc:"Whether the build plate was cleared after the last print. Null in this release, which starts no prints."`
	AgentConnected bool                 `json:"agent_connected" doc:"The agent that holds it is connected." example:"true"`
	Connected      bool                 `json:"connected" doc:"All of this is live." example:"true"`
	Connection     Connection           `json:"connection" doc:"How it is reached."`
	LastSeen       nullable[instant]    `json:"last_seen" doc:"When the printer last reported; null: never."`
}

// Temperatures are in °C. What has no sensor, or was never reported, is null.
type Temperatures struct {
	Nozzle        *float64 `json:"nozzle" doc:"°C; the right or only nozzle." example:"220"`
	NozzleTarget  *float64 `json:"nozzle_target" doc:"°C"`
	Nozzle2       *float64 `json:"nozzle_2" doc:"°C; the left nozzle of a machine with two."`
	Nozzle2Target *float64 `json:"nozzle_2_target" doc:"°C"`
	Bed           *float64 `json:"bed" doc:"°C" example:"60"`
	BedTarget     *float64 `json:"bed_target" doc:"°C"`
	Chamber       *float64 `json:"chamber" doc:"°C" example:"35"`
	ChamberTarget *float64 `json:"chamber_target" doc:"°C"`
}

// Stage is what the printer does within a print.
type Stage struct {
	ID   int    `json:"id" example:"1"`
	Name string `json:"name" example:"Auto bed leveling"`
}

// Fans are speeds in percent; a fan the machine does not have is null.
type Fans struct {
	Part      *int `json:"part" doc:"Percent."`
	Aux       *int `json:"aux" doc:"Percent."`
	Aux2      *int `json:"aux_2" doc:"Percent."`
	Chamber   *int `json:"chamber" doc:"Percent."`
	Heatbreak *int `json:"heatbreak" doc:"Percent."`
}

// Light is one lamp.
type Light struct {
	Name string `json:"name" example:"chamber_light"`
	Mode string `json:"mode" doc:"on, off or flashing." example:"on"`
}

// AMS is one filament unit.
type AMS struct {
	ID            int      `json:"id" doc:"0 to 3: units of four; 128 and up: AMS HT." example:"0"`
	Kind          *string  `json:"kind" example:"ams" doc:"What unit it is: ams, ams_lite, n3f, n3s; null: not told."`
	Humidity      *int     `json:"humidity" doc:"Percent, where the unit measures it."`
	HumidityLevel *int     `json:"humidity_level" doc:"1 wet to 5 dry."`
	Temperature   *float64 `json:"temperature" doc:"°C"`
	Extruder      *int     `json:"extruder" doc:"0 right or only, 1 left."`
	Drying        *int     `json:"drying_remaining" doc:"Seconds left; 0: not drying." example:"0"`
	Firmware      *string  `json:"firmware" doc:"Its firmware; null: not told."`
	Slots         []Spool  `json:"slots" doc:"Its slots, by id."`
}

// Spool is one place for a spool.
type Spool struct {
	ID        int      `json:"id" doc:"0 to 3 within an AMS; 254 and 255: external." example:"0"`
	Present   bool     `json:"present" doc:"Something is in it." example:"true"`
	Type      *string  `json:"type" example:"PLA" doc:"Material; null: not known."`
	Name      *string  `json:"name" example:"PLA Matte"`
	Color     *string  `json:"color" doc:"RRGGBBAA" example:"FF6A13FF"`
	Colors    []string `json:"colors" doc:"Of a spool with several."`
	PresetID  *string  `json:"preset_id" doc:"The preset of the slicer; null: none."`
	Remain    *int     `json:"remain" doc:"Percent; null without a chip."`
	Weight    *int     `json:"weight" doc:"Grams of the full spool."`
	NozzleMin *int     `json:"nozzle_min" doc:"°C"`
	NozzleMax *int     `json:"nozzle_max" doc:"°C"`
	KValue    *float64 `json:"k" doc:"Flow dynamics."`
	ChipID    *string  `json:"chip_id" doc:"Id of the chip on the spool; null: none, or not read."`
	SpoolID   *string  `json:"spool_id" doc:"Id of the spool; null: not read."`
}

// ActiveSlot says what feeds an extruder.
type ActiveSlot struct {
	Extruder int `json:"extruder" doc:"0 right or only, 1 left."`
	Unit     int `json:"unit" doc:"Id of the AMS; 254 or 255: an external spool; -1: nothing."`
	Slot     int `json:"slot" doc:"Number of the slot within the unit."`
}

// Nozzle is one installed nozzle.
type Nozzle struct {
	Extruder int      `json:"extruder" doc:"0 right or only, 1 left."`
	Diameter *float64 `json:"diameter" doc:"Millimetres."`
	Type     *string  `json:"type" example:"hardened_steel" doc:"Its material; null: not told."`
	HighFlow bool     `json:"high_flow" doc:"It is a high-flow nozzle."`
}

// Plate is the state of the build plate.
type Plate struct {
	Version int64 `json:"version" doc:"Counts each change; clear-plate takes it." example:"7"`
	Clear   bool  `json:"clear" doc:"Nothing lies on it."`
}

// Connection is how the printer is reached.
type Connection struct {
	State  string            `json:"state" enum:"no_agent,agent_offline,connecting,online,silent,unreachable,wrong_access_code,wrong_serial,certificate_changed,stopped" doc:"Only online means live." example:"online"`
	Detail *string           `json:"detail" doc:"In words."`
	Since  nullable[instant] `json:"since" doc:"Since when it is so; null: not known."`
}

// The states of a connection that end at the hub already.
const (
	noAgent      = "no_agent"
	agentOffline = "agent_offline"
)

// RefreshRequested is the answer of refresh-status.
type RefreshRequested struct {
	Status   string `json:"status" enum:"refresh_requested"`
	Deferred bool   `json:"deferred" doc:"The printer takes this only every few minutes: it is sent as soon as it may be."`
}

func (s *server) statusRoutes() {
	const tag = "Printers"
	register(s, route{
		id: "get_printer_status", method: http.MethodGet, path: "/printers/{id}/status", tag: tag, summary: "Get Printer Status",
		about: "Answers for an offline printer too, with what was last known and `connected` false.", needs: farm.Read, limit: auth.ReadClass,
	}, s.getStatus)
	register(s, route{
		id: "refresh_printer_status", method: http.MethodPost, path: "/printers/{id}/refresh-status", tag: tag, summary: "Refresh Printer Status",
		about: "Asks the printer for a full report, which helps after a spool was swapped. Answers once asked; the report comes as any other does.",
		needs: farm.Control, limit: auth.ControlClass,
		errors: []farm.Code{farm.PrinterNotConnected, farm.AgentOffline, farm.Unsupported, farm.OutcomeUnknown},
	}, s.refreshStatus)
}

func (s *server) getStatus(ctx context.Context, in *ByID) (*body[Status], error) {
	v, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[Status]{statusOf(v)}, nil
}

// commandTime is how long an agent may take for a command.
const commandTime = 10 * time.Second

func (s *server) refreshStatus(ctx context.Context, in *ByID) (*body[RefreshRequested], error) {
	v, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := reachable(v); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	res, err := s.links.Command(ctx, v.Printer.AgentID, v.Printer.Serial, wire.Command{
		ID: uuid.NewString(), Fence: v.Printer.Fence, ValidMS: commandTime.Milliseconds(), Kind: wire.Refresh,
	})
	if err != nil {
		return nil, err
	}
	return &body[RefreshRequested]{RefreshRequested{Status: "refresh_requested", Deferred: res.Deferred}}, nil
}

// reachable tells why a command has no way to a printer. A silent one has: to ask
// it is the way to make it speak.
func reachable(v fleet.View) error {
	if err := hasAgent(v); err != nil {
		return err
	}
	switch v.Connection.State {
	case wire.Online, wire.Silent:
		return nil
	}
	return farm.Errorf(farm.PrinterNotConnected, "printer %q is not connected", v.Printer.Name)
}

// hasAgent tells why nobody can ask a printer anything: there is no agent.
func hasAgent(v fleet.View) error {
	switch {
	case v.Printer.AgentID == 0:
		return farm.Errorf(farm.AgentOffline, "printer %q has no agent yet", v.Printer.Name)
	case !v.AgentConnected:
		return farm.Errorf(farm.AgentOffline, "the agent of printer %q is not connected", v.Printer.Name)
	}
	return nil
}

func connectionOf(v fleet.View) Connection {
	switch {
	case v.Printer.AgentID == 0:
		return Connection{State: noAgent}
	case !v.AgentConnected:
		return Connection{State: agentOffline}
	case v.Connection.State == "":
		return Connection{State: string(wire.Connecting)}
	}
	c := Connection{State: string(v.Connection.State), Detail: orNull(v.Connection.Detail)}
	if v.Connection.SinceMS > 0 {
		c.Since = someTime(time.UnixMilli(v.Connection.SinceMS))
	}
	return c
}

func statusOf(v fleet.View) Status {
	st := v.Status
	out := Status{
		State: v.State, HMSStatus: st.Faults.Level(), HMSErrors: hmsErrors(st.Faults, v.Printer.Serial), PrintError: printError(st.Faults, v.Printer.Serial),
		GcodeState: orNull(st.Job.GcodeState), File: orNull(fileName(st.Job)), SpeedLevel: st.Job.SpeedLevel.Ptr(),
		Temperatures: temperaturesOf(st.Temps), Fans: fansOf(st.Fans), Lights: lightsOf(st.Lights),
		AMS: amsOf(st.Filament.Units), ExternalSpools: spoolsOf(st.Filament.External), ActiveSlots: activeOf(st.Filament.Active),
		Nozzles: nozzlesOf(st.Machine.Nozzles), WiFiSignal: st.Signal.WiFi.Ptr(), Firmware: orNull(st.Machine.Firmware),
		Storage: st.Machine.Storage.Ptr(), DoorOpen: st.Machine.DoorOpen.Ptr(),
		DeveloperMode: st.Machine.DeveloperMode.Ptr(), SignedCommands: st.Machine.SignedCommands.Ptr(),
		AgentConnected: v.AgentConnected, Connected: v.Connected, Connection: connectionOf(v), LastSeen: someTime(v.LastSeen),
	}
	out.setJob(st.Job)
	return out
}

// setJob shows how far a print is. Printers repeat the last values for ever, so
// outside of a print they are 0. The printer's word decides and not State: of an
// offline printer the last known progress is shown.
func (s *Status) setJob(j bambu.Job) {
	if !inPrint(j.GcodeState) {
		zero := 0
		s.Progress, s.RemainingTime, s.CurrentLayer, s.LayerNum, s.TotalLayers = &zero, &zero, &zero, &zero, &zero
		return
	}
	s.Progress, s.RemainingTime, s.TotalLayers = j.Progress.Ptr(), j.Remaining.Ptr(), j.TotalLayers.Ptr()
	s.CurrentLayer = j.Layer.Ptr()
	if j.GcodeState != "RUNNING" && j.GcodeState != "PAUSE" { // the last print's, until the first line of this one
		zero := 0
		s.Progress, s.CurrentLayer = &zero, &zero
	}
	s.LayerNum = s.CurrentLayer
	if id, ok := j.Stage.Value, j.Stage.Known; ok && id >= 0 && id != 255 {
		s.Stage = some(Stage{ID: id, Name: bambu.StageName(id)})
	}
}

func inPrint(gcodeState string) bool {
	switch gcodeState {
	case "PREPARE", "SLICING", "INIT", "RUNNING", "PAUSE":
		return true
	}
	return false
}

func temperaturesOf(t bambu.Temps) Temperatures {
	return Temperatures{
		Nozzle: t.Nozzle.Ptr(), NozzleTarget: t.NozzleTarget.Ptr(), Nozzle2: t.Nozzle2.Ptr(), Nozzle2Target: t.Nozzle2Target.Ptr(),
		Bed: t.Bed.Ptr(), BedTarget: t.BedTarget.Ptr(), Chamber: t.Chamber.Ptr(), ChamberTarget: t.ChamberTarget.Ptr(),
	}
}

func fansOf(f bambu.Fans) Fans {
	return Fans{Part: f.Part.Ptr(), Aux: f.Aux.Ptr(), Aux2: f.Aux2.Ptr(), Chamber: f.Chamber.Ptr(), Heatbreak: f.Heatbreak.Ptr()}
}

func lightsOf(ls bambu.Lights) []Light {
	return mapped(ls, func(l bambu.Light) Light { return Light{Name: l.Node, Mode: l.Mode} })
}

func amsOf(us []bambu.AMSUnit) []AMS {
	return mapped(us, func(u bambu.AMSUnit) AMS {
		return AMS{
			ID: u.ID, Kind: orNull(u.Kind), Humidity: u.Humidity.Ptr(), HumidityLevel: u.HumidityLevel.Ptr(),
			Temperature: u.Temperature.Ptr(), Extruder: u.Extruder.Ptr(), Drying: u.Drying.Ptr(), Firmware: orNull(u.Firmware),
			Slots: spoolsOf(u.Slots),
		}
	})
}

func spoolsOf(ss []bambu.Slot) []Spool {
	return mapped(ss, func(s bambu.Slot) Spool {
		return Spool{
			ID: s.ID, Present: s.Present, Type: orNull(s.Type), Name: orNull(s.Name), Color: orNull(s.Color), Colors: list(s.Colors),
			PresetID: orNull(s.PresetID), Remain: s.Remain.Ptr(), Weight: s.Weight.Ptr(), NozzleMin: s.NozzleMin.Ptr(),
			NozzleMax: s.NozzleMax.Ptr(), KValue: s.KValue.Ptr(), ChipID: orNull(s.ChipID), SpoolID: orNull(s.SpoolID),
		}
	})
}

func activeOf(as []bambu.Active) []ActiveSlot {
	return mapped(as, func(a bambu.Active) ActiveSlot { return ActiveSlot{Extruder: a.Extruder, Unit: a.Unit, Slot: a.Slot} })
}

func nozzlesOf(ns []bambu.Nozzle) []Nozzle {
	return mapped(ns, func(n bambu.Nozzle) Nozzle {
		return Nozzle{Extruder: n.Extruder, Diameter: n.Diameter.Ptr(), Type: orNull(n.Type), HighFlow: n.HighFlow}
	})
}

func mapped[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}
