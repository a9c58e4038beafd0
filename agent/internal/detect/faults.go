package detect

import (
	"slices"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// Fault is a complaint that the printer makes, or made a moment ago.
type Fault struct {
	wire.FaultRecord
	Error  bool             `json:"error"`   // its print_error, not a health message
	Echo   bool             `json:"echo"`    // it only repeats that a person stopped the print: never told
	GoneMS bambu.Opt[int64] `json:"gone_ms"` // it is no longer there since
}

// complaints compares the picture's complaints with those known.
func (d *step) complaints() {
	runID := ""
	if d.Open != nil {
		runID = d.Open.Print.RunID
	}
	now := complaintsOf(d.in.Status.Faults)
	for i := range d.Faults {
		f := &d.Faults[i]
		there := slices.ContainsFunc(now, func(n Fault) bool { return n.Code == f.Code })
		switch {
		case there:
			f.GoneMS = bambu.Opt[int64]{}
		case !f.GoneMS.Known:
			f.GoneMS = bambu.Some(d.in.AtMS)
		}
	}
	// An echo that was gone is a new one: it proves another stop.
	d.Faults = slices.DeleteFunc(d.Faults, func(f Fault) bool { return f.Echo && f.GoneMS.Known })
	for _, f := range now {
		if slices.ContainsFunc(d.Faults, func(known Fault) bool { return known.Code == f.Code }) {
			continue
		}
		f.RunID = runID
		d.Faults, d.raised = append(d.Faults, f), append(d.raised, f)
		d.tellFault(wire.FaultRaised, f, 0)
	}
}

// complaintsOf lists a status's complaints, each code once.
func complaintsOf(s bambu.Faults) []Fault {
	var out []Fault
	add := func(f Fault) {
		if !slices.ContainsFunc(out, func(o Fault) bool { return o.Code == f.Code }) {
			out = append(out, f)
		}
	}
	if code := s.PrintError; code != 0 {
		add(Fault{Error: true, Echo: bambu.IsCancelEcho(code), FaultRecord: wire.FaultRecord{
			Code: bambu.ErrorCode(code), Severity: string(bambu.Serious),
			Module: bambu.HMS{Attr: code}.Module(), Message: bambu.ErrorMessage(code),
		}})
	}
	for _, h := range s.HMS {
		add(Fault{Echo: h.CancelEcho(), FaultRecord: wire.FaultRecord{
			Code: h.String(), Severity: string(h.Severity()), Module: h.Module(), Message: h.Message(),
		}})
	}
	return out
}

// clearFaults tells of the complaints that have been gone long enough.
func (d *step) clearFaults() {
	for i := 0; i < len(d.Faults); {
		f := d.Faults[i]
		full := len(d.Faults) > maxFaults
		if !f.GoneMS.Known || d.in.AtMS-f.GoneMS.Value < holdFault && !full {
			i++
			continue
		}
		d.tellFault(wire.FaultCleared, f, d.in.AtMS-f.GoneMS.Value)
		d.Faults = slices.Delete(d.Faults, i, i+1)
	}
	if len(d.Faults) == 0 {
		d.Faults = nil
	}
}

func (d *step) tellFault(kind wire.RecordKind, f Fault, agoMS int64) {
	if f.Echo {
		return
	}
	body := f.FaultRecord
	d.out = append(d.out, wire.OutboxRecord{Kind: kind, AgoMS: max(0, agoMS), Fault: &body})
}

// grave complaints end prints.
func (f Fault) grave() bool {
	return !f.Echo && (f.Error || f.Severity == string(bambu.Fatal) || f.Severity == string(bambu.Serious))
}

// troubled: this picture brings a complaint that explains a failure.
func (d *step) troubled() bool { return slices.ContainsFunc(d.raised, Fault.grave) }

// echoing: a cancel echo is there.
func (d *step) echoing() bool {
	return slices.ContainsFunc(complaintsOf(d.in.Status.Faults), func(f Fault) bool { return f.Echo })
}

// reason is the complaint that explains best why the open run ended: one that came
// in it, an error before a health message, the graver first; else an error that
// stands. "" when there is none.
func (d *step) reason() string {
	best, rank := "", 0
	for _, f := range d.Faults {
		own := f.RunID != "" && f.RunID == d.Open.Print.RunID
		r := 0
		switch {
		case !f.grave():
		case f.Error && own:
			r = 4
		case own && f.Severity == string(bambu.Fatal):
			r = 3
		case own:
			r = 2
		case f.Error && !f.GoneMS.Known:
			r = 1
		}
		if r > rank || r == rank && r > 0 { // of equals the last
			best, rank = f.words(), r
		}
	}
	return best
}

func (f Fault) words() string {
	if f.Message == "" {
		return "The printer reports " + f.Code + "."
	}
	return f.Message + " (" + f.Code + ")"
}
