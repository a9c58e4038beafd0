package wire

import "slices"

// Verdict is what came out of a check.
type Verdict string

// The verdicts.
const (
	Pass Verdict = "pass"
	Warn Verdict = "warn" // it works, but not all of it or not for long
	Fail Verdict = "fail"
	Skip Verdict = "skip" // it could not be found out
)

// Check is one thing that was looked at. It holds no secret.
type Check struct {
	ID     string  `json:"id"` // stable, for programs: "mqtt_port"
	Title  string  `json:"title"`
	Result Verdict `json:"result"`
	Detail string  `json:"detail"`         // what was seen, a sentence
	Mend   string  `json:"mend,omitempty"` // what to do about it; of every check that did not pass
}

// Report is what an agent found out about one printer, in the order in which a
// person would look: what comes first explains what comes after.
type Report struct {
	Serial  string  `json:"serial"`
	Name    string  `json:"name"`
	Address string  `json:"address"` // as configured
	AtMS    int64   `json:"at_ms"`   // when it was finished, Unix milliseconds, agent's clock
	Checks  []Check `json:"checks"`
}

// Worst is the worst result of some checks: Fail, Warn or Pass.
func Worst(checks []Check) Verdict {
	for _, v := range []Verdict{Fail, Warn} {
		if slices.ContainsFunc(checks, func(c Check) bool { return c.Result == v }) {
			return v
		}
	}
	return Pass
}
