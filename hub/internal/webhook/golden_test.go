package webhook

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/hub/internal/fleet"
	"bambuddy/hub/internal/prints"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// printStore is the database as prints want it.
type printStore struct{ *store.DB }

func (s printStore) ApplyPrints(ctx context.Context, agentID int64, epoch string, fn func(prints.Tx) error) error {
	return s.DB.ApplyPrints(ctx, agentID, epoch, func(t *store.PrintTx) error { return fn(t) })
}

// workshop is an agent with a printer, and what follows from its reports.
type workshop struct {
	*rig
	agent   farm.Agent
	printer farm.Printer
	prints  *prints.Prints
	fleet   *fleet.Fleet
	records int64
}

func newWorkshop(t *testing.T, r *rig) *workshop {
	t.Helper()
	ctx := t.Context()
	s := &workshop{rig: r}
	hash := [32]byte{1}
	_, err := r.db.CreateEnrolment(ctx, farm.Enrolment{SiteID: 1, SecretHash: hash, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute)})
	if err == nil {
		s.agent, err = r.db.RedeemEnrolment(ctx, hash, farm.Agent{UID: "a", Name: "workshop-pi", PublicKey: []byte{1}})
	}
	if err == nil {
		s.printer, err = r.db.CreatePrinter(ctx, farm.Printer{
			Serial: "01P00A000000001", Name: "Workshop X1C", Address: "192.168.1.100", MQTTPort: 8883, FTPSPort: 990, SiteID: 1, AgentID: s.agent.ID, Tags: []string{},
		}, []byte("x"))
	}
	s.prints = prints.New(prints.Options{
		Store: printStore{r.db}, Events: r.log, Settled: func(int64, int64) {}, Wanted: func() {}, Log: quiet(),
		Milestones: func() []int { return []int{25, 50, 75} },
	})
	s.fleet = fleet.New(fleet.Options{Store: r.db, Log: quiet()})
	if err == nil {
		err = s.fleet.Load(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	living, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { _ = s.fleet.Run(living) })
	r.servers = append(r.servers, func() { cancel(); done.Wait() })
	return s
}

// says applies a record of now.
func (s *workshop) says(kind wire.RecordKind, run string, change func(*wire.PrintRecord)) {
	s.t.Helper()
	p := &wire.PrintRecord{RunID: run, Seq: s.records + 1, SubtaskID: run, Name: "benchy", File: "/data/Metadata/plate_1.gcode", PrintKind: "local"}
	if change != nil {
		change(p)
	}
	s.apply(wire.OutboxRecord{Kind: kind, Print: p})
}

func (s *workshop) apply(r wire.OutboxRecord) {
	s.t.Helper()
	now := time.Now()
	s.records++
	r.N, r.Serial, r.Fence, r.ProcessID, r.MonoMS, r.WallMS = s.records, s.printer.Serial, s.printer.Fence, "boot", now.UnixMilli(), now.UnixMilli()
	page := wire.OutboxPage{
		Epoch: "e", First: 1, Last: r.N, Records: []wire.OutboxRecord{r}, Clock: wire.Clock{WallMS: now.UnixMilli(), MonoMS: now.UnixMilli(), ProcessID: "boot"},
	}
	if _, err := s.prints.Apply(s.t.Context(), s.agent, page, now); err != nil {
		s.t.Fatal(err)
	}
	pass(time.Second)
}

func ends(outcome wire.Outcome, why string) func(*wire.PrintRecord) {
	return func(p *wire.PrintRecord) { p.Outcome, p.Reason = outcome, why }
}

// A body for every event there is, made by what makes events. Refresh the file with:
// go test ./hub/internal/webhook -run Golden -update
func TestGoldenBodies(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		e := r.listen("a", nil)
		w, _ := r.hook("a")
		s := newWorkshop(t, r)
		s.fleet.AgentUp(s.agent.ID, wire.Hello{})
		s.fleet.Apply(s.agent.ID, wire.StateFrame{Serial: s.printer.Serial, Fence: s.printer.Fence, Whole: true, Connection: &wire.Connection{State: wire.Online}, Patch: bambu.Status{}.Whole()})
		pass(time.Minute)
		began := time.Now()
		s.says(wire.PrintStarted, "1", nil)
		s.says(wire.PrintProgress, "1", func(p *wire.PrintRecord) { p.Milestone, p.Progress = 25, bambu.Some(25) })
		s.says(wire.PrintPaused, "1", nil)
		s.says(wire.PrintResumed, "1", nil)
		pass(8100*time.Second - time.Since(began))
		s.says(wire.PrintFinished, "1", ends(wire.Success, ""))
		s.says(wire.PrintStarted, "2", nil)
		s.apply(wire.OutboxRecord{Kind: wire.FaultRaised, Fault: &wire.FaultRecord{Code: "0300-400C", Severity: "serious", Message: "The task was canceled."}})
		s.says(wire.PrintFinished, "2", ends(wire.Failed, "Spaghetti was detected."))
		s.apply(wire.OutboxRecord{Kind: wire.FaultCleared, Fault: &wire.FaultRecord{Code: "0300-400C", Severity: "serious", Message: "The task was canceled."}})
		s.says(wire.PrintStarted, "3", nil)
		s.says(wire.PrintFinished, "3", ends(wire.Aborted, ""))
		s.says(wire.PrintStarted, "4", nil)
		s.says(wire.PrintFinished, "4", ends(wire.Unknown, ""))
		s.fleet.AgentDown(s.agent.ID)
		pass(5 * time.Minute)
		r.listen("off", status(http.StatusNotFound))
		off, _ := r.hook("off")
		r.configure(func(c *Config) { c.DisableAfter = time.Minute })
		for range 5 {
			r.tell(farm.Event{Kind: farm.EventAgentOnline, SiteID: 1, AgentID: 1, Data: []byte(`{"agent_id":1,"agent_name":"workshop-pi"}`)})
			pass(time.Minute)
		}
		if got := r.now(off); got.Enabled {
			t.Errorf("%+v", got)
		}
		tried, err := r.Test(t.Context(), w.ID)
		if err != nil {
			t.Fatal(err)
		}

		// In the order of the log: those of different printers may overtake each other.
		var bodies []farm.Delivery
		bodies = append(bodies, r.kept(w, farm.DeliveryDelivered)...)
		bodies = append(bodies, farm.Delivery{Event: tried.Event, Body: tried.Body})
		if got := e.all(); len(got) != len(bodies) {
			t.Errorf("%d requests, %d bodies", len(got), len(bodies))
		}
		var lines, seen []string
		for _, v := range bodies {
			var body map[string]json.RawMessage
			if err := json.Unmarshal(v.Body, &body); err != nil || len(body) != 3 || body["event"] == nil || body["timestamp"] == nil || body["data"] == nil {
				t.Errorf("not exactly event, timestamp and data: %s", v.Body)
			}
			if again := v.Event == farm.EventAgentOnline && slices.Contains(seen, v.Event); !again {
				lines = append(lines, string(v.Body))
			}
			seen = append(seen, v.Event)
		}
		for _, kind := range append([]string{farm.EventWebhookTest}, farm.WebhookEvents...) {
			if !slices.Contains(seen, kind) {
				t.Errorf("there was no %s", kind)
			}
		}
		const file = "testdata/bodies.jsonl"
		got := strings.Join(lines, "\n") + "\n"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != got {
			t.Errorf("the bodies differ from %s; if that is meant, run with -update and look at the difference:\n%s", file, got)
		}
	})
}

// The body of the reference, key for key: what somebody's program has been written for.
func TestTheReferencesBody(t *testing.T) {
	const want = `{"event":"print_complete","timestamp":"2024-01-15T14:30:00Z","data":{"printer_id":1,"printer_name":"Workshop X1C","archive_id":123,"filename":"benchy.3mf","duration":8100,"status":"success"}}`
	got, err := Body(farm.EventPrintComplete, time.Date(2024, 1, 15, 15, 30, 0, 0, time.FixedZone("CET", 3600)),
		[]byte(`{"archive_id":123,"duration":8100,"filename":"benchy.3mf","printer_id":1,"printer_name":"Workshop X1C","status":"success"}`))
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant %s", err, got, want)
	}
}
