package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/wire"
)

func TestAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one)
		defer p.off()
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		named := entry(one, 1)
		named.Model = "X1E"
		f.apply(config(1, named, entry(p1, 1)))
		f.until(one, wire.Online, 5*time.Second)
		a, err := f.Access(one)
		if err != nil || a.Config.AccessCode.Reveal() != code || a.Model.Code != "X1E" || a.TLS.ServerName != one ||
			a.TLS.MinVersion != tls.VersionTLS12 || a.TLS.MaxVersion != tls.VersionTLS12 {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err := f.Access(p1); err != nil || a.Model.Code != "P1S" {
			t.Errorf("by its serial number: %+v, %v", a.Model, err)
		}
		if _, err := f.Access("00M"); !farm.Is(err, farm.NotFound) {
			t.Errorf("err = %v", err)
		}
		if s, err := f.Snapshot(one); err != nil || s.Connection.State != wire.Online || s.Status.Job.GcodeState != "IDLE" {
			t.Errorf("%+v, %v", s.Connection, err)
		}
		if _, err := f.Snapshot("00M"); !farm.Is(err, farm.NotFound) {
			t.Errorf("err = %v", err)
		}
	})
}

// The TLS settings let the printer in that the session has met, and nobody else.
func TestAccessChecksWhoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one)
		defer p.off()
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		f.apply(config(1, entry(one, 1), entry(two, 1)))
		f.until(one, wire.Online, 5*time.Second)
		if err := f.shake(p.net, one, addressOf(one)+":8883"); err != nil {
			t.Errorf("the printer itself: %v", err)
		}
		if err := f.shake(p.net, two, addressOf(one)+":8883"); err == nil || !strings.Contains(err.Error(), one) {
			t.Errorf("another serial number: %v", err)
		}
		p.off()
		p.on(one) // with a new certificate
		if err := f.shake(p.net, one, addressOf(one)+":8883"); err == nil || !strings.Contains(err.Error(), "pinned") {
			t.Errorf("another certificate: %v", err)
		}
	})
}

func (r *running) shake(network *memnet.Network, serial, address string) error {
	a, err := r.Access(serial)
	if err != nil {
		return err
	}
	raw, err := network.Dialer("files")(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	defer raw.Close() //nolint:errcheck // a test
	return tls.Client(raw, a.TLS.Clone()).HandshakeContext(r.t.Context())
}

func TestSeenElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one)
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		f.apply(config(1, entry(one, 1)))
		f.until(one, wire.Online, 5*time.Second)
		w := reader{f.Watch(), t}
		defer w.Close()
		w.frames()

		// What others say of a printer that is here counts for nothing.
		f.NoteAddress(one, "192.168.1.77")
		f.NoteAddress("00M", "192.168.1.77")
		if got := w.frames(); len(got) != 0 {
			t.Errorf("online: %+v", got)
		}
		p.off()
		f.until(one, wire.Unreachable, time.Minute)
		if got := w.frames()[one]; got.SeenAddress != "192.168.1.77" || got.Connection == nil {
			t.Errorf("unreachable: %+v", got)
		}
		f.NoteAddress(one, "no address")
		f.NoteAddress(one, "192.168.1.77")
		if got := w.frames(); len(got) != 0 {
			t.Errorf("nothing new: %+v", got)
		}
		f.NoteAddress(one, "::ffff:192.168.1.78")
		if got := w.frames()[one]; got.SeenAddress != "192.168.1.78" || !got.Patch.Empty() {
			t.Errorf("moved again: %+v", got)
		}
		other := reader{f.Watch(), t}
		defer other.Close()
		if got := other.frames()[one]; got.SeenAddress != "192.168.1.78" || !got.Whole {
			t.Errorf("a new watcher: %+v", got)
		}
		here := entry(one, 1)
		here.Address = "192.168.1.78"
		f.apply(config(2, here))
		if got, ok := w.frames()[one]; !ok || got.SeenAddress != "" {
			t.Errorf("configured there: %+v", got)
		}
	})
}

func TestControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one)
		defer p.off()
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		f.apply(config(1, entry(one, 3), entry(two, 1)))
		f.until(one, wire.Online, 5*time.Second)
		taken := p.answerControls(one)
		command := wire.Command{ID: "c1", Fence: 3, ValidMS: 1000, Kind: wire.Control, Control: &bambu.Control{Do: bambu.DoSpeed, Level: 3}}
		if got, err := f.Command(t.Context(), one, command); err != nil || got != (wire.CommandResult{ID: "c1", Confirmed: wire.ByAck}) {
			t.Errorf("%+v, %v", got, err)
		}
		stale, empty, wrong, away := command, command, command, command
		stale.Fence, empty.Control, wrong.Control, away.Fence = 2, nil, &bambu.Control{Do: bambu.DoPause}, 1
		for name, tc := range map[string]struct {
			serial string
			c      wire.Command
			want   farm.Code
		}{
			"an older fence": {one, stale, farm.Conflict},
			"nothing":        {one, empty, farm.Invalid},
			"at rest":        {one, wrong, farm.Conflict},
			"not connected":  {two, away, farm.PrinterNotConnected},
		} {
			if _, err := f.Command(t.Context(), tc.serial, tc.c); !farm.Is(err, tc.want) {
				t.Errorf("%s: %v, want %s", name, err, tc.want)
			}
		}
		if n := len(taken); n != 1 {
			t.Errorf("%d commands reached the printer", n)
		}
	})
}

// answerControls has the printer acknowledge everything in the section print.
func (p *printers) answerControls(serial string) <-chan string {
	taken := make(chan string, 16)
	err := p.brokers[serial].Subscribe("device/"+serial+"/request", 2, func(_ *mqtt.Client, _ packets.Subscription, pk packets.Packet) {
		var frame struct {
			Print map[string]any `json:"print"`
		}
		if json.NewDecoder(bytes.NewReader(pk.Payload)).Decode(&frame) != nil || frame.Print == nil {
			return
		}
		taken <- string(pk.Payload)
		frame.Print["result"] = "success"
		answer, _ := json.Marshal(frame)
		p.say(serial, string(answer))
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return taken
}
