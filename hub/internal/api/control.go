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

// Done is the answer of a command that the printer has taken.
type Done struct {
	Status    string `json:"status" enum:"ok"`
	Confirmed string `json:"confirmed" enum:"ack,state" doc:"How that is known: ack, the printer said so, which means accepted and not yet done; state, it did not answer, but its report shows the effect."`
}

// Speed is the body of speed.
type Speed struct {
	Level int `json:"level" minimum:"1" maximum:"4" doc:"1 silent, 2 standard, 3 sport, 4 ludicrous." example:"2"`
}

// LightSwitch is the body of light.
type LightSwitch struct {
	On    bool   `json:"on" example:"true" doc:"True switches it on."`
	Light string `json:"light,omitempty" enum:"chamber,work,heatbed" default:"chamber" doc:"Not every model has all of them."`
}

// TemperatureTargets is the body of temperature: any subset.
type TemperatureTargets struct {
	Nozzle  *int `json:"nozzle,omitempty" minimum:"0" doc:"°C of the right or only nozzle; 0 switches it off. The most a model bears is checked." example:"220"`
	Nozzle2 *int `json:"nozzle_2,omitempty" minimum:"0" doc:"°C of the left nozzle of a machine with two."`
	Bed     *int `json:"bed,omitempty" minimum:"0" doc:"°C" example:"60"`
	Chamber *int `json:"chamber,omitempty" minimum:"0" doc:"°C, of a machine that heats its chamber."`
}

// FanSpeed is the body of fan.
type FanSpeed struct {
	Fan     string `json:"fan" enum:"part,aux,aux_2,chamber" example:"part" doc:"Which fan."`
	Percent int    `json:"percent" minimum:"0" maximum:"100" example:"50" doc:"Percent; 0 stops it."`
}

// Gcode is the body of gcode.
type Gcode struct {
	Gcode string `json:"gcode" minLength:"1" maxLength:"2048" doc:"Lines of G-code. They are sent as they are." example:"G28"`
}

// Slot is the body of ams/load.
type Slot struct {
	AMS  int  `json:"ams" doc:"Id of the unit, as the status shows it; 254 and 255: an external spool." example:"0"`
	Slot *int `json:"slot,omitempty" minimum:"0" maximum:"3" doc:"Not for an external spool or an AMS HT, which have one." example:"2"`
}

// AMSAnswer is the body of ams/control.
type AMSAnswer struct {
	Action string `json:"action" enum:"resume,done,abort" doc:"resume: try again; done: filament came out of the nozzle; abort: give up." example:"abort"`
}

// Drying is the body of ams/drying.
type Drying struct {
	AMS         int `json:"ams" example:"0" doc:"Id of the unit, as the status shows it."`
	Temperature int `json:"temperature,omitempty" minimum:"0" doc:"°C" example:"55"`
	Hours       int `json:"hours" minimum:"0" doc:"0 ends it." example:"8"`
}

// SlotFilament is the body of ams/filament.
type SlotFilament struct {
	AMS       int    `json:"ams" doc:"Id of the unit; 254 and 255: an external spool." example:"0"`
	Slot      *int   `json:"slot,omitempty" minimum:"0" maximum:"3" example:"2" doc:"Number of the slot within the unit; not for an external spool or an AMS HT."`
	Type      string `json:"type" doc:"Empty: forget what is in the slot." example:"PLA"`
	Color     string `json:"color,omitempty" doc:"RRGGBB or RRGGBBAA; needed with a type." example:"FF6A13FF"`
	PresetID  string `json:"preset_id,omitempty" doc:"Default: the generic one of the type." example:"GFL99"`
	NozzleMin int    `json:"nozzle_min,omitempty" minimum:"0" doc:"°C; default: usual for the type."`
	NozzleMax int    `json:"nozzle_max,omitempty" minimum:"0" doc:"°C; default: usual for the type."`
}

// Objects is the body of skip-objects.
type Objects struct {
	Objects []int `json:"objects" minItems:"1" maxItems:"64" doc:"Their ids in the sliced file." example:"[12]"`
}

// Axes is the body of home.
type Axes struct {
	Axes string `json:"axes,omitempty" pattern:"^[xyzXYZ]{0,3}$" doc:"Letters of x, y, z; none: all." example:"xyz"`
}

func (s *server) controlRoutes() {
	const tag = "Printer Control"
	errs := []farm.Code{
		farm.Invalid, farm.PrinterNotConnected, farm.AgentOffline, farm.PrinterRefused, farm.PrinterBusy, farm.Conflict, farm.Unsupported,
		farm.OutcomeUnknown, farm.Unavailable,
	}
	rt := func(id, path, summary, about string) route {
		return route{
			id: id, method: http.MethodPost, path: "/printers/{id}" + path, tag: tag, summary: summary, about: about,
			needs: farm.Control, limit: auth.ControlClass, errors: errs,
		}
	}
	plain(s, rt("pause_print", "/print/pause", "Pause Print", ""), bambu.DoPause)
	plain(s, rt("resume_print", "/print/resume", "Resume Print", ""), bambu.DoResume)
	plain(s, rt("stop_print", "/print/stop", "Stop Print", "Ends the print for good."), bambu.DoStop)
	plain(s, rt("clear_printer_error", "/clear-error", "Clear Error", "Closes the error that the printer shows."), bambu.DoClearError)
	plain(s, rt("unload_filament", "/ams/unload", "Unload Filament", "The nozzle is heated for it. Refused while it prints."), bambu.DoUnload)
	command(s, rt("set_print_speed", "/speed", "Set Speed", ""), func(b Speed) bambu.Control {
		return bambu.Control{Do: bambu.DoSpeed, Level: b.Level}
	})
	command(s, rt("set_light", "/light", "Switch Light", ""), func(b LightSwitch) bambu.Control {
		return bambu.Control{Do: bambu.DoLight, Light: b.Light, On: b.On}
	})
	command(s, rt("set_temperature", "/temperature", "Set Temperatures", "Sets targets and does not wait for them. **It heats, whoever stands beside it.**"), func(b TemperatureTargets) bambu.Control {
		return bambu.Control{Do: bambu.DoTemperature, Nozzle: b.Nozzle, Nozzle2: b.Nozzle2, Bed: b.Bed, Chamber: b.Chamber}
	})
	command(s, rt("set_fan", "/fan", "Set Fan", ""), func(b FanSpeed) bambu.Control {
		return bambu.Control{Do: bambu.DoFan, Fan: b.Fan, Percent: b.Percent}
	})
	command(s, rt("load_filament", "/ams/load", "Load Filament", "The nozzle is heated for it. Refused while it prints."), func(b Slot) bambu.Control {
		return bambu.Control{Do: bambu.DoLoad, AMS: &b.AMS, Slot: b.Slot}
	})
	command(s, rt("answer_ams", "/ams/control", "Answer AMS", "What a person answers at the screen when a change of filament is stuck."), func(b AMSAnswer) bambu.Control {
		return bambu.Control{Do: bambu.DoAnswerAMS, Action: b.Action}
	})
	command(s, rt("dry_filament", "/ams/drying", "Dry Filament", "Of units that can dry."), func(b Drying) bambu.Control {
		return bambu.Control{Do: bambu.DoDrying, AMS: &b.AMS, Temperature: b.Temperature, Hours: b.Hours}
	})
	command(s, rt("set_filament", "/ams/filament", "Set Filament of a Slot", "Tells the printer what it cannot read from the spool."), func(b SlotFilament) bambu.Control {
		return bambu.Control{Do: bambu.DoFilament, AMS: &b.AMS, Slot: b.Slot, Filament: &bambu.FilamentSetting{
			Type: b.Type, Color: b.Color, PresetID: b.PresetID, NozzleMin: b.NozzleMin, NozzleMax: b.NozzleMax,
		}}
	})
	command(s, rt("skip_objects", "/skip-objects", "Skip Objects", "The running print leaves these out from now on. It cannot be taken back."), func(b Objects) bambu.Control {
		return bambu.Control{Do: bambu.DoSkipObjects, Objects: b.Objects}
	})
	register(s, rt("home_printer", "/home", "Home", "**It moves, whoever stands beside it.** Refused while it prints or changes filament."), func(ctx context.Context, in *homeInput) (*body[Done], error) {
		c := bambu.Control{Do: bambu.DoHome}
		if in.Body != nil {
			c.Axes = in.Body.Axes
		}
		return s.control(ctx, in.ID, c)
	})
	raw := rt("send_gcode", "/gcode", "Send G-code", "Sends lines to the printer as they are, which nothing checks. It is written down in the audit who sent what.")
	raw.needs = farm.Admin
	command(s, raw, func(b Gcode) bambu.Control { return bambu.Control{Do: bambu.DoGcode, Gcode: b.Gcode} })
}

// plain adds a command that takes no body.
func plain(s *server, rt route, do bambu.Do) {
	register(s, rt, func(ctx context.Context, in *ByID) (*body[Done], error) {
		return s.control(ctx, in.ID, bambu.Control{Do: do})
	})
}

// commandInput is a command with a body that says how.
type commandInput[B any] struct {
	ByID
	Body B
}

// command adds a command with a body.
func command[B any](s *server, rt route, as func(B) bambu.Control) {
	register(s, rt, func(ctx context.Context, in *commandInput[B]) (*body[Done], error) {
		return s.control(ctx, in.ID, as(in.Body))
	})
}

// homeInput needs no body: all axes are meant then.
type homeInput struct {
	ByID
	Body *Axes
}

const (
	// controlValid is how long a command may take to reach the printer.
	controlValid = 5 * time.Second
	// controlTime is how long it may take in all: the agent waits 10 s for the
	// printer's answer.
	controlTime = controlValid + 12*time.Second
)

// control carries a command to a printer and tells what became of it. It is sent
// once: what is not known afterwards is OUTCOME_UNKNOWN.
func (s *server) control(ctx context.Context, id int64, c bambu.Control) (*body[Done], error) {
	v, err := s.view(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.mayDo(v, c); err != nil {
		return nil, err
	}
	if c.Do == bambu.DoGcode {
		if err := s.writeDown(ctx, v, "send_gcode", map[string]string{"gcode": c.Gcode}); err != nil {
			return nil, err
		}
	}
	// Not ended by a client that goes away: what was begun is brought to its end,
	// and the log says how it ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), controlTime)
	defer cancel()
	res, err := s.links.Command(ctx, v.Printer.AgentID, v.Printer.Serial, wire.Command{
		ID: uuid.NewString(), Fence: v.Printer.Fence, ValidMS: controlValid.Milliseconds(), Kind: wire.Control, Control: &c,
	})
	s.log.Info("command", "printer", id, "do", c.Do, "who", auth.From(ctx).Name(), "confirmed", res.Confirmed, "err", err)
	if err != nil {
		return nil, err
	}
	return &body[Done]{Done{Status: "ok", Confirmed: res.Confirmed}}, nil
}

// mayDo refuses early what no printer of this model can do. Whether it is the time
// for it is the agent's to say: it knows what the printer does at that moment.
func (s *server) mayDo(v fleet.View, c bambu.Control) error {
	if err := reachable(v); err != nil {
		return err
	}
	m, _ := bambu.ModelByCode(modelOf(v).code)
	return c.CheckInput(m, v.Status)
}
