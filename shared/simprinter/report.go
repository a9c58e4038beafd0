package simprinter

import (
	"encoding/json"
	"maps"
	"time"

	"bambuddy/shared/bambu"
)

// report publishes the state: everything, or what changed since the last time.
func (p *Printer) report(full bool) {
	if p.playing || p.off() || p.has(silent) || p.has(stalledPublish) || p.clients() == 0 {
		return
	}
	now := p.body.tree(p.id)
	out := now
	if !full {
		if out = p.partial(now); len(out) == 0 {
			return
		}
		if p.silentKind() && looksWhole(out) {
			out, full = now, true
		}
	}
	if full {
		p.asked = time.Now()
		p.whole = p.asked
	}
	p.sent = now
	out = maps.Clone(out)
	p.seq++
	out["command"], out["sequence_id"] = "push_status", itoa(p.seq)
	if p.model.Reports == bambu.StyleFull {
		out["sequence_id"] = "2021"
	}
	if !p.silentKind() {
		out["msg"] = bit(!full)
	}
	if full && (p.body.is("P2S", "H2S") || p.body.oldDoor()) {
		out["t_utc"] = p.whole.UnixMilli()
	}
	p.publish(obj{"print": out})
}

// partial is what changed since the last report.
func (p *Printer) partial(now obj) obj {
	if p.model.Reports == bambu.StyleFull {
		return fineChanges(p.sent, now)
	}
	return changes(p.sent, now)
}

// silentKind tells whether the firmware sends no msg, which says what kind of report
// one is.
func (p *Printer) silentKind() bool { return p.body.is("H2D", "H2DPRO") }

// looksWhole tells whether a partial report has all by which clients know a whole one
// that does not say so.
func looksWhole(report obj) bool {
	for _, key := range []string{"gcode_state", "ams", "home_flag"} {
		if _, has := report[key]; !has {
			return false
		}
	}
	return true
}

// publish sends a frame in the model's way of writing JSON.
func (p *Printer) publish(frame obj) {
	if p.clients() == 0 {
		return
	}
	var b []byte
	var err error
	if p.model.Reports == bambu.StyleFull {
		b, err = json.MarshalIndent(frame, "", "    ")
	} else {
		b, err = json.Marshal(frame)
	}
	if err != nil {
		p.log.Error("frame not sent", "err", err)
		return
	}
	p.mqtt.publish(p.topic, b)
}
