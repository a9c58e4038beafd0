// Command bambuddy-hub is the centre of a Bambuddy farm: it holds the links to
// the agents and serves the REST API and the page for people.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"bambuddy/hub/app"
	"bambuddy/shared/buildinfo"
	"bambuddy/shared/farm"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // wrong command line or configuration
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// commands is the command line. Every flag can also be given as BAMBUDDY_… in
// the environment or in the settings file.
type commands struct {
	Config kong.ConfigFlag `placeholder:"FILE" help:"Settings file: a JSON object of flags." env:"BAMBUDDY_CONFIG"`

	Serve       serveCommand       `cmd:"" help:"Run the hub."`
	Apikey      apikeyCommand      `cmd:"" help:"API keys."`
	User        userCommand        `cmd:"" help:"People who may sign in."`
	Enrolment   enrolmentCommand   `cmd:"" help:"Enrolment tokens for agents."`
	Rebuild     rebuildCommand     `cmd:"" help:"Restore the archives of the database from the object store alone."`
	S3          s3Command          `cmd:"" name:"s3" help:"The archive for S3 tools."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a running hub whether it is well; exit code 0 if so."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// environment is what a command has of the process around it.
type environment struct {
	ctx            context.Context
	stdout, stderr io.Writer
}

// usageError is a wrong setting: its line names it.
type usageError struct{ error }

// run is the whole program: arguments in, exit code out.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	helped := false
	parser, err := kong.New(&commands{},
		kong.Name("bambuddy-hub"), kong.Description("The centre of a Bambuddy farm."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }), kong.Configuration(settingsFile),
	)
	if err != nil {
		return fail(stderr, err)
	}
	chosen, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		return fail(stderr, usageError{fmt.Errorf("%w (see --help)", err)})
	}
	if err := chosen.Run(environment{ctx, stdout, stderr}); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}

// settingsFile reads a JSON object of flags by their names, as the agent's is.
func settingsFile(r io.Reader) (kong.Resolver, error) {
	var given map[string]any
	if err := json.NewDecoder(r).Decode(&given); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	named := make(map[string]any, len(given))
	for name, value := range given {
		named[strings.ReplaceAll(name, "-", "_")] = value // as kong looks them up
	}
	b, err := json.Marshal(named)
	if err != nil {
		return nil, err
	}
	values, err := kong.JSON(bytes.NewReader(b))
	return settings{values, slices.Sorted(maps.Keys(given))}, err
}

// settings are what a settings file says, and the names it says it with.
type settings struct {
	kong.Resolver
	names []string
}

// Resolve leaves to the environment what that settles: a flag goes before it, and
// it goes before the file.
func (s settings) Resolve(c *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, settled := os.LookupEnv(name); settled {
			return nil, nil
		}
	}
	return s.Resolver.Resolve(c, parent, flag)
}

// Validate refuses a name that is no flag of any command: a slip of the pen must
// not leave a setting at its default.
func (s settings) Validate(program *kong.Application) error {
	known := map[string]bool{}
	_ = kong.Visit(program, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[flag.Name] = true
		}
		return next(nil)
	})
	for _, name := range s.names {
		if !known[strings.ReplaceAll(name, "_", "-")] {
			return fmt.Errorf("%q in the settings file: there is no such setting", name)
		}
	}
	return nil
}

// fail tells why the program ends, in one line.
func fail(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintf(stderr, "bambuddy-hub: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	var usage usageError
	if errors.As(err, &usage) || app.ErrUsage(err) {
		return exitUsage
	}
	return exitFailure
}

// database says where a hub keeps what it knows.
type database struct {
	Data            string `required:"" placeholder:"DIR" help:"Where the hub keeps its data." env:"BAMBUDDY_DATA"`
	DatabaseURL     string `placeholder:"URL" help:"PostgreSQL, as postgres://…; without one, SQLite in the data directory." env:"BAMBUDDY_DATABASE_URL"`
	DatabaseURLFile string `placeholder:"FILE" help:"A file that holds the database URL." env:"BAMBUDDY_DATABASE_URL_FILE"`
}

func (d database) url() (farm.Secret, error) {
	return secret("database-url", d.DatabaseURL, d.DatabaseURLFile)
}

// secret takes a secret from a flag or from a file that holds it.
func secret(name, value, file string) (farm.Secret, error) {
	if value != "" || file == "" {
		return farm.Secret(value), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", usageError{fmt.Errorf("--%s-file: %w", name, err)}
	}
	return farm.Secret(strings.TrimSpace(string(text))), nil
}

type apikeyCommand struct {
	Create apikeyCreateCommand `cmd:"" help:"Make an API key and print it; it is shown this once."`
}

type apikeyCreateCommand struct {
	database
	Name         string   `required:"" help:"What the key is for."`
	Permissions  []string `required:"" enum:"read,queue,control,admin" help:"Of read, queue, control, admin."`
	LimitRead    int      `help:"Reads a minute; 0: the hub's default."`
	LimitWrite   int      `help:"Writes a minute; 0: the hub's default."`
	LimitControl int      `help:"Commands a minute; 0: the hub's default."`
}

// Run makes the key.
func (c apikeyCreateCommand) Run(e environment) error {
	return withAdmin(e, c.database, func(a *app.Admin) error {
		var permissions []farm.Permission
		for _, p := range c.Permissions {
			permissions = append(permissions, farm.Permission(p))
		}
		key, err := a.NewKey(e.ctx, c.Name, permissions, farm.Limits{Read: c.LimitRead, Write: c.LimitWrite, Control: c.LimitControl})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(e.stdout, key.Reveal())
		return err
	})
}

type enrolmentCommand struct {
	Create enrolmentCreateCommand `cmd:"" help:"Make a token that enrols one agent within 15 minutes, and print it."`
}

type enrolmentCreateCommand struct {
	database
	Site string `default:"Default" help:"The site of the agent; it is made if there is none of that name."`
	URL  string `name:"url" help:"Where the agent reaches this hub; without it, where the hub last served." env:"BAMBUDDY_PUBLIC_URL"`
}

// Run makes the token.
func (c enrolmentCreateCommand) Run(e environment) error {
	return withAdmin(e, c.database, func(a *app.Admin) error {
		token, madeSite, err := a.NewEnrolment(e.ctx, c.Site, c.URL)
		if err != nil {
			return err
		}
		if madeSite {
			_, _ = fmt.Fprintf(e.stderr, "bambuddy-hub: made the site %q\n", c.Site)
		}
		_, err = fmt.Fprintln(e.stdout, token.Reveal())
		return err
	})
}

func withAdmin(e environment, d database, do func(*app.Admin) error) (err error) {
	url, err := d.url()
	if err != nil {
		return err
	}
	a, err := app.OpenAdmin(e.ctx, d.Data, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	return do(a)
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(e environment) error {
	_, err := fmt.Fprintf(e.stdout, "bambuddy-hub %s %s\n", buildinfo.Version(), buildinfo.Platform())
	return err
}
