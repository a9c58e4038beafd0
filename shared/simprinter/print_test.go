package simprinter

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/memnet"
)

// virtual runs printers on a network in memory, inside a synctest bubble.
func virtual(t *testing.T, o Options, models ...string) (*Farm, dialer) {
	t.Helper()
	n := memnet.New()
	o.Listen = n.Listen
	s, err := Specs(len(models), models, "printers", 8883)
	if err != nil {
		t.Fatal(err)
	}
	return live(t, s, o), n.Dialer("agent")
}

// A whole print as a client sees it, and in the ledger.
func TestPrint(t *testing.T) {
	for _, model := range []string{"A1", "P1S", "X1C", "P2S", "H2D", "X2D"} {
		t.Run(model, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { wholePrint(t, model) })
		})
	}
}

func wholePrint(t *testing.T, model string) {
	farm, dial := virtual(t, Options{}, model)
	p := farm.Printers()[0]
	e := listen(t, p, dial)
	e.pushAll()
	started := time.Now()
	if err := p.Start(PrintJob{Name: "benchy", Minutes: 10, Source: "slicer", Plate: 2}); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(PrintJob{Name: "second"}); err == nil {
		t.Error("a busy printer took a second print")
	}
	var stages, percents, layers []int
	hot, loaded := false, false
	e.untilStatus(30*time.Minute, "end", func(s bambu.Status) bool {
		note(&stages, s.Job.Stage.Value)
		note(&percents, s.Job.Progress.Value)
		note(&layers, s.Job.Layer.Value)
		hot = hot || s.Temps.Nozzle.Value > 215 && s.Temps.NozzleTarget.Value == 220 && s.Temps.Bed.Value > 55
		loaded = loaded || len(s.Filament.Active) > 0 && s.Filament.Active[0].Unit == 0 && s.Filament.Active[0].Slot == 0 && s.Filament.Status.Value == 768
		return s.Job.GcodeState == "FINISH"
	})
	want := []string{"IDLE", "PREPARE", "RUNNING", "FINISH"}
	if model == "P2S" { // given a print over the LAN it runs at once
		want = []string{"IDLE", "RUNNING", "FINISH"}
	}
	if !slices.Equal(e.states, want) {
		t.Errorf("states %v, want %v", e.states, want)
	}
	if took := time.Since(started); took < 10*time.Minute || took > 15*time.Minute {
		t.Errorf("took %s", took)
	}
	for _, stage := range []int{2, 13, 4, 14, 1, 0} {
		if !slices.Contains(stages, stage) {
			t.Errorf("no stage %d in %v", stage, stages)
		}
	}
	if !slices.IsSorted(percents) || len(percents) < 90 || !slices.IsSorted(layers) || layers[len(layers)-1] != 50 {
		t.Errorf("percents %v, layers %v", percents, layers)
	}
	if !hot || !loaded {
		t.Errorf("hot %v, filament loaded %v", hot, loaded)
	}
	// The last progress and layer stay.
	time.Sleep(time.Minute)
	e.pushAll()
	if j := e.status().Job; j.Progress.Value != 100 || j.Layer.Value != 50 || j.Remaining.Value != 0 || j.Name != "benchy" {
		t.Errorf("after the end %+v", j)
	}
	if temps := e.status().Temps; temps.NozzleTarget.Value != 0 || temps.Nozzle.Value > 215 {
		t.Errorf("after the end %+v", temps)
	}
	l := farm.Ledger()
	if len(l) != 1 || l[0].Outcome != "success" || l[0].Serial != p.Spec().Serial || l[0].Name != "benchy" || l[0].Source != "slicer" || l[0].EndedAt == nil || !l[0].EndedAt.After(l[0].StartedAt) {
		t.Errorf("ledger %+v", l)
	}
}

func note(list *[]int, n int) {
	if len(*list) == 0 || (*list)[len(*list)-1] != n {
		*list = append(*list, n)
	}
}

// No state is skipped however fast time runs.
func TestFast(t *testing.T) {
	for _, model := range []string{"A1", "X1C", "H2D"} {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{Speed: 2000}, model)
			p := farm.Printers()[0]
			e := listen(t, p, dial)
			e.pushAll()
			if err := p.Start(PrintJob{Name: "benchy", Minutes: 100, Source: "cloud"}); err != nil {
				t.Fatal(err)
			}
			e.untilStatus(30*time.Second, "end", func(s bambu.Status) bool { return s.Job.GcodeState == "FINISH" })
			if got := e.states[len(e.states)-3:]; !slices.Equal(got, []string{"PREPARE", "RUNNING", "FINISH"}) {
				t.Errorf("%s: %v", model, e.states)
			}
			if s := e.status().Job; s.SubtaskID == "" || s.SubtaskID == "0" || farm.Ledger()[0].SubtaskID != s.SubtaskID {
				t.Errorf("%s: a cloud print has the id %q", model, s.SubtaskID)
			}
		})
	}
}

// Pause, resume, and stop: by clients and at the screen.
func TestStop(t *testing.T) {
	for _, model := range []string{"A1", "P2S"} {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{}, model)
			p := farm.Printers()[0]
			e := listen(t, p, dial)
			e.pushAll()
			if err := p.Pause(); err == nil {
				t.Error("an idle printer paused")
			}
			if err := p.Storage().Put("/part.3mf", []byte("a 3mf")); err != nil {
				t.Fatal(err)
			}
			if a := e.ask("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"part","subtask_id":"4711","url":"ftp://part.3mf","use_ams":true,"ams_mapping":[-1,2]`); a.Result != bambu.OK {
				t.Fatalf("%s: start: %+v", model, a)
			}
			if a := e.ask("print", "pause", ""); a.Result != bambu.Failed {
				t.Errorf("%s: paused too early: %+v", model, a)
			}
			e.untilStatus(10*time.Minute, "layers", func(s bambu.Status) bool { return s.Job.Layer.Value > 5 })
			if got := e.status().Filament.Active; len(got) != 1 || got[0] != (bambu.Active{Slot: 2}) {
				t.Errorf("%s: prints from %+v", model, got)
			}
			if a := e.ask("print", "project_file", `,"param":"Metadata/plate_1.gcode","subtask_name":"again"`); a.Result != bambu.Failed {
				t.Errorf("%s: busy: %+v", model, a)
			}
			e.ask("print", "pause", "")
			e.untilStatus(10*time.Second, "pause", func(s bambu.Status) bool { return s.Job.GcodeState == "PAUSE" })
			layer := e.status().Job.Layer.Value
			time.Sleep(5 * time.Minute)
			e.ask("print", "resume", "")
			e.untilStatus(10*time.Second, "resume", func(s bambu.Status) bool { return s.Job.GcodeState == "RUNNING" })
			if now := e.status().Job.Layer.Value; now != layer {
				t.Errorf("%s: it printed while paused: %d, %d", model, layer, now)
			}
			e.ask("print", "stop", "")
			e.untilStatus(10*time.Second, "stop", func(s bambu.Status) bool { return s.Job.GcodeState == "FAILED" })
			if s := e.status(); s.Faults.PrintError == errCancelled || s.Job.Progress.Value != 0 {
				t.Errorf("%s: %+v %+v", model, s.Faults, s.Job)
			}
			e.untilStatus(10*time.Second, "echo", func(s bambu.Status) bool { return s.Faults.PrintError == errCancelled })
			time.Sleep(20 * time.Second)
			e.pushAll()
			if got := e.status().Faults.PrintError; (got == errCancelled) != (model == "P2S") {
				t.Errorf("%s: error %x", model, got)
			}
			if l := farm.Ledger(); len(l) != 1 || l[0].Outcome != "stopped" || l[0].SubtaskID != "4711" || l[0].Source != "mqtt" {
				t.Errorf("%s: ledger %+v", model, l)
			}
		})
	}
}

// Five printers, ten minutes: the stream never stops, nothing is lost.
func TestTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{RealLimits: true}, "A1", "P1S", "X1C", "H2D", "P2S")
		var ears []*ear
		for i, p := range farm.Printers() {
			e := listen(t, p, dial)
			e.pushAll()
			ears = append(ears, e)
			if i%2 == 0 {
				if err := p.Start(PrintJob{Name: "long", Minutes: 60}); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(10 * time.Minute)
		for i, e := range ears {
			reports := 0
			for len(e.frames) > 0 {
				if e.take(time.Second); e.err != nil {
					t.Fatal(e.err)
				}
				reports++
			}
			if reports < 250 || reports > 620 {
				t.Errorf("%s: %d reports", e.p.model.Code, reports)
			}
			if state := e.status().Job.GcodeState; (state == "RUNNING") != (i%2 == 0) {
				t.Errorf("%s: %s", e.p.model.Code, state)
			}
		}
	})
}
