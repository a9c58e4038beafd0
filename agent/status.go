package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"bambuddy/agent/app"
)

type statusCommand struct{ common }

// Run prints how the agent stands; without a running one it fails.
func (c statusCommand) Run(e environment) error {
	settings, err := c.resolve(e)
	if err != nil {
		return err
	}
	s, err := app.ReadStatus(settings.DataDir)
	if err != nil {
		return err
	}
	return show(e.stdout, s)
}

func show(out io.Writer, s app.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(columns ...string) { _, _ = fmt.Fprintln(w, strings.Join(columns, "\t")) } // Flush tells of errors
	hub := "connected"
	if !s.Hub.Connected {
		hub = "not connected"
	}
	line("agent", "running", "version "+s.Version+", process "+strconv.Itoa(s.PID), since(s.Started))
	line("hub", hub, strings.TrimSuffix(s.Hub.URL+": "+s.Hub.Problem, ": "), since(s.Hub.Since))
	for _, p := range s.Printers {
		line(p.Serial, string(p.State), p.Detail, since(p.Since))
	}
	return w.Flush()
}

func since(t time.Time) string { return "since " + t.Local().Format(time.DateTime) }
