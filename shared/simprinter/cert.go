package simprinter

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// authority makes the printers' certificates: leaves with nothing but the serial
// as CN, as real printers have. All leaves of a farm share one key, because a key
// each would make a thousand printers slow to start.
type authority struct {
	key    *rsa.PrivateKey
	issuer *x509.Certificate
	root   []byte
	serial int64
}

func newAuthority() (*authority, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make the printers' key: %w", err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"CN"}, Organization: []string{"Simulated"}, CommonName: "Simulated CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the printers' authority: %w", err)
	}
	return &authority{key: key, issuer: root, root: der, serial: 1}, nil
}

// leaf makes a new certificate for a printer. The caller holds the farm's lock.
func (a *authority) leaf(serial string) (tls.Certificate, error) {
	a.serial++
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: serial},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}, a.issuer, a.key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the certificate of %s: %w", serial, err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.root}, PrivateKey: a.key}, nil
}
