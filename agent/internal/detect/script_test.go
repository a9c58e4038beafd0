package detect

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// player gives a detector pictures and checks what must hold for any of them.
type player struct {
	t      testing.TB
	state  State
	status bambu.Status
	now    int64 // seconds
	minted int
	runs   map[string]*life
	order  []string // run ids as they appeared
	open   string
	told   []string
	every  bool // all milestones are written down
}

// life is what was told of one run.
type life struct {
	name  string
	seq   int64
	ended bool
	mark  int
}

func newPlayer(t testing.TB) *player {
	return &player{t: t, now: 1_000_000, runs: map[string]*life{}}
}

// step gives one picture, through JSON as after a crash, and writes down what was told.
func (p *player) step(in Input) {
	p.t.Helper()
	p.minted++
	in.NewRun = fmt.Sprint("run-", p.minted)
	before := encode(p.t, p.state)
	next, records := p.state.Step(in)
	if encode(p.t, p.state) != before {
		p.t.Fatal("Step changed the State it was called on")
	}
	var back State
	if err := json.Unmarshal([]byte(encode(p.t, next)), &back); err != nil || !reflect.DeepEqual(back, next) {
		p.t.Fatalf("JSON changes the state (%v):\n%+v\n%+v", err, next, back)
	}
	again, same := p.state.Step(in)
	if !reflect.DeepEqual(again, next) || !reflect.DeepEqual(same, records) {
		p.t.Fatal("the same input gives another answer")
	}
	if len(records) > 0 && !next.Differs(p.state) {
		p.t.Error("records came, but the state is not to be journalled")
	}
	p.state = back
	for _, r := range records {
		p.check(r)
	}
	if run, ok := next.Run(); ok != (p.open != "") || ok && (run.Print.RunID != p.open || !next.Busy()) {
		p.t.Errorf("open run is %+v, told was %q", next.Open, p.open)
	}
	if due, ok := next.Due(in.AtMS); ok && due <= sane(in.AtMS) {
		p.t.Errorf("due at %d, it is %d", due, in.AtMS)
	}
	if len(next.Faults) > maxFaults+70 || len(next.Done) > maxDone {
		p.t.Errorf("the state grows: %d faults, %d ids", len(next.Faults), len(next.Done))
	}
}

// check is what holds for every record.
func (p *player) check(r wire.OutboxRecord) {
	p.t.Helper()
	if r.AgoMS < 0 {
		p.t.Errorf("%s in the future", r.Kind)
	}
	if r.Fault != nil {
		p.told = append(p.told, p.faultLine(r))
		return
	}
	b := r.Print
	l := p.runs[b.RunID]
	begins := r.Kind == wire.PrintStarted || r.Kind == wire.PrintObserved
	if begins {
		if l != nil || p.open != "" || b.RunID == "" {
			p.t.Errorf("%s of %q, open is %q", r.Kind, b.RunID, p.open)
		}
		l = &life{name: string(rune('A' + len(p.order)%26)), mark: b.Progress.Value / 5 * 5}
		p.runs[b.RunID], p.open = l, b.RunID
		p.order = append(p.order, b.RunID)
	}
	if l == nil || l.ended || b.RunID != p.open || b.Seq != l.seq+1 {
		p.t.Fatalf("%s of run %q with number %d is out of order: %+v, open is %q", r.Kind, b.RunID, b.Seq, l, p.open)
	}
	l.seq = b.Seq
	if b.StartedAgoMS.Known && b.StartedAgoMS.Value < 0 {
		p.t.Errorf("%s: began in the future", r.Kind)
	}
	switch r.Kind {
	case wire.PrintProgress:
		if b.Milestone <= l.mark || b.Milestone%5 != 0 || b.Milestone > 95 {
			p.t.Errorf("milestone %d after %d", b.Milestone, l.mark)
		}
		quarter := b.Milestone / 25 * 25
		if quarter <= l.mark/25*25 { // scripts show those that the hub tells by default
			quarter = 0
		}
		l.mark = b.Milestone
		if p.every {
			quarter = b.Milestone
		}
		if quarter > 0 {
			p.told = append(p.told, fmt.Sprint(l.name, " progress ", quarter))
		}
		return
	case wire.PrintFinished:
		l.ended, p.open = true, ""
		if b.Outcome == "" {
			p.t.Error("no outcome")
		}
	}
	p.told = append(p.told, l.name+" "+p.printLine(r))
}

func (p *player) printLine(r wire.OutboxRecord) string {
	b := r.Print
	s := strings.TrimPrefix(string(r.Kind), "print_")
	switch r.Kind {
	case wire.PrintStarted, wire.PrintObserved, wire.PrintDetails:
		for _, f := range [][2]string{{"id", b.SubtaskID}, {"name", b.Name}, {"file", b.File}, {"kind", b.PrintKind}} {
			if f[1] != "" {
				s += " " + f[0] + "=" + f[1]
			}
		}
		if b.Plate.Known {
			s += fmt.Sprint(" plate=", b.Plate.Value)
		}
		if b.Timelapse.Value {
			s += " tl"
		}
	case wire.PrintFinished:
		s += " " + string(b.Outcome)
		if b.Progress.Known || b.Layer.Known {
			s += fmt.Sprintf(" at %d/%d", b.Progress.Value, b.Layer.Value)
		}
		if b.Reason != "" {
			s += " (" + b.Reason + ")"
		}
	}
	if r.Estimated {
		s += " ~"
	}
	if r.AgoMS > 0 {
		s += fmt.Sprintf(" ago=%d", r.AgoMS/1000)
	}
	if b.StartedAgoMS.Known {
		s += fmt.Sprintf(" began=%d", b.StartedAgoMS.Value/1000)
	}
	return s
}

func (p *player) faultLine(r wire.OutboxRecord) string {
	s := string(r.Kind) + " " + r.Fault.Code + " " + r.Fault.Severity
	if l := p.runs[r.Fault.RunID]; l != nil {
		s += " in " + l.name
	}
	if r.AgoMS > 0 {
		s += fmt.Sprintf(" ago=%d", r.AgoMS/1000)
	}
	return s
}

// play runs a script: one picture a line, of words:
//
//	+60            seconds since the line before
//	RUNNING        gcode_state; anything not named stays as it was
//	fresh, stop    as in Input
//	due            before it the calls that are due until then, as the caller makes them
//	id= name= file= kind= plate= p= l= of= left= tl= err= hms=attr.code,…
func (p *player) play(script string) {
	p.t.Helper()
	for line := range strings.Lines(script) {
		in := Input{}
		due := strings.Contains(line, "due")
		for _, word := range strings.Fields(line) {
			key, value, pair := strings.Cut(word, "=")
			switch {
			case pair:
				p.set(key, strings.ReplaceAll(value, "·", " "))
			case word == "fresh":
				in.Fresh = true
			case word == "stop":
				in.Stopped = true
			case word == "due":
			case word[0] == '+' || word[0] == '-':
				p.wait(number(p.t, word), due)
			default:
				p.status.Job.GcodeState = word
			}
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		in.Status, in.AtMS = p.status, p.now*1000
		p.step(in)
	}
}

// wait lets time pass, with the calls that are due in it when asked.
func (p *player) wait(seconds int, due bool) {
	until := p.now + int64(seconds)
	for due {
		at, ok := p.state.Due(p.now * 1000)
		if !ok || at > until*1000 {
			break
		}
		p.now = at / 1000
		p.step(Input{Status: p.status, AtMS: at})
	}
	p.now = until
}

func (p *player) set(key, value string) {
	j := &p.status.Job
	opt := func() bambu.Opt[int] {
		if value == "?" {
			return bambu.Opt[int]{}
		}
		return bambu.Some(number(p.t, value))
	}
	switch key {
	case "id":
		j.SubtaskID = value
	case "name":
		j.Name = value
	case "file":
		j.File = value
	case "kind":
		j.Kind = value
	case "plate":
		j.Plate = opt()
	case "p":
		j.Progress = opt()
	case "l":
		j.Layer = opt()
	case "of":
		j.TotalLayers = opt()
	case "left":
		j.Remaining = opt()
	case "tl":
		j.Timelapse = bambu.Some(value == "on")
	case "err":
		j := &p.status.Faults
		j.PrintError = hex(p.t, value)
	case "hms":
		p.status.Faults.HMS = nil
		for _, one := range strings.Split(value, ",") {
			if attr, code, ok := strings.Cut(one, "."); ok {
				p.status.Faults.HMS = append(p.status.Faults.HMS, bambu.HMS{Attr: hex(p.t, attr), Code: hex(p.t, code)})
			}
		}
	default:
		p.t.Fatalf("script: what is %s?", key)
	}
}

func number(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func hex(t testing.TB, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func encode(t testing.TB, s State) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// expect compares what was told with lines of text.
func (p *player) expect(want string) {
	p.t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if got := strings.Join(p.told, "\n"); got != strings.Join(lines, "\n") {
		p.t.Errorf("told:\n%s\nwant:\n%s", got, strings.Join(lines, "\n"))
	}
}
