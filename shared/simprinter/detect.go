package simprinter

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"bambuddy/shared/bambu"
)

// The frame of the detect handshake: two bytes, the length of the whole frame in
// little endian, JSON, two bytes.
const (
	detectHead = "\xA5\xA5"
	detectTail = "\xA7\xA7"
	detectMax  = 4096
)

// detectPatience is how long a client may take to ask.
const detectPatience = 10 * time.Second

// openDetect listens where slicers ask who is there: in clear, and with TLS.
func (p *Printer) openDetect() error {
	for _, port := range []*int{&p.spec.DetectPort, &p.spec.DetectTLSPort} {
		if *port == 0 {
			continue
		}
		g, err := p.door(port)
		if err != nil {
			return fmt.Errorf("open the detect handshake: %w", err)
		}
		l := net.Listener(g)
		if port == &p.spec.DetectTLSPort {
			l = tls.NewListener(g, p.secure())
		}
		p.services = append(p.services, service{"detect", func(ctx context.Context) error {
			return serveEach(ctx, l, p.detect)
		}})
	}
	return nil
}

// detect answers one question and ends. It is silent to what it does not know.
func (p *Printer) detect(_ context.Context, c net.Conn) {
	if err := c.SetDeadline(time.Now().Add(detectPatience)); err != nil {
		return
	}
	b, err := readDetect(c)
	if err != nil {
		p.log.Debug("no detect request", "err", err)
		return
	}
	answer, ok := p.detected(b)
	if !ok {
		return
	}
	if _, err := c.Write(detectFrame(answer)); err != nil {
		p.log.Debug("detect not answered", "err", err)
	}
}

var errDetect = errors.New("not a frame of the detect handshake")

func readDetect(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.LittleEndian.Uint16(head[2:]))
	if string(head[:2]) != detectHead || n < len(head)+len(detectTail) || n > detectMax {
		return nil, errDetect
	}
	b := make([]byte, n-len(head))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	body := b[:len(b)-len(detectTail)]
	if string(b[len(body):]) != detectTail {
		return nil, errDetect
	}
	return body, nil
}

func detectFrame(body []byte) []byte {
	out := binary.LittleEndian.AppendUint16([]byte(detectHead), uint16(len(body)+len(detectHead)+2+len(detectTail)))
	return append(append(out, body...), detectTail...)
}

// detected answers a request; newer firmware counts its answers itself.
func (p *Printer) detected(request []byte) ([]byte, bool) {
	var in struct {
		Login struct {
			Command  string `json:"command"`
			Sequence any    `json:"sequence_id"`
		} `json:"login"`
	}
	if json.Unmarshal(request, &in) != nil || in.Login.Command != "detect" {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	seq := in.Login.Sequence
	if p.model.Reports == bambu.StyleFull {
		seq = 3021
	}
	connect, bind := p.binding()
	out, err := json.Marshal(obj{"login": obj{
		"bind": bind, "command": "detect", "connect": connect, "dev_cap": 1, "id": p.spec.Serial, "model": p.productID(),
		"name": p.spec.Name, "sequence_id": seq, "version": p.spec.Firmware,
	}})
	return out, err == nil
}
