package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func num(n int) *int { return &n }

func TestCommandsReachThePrinter(t *testing.T) {
	for _, c := range []struct {
		path, body string
		report     string
		want       bambu.Control
	}{
		{"/print/pause", "", printingReport, bambu.Control{Do: bambu.DoPause}},
		{"/print/stop", "{}", printingReport, bambu.Control{Do: bambu.DoStop}},
		{"/speed", `{"level":3}`, printingReport, bambu.Control{Do: bambu.DoSpeed, Level: 3}},
		{"/light", `{"on":true}`, idleReport, bambu.Control{Do: bambu.DoLight, Light: "chamber", On: true}},
		{"/light/", `{"on":false,"light":"chamber"}`, idleReport, bambu.Control{Do: bambu.DoLight, Light: "chamber"}},
		{"/temperature", `{"nozzle":220,"bed":0}`, idleReport, bambu.Control{Do: bambu.DoTemperature, Nozzle: num(220), Bed: num(0)}},
		{"/fan", `{"fan":"aux","percent":50}`, idleReport, bambu.Control{Do: bambu.DoFan, Fan: "aux", Percent: 50}},
		{"/gcode", `{"gcode":"G28"}`, idleReport, bambu.Control{Do: bambu.DoGcode, Gcode: "G28"}},
		{"/skip-objects", `{"objects":[12,13]}`, printingReport, bambu.Control{Do: bambu.DoSkipObjects, Objects: []int{12, 13}}},
		{"/clear-error", "", idleReport, bambu.Control{Do: bambu.DoClearError}},
		{"/home", `{"axes":"xy"}`, idleReport, bambu.Control{Do: bambu.DoHome, Axes: "xy"}},
		{"/home", `{}`, idleReport, bambu.Control{Do: bambu.DoHome}},
		{"/home", "", idleReport, bambu.Control{Do: bambu.DoHome}},
		{"/ams/control", `{"action":"abort"}`, idleReport, bambu.Control{Do: bambu.DoAnswerAMS, Action: "abort"}},
	} {
		t.Run(c.path+c.body, func(t *testing.T) {
			r := newRig(t)
			r.seed(c.report)
			a := r.do(r.admin, http.MethodPost, base+"/printers/1"+c.path, c.body)
			if got := a.object(t); a.status != 200 || got["status"] != "ok" || got["confirmed"] != "ack" {
				t.Fatalf("%d %s", a.status, a.body)
			}
			cmd := r.links.commands[0]
			if cmd.Kind != wire.Control || cmd.Fence != 1 || cmd.ValidMS != 5000 || cmd.ID == "" || !reflect.DeepEqual(*cmd.Control, c.want) {
				t.Errorf("sent %+v %+v", cmd, cmd.Control)
			}
		})
	}
}

func TestCommandsThatAreRefused(t *testing.T) {
	away := farm.Errorf(farm.AgentOffline, "away")
	for name, c := range map[string]struct {
		path, body, report string
		agent              error
		code               farm.Code
		mentions           string
	}{
		"nothing prints":         {"/print/pause", "", idleReport, farm.Errorf(farm.Conflict, "the printer is not printing"), farm.Conflict, "not printing"},
		"speed 5":                {"/speed", `{"level":5}`, idleReport, nil, farm.Invalid, "level"},
		"no speed":               {"/speed", `{}`, idleReport, nil, farm.Invalid, "level"},
		"too hot a nozzle":       {"/temperature", `{"nozzle":301}`, idleReport, nil, farm.Invalid, "nozzle"},
		"too hot a bed":          {"/temperature", `{"bed":121}`, idleReport, nil, farm.Invalid, "bed"},
		"below zero":             {"/temperature", `{"bed":-1}`, idleReport, nil, farm.Invalid, "bed"},
		"no temperature":         {"/temperature", `{}`, idleReport, nil, farm.Invalid, ""},
		"no such heater":         {"/temperature", `{"chamber":50}`, idleReport, nil, farm.Unsupported, "chamber"},
		"no such fan":            {"/fan", `{"fan":"ceiling","percent":5}`, idleReport, nil, farm.Invalid, "fan"},
		"fan beyond":             {"/fan", `{"fan":"part","percent":101}`, idleReport, nil, farm.Invalid, "percent"},
		"no objects":             {"/skip-objects", `{"objects":[]}`, printingReport, nil, farm.Invalid, "objects"},
		"home while it prints":   {"/home", `{}`, printingReport, farm.Errorf(farm.PrinterBusy, "the printer is printing"), farm.PrinterBusy, "printing"},
		"no such axis":           {"/home", `{"axes":"w"}`, idleReport, nil, farm.Invalid, "axes"},
		"no gcode":               {"/gcode", `{"gcode":""}`, idleReport, nil, farm.Invalid, "gcode"},
		"the printer's refusal":  {"/speed", `{"level":2}`, idleReport, farm.Errorf(farm.PrinterRefused, "read only: enable developer mode"), farm.PrinterRefused, "developer mode"},
		"no answer":              {"/speed", `{"level":2}`, idleReport, farm.Errorf(farm.OutcomeUnknown, "no answer in 10 s"), farm.OutcomeUnknown, ""},
		"the agent just left":    {"/speed", `{"level":2}`, idleReport, away, farm.AgentOffline, ""},
		"no such printer at all": {"/../9/speed", `{"level":2}`, idleReport, nil, farm.NotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.seed(c.report)
			r.links.err = c.agent
			r.wantError(r.do(r.admin, http.MethodPost, base+"/printers/1"+c.path, c.body), c.code, c.mentions)
			if sent := len(r.links.commands); (sent > 0) != (c.agent != nil) {
				t.Errorf("%d commands were sent", sent)
			}
		})
	}
}

func TestWhoMayCommand(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	read := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read, farm.Queue}})
	control := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Control}})
	elsewhere := r.key(auth.NewKey{Permissions: farm.Permissions, Printers: []int64{5}})
	r.wantError(r.do(read, http.MethodPost, base+"/printers/1/speed", `{"level":2}`), farm.Forbidden, "control")
	r.wantError(r.do(control, http.MethodPost, base+"/printers/1/gcode", `{"gcode":"G28"}`), farm.Forbidden, "admin")
	r.wantError(r.do(elsewhere, http.MethodPost, base+"/printers/1/speed", `{"level":2}`), farm.NotFound, "")
	a := r.do(r.key(auth.NewKey{Permissions: farm.Permissions}), http.MethodPost, base+"/printers/1/gcode", `{"gcode":"G28"}`)
	if a.status != 200 || a.header.Get("X-RateLimit-Limit") != "10" {
		t.Errorf("%d %v", a.status, a.header)
	}
	r.fleet.AgentDown(1)
	r.wantError(r.do(control, http.MethodPost, base+"/printers/1/speed", `{"level":2}`), farm.AgentOffline, "")
}

// Raw G-code is written down before it is sent, and not sent without.
func TestGcodeIsAudited(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	r.links.err = farm.Errorf(farm.OutcomeUnknown, "lost")
	r.wantError(r.do(r.admin, http.MethodPost, base+"/printers/1/gcode", `{"gcode":"M104 S200"}`), farm.OutcomeUnknown, "")
	r.links.err = nil
	r.do(r.admin, http.MethodPost, base+"/printers/1/gcode", `{"gcode":"G28"}`)
	if len(r.audit.rows) != 4 || r.audit.rows[0].Status != 0 || r.audit.rows[1].Status != 504 || r.audit.rows[1].Action != "send_gcode" || r.audit.rows[3].Status != 200 {
		t.Fatalf("%+v", r.audit.rows)
	}
	a := r.get(base + "/audit?limit=1&action=send_gcode&result=begun")
	rows := a.json(t).([]any)
	first := rows[0].(map[string]any)
	if len(rows) != 1 || a.header.Get("X-Total-Count") != "2" || first["who"] != "admin" || first["action"] != "send_gcode" || first["printer_id"] != 1.0 || fmt.Sprint(first["data"]) != "map[gcode:G28]" {
		t.Fatalf("%s", a.body)
	}
	a = r.get(base + "/audit?action=send_gcode&result=begun&cursor=" + a.header.Get("X-Next-Cursor"))
	if !strings.Contains(string(a.body), "M104 S200") || strings.Contains(string(a.body), "G28") || a.header.Get("X-Next-Cursor") != "" {
		t.Errorf("%s %v", a.body, a.header)
	}
	narrow := r.key(auth.NewKey{Permissions: farm.Permissions, Printers: []int64{5}})
	r.wantError(r.do(narrow, http.MethodGet, base+"/audit", ""), farm.Forbidden, "limited")
	sent := len(r.links.commands)
	r.audit.err = errors.New("disk full")
	r.wantError(r.do(r.admin, http.MethodPost, base+"/printers/1/gcode", `{"gcode":"G28"}`), farm.Unavailable, "not done")
	if len(r.links.commands) != sent {
		t.Error("it was sent unwritten")
	}
}

// frames answers a camera call with frames, and then as after says.
func frames(after func(*http.Request), data ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, d := range data {
			_, _ = w.Write(append(wire.FrameHeader{Length: len(d), Key: true, At: seedTime}.Append(nil), d...))
		}
		after(r)
	})
}

// open begins to read an answer that goes on. The caller closes its body.
func (r *rig) open(client *http.Client, key, path string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://hub:8000"+base+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

func untilGone(r *http.Request) { <-r.Context().Done() }

func TestCameraStream(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, client *http.Client) {
		r.seed(idleReport)
		r.links.agent = frames(untilGone, "one")
		key := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read}})
		resp := r.open(client, key, "/printers/1/camera/stream?fps=30")
		defer func() { _ = resp.Body.Close() }()
		kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if err != nil || kind != "multipart/x-mixed-replace" {
			t.Fatalf("%d %v", resp.StatusCode, resp.Header)
		}
		part, err := multipart.NewReader(bufio.NewReader(resp.Body), params["boundary"]).NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3)
		if _, err := io.ReadFull(part, b); err != nil || string(b) != "one" || part.Header.Get("Content-Type") != "image/jpeg" || part.Header.Get("Content-Length") != "3" {
			t.Errorf("%q %v %v", b, err, part.Header)
		}
		if !reflect.DeepEqual(r.links.asked, []string{"GET /v1/printers/01P00A000000001/camera/stream?fps=30"}) {
			t.Errorf("asked %v", r.links.asked)
		}
		began := time.Now()
		a := r.do(r.admin, http.MethodPost, base+"/printers/1/camera/stop", "")
		if got := a.object(t); got["status"] != "stopped" || got["streams"] != 1.0 {
			t.Errorf("%s", a.body)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if time.Since(began) > 0 {
			t.Errorf("it went on for %v", time.Since(began))
		}
		a = r.do(r.admin, http.MethodPost, base+"/printers/1/camera/stop", "")
		if got := a.object(t); got["streams"] != 0.0 {
			t.Errorf("%s", a.body)
		}
	})
}

// A stream ends with the key that opened it.
func TestCameraStreamEndsWithItsKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, client *http.Client) {
		r.seed(idleReport)
		r.links.agent = frames(untilGone, "one")
		resp := r.open(client, r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read}}), "/printers/1/camera/stream")
		defer func() { _ = resp.Body.Close() }()
		synctest.Wait()
		began := time.Now()
		r.do(r.admin, http.MethodDelete, base+"/api-keys/2", "")
		_, _ = io.Copy(io.Discard, resp.Body)
		if time.Since(began) > 0 {
			t.Errorf("it went on for %v", time.Since(began))
		}
	})
}

// A stream ends with its printer, with the way to it, and with the right to see it.
func TestCameraStreamEndsWithItsPrinter(t *testing.T) {
	for name, c := range map[string]struct{ method, path, body string }{
		"deleted":  {http.MethodDelete, "/printers/1?force=true", ""},
		"moved":    {http.MethodPatch, "/printers/1", `{"ip_address":"10.0.0.9"}`},
		"new site": {http.MethodPatch, "/agents/1", `{"site_id":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig, client *http.Client) {
				r.seed(idleReport)
				r.links.agent = frames(untilGone, "one")
				resp := r.open(client, r.admin, "/printers/1/camera/stream")
				defer func() { _ = resp.Body.Close() }()
				began := time.Now()
				if a := r.do(r.admin, c.method, base+c.path, c.body); a.status != 200 {
					t.Fatalf("%d %s", a.status, a.body)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				if time.Since(began) > 0 {
					t.Errorf("it went on for %v", time.Since(began))
				}
			})
		})
	}
}

func TestFilesOfAPrinterWithoutACard(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	st := r.server.mustView(t, 1).Status
	st.Machine.Storage = bambu.Some(false)
	r.fleet.Apply(1, frameOf("01P00A000000001", st))
	r.wantError(r.get(base+"/printers/1/files"), farm.PrinterRefused, "card")
	r.wantError(r.do(r.admin, http.MethodDelete, base+"/printers/1/files?path=/a", ""), farm.PrinterRefused, "card")
}

func TestCameraH264(t *testing.T) {
	for format, want := range map[string]string{
		"": "one", "?format=annexb": "one",
		"?format=frames": string(wire.FrameHeader{Length: 3, Key: true, At: seedTime}.Append(nil)) + "one",
	} {
		bubble(t, func(t *testing.T, r *rig, client *http.Client) {
			r.seed(idleReport)
			r.links.agent = frames(untilGone, "one")
			resp := r.open(client, r.admin, "/printers/1/camera/h264"+format)
			b := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != want {
				t.Errorf("%s: %q, %v", format, b, err)
			}
			_ = resp.Body.Close()
			r.do(r.admin, http.MethodPost, base+"/printers/1/camera/stop", "")
		})
	}
}

func TestCameraErrors(t *testing.T) {
	refuse := func(code farm.Code) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code.Status())
			_ = json.NewEncoder(w).Encode(wire.Error{Code: code, Detail: "because"})
		})
	}
	for name, c := range map[string]struct {
		path  string
		agent http.Handler
		code  farm.Code
	}{
		"fps 0":            {"/stream?fps=0", nil, farm.Invalid},
		"fps 31":           {"/stream?fps=31", nil, farm.Invalid},
		"fps of words":     {"/stream?fps=many", nil, farm.Invalid},
		"format":           {"/h264?format=webm", nil, farm.Invalid},
		"no ffmpeg":        {"/stream", refuse(farm.FFmpegMissing), farm.FFmpegMissing},
		"printer away":     {"/snapshot", refuse(farm.PrinterNotConnected), farm.PrinterNotConnected},
		"not held":         {"/snapshot", refuse(farm.NotFound), farm.PrinterNotConnected},
		"no picture comes": {"/stream", frames(untilGone), farm.PrinterNotConnected},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.seed(idleReport)
				r.links.agent = c.agent
				r.wantError(r.get(base+"/printers/1/camera"+c.path), c.code, "")
			})
		})
	}
	r := newRig(t)
	r.seed(idleReport)
	r.put(farm.Printer{ID: 2, Serial: "01S00A000000002", ModelGiven: "P1P", SiteID: 1, AgentID: 1, Fence: 1})
	r.report(1, "01S00A000000002", idleReport)
	r.wantError(r.get(base+"/printers/2/camera/h264"), farm.Unsupported, "P1P")
	r.fleet.AgentDown(1)
	r.wantError(r.get(base+"/printers/1/camera/stream"), farm.AgentOffline, "")
	r.wantError(r.get(base+"/printers/9/camera/stream"), farm.NotFound, "")
}

func TestSnapshot(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	r.links.agent = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "jpeg") })
	a := r.get(base + "/printers/1/camera/snapshot")
	if a.status != 200 || string(a.body) != "jpeg" || a.header.Get("Content-Type") != "image/jpeg" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %q %v", a.status, a.body, a.header)
	}
}

func TestPrinterFiles(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	r.links.agent = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodDelete {
			_, _ = io.WriteString(w, "{}")
			return
		}
		_ = json.NewEncoder(w).Encode(wire.FileList{Path: "/", Entries: []wire.FileEntry{
			{Name: "timelapse", Dir: true}, {Name: "ä b.3mf", Size: 5, ModifiedMS: seedTime.UnixMilli()}, {Name: "x.gcode", Size: 0},
		}})
	})
	a := r.get(base + "/printers/1/files?path=models//sub/")
	want := `[{"name":"timelapse","path":"/models/sub/timelapse","type":"directory","size":null,"modified":null},` +
		`{"name":"ä b.3mf","path":"/models/sub/ä b.3mf","type":"file","size":5,"modified":"2024-01-15T13:30:00Z"},` +
		`{"name":"x.gcode","path":"/models/sub/x.gcode","type":"file","size":0,"modified":null}]`
	if strings.TrimSpace(string(a.body)) != want || a.header.Get("X-Total-Count") != "3" {
		t.Errorf("%s %v", a.body, a.header)
	}
	if a := r.do(r.admin, http.MethodDelete, base+"/printers/1/files?path=/a%20b.3mf", ""); a.status != 200 || a.object(t)["status"] != "deleted" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !reflect.DeepEqual(r.links.asked, []string{
		"GET /v1/printers/01P00A000000001/files?path=%2Fmodels%2Fsub", "DELETE /v1/printers/01P00A000000001/files?path=%2Fa+b.3mf",
	}) {
		t.Errorf("asked %v", r.links.asked)
	}
	for _, path := range []string{"/../etc", "a/../../b", "a%00b", "a%0ab", strings.Repeat("x", 1025)} {
		r.wantError(r.get(base+"/printers/1/files?path="+path), farm.Invalid, "path")
		r.wantError(r.do(r.admin, http.MethodDelete, base+"/printers/1/files?path="+path, ""), farm.Invalid, "path")
	}
	r.wantError(r.get(base+"/printers/1/files/download"), farm.Invalid, "path")
	r.wantError(r.do(r.admin, http.MethodDelete, base+"/printers/1/files?path=/", ""), farm.Invalid, "path")
}

func TestDownload(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	r.links.agent = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Get("path") == "/gone" {
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(wire.Error{Code: farm.FileUnavailable, Detail: "there is no such file"})
			return
		}
		w.Header().Set("Content-Length", "7")
		_, _ = io.WriteString(w, "content")
	})
	a := r.get(base + "/printers/1/files/download?path=/dir/ä.3mf")
	if a.status != 200 || string(a.body) != "content" || a.header.Get("Content-Length") != "7" || a.header.Get("Content-Type") != "application/octet-stream" ||
		a.header.Get("Content-Disposition") != "attachment; filename*=utf-8''%C3%A4.3mf" {
		t.Errorf("%d %q %v", a.status, a.body, a.header)
	}
	r.wantError(r.get(base+"/printers/1/files/download?path=/gone"), farm.FileUnavailable, "no such file")
}

// A transfer that breaks off must not look whole.
func TestADownloadThatBreaksOff(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, client *http.Client) {
		r.seed(idleReport)
		r.links.agent = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = w.(*pipeAnswer).to.CloseWithError(io.ErrUnexpectedEOF)
		})
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://hub:8000"+base+"/printers/1/files/download?path=/a", nil)
		req.RequestURI = ""
		req.Header.Set("X-API-Key", r.admin)
		resp, err := client.Do(req)
		if err != nil {
			return // before anything was sent
		}
		defer func() { _ = resp.Body.Close() }()
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%q reads as whole", b)
		}
	})
}
