package detect

import "testing"

const running = rest + cube + "+100 p=20 l=8 left=2000\n"

func TestEnds(t *testing.T) {
	playAll(t, []script{
		{"stopped, told five seconds later", running + "+9 FAILED p=0 l=0\n+1\n+4 err=0300400C\n+9 err=0", began + "A finished stopped at 20/8 ago=5 began=134"},
		{"stopped, told by a health message", running + "+9 FAILED\n+4 hms=05000400.00030057", began + "A finished stopped at 20/8 ago=4 began=133"},
		{"stopped through us", running + "+9 stop\n+1 FAILED", began + "A finished stopped at 20/8 began=130"},
		{"the answer to stop comes with the end", running + "+9 stop FAILED", began + "A finished stopped at 20/8 began=129"},
		{"the answer to stop comes after the end", running + "+9 FAILED\n+2 stop", began + "A finished stopped at 20/8 ago=2 began=131"},
		{"the echo comes before the end", running + "+9 err=0300400C\n+2 err=0 FAILED", began + "A finished stopped at 20/8 began=131"},
		{"the echo of the print before", rest + "+5 err=0300400C FAILED\n" + cube + "+100 p=20\n+9 FAILED\n+15 due", began + "A finished failed at 20/0 ago=10 began=139"},
		{"an old echo does not hide a new one", rest + "+5 hms=05000400.00030057\n" + cube + "+100 p=20\n+9 FAILED\n+3 err=0300400C", began + "A finished stopped at 20/0 ago=3 began=132"},
		{"a stop long ago", running + "+9 stop\n+600 FAILED\n+15 due", began + "A finished failed at 20/8 ago=10 began=739"},
		{"a stop that came too late", running + "+9 stop\n+1 FINISH p=100 l=40", began + "A finished success at 100/40 began=130"},
		{"failed with an error", running + "+9 FAILED err=03004006", began + "fault_raised 0300-4006 serious in A\nA finished failed at 20/8 (The nozzle is clogged. (0300-4006)) began=129"},
		{"failed with a health message", running + "+9 FAILED hms=0C00AAAA.00010001", began + "fault_raised HMS_0C00_AAAA_0001_0001 fatal in A\nA finished failed at 20/8 (The printer reports HMS_0C00_AAAA_0001_0001.) began=129"},
		{"failed without a reason", running + "+9 FAILED\n+60 due", began + "A finished failed at 20/8 ago=10 began=139"},
		{"failed, then the reason", running + "+9 FAILED\n+3 err=03004006", began + "fault_raised 0300-4006 serious in A\nA finished failed at 20/8 (The nozzle is clogged. (0300-4006)) ago=3 began=132"},
		{"paused by an error, then stopped", running + "+9 PAUSE err=03008004\n+20 FAILED err=0\n+5 err=0300400C", began + `
			fault_raised 0300-8004 serious in A
			A paused
			A finished stopped at 20/8 ago=5 began=154`},
		{"paused by an error, then given up", running + "+9 PAUSE err=03008004\n+20 FAILED\n+15 due", began + `
			fault_raised 0300-8004 serious in A
			A paused
			A finished failed at 20/8 (The filament ran out. Load more. (0300-8004)) ago=10 began=159`},
		{"a start ends the wait", running + "+9 FAILED\n+2 PREPARE id=9 name=ball", began + "A finished failed at 20/8 ago=2 began=131\nB started id=9 name=ball file=cube.3mf"},
		{"a restart does not", running + "+9 FAILED\n+2 fresh\n+3 err=0300400C", began + "A finished stopped at 20/8 ago=5 began=134"},
		{"a restart after the wait", running + "+9 FAILED\n+600 fresh", began + "A finished failed at 20/8 ago=600 began=729"},
		{"another picture ends the wait", running + "+9 FAILED\n+2 IDLE", began + "A finished failed at 20/8 ago=2 began=131"},
		{"another print after a gap ends the wait", running + "+9 FAILED\n+2000 fresh id=9 name=ball FINISH\n+301", began + `
			A finished failed at 20/8 ago=2000 began=2129
			B observed id=9 name=ball file=cube.3mf ~ ago=301
			B finished success at 20/8 ~ ago=301`},
		{"a calibration ends the wait", running + "+9 FAILED\n+2 RUNNING file=/usr/x", began + "A finished failed at 20/8 ago=2 began=131"},
		{"cancelled while paused", running + "+9 PAUSE\n+9 IDLE", began + "A paused\nA finished stopped at 20/8 began=138"},
		{"never began for an error", rest + "+5 PREPARE id=8 name=cube file=cube.3mf\n+5 IDLE err=05004003", began + "fault_raised 0500-4003 serious in A\nA finished failed (The printer could not read the print file. Send it again. (0500-4003)) began=5"},
		{"failed while it prepares", rest + "+5 PREPARE id=8 name=cube file=cube.3mf\n+5 FAILED\n+20 due", began + "A finished failed ago=10 began=15"},
		{"power cut", running + "+600 fresh IDLE id=0 name= file= p=0", began + "A finished unknown at 20/8 ~ began=720"},
		{"power cut, then it goes on", running + "+600 fresh IDLE\n+5 PAUSE\n+5 RUNNING", began + `
			A finished unknown at 20/8 ~ began=720
			B observed id=8 name=cube file=cube.3mf ~ began=725
			B paused
			B resumed`},
		{"stopped, then gone", running + "+9 stop\n+9 fresh IDLE", began + "A finished stopped at 20/8 ~ began=138"},
	})
}

func TestEndedAway(t *testing.T) {
	const lan = "fresh FINISH id=0 name=old p=100 l=50 of=50 left=0\n+5 RUNNING name=cube p=0 l=0 of=40 left=3000\n+600 p=20 l=8 left=2400\n"
	playAll(t, []script{
		{"success by id", running + "+5000 fresh FINISH p=100 l=40 left=0", began + "A finished success at 100/40 ~ ago=3000 began=5120"},
		{"success by id, sooner than worked out", running + "+500 fresh FINISH p=100 l=40", began + "A finished success at 100/40 ~ began=620"},
		{"failed by id", running + "+5000 fresh FAILED p=0 l=0\n+20 due", began + "A finished failed at 20/8 ~ ago=5010 began=5130"},
		{"failed by id, with the reason", running + "+500 fresh FAILED err=03004006", began + "fault_raised 0300-4006 serious in A\nA finished failed at 20/8 (The nozzle is clogged. (0300-4006)) ~ ago=500 began=620"},
		{"stopped by id", running + "+500 fresh FAILED err=0300400C", began + "A finished stopped at 20/8 ~ ago=500 began=620"},
		{"another id", running + "+5000 fresh FINISH id=9 name=ball p=100\n+299\n+1", began + `
			A finished unknown at 20/8 ~ began=5120
			B observed id=9 name=ball file=cube.3mf ~ ago=300
			B finished success at 100/8 ~ ago=300`},
		{"another id, that only begins", running + "+5000 fresh FINISH id=9 name=ball p=100\n+209 RUNNING p=0\n+500", began + "A finished unknown at 20/8 ~ began=5120\nB started id=9 name=ball file=cube.3mf"},
		{"no ids, within the time it takes", lan + "+2500 fresh FINISH p=100 l=40", "A started name=cube\nA finished success at 100/40 ~ ago=100 began=3100"},
		{"no ids, too long ago", lan + "+3100 fresh FINISH p=100 l=40", "A started name=cube\nA finished unknown at 20/8 ~ began=3700"},
		{"no ids, another name", lan + "+2500 fresh FINISH name=ball p=100\n+400", "A started name=cube\nA finished unknown at 20/8 ~ began=3100\nB observed name=ball ~ ago=400\nB finished success at 100/8 ~ ago=400"},
		{"no ids, another height", lan + "+2500 fresh FINISH of=60", "A started name=cube\nA finished unknown at 20/8 ~ began=3100"},
		{"no ids, nothing known of how far it was", "fresh FINISH id=0 name=old left=0\n+5 PREPARE name=cube\n+59 fresh FAILED err=05004003", `
			A started name=cube
			fault_raised 0500-4003 serious in A
			A finished failed (The printer could not read the print file. Send it again. (0500-4003)) ~ ago=59 began=59`},
		{"no ids, nothing known of how far it was, too long ago", "fresh FINISH id=0 name=old left=0\n+5 PREPARE name=cube\n+60 fresh FAILED\n+60", "A started name=cube\nA finished unknown ~ began=60"},
		{"no ids, stopped", lan + "+50 fresh FAILED err=0300400C", "A started name=cube\nA finished stopped at 20/8 ~ ago=50 began=650"},
		{"the id comes with the end", lan + "+50 fresh FINISH id=9\n+50\n+500 fresh\n+500", "A started name=cube\nA finished success at 20/8 ~ began=650"},
	})
}

func TestUnseen(t *testing.T) {
	const found = "A observed id=8 name=cube file=old.3mf ~ ago=300\n"
	playAll(t, []script{
		{"began and ended unseen", rest + "+5000 fresh id=8 name=cube\n+300 due\n+9999 due fresh", found + "A finished success at 100/50 ~ ago=300"},
		{"failed unseen", rest + "+5000 fresh FAILED id=8 name=cube\n+300 due", found + "A finished failed at 100/50 ~ ago=300"},
		{"stopped unseen", rest + "+5000 fresh FAILED id=8 name=cube err=0300400C\n+3 err=0\n+297 due", found + "A finished stopped at 100/50 ~ ago=300"},
		{"over a restart", rest + "+5000 fresh id=8 name=cube\n+100 fresh\n+200 fresh", found + "A finished success at 100/50 ~ ago=300"},
		{"the next begins", rest + "+5000 fresh id=8 name=cube\n+100 PREPARE id=9 name=ball", `
			A observed id=8 name=cube file=old.3mf ~ ago=100
			A finished success at 100/50 ~ ago=100
			B started id=9 name=ball file=old.3mf`},
		{"the next is taken", rest + "+5000 fresh id=8 name=cube\n+100 id=9 name=ball\n+50 RUNNING", `
			A observed id=8 name=cube file=old.3mf ~ ago=100
			A finished success at 100/50 ~ ago=100
			B started id=9 name=ball file=old.3mf`},
		{"and one more unseen", rest + "+5000 fresh id=8 name=cube\n+100 fresh id=9 name=ball\n+300", `
			A observed id=8 name=cube file=old.3mf ~ ago=100
			A finished unknown at 100/50 ~ ago=100
			B observed id=9 name=ball file=old.3mf ~ ago=300
			B finished success at 100/50 ~ ago=300`},
		{"begins while its id lags", rest + "+5000 fresh id=8 name=cube\n+100 PREPARE id=7\n+5 id=8", "A started name=cube file=old.3mf\nA details id=8 name=cube file=old.3mf"},
		{"another name without ids", "fresh FINISH id=0 name=old\n+5000 fresh name=cube\n+300", "A observed name=cube ~ ago=300\nA finished success ~ ago=300"},
		{"the same name without ids", "fresh FINISH id=0 name=old\n+5000 fresh name=old.3mf\n+300", ""},
		{"taken, then out of sight", rest + "+5 id=8 name=cube\n+5000 fresh\n+300", found + "A finished success at 100/50 ~ ago=300"},
		{"an id that was there before", rest + "+5 fresh\n+5000 fresh\n+300", ""},
		{"the id of the last print comes late", "fresh FINISH id=0 name=old\n+5 RUNNING\n+50 FINISH\n+5 fresh id=8 name=cube\n+400", "A started name=old\nA finished success began=50"},
		{"switched on", rest + "+5000 fresh IDLE id=0 name=\n+400", ""},
	})
}

func TestFaults(t *testing.T) {
	playAll(t, []script{
		{"raised once, cleared when gone", rest + "+5 hms=03000100.00020001\n+5\n+5 hms=\n+29\n+1 due\n+9", `
			fault_raised HMS_0300_0100_0002_0001 serious
			fault_cleared HMS_0300_0100_0002_0001 serious ago=30`},
		{"cleared when due", rest + "+5 err=03008004\n+5 err=0\n+500 due", "fault_raised 0300-8004 serious\nfault_cleared 0300-8004 serious ago=30"},
		{"flickers", rest + "+5 err=03008004\n+5 err=0\n+20 err=03008004\n+5 err=0\n+29 err=03008004\n+5 err=0\n+60 due err=03008004", `
			fault_raised 0300-8004 serious
			fault_cleared 0300-8004 serious ago=30
			fault_raised 0300-8004 serious`},
		{"again after it was cleared", rest + "+5 err=03008004\n+5 err=0\n+30\n+5 err=03008004", "fault_raised 0300-8004 serious\nfault_cleared 0300-8004 serious ago=30\nfault_raised 0300-8004 serious"},
		{"cancel echoes never", rest + "+5 err=0300400C hms=05000400.00030057\n+5 err=0500400E\n+5 err=0\n+60", ""},
		{"at first sight", "fresh IDLE err=03008004", "fault_raised 0300-8004 serious"},
		{"over a restart", rest + "+5 err=03008004\n+5 fresh\n+5 fresh err=0\n+5 fresh\n+30", "fault_raised 0300-8004 serious\nfault_cleared 0300-8004 serious ago=35"},
		{"twice in a list", rest + "+5 hms=03000100.00020001,03000100.00020001", "fault_raised HMS_0300_0100_0002_0001 serious"},
		{"of a print", rest + cube + "+5 hms=03000100.00030001\n+5 hms=\n+31", began + "fault_raised HMS_0300_0100_0003_0001 common in A\nfault_cleared HMS_0300_0100_0003_0001 common in A ago=31"},
	})
}
