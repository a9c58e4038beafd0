package printer

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"bambuddy/shared/farm"
)

// Pins remember the certificate of each printer: the first one that let us log
// in with an access code is the only one that gets to see this code again. A new
// access code is a new beginning. Implementations are safe for concurrent use.
type Pins interface {
	// Pinned gives the fingerprint kept for a printer and access code.
	Pinned(serial string, code farm.Secret) (fingerprint string, ok bool)
	// Pin keeps it; called after each successful login.
	Pin(serial string, code farm.Secret, fingerprint string) error
}

type wrongSerialError struct{ want, got string }

func (e *wrongSerialError) Error() string {
	return fmt.Sprintf("certificate is of %s, not of %s", e.got, e.want)
}

type certificateChangedError struct{ pinned, got string }

func (e *certificateChangedError) Error() string {
	return fmt.Sprintf("certificate %.16s… is not the pinned %.16s…", e.got, e.pinned)
}

// errHandshake is a TLS handshake that failed for other reasons than these.
var errHandshake = errors.New("TLS handshake")

// suites are those of TLS 1.2 that printers were seen with. Key exchange by RSA
// alone is for old firmware; where both can more, Go chooses the better.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
}

// TLSConfig is how to speak TLS with a printer, on any of its ports: they all
// show the same certificate. Printers sign for themselves and name no host, so the
// usual checks cannot pass; instead the certificate must be of this serial number,
// and the one pinned. Nothing of ours is sent before that is settled. Callers
// clone it to add what they need.
func TLSConfig(cfg Config, pins Pins) *tls.Config {
	return &tls.Config{
		ServerName:         cfg.Serial,
		MinVersion:         tls.VersionTLS12,
		MaxVersion:         tls.VersionTLS12, // X1 and H2 refuse to be offered more
		CipherSuites:       suites,
		InsecureSkipVerify: true, // replaced by check, which also sees resumed sessions
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := check(cfg, pins, cs)
			return err
		},
	}
}

// secure opens TLS to the printer and tells the fingerprint of its certificate.
func (s *Session) secure(ctx context.Context, raw net.Conn) (*tls.Conn, string, error) {
	var fingerprint string
	config := TLSConfig(s.cfg, s.deps.Pins)
	config.SessionTicketsDisabled = true // every connection shows its certificate
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		var err error
		fingerprint, err = check(s.cfg, s.deps.Pins, cs)
		return err
	}
	conn := tls.Client(raw, config)
	err := conn.HandshakeContext(ctx)
	var serial *wrongSerialError
	var changed *certificateChangedError
	switch {
	case err == nil:
		return conn, fingerprint, nil
	case ctx.Err() != nil, errors.As(err, &serial), errors.As(err, &changed):
		return nil, "", err
	default:
		return nil, "", fmt.Errorf("%w: %w", errHandshake, err)
	}
}

func check(cfg Config, pins Pins, cs tls.ConnectionState) (fingerprint string, err error) {
	if len(cs.PeerCertificates) == 0 {
		return "", &wrongSerialError{want: cfg.Serial, got: "nobody"}
	}
	leaf := cs.PeerCertificates[0]
	if cn := leaf.Subject.CommonName; !strings.EqualFold(cn, cfg.Serial) {
		return "", &wrongSerialError{want: cfg.Serial, got: foreign(cn)}
	}
	sum := sha256.Sum256(leaf.Raw)
	fingerprint = hex.EncodeToString(sum[:])
	if pinned, ok := pins.Pinned(cfg.Serial, cfg.AccessCode); ok && pinned != fingerprint {
		return "", &certificateChangedError{pinned: pinned, got: fingerprint}
	}
	return fingerprint, nil
}

// foreign makes text of a stranger fit for logs and people.
func foreign(s string) string {
	if s == "" {
		return "nothing"
	}
	if len(s) > 32 {
		s = s[:32] + "…"
	}
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}
