package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"image/jpeg"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/simprinter"
)

// command sends one to a printer and gives the answer's status and text.
func (r *rig) command(printer int, what string, body any) (int, string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	return r.do(ctx, "POST", fmt.Sprintf("/api/v1/printers/%d/%s", printer, what), body, nil)
}

func (r *rig) wantCommand(printer int, what string, body any, status int, mentions string) {
	r.t.Helper()
	if got, text := r.command(printer, what, body); got != status || !strings.Contains(text, mentions) {
		r.t.Errorf("printer %d, %s %v: %d %s, want %d with %q", printer, what, body, got, text, status, mentions)
	}
}

// sim is a printer of the rig by the id it is registered with.
func (r *rig) sim(printer int) *simprinter.Printer { return r.printers.Printers()[printer-1] }

func (r *rig) fault(printer int, kind string, d time.Duration) {
	r.t.Helper()
	if err := r.sim(printer).Fault(kind, d); err != nil {
		r.t.Fatal(err)
	}
}

func object(fields ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i < len(fields); i += 2 {
		m[fields[i].(string)] = fields[i+1]
	}
	return m
}

// What a person sets at any model, through everything, is what the printer then reports.
func TestControlOfEveryModel(t *testing.T) {
	models := []string{"X1C", "X1E", "P1P", "P1S", "P2S", "A1MINI", "A1", "A2L", "H2S", "H2D", "H2C", "X2D"}
	inBubble(t, models, func(r *rig) {
		for i, model := range models {
			id := i + 1
			r.awaitState(id, "idle", 30*time.Second)
			r.wantCommand(id, "light", object("on", true), 200, `"ok"`)
			r.wantCommand(id, "temperature", object("nozzle", 150, "bed", 40), 200, `"ok"`)
			r.wantCommand(id, "fan", object("fan", "part", "percent", 50), 200, `"ok"`)
			r.wantCommand(id, "gcode", object("gcode", "G28"), 200, `"ok"`)
			r.wantCommand(id, "home", object(), 200, `"ok"`)
			r.wantCommand(id, "temperature", object("nozzle", 500), 400, "nozzle")
			r.await(model+" to show what was set", time.Minute, func() bool {
				var s struct {
					Temperatures struct {
						NozzleTarget float64 `json:"nozzle_target"`
						BedTarget    float64 `json:"bed_target"`
					} `json:"temperatures"`
					Fans   struct{ Part int } `json:"fans"`
					Lights []struct{ Name, Mode string }
				}
				r.must("GET", fmt.Sprintf("/api/v1/printers/%d/status", id), nil, &s, 200)
				return s.Temperatures.NozzleTarget == 150 && s.Temperatures.BedTarget == 40 && s.Fans.Part >= 45 && s.Fans.Part <= 55 &&
					len(s.Lights) > 0 && s.Lights[0].Mode == "on"
			})
		}
	})
}

func TestControlOfAPrint(t *testing.T) {
	inBubble(t, []string{"X1C", "A1"}, func(r *rig) {
		for id := 1; id <= 2; id++ {
			r.awaitState(id, "idle", 30*time.Second)
			r.wantCommand(id, "print/pause", nil, 409, "CONFLICT")
			if err := r.sim(id).Start(simprinter.PrintJob{Name: "Benchy", Minutes: 60, Source: "slicer"}); err != nil {
				t.Fatal(err)
			}
			r.awaitState(id, "printing", 5*time.Minute)
			r.wantCommand(id, "home", object(), 409, "PRINTER_BUSY")
			r.wantCommand(id, "speed", object("level", 4), 200, `"ok"`)
			r.wantCommand(id, "print/pause", nil, 200, `"ok"`)
			r.awaitState(id, "paused", 30*time.Second)
			r.wantCommand(id, "print/resume", nil, 200, `"ok"`)
			r.awaitState(id, "printing", 30*time.Second)
			r.wantCommand(id, "print/stop", nil, 200, `"ok"`)
			r.awaitState(id, "failed", 30*time.Second)
		}
		for _, e := range r.printers.Ledger() {
			if e.Outcome != "stopped" {
				t.Errorf("the ledger says %+v", e)
			}
		}
	})
}

// Answers that do not come, and answers that say no.
func TestCommandsThatGoWrong(t *testing.T) {
	inBubble(t, []string{"X1C", "P1S"}, func(r *rig) {
		r.awaitState(1, "idle", 30*time.Second)
		r.awaitState(2, "idle", 30*time.Second)

		r.fault(1, "ack_lost", time.Minute) // but the report shows it
		r.wantCommand(1, "light", object("on", true), 200, `"state"`)
		time.Sleep(time.Minute)

		r.fault(2, "silent", 30*time.Second)
		began := time.Now()
		r.wantCommand(2, "light", object("on", true), 504, "OUTCOME_UNKNOWN")
		if took := time.Since(began); took < 9*time.Second || took > 12*time.Second {
			t.Errorf("no answer was told after %v", took)
		}

		r.fault(1, "verification_on", time.Minute)
		r.wantCommand(1, "temperature", object("bed", 40), 409, "developer mode")
		time.Sleep(2 * time.Minute)

		// The agent dies while the printer thinks: nobody may say that it did not happen.
		r.fault(2, "silent", time.Minute)
		var both [2]string
		synctest.Wait()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, both[0] = r.command(2, "light", object("on", false))
		}()
		time.Sleep(2 * time.Second)
		r.agents[1].stop()
		<-done
		if !strings.Contains(both[0], "OUTCOME_UNKNOWN") {
			t.Errorf("the agent died in the middle: %s", both[0])
		}
		r.wantCommand(2, "light", object("on", true), 400, "AGENT_OFFLINE")
		r.agents[1].start()
		r.await("the agent again", 2*time.Minute, func() bool { return r.status(2).Connected })
		r.wantCommand(2, "light", object("on", true), 200, `"ok"`)
	})
}

type fileList []struct {
	Name, Path, Type string
	Size             *int64
}

func TestFilesOfEveryKindOfPrinter(t *testing.T) {
	models := []string{"X1C", "P1S", "A1", "H2D"}
	inBubble(t, models, func(r *rig) {
		content := bytes.Repeat([]byte("0123456789abcdef"), 100_000) // 1.6 MB
		for i := range models {
			id := i + 1
			r.awaitState(id, "idle", 30*time.Second)
			if err := r.sim(id).Storage().Put("/ein Würfel.gcode.3mf", content); err != nil {
				t.Fatal(err)
			}
			var list fileList
			r.must("GET", fmt.Sprintf("/api/v1/printers/%d/files", id), nil, &list, 200)
			found := false
			for _, f := range list {
				found = found || f.Path == "/ein Würfel.gcode.3mf" && *f.Size == int64(len(content))
			}
			if !found {
				t.Errorf("%s lists %+v", models[i], list)
			}
			path := fmt.Sprintf("/api/v1/printers/%d/files", id)
			const name = "?path=/ein%20W%C3%BCrfel.gcode.3mf"
			ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
			status, got := r.do(ctx, "GET", path+"/download"+name, nil, nil)
			if status != 200 || sha256.Sum256([]byte(got)) != sha256.Sum256(content) {
				t.Errorf("%s: download %d, %d bytes", models[i], status, len(got))
			}
			r.must("DELETE", path+name, nil, nil, 200)
			if status, text := r.do(ctx, "GET", path+"/download"+name, nil, nil); status != 404 || !strings.Contains(text, "FILE_UNAVAILABLE") {
				t.Errorf("%s: after the delete %d %.200s", models[i], status, text)
			}
			cancel()
		}
	})
}

// A printer that breaks off a transfer, has no card, or says nothing at all.
func TestFilesThatGoWrong(t *testing.T) {
	inBubble(t, []string{"X1C", "A1"}, func(r *rig) {
		r.awaitState(1, "idle", 30*time.Second)
		r.awaitState(2, "idle", 30*time.Second)
		if err := r.sim(1).Storage().Put("/a.3mf", make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := r.sim(1).FaultValue("ftps_drop", 200_000); err != nil {
			t.Fatal(err)
		}
		r.fault(1, "ftps_drop", time.Minute)
		ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
		defer cancel()
		if status, text := r.do(ctx, "GET", "/api/v1/printers/1/files/download?path=/a.3mf", nil, nil); status == 200 {
			t.Errorf("half a file reads as whole, %d bytes", len(text))
		}
		r.fault(2, "ftps_mute", time.Hour)
		began := time.Now()
		status, text := r.do(ctx, "GET", "/api/v1/printers/2/files", nil, nil)
		if status != 400 || !strings.Contains(text, "PRINTER_NOT_CONNECTED") || time.Since(began) > time.Minute {
			t.Errorf("a mute printer: %d %s after %v", status, text, time.Since(began))
		}
		r.wantCommand(2, "light", object("on", true), 200, `"ok"`) // files hinder nothing else
		r.fault(1, "power_cut", time.Minute)
		if status, text := r.do(ctx, "GET", "/api/v1/printers/1/files", nil, nil); status != 400 {
			t.Errorf("without power: %d %s", status, text)
		}
	})
}

// stream opens a camera's pictures; next gives one, close ends the looking.
func (r *rig) stream(printer, fps int) (next func() ([]byte, error), shut func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://%s/api/v1/printers/%d/camera/stream?fps=%d", hubAddress, printer, fps), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", r.key)
	res, err := r.client.Do(req) //nolint:bodyclose // shut does it
	if err != nil {
		r.t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || res.StatusCode != 200 {
		b, _ := io.ReadAll(res.Body)
		r.t.Fatalf("stream: %d %s", res.StatusCode, b)
	}
	parts := multipart.NewReader(res.Body, params["boundary"])
	return func() ([]byte, error) {
			p, err := parts.NextRawPart()
			if err != nil {
				return nil, err
			}
			return io.ReadAll(p)
		}, func() {
			cancel()
			_ = res.Body.Close()
		}
}

// Many look at one camera: the printer has one viewer, and none when they are gone.
func TestOneCameraForMany(t *testing.T) {
	inBubble(t, []string{"P1S", "X1C"}, func(r *rig) {
		r.awaitState(1, "idle", 30*time.Second)
		var shut []func()
		for range 10 {
			next, done := r.stream(1, 30)
			shut = append(shut, done)
			b, err := next()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jpeg.Decode(bytes.NewReader(b)); err != nil {
				t.Fatalf("no picture: %v", err)
			}
		}
		if n := r.sim(1).CameraStats().Viewers; n != 1 {
			t.Errorf("the printer has %d viewers", n)
		}
		for _, done := range shut {
			done()
		}
		time.Sleep(7 * time.Second)
		before := r.sim(1).CameraStats()
		time.Sleep(time.Minute)
		if after := r.sim(1).CameraStats(); after.Viewers != 0 || after != before {
			t.Errorf("nobody looks, yet %+v became %+v", before, after)
		}
		r.fault(1, "power_cut", 30*time.Second)
		if status, text := r.command(1, "camera/stop", nil); status != 200 {
			t.Errorf("stop: %d %s", status, text)
		}
	})
}

// A new certificate is trusted once somebody enters the access code, the same or not.
func TestACodeEnteredAnewIsANewBeginning(t *testing.T) {
	inBubble(t, []string{"A1", "X1C"}, func(r *rig) {
		r.awaitState(1, "idle", 30*time.Second)
		r.awaitState(2, "idle", 30*time.Second)
		r.fault(1, "cert_change", time.Second)
		r.fault(1, "reconnect_storm", 2*time.Second)
		r.await("the other certificate to be noticed", time.Minute, func() bool { return r.status(1).Connection.State == "certificate_changed" })
		time.Sleep(10 * time.Minute)
		if got := r.status(1).Connection.State; got != "certificate_changed" {
			t.Fatalf("trusted by itself: %s", got)
		}
		r.must("PATCH", "/api/v1/printers/1", object("access_code", r.sim(1).Spec().AccessCode), nil, 200)
		r.await("the printer", time.Minute, func() bool { return r.status(1).Connected })
		r.wantCommand(1, "light", object("on", true), 200, `"ok"`)
	})
}

// Whoever looks at a camera by an old address or code sees no more of it.
func TestACameraGoesTheWayOfItsPrinter(t *testing.T) {
	inBubble(t, []string{"P1S"}, func(r *rig) {
		r.awaitState(1, "idle", 30*time.Second)
		next, shut := r.stream(1, 30)
		defer shut()
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
		r.must("PATCH", "/api/v1/printers/1", object("access_code", "87654321"), nil, 200)
		for {
			if _, err := next(); err != nil {
				break
			}
		}
		time.Sleep(10 * time.Second)
		if n := r.sim(1).CameraStats().Viewers; n != 0 {
			t.Errorf("the camera has %d viewers", n)
		}
		if status, text := r.command(1, "light", object("on", true)); status != 400 {
			t.Errorf("with the wrong code: %d %s", status, text)
		}
		r.must("PATCH", "/api/v1/printers/1", object("access_code", r.sim(1).Spec().AccessCode), nil, 200)
		r.await("the printer", 6*time.Minute, func() bool { return r.status(1).Connected })
		if status, _ := r.do(r.t.Context(), "GET", "/api/v1/printers/1/camera/snapshot", nil, nil); status != 200 {
			t.Errorf("snapshot: %d", status)
		}
	})
}

// A picture goes on after the camera broke off, and after the WAN did.
func TestACameraComesBack(t *testing.T) {
	inBubble(t, []string{"A1"}, func(r *rig) {
		r.awaitState(1, "idle", 30*time.Second)
		next, shut := r.stream(1, 30)
		defer shut()
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
		r.fault(1, "camera_stall", 20*time.Second)
		time.Sleep(20 * time.Second)
		if _, err := next(); err != nil {
			t.Fatalf("after a stall: %v", err)
		}
		r.network.Reset(wan(0))
		for range 3 {
			if _, err := next(); err != nil {
				t.Fatalf("after the WAN was back: %v", err)
			}
		}
	})
}
