package blob

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"bambuddy/shared/farm"
)

// s3Transport makes the way to the service: HTTP/1.1, over connections that do not
// wait for ever.
func s3Transport(c S3Config) (*http.Transport, error) {
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, s3Connect)
			defer cancel()
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &lively{Conn: conn}, nil
		},
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       s3Silence - 10*time.Second, // before the connection itself thinks it silent
		TLSHandshakeTimeout:   s3Connect,
		ResponseHeaderTimeout: s3Silence,
		DisableCompression:    true,
	}
	if c.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, farm.Wrap(farm.Invalid, err, "objects-ca: cannot be read")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, farm.Errorf(farm.Invalid, "objects-ca: holds no certificate in PEM")
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// lively is a connection that fails when nothing moves on it for s3Silence, in either
// direction: while a body is sent slowly, HTTP waits in Read all the time.
type lively struct {
	net.Conn
	wrote atomic.Int64 // when something last went out, ns
}

func (l *lively) Read(p []byte) (int, error) {
	for {
		if err := l.SetReadDeadline(time.Now().Add(s3Silence)); err != nil {
			return 0, err
		}
		n, err := l.Conn.Read(p)
		sending := time.Since(time.Unix(0, cmp.Or(l.wrote.Load(), 1))) < s3Silence
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !sending {
			return n, err
		}
	}
}

func (l *lively) Write(p []byte) (int, error) {
	if err := l.SetWriteDeadline(time.Now().Add(s3Silence)); err != nil {
		return 0, err
	}
	n, err := l.Conn.Write(p)
	if n > 0 {
		l.wrote.Store(time.Now().UnixNano())
	}
	return n, err
}
