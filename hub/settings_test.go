package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/wire"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWrongSettingsFiles(t *testing.T) {
	data := t.TempDir()
	for name, c := range map[string]struct{ file, mentions string }{
		"not JSON":        {write(t, "hub.json", "data: x"), "not a JSON object"},
		"a list":          {write(t, "hub.json", "[]"), "not a JSON object"},
		"a slip":          {write(t, "hub.json", `{"public-ulr":"https://hub.example"}`), `"public-ulr"`},
		"wrong kind":      {write(t, "hub.json", `{"limit-read":"many"}`), "--limit-read"},
		"not there":       {filepath.Join(data, "nowhere.json"), "nowhere.json"},
		"a secret in it":  {write(t, "hub.json", `{"secret-key":"hunter2"}`), "--secret-key"},
		"a secret beside": {write(t, "hub.json", `{"database-url":"hunter2","nonsense":1}`), `"nonsense"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := command(t, "serve", "--config", c.file, "--data", data, "--listen", "127.0.0.1:0")
			if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.mentions) || strings.Contains(stderr, "hunter2") {
				t.Errorf("exit code %d, said %q, want 2 and one line about %q", code, stderr, c.mentions)
			}
		})
	}
}

// One file serves all commands: what another command needs is no slip. A flag
// goes before the environment, and that before the file.
func TestWhichSettingWins(t *testing.T) {
	data := t.TempDir()
	file := write(t, "hub.json", `{"data":"`+data+`","public_url":"https://file.example","limit-read":7,"name":"from the file","permissions":["read"]}`)
	t.Setenv("BAMBUDDY_CONFIG", file)
	for _, want := range []struct {
		url   string
		set   func()
		flags []string
	}{
		{"https://file.example", func() {}, nil},
		{"https://env.example", func() { t.Setenv("BAMBUDDY_PUBLIC_URL", "https://env.example") }, nil},
		{"https://flag.example", func() {}, []string{"--public-url", "https://flag.example"}},
	} {
		want.set()
		url, _, stop := serving(t, want.flags...)
		if url != want.url {
			t.Errorf("the public URL is %q, want %q", url, want.url)
		}
		if code := stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	if key, stderr, code := command(t, "apikey", "create"); code != 0 || !strings.HasPrefix(key, "bb_") {
		t.Errorf("apikey create by the file alone: %d, %q", code, stderr)
	}
}

// A hub opens what it sealed with its key and with no other, and the key may
// come from a file named in the environment.
func TestTheSecretKey(t *testing.T) {
	data, right, wrong := t.TempDir(), strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	t.Setenv("BAMBUDDY_SECRET_KEY_FILE", write(t, "key", right+"\n"))
	_, log, stop := serving(t, "--data", data)
	began := time.Now()
	if code := stop(); code != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("ended with %d after %v", code, time.Since(began))
	}
	if strings.Contains(log.String(), right) {
		t.Error("the key is in the log")
	}
	if _, err := os.Stat(filepath.Join(data, "secret.key")); err == nil {
		t.Error("a key file was made beside the key that was given")
	}
	t.Setenv("BAMBUDDY_SECRET_KEY_FILE", write(t, "key", wrong))
	_, stderr, code := command(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
	if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "--secret-key") || strings.Contains(stderr, wrong) {
		t.Errorf("with another key: %d, %q", code, stderr)
	}
	t.Setenv("BAMBUDDY_SECRET_KEY_FILE", "")
	_, _, stop = serving(t, "--data", data, "--secret-key", wrong+","+right) // a new one, and the old one to open with
	if code := stop(); code != 0 {
		t.Errorf("with both keys: %d", code)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Setenv("BAMBUDDY_DATABASE_URL_FILE", write(t, "url", "mysql://u:hunter2@h/d\n"))
	for _, args := range [][]string{
		{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"},
		{"apikey", "create", "--data", t.TempDir(), "--name", "x", "--permissions", "read"},
	} {
		_, stderr, code := command(t, args...)
		if code != 2 || !strings.Contains(stderr, "database-url") || strings.Contains(stderr, "hunter2") {
			t.Errorf("%v: %d, %q", args, code, stderr)
		}
	}
	t.Setenv("BAMBUDDY_DATABASE_URL_FILE", "/nowhere")
	if _, stderr, code := command(t, "enrolment", "create", "--data", t.TempDir()); code != 2 || !strings.Contains(stderr, "--database-url-file") {
		t.Errorf("a file that is missing: %d, %q", code, stderr)
	}
}

// With a certificate of its own the hub serves HTTPS, and its tokens carry the
// certificate's fingerprint.
func TestServingWithACertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"hub.example"}}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	keyFile := write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	data := t.TempDir()
	url, _, _ := serving(t, "--data", data, "--tls-cert", cert, "--tls-key", keyFile)
	host, https := strings.CutPrefix(url, "https://")
	if !https {
		t.Fatalf("it serves at %s", url)
	}
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "hub.example"}}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	text, stderr, code := command(t, "enrolment", "create", "--data", data)
	token, err := wire.ParseToken(text)
	sum := sha256.Sum256(der)
	if code != 0 || err != nil || token.URL != url || token.Fingerprint != hex.EncodeToString(sum[:]) {
		t.Errorf("token: %d, %q, %+v, %v", code, stderr, token.Fingerprint, err)
	}
	_, stderr, code = command(t, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--tls-cert", keyFile, "--tls-key", keyFile)
	if code != 2 || !strings.Contains(stderr, "--tls-cert") {
		t.Errorf("a certificate that is none: %d, %q", code, stderr)
	}
}
