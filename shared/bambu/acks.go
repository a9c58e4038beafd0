package bambu

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// Result is what an answer says of its command.
type Result int

// The results. OK means accepted, not done. None: the answer does not say, as
// those of get_version and of most settings; the next status shows the effect.
const (
	None Result = iota
	OK
	Failed
)

// String names a result for logs.
func (r Result) String() string {
	switch r {
	case OK:
		return "ok"
	case Failed:
		return "failed"
	default:
		return "none"
	}
}

// Ack is the printer's answer to a command, ours or another client's: all
// clients of a printer hear all answers. Match it by section and sequence id,
// else by command.
type Ack struct {
	Section    string // print, info, system, …
	Command    string // "" where the firmware leaves it out
	SequenceID string
	Result     Result
	Reason     string // as reported; often repeats the result
	ErrCode    int64  // err_code or errno, 0 none
}

// Unverified tells that the printer refused because it wants signed commands:
// its developer mode is off.
func (a Ack) Unverified() bool {
	return a.Result == Failed && (a.ErrCode >= 84033543 && a.ErrCode <= 84033548 ||
		strings.Contains(strings.ToLower(a.Reason), "verify failed"))
}

// Refused tells that the printer does not do it. A negative number refuses
// whatever the result says.
func (a Ack) Refused() bool { return a.Result == Failed || a.ErrCode < 0 }

// Why is the reason of a refusal, for a person.
func (a Ack) Why() string {
	if word := refusals[a.Command][a.ErrCode]; word != "" {
		return word
	}
	code := uint32(a.ErrCode)
	if a.ErrCode <= 0 || a.ErrCode != int64(code) {
		code = 0
	}
	if text := ErrorMessage(code); text != "" {
		return text
	}
	switch reason := strings.TrimSpace(a.Reason); {
	case reason != "" && !slices.ContainsFunc(noReasons, func(w string) bool { return strings.EqualFold(w, reason) }):
		return reason
	case code != 0:
		return "error " + ErrorCode(code)
	}
	return "it gives no reason"
}

// noReasons are what firmware puts where a reason should be.
var noReasons = []string{"fail", "failed", "success", "ok"}

// refusals are the meanings of negative numbers, by command.
var refusals = map[string]map[int64]string{
	"ams_change_filament": {
		-2: "the chamber is too hot for this filament",
		-4: "the AMS is too hot",
	},
}

var ackKeys = keys[Ack]{
	"command":     words(64, func(a *Ack) *string { return &a.Command }),
	"sequence_id": words(32, func(a *Ack) *string { return &a.SequenceID }),
	"reason":      words(256, func(a *Ack) *string { return &a.Reason }),
	"err_code":    readErrCode,
	"errno":       readErrCode,
	"result": func(a *Ack, v gjson.Result) bool {
		return assign(&a.Result, resultOf(v))
	},
}

func readAck(section string, v gjson.Result) Ack {
	a := Ack{Section: strings.Clone(section)}
	merge(&a, v, ackKeys)
	return a
}

func readErrCode(a *Ack, v gjson.Result) bool {
	n, ok := integer(v)
	return ok && n != 0 && assign(&a.ErrCode, n)
}

// resultOf reads "success" in any case, and the camera's 0. A word we do not
// know is not taken for success.
func resultOf(v gjson.Result) Result {
	switch v.Type {
	case gjson.Number:
		if v.Num == 0 {
			return OK
		}
		return Failed
	case gjson.True:
		return OK
	case gjson.String:
		switch strings.ToLower(strings.TrimSpace(v.Str)) {
		case "":
			return None
		case "success", "ok":
			return OK
		}
		return Failed
	case gjson.False:
		return Failed
	}
	return None
}
