package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"bambuddy/agent/app"
	"bambuddy/shared/wire"
)

type doctorCommand struct {
	common
	JSON     bool     `help:"Print JSON."`
	Printers []string `arg:"" optional:"" name:"serial" help:"Serial numbers of the printers to look at; all if none is given."`
}

// Run examines the agent and its printers. It fails when a check does.
func (c doctorCommand) Run(e environment) error {
	settings, err := c.resolve(e)
	if err != nil {
		return err
	}
	found, err := app.Doctor(e.ctx, app.DoctorOptions{DataDir: settings.DataDir, Serials: c.Printers, AllowPlain: settings.AllowPlain})
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(e.stdout, found)
	} else {
		err = showExamination(e.stdout, found)
	}
	if err != nil {
		return err
	}
	return verdict(found.Checks())
}

// verdict is an error that counts what failed.
func verdict(checks []wire.Check) error {
	failed := 0
	for _, c := range checks {
		if c.Result == wire.Fail {
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d checks failed", failed, len(checks))
}

func showExamination(out io.Writer, e app.Examination) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	showChecks(w, "This agent", e.Agent)
	for _, p := range e.Printers {
		title := strings.TrimSpace(p.Name+" "+p.Serial) + " at " + p.Address
		_, _ = fmt.Fprintln(w)
		showChecks(w, title, p.Checks)
	}
	return w.Flush()
}

// showChecks writes to a tabwriter, whose Flush tells of errors.
func showChecks(w io.Writer, title string, checks []wire.Check) {
	_, _ = fmt.Fprintln(w, title)
	for _, c := range checks {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", mark(c.Result), c.Title, c.Detail)
		if c.Mend != "" {
			_, _ = fmt.Fprintf(w, "  \t\t→ %s\n", c.Mend)
		}
	}
}

// mark lets the eye find what failed.
func mark(v wire.Verdict) string {
	if v == wire.Fail {
		return "FAIL"
	}
	return string(v)
}

func printJSON(out io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", b)
	return err
}
