package diagnose

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/testcert"
	"bambuddy/shared/wire"
)

const (
	serial = "22E00A000000001"
	code   = farm.Secret("12345678")
)

// shows is a TLS server with a certificate of a name.
func shows(t *testing.T, name string) func(net.Conn) {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{testcert.New(t, name)}}
	return func(c net.Conn) {
		server := tls.Server(c, config)
		if server.HandshakeContext(context.Background()) == nil {
			_, _ = io.Copy(io.Discard, server)
		}
	}
}

// target is a P2S at the host p. pinned false: its certificate is not the one
// known.
func target(pinned bool) Target {
	model, _ := bambu.ModelByCode("P2S")
	return Target{
		Config: wire.PrinterConfig{Serial: serial, Name: "Shop", Address: "p", MQTTPort: 8883, FTPSPort: 990, AccessCode: code},
		Model:  model,
		TLS: &tls.Config{
			MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true, ServerName: serial,
			VerifyConnection: func(cs tls.ConnectionState) error {
				if cs.PeerCertificates[0].Subject.CommonName != serial || !pinned {
					return errors.New("not the printer")
				}
				return nil
			},
		},
	}
}

// online is a session that is well.
func online() *Session {
	s := &Session{Connection: wire.Connection{State: wire.Online}, LastReport: time.Now()}
	s.Status.Machine = bambu.Machine{
		Firmware: "01.02.00.00", DeveloperMode: bambu.Some(true), SignedCommands: bambu.Some(false), Storage: bambu.Some(true),
	}
	s.Status.Signal.WiFi = bambu.Some(-44)
	return s
}

func checkOf(t *testing.T, r wire.Report, id string) wire.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no check %s", id)
	return wire.Check{}
}

// sound holds what every report must keep to.
func sound(t *testing.T, r wire.Report) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range r.Checks {
		if c.ID == "" || c.Title == "" || c.Detail == "" || seen[c.ID] {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
		if (c.Result == wire.Pass) != (c.Mend == "") {
			t.Errorf("%s %s, mend %q", c.ID, c.Result, c.Mend)
		}
		if strings.Contains(c.Detail+c.Mend, code.Reveal()) {
			t.Errorf("the access code is told: %+v", c)
		}
		if strings.HasSuffix(c.Detail, "..") || !strings.HasSuffix(c.Detail, ".") {
			t.Errorf("no sentence: %q", c.Detail)
		}
	}
}
