package simprinter

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// announceEvery is the time between two announcements of a printer.
const announceEvery = 5 * time.Second

// announcer sends datagrams where discovery listens.
type announcer struct {
	conn net.PacketConn
	to   net.Addr
}

// newAnnouncer makes one that sends to an address like 255.255.255.255:2021.
func newAnnouncer(address string) (announcer, error) {
	to, err := net.ResolveUDPAddr("udp4", address)
	if err != nil {
		return announcer{}, fmt.Errorf("announce at %s: %w", address, err)
	}
	conn, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		return announcer{}, fmt.Errorf("announce at %s: %w", address, err)
	}
	return announcer{conn, to}, nil
}

func (a announcer) send(datagram []byte) error {
	_, err := a.conn.WriteTo(datagram, a.to)
	return err
}

// announce lets each printer tell of itself every five seconds until ctx ends, one
// after the other, so that a thousand do not shout at once.
func (f *Farm) announce(ctx context.Context, send func([]byte) error) {
	if len(f.printers) == 0 {
		return
	}
	turn := time.NewTicker(max(announceEvery/time.Duration(len(f.printers)), time.Millisecond))
	defer turn.Stop()
	for i := 0; ; i = (i + 1) % len(f.printers) {
		if b, ok := f.printers[i].announcement(); ok {
			if err := send(b); err != nil {
				f.log.Debug("not announced", "serial", f.printers[i].id.serial, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		}
	}
}

// announcement is what the printer sends, if it can.
func (p *Printer) announcement() ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off() || p.has(networkLoss) {
		return nil, false
	}
	connect, bind := p.binding()
	return []byte(strings.Join([]string{
		"NOTIFY * HTTP/1.1",
		"Host: 239.255.255.250:1990",
		"Server: UPnP/1.0",
		"Location: " + p.spec.Address,
		"NT: urn:bambulab-com:device:3dprinter:1",
		"NTS: ssdp:alive",
		"USN: " + p.spec.Serial,
		"Cache-Control: max-age=1800",
		"DevModel.bambu.com: " + p.productID(),
		"DevName.bambu.com: " + p.spec.Name,
		"DevSignal.bambu.com: " + itoa(p.body.wifi),
		"DevConnect.bambu.com: " + connect,
		"DevBind.bambu.com: " + bind,
		"Devseclink.bambu.com: secure",
		"DevInf.bambu.com: wlan0",
		"DevVersion.bambu.com: " + p.spec.Firmware,
		"DevCap.bambu.com: 1",
		"\r\n",
	}, "\r\n")), true
}

// binding tells whether a LAN may have the printer, in the words of discovery.
func (p *Printer) binding() (connect, bind string) {
	if p.spec.Cloud {
		return "cloud", "occupied"
	}
	return "lan", "free"
}

func (p *Printer) productID() string {
	if len(p.model.ProductIDs) == 0 {
		return p.model.Code
	}
	return p.model.ProductIDs[0]
}
