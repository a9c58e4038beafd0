package simprinter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
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
	pubackLoss     = "puback_loss"     // requests arrive, the broker acknowledges none
	startIgnored   = "start_ignored"   // starts are acknowledged, nothing happens
	ackLost        = "ack_lost"        // commands work, nobody hears so
	slowParse      = "slow_parse"      // it takes two minutes to begin
	cardMissing    = "card_missing"    // no storage: starts end in an error
	finishDwell    = "finish_dwell"    // a start is accepted, the old state stays for three minutes
	ghostReplay    = "ghost_replay"    // it prints the file that was left on its card again, by itself
	swapSpool      = "swap_spool"      // another spool, which only a full report shows
)

// fault is what happens at the beginning and at the end of one.
type fault struct {
	begin func(*Printer) error // nil: nothing; the caller holds the printer's lock
	end   func(*Printer)       // likewise
	once  bool                 // it is done when it has begun
}

var faultKinds = map[string]fault{
	powerCut: {begin: just(cutPower), end: func(p *Printer) { // it knows none of its connections any more
		p.sent = p.body.tree(p.id)
		p.gate.drop()
		p.gate.freeze(false)
	}},
	networkLoss: {
		begin: just(func(p *Printer) { p.gate.freeze(true) }),
		end:   func(p *Printer) { p.gate.freeze(false) },
	},
	wrongCode: {
		begin: just(func(p *Printer) { p.code = "not-" + p.spec.AccessCode; p.gate.drop() }),
		end:   func(p *Printer) { p.code = p.spec.AccessCode },
	},
	certChange: {begin: changeCert, once: true},
	verification: {
		begin: just(func(p *Printer) { p.body.secured = true }),
		end:   func(p *Printer) { p.body.secured, p.body.hms = false, nil },
	},
	printError: {
		begin: just(func(p *Printer) {
			p.body.pause(5)
			p.body.printError, p.body.hms = errNozzle, []bambu.HMS{{Attr: 0x03000100, Code: 0x00010001}}
		}),
		end: func(p *Printer) { p.body.printError, p.body.hms = 0, nil },
	},
	runout: {
		begin: just(func(p *Printer) {
			p.body.pause(6)
			p.body.printError, p.body.filament = errRunout, false
		}),
		end: func(p *Printer) { p.body.printError, p.body.filament = 0, true },
	},
	cardMissing: {
		begin: just(func(p *Printer) { p.body.card = false }),
		end:   func(p *Printer) { p.body.card = true },
	},
	swapSpool:   {begin: just(swap), once: true},
	ghostReplay: {begin: ghost, once: true},

	// Those below are asked for where they matter, see has.
	reconnectStorm: {}, silent: {}, stalledPublish: {}, garbage: {}, nonUTF8: {}, oversized: {}, hostile: {},
	pubackLoss: {}, startIgnored: {}, ackLost: {}, slowParse: {}, finishDwell: {},
}

// just is a beginning that cannot fail.
func just(do func(*Printer)) func(*Printer) error {
	return func(p *Printer) error {
		do(p)
		return nil
	}
}

// ghost starts the file on the card again, as a new job.
func ghost(p *Printer) error {
	old := p.body.leftover
	if old == nil {
		return fmt.Errorf("there is no file on the card of printer %s", p.spec.Serial)
	}
	again := *old
	again.Source, again.Subtask = "ghost", itoa(1+p.body.rnd.IntN(1<<31-1))
	return p.start(again)
}

// cutPower ends the running print: the printer has forgotten it the moment the
// power goes. Clients are not told; they find out when nobody answers.
func cutPower(p *Printer) {
	if p.body.powerOn() && p.entry >= 0 {
		p.farm.end(p.entry, "failed")
		p.entry = -1
	}
	p.gate.freeze(true)
}

func changeCert(p *Printer) error {
	c, err := p.farm.leaf(p.spec.Serial)
	if err != nil {
		return err
	}
	p.cert = c
	p.gate.drop()
	return nil
}

func swap(p *Printer) {
	p.body.trays = slices.Clone(p.body.trays)
	p.body.trays[0] = tray{"ABS", "ABS", "D32941FF", "GFB00", 64, "8A000000000000FF"}
}

// Fault makes a printer misbehave for a while; 0 is until Fault is called for it
// again with a negative duration. cert_change, swap_spool and ghost_replay are done
// at once. An unknown kind is an error that lists the known.
func (p *Printer) Fault(kind string, d time.Duration) error {
	f, ok := faultKinds[kind]
	if !ok {
		return fmt.Errorf("there is no fault %q; there are %s", kind, strings.Join(slices.Sorted(maps.Keys(faultKinds)), ", "))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mqtt == nil {
		return fmt.Errorf("printer %s does not run yet", p.spec.Serial)
	}
	if d < 0 {
		p.recover(kind)
		return nil
	}
	p.log.Info("fault", "kind", kind, "for", d)
	until := time.Time{}
	if d > 0 {
		until = time.Now().Add(d)
	}
	if f.begin != nil {
		if err := f.begin(p); err != nil {
			return fmt.Errorf("fault %s: %w", kind, err)
		}
	}
	if !f.once {
		p.faults[kind] = until
	}
	if p.model.Reports == bambu.StyleFull && kind != swapSpool {
		p.report(true)
	}
	return nil
}

func (p *Printer) has(kind string) bool {
	_, on := p.faults[kind]
	return on
}

// active are the faults it has, sorted; never nil, for JSON.
func (p *Printer) active() []string {
	out := slices.AppendSeq([]string{}, maps.Keys(p.faults))
	slices.Sort(out)
	return out
}

func (p *Printer) recover(kind string) {
	if !p.has(kind) {
		return
	}
	delete(p.faults, kind)
	if end := faultKinds[kind].end; end != nil {
		end(p)
	}
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
	return p.play(frames)
}

func (p *Printer) play(frames []frame) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.playing || p.mqtt == nil {
		return fmt.Errorf("printer %s cannot play a capture: it plays one already, or does not run", p.spec.Serial)
	}
	p.playing = p.farm.side(func(done <-chan struct{}) {
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
	if !p.playing {
		return fmt.Errorf("printer %s runs no more", p.spec.Serial)
	}
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
	for i, f := range out {
		if len(f.Report) == 0 || f.Report[0] != '{' {
			return nil, fmt.Errorf("frame %d of the capture has no report", i+1)
		}
		if math.Abs(f.T) > longest.Seconds() {
			return nil, fmt.Errorf("frame %d of the capture has the time %g", i+1, f.T)
		}
	}
	return out, nil
}
