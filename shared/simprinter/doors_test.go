package simprinter

import (
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
)

// shake does a handshake at a printer's port.
func shake(t *testing.T, p *Printer, dial dialer, port int, config *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c, err := dial(t.Context(), "tcp", net.JoinHostPort(p.Spec().Address, itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	config.InsecureSkipVerify = true // the printer is the test's own
	tc := tls.Client(c, config)
	err = tc.HandshakeContext(t.Context())
	return tc.ConnectionState(), err
}

// A client that knows nothing but RSA without a key agreement gets in at every port.
func TestPlainRSA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{}, "P1S", "X1C")
		for _, p := range farm.Printers() {
			s := p.Spec()
			for name, port := range map[string]int{"MQTT": s.MQTTPort, "FTPS": s.FTPSPort, "camera": s.CameraPort} {
				for _, suite := range []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384} {
					got, err := shake(t, p, dial, port, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
					if err != nil || got.CipherSuite != suite {
						t.Errorf("%s of %s with %s: %v", name, s.Model, tls.CipherSuiteName(suite), err)
					}
				}
			}
		}
	})
}

// TLS is 1.2; only the P2S offers 1.3 too, for MQTT.
func TestTLSVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{}, "X1C", "A1", "P2S")
		for _, p := range farm.Printers() {
			s := p.Spec()
			for port, newer := range map[int]bool{s.MQTTPort: s.Model == "P2S", s.FTPSPort: false, s.CameraPort: false} {
				if got, err := shake(t, p, dial, port, &tls.Config{MaxVersion: tls.VersionTLS12}); err != nil || got.Version != tls.VersionTLS12 {
					t.Errorf("%s, port %d: TLS %x, %v", s.Model, port, got.Version, err)
				}
				if _, err := shake(t, p, dial, port, &tls.Config{MinVersion: tls.VersionTLS13}); (err == nil) != newer {
					t.Errorf("%s, port %d, TLS 1.3: %v", s.Model, port, err)
				}
			}
		}
	})
}
