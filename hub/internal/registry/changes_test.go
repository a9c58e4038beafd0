package registry

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"bambuddy/shared/farm"
)

// Two people change one printer at once: neither may undo what the other did, and
// the picture ends as the rows do.
func TestChangesAtOnceKeepEachOther(t *testing.T) {
	r := newRig(t)
	a, b := r.agent(farm.DefaultSiteID), r.agent(farm.DefaultSiteID)
	n := example("S01")
	n.AgentID = &a.ID
	p := r.add(n)
	const times = 20
	var wg sync.WaitGroup
	for _, change := range []func(i int) PrinterChange{
		func(i int) PrinterChange { return PrinterChange{Name: to(fmt.Sprintf("name %d", i))} },
		func(i int) PrinterChange { return PrinterChange{Location: to(fmt.Sprintf("shelf %d", i))} },
		func(i int) PrinterChange { return PrinterChange{Tags: &[]string{fmt.Sprint(i)}} },
		func(i int) PrinterChange { return PrinterChange{AgentID: []*int64{&a.ID, &b.ID}[i%2]} },
	} {
		wg.Go(func() {
			for i := range times {
				if _, err := r.ChangePrinter(t.Context(), p.ID, change(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := r.db.Printer(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	last := fmt.Sprint(times - 1)
	if got.Name != "name "+last || got.Location != "shelf "+last || got.Tags[0] != last || got.AgentID != b.ID {
		t.Errorf("changes were lost: %+v", got)
	}
	if !reflect.DeepEqual(got, r.live.printers[p.ID]) {
		t.Errorf("the picture has %+v, the row is %+v", r.live.printers[p.ID], got)
	}
	if want := p.Fence + times - 1; got.Fence != want { // the first of its moves leads where the printer is
		t.Errorf("fence %d, want %d", got.Fence, want)
	}
}

// A printer that is added while an agent enrols must find the agent or be found.
func TestNoPrinterIsForgottenWhileAnAgentEnrols(t *testing.T) {
	for range 10 {
		r := newRig(t)
		var a farm.Agent
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if _, err := r.AddPrinter(t.Context(), example(fmt.Sprintf("S0%d", i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() { a = r.agent(farm.DefaultSiteID) })
		wg.Wait()
		for _, p := range r.live.printers {
			if p.AgentID != a.ID || p.Fence == 0 {
				t.Errorf("nobody holds %+v", p)
			}
		}
	}
}

// A database that fails is not a site that is missing.
func TestADatabaseFaultIsNotTheCallersFault(t *testing.T) {
	r := newRig(t)
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	n := example("S01")
	n.SiteID = to(farm.DefaultSiteID)
	_, err := r.AddPrinter(t.Context(), n)
	r.wantError(err, farm.Internal, "closed")
}

func TestReportedBeatsGivenBeatsSerial(t *testing.T) {
	r := newRig(t)
	a := r.agent(farm.DefaultSiteID)
	p := r.add(example("01P00A000000001"))
	steps := []struct {
		want string
		do   func() error
	}{
		{"P1S", func() error { return nil }},
		{"X1C", func() error {
			_, err := r.ChangePrinter(t.Context(), p.ID, PrinterChange{Model: to("X1 Carbon")})
			return err
		}},
		{"A1", func() error { return r.db.SetPrinterModel(t.Context(), p.ID, "A1") }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatal(err)
		}
		c, err := r.AgentConfig(t.Context(), a.ID)
		if err != nil || c.Printers[0].Model != s.want {
			t.Errorf("the agent is told %q, %v; want %q", c.Printers[0].Model, err, s.want)
		}
	}
}

// The code lies sealed, opens for its own printer alone, and a new one takes its place.
func TestAccessCodesAtRest(t *testing.T) {
	r := newRig(t)
	a := r.agent(farm.DefaultSiteID)
	n := example("S01")
	n.AccessCode = "hunter2"
	first, second := r.add(n), r.add(example("S02"))
	files, err := filepath.Glob(filepath.Join(r.dir, "bambuddy.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("database files: %v, %v", files, err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil || bytes.Contains(content, []byte("hunter2")) {
			t.Errorf("%s: %v, or the code lies open in it", f, err)
		}
	}
	codes := func() map[int64][]byte {
		rows, err := r.db.AgentConfig(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		return rows.Codes
	}
	if _, err := r.db.UpdatePrinter(t.Context(), second, codes()[first.ID]); err != nil { // a row moved by hand
		t.Fatal(err)
	}
	if _, err := r.ChangePrinter(t.Context(), first.ID, PrinterChange{AccessCode: to(farm.Secret("87654321"))}); err != nil {
		t.Fatal(err)
	}
	c, err := r.AgentConfig(t.Context(), a.ID)
	if err != nil || len(c.Printers) != 1 || c.Printers[0].Serial != "S01" || c.Printers[0].AccessCode.Reveal() != "87654321" {
		t.Errorf("config: %+v, %v", c.Printers, err)
	}
}

func TestWhereAPrinterMayStand(t *testing.T) {
	for address, ok := range map[string]bool{
		"192.168.1.5": true, "127.0.0.1": true, "fe80::1": true, "fe80::1%eth0": true, "printer": true, "p1s.lan": true,
		"a-b.example.org.": true, "my_printer": true,
		"": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "[fe80::1]": false, "fe80::1:": false, "p1s.lan:8883": false,
		"mqtt://p1s": false, "a b": false, "-a": false, "a..b": false, "1.2.3": false, "1.2.3.4.5": false, "a/b": false, "a@b": false,
		"ä.example": false,
	} {
		if isHost(address) != ok {
			t.Errorf("%q: %v", address, !ok)
		}
	}
}
