// Command bambuddy-simulator runs simulated Bambu Lab printers, for the demo and
// for tests.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"bambuddy/shared/atomicfile"
	"bambuddy/shared/buildinfo"
	"bambuddy/shared/logging"
	"bambuddy/shared/simprinter"
)

type flags struct {
	Printers   int              `default:"1" help:"How many printers."`
	Model      []string         `help:"Their models, in turn; without, all there are."`
	Address    string           `default:"127.0.1.1" help:"Address they listen at."`
	BasePort   *int             `placeholder:"18883" xor:"ports" help:"MQTT port of the first, the others follow; 0: free ports."`
	RealPorts  bool             `xor:"ports" help:"The ports of real printers: MQTT 8883, FTPS 990, camera 6000 or 322. Takes --spread with several, and the right to use ports below 1024."`
	Spread     bool             `help:"Each printer at an address of its own, counted from --address, with the same ports."`
	SSDP       string           `name:"ssdp" placeholder:"ADDR" help:"Address to announce the printers at, as 127.255.255.255:2021."`
	Detect     int              `placeholder:"PORT" help:"Port that tells who is there, 3000 on real printers; takes --spread with several."`
	Inventory  string           `placeholder:"FILE" help:"File to write the bodies of POST /printers to, when all listen."`
	Speed      float64          `default:"1" help:"How much faster than real they print."`
	Control    string           `placeholder:"ADDR" help:"Address of the control API."`
	RealLimits bool             `help:"Few sessions, and a full report once in five minutes on P1 and A1."`
	Print      bool             `help:"Keep some of the printers printing."`
	LogLevel   slog.Level       `default:"info" help:"debug, info, warn or error."`
	Version    kong.VersionFlag `help:"Print the version."`
}

// maxSpeed bounds --speed: a day passes in less than a tick.
const maxSpeed = 1e6

// usageError is a wrong command line.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	var usage usageError
	switch {
	case errors.As(err, &usage):
		os.Exit(2)
	case err != nil:
		os.Exit(1)
	}
}

// run is the whole program. What went wrong is on stderr, in one line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	defer func() {
		if err != nil {
			_, _ = fmt.Fprintf(stderr, "bambuddy-simulator: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}()
	var f flags
	ended := false
	parser, err := kong.New(&f, kong.Name("bambuddy-simulator"), kong.Description("Simulated Bambu Lab printers."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { ended = true }), kong.Vars{"version": buildinfo.Version()})
	if err != nil {
		return err
	}
	_, err = parser.Parse(args)
	if ended {
		return nil
	}
	if err != nil {
		return usageError{err}
	}
	if f.Printers < 1 || !(f.Speed > 0 && f.Speed <= maxSpeed) || f.basePort() < 0 { // NaN is not above 0
		return usageError{fmt.Errorf("--printers and --speed must be above 0, --speed at most %.0f, --base-port not below 0", maxSpeed)}
	}
	specs, err := f.specs()
	if err != nil {
		return usageError{err}
	}
	log := logging.New(stderr, f.LogLevel, logging.Auto)
	farm, err := simprinter.NewFarm(specs, simprinter.Options{Speed: f.Speed, RealLimits: f.RealLimits, SSDP: f.SSDP, Log: log})
	if err != nil {
		return usageError{err}
	}
	return live(ctx, f, farm, log)
}

// basePort is where ports are counted from, 0: they are not.
func (f flags) basePort() int {
	switch {
	case f.RealPorts:
		return 0
	case f.BasePort == nil:
		return 18883
	}
	return *f.BasePort
}

// specs are the printers that are asked for.
func (f flags) specs() ([]simprinter.Spec, error) {
	if f.Detect < 0 || f.Detect > 65535 || f.Detect > 0 && f.Printers > 1 && !f.Spread {
		return nil, errors.New("--detect is a port, and with several printers it takes --spread")
	}
	if f.RealPorts && f.Printers > 1 && !f.Spread {
		return nil, errors.New("--real-ports takes --spread with several printers: they all have the same ports")
	}
	if f.SSDP != "" {
		if _, err := net.ResolveUDPAddr("udp4", f.SSDP); err != nil {
			return nil, fmt.Errorf("--ssdp: %w", err)
		}
	}
	all, err := simprinter.Specs(f.Printers, f.Model, f.Address, f.basePort())
	if err == nil && f.Spread {
		err = simprinter.Spread(all)
	}
	if f.RealPorts {
		simprinter.RealPorts(all)
	}
	for i := range all {
		all[i].DetectPort = f.Detect
	}
	return all, err
}

// live runs the farm with its control API.
func live(ctx context.Context, f flags, farm *simprinter.Farm, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- farm.Run(ctx) }()
	select {
	case err := <-over:
		return err
	case <-farm.Ready():
	}
	server := &http.Server{Handler: farm.Control(), ReadHeaderTimeout: 5 * time.Second}
	if f.Control != "" {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.Control)
		if err != nil {
			cancel()
			return errors.Join(usageError{fmt.Errorf("--control: %w", err)}, <-over)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(l) // ends with Close below
		}()
		defer func() {
			_ = server.Close()
			<-served
		}()
		log.Info("control API", "address", "http://"+l.Addr().String())
	}
	if f.Inventory != "" {
		b, err := json.MarshalIndent(farm.Inventory(), "", "  ")
		if err == nil {
			err = atomicfile.WriteFile(f.Inventory, append(b, '\n'), 0o600)
		}
		if err != nil {
			cancel()
			return errors.Join(fmt.Errorf("write --inventory: %w", err), <-over)
		}
	}
	log.Info("printers listen", "printers", f.Printers, "speed", f.Speed)
	if f.Print {
		keepPrinting(ctx, farm)
	}
	<-ctx.Done()
	return <-over
}

// keepPrinting gives two of three printers something to do, again and again.
func keepPrinting(ctx context.Context, farm *simprinter.Farm) {
	names := []string{"Benchy", "Cable clip", "Planter", "Gear 24T", "Phone stand"}
	again := time.NewTicker(20 * time.Second)
	defer again.Stop()
	for n := 0; ; {
		for i, p := range farm.Printers() {
			if i%3 == 2 {
				continue
			}
			source := []string{"slicer", "cloud", "screen"}[n%3]
			if p.Start(simprinter.PrintJob{Name: names[n%len(names)], Minutes: float64(20 + 13*(n%5)), Source: source}) == nil {
				n++
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}
