package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bambuddy/shared/simprinter"
)

func TestAReportArrives(t *testing.T) {
	inBubble(t, []string{"X1C", "A1", "H2D", "P1S", "A1MINI", "P2S"}, func(r *rig) {
		for i := range 6 {
			s := r.awaitState(i+1, "idle", 20*time.Second)
			if !s.Connected || s.Firmware == nil || s.Temps.Nozzle == nil || s.Temps.Bed == nil || s.WiFi == nil || len(s.AMS) != 1 {
				t.Errorf("printer %d: %+v", i+1, s)
			}
		}
		if err := r.printers.Printers()[0].Start(simprinter.PrintJob{Name: "benchy", Minutes: 4, Source: "slicer"}); err != nil {
			t.Fatal(err)
		}
		r.awaitState(1, "printing", time.Minute)
		r.awaitState(1, "finished", 15*time.Minute)
		if s := r.status(1); s.Progress != 0 || *s.GcodeState != "FINISH" {
			t.Errorf("after the print: %+v", s)
		}
		r.await("states on the stream", time.Minute, func() bool { r.feed.mu.Lock(); defer r.feed.mu.Unlock(); return r.feed.states > 20 })
		if got := r.feed.kinds(2); !slices.Equal(got, []string{"printer_added", "printer_updated", "printer_online"}) && !slices.Equal(got, []string{"printer_added", "printer_online", "printer_updated"}) {
			t.Errorf("events of printer 2: %v", got)
		}
	})
}

func TestARefreshReachesThePrinter(t *testing.T) {
	inBubble(t, []string{"X1C"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		var answer struct{ Status string }
		r.must("POST", "/api/v1/printers/1/refresh-status", nil, &answer, 200)
		if answer.Status != "refresh_requested" {
			t.Errorf("answer %+v", answer)
		}
		r.must("POST", "/api/v1/printers/9/refresh-status", nil, nil, 404)
		r.sims.stop() // the printers lose their power
		r.awaitState(1, "offline", 3*time.Minute)
		r.must("POST", "/api/v1/printers/1/refresh-status", nil, nil, 400)
	})
}

func TestAPrinterGoesSilent(t *testing.T) {
	inBubble(t, []string{"X1C", "A1"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		r.awaitState(2, "idle", 20*time.Second)
		if err := r.printers.Printers()[0].Fault("silent", 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		s := r.awaitState(1, "offline", 2*time.Minute)
		if s.Connection.State == "online" || s.Temps.Bed == nil {
			t.Errorf("a silent printer: %+v", s)
		}
		r.await("the offline event", 3*time.Minute, func() bool { return r.feed.count("printer_offline") == 1 })
		r.awaitState(1, "idle", 15*time.Minute)
		r.await("the online event", time.Minute, func() bool { return r.feed.count("printer_online") == 3 })
		if s := r.status(2); !s.Connected {
			t.Errorf("the other printer suffered: %+v", s)
		}
	})
}

func TestAnAgentLosesItsNetworkForTenMinutes(t *testing.T) {
	inBubble(t, []string{"X1C", "A1"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		r.awaitState(2, "idle", 20*time.Second)
		r.network.Cut(wan(0))
		s := r.awaitState(1, "offline", 2*time.Minute)
		if s.AgentConnected || s.Temps.Bed == nil || s.LastSeen == nil {
			t.Errorf("a printer out of contact: %+v", s)
		}
		if s := r.status(2); !s.Connected {
			t.Errorf("the other site suffered: %+v", s)
		}
		if err := r.printers.Printers()[0].Start(simprinter.PrintJob{Name: "meanwhile", Minutes: 120, Source: "screen"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		r.network.Heal(wan(0))
		r.awaitState(1, "printing", 3*time.Minute) // what happened meanwhile is there at once
		for kind, want := range map[string]int{"agent_offline": 1, "printer_offline": 1, "agent_online": 3, "printer_online": 3} {
			r.await(fmt.Sprintf("%d × %s", want, kind), time.Minute, func() bool { return r.feed.count(kind) == want })
		}
	})
}

func TestHubAndAgentRestart(t *testing.T) {
	inBubble(t, []string{"X1C", "A1"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		r.awaitState(2, "idle", 20*time.Second)
		r.hub.stop()
		time.Sleep(30 * time.Second)
		r.hub.start()
		r.await("the hub", 10*time.Second, func() bool { return r.try("GET", "/health", nil, nil) == 200 })
		if s := r.status(1); s.Temps.Bed == nil || s.LastSeen == nil {
			t.Errorf("the hub has forgotten what it knew: %+v", s)
		}
		r.awaitState(1, "idle", 90*time.Second)
		r.awaitState(2, "idle", 90*time.Second)
		// An agent starts from its sealed copy, without the hub.
		r.hub.stop()
		r.agents[0].stop()
		r.agents[0].start()
		r.await("sessions without the hub", time.Minute, func() bool { return r.printers.Printers()[0].Clients() == 1 })
		r.hub.start()
		r.await("the hub", 10*time.Second, func() bool { return r.try("GET", "/health", nil, nil) == 200 })
		r.awaitState(1, "idle", 90*time.Second)
		time.Sleep(5 * time.Minute)
		if n := r.feed.count("printer_offline") + r.feed.count("agent_offline"); n != 0 {
			t.Errorf("restarts gave %d offline events: %v", n, r.feed.kinds(1))
		}
	})
}

func TestAWrongAccessCode(t *testing.T) {
	inBubble(t, []string{"X1C", "A1"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		r.must("PATCH", "/api/v1/printers/1", map[string]any{"access_code": "00000000"}, nil, 200)
		r.await("the fault told", time.Minute, func() bool { return r.status(1).Connection.State == "wrong_access_code" })
		if s := r.status(1); s.State != "offline" || s.Connection.Detail == nil {
			t.Errorf("status: %+v", s)
		}
		r.must("PATCH", "/api/v1/printers/1", map[string]any{"access_code": r.printers.Printers()[0].Spec().AccessCode}, nil, 200)
		r.awaitState(1, "idle", time.Minute)
		// Another printer at the address: told apart, and its code is never sent there.
		r.must("PATCH", "/api/v1/printers/1", map[string]any{"ip_address": "192.0.2.2"}, nil, 200)
		r.await("the other fault told", time.Minute, func() bool { return r.status(1).Connection.State == "wrong_serial" })
		if r.log.count(r.printers.Printers()[0].Spec().AccessCode) != 0 {
			t.Error("the access code stands in a log")
		}
	})
}

func TestAClonedAgent(t *testing.T) {
	inBubble(t, []string{"X1C"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		dir := filepath.Join(r.root, "clone")
		copyDir(t, r.agentDir(0), dir)
		if err := os.Remove(filepath.Join(dir, "agent.lock")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		clone := r.agent(0, dir)
		clone.start()
		defer clone.stop()
		var agents []struct {
			Connected bool `json:"connected"`
			Duplicate bool `json:"duplicate_identity"`
		}
		r.await("the duplicate shown", time.Minute, func() bool {
			r.must("GET", "/api/v1/agents", nil, &agents, 200)
			return agents[0].Duplicate
		})
		if !agents[0].Connected {
			t.Error("the clone drove the first one away")
		}
		r.await("the duplicate event", time.Minute, func() bool { return r.feed.count("agent_duplicate") == 1 })
		if s := r.status(1); !s.Connected {
			t.Errorf("the printer suffered: %+v", s)
		}
		r.agents[0].stop() // the clone may take over when the other is gone
		r.awaitState(1, "idle", 3*time.Minute)
	})
}

func TestOneLaneDies(t *testing.T) {
	inBubble(t, []string{"X1C"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		lanes := r.network.Conns(wan(0))
		if len(lanes) != 2 {
			t.Fatalf("%d sockets to the hub, want 2", len(lanes))
		}
		for _, lane := range lanes {
			lane.Reset()
			time.Sleep(100 * time.Millisecond)
			r.await("both lanes of both agents", 3*time.Minute, func() bool { return r.connectedAgents() == 2 })
			r.awaitState(1, "idle", time.Minute)
			r.must("POST", "/api/v1/printers/1/refresh-status", nil, nil, 200)
		}
		time.Sleep(2 * time.Minute)
		if n := r.feed.count("printer_offline") + r.feed.count("agent_offline"); n != 0 {
			t.Errorf("a short loss gave %d offline events", n)
		}
	})
}

func TestAnOlderConfigRemovesNothing(t *testing.T) {
	inBubble(t, []string{"X1C", "A1"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		r.hub.stop()
		backup := filepath.Join(r.root, "backup")
		copyDir(t, r.hubDir(), backup)
		r.hub.start()
		r.await("the hub", 10*time.Second, func() bool { return r.try("GET", "/health", nil, nil) == 200 })
		r.awaitState(1, "idle", 90*time.Second)
		r.must("PATCH", "/api/v1/printers/1", map[string]any{"name": "changed after the backup"}, nil, 200)
		time.Sleep(10 * time.Second) // the agent has it
		r.hub.stop()
		if err := os.RemoveAll(r.hubDir()); err != nil {
			t.Fatal(err)
		}
		copyDir(t, backup, r.hubDir())
		r.hub.start() // restored from an older backup
		r.await("the hub", 10*time.Second, func() bool { return r.try("GET", "/health", nil, nil) == 200 })
		r.awaitState(1, "idle", 90*time.Second)
		var agents []struct {
			Problem *string `json:"config_problem"`
		}
		r.must("GET", "/api/v1/agents", nil, &agents, 200)
		if agents[0].Problem == nil || agents[1].Problem != nil {
			t.Errorf("the agents' config problems: %+v", agents)
		}
	})
}

func TestPrintersComeMoveAndGo(t *testing.T) {
	inBubble(t, []string{"X1C", "A1"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		first := r.printers.Printers()[0]
		r.must("PATCH", "/api/v1/printers/1", map[string]any{"agent_id": 2}, nil, 200) // both agents reach every printer here
		r.awaitState(1, "idle", time.Minute)
		r.await("one session only", time.Minute, func() bool { return first.Clients() == 1 })
		r.must("DELETE", "/api/v1/printers/1", nil, nil, 200)
		r.await("no session left", time.Minute, func() bool { return first.Clients() == 0 })
		r.must("GET", "/api/v1/printers/1", nil, nil, 404)
		r.register(r.printers.Inventory()[0], 1)
		r.awaitState(3, "idle", time.Minute)
		r.must("POST", "/api/v1/agents/1/revoke", nil, nil, 200)
		r.awaitState(3, "offline", time.Minute)
		r.must("POST", "/api/v1/printers/3/refresh-status", nil, nil, 400)
		if s := r.status(2); !s.Connected {
			t.Errorf("the other agent's printer suffered: %+v", s)
		}
	})
}

func TestAPrinterIsNotTakenFromAnAgentOutOfContact(t *testing.T) {
	inBubble(t, []string{"X1C"}, func(r *rig) {
		r.awaitState(1, "idle", 20*time.Second)
		r.network.Cut(wan(0))
		r.awaitState(1, "offline", 2*time.Minute)
		move := map[string]any{"agent_id": 2}
		r.must("PATCH", "/api/v1/printers/1", move, nil, 409)
		r.must("PATCH", "/api/v1/printers/1?force=true", move, nil, 200)
		r.awaitState(1, "idle", time.Minute)
		r.network.Heal(wan(0))
		r.await("the former agent let go", 3*time.Minute, func() bool { return r.printers.Printers()[0].Clients() == 1 })
		if s := r.status(1); !s.Connected {
			t.Errorf("after the former agent came back: %+v", s)
		}
	})
}

func TestHostileReportsHarmNobody(t *testing.T) {
	inBubble(t, []string{"X1C", "A1", "P1S", "A1MINI", "H2D"}, func(r *rig) {
		for i := range 5 {
			r.awaitState(i+1, "idle", 20*time.Second)
		}
		for i, kind := range []string{"garbage", "non_utf8", "oversized", "hostile"} {
			if err := r.printers.Printers()[i].Fault(kind, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(30 * time.Second)
		if s := r.status(5); !s.Connected {
			t.Errorf("a well-behaved printer suffered: %+v", s)
		}
		for i := range 4 {
			r.awaitState(i+1, "idle", 5*time.Minute)
		}
	})
}
