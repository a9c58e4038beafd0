package main

import (
	"fmt"
	"os"
	"strings"

	"bambuddy/agent/app"
	"bambuddy/agent/internal/config"
	"bambuddy/shared/farm"
)

type enrollCommand struct {
	common
	Token string `placeholder:"TOKEN" help:"The token, made by the hub (BAMBUDDY_TOKEN, or BAMBUDDY_TOKEN_FILE for a file that holds it)."`
	Hub   string `placeholder:"URL" help:"The hub's address, instead of the one in the token (BAMBUDDY_HUB)."`
	Name  string `placeholder:"NAME" help:"What to call this agent; the host's name if nothing is given."`
	Force bool   `help:"Replace an enrollment that is there already."`
}

// Run enrolls. A running agent goes on as who it was until it is started anew.
func (c enrollCommand) Run(e environment) error {
	settings, err := c.resolve(e)
	if err != nil {
		return err
	}
	token, err := secret(e.getenv, "token", c.Token)
	if err != nil {
		return err
	}
	name := c.Name
	if name == "" {
		name, _ = os.Hostname() // without one the hub finds a name
	}
	hub := c.Hub
	if hub == "" {
		hub = e.getenv("BAMBUDDY_HUB")
	}
	id, err := app.Enroll(e.ctx, app.EnrollOptions{
		DataDir: settings.DataDir, Token: farm.Secret(token), HubURL: hub, Name: name, Force: c.Force, AllowPlain: settings.AllowPlain,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Enrolled with %s as %q (site %q).\n", id.HubURL, id.Name, id.Site)
	return err
}

// secret is a setting that may also come from a file, so that it stands neither
// in the list of processes nor in a unit file.
func secret(getenv func(string) string, name, flag string) (string, error) {
	variable := "BAMBUDDY_" + strings.ToUpper(name)
	path := getenv(variable + "_FILE")
	switch {
	case flag != "":
		return flag, nil
	case getenv(variable) != "":
		return getenv(variable), nil
	case path == "":
		return "", &config.Error{Setting: "--" + name, Problem: "missing; " + variable + " and " + variable + "_FILE work as well"}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", &config.Error{Setting: variable + "_FILE", Problem: err.Error()}
	}
	return strings.TrimSpace(string(b)), nil
}
