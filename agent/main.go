// Command bambuddy-agent connects the printers of one place to a Bambuddy hub.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"bambuddy/agent/app"
	"bambuddy/agent/internal/config"
	"bambuddy/shared/buildinfo"
	"bambuddy/shared/dirlock"
	"bambuddy/shared/farm"
	"bambuddy/shared/logging"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // wrong command line or configuration
)

// collectAt is how much garbage may gather, in percent of what is in use, before
// it is collected (GOGC). Agents live on small machines: half of Go's own default
// saves 17 MB with 500 printers and costs a fiftieth of a core.
const collectAt = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// commands is the command line.
type commands struct {
	Enroll   enrollCommand   `cmd:"" help:"Enroll this agent with a hub, by a token made there."`
	Run      runCommand      `cmd:"" help:"Run the agent."`
	Status   statusCommand   `cmd:"" help:"Tell how the running agent stands."`
	Discover discoverCommand `cmd:"" help:"Look for printers on this machine's networks."`
	Doctor   doctorCommand   `cmd:"" help:"Find out what is wrong with the agent or its printers, and how to mend it."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

// common are the settings of every command that needs a data directory. An empty
// one may come from the environment (BAMBUDDY_DATA, …) or the file.
type common struct {
	Data       string `placeholder:"DIR" help:"Where the agent keeps its data (BAMBUDDY_DATA)."`
	Config     string `placeholder:"FILE" help:"Settings file, a JSON object (BAMBUDDY_CONFIG; agent.json in the data directory)."`
	LogLevel   string `placeholder:"LEVEL" help:"debug, info, warn or error (BAMBUDDY_LOG_LEVEL)."`
	LogFormat  string `placeholder:"FORMAT" help:"auto, text or json (BAMBUDDY_LOG_FORMAT)."`
	AllowPlain bool   `help:"Speak to a hub on another machine without encryption (BAMBUDDY_ALLOW_PLAIN)."`
}

func (c common) resolve(e environment) (config.Config, error) {
	flags := map[string]string{
		"data": c.Data, "config": c.Config, "log-level": c.LogLevel, "log-format": c.LogFormat,
	}
	if c.AllowPlain {
		flags["allow-plain"] = strconv.FormatBool(true)
	}
	return config.Resolve(config.Sources{Flags: flags, Getenv: e.getenv, ReadFile: os.ReadFile})
}

// environment is what a command has of the process around it.
type environment struct {
	ctx            context.Context
	getenv         func(string) string
	stdout, stderr io.Writer
}

// run is the whole program: arguments in, exit code out.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	helped := false
	parser, err := kong.New(&commands{},
		kong.Name("bambuddy-agent"), kong.Description("Connects the printers of one place to a Bambuddy hub."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }), kong.UsageOnError(),
	)
	if err != nil {
		return fail(stderr, err)
	}
	chosen, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bambuddy-agent: %v (see --help)\n", err)
		return exitUsage
	}
	if err := chosen.Run(environment{ctx, getenv, stdout, stderr}); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}

// fail tells why the program ends, in one line.
func fail(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintf(stderr, "bambuddy-agent: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	var setting *config.Error
	if errors.As(err, &setting) || farm.Is(err, farm.NotFound) || farm.Is(err, farm.Invalid) {
		return exitUsage
	}
	return exitFailure
}

type runCommand struct{ common }

// Run runs the agent until it is told to end.
func (c runCommand) Run(e environment) error {
	settings, err := c.resolve(e)
	if err != nil {
		return err
	}
	log := logging.New(e.stderr, settings.LogLevel, settings.LogFormat)
	ffmpeg, _ := exec.LookPath("ffmpeg") // without it the agent says what is missing
	err = app.Run(e.ctx, app.Options{DataDir: settings.DataDir, FFmpeg: ffmpeg, AllowPlain: settings.AllowPlain, Log: log})
	if errors.Is(err, dirlock.ErrHeld) {
		return &config.Error{Setting: "--data", Problem: "another agent is running on " + settings.DataDir}
	}
	return err
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(e environment) error {
	_, err := fmt.Fprintf(e.stdout, "bambuddy-agent %s %s\n", buildinfo.Version(), buildinfo.Platform())
	return err
}
