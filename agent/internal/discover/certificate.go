package discover

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"

	"bambuddy/shared/wire"
)

const mqttPort = 8883

// suites are those that printers were seen with; Go leaves the last two out
// unless it is told.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
}

// certificate looks whose certificate the MQTT port shows: a printer's names its
// serial number. Nothing is sent after the handshake.
func (d *Discoverer) certificate(ctx context.Context, address netip.Addr) (wire.Found, error) {
	raw, err := d.dialHost(ctx, address, mqttPort)
	if err != nil {
		return wire.Found{}, err
	}
	defer func() { _ = raw.Close() }()
	var name string
	conn := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: suites,
		InsecureSkipVerify:     true, // it is looked at, not trusted
		SessionTicketsDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) > 0 {
				name = cs.PeerCertificates[0].Subject.CommonName
			}
			return nil
		},
	})
	if err := conn.HandshakeContext(ctx); err != nil && name == "" {
		return wire.Found{}, fmt.Errorf("look at the certificate of %s: %w", address, err)
	}
	found, ok := facts{serial: name}.found(address, wire.ViaCertificate)
	if !ok || found.Model == "" { // other servers have names of 15 letters too
		return wire.Found{}, errNoPrinter
	}
	return found, nil
}
