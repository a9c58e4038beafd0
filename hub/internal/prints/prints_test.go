package prints

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func TestAPrintFromStartToEnd(t *testing.T) {
	r := newRig(t)
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	if p, ok := r.prints.Current(1); !ok || p.Name != "Benchy" || p.Filename != "Benchy.3mf" || p.Status != farm.StatusPrinting {
		t.Fatalf("under way is %+v, %v", p, ok)
	}
	r.now = began.Add(30 * time.Minute)
	r.says(rec(wire.PrintPaused, "r1", 2, nil))
	r.says(rec(wire.PrintResumed, "r1", 3, nil))
	r.says(rec(wire.PrintProgress, "r1", 4, func(p *wire.PrintRecord) { p.Milestone = 50 }))
	r.now = began.Add(time.Hour)
	r.says(rec(wire.PrintFinished, "r1", 5, ended(wire.Success)))
	p := r.only()
	switch {
	case p.Status != farm.StatusSuccess, !p.StartedAt.Equal(began), !p.FinishedAt.Equal(r.now), *p.Duration != 3600, p.TimeEstimated:
		t.Errorf("ended as %+v", p)
	case p.Dir != "One/2026/03/01/120000-Benchy-1", p.Source != farm.SourceCloud, p.Subtask != "11", p.Milestone != 50:
		t.Errorf("is told as %+v", p)
	}
	want := []string{"print_started", "print_paused", "print_resumed", "print_progress", "print_complete"}
	if got := r.kinds(); !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	if _, ok := r.prints.Current(1); ok {
		t.Error("it is still under way")
	}
	var data map[string]any
	if err := json.Unmarshal(r.events[4].Data, &data); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"printer_id": 1.0, "printer_name": "One", "archive_id": 1.0, "filename": "Benchy.3mf", "duration": 3600.0, "status": "success",
	} {
		if data[key] != want {
			t.Errorf("the event says %s = %v, want %v", key, data[key], want)
		}
	}
}

func TestEndsOfPrints(t *testing.T) {
	for outcome, want := range map[wire.Outcome]struct {
		status farm.PrintStatus
		event  string
	}{
		wire.Success: {farm.StatusSuccess, farm.EventPrintComplete}, wire.Failed: {farm.StatusFailed, farm.EventPrintFailed},
		wire.Aborted: {farm.StatusStopped, farm.EventPrintStopped}, wire.Unknown: {farm.StatusUnknown, farm.EventPrintComplete},
		"something new": {farm.StatusUnknown, farm.EventPrintComplete},
	} {
		r := newRig(t)
		r.says(rec(wire.PrintStarted, "r1", 1, nil))
		r.now = r.now.Add(time.Minute)
		r.says(rec(wire.PrintFinished, "r1", 2, ended(outcome)))
		p := r.only()
		if p.Status != want.status || r.events[1].Kind != want.event || (p.Duration == nil) != (want.status == farm.StatusUnknown) {
			t.Errorf("%s: %s, event %s, duration %v", outcome, p.Status, r.events[1].Kind, p.Duration)
		}
	}
}

// Whatever arrives twice has happened once: in the same epoch by the mark, in
// another one by what the record says.
func TestNothingHappensTwice(t *testing.T) {
	r := newRig(t)
	story := []wire.OutboxRecord{
		rec(wire.PrintStarted, "r1", 1, nil), rec(wire.PrintPaused, "r1", 2, nil), rec(wire.PrintResumed, "r1", 3, nil),
		rec(wire.PrintProgress, "r1", 4, func(p *wire.PrintRecord) { p.Milestone = 25 }), rec(wire.PrintFinished, "r1", 5, ended(wire.Failed)),
	}
	for i := range story {
		story[i].N = int64(i + 1)
	}
	r.n = 5
	if err := r.apply(story[:3]...); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := r.apply(story...); err != nil {
			t.Fatal(err)
		}
	}
	r.epoch = "E2"
	if err := r.apply(story...); err != nil {
		t.Fatal(err)
	}
	r.only()
	if len(r.events) != 5 {
		t.Errorf("events %v", r.kinds())
	}
}

func TestACommitThatFailsChangesNothing(t *testing.T) {
	r := newRig(t)
	r.n = 1
	one := rec(wire.PrintStarted, "r1", 1, nil)
	one.N = 1
	r.fail = errors.New("disk full")
	if err := r.apply(one); err == nil {
		t.Fatal("no error")
	}
	if _, ok := r.prints.Current(1); ok || len(r.table.prints) != 0 {
		t.Error("something was kept")
	}
	if err := r.apply(one); err != nil || len(r.table.prints) != 1 || len(r.events) != 1 {
		t.Errorf("then %v: %d prints, events %v", err, len(r.table.prints), r.kinds())
	}
}

// An agent that lost its journal sees the print that goes on as a new run.
func TestARunThatIsAPrintAlreadyKnown(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*wire.PrintRecord)
		prints int
	}{
		"the same id":                   {nil, 1},
		"another id":                    {func(p *wire.PrintRecord) { p.SubtaskID = "12" }, 2},
		"no id, the same name":          {func(p *wire.PrintRecord) { p.SubtaskID = "" }, 1},
		"no id, another name":           {func(p *wire.PrintRecord) { p.SubtaskID, p.Name = "", "Vase" }, 2},
		"no id, nothing that names it":  {func(p *wire.PrintRecord) { p.SubtaskID, p.Name, p.File = "", "", "" }, 1},
		"the same id under another one": {func(p *wire.PrintRecord) { p.Name = "benchy.gcode.3mf" }, 1},
	} {
		r := newRig(t)
		r.says(rec(wire.PrintStarted, "r1", 1, nil))
		r.epoch, r.n = "E2", 0
		r.now = r.now.Add(10 * time.Minute)
		r.says(rec(wire.PrintObserved, "r2", 1, c.change))
		r.says(rec(wire.PrintFinished, "r2", 2, ended(wire.Success)))
		if len(r.table.prints) != c.prints {
			t.Errorf("%s: %d prints, want %d", name, len(r.table.prints), c.prints)
		}
		if first := r.table.prints[1]; c.prints == 2 && first.Status != farm.StatusUnknown || c.prints == 1 && first.Status != farm.StatusSuccess {
			t.Errorf("%s: the first ended as %s", name, first.Status)
		}
	}
}

// A print given up as unknown whose end is proven later gets its outcome, and no
// second event of an end.
func TestAnEndThatIsProvenLater(t *testing.T) {
	r := newRig(t)
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	r.says(rec(wire.PrintStarted, "r2", 1, func(p *wire.PrintRecord) { p.SubtaskID = "12" })) // which closes the first
	r.says(rec(wire.PrintFinished, "r1", 2, ended(wire.Success)))
	if got := r.table.prints[1].Status; got != farm.StatusSuccess {
		t.Errorf("it is %s", got)
	}
	want := []string{"print_started", "print_complete", "print_started", "archive_updated"}
	if got := r.kinds(); !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func TestTimes(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		rec       wire.OutboxRecord
		at        time.Time // given as an offset of began below
		estimated bool
	}{
		"same process":                           {wire.OutboxRecord{ProcessID: "boot", MonoMS: 600_000}, began.Add(10 * time.Minute), false},
		"same process, its wall clock is wrong":  {wire.OutboxRecord{ProcessID: "boot", MonoMS: 600_000, WallMS: began.Add(900 * day).UnixMilli()}, began.Add(10 * time.Minute), false},
		"an earlier process":                     {wire.OutboxRecord{ProcessID: "before", WallMS: began.Add(-time.Hour).UnixMilli()}, began.Add(-time.Hour), true},
		"an earlier process, in the future":      {wire.OutboxRecord{ProcessID: "before", WallMS: began.Add(9 * day).UnixMilli()}, began.Add(time.Hour), true},
		"some time before it was written":        {wire.OutboxRecord{ProcessID: "boot", MonoMS: 600_000, AgoMS: 60_000}, began.Add(9 * time.Minute), false},
		"some time before, and nobody saw that":  {wire.OutboxRecord{ProcessID: "boot", MonoMS: 600_000, AgoMS: 60_000, Estimated: true}, began.Add(9 * time.Minute), true},
		"a clock that runs ahead of its process": {wire.OutboxRecord{ProcessID: "boot", MonoMS: 99_000_000}, began.Add(time.Hour), false},
	} {
		r := newRig(t)
		r.now = began.Add(time.Hour)
		r.n = 1
		one := rec(wire.PrintStarted, "r1", 1, nil)
		one.N, one.ProcessID, one.MonoMS, one.WallMS, one.AgoMS, one.Estimated = 1, c.rec.ProcessID, c.rec.MonoMS, c.rec.WallMS, c.rec.AgoMS, c.rec.Estimated
		if err := r.apply(one); err != nil {
			t.Fatal(err)
		}
		if p := r.only(); !p.StartedAt.Equal(c.at) || p.TimeEstimated != c.estimated {
			t.Errorf("%s: %v, estimated %v; want %v, %v", name, p.StartedAt, p.TimeEstimated, c.at, c.estimated)
		}
	}
}

func TestWhoseRecordsCount(t *testing.T) {
	for name, c := range map[string]struct {
		printer farm.Printer
		fence   int64
		prints  int
	}{
		"its own":                       {farm.Printer{ID: 1, Serial: "P1", AgentID: 7, Fence: 2}, 2, 1},
		"under an assignment of before": {farm.Printer{ID: 1, Serial: "P1", AgentID: 8, Fence: 3}, 2, 1},
		"of another agent":              {farm.Printer{ID: 1, Serial: "P1", AgentID: 8, Fence: 2}, 2, 0},
		"of nobody":                     {farm.Printer{ID: 1, Serial: "P1", Fence: 2}, 2, 1},
	} {
		r := newRig(t)
		r.printers["P1"] = c.printer
		r.says(rec(wire.PrintStarted, "r1", 1, nil))
		if len(r.table.prints) != c.prints || r.mark["E1"] != 1 {
			t.Errorf("%s: %d prints, mark %d", name, len(r.table.prints), r.mark["E1"])
		}
	}
	r := newRig(t)
	delete(r.printers, "P1") // removed: what was printed is kept all the same
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	if p := r.only(); p.PrinterID != 0 || p.Serial != "P1" || p.SiteID != 3 || p.Status != farm.StatusUnknown {
		t.Errorf("of a removed printer: %+v", p) // under way for ever, it could never be deleted
	}
	if _, open := r.prints.Current(0); open {
		t.Error("something is under way at no printer")
	}
	r.now = r.now.Add(time.Hour)
	r.says(rec(wire.PrintFinished, "r1", 2, ended(wire.Success)))
	if p := r.only(); p.Status != farm.StatusSuccess || *p.Duration != 3600 {
		t.Errorf("when its end was told all the same: %+v", p)
	}
}

func TestFiles(t *testing.T) {
	const sha = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	r := newRig(t)
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	file := func(kind wire.RecordKind, f wire.FileRecord) wire.OutboxRecord {
		return wire.OutboxRecord{Kind: kind, File: &f}
	}
	r.says(file(wire.FileReady, wire.FileRecord{RunID: "r1", Role: wire.RoleModel, SHA256: sha, Size: 9, Name: "a.3mf"}))
	r.says(file(wire.FileUnavailable, wire.FileRecord{RunID: "r1", Role: wire.RoleTimelapse, Reason: "no video"}))
	r.says(file(wire.FileReady, wire.FileRecord{RunID: "r1", Role: "../x", SHA256: sha}))
	r.says(file(wire.FileReady, wire.FileRecord{RunID: "r1", Role: wire.RoleModel, SHA256: "../../etc/passwd"}))
	r.says(file(wire.FileReady, wire.FileRecord{RunID: "nobody", Role: wire.RoleModel, SHA256: sha}))
	if len(r.pulls) != 2 || r.pulls[1].PrintID != 0 || r.pulls[0].SHA256 != sha || r.pulls[0].PrintID != 1 || r.pulls[0].AgentID != 7 || r.pulls[0].RunID != "r1" {
		t.Errorf("pulls %+v", r.pulls)
	}
	if len(r.files) != 1 || r.files[0].Role != farm.RoleTimelapse || r.files[0].Status != farm.FileMissing || r.files[0].Reason != "no video" {
		t.Errorf("files %+v", r.files)
	}
	r.says(file(wire.FileUnavailable, wire.FileRecord{RunID: "r1", Role: wire.RoleModel, Reason: "not on the card"}))
	if p := r.only(); p.FileStatus != farm.FileMissing || p.FileError != "not on the card" {
		t.Errorf("the print says %s, %q", p.FileStatus, p.FileError)
	}
}

// A printer is given to another agent in the middle of a print. What the first one has
// seen and captured still counts; what it gave up, the other may still bring.
func TestWhatAFormerAgentTellsLate(t *testing.T) {
	const sha = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	r := newRig(t)
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	p := r.only()
	p.AgentID = 8
	r.table.prints[1] = p
	r.printers["P1"] = farm.Printer{ID: 1, Serial: "P1", SiteID: 3, AgentID: 8, Fence: 3}
	for _, kind := range []wire.RecordKind{wire.FileReady, wire.FileUnavailable} {
		r.says(wire.OutboxRecord{Kind: kind, File: &wire.FileRecord{RunID: "r1", Role: wire.RoleModel, SHA256: sha}})
	}
	if len(r.pulls) != 1 || r.pulls[0].PrintID != 1 || r.pulls[0].AgentID != 7 || r.pulls[0].RunID != "r1" {
		t.Errorf("pulls %+v", r.pulls)
	}
	if len(r.files) != 0 || r.only().FileStatus != farm.FilePending {
		t.Errorf("files %+v, the print says %s", r.files, r.only().FileStatus)
	}
	r.says(rec(wire.PrintFinished, "r1", 2, ended(wire.Unknown)))
	if p := r.only(); p.Status != farm.StatusPrinting || p.AgentID != 8 {
		t.Errorf("what it does not know ended the print: %s", p.Status)
	}
	r.says(rec(wire.PrintFinished, "r1", 3, ended(wire.Success)))
	if p := r.only(); p.Status != farm.StatusSuccess {
		t.Errorf("what it saw does not count: %s", p.Status)
	}
}

// An agent that was enrolled anew on its data directory goes on with its journal.
func TestAnAgentEnrolledAnew(t *testing.T) {
	r := newRig(t)
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	p := r.only()
	p.AgentID = 5 // as which it was known
	r.table.prints[1] = p
	r.says(rec(wire.PrintPaused, "r1", 2, nil))
	r.says(wire.OutboxRecord{Kind: wire.FileUnavailable, File: &wire.FileRecord{RunID: "r1", Role: wire.RoleModel, Reason: "gone"}})
	if p := r.only(); p.AgentID != 7 || !p.Paused || p.FileStatus != farm.FileMissing {
		t.Errorf("%+v", p)
	}
}

// Records that the agent no longer keeps, when it has none at all.
func TestAPageThatIsEmptyTellsOfAGapToo(t *testing.T) {
	r := newRig(t)
	page := wire.OutboxPage{Epoch: "E1", First: 8, Last: 7, Clock: wire.Clock{ProcessID: "boot"}}
	if n, err := r.prints.Apply(t.Context(), agent, page, began); err != nil || n != 7 || !slices.Equal(r.kinds(), []string{"agent_gap"}) {
		t.Errorf("%d, %v, events %v", n, err, r.kinds())
	}
}

func TestGapsAndWhatNobodyUnderstands(t *testing.T) {
	r := newRig(t)
	r.n = 10
	gap := wire.OutboxRecord{N: 3, Kind: wire.GapKind, Gap: &wire.GapRecord{From: 1, To: 2, Reason: "damaged"}}
	odd := wire.OutboxRecord{N: 6, Kind: "dance"}
	empty := wire.OutboxRecord{N: 7, Kind: wire.PrintStarted}
	last := rec(wire.PrintStarted, "r1", 1, nil)
	last.N = 8
	if err := r.apply(gap, odd, empty, last); err != nil {
		t.Fatal(err)
	}
	r.only()
	want := []string{"agent_gap", "agent_gap", "print_started"} // 1 and 2, as the agent tells itself; 4 and 5, of which it says nothing
	if got := r.kinds(); !slices.Equal(got, want) || r.mark["E1"] != 8 {
		t.Errorf("events %v, mark %d", got, r.mark["E1"])
	}
}

func TestWhatIsUsed(t *testing.T) {
	grams := 40.0
	for name, c := range map[string]struct {
		status farm.PrintStatus
		layer  int
		want   float64
		known  bool
	}{
		"success":         {farm.StatusSuccess, 100, 40, true},
		"half the layers": {farm.StatusFailed, 50, 20, true},
		"stopped":         {farm.StatusStopped, 25, 10, true},
		"unknown":         {farm.StatusUnknown, 50, 0, false},
		"under way":       {farm.StatusPrinting, 50, 0, false},
	} {
		p := farm.Print{Status: c.status, Layer: c.layer, TotalLayers: 100, EstimateGrams: &grams}
		p.Weigh(farm.Prices{PerKG: 25})
		if (p.FilamentUsed != nil) != c.known || c.known && *p.FilamentUsed != c.want {
			t.Errorf("%s: %v", name, p.FilamentUsed)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ title, file, name, filename string }{
		{"Clamshell Parts Box", "/data/Metadata/plate_1.gcode", "Clamshell Parts Box", "Clamshell Parts Box.3mf"},
		{"36mm", "36mm.gcode.3mf", "36mm", "36mm.gcode.3mf"},
		{"Würfel.3mf", "Würfel.3mf", "Würfel", "Würfel.3mf"},
		{"0", "running_test.3mf", "running_test", "running_test.3mf"},
		{"", "/sdcard/model/a b.gcode", "a b", "a b.gcode"},
		{"", "", "unnamed", "unnamed.3mf"},
		{"../../x", "", "../../x", "x.3mf"},
		{"", "..", "unnamed", "unnamed"},
	} {
		name, filename := names(&wire.PrintRecord{Name: c.title, File: c.file})
		if name != c.name || filename != c.filename {
			t.Errorf("%q, %q: %q, %q", c.title, c.file, name, filename)
		}
	}
}

func TestProgressKeepsItsBest(t *testing.T) {
	p := farm.Print{Progress: 60, Layer: 30}
	fill(&p, &wire.PrintRecord{Progress: bambu.Some(0), Layer: bambu.Some(0)})
	if p.Progress != 60 || p.Layer != 30 {
		t.Errorf("%+v", p)
	}
}

// An agent whose clock was days behind, and which then restarted: what it wrote since the
// hub last heard of it was not written before that.
func TestAClockThatWasBehind(t *testing.T) {
	r := newRig(t)
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	heard := r.now
	r.now = r.now.Add(time.Hour)
	late := rec(wire.PrintFinished, "r1", 2, ended(wire.Success))
	late.ProcessID, late.WallMS = "before", began.Add(-9*24*time.Hour).UnixMilli()
	r.says(late)
	if p := r.only(); !p.FinishedAt.Equal(heard) || !p.TimeEstimated || *p.Duration != 0 {
		t.Errorf("it ended %v, estimated %v", p.FinishedAt, p.TimeEstimated)
	}
}

// progress is what the events of a print have told, in order.
func (r *rig) progress() (out []int) {
	r.t.Helper()
	for _, e := range r.events {
		var data struct{ Progress int }
		if err := json.Unmarshal(e.Data, &data); err != nil {
			r.t.Fatal(err)
		}
		if e.Kind == farm.EventPrintProgress {
			out = append(out, data.Progress)
		}
	}
	return out
}

func TestMilestones(t *testing.T) {
	for name, c := range map[string]struct {
		configured, told, want []int
	}{
		"the default ones":        {[]int{25, 50, 75}, []int{5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95}, []int{25, 50, 75}},
		"of an older agent":       {[]int{25, 50, 75}, []int{25, 50, 75}, []int{25, 50, 75}},
		"others, an older agent":  {[]int{10, 60}, []int{25, 50, 75}, []int{10, 60}},
		"the first and the last":  {[]int{5, 95}, []int{5, 50, 95}, []int{5, 95}},
		"none":                    {nil, []int{25, 50, 75}, nil},
		"several passed at once":  {[]int{25, 50, 75}, []int{10, 60, 95}, []int{50, 75}},
		"never a second time":     {[]int{25, 50, 75}, []int{50, 25, 50, 55}, []int{50}},
		"what is no milestone":    {[]int{50}, []int{45, 55}, []int{50}},
		"nothing before the last": {[]int{50}, []int{45}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.milestones = c.configured
			r.says(rec(wire.PrintStarted, "r1", 1, nil))
			for i, m := range c.told {
				r.says(rec(wire.PrintProgress, "r1", int64(i+2), func(p *wire.PrintRecord) { p.Milestone = m }))
			}
			if got := r.progress(); !slices.Equal(got, c.want) {
				t.Errorf("told %v, want %v", got, c.want)
			}
		})
	}
}

// What was passed is not told when it becomes a milestone later, and what nobody saw
// a print pass is not told at all.
func TestMilestonesThatArePast(t *testing.T) {
	r := newRig(t)
	at := func(kind wire.RecordKind, seq int64, percent int) {
		r.says(rec(kind, "r1", seq, func(p *wire.PrintRecord) { p.Milestone, p.Progress = percent, bambu.Some(percent) }))
	}
	r.milestones = []int{75}
	at(wire.PrintStarted, 1, 0)
	at(wire.PrintProgress, 2, 40)
	r.milestones = []int{25, 40, 75}
	at(wire.PrintProgress, 3, 45)
	if got := r.progress(); got != nil {
		t.Errorf("told %v", got)
	}
	r = newRig(t)
	r.milestones = []int{25, 50, 65}
	at(wire.PrintObserved, 1, 60)
	at(wire.PrintProgress, 2, 65)
	if got := r.progress(); !slices.Equal(got, []int{65}) {
		t.Errorf("of a print that was met at 60 %%: %v", got)
	}
}

func TestCosts(t *testing.T) {
	plate := []farm.PrintFilament{{Type: "PLA", Grams: 30}, {Type: "PETG", Grams: 10}}
	prices := farm.Prices{Types: map[string]float64{"PLA": 20, "petg": 40}, PerKG: 25}
	hourly := prices
	hourly.PerHour = 2
	grams, long := 40.0, int64(5400)
	for name, c := range map[string]struct {
		prices    farm.Prices
		status    farm.PrintStatus
		filaments []farm.PrintFilament
		grams     *float64
		duration  *int64
		want      float64 // -1: not known
	}{
		"by default":              {farm.Prices{PerKG: 25}, farm.StatusSuccess, nil, &grams, &long, 1},
		"each filament its price": {prices, farm.StatusSuccess, plate, &grams, &long, 0.03*20 + 0.01*40},
		"a share of each":         {prices, farm.StatusFailed, plate, &grams, &long, (0.03*20 + 0.01*40) / 4},
		"a type without a price":  {prices, farm.StatusSuccess, []farm.PrintFilament{{Type: "ABS", Grams: 40}}, &grams, &long, 1},
		"a type without grams":    {prices, farm.StatusSuccess, []farm.PrintFilament{{Type: "PLA"}}, &grams, &long, 0.8},
		"with the machine":        {hourly, farm.StatusSuccess, plate, &grams, &long, 1 + 3},
		"the machine alone":       {hourly, farm.StatusSuccess, nil, nil, &long, 3},
		"nothing is known":        {prices, farm.StatusSuccess, plate, nil, &long, -1},
		"nobody saw the end":      {hourly, farm.StatusUnknown, plate, &grams, nil, -1},
		"no time, but grams":      {hourly, farm.StatusSuccess, plate, &grams, nil, 1},
		"for nothing":             {farm.Prices{}, farm.StatusSuccess, plate, &grams, &long, 0},
	} {
		p := farm.Print{Status: c.status, Filaments: c.filaments, EstimateGrams: c.grams, Duration: c.duration, Layer: 25, TotalLayers: 100}
		p.Weigh(c.prices)
		if (p.Cost != nil) != (c.want >= 0) || p.Cost != nil && math.Abs(*p.Cost-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, p.Cost, c.want)
		}
	}
	r := newRig(t)
	r.prices = farm.Prices{PerHour: 6}
	r.says(rec(wire.PrintStarted, "r1", 1, nil))
	r.now = began.Add(30 * time.Minute)
	r.says(rec(wire.PrintFinished, "r1", 2, ended(wire.Success)))
	if p := r.only(); p.Cost == nil || *p.Cost != 3 || p.FilamentUsed != nil {
		t.Errorf("an end costs %v, of %v g", p.Cost, p.FilamentUsed)
	}
}
