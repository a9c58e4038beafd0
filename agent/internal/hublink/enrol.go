package hublink

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// enrolPath is where a hub turns a one-time secret into an identity.
const enrolPath = "/agent/v1/enrol"

const enrolPatience = 30 * time.Second

// EnrolOptions is what an enrolment needs beside its token.
type EnrolOptions struct {
	Dir        string // data directory, made if it is missing
	HubURL     string // instead of the token's, "": the token's
	Force      bool   // replace an identity that is there already
	Name       string // what the agent shall be called, usually the host's name
	Version    string
	AllowPlain bool            // an http address of another machine
	Dial       tunnel.DialFunc // nil: the operating system's
	Proxy      func(*http.Request) (*url.URL, error)
}

// Enrol redeems an enrolment token at its hub with a key made now, and saves the
// identity that results. Its errors are sentences for the person who pasted the
// token; CONFLICT means that this agent is enrolled already and Force was not set.
// An identity that is replaced stays until the hub has given the new one.
func Enrol(ctx context.Context, o EnrolOptions, pasted string) (Identity, error) {
	token, err := wire.ParseToken(pasted)
	if err != nil {
		return Identity{}, err
	}
	if o.HubURL != "" {
		token.URL = o.HubURL
	}
	if err := prepare(o); err != nil {
		return Identity{}, err
	}
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return Identity{}, fmt.Errorf("make a key: %w", err)
	}
	got, err := redeem(ctx, o, token, public)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{
		HubURL: token.URL, Fingerprint: token.Fingerprint, HubID: got.HubID, AgentID: got.AgentID,
		Site: got.Site, Name: got.Name, Key: key,
	}
	return id, SaveIdentity(o.Dir, id)
}

// prepare refuses before the token is used up what would fail afterwards.
func prepare(o EnrolOptions) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	switch id, err := LoadIdentity(o.Dir); {
	case o.Force:
	case err == nil:
		return farm.Errorf(farm.Conflict, "this is already %s: enrolling again needs --force", id)
	case !farm.Is(err, farm.NotFound):
		return err
	}
	probe, err := os.CreateTemp(o.Dir, ".probe-*")
	if err != nil {
		return fmt.Errorf("the data directory cannot be written: %w", err)
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

func redeem(ctx context.Context, o EnrolOptions, token wire.Token, public ed25519.PublicKey) (wire.EnrolResult, error) {
	var got wire.EnrolResult
	hub := tunnel.Hub{URL: token.URL, Fingerprint: token.Fingerprint, AllowPlain: o.AllowPlain, Dial: o.Dial, Proxy: o.Proxy}
	u, err := hub.Endpoint(enrolPath)
	if err != nil {
		return got, farm.Wrap(farm.Invalid, err, "the hub's address cannot be used")
	}
	client, err := hub.Client()
	if err != nil {
		return got, farm.Wrap(farm.Invalid, err, "the token cannot be used")
	}
	body, err := json.Marshal(wire.EnrolRequest{
		Secret: farm.Secret(token.Secret), PublicKey: public, Name: o.Name, Version: o.Version, Platform: platform(),
	})
	if err != nil {
		return got, fmt.Errorf("encode the enrolment: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, enrolPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return got, fmt.Errorf("make the enrolment request: %w", err)
	}
	req.GetBody = nil // the secret works once: nothing may send it again by itself
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return got, unreachable(u, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxMessage))
	if err != nil {
		return got, unreachable(u, err)
	}
	if resp.StatusCode/100 != 2 {
		return got, refusal(u, resp, answer)
	}
	if json.Unmarshal(answer, &got) != nil || got.HubID == "" || got.AgentID == "" {
		return got, farm.Errorf(farm.Unavailable, "what answers at %s is not a hub", u.Host)
	}
	return got, nil
}

// unreachable says why there was no answer.
func unreachable(u *url.URL, err error) error {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, tunnel.ErrWrongCertificate):
		return farm.Wrap(farm.Unauthorized, err, "%s is not the hub that made this token, or it has a new certificate: make a new token there", u.Host)
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid):
		return farm.Wrap(farm.Unauthorized, err, "this machine does not trust the certificate of %s", u.Host)
	}
	return farm.Wrap(farm.Unavailable, err, "the hub at %s gave no answer (if it says later that the token was used, make a new one)", u.Host)
}

// refusal passes the hub's own words on.
func refusal(u *url.URL, resp *http.Response, body []byte) error {
	var e wire.Error
	if json.Unmarshal(body, &e) == nil && e.Code != "" {
		return farm.Errorf(e.Code, "the hub did not accept the token: %.500s", e.Detail)
	}
	if resp.StatusCode/100 == 3 {
		return farm.Errorf(farm.Unavailable, "%s only points to another address; give that one with --hub", u.Host)
	}
	return farm.Errorf(farm.Unavailable, "what answers at %s is not a hub (%s)", u.Host, resp.Status)
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
