package detect

import "testing"

// script is a table line: pictures, and what has to be told.
type script struct{ name, pictures, want string }

func playAll(t *testing.T, scripts []script) {
	t.Helper()
	for _, s := range scripts {
		t.Run(s.name, func(t *testing.T) {
			p := newPlayer(t)
			p.play(s.pictures)
			p.expect(s.want)
		})
	}
}

const (
	rest  = "fresh FINISH id=7 name=old file=old.3mf p=100 l=50 of=50 left=0\n"
	cube  = "+10 PREPARE id=8 name=cube file=cube.3mf\n+20 RUNNING p=0 l=0 of=40 left=3600\n"
	began = "A started id=8 name=cube file=cube.3mf\n"
)

func TestLife(t *testing.T) {
	playAll(t, []script{
		{"a whole print", rest + cube + "+900 p=26 l=10 left=2700\n+900 p=50 l=20 left=1800\n+900 p=75 l=30\n+900 FINISH p=100 l=40 left=0", began + `
			A progress 25
			A progress 50
			A progress 75
			A finished success at 100/40 began=3620`},
		{"the numbers of the print before are not its own", rest + cube + "+5 FAILED err=0300400C", began + "A finished stopped began=25"},
		{"stale numbers while it runs", rest + "+1 RUNNING id=8 name=cube of=40\n+2 p=100 l=50\n+3 p=0 l=1\n+9 FAILED err=03008004", `
			A started id=8 name=cube file=old.3mf
			fault_raised 0300-8004 serious in A
			A finished failed at 0/1 (The filament ran out. Load more. (0300-8004)) began=14`},
		{"terminal at first sight", rest + "+5\n+400", ""},
		{"idle at first sight", "fresh IDLE id=0 name= file=\n+5 fresh\n+500", ""},
		{"nothing was seen when it began", "fresh RUNNING id=8 name=cube file=cube.3mf p=50 l=20 of=40 left=600\n+60 p=76\n+60 FINISH", `
			A observed id=8 name=cube file=cube.3mf ~ began=600
			A progress 75
			A finished success at 76/20 began=720`},
		{"observed without numbers", "fresh RUNNING name=cube\n+60 FINISH", "A observed name=cube ~\nA finished success"},
		{"observed paused", "fresh PAUSE id=8 name=cube\n+5 RUNNING", "A observed id=8 name=cube ~\nA paused\nA resumed"},
		{"observed in a known journal", rest + "+1200 fresh RUNNING id=8 name=cube p=10 of=40 left=5400", "A observed id=8 name=cube file=old.3mf ~ began=600"},
		{"it cannot have begun before the last picture", rest + "+60 fresh RUNNING id=8 name=cube p=10 of=40 left=5400", "A observed id=8 name=cube file=old.3mf ~ began=60"},
		{"observed while it prepares", rest + "+1200 fresh PREPARE id=8 name=cube", "A observed id=8 name=cube file=old.3mf ~ began=0"},
		{"pause and resume once each", rest + cube + "+5 PAUSE\n+5\n+5 RUNNING\n+5\n+5 PAUSE\n+5 RUNNING\n+5 FINISH", began + `
			A paused
			A resumed
			A paused
			A resumed
			A finished success began=55`},
		{"only the highest milestone", rest + cube + "+5 p=80\n+5 p=40\n+5 p=60\n+5 p=99\n+5 FINISH p=100", began + "A progress 75\nA finished success at 100/0 began=45"},
		{"duplicate frames", rest + "fresh\n" + cube + "+1\n+1\n+1 FINISH p=100\n+1\n+1\n+400 fresh", began + "A finished success at 100/0 began=23"},
		{"the same file again", rest + cube + "+5 FINISH\n+5 PREPARE id=9\n+5 RUNNING\n+5 FINISH", began + `
			A finished success began=25
			B started id=9 name=cube file=cube.3mf
			B finished success began=10`},
		{"the same file again without ids", "fresh FINISH id=0 name=cube\n+5 RUNNING\n+5 FINISH\n+5 RUNNING\n+5 FINISH", `
			A started name=cube
			A finished success began=5
			B started name=cube
			B finished success began=5`},
		{"ghost replay", rest + cube + "+5 FINISH\n+9999 RUNNING id=77", began + "A finished success began=25\nB started id=77 name=cube file=cube.3mf"},
		{"file changes its spelling", rest + cube + "+5 file=/data/Metadata/plate_1.gcode\n+5 FINISH", began + "A finished success began=30"},
		{"file becomes known", "fresh IDLE\n+5 RUNNING name=cube file=/data/Metadata/plate_2.gcode plate=2\n+5 file=cube.3mf", `
			A started name=cube file=/data/Metadata/plate_2.gcode plate=2
			A details name=cube file=cube.3mf plate=2`},
		{"internal jobs", "fresh IDLE name= file=\n+5 RUNNING file=/usr/etc/print/auto_cali.gcode\n+5 FINISH\n+5 RUNNING file=x name=auto_cali kind=system\n+5 FINISH kind=idle\n+5 fresh\n+400", ""},
		{"nothing names it, until something does", "fresh IDLE id=0 name= file=\n+5 RUNNING\n+5 name=cube", "A started name=cube"},
		{"nothing names it at first sight", "fresh RUNNING id= name=0 file=\n+5 name=cube", "A observed name=cube ~ began=5"},
		{"unknown words", rest + "+5 OFFLINE id=9\n" + cube + "+5 UNKNOWN\n+5 RUNNING\n+5 DANCING\n+5 FINISH", began + "A finished success began=40"},
		{"a gap is remembered over an unknown word", rest + "+5 fresh OFFLINE\n+5 RUNNING id=8 name=cube", "A observed id=8 name=cube file=old.3mf ~ began=10"},
		{"a printer that starts up proves nothing", rest + cube + "+5 p=30 l=12 left=1000\n+60 fresh INIT\n+5 IDLE", began + "A progress 25\nA finished unknown at 30/12 ~ began=90"},
		{"timelapse and plate come late", rest + cube + "+5 tl=off\n+5 tl=on plate=3\n+5 tl=off", began + `
			A details id=8 name=cube file=cube.3mf
			A details id=8 name=cube file=cube.3mf plate=3 tl`},
		{"clock set back", rest + cube + "-86400 p=30\n+5 FAILED\n+9 due\n+2 due", began + "A progress 25\nA finished failed at 30/0 ago=10 began=35"},
	})
}

// TestDiffers: a state that only knows the time and how far the print is needs no
// journal at once; one that waits for something does, although it told nothing.
func TestDiffers(t *testing.T) {
	p := newPlayer(t)
	p.play(running)
	for _, s := range []struct {
		picture string
		want    bool
	}{
		{"+5 p=21 l=9 left=1900", false},
		{"+5 fresh", false},
		{"+5 hms=05000400.00030057", true},
		{"+5 OFFLINE hms=", true},
		{"+5 RUNNING", false},
		{"+5 FAILED", true},
		{"+5", false},
	} {
		before := p.state
		if p.play(s.picture); p.state.Differs(before) != s.want {
			t.Errorf("after %q: differs is %v", s.picture, !s.want)
		}
	}
}

// BenchmarkStep is a printer in the middle of a print, with two complaints.
func BenchmarkStep(b *testing.B) {
	p := newPlayer(b)
	p.play(running + "+5 hms=03000100.00030001,03000100.00030002")
	for i := range b.N {
		p.status.Job.Progress.Value = 21 + i&1
		p.state.Step(Input{Status: p.status, AtMS: p.now * 1000})
	}
	b.ReportAllocs()
}

func TestIdentity(t *testing.T) {
	playAll(t, []script{
		{"id comes late", "fresh FINISH id=0 name=old p=100\n+5 PREPARE file=cube.3mf kind=cloud\n+9 RUNNING p=0\n+170 id=8 name=cube\n+60 p=30", `
			A started name=old file=cube.3mf kind=cloud
			A details id=8 name=cube file=cube.3mf kind=cloud
			A progress 25`},
		{"id and name lag one print behind", rest + cube + "+5 FINISH\n+5 PREPARE\n+5 id=9 name=ball file=ball.3mf\n+5 RUNNING", began + `
			A finished success began=25
			B started name=cube file=cube.3mf
			B details id=9 name=ball file=ball.3mf`},
		{"id lags into the print", rest + cube + "+5 FINISH\n+5 RUNNING p=0\n+90 p=10\n+5 id=9 name=ball\n+5 fresh FINISH", began + `
			A finished success began=25
			B started name=cube file=cube.3mf
			B details id=9 name=ball file=cube.3mf
			B finished success at 10/0 ~ ago=5 began=100`},
		{"id of an earlier print in a new journal", "fresh PREPARE id=7 name=old\n+5 id=8 name=cube\n+5 RUNNING", "A observed id=7 name=old ~ began=0\nA details id=8 name=cube"},
		{"ids that identify nothing", "fresh FINISH id=0 name=cube\n+5 RUNNING id=000\n+5 id=\n+5 id=junk\n+5 id=0\n+5 id=-1\n+5 FINISH", "A started name=cube\nA finished success began=25"},
		{"taken while it still says FINISH", rest + "+5 id=8\n+200\n+10 RUNNING name=cube", "A started id=8 name=cube file=old.3mf"},
		{"seen by a restart while it still says FINISH", rest + "+5 fresh id=8\n+200\n+10 RUNNING name=cube\n+500", "A started id=8 name=cube file=old.3mf"},
		{"taken and never begun", rest + "+5 id=8\n+400\n+5 fresh\n+400\n+5 RUNNING", "A started id=8 name=old file=old.3mf"},
		{"a new journal sees an id that stays", rest + "+5 PREPARE name=cube\n+5 RUNNING p=0\n+30\n+30 p=1", "A started name=cube file=old.3mf\nA details id=7 name=cube file=old.3mf"},
		{"restart while paused", rest + cube + "+5 PAUSE\n+600 fresh\n+5 RUNNING", began + "A paused\nA resumed"},
		{"paused and resumed in a gap", rest + cube + "+5 PAUSE\n+600 fresh RUNNING", began + "A paused\nA resumed"},
		{"reconnect", rest + cube + "+5 p=30\n+600 fresh p=60\n+5", began + "A progress 25\nA progress 50"},
		{"reconnect without ids", "fresh FINISH id=0 name=old p=100 of=9\n+5 RUNNING name=cube p=0 left=1000\n+90 p=30 l=3\n+600 fresh p=60 l=5", "A started name=cube\nA progress 25\nA progress 50"},
		{"another id after a gap", rest + cube + "+90 p=30 l=9\n+600 fresh id=9 name=ball p=10 l=2 left=2700", began + `
			A progress 25
			A finished unknown at 30/9 ~ began=710
			B observed id=9 name=ball file=cube.3mf ~ began=300`},
		{"another id without a gap", rest + cube + "+90 p=30 l=9\n+6 id=9 name=ball p=0", began + `
			A progress 25
			A finished unknown at 30/9 ~ began=116
			B started id=9 name=ball file=cube.3mf`},
		{"no ids, went back", "fresh FINISH id=0 name=cube p=100\n+5 RUNNING p=0 l=0 left=1000\n+90 p=30 l=30\n+600 fresh p=1 l=1 left=990", `
			A started name=cube
			A progress 25
			A finished unknown at 30/30 ~ began=690
			B observed name=cube ~ began=10`},
		{"no ids, object by object", "fresh FINISH id=0 name=cube p=100\n+5 RUNNING p=0 l=0 left=1000\n+90 p=30 l=30\n+600 fresh p=40 l=1", "A started name=cube\nA progress 25"},
		{"no ids, another name", "fresh FINISH id=0 name=old p=100\n+5 RUNNING name=cube p=0 l=0 left=1000\n+90 p=30 l=30\n+600 fresh name=ball p=40 left=900", `
			A started name=cube
			A progress 25
			A finished unknown at 30/30 ~ began=690
			B observed name=ball ~ began=600`},
		{"no ids, only the spelling", "fresh FINISH id=0 name=old p=100\n+5 RUNNING name=a_cube.3mf p=0 l=0\n+90 p=10\n+600 fresh name=a·cube p=20", "A started name=a_cube.3mf\nA details name=a cube"},
		{"no ids, it prepares", "fresh FINISH id=0 name=cube p=100\n+5 RUNNING p=0 left=1000\n+90 p=30\n+2000 fresh PREPARE p=100", `
			A started name=cube
			A progress 25
			A finished unknown at 30/0 ~ began=2090
			B observed name=cube ~ began=0`},
		{"calibration after a gap", rest + cube + "+90 p=10\n+600 fresh file=/usr/cali.gcode\n+5 FINISH", began + "A finished unknown at 10/0 ~ began=710"},
		{"calibration without a gap", rest + cube + "+90 p=10\n+6 file=/usr/cali.gcode\n+5 FINISH", began + "A finished success at 10/0 began=121"},
	})
}

// Each multiple of 5 is told once, and of several that are passed at once the highest.
func TestMilestones(t *testing.T) {
	for _, s := range []script{
		{"one after the other", rest + cube + "+5 p=1\n+5 p=4\n+5 p=5\n+5 p=6\n+5 p=9\n+5 p=10\n+5 p=14\n+5 FINISH p=100", began + "A progress 5\nA progress 10\nA finished success at 100/0 began=60"},
		{"several at once", rest + cube + "+5 p=24\n+5 p=93\n+5 FINISH p=100", began + "A progress 20\nA progress 90\nA finished success at 100/0 began=35"},
		{"never back", rest + cube + "+5 p=50\n+5 p=40\n+5 p=50\n+5 p=54\n+5 FINISH p=100", began + "A progress 50\nA finished success at 100/0 began=45"},
		{"never 100", rest + cube + "+5 p=99\n+5 p=100\n+5 FINISH", began + "A progress 95\nA finished success at 100/0 began=35"},
		{"not what nobody saw", "fresh RUNNING id=8 name=cube file=cube.3mf p=52 l=20 of=40 left=600\n+60 p=54\n+60 p=55\n+60 FINISH", `
			A observed id=8 name=cube file=cube.3mf ~ began=650
			A progress 55
			A finished success at 55/20 began=830`},
	} {
		t.Run(s.name, func(t *testing.T) {
			p := newPlayer(t)
			p.every = true
			p.play(s.pictures)
			p.expect(s.want)
		})
	}
}

// A journal of a release that knew only 25, 50 and 75 goes on with the finer ones.
func TestMilestonesAfterAnUpgrade(t *testing.T) {
	p := newPlayer(t)
	p.play(rest + cube + "+5 p=25")
	p.state.Open.Mark, p.every = 25, true
	p.play("+5 p=29\n+5 p=31")
	p.expect(began + "A progress 25\nA progress 30")
}
