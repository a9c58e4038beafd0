package simprinter

import (
	"context"
	"fmt"
	"strings"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/simprinter/simcam"
)

// The faults of a camera.
const (
	cameraOff       = "camera_off"        // live view is switched off: connections end at once, the report says "disable"
	cameraMissing   = "camera_missing"    // the printer says it has none, connections end at once
	cameraMany      = "camera_many"       // any number of viewers at a time
	cameraKick      = "camera_kick"       // a new viewer takes the place of the old one
	cameraStall     = "camera_stall"      // no more pictures, the connection stays
	cameraDrop      = "camera_drop"       // connections break in the middle of a picture
	cameraTruncated = "camera_truncated"  // JPEG: pictures without their second half
	cameraOverlong  = "camera_overlong"   // JPEG: lengths of two gigabytes
	cameraNotJPEG   = "camera_not_jpeg"   // JPEG: no pictures but text
	cameraFarKeys   = "camera_far_keys"   // RTSP: a key frame every ten seconds
	cameraMidGroup  = "camera_mid_group"  // RTSP: viewers join half way between two key frames
	cameraStuckTime = "camera_stuck_time" // RTSP: timestamps that do not advance
	cameraLossy     = "camera_lossy"      // RTSP: packets are missing

	cameraNeedsReports = "camera_needs_reports" // RTSP: the stream falls silent after ten seconds without a receiver report
)

// cameraQuirk is a fault as the camera knows it.
type cameraQuirk struct {
	kind bambu.Camera // that can have it; "": any
	set  func(*simcam.Quirks)
}

var cameraQuirks = map[string]cameraQuirk{
	cameraOff:       {"", func(q *simcam.Quirks) { q.Off = true }},
	cameraMissing:   {"", func(q *simcam.Quirks) { q.Off = true }},
	cameraMany:      {"", func(q *simcam.Quirks) { q.Many = true }},
	cameraKick:      {"", func(q *simcam.Quirks) { q.Kick = true }},
	cameraStall:     {"", func(q *simcam.Quirks) { q.Stall = true }},
	cameraDrop:      {"", func(q *simcam.Quirks) { q.Drop = true }},
	cameraTruncated: {bambu.CameraJPEG, func(q *simcam.Quirks) { q.Truncated = true }},
	cameraOverlong:  {bambu.CameraJPEG, func(q *simcam.Quirks) { q.Overlong = true }},
	cameraNotJPEG:   {bambu.CameraJPEG, func(q *simcam.Quirks) { q.NotJPEG = true }},
	cameraFarKeys:   {bambu.CameraRTSP, func(q *simcam.Quirks) { q.FarKeys = true }},
	cameraMidGroup:  {bambu.CameraRTSP, func(q *simcam.Quirks) { q.MidGroup = true }},
	cameraStuckTime: {bambu.CameraRTSP, func(q *simcam.Quirks) { q.StuckTime = true }},
	cameraLossy:     {bambu.CameraRTSP, func(q *simcam.Quirks) { q.Lossy = true }},

	cameraNeedsReports: {bambu.CameraRTSP, func(q *simcam.Quirks) { q.NeedsReports = true }},
}

// cameraFaults are the faults above, as the printer knows them.
func cameraFaults() map[string]fault {
	out := map[string]fault{}
	for name, c := range cameraQuirks {
		out[name] = fault{
			begin: func(p *Printer) error {
				if k := p.model.Camera; k == bambu.CameraNone || c.kind != "" && c.kind != k {
					return fmt.Errorf("printer %s has another camera", p.spec.Serial)
				}
				p.tuneCamera(name)
				return nil
			},
			end: func(p *Printer) { p.tuneCamera("") },
		}
	}
	return out
}

// tuneCamera gives the camera the quirks of the faults there are, and of one that
// begins. The caller holds the printer's lock.
func (p *Printer) tuneCamera(begins string) {
	var q simcam.Quirks
	for name, c := range cameraQuirks {
		if name == begins || p.has(name) {
			c.set(&q)
		}
	}
	p.id.camera.off, p.id.camera.missing = q.Off, begins == cameraMissing || p.has(cameraMissing)
	p.camera.Tune(q)
}

// newCamera makes the printer's camera. The older P1 takes its time for a picture.
func (p *Printer) newCamera() *simcam.Server {
	every := 500 * time.Millisecond
	if strings.HasPrefix(p.model.Code, "P1") {
		every = 2 * time.Second
	}
	return simcam.New(simcam.Config{
		Kind: p.model.Camera, TLS: p.secure(), Every: every, Log: p.log,
		Code: func() string {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.code
		},
		Scene: func() simcam.Scene {
			s := p.State()
			return simcam.Scene{Serial: s.Serial, Name: s.Name, State: s.GcodeState, Percent: s.Progress}
		},
	})
}

// openCamera lets the camera listen, if there is one. The caller holds the lock.
func (p *Printer) openCamera() error {
	if p.model.Camera == bambu.CameraNone {
		return nil
	}
	g, err := p.door(&p.spec.CameraPort)
	if err != nil {
		return fmt.Errorf("open the camera: %w", err)
	}
	p.id.camera.port = p.spec.CameraPort
	p.services = append(p.services, service{"camera", func(ctx context.Context) error { return p.camera.Serve(ctx, g) }})
	return nil
}

// CameraStats tells what the printer's camera has done.
func (p *Printer) CameraStats() simcam.Stats { return p.camera.Stats() }

// cameraFace is what the report says of the camera.
type cameraFace struct {
	port         int
	off, missing bool
}

// show writes it into the report's ipcam block.
func (f cameraFace) show(c obj, kind bambu.Camera, ip uint32) {
	c["ipcam_dev"] = itoa(bit(!f.missing))
	if kind != bambu.CameraRTSP {
		return
	}
	c["rtsp_url"] = fmt.Sprintf("rtsps://%s:%d%s", ipText(ip), f.port, simcam.Path)
	if f.off {
		c["rtsp_url"] = "disable"
	}
}
