package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"bambuddy/hub/app"
)

// s3Flags are the flags of serve that offer the archive to S3 tools.
type s3Flags struct {
	S3Listen  string `name:"s3-listen" placeholder:"ADDRESS" help:"Address to serve the archive at for S3 tools, read-only; without it, it is not. With --tls-cert it speaks TLS." env:"BAMBUDDY_S3_LISTEN"`
	S3TLSCert string `name:"s3-tls-cert" placeholder:"FILE" help:"Certificate (PEM) for S3 tools, if it is another than --tls-cert." env:"BAMBUDDY_S3_TLS_CERT"`
	S3TLSKey  string `name:"s3-tls-key" placeholder:"FILE" help:"Its key (PEM)." env:"BAMBUDDY_S3_TLS_KEY"`
	S3Plain   bool   `name:"s3-plain" help:"Serve S3 tools in clear beyond this machine, behind something that does TLS." env:"BAMBUDDY_S3_PLAIN"`
	S3Region  string `name:"s3-region" default:"us-east-1" help:"Region that S3 tools are to name." env:"BAMBUDDY_S3_REGION"`
	S3Domain  string `name:"s3-domain" placeholder:"DOMAIN" help:"Domain below which each bucket has a host name of its own." env:"BAMBUDDY_S3_DOMAIN"`
}

// open listens for S3 tools, if that is wanted; cert and key are the hub's own.
func (f s3Flags) open(ctx context.Context, cert, key string) (app.S3, error) {
	s := app.S3{Region: f.S3Region, Domain: f.S3Domain}
	if f.S3Listen == "" {
		return s, nil
	}
	if (f.S3TLSCert == "") != (f.S3TLSKey == "") {
		return s, usageError{errors.New("--s3-tls-cert and --s3-tls-key: give both or neither")}
	}
	if f.S3TLSCert != "" {
		cert, key = f.S3TLSCert, f.S3TLSKey
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.S3Listen)
	if err != nil {
		return s, usageError{fmt.Errorf("--s3-listen: %w", err)}
	}
	if cert == "" {
		if !f.S3Plain && !isLoopback(l.Addr()) {
			err := errors.New("--s3-listen: give it a certificate (--s3-tls-cert), or --s3-plain when something before it does TLS")
			return s, usageError{errors.Join(err, l.Close())}
		}
		s.Listener = l
		return s, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return s, usageError{errors.Join(fmt.Errorf("--s3-tls-cert: %w", err), l.Close())}
	}
	s.Listener = tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	})
	return s, nil
}

func isLoopback(a net.Addr) bool {
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}

type s3Command struct {
	Credentials s3CredentialsCommand `cmd:"" help:"Credentials to read the archive with S3 tools."`
}

type s3CredentialsCommand struct {
	Create s3CreateCommand `cmd:"" help:"Make a credential and print its access key and its secret, a line each; the secret is shown this once."`
	List   s3ListCommand   `cmd:"" help:"List the credentials."`
	Revoke s3RevokeCommand `cmd:"" help:"End a credential."`
}

type s3CreateCommand struct {
	database
	Name          string   `help:"What the credential is for."`
	Site          []string `placeholder:"NAME" help:"Only this site's archives; may be given again. Without it, all sites'." sep:"none"`
	SecretKey     []string `placeholder:"KEY" help:"The hub's secret key, if it is given one." env:"BAMBUDDY_SECRET_KEY"`
	SecretKeyFile string   `placeholder:"FILE" help:"A file that holds the secret key." env:"BAMBUDDY_SECRET_KEY_FILE"`
}

// Run makes the credential.
func (c s3CreateCommand) Run(e environment) error {
	keys, err := serveCommand{SecretKey: c.SecretKey, SecretKeyFile: c.SecretKeyFile}.secretKeys()
	if err != nil {
		return err
	}
	return withAdmin(e, c.database, func(a *app.Admin) error {
		made, secret, err := a.NewS3Credential(e.ctx, keys, c.Name, c.Site)
		if errors.Is(err, app.ErrSecretKey) {
			return usageError{fmt.Errorf("--secret-key: %w", err)}
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.stdout, "%s\n%s\n", made.AccessKey, secret.Reveal())
		return err
	})
}

type s3ListCommand struct{ database }

// Run lists the credentials.
func (c s3ListCommand) Run(e environment) error {
	return withAdmin(e, c.database, func(a *app.Admin) error {
		list, sites, err := a.S3Credentials(e.ctx)
		if err != nil {
			return err
		}
		t := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ACCESS KEY\tNAME\tSITES\tCREATED\tLAST USED")
		for i, one := range list {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", one.AccessKey, plainText(one.Name), plainText(strings.Join(sites[i], ", ")), day(one.CreatedAt), day(one.LastUsedAt))
		}
		return t.Flush()
	})
}

// plainText is a text without what would upset a table or a terminal.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, s)
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

type s3RevokeCommand struct {
	database
	AccessKey string `arg:"" help:"The access key of the credential."`
}

// Run ends the credential.
func (c s3RevokeCommand) Run(e environment) error {
	return withAdmin(e, c.database, func(a *app.Admin) error { return a.RevokeS3Credential(e.ctx, c.AccessKey) })
}
