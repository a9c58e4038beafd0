package diagnose

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func TestChecksOfWhatThePrinterSays(t *testing.T) {
	for _, test := range []struct {
		name  string
		id    string
		with  func(*findings)
		want  wire.Verdict
		words string // in detail or mend
	}{
		{"signed commands", "developer_mode", func(f *findings) { f.session.Status.Machine.SignedCommands = bambu.Some(true) }, wire.Warn, "developer mode on the printer's screen"},
		{"a firmware that does not tell", "developer_mode", func(f *findings) {
			f.session.Status.Machine.SignedCommands, f.session.Status.Machine.DeveloperMode = bambu.Opt[bool]{}, bambu.Opt[bool]{}
		}, wire.Skip, "01.02.00.00"},
		{"an old firmware that does not tell", "developer_mode", func(f *findings) {
			f.target.Model, _ = bambu.ModelByCode("A1")
			f.session.Status.Machine = bambu.Machine{Firmware: "01.04.00.00"}
		}, wire.Pass, "obeys"},
		{"no firmware told", "firmware", func(f *findings) { f.session.Status.Machine = bambu.Machine{} }, wire.Skip, "refresh"},
		{"an update", "firmware", func(f *findings) { f.session.Status.Machine.UpdateAvailable = "01.03.00.00" }, wire.Pass, "01.03.00.00"},
		{"no card", "storage", func(f *findings) { f.session.Status.Machine.Storage = bambu.Some(false) }, wire.Fail, "Put a card"},
		{"no card, but it can be written", "storage", func(f *findings) {
			f.session.Status.Machine.Storage, f.files = bambu.Some(false), &Files{Tried: true, Writable: true}
		}, wire.Pass, "written"},
		{"not writable", "files", func(f *findings) { f.files = &Files{Tried: true, WriteError: "the storage is full"} }, wire.Fail, "the storage is full."},
		{"not encrypted", "files", func(f *findings) { f.files = &Files{Tried: true, Writable: true} }, wire.Pass, "without encryption"},
		{"silent", "reports", func(f *findings) { f.session.Connection.State = wire.Silent }, wire.Fail, "says nothing"},
		{"deaf", "reports", func(f *findings) { f.session.Connection.Detail = "it does not answer." }, wire.Warn, "It does not answer."},
		{"last report", "reports", func(f *findings) { f.session.LastReport = time.Now().Add(-3 * time.Second) }, wire.Pass, "3s ago"},
		{"weak signal", "wifi", func(f *findings) { f.session.Status.Signal.WiFi = bambu.Some(-81) }, wire.Warn, "-81 dBm"},
		{"no signal told at second hand", "wifi", func(f *findings) { f.session.Partial, f.session.Status.Signal.WiFi = true, bambu.Opt[int]{} }, wire.Skip, "through the hub"},
		{"a cable", "wifi", func(f *findings) { f.session.Status.Machine.Wired = true }, wire.Pass, "cable"},
		{"no name", "address", func(f *findings) { f.mqtt.state = nameless }, wire.Fail, "IP address"},
		{"no route", "address", func(f *findings) { f.mqtt.state = unreachable }, wire.Fail, "route"},
		{"a firewall", "files_port", func(f *findings) { f.mqtt.state, f.filesPort = open, port{"p:990", silent} }, wire.Fail, "firewall"},
		{"no ffmpeg", "camera", func(f *findings) { f.pictureErr = farm.Errorf(farm.FFmpegMissing, "no ffmpeg") }, wire.Warn, "apt install ffmpeg"},
		{"video without ffmpeg", "camera", func(f *findings) { f.picture = true }, wire.Warn, "apt install ffmpeg"},
		{"live view is off", "camera", func(f *findings) { f.pictureErr, f.cameraPort.state = errors.New("it closed"), open }, wire.Fail, "live view"},
		{"a camera that is taken", "camera", func(f *findings) {
			f.target.Model, _ = bambu.ModelByCode("A1")
			f.pictureErr, f.cameraPort.state = errors.New("it closed"), open
		}, wire.Fail, "other viewers"},
		{"no model", "camera_port", func(f *findings) { f.target.Model = bambu.Model{} }, wire.Skip, "model"},
		{"another code beside a session", "access_code", func(f *findings) { f.session.OtherCode, f.files = true, nil }, wire.Skip, "no second session"},
		{"another code at the file server", "access_code", func(f *findings) { f.session.OtherCode, f.files = true, &Files{Tried: true} }, wire.Pass, "file server"},
		{"login came to nothing", "access_code", func(f *findings) {
			f.session, f.mqtt.state, f.login = nil, open, errors.New("bblp:12345678 timed out\x1b[31m\n"+strings.Repeat("x", 1000))
		}, wire.Skip, "bblp:•••• timed out"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := findings{target: target(true), session: online()}
				test.with(&f)
				r := wire.Report{Checks: f.checks()}
				sound(t, r)
				got := checkOf(t, r, test.id)
				if got.Result != test.want || !strings.Contains(got.Detail+" "+got.Mend, test.words) {
					t.Errorf("%+v", got)
				}
				if strings.ContainsAny(got.Detail, "\x1b\n") || len(got.Detail) > 2*maxReason {
					t.Errorf("%q", got.Detail)
				}
			})
		})
	}
}
