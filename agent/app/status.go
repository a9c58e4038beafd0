package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"bambuddy/agent/internal/diagnose"
	"bambuddy/agent/internal/fleet"
	"bambuddy/agent/internal/hublink"
	"bambuddy/agent/internal/printer"
	"bambuddy/shared/atomicfile"
	"bambuddy/shared/bambu"
	"bambuddy/shared/buildinfo"
	"bambuddy/shared/dirlock"
	"bambuddy/shared/wire"
)

// statusFile is where a running agent tells how it stands, for `status`.
const statusFile = "status.json"

// statusEvery is how old news in the status file may be. It is written when
// something changed, for the sake of memory cards.
const statusEvery = 5 * time.Second

// Status is how a running agent stands. It holds no secret.
type Status struct {
	PID      int             `json:"pid"`
	Version  string          `json:"version"`
	Started  time.Time       `json:"started"`
	Changed  time.Time       `json:"changed"` // when this was written
	Hub      HubStatus       `json:"hub"`
	Printers []PrinterStatus `json:"printers"` // by serial
}

// HubStatus is how the link to the hub stands.
type HubStatus struct {
	URL       string    `json:"url"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`
	Problem   string    `json:"problem,omitempty"` // a sentence
}

// PrinterStatus is how the session with one printer stands.
type PrinterStatus struct {
	Serial string         `json:"serial"`
	State  wire.ConnState `json:"state"`
	Detail string         `json:"detail,omitempty"`
	Since  time.Time      `json:"since"`
	Facts  *PrinterFacts  `json:"facts,omitempty"` // nil: it has told nothing yet
}

// PrinterFacts are what a printer said of itself and what seldom changes, for
// `doctor`, which opens no session of its own beside a running agent.
type PrinterFacts struct {
	Firmware        string          `json:"firmware"`
	UpdateAvailable string          `json:"update_available,omitempty"`
	DeveloperMode   bambu.Opt[bool] `json:"developer_mode"`
	SignedCommands  bambu.Opt[bool] `json:"signed_commands"`
	Storage         bambu.Opt[bool] `json:"storage"`
	Wired           bool            `json:"wired"`
}

// factsOf are the facts of a session, nil before the printer told its firmware.
func factsOf(s printer.Snapshot) *PrinterFacts {
	m := s.Status.Machine
	if m.Firmware == "" {
		return nil
	}
	return &PrinterFacts{
		Firmware: m.Firmware, UpdateAvailable: m.UpdateAvailable,
		DeveloperMode: m.DeveloperMode, SignedCommands: m.SignedCommands, Storage: m.Storage, Wired: m.Wired,
	}
}

// session is what a running agent tells of a session, as a diagnosis wants it.
func (p PrinterStatus) session() *diagnose.Session {
	s := &diagnose.Session{Partial: true, Connection: wire.Connection{State: p.State, Detail: p.Detail, SinceMS: p.Since.UnixMilli()}}
	if f := p.Facts; f != nil {
		s.Status.Machine = bambu.Machine{
			Firmware: f.Firmware, UpdateAvailable: f.UpdateAvailable,
			DeveloperMode: f.DeveloperMode, SignedCommands: f.SignedCommands, Storage: f.Storage, Wired: f.Wired,
		}
	}
	return s
}

// ErrNotRunning is what ReadStatus gives without a running agent.
var ErrNotRunning = errors.New("no agent is running on this data directory")

// ReadStatus tells how the agent that runs on a data directory stands, as of
// some seconds ago.
func ReadStatus(dir string) (Status, error) {
	running, err := dirlock.Held(dir, lockFile)
	if err != nil {
		return Status{}, err
	}
	if !running {
		return Status{}, ErrNotRunning
	}
	b, err := os.ReadFile(filepath.Join(dir, statusFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Status{}, errors.New("the agent has just been started: ask again in a moment")
	}
	var s Status
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return Status{}, fmt.Errorf("read the agent's status: %w", err)
	}
	return s, nil
}

// reporter keeps the status file true.
type reporter struct {
	path    string
	hubURL  string
	link    *hublink.Link
	fleet   *fleet.Fleet
	log     *slog.Logger
	started time.Time
}

func newReporter(dir, hubURL string, link *hublink.Link, printers *fleet.Fleet, log *slog.Logger) *reporter {
	return &reporter{
		path: filepath.Join(dir, statusFile), hubURL: hubURL, link: link, fleet: printers, log: log, started: time.Now(),
	}
}

// Run writes the file until ctx ends, and takes it away then.
func (r *reporter) Run(ctx context.Context) error {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	var last []byte
	failing := false
	for {
		now, err := json.Marshal(r.status())
		if err == nil && !bytes.Equal(now, last) {
			last = now
			err = r.write()
		}
		if err != nil && !failing {
			r.log.Error("the status file cannot be written", "err", err)
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("take away the status file: %w", err)
			}
			return nil
		}
	}
}

func (r *reporter) write() error {
	s := r.status()
	s.Changed = time.Now().UTC().Truncate(time.Second)
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(r.path, b, 0o600)
}

// status is the present one, without the time.
func (r *reporter) status() Status {
	link := r.link.Status()
	s := Status{
		PID: os.Getpid(), Version: buildinfo.Version(), Started: second(r.started),
		Hub:      HubStatus{URL: r.hubURL, Connected: link.Connected, Since: second(link.Since), Problem: link.Problem},
		Printers: []PrinterStatus{},
	}
	for _, d := range r.fleet.Diagnostics() {
		p := PrinterStatus{
			Serial: d.Serial, State: d.Connection.State, Detail: d.Connection.Detail, Since: second(time.UnixMilli(d.Connection.SinceMS)),
		}
		if snapshot, err := r.fleet.Snapshot(d.Serial); err == nil { // else it was just taken away
			p.Facts = factsOf(snapshot)
		}
		s.Printers = append(s.Printers, p)
	}
	return s
}

func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
