package simprinter

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"sync"
)

// doors are where a printer listens. They share its power and its cable.
type doors []*gate

func (d doors) freeze(on bool) {
	for _, g := range d {
		g.freeze(on)
	}
}

func (d doors) drop() {
	for _, g := range d {
		g.drop()
	}
}

// close breaks the connections too: nobody says goodbye when the mains go.
func (d doors) close() {
	for _, g := range d {
		_ = g.Close()
	}
	d.drop()
}

// door listens at a port of the printer's address and writes the real one back, for
// 0 was a free one. The caller holds the printer's lock.
func (p *Printer) door(port *int) (*gate, error) {
	l, err := p.farm.listen(net.JoinHostPort(p.spec.Address, itoa(*port)))
	if err != nil {
		return nil, err
	}
	if real := portOf(l.Addr()); real > 0 {
		*port = real
	}
	g := newGate(l)
	p.doors = append(p.doors, g)
	return g, nil
}

// openBroker is the last to open, for it serves at once.
func (p *Printer) openBroker() (err error) {
	if p.gate, err = p.door(&p.spec.MQTTPort); err != nil {
		return err
	}
	config := p.secure()
	if p.model.Code == "P2S" {
		config.MaxVersion = tls.VersionTLS13 // the only one known to offer it
	}
	b, err := newBroker(p.spec.Serial, p, p.gate, config)
	if err != nil {
		return err
	}
	p.mqtt = b
	return b.serve()
}

// service is something that runs as long as the printer.
type service struct {
	name string
	run  func(context.Context) error
}

func portOf(a net.Addr) int {
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

// cipherSuites are what the firmware takes: beside those that Go would offer by
// itself, the ones without a key agreement. Slicers and other programs with an old or
// a small TLS have nothing else; Go has them only for who lists them.
var cipherSuites = func() []uint16 {
	all := []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	for _, s := range tls.CipherSuites() {
		all = append(all, s.ID)
	}
	return all
}()

// secure is TLS as the firmware speaks it, with the certificate in force.
func (p *Printer) secure() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: cipherSuites,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			c := p.cert
			return &c, nil
		},
	}
}

// serveEach serves the connections of a listener, each beside the others, until
// ctx ends; then it closes all of them and waits.
func serveEach(ctx context.Context, l net.Listener, serve func(context.Context, net.Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	var served sync.WaitGroup
	defer served.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				err = nil
			}
			_ = l.Close() // once more does no harm
			return err
		}
		served.Go(func() {
			defer func() { _ = c.Close() }()
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			serve(ctx, c)
		})
	}
}
