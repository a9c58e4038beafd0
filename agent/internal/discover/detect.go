package discover

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"

	"bambuddy/shared/wire"
)

const (
	detectPort = 3000
	maxReply   = 4096 // bytes of a detect frame; real ones have 200
	frameSize  = 6    // bytes of a frame beside its JSON
)

// Marks around a frame.
var (
	frameHead = []byte{0xA5, 0xA5}
	frameTail = []byte{0xA7, 0xA7}
)

// errNoPrinter is an answer that no printer gives.
var errNoPrinter = errors.New("not a printer's answer")

// detect asks as a slicer does who adds a printer by its address. One question,
// one reply.
func (d *Discoverer) detect(ctx context.Context, address netip.Addr) (wire.Found, error) {
	conn, err := d.dialHost(ctx, address, detectPort)
	if err != nil {
		return wire.Found{}, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write(frame([]byte(`{"login":{"command":"detect","sequence_id":"20000"}}`))); err != nil {
		return wire.Found{}, fmt.Errorf("ask %s: %w", address, err)
	}
	reply, err := readFrame(conn)
	if err != nil {
		return wire.Found{}, fmt.Errorf("ask %s: %w", address, err)
	}
	said, err := parseDetect(reply)
	if err != nil {
		return wire.Found{}, err
	}
	found, ok := said.found(address, wire.ViaDetect)
	if !ok {
		return wire.Found{}, errNoPrinter
	}
	return found, nil
}

func (d *Discoverer) dialHost(ctx context.Context, address netip.Addr, port int) (net.Conn, error) {
	return d.dial(ctx, "tcp", net.JoinHostPort(address.String(), strconv.Itoa(port)))
}

// frame puts JSON into a frame: its marks and its whole length.
func frame(body []byte) []byte {
	b := append([]byte{}, frameHead...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(body)+frameSize)) // ours are short
	return append(append(b, body...), frameTail...)
}

// readFrame reads one frame and gives the JSON in it.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := int(binary.LittleEndian.Uint16(head[2:]))
	if !bytes.Equal(head[:2], frameHead) || length < frameSize || length > maxReply {
		return nil, errNoPrinter
	}
	body := make([]byte, length-len(head))
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	body, whole := bytes.CutSuffix(body, frameTail)
	if !whole {
		return nil, errNoPrinter
	}
	return body, nil
}

// parseDetect reads a reply. Its sequence id is a number or a text, as the model
// likes, and says nothing here.
func parseDetect(body []byte) (facts, error) {
	var reply struct {
		Login struct {
			Command string `json:"command"`
			ID      string `json:"id"`
			Name    string `json:"name"`
			Model   string `json:"model"`
			Version string `json:"version"`
			Connect string `json:"connect"`
			Bind    string `json:"bind"`
		} `json:"login"`
	}
	if json.Unmarshal(body, &reply) != nil || reply.Login.Command != "detect" {
		return facts{}, errNoPrinter
	}
	l := reply.Login
	return facts{serial: l.ID, name: l.Name, model: l.Model, firmware: l.Version, connect: l.Connect, bind: l.Bind}, nil
}
