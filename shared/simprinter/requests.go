package simprinter

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/bambu"
)

// request is one command of a client.
type request struct {
	section, command, seq string
	body                  obj
}

// text is a string of the request, "" without.
func (r request) text(key string) string {
	s, _ := r.body[key].(string)
	return s
}

// number is a number of the request, which clients also write as a string.
func (r request) number(key string) (float64, bool) {
	switch v := r.body[key].(type) {
	case float64:
		return v, true
	case string:
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return n, err == nil
	}
	return 0, false
}

// whole is a number without a fraction, within bounds.
func (r request) whole(key string, low, high int) (int, bool) {
	n, ok := r.number(key)
	if !ok || n != float64(int32(n)) || int(n) < low || int(n) > high {
		return 0, false
	}
	return int(n), true
}

// truth is a boolean of the request, which some clients write as a number.
func (r request) truth(key string) (value, ok bool) {
	switch v := r.body[key].(type) {
	case bool:
		return v, true
	case float64:
		return v != 0, true
	}
	return false, false
}

// handle does what a request asks, and answers as the model's firmware does.
func (p *Printer) handle(payload []byte) {
	var frame map[string]json.RawMessage
	if json.Unmarshal(payload, &frame) != nil {
		return // firmware ignores what it cannot read
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off() || p.has(silent) {
		return
	}
	for section, raw := range frame {
		var body obj
		if json.Unmarshal(raw, &body) != nil {
			continue // slicers put other things beside the command: their user's id
		}
		command, ok := body["command"].(string)
		if !ok {
			continue // as the signature of a signed command, which is not looked at
		}
		p.obey(request{section, command, sequence(body["sequence_id"]), body})
	}
}

// sequence is the number by which a client knows the answer. Some clients write it as
// a number; the answer has the same digits, as text.
func sequence(id any) string {
	switch id := id.(type) {
	case string:
		return id
	case float64:
		return strconv.FormatFloat(id, 'f', -1, 64)
	}
	return "0"
}

func (p *Printer) obey(r request) {
	if r.section == "print" && p.body.secured {
		p.unverified(r)
		return
	}
	if do := handlers[r.section+"."+r.command]; do != nil {
		do(p, r)
		return
	}
	p.unknown(r)
}

// The codes with which firmware refuses what is not signed.
const (
	errUnsigned = 84033543
	errRepeated = 84033544 // the id was used before
)

// unverified refuses a command for its missing signature, or drops it.
func (p *Printer) unverified(r request) {
	p.body.hms = []bambu.HMS{{Attr: 0x05000500, Code: 0x00010007}}
	if p.has(verificationSilent) {
		return
	}
	code := errUnsigned
	if p.lastSeq == r.seq {
		code = errRepeated
	}
	p.lastSeq = r.seq
	p.answer(r, "failed", "mqtt message verify failed", obj{"err_code": code})
}

// handlers are the commands the simulator knows, by section and name.
var handlers = tables(jobCommands, optionCommands, heatCommands, motionCommands, filamentCommands, dryingCommands, profileCommands, systemCommands, cameraCommands)

type commands map[string]func(*Printer, request)

func tables(all ...commands) commands {
	out := commands{}
	for _, t := range all {
		maps.Copy(out, t)
	}
	return out
}

// newer limits a command to the machines that have it; the others do not know it.
func newer(has func(*machine) bool, do func(*Printer, request)) func(*Printer, request) {
	return func(p *Printer, r request) {
		if !has(p.body) {
			p.unknown(r)
			return
		}
		do(p, r)
	}
}

// function limits a command to firmware that says it has it, see machine.can.
func function(bit uint, do func(*Printer, request)) func(*Printer, request) {
	return newer(func(v *machine) bool { return v.can(bit) }, do)
}

// simple is a command that only needs to be possible.
func simple(do func(*machine) bool) func(*Printer, request) {
	return func(p *Printer, r request) { p.done(r, do(p.body)) }
}

func (p *Printer) unknown(r request) { p.answer(r, "fail", "unknown command", nil) }

func (p *Printer) invalid(r request, what string) { p.answer(r, "fail", "invalid "+what, nil) }

// busy refuses what cannot be done while the machine moves.
func (p *Printer) busy(r request) { p.answer(r, "fail", "device is busy", nil) }

// pushAll sends a full report: with the chips of all spools, read anew.
func (p *Printer) pushAll() {
	if p.limits && p.model.PushallBudget > 0 && time.Since(p.asked) < p.model.PushallBudget && !p.asked.IsZero() {
		return
	}
	p.body.seen = append([]tray(nil), p.body.trays...)
	p.report(true)
}

// show reports what just happened.
func (p *Printer) show() { p.report(false) }

// done answers whether a command was possible, and shows its effect.
func (p *Printer) done(r request, ok bool) {
	if !ok {
		p.answer(r, "fail", "not possible now", nil)
		return
	}
	p.accept(r, nil)
}

// accept is success, with what more the answer says.
func (p *Printer) accept(r request, more obj) {
	p.answer(r, "success", "success", more)
	p.show()
}

// settled is the answer to most settings: what was asked for, without a result. Only
// the next status tells whether it was taken.
func (p *Printer) settled(r request) {
	out := maps.Clone(r.body)
	out["command"], out["sequence_id"] = r.command, r.seq
	p.reply(obj{r.section: out})
	p.show()
}

// answer acknowledges a request: the A1 and P1 give back what they were sent,
// newer machines only say which command it was.
func (p *Printer) answer(r request, result, reason string, more obj) {
	out := obj{}
	switch {
	case p.model.Reports == bambu.StyleDelta:
		maps.Copy(out, r.body)
	case r.section == "print":
		out["err_code"], out["is_from_mqtt"] = 0, true
		for _, key := range []string{"param", "subtask_name"} {
			if v, ok := r.body[key]; ok && (r.command != "project_file" || key != "param") {
				out[key] = v
			}
		}
		if result == "success" {
			result, reason = "SUCCESS", "SUCCESS"
		}
	}
	out["command"], out["sequence_id"], out["result"], out["reason"] = r.command, r.seq, result, reason
	maps.Copy(out, more)
	if p.model.Code == "A1MINI" && r.command == "gcode_line" {
		delete(out, "command")
	}
	p.reply(obj{r.section: out})
}

// lateness is how long the answers of a printer with late_ack take.
const lateness = 15 * time.Second

// lateAnswer is one that waits.
type lateAnswer struct {
	due   time.Time
	frame obj
}

// reply sends an answer, unless a fault keeps it.
func (p *Printer) reply(frame obj) {
	if p.has(ackNoID) {
		for _, v := range frame {
			if body, ok := v.(obj); ok {
				delete(body, "sequence_id")
			}
		}
	}
	switch {
	case p.has(ackLost):
	case p.has(lateAck):
		p.late = append(p.late, lateAnswer{time.Now().Add(lateness), frame})
	default:
		p.publish(frame)
	}
}

// replyLate sends the answers that are due.
func (p *Printer) replyLate(now time.Time) {
	for len(p.late) > 0 && !now.Before(p.late[0].due) {
		p.publish(p.late[0].frame)
		p.late = p.late[1:]
	}
}
