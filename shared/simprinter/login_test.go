package simprinter

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/bambu"
)

func TestLogin(t *testing.T) {
	p := one(t, "P1S", Options{})
	if _, _, err := login(t, p, overTCP, "00000000"); err == nil || !strings.Contains(strings.ToLower(err.Error()), "not authorized") {
		t.Errorf("a wrong code: %v", err)
	}
	c, _, err := login(t, p, overTCP, p.Spec().AccessCode)
	if err != nil || !c.IsConnectionOpen() {
		t.Errorf("the right code: %v", err)
	}
	if n := p.Clients(); n != 1 {
		t.Errorf("%d clients", n)
	}
}

// A wrong serial number connects, and hears nothing.
func TestWrongSerial(t *testing.T) {
	p := one(t, "A1", Options{})
	_, e, err := login(t, p, overTCP, p.Spec().AccessCode)
	if err != nil {
		t.Fatal(err)
	}
	e.subscribe("device/03900A999999999/report")
	e.client.Publish("device/03900A999999999/request", 0, false, bambu.PushAll("1"))
	if f := e.take(3 * time.Second); f != nil {
		t.Errorf("heard %.60s", f)
	}
}

// P1 and A1 drop who listens to requests, others bear it.
func TestRequestListeners(t *testing.T) {
	for model, dropped := range map[string]bool{"P1S": true, "A1": true, "X1C": false, "H2D": false} {
		p := one(t, model, Options{})
		_, e, err := login(t, p, overTCP, p.Spec().AccessCode)
		if err != nil {
			t.Fatal(err)
		}
		token := e.client.Subscribe("device/"+p.Spec().Serial+"/request", 0, nil)
		token.WaitTimeout(5 * time.Second)
		if dropped {
			e.gone()
		}
		if e.client.IsConnectionOpen() == dropped {
			t.Errorf("%s: dropped is to be %v", model, dropped)
		}
	}
}

// Every model answers pushall and get_version in its own form, and the decoder
// reads it.
func TestModels(t *testing.T) {
	var models []string
	for _, m := range bambu.Models() {
		if m.Nozzles > 0 {
			models = append(models, m.Code)
		}
	}
	farm := live(t, specs(t, len(models), models...), Options{})
	for _, p := range farm.Printers() {
		t.Run(p.model.Code, func(t *testing.T) {
			t.Parallel()
			e := listen(t, p, overTCP)
			frame := e.pushAll()
			checkForm(t, p.model, frame)
			e.send(string(bambu.GetVersion("20002")))
			e.until(5*time.Second, "version", func([]byte) bool { return e.last.Kind == bambu.KindVersion })
			st := e.status()
			if st.Machine.Model != p.model.Code || st.Machine.Serial != p.Spec().Serial || st.Machine.Firmware == "" {
				t.Errorf("machine %+v", st.Machine)
			}
			if st.Machine.IPAddress != "127.0.0.1" || !st.Machine.Storage.Value {
				t.Errorf("machine %+v", st.Machine)
			}
			if st.Job.GcodeState != "IDLE" || !st.Temps.Bed.Known || !st.Temps.Nozzle.Known || !st.Signal.WiFi.Known {
				t.Errorf("status %+v", st)
			}
			if got := st.Temps.Chamber.Known; got != p.model.ChamberSensor {
				t.Errorf("chamber known: %v, sensor: %v", got, p.model.ChamberSensor)
			}
			if got := st.Temps.Nozzle2.Known; got != (p.model.Nozzles == 2) {
				t.Errorf("second nozzle known: %v", got)
			}
			if len(st.Machine.Nozzles) != p.model.Nozzles || len(st.Filament.Units) != 1 || len(st.Filament.External) != p.model.Nozzles {
				t.Errorf("nozzles %+v, units %d, external %+v", st.Machine.Nozzles, len(st.Filament.Units), st.Filament.External)
			}
			u := st.Filament.Units[0]
			if len(u.Slots) != 4 || !u.Slots[0].Present || u.Slots[0].Type != "PLA" || u.Slots[3].Present || u.Kind == "" || u.Serial == "" {
				t.Errorf("unit %+v", u)
			}
		})
	}
}

func checkForm(t *testing.T, m bambu.Model, frame []byte) {
	t.Helper()
	r := report(t, frame)
	if pretty := bytes.HasPrefix(frame, []byte("{\n    \"print\": {\n        ")); pretty != (m.Reports == bambu.StyleFull) {
		t.Errorf("pretty: %v: %.40q", pretty, frame)
	}
	msg, has := r["msg"]
	if silent := m.Code == "H2D" || m.Code == "H2DPRO"; has == silent || has && msg != 0.0 {
		t.Errorf("msg %v", msg)
	}
	for _, key := range []string{"fun", "cfg", "aux", "stat", "device", "vir_slot"} {
		if _, has := r[key]; has != (m.Reports == bambu.StyleFull || m.Code == "A2L") {
			t.Errorf("%s is there: %v", key, has)
		}
	}
	if _, has := r["lifecycle"]; has && m.Reports == bambu.StyleFull {
		t.Error("lifecycle is there")
	}
	if len(frame) < 3000 || len(frame) > 40000 {
		t.Errorf("%d bytes", len(frame))
	}
}

// P1 and A1 send small frames of what changed, every two seconds; others every second,
// and whole ones in between, see TestWholeReports.
func TestStream(t *testing.T) {
	for _, model := range []string{"A1", "P1S"} {
		e := listen(t, one(t, model, Options{}), overTCP)
		e.pushAll()
		frame := e.until(6*time.Second, "delta", func([]byte) bool { return e.last.Kind == bambu.KindStatus })
		if r := report(t, frame); e.last.Full || r["msg"] != 1.0 || len(frame) > 600 || r["ams"] != nil {
			t.Errorf("%s: %d bytes: %.300s", model, len(frame), frame)
		}
	}
	e := listen(t, one(t, "X1C", Options{}), overTCP)
	if frame := e.pushAll(); len(frame) < 3000 {
		t.Errorf("X1C: %d bytes", len(frame))
	}
	frame := e.until(5*time.Second, "report", func([]byte) bool { return true })
	if r := report(t, frame); len(frame) > 1500 || e.last.Full || r["msg"] != 1.0 || r["ams"] != nil {
		t.Errorf("X1C: %d bytes: %.300s", len(frame), frame)
	}
}
