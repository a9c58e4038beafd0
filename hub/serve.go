package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"bambuddy/hub/app"
	"bambuddy/hub/internal/archive"
	"bambuddy/shared/dirlock"
	"bambuddy/shared/farm"
	"bambuddy/shared/logging"
	"bambuddy/shared/tunnel"
)

type serveCommand struct {
	database
	objects
	s3Flags
	Listen        string         `default:"127.0.0.1:8000" help:"Address to serve at." env:"BAMBUDDY_LISTEN"`
	PublicURL     string         `name:"public-url" placeholder:"URL" help:"Where agents reach this hub; without it, the address it serves at." env:"BAMBUDDY_PUBLIC_URL"`
	Proxies       []string       `name:"trusted-proxies" placeholder:"CIDR" help:"Reverse proxies, as 10.0.0.0/8, whose X-Forwarded-For and X-Forwarded-Proto count; without it nobody's do." env:"BAMBUDDY_TRUSTED_PROXIES"`
	TLSCert       string         `name:"tls-cert" placeholder:"FILE" help:"Certificate (PEM), to serve HTTPS by itself." env:"BAMBUDDY_TLS_CERT"`
	TLSKey        string         `name:"tls-key" placeholder:"FILE" help:"Its key (PEM)." env:"BAMBUDDY_TLS_KEY"`
	SecretKey     []string       `placeholder:"KEY" help:"32 bytes in hex or base64 that seal secrets at rest; the first seals, further ones still open." env:"BAMBUDDY_SECRET_KEY"`
	SecretKeyFile string         `placeholder:"FILE" help:"A file that holds the secret key." env:"BAMBUDDY_SECRET_KEY_FILE"`
	LimitRead     int            `default:"100" help:"Reads a minute of a key." env:"BAMBUDDY_LIMIT_READ"`
	LimitWrite    int            `default:"30" help:"Writes a minute of a key." env:"BAMBUDDY_LIMIT_WRITE"`
	LimitControl  int            `default:"10" help:"Commands a minute of a key." env:"BAMBUDDY_LIMIT_CONTROL"`
	KeepFor       time.Duration  `name:"keep-archives-for" placeholder:"DURATION" help:"Delete archives that are older, as 8760h; favourites stay. Without it they are kept." env:"BAMBUDDY_KEEP_ARCHIVES_FOR"`
	KeepBytes     int64          `name:"keep-archives-bytes" placeholder:"BYTES" help:"Delete the oldest archives while all objects together take more; favourites stay." env:"BAMBUDDY_KEEP_ARCHIVES_BYTES"`
	MaxUpload     int64          `default:"1073741824" placeholder:"BYTES" help:"Largest 3MF that is taken." env:"BAMBUDDY_MAX_UPLOAD"`
	OfflineAfter  time.Duration  `default:"60s" help:"How long a printer must be away before that is an event." env:"BAMBUDDY_OFFLINE_AFTER"`
	LogLevel      slog.Level     `default:"info" help:"debug, info, warn or error." env:"BAMBUDDY_LOG_LEVEL"`
	LogFormat     logging.Format `default:"auto" enum:"auto,text,json" help:"How log lines are written." env:"BAMBUDDY_LOG_FORMAT"`
}

// Run runs the hub until it is told to end.
func (c serveCommand) Run(e environment) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	keys, err := c.secretKeys()
	if err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return usageError{err}
	}
	proxies, err := app.ParseProxies(c.Proxies)
	if err != nil {
		return usageError{fmt.Errorf("--trusted-proxies: %w", err)}
	}
	listener, fingerprint, err := c.listen(e.ctx)
	if err != nil {
		return err
	}
	s3, err := c.open(e.ctx, c.TLSCert, c.TLSKey)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	err = app.Run(e.ctx, app.Options{
		DataDir: c.Data, DatabaseURL: url, SecretKeys: keys, Listener: listener, PublicURL: c.PublicURL, Fingerprint: fingerprint, TrustedProxies: proxies,
		Limits:  farm.Limits{Read: c.LimitRead, Write: c.LimitWrite, Control: c.LimitControl},
		Objects: store, Retention: archive.Retention{Age: c.KeepFor, Bytes: c.KeepBytes}, MaxUpload: c.MaxUpload, S3: s3,
		OfflineAfter: c.OfflineAfter, Log: logging.New(e.stderr, c.LogLevel, c.LogFormat),
	})
	switch {
	case errors.Is(err, dirlock.ErrHeld):
		return usageError{fmt.Errorf("--data: another hub is running on %s", c.Data)}
	case errors.Is(err, app.ErrSecretKey):
		return usageError{fmt.Errorf("--secret-key: %w", err)}
	}
	return err
}

func (c serveCommand) secretKeys() (keys []farm.Secret, err error) {
	for _, k := range c.SecretKey {
		keys = append(keys, farm.Secret(k))
	}
	file, err := secret("secret-key", "", c.SecretKeyFile)
	if err == nil && file != "" {
		keys = append(keys, file)
	}
	return keys, err
}

func (c serveCommand) listen(ctx context.Context) (l net.Listener, fingerprint string, err error) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return nil, "", usageError{errors.New("--tls-cert and --tls-key: give both or neither")}
	}
	l, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, "", usageError{fmt.Errorf("--listen: %w", err)}
	}
	if c.TLSCert == "" {
		return l, "", nil
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, "", usageError{errors.Join(fmt.Errorf("--tls-cert: %w", err), l.Close())}
	}
	print := tunnel.Fingerprint(pair.Leaf)
	// The agents' websockets are HTTP/1.1; nothing else is offered on this port.
	return tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}), hex.EncodeToString(print[:]), nil
}

type healthcheckCommand struct {
	URL string `name:"url" default:"http://127.0.0.1:8000" help:"Where the hub serves." env:"BAMBUDDY_HEALTH_URL"`
}

// Run asks the hub.
func (c healthcheckCommand) Run(e environment) error {
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/health", nil)
	if err != nil {
		return usageError{fmt.Errorf("--url: %w", err)}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the hub is not well: %s", res.Status)
	}
	return nil
}
