package ftps

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"
)

const (
	x1Serial = "00M00A000000001"
	p1Serial = "01P00A000000001"
	a1Serial = "03900A000000001"
)

// rsaKey is one for all certificates of the tests: making it is slow.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// newCert is a certificate as printers have it: RSA, the serial as its name.
func newCert(t testing.TB, serial string) tls.Certificate {
	t.Helper()
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serial},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// template is what the agent's printer package hands out, without pins.
func template(serial string) *tls.Config {
	return &tls.Config{
		ServerName: serial, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 || cs.PeerCertificates[0].Subject.CommonName != serial {
				return fmt.Errorf("certificate is not of %s", serial)
			}
			return nil
		},
	}
}
