package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"bambuddy/agent/app"
	"bambuddy/agent/internal/config"
	"bambuddy/shared/bambu"
	"bambuddy/shared/logging"
	"bambuddy/shared/wire"
)

type discoverCommand struct {
	Range   []string      `placeholder:"CIDR" help:"Scan these addresses (192.168.1.0/24, or one alone); the networks of this machine if none is given. Private ones only, at most 4096 addresses."`
	Passive bool          `help:"Only listen to what printers announce, scan nothing."`
	Listen  time.Duration `default:"12s" help:"How long to listen for announcements; printers send one every 5 s."`
	JSON    bool          `help:"Print JSON."`
}

// Run looks for printers on this machine's networks; it needs no enrolled agent.
func (c discoverCommand) Run(e environment) error {
	if c.Listen <= 0 || c.Listen > time.Hour {
		return &config.Error{Setting: "--listen", Problem: "say a time up to an hour, like 12s"}
	}
	found, err := app.Discover(e.ctx, app.DiscoverOptions{
		Ranges: c.Range, Passive: c.Passive, Listen: c.Listen, Log: logging.New(e.stderr, slog.LevelWarn, logging.Text),
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, found)
	}
	return showFound(e.stdout, found)
}

func showFound(out io.Writer, found []wire.Found) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(out, "No printer was found. Printers in another network are found by --range alone; one that is asleep or has just been switched on may need a second try.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(columns ...string) { _, _ = fmt.Fprintln(w, strings.Join(columns, "\t")) } // Flush tells of errors
	line("SERIAL", "MODEL", "NAME", "ADDRESS", "FIRMWARE", "MODE", "FOUND BY")
	for _, f := range found {
		line(f.Serial, modelName(f.Model), dash(f.Name), f.Address, dash(f.Firmware), mode(f), string(f.Via))
	}
	return w.Flush()
}

func modelName(code string) string {
	m, _ := bambu.ModelByCode(code)
	return dash(m.Name)
}

// mode is what the printer says of itself, and whether it will obey.
func mode(f wire.Found) string {
	words := dash(f.Connect)
	if f.Developer != nil && !*f.Developer {
		words += ", read only"
	}
	return words
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
