package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"

	"bambuddy/agent/internal/camera"
	"bambuddy/agent/internal/diagnose"
	"bambuddy/agent/internal/ftps"
	"bambuddy/agent/internal/printer"
	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// examiner is what a diagnosis uses of the other parts.
type examiner struct {
	dial DialFunc
	pins printer.Pins
}

// target is a printer of a configuration, as a diagnosis wants it.
func (x examiner) target(c wire.PrinterConfig) diagnose.Target {
	return diagnose.Target{Config: c, Model: modelOf(c), TLS: printer.TLSConfig(c, x.pins), Touch: true}
}

// modelOf is the configured model, or the one of the serial number.
func modelOf(c wire.PrinterConfig) bambu.Model {
	m, known := bambu.ModelByCode(c.Model)
	if !known {
		m, _ = bambu.ModelOfSerial(c.Serial)
	}
	return m
}

// login opens a session until the printer has told of itself, or why it does not.
func (x examiner) login(ctx context.Context, t diagnose.Target) (diagnose.Session, error) {
	changed := make(chan struct{}, 1)
	session := printer.New(t.Config, printer.Deps{
		Dial: x.dial, Pins: x.pins, Log: slog.New(slog.DiscardHandler),
		Changed: func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		},
	})
	running, stop := context.WithCancel(ctx)
	var life sync.WaitGroup
	var failed error
	life.Go(func() { failed = session.Run(running) })
	seen := session.Snapshot()
	for waiting := true; waiting && !settled(seen); {
		select {
		case <-changed:
			seen = session.Snapshot()
		case <-ctx.Done():
			seen, waiting = session.Snapshot(), false
		}
	}
	stop()
	life.Wait()
	if failed != nil {
		return diagnose.Session{}, fmt.Errorf("open a session: %w", failed)
	}
	if seen.Connection.State == wire.Connecting {
		return diagnose.Session{}, errors.New("the printer did not answer the login in time")
	}
	return sessionOf(seen), nil
}

// settled tells that waiting longer brings nothing new: the printer has told all
// that a diagnosis asks for, or the session came to nothing.
func settled(s printer.Snapshot) bool {
	switch s.Connection.State {
	case wire.Connecting:
		return false
	case wire.Online:
		return s.Status.Machine.Firmware != "" && s.Status.Job.GcodeState != ""
	default:
		return true
	}
}

// sessionOf is what a session knows, as a diagnosis wants it.
func sessionOf(s printer.Snapshot) diagnose.Session {
	return diagnose.Session{Connection: s.Connection, LastReport: s.LastReport, Status: s.Status}
}

// files logs in at a printer's file server.
func (x examiner) files(ctx context.Context, client *ftps.Client, t diagnose.Target) (diagnose.Files, error) {
	h, err := client.Probe(ctx, ftps.Target{
		Serial: t.Config.Serial, Address: net.JoinHostPort(t.Config.Address, strconv.Itoa(t.Config.FTPSPort)),
		AccessCode: t.Config.AccessCode, Model: t.Model, TLS: t.TLS,
	}, t.Touch)
	return diagnose.Files{
		Tried: t.Touch, Banner: h.Banner, Entries: h.Entries, Encrypted: h.Encrypted, Writable: h.Writable, WriteError: h.WriteError,
	}, err
}

// picture takes the first picture of a printer's camera, or the first of its video.
func (x examiner) picture(ctx context.Context, cameras *camera.Relay, t diagnose.Target) error {
	kind := camera.JPEG
	if t.Model.Camera == bambu.CameraRTSP {
		kind = camera.H264 // needs no ffmpeg
	}
	v, err := cameras.Watch(ctx, t.Config.Serial, kind, 0)
	if err != nil {
		return err
	}
	defer v.Close()
	_, err = v.Next(ctx)
	return err
}

// cameraTarget is a printer's camera, as the camera's part wants it.
func cameraTarget(t diagnose.Target) camera.Target {
	port := t.Config.CameraPort
	if port == 0 {
		port = t.Model.Camera.Port()
	}
	return camera.Target{
		Serial: t.Config.Serial, Address: net.JoinHostPort(t.Config.Address, strconv.Itoa(port)),
		AccessCode: t.Config.AccessCode, Model: t.Model, TLS: t.TLS,
	}
}
