package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bambuddy/shared/testcert"
)

func TestS3CredentialsOnTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	out, stderr, code := command(t, "s3", "credentials", "create", "--data", dir, "--name", "for\trclone", "--site", "Default")
	lines := strings.Split(out, "\n")
	if code != 0 || len(lines) != 3 || len(lines[0]) != 20 || len(lines[1]) != 40 {
		t.Fatalf("%d, %d lines, %q", code, len(lines), stderr)
	}
	out, stderr, code = command(t, "s3", "credentials", "list", "--data", dir)
	if code != 0 || strings.Count(out, "\n") != 2 || !strings.Contains(out, lines[0]) || !strings.Contains(out, "for rclone") ||
		!strings.Contains(out, "Default") || !strings.Contains(out, "never") || strings.Contains(out, lines[1]) {
		t.Errorf("%d, %q, %q", code, out, stderr)
	}
	if out, stderr, code = command(t, "s3", "credentials", "revoke", "--data", dir, lines[0]); code != 0 || out != "" {
		t.Errorf("%d, %q, %q", code, out, stderr)
	}
	for name, c := range map[string]struct {
		args     []string
		mentions string
	}{
		"revoked already": {[]string{"revoke", "--data", dir, lines[0]}, lines[0]},
		"no such site":    {[]string{"create", "--data", dir, "--site", "Cellar"}, "--site"},
		"another key":     {[]string{"create", "--data", dir, "--secret-key", strings.Repeat("0a", 32)}, "--secret-key"},
		"no hub there":    {[]string{"list", "--data", dir + "/nowhere"}, "--data"},
	} {
		_, stderr, code := command(t, append([]string{"s3", "credentials"}, c.args...)...)
		if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.mentions) {
			t.Errorf("%s: exit code %d, said %q, want 2 and one line about %q", name, code, stderr, c.mentions)
		}
	}
}

func TestTheDoorForS3ToolsNeedsTLSBeyondThisMachine(t *testing.T) {
	cert, key := certificate(t)
	for name, c := range map[string]struct {
		flags    s3Flags
		own      bool // the hub has a certificate
		mentions string
	}{
		"off":                  {s3Flags{}, false, ""},
		"here in clear":        {s3Flags{S3Listen: "127.0.0.1:0"}, false, ""},
		"everywhere in clear":  {s3Flags{S3Listen: ":0"}, false, "--s3-listen"},
		"in clear, on purpose": {s3Flags{S3Listen: ":0", S3Plain: true}, false, ""},
		"with the hub's own":   {s3Flags{S3Listen: ":0"}, true, ""},
		"with another":         {s3Flags{S3Listen: ":0", S3TLSCert: cert, S3TLSKey: key}, false, ""},
		"half a certificate":   {s3Flags{S3Listen: ":0", S3TLSCert: cert}, false, "--s3-tls-key"},
		"no certificate in it": {s3Flags{S3Listen: ":0", S3TLSCert: key, S3TLSKey: key}, false, "--s3-tls-cert"},
		"no address":           {s3Flags{S3Listen: "nonsense"}, false, "--s3-listen"},
	} {
		own := [2]string{}
		if c.own {
			own = [2]string{cert, key}
		}
		s, err := c.flags.open(t.Context(), own[0], own[1])
		if (err != nil) != (c.mentions != "") || err != nil && !strings.Contains(err.Error(), c.mentions) {
			t.Errorf("%s: %v", name, err)
		}
		if (s.Listener != nil) != (err == nil && c.flags.S3Listen != "") {
			t.Errorf("%s: listener %v", name, s.Listener)
		}
		if s.Listener != nil {
			_ = s.Listener.Close()
		}
	}
}

// certificate writes a certificate and its key to files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	pair := testcert.New(t, "s3.farm.test")
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "PRIVATE KEY", der)
}
