package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"bambuddy/agent/internal/camera"
	"bambuddy/agent/internal/diagnose"
	"bambuddy/agent/internal/fleet"
	"bambuddy/agent/internal/ftps"
	"bambuddy/agent/internal/hublink"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// patients is how many printers are examined at the same time.
const patients = 8

// DoctorOptions are what an examination needs from outside.
type DoctorOptions struct {
	DataDir    string
	Serials    []string // printers to look at; none: all
	AllowPlain bool     // as the agent runs with
	Dial       DialFunc // to printers; nil: the operating system's
	HubDial    DialFunc // to the hub; nil: the operating system's, through a proxy where the environment names one
}

// Examination is what a doctor found out.
type Examination struct {
	Agent    []wire.Check  `json:"agent"`    // of the agent itself, in the order in which a person would look
	Printers []wire.Report `json:"printers"` // by serial
}

// Checks are all checks of an examination.
func (e Examination) Checks() []wire.Check {
	all := slices.Clone(e.Agent)
	for _, p := range e.Printers {
		all = append(all, p.Checks...)
	}
	return all
}

// Doctor examines an agent and its printers, whether it runs or not, and changes
// nothing. Beside an agent that runs it takes what the agent knows of its sessions
// and opens neither these nor cameras. It fails with farm.NotFound for a serial
// that the agent does not hold.
func Doctor(ctx context.Context, o DoctorOptions) (Examination, error) {
	d := doctor{DoctorOptions: o, ffmpeg: findFFmpeg(ctx)}
	if d.Dial == nil {
		d.Dial = new(net.Dialer).DialContext
	}
	d.running, d.notRunning = ReadStatus(o.DataDir)
	d.identity, d.notEnrolled = hublink.LoadIdentity(o.DataDir)
	d.kept, d.notKept = fleet.ReadKept(o.DataDir)
	chosen, err := d.chosen()
	if err != nil {
		return Examination{}, err
	}
	e := Examination{Agent: []wire.Check{}, Printers: make([]wire.Report, len(chosen))}
	var both sync.WaitGroup
	both.Go(func() {
		e.Agent = append(e.Agent, d.checkDataDir(), d.checkIdentity(), d.checkRunning())
		e.Agent = append(e.Agent, d.examineHub(ctx)...)
		e.Agent = append(e.Agent, d.checkLink(), d.checkConfig(), d.checkFFmpeg())
	})
	both.Go(func() { d.examinePrinters(ctx, chosen, e.Printers) })
	both.Wait()
	return e, ctx.Err()
}

// doctor is an examination under way. What could not be read stands beside why.
type doctor struct {
	DoctorOptions
	ffmpeg      tool
	running     Status
	notRunning  error
	identity    hublink.Identity
	notEnrolled error
	kept        fleet.Kept
	notKept     error
}

// chosen are the printers to examine, by serial.
func (d *doctor) chosen() ([]wire.PrinterConfig, error) {
	all := slices.Clone(d.kept.Config.Printers)
	slices.SortFunc(all, func(a, b wire.PrinterConfig) int { return cmp.Compare(a.Serial, b.Serial) })
	if len(d.Serials) == 0 {
		return all, nil
	}
	var some []wire.PrinterConfig
	for _, serial := range d.Serials {
		c, ok := d.held(serial)
		if !ok {
			return nil, farm.Errorf(farm.NotFound, "this agent holds no printer %.40q", serial)
		}
		some = append(some, c)
	}
	return some, nil
}

func (d *doctor) examinePrinters(ctx context.Context, printers []wire.PrinterConfig, reports []wire.Report) {
	x := examiner{dial: d.Dial, pins: d.kept.Pins}
	ctx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stop()
	quiet := slog.New(slog.DiscardHandler)
	files := ftps.New(ftps.Options{Dial: d.Dial, Log: quiet})
	options := diagnose.Options{Dial: d.Dial, FFmpeg: d.ffmpeg.path}
	if d.alone() { // a running agent has its sessions, and perhaps viewers
		cameras := camera.New(camera.Options{Target: d.camera(x), Dial: d.Dial, FFmpeg: d.ffmpeg.path, Log: quiet})
		parts.Go(func() { _ = cameras.Run(ctx) }) // it never fails
		options.Login = x.login
		options.Files = func(ctx context.Context, t diagnose.Target) (diagnose.Files, error) { return x.files(ctx, files, t) }
		options.Picture = func(ctx context.Context, t diagnose.Target) error { return x.picture(ctx, cameras, t) }
	}
	examine := diagnose.New(options)
	queue := make(chan int)
	var group sync.WaitGroup
	for range min(patients, len(printers)) {
		group.Go(func() {
			for i := range queue {
				reports[i] = examine.Printer(ctx, x.target(printers[i]), d.session(printers[i].Serial))
			}
		})
	}
	for i := range printers {
		queue <- i
	}
	close(queue)
	group.Wait()
}

// camera finds cameras of the printers held.
func (d *doctor) camera(x examiner) func(serial string) (camera.Target, error) {
	return func(serial string) (camera.Target, error) {
		c, ok := d.held(serial)
		if !ok {
			return camera.Target{}, farm.Errorf(farm.NotFound, "this agent holds no printer %.40q", serial)
		}
		return cameraTarget(x.target(c)), nil
	}
}

// held is a printer of the configuration on disk.
func (d *doctor) held(serial string) (wire.PrinterConfig, bool) {
	for _, c := range d.kept.Config.Printers {
		if strings.EqualFold(c.Serial, serial) {
			return c, true
		}
	}
	return wire.PrinterConfig{}, false
}

// alone tells that no agent runs. One that cannot be asked runs all the same.
func (d *doctor) alone() bool { return errors.Is(d.notRunning, ErrNotRunning) }

// session is what the running agent tells of one, nil when none runs.
func (d *doctor) session(serial string) *diagnose.Session {
	if d.alone() {
		return nil
	}
	for _, p := range d.running.Printers {
		if p.Serial == serial {
			return p.session()
		}
	}
	return &diagnose.Session{Partial: true, Connection: wire.Connection{State: wire.Connecting, Detail: "the running agent tells nothing of it yet"}}
}

// hubProxy is the proxy on the way to the hub, nil: none.
func (d *doctor) hubProxy() func(*http.Request) (*url.URL, error) {
	if d.HubDial != nil {
		return nil
	}
	return http.ProxyFromEnvironment
}

func (d *doctor) checkConfig() wire.Check {
	const id, title = "config", "Printers held"
	switch err := d.notKept; {
	case err == nil && d.identity.HubID != "" && d.kept.Config.HubID != d.identity.HubID:
		return flaw(wire.Warn, id, title, "Start the agent and let it connect: its hub sends the printers anew.", "The printers on disk are of another hub and are not used.")
	case err == nil && len(d.kept.Config.Printers) == 0:
		return flaw(wire.Warn, id, title, "Add printers in the hub and give them to this agent.", "The hub has given this agent no printer.")
	case err == nil:
		return well(id, title, "%d, of configuration %d.", len(d.kept.Config.Printers), d.kept.Config.Revision)
	case errors.Is(err, fs.ErrNotExist):
		return flaw(wire.Warn, id, title, "Start the agent and let it connect to its hub.", "No configuration has come from the hub yet.")
	case errors.Is(err, fs.ErrPermission):
		return flaw(wire.Fail, id, title, "Run the doctor as the user that the agent runs as.", "The agent's files may not be read.")
	default:
		return flaw(wire.Fail, id, title, "Start the agent: it sets the file aside, and its hub sends the printers anew.", "What is kept of the printers is damaged, or its key is.")
	}
}

func well(id, title, detail string, args ...any) wire.Check {
	return wire.Check{ID: id, Title: title, Result: wire.Pass, Detail: fmt.Sprintf(detail, args...)}
}

func flaw(result wire.Verdict, id, title, mend, detail string, args ...any) wire.Check {
	return wire.Check{ID: id, Title: title, Result: result, Detail: fmt.Sprintf(detail, args...), Mend: mend}
}
