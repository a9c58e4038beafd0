package discover

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"bambuddy/shared/testcert"
)

const (
	p2s    = "22E00A000000001"
	p1s    = "01P00A000000002"
	office = "192.168.1.10"
	shed   = "192.168.1.77"
)

func logger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// notify is an announcement as a printer sends it; changes are pairs of a header
// and its other value.
func notify(serial, address string, changes ...string) []byte {
	lines := []string{
		"NOTIFY * HTTP/1.1", "Host: 239.255.255.250:1990", "Server: UPnP/1.0", "Location: " + address,
		"NT: " + printerType, "NTS: ssdp:alive", "USN: " + serial, "Cache-Control: max-age=1800",
		"DevModel.bambu.com: N7", "DevName.bambu.com: Shop P2S", "DevSignal.bambu.com: -44", "DevConnect.bambu.com: lan",
		"DevBind.bambu.com: free", "Devseclink.bambu.com: secure", "DevInf.bambu.com: wlan0",
		"DevVersion.bambu.com: 01.02.00.00", "DevCap.bambu.com: 1", "", "",
	}
	for i := 0; i+1 < len(changes); i += 2 {
		for n, line := range lines {
			if strings.HasPrefix(line, changes[i]+":") {
				lines[n] = changes[i] + ": " + changes[i+1]
			}
		}
	}
	return []byte(strings.Join(lines, "\r\n"))
}

// socket is a UDP socket that hears what the test says.
type socket struct {
	net.PacketConn // nil: nothing else of it is used
	heard          chan []byte
	closed         chan struct{}
	once           sync.Once
}

func newSocket() *socket { return &socket{heard: make(chan []byte), closed: make(chan struct{})} }

func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-s.heard:
		return copy(b, d), &net.UDPAddr{IP: net.IPv4(192, 168, 1, 200), Port: Port}, nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

func (s *socket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// answers replies to detect with JSON.
func answers(json string) func(net.Conn) {
	return func(c net.Conn) {
		if body, err := readFrame(c); err != nil || !strings.Contains(string(body), `"detect"`) {
			return
		}
		_, _ = c.Write(frame([]byte(json)))
	}
}

func detectReply(serial, model string) string {
	return fmt.Sprintf(`{"login":{"bind":"free","command":"detect","connect":"lan","dev_cap":1,"id":%q,"model":%q,"name":"Shop","sequence_id":3021,"version":"01.02.00.00"}}`, serial, model)
}

// shows is a TLS server whose certificate has a name.
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

func prefixes(t *testing.T, ranges ...string) []netip.Prefix {
	t.Helper()
	var all []netip.Prefix
	for _, r := range ranges {
		p, err := ParseRange(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}
