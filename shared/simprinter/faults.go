package simprinter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bambuddy/shared/bambu"
)

// The faults a printer can be told to have.
const (
	powerCut       = "power_cut"       // everything off, the running print is lost
	networkLoss    = "network_loss"    // connections stay open, nothing gets through
	silent         = "silent"          // connected, but it neither reports nor answers
	stalledPublish = "stalled_publish" // it answers, but reports no more
	wrongCode      = "wrong_code"      // the access code is another one
	certChange     = "cert_change"     // another certificate, for good
	reconnectStorm = "reconnect_storm" // every connection dropped each second
	garbage        = "garbage"         // frames that are no JSON among the reports
	nonUTF8        = "non_utf8"        // frames with broken text
	oversized      = "oversized"       // frames of 2 MiB
	hostile        = "hostile"         // frames with wrong types and deep nesting
	verification   = "verification_on" // signed commands only
	printError     = "print_error"     // it pauses with an error
	runout         = "runout"          // it pauses because the filament ran out
	startIgnored   = "start_ignored"   // starts are acknowledged, nothing happens
	ackLost        = "ack_lost"        // commands work, nobody hears so
	slowParse      = "slow_parse"      // it takes two minutes to begin
	cardMissing    = "card_missing"    // no storage: starts end in an error
	swapSpool      = "swap_spool"      // another spool, which only a full report shows
)

// fault is what happens at the beginning and at the end of one.
type fault struct{ begin, end func(*Printer) }

func nothing(*Printer) {}

var faultKinds = map[string]fault{
	powerCut: {func(p *Printer) {
		if p.body.powerOn() && p.entry >= 0 { // it has forgotten the job the moment the power goes
			p.farm.end(p.entry, "failed")
			p.entry = -1
		}
		p.sent = nil
		p.gate.power(false)
	}, func(p *Printer) { p.gate.power(true) }},
	networkLoss:    {func(p *Printer) { p.gate.freeze(true) }, func(p *Printer) { p.gate.freeze(false) }},
	reconnectStorm: {nothing, nothing},
	silent:         {nothing, nothing},
	stalledPublish: {nothing, nothing},
	wrongCode: {
		func(p *Printer) { p.code = "not-" + p.spec.AccessCode; p.gate.drop() },
		func(p *Printer) { p.code = p.spec.AccessCode },
	},
	certChange: {func(p *Printer) {
		if c, err := p.farm.leaf(p.spec.Serial); err == nil {
			p.cert = c
		}
		p.gate.drop()
	}, nothing},
	garbage: {nothing, nothing}, nonUTF8: {nothing, nothing}, oversized: {nothing, nothing}, hostile: {nothing, nothing},
	verification: {func(p *Printer) { p.body.secured = true }, func(p *Printer) { p.body.secured, p.body.hms = false, nil }},
	printError: {func(p *Printer) {
		p.body.pause(5)
		p.body.printError, p.body.hms = 0x0300800B, []bambu.HMS{{Attr: 0x03000100, Code: 0x00010001}}
	}, func(p *Printer) { p.body.printError, p.body.hms = 0, nil }},
	runout: {func(p *Printer) {
		p.body.pause(6)
		p.body.printError, p.body.filament = errRunout, false
	}, func(p *Printer) { p.body.printError = 0 }},
	startIgnored: {nothing, nothing}, ackLost: {nothing, nothing}, slowParse: {nothing, nothing},
	cardMissing: {func(p *Printer) { p.body.card = false }, func(p *Printer) { p.body.card = true }},
	swapSpool: {func(p *Printer) {
		p.body.trays = slices.Clone(p.body.trays)
		p.body.trays[0] = tray{"ABS", "ABS", "D32941FF", "GFB00", 64, "8A000000000000FF"}
	}, nothing},
}

// Fault makes a printer misbehave for a while; 0 is until Fault is called for it
// again with a negative duration.
func (p *Printer) Fault(kind string, d time.Duration) error {
	f, ok := faultKinds[kind]
	if !ok {
		return fmt.Errorf("there is no fault %q; there are %s", kind, strings.Join(slices.Sorted(maps.Keys(faultKinds)), ", "))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if d < 0 {
		p.recover(kind)
		return nil
	}
	p.log.Info("fault", "kind", kind, "for", d)
	until := time.Time{}
	if d > 0 {
		until = time.Now().Add(d)
	}
	p.faults[kind] = until
	f.begin(p)
	if p.model.Reports == bambu.StyleFull && kind != swapSpool {
		p.report(true)
	}
	return nil
}

func (p *Printer) has(kind string) bool {
	_, on := p.faults[kind]
	return on
}

func (p *Printer) active() []string { return slices.Sorted(maps.Keys(p.faults)) }

func (p *Printer) recover(kind string) {
	if !p.has(kind) {
		return
	}
	delete(p.faults, kind)
	faultKinds[kind].end(p)
}

func (p *Printer) expire(now time.Time) {
	for kind, until := range p.faults {
		if !until.IsZero() && !now.Before(until) {
			p.recover(kind)
		}
	}
}

// misbehave does what a fault does each second.
func (p *Printer) misbehave() {
	if p.has(reconnectStorm) {
		p.gate.drop()
	}
	for kind, frame := range map[string]func() []byte{garbage: junk, nonUTF8: brokenText, oversized: huge, hostile: nasty} {
		if p.has(kind) {
			p.mqtt.publish(p.topic, frame())
		}
	}
}

func junk() []byte { return []byte("\x00\xff{\"print\":{\"mc_percent\":") }

func brokenText() []byte {
	return []byte("{\"print\":{\"command\":\"push_status\",\"msg\":1,\"subtask_name\":\"W\xfcrfel\"}}")
}

func huge() []byte {
	return append(append([]byte(`{"print":{"command":"push_status","subtask_name":"`), bytes.Repeat([]byte("x"), 2<<20)...), `"}}`...)
}

func nasty() []byte {
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	return []byte(`{"print":{"command":"push_status","msg":1,"mc_percent":"many","layer_num":1e400,"nozzle_temper":{},"ams":[],"hms":{"attr":null},"stg":` + deep + `}}`)
}

// Replay publishes recorded frames instead of the printer's own, at their pace
// times the farm's speed. It takes one line {"t":seconds,"report":…} a frame, or
// a JSON object with report, frames or events.
func (p *Printer) Replay(capture []byte) error {
	frames, err := readCapture(capture)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.playing = true
	p.mu.Unlock()
	p.farm.side(func(done <-chan struct{}) {
		defer func() {
			p.mu.Lock()
			p.playing, p.sent = false, nil
			p.mu.Unlock()
		}()
		at := 0.0
		for _, f := range frames {
			wait := time.NewTimer(time.Duration((f.T - at) / p.farm.speed * float64(time.Second)))
			select {
			case <-done:
				wait.Stop()
				return
			case <-wait.C:
			}
			at = f.T
			p.mqtt.publish(p.topic, f.Report)
		}
	})
	return nil
}

// frame is one recorded report.
type frame struct {
	T      float64         `json:"t"`
	Report json.RawMessage `json:"report"`
}

func readCapture(b []byte) ([]frame, error) {
	var one struct {
		Report json.RawMessage   `json:"report"`
		Frames []json.RawMessage `json:"frames"`
		Events []struct {
			MS      float64         `json:"ms"`
			Section string          `json:"section"`
			Payload json.RawMessage `json:"payload"`
		} `json:"events"`
	}
	var out []frame
	if json.Unmarshal(b, &one) == nil && !bytes.Contains(bytes.TrimSpace(b), []byte("\n{\"t\"")) {
		if one.Report != nil {
			out = append(out, frame{0, one.Report})
		}
		for i, f := range one.Frames {
			out = append(out, frame{float64(2 * i), f})
		}
		for _, e := range one.Events {
			report, err := json.Marshal(map[string]json.RawMessage{e.Section: e.Payload})
			if err != nil {
				return nil, fmt.Errorf("read the capture: %w", err)
			}
			out = append(out, frame{e.MS / 1000, report})
		}
	} else {
		for line := range bytes.Lines(b) {
			var f frame
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			if err := json.Unmarshal(line, &f); err != nil {
				return nil, fmt.Errorf("read the capture: %w", err)
			}
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the capture holds no reports")
	}
	return out, nil
}
