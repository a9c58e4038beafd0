package printer

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/simprinter"
	"bambuddy/shared/wire"
)

// simulated is a session with a simulated printer.
type simulated struct {
	*Session
	sim *simprinter.Printer
	t   *testing.T
}

// meet runs a simulated printer and a session with it; both end with the returned
// function, inside the bubble.
func meet(t *testing.T, model string) (simulated, func()) {
	t.Helper()
	network := memnet.New()
	specs, err := simprinter.Specs(1, []string{model}, "192.168.1.9", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	printers, err := simprinter.NewFarm(specs, simprinter.Options{Listen: network.Listen})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- printers.Run(ctx) }()
	<-printers.Ready()
	spec := printers.Printers()[0].Spec()
	s := New(Config{
		Serial: spec.Serial, Address: spec.Address, MQTTPort: spec.MQTTPort, FTPSPort: 990, AccessCode: farm.Secret(spec.AccessCode), Fence: 1,
	}, Deps{Dial: network.Dialer("agent"), Pins: &memPins{}, Log: slog.New(slog.DiscardHandler), Changed: func() {}})
	stop, halt := context.WithCancel(context.Background())
	go func() { ended <- s.Run(stop) }()
	for range 20 {
		after(time.Second)
	}
	if c := s.Snapshot().Connection; c.State != wire.Online {
		t.Fatalf("%s is %+v", model, c)
	}
	return simulated{s, printers.Printers()[0], t}, func() {
		halt()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// expect does an act that the printer has to acknowledge, and waits for its
// effect in the reports.
func (s simulated) expect(c bambu.Control) {
	s.t.Helper()
	result, err := s.Do(context.Background(), c, time.Now().Add(5*time.Second))
	if err != nil || result.Confirmed != wire.ByAck {
		s.t.Errorf("%s: %+v, %v", c.Do, result, err)
		return
	}
	for range 30 {
		if done, visible := c.Done(s.Snapshot().Status); done || !visible {
			return
		}
		after(time.Second)
	}
	s.t.Errorf("%s: no effect in 30 s", c.Do)
}

func at(n int) *int { return &n }

// Every act that a model takes is acknowledged by the simulated printer of that
// model and shows in its reports.
func TestControlsOfEveryFamily(t *testing.T) {
	for _, model := range []string{"X1E", "P1S", "P2S", "A1MINI", "H2D", "X2D"} {
		t.Run(model, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, end := meet(t, model)
				defer end()
				m := s.Model()
				for _, c := range idleActs(m, s.Snapshot().Status) {
					s.expect(c)
				}
				after(time.Minute) // it is still homing
				if err := s.sim.Start(simprinter.PrintJob{Name: "benchy", Minutes: 60}); err != nil {
					t.Fatal(err)
				}
				for range 60 {
					after(time.Second)
				}
				for _, do := range []bambu.Do{bambu.DoPause, bambu.DoResume, bambu.DoStop} {
					s.expect(bambu.Control{Do: do})
					after(5 * time.Second)
				}
			})
		})
	}
}

func idleActs(m bambu.Model, status bambu.Status) []bambu.Control {
	acts := []bambu.Control{
		{Do: bambu.DoLight, On: true},
		{Do: bambu.DoLight},
		{Do: bambu.DoTemperature, Nozzle: at(200), Bed: at(55)},
		{Do: bambu.DoTemperature, Nozzle: at(0), Bed: at(0)},
		{Do: bambu.DoFan, Fan: "part", Percent: 40},
		{Do: bambu.DoHome},
		{Do: bambu.DoGcode, Gcode: "M400"},
		{Do: bambu.DoClearError},
	}
	if m.Nozzles > 1 {
		acts = append(acts, bambu.Control{Do: bambu.DoTemperature, Nozzle2: at(180)}, bambu.Control{Do: bambu.DoTemperature, Nozzle2: at(0)})
	}
	if m.AuxFan {
		acts = append(acts, bambu.Control{Do: bambu.DoFan, Fan: "aux", Percent: 70})
	}
	if m.ChamberHeater {
		acts = append(acts, bambu.Control{Do: bambu.DoTemperature, Chamber: at(45)}, bambu.Control{Do: bambu.DoTemperature, Chamber: at(0)})
	}
	for _, u := range status.Filament.Units {
		for _, slot := range u.Slots {
			if slot.Present {
				pla := bambu.FilamentSetting{Type: "PETG", Color: "00ff00"}
				return append(acts, bambu.Control{Do: bambu.DoFilament, AMS: &u.ID, Slot: &slot.ID, Filament: &pla})
			}
		}
	}
	return acts
}

func TestControlsOfFilament(t *testing.T) {
	for _, model := range []string{"P1S", "A1MINI", "H2D"} {
		t.Run(model, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, end := meet(t, model)
				defer end()
				unit, slot := -1, -1
				for _, u := range s.Snapshot().Status.Filament.Units {
					for _, held := range u.Slots {
						if held.Present && unit < 0 {
							unit, slot = u.ID, held.ID
						}
					}
				}
				if unit < 0 {
					t.Fatal("no spool")
				}
				s.expect(bambu.Control{Do: bambu.DoLoad, AMS: &unit, Slot: &slot})
				s.settle(fmt.Sprint(unit, slot))
				s.expect(bambu.Control{Do: bambu.DoUnload})
				s.settle(fmt.Sprint(-1, 0))
			})
		})
	}
}

// settle waits until the filament no longer moves, and looks at what is loaded.
func (s simulated) settle(want string) {
	s.t.Helper()
	got := ""
	for range 300 {
		after(time.Second)
		f := s.Snapshot().Status.Filament
		if f.Status.Or(0)>>8 != 1 && len(f.Active) > 0 {
			if got = fmt.Sprint(f.Active[0].Unit, f.Active[0].Slot); got == want || want == "-1 0" && f.Active[0].Unit < 0 {
				return
			}
		}
	}
	s.t.Errorf("loaded %s, want %s", got, want)
}

func TestReadOnlyFirmware(t *testing.T) {
	for _, model := range []string{"P1S", "X1C"} { // the first does not say so in its reports
		t.Run(model, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, end := meet(t, model)
				defer end()
				if err := s.sim.Fault("verification_on", 0); err != nil {
					t.Fatal(err)
				}
				for range 10 {
					after(time.Second)
				}
				_, err := s.Do(context.Background(), bambu.Control{Do: bambu.DoSpeed, Level: 3}, time.Now().Add(time.Second))
				if !farm.Is(err, farm.PrinterRefused) {
					t.Errorf("err = %v", err)
				}
			})
		})
	}
}
