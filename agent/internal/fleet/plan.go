package fleet

import (
	"cmp"
	"slices"
	"strings"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// plan is what a pushed configuration comes to, given the one held.
type plan struct {
	next    wire.Config // to hold from now on; without tombstones
	removed []string    // serials that tombstones took away
	result  wire.ConfigResult
}

// accept tells whether a pushed configuration may follow the one held.
func accept(hubID string, held, pushed wire.Config) error {
	if pushed.HubID != hubID {
		return farm.Errorf(farm.Conflict, "this agent is enrolled with another hub")
	}
	if order(pushed, held) < 0 {
		return farm.Errorf(farm.Conflict, "the agent holds a newer configuration: generation %d revision %d, not %d/%d",
			held.Generation, held.Revision, pushed.Generation, pushed.Revision)
	}
	return nil
}

func order(a, b wire.Config) int {
	return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Revision, b.Revision))
}

// planOf works a pushed configuration into the one held, printer by printer: what
// is wrong with one is told and hinders no other. What is not mentioned stays.
func planOf(held, pushed wire.Config) plan {
	p := plan{next: pushed}
	p.next.Printers, p.next.Tombstones = nil, nil
	p.result = wire.ConfigResult{
		Generation: pushed.Generation, Revision: pushed.Revision,
		Applied: []wire.Presence{}, Kept: []wire.Presence{}, Errors: []wire.PrinterError{},
	}
	old := bySerial(held.Printers)
	listed := map[string]bool{}
	for _, c := range pushed.Printers {
		was, known := old[c.Serial]
		detail := wrongWith(c)
		switch {
		case listed[c.Serial]:
			p.refuse(c.Serial, "listed twice; the first entry counts")
			continue
		case detail == "" && known && c.Fence < was.Fence && pushed.Generation == held.Generation:
			detail = "its fence is older than the one held"
		}
		listed[c.Serial] = true
		if detail == "" {
			p.next.Printers = append(p.next.Printers, c)
			p.result.Applied = append(p.result.Applied, presence(c))
			continue
		}
		p.refuse(c.Serial, detail)
		if known { // a bad entry does not end what works
			p.next.Printers = append(p.next.Printers, was)
		}
	}
	buried := map[string]int64{}
	for _, t := range pushed.Tombstones {
		buried[t.Serial] = max(buried[t.Serial], t.Fence)
	}
	for _, was := range held.Printers {
		if listed[was.Serial] {
			continue
		}
		if fence, ok := buried[was.Serial]; ok && fence >= was.Fence {
			p.removed = append(p.removed, was.Serial)
			continue
		}
		p.next.Printers = append(p.next.Printers, was)
		p.result.Kept = append(p.result.Kept, presence(was))
	}
	return p
}

func (p *plan) refuse(serial, detail string) {
	p.result.Errors = append(p.result.Errors, wire.PrinterError{Serial: serial, Detail: detail})
}

// wrongWith says what makes a printer's entry unusable, "" when nothing does.
func wrongWith(c wire.PrinterConfig) string {
	switch {
	case !plainSerial(c.Serial):
		return "its serial number is not made of digits and capital letters"
	case c.Address == "" || len(c.Address) > 253 || strings.ContainsFunc(c.Address, notInAddress):
		return "its address is not an IP address or a host name"
	case !isPort(c.MQTTPort):
		return "its MQTT port is not a port"
	case !isPort(c.FTPSPort):
		return "its FTPS port is not a port"
	case c.CameraPort != 0 && !isPort(c.CameraPort):
		return "its camera port is not a port"
	case c.AccessCode == "" || len(c.AccessCode) > 64:
		return "its access code is missing or too long"
	}
	return ""
}

// plainSerial keeps everything out of topics and file names that has a meaning there.
func plainSerial(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z')
	})
}

func notInAddress(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(".-_:%", r)
}

func isPort(n int) bool { return n >= 1 && n <= 65535 }

// needsNewSession tells whether a running session cannot go on with a changed
// entry. A name or a model can be changed under it.
func needsNewSession(old, now wire.PrinterConfig) bool {
	old.Name, old.Model = now.Name, now.Model
	return old != now
}

func presence(c wire.PrinterConfig) wire.Presence {
	return wire.Presence{Serial: c.Serial, Fence: c.Fence}
}

func bySerial(list []wire.PrinterConfig) map[string]wire.PrinterConfig {
	m := make(map[string]wire.PrinterConfig, len(list))
	for _, c := range list {
		m[c.Serial] = c
	}
	return m
}

func sortPresences(list []wire.Presence) {
	slices.SortFunc(list, func(a, b wire.Presence) int { return strings.Compare(a.Serial, b.Serial) })
}
