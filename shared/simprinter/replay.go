package simprinter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

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
