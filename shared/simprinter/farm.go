package simprinter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

// Options are what a farm needs from outside.
type Options struct {
	Listen     func(addr string) (net.Listener, error) // nil: TCP
	Speed      float64                                 // of prints, times real time; 0: 1
	RealLimits bool                                    // few sessions, a full report once in five minutes on P1 and A1
	Log        *slog.Logger                            // nil: silent

	SSDP     string                      // where the printers announce themselves, as 255.255.255.255:2021; "": they do not
	Announce func(datagram []byte) error // takes the announcements instead of a socket, whatever SSDP says
}

// Farm is many simulated printers in one process. Its methods may be called at
// the same time.
type Farm struct {
	listen     func(addr string) (net.Listener, error)
	speed      float64
	realLimits bool
	log        *slog.Logger
	printers   []*Printer
	ready      chan struct{}
	done       chan struct{}
	sides      sync.WaitGroup
	ssdp       string
	announces  func([]byte) error // nil: none

	samples samples

	mu     sync.Mutex
	issuer *authority
	ledger []LedgerEntry
}

// NewFarm makes printers; Run makes them live.
func NewFarm(specs []Spec, o Options) (*Farm, error) {
	f := &Farm{
		listen: o.Listen, speed: o.Speed, realLimits: o.RealLimits, log: o.Log,
		ready: make(chan struct{}), done: make(chan struct{}), ssdp: o.SSDP, announces: o.Announce,
	}
	if f.listen == nil {
		f.listen = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	if f.speed <= 0 {
		f.speed = 1
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	for _, s := range specs {
		p, err := newPrinter(f, s)
		if err != nil {
			return nil, err
		}
		f.printers = append(f.printers, p)
	}
	return f, nil
}

// Run opens every printer and runs them until ctx ends; Ready tells when all listen.
// A farm runs once.
func (f *Farm) Run(ctx context.Context) (err error) {
	if f.issuer, err = newAuthority(); err != nil {
		return err
	}
	if f.announces == nil && f.ssdp != "" {
		a, err := newAnnouncer(f.ssdp)
		if err != nil {
			return err
		}
		defer func() { _ = a.conn.Close() }()
		f.announces = a.send
	}
	var opened []*Printer
	for _, p := range f.printers {
		if err := p.open(); err != nil {
			for _, o := range opened {
				err = errors.Join(err, o.close())
			}
			return fmt.Errorf("open printer %s: %w", p.spec.Serial, err)
		}
		opened = append(opened, p)
	}
	close(f.ready)
	var all sync.WaitGroup
	for _, p := range f.printers {
		all.Go(func() { p.run(ctx) })
	}
	if f.announces != nil {
		all.Go(func() { f.announce(ctx, f.announces) })
	}
	all.Wait()
	f.mu.Lock()
	close(f.done)
	f.mu.Unlock()
	f.sides.Wait()
	return nil
}

// Ready is closed when every printer listens.
func (f *Farm) Ready() <-chan struct{} { return f.ready }

// Printers are all of them, in the order they were made.
func (f *Farm) Printers() []*Printer { return f.printers }

// Printer finds one by its serial, nil without.
func (f *Farm) Printer(serial string) *Printer {
	i := slices.IndexFunc(f.printers, func(p *Printer) bool { return p.id.serial == serial })
	if i < 0 {
		return nil
	}
	return f.printers[i]
}

// side runs something beside the printers, which Run waits for. It tells whether
// it could: not when the farm has ended.
func (f *Farm) side(do func(done <-chan struct{})) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.done:
		return false
	default:
		f.sides.Go(func() { do(f.done) })
		return true
	}
}

func (f *Farm) leaf(serial string) (tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.issuer.leaf(serial)
}

// LedgerEntry is one print that physically happened: the truth that tests compare
// with.
type LedgerEntry struct {
	Serial    string     `json:"serial"`
	SubtaskID string     `json:"subtask_id"`
	Name      string     `json:"name"`
	SHA256    string     `json:"sha256"`
	Source    string     `json:"source"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"` // null while it prints
	Outcome   string     `json:"outcome"`  // success, failed, stopped; "" while it prints

	Plate           int    `json:"plate"`
	File            string `json:"file"`             // name of its file, "" when none is known
	Path            string `json:"path"`             // where the file was put on the card, "" when it never was
	Timelapse       string `json:"timelapse"`        // path of its film on the card, "" until it is whole
	TimelapseSHA256 string `json:"timelapse_sha256"` // of the whole film
}

// Ledger lists every print that was ever started, oldest first.
func (f *Farm) Ledger() []LedgerEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]LedgerEntry{}, f.ledger...)
}

func (f *Farm) begin(serial string, j *job) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ledger = append(f.ledger, LedgerEntry{
		Serial: serial, SubtaskID: j.subtask, Name: j.Name, SHA256: j.SHA256, Source: j.Source, StartedAt: time.Now().UTC(),
		Plate: j.Plate, File: j.file, Path: j.path,
	})
	return len(f.ledger) - 1
}

// note changes an entry of the ledger; a negative one is none.
func (f *Farm) note(entry int, change func(*LedgerEntry)) {
	if entry < 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.ledger[entry])
}

func (f *Farm) end(entry int, outcome string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now().UTC()
	f.ledger[entry].EndedAt, f.ledger[entry].Outcome = &now, outcome
}

// InventoryEntry is a valid body of POST /printers.
type InventoryEntry struct {
	Name         string `json:"name"`
	Model        string `json:"model"`
	SerialNumber string `json:"serial_number"`
	AccessCode   string `json:"access_code"`
	IPAddress    string `json:"ip_address"`
	MQTTPort     int    `json:"mqtt_port"`
	FTPSPort     int    `json:"ftps_port"`
	CameraPort   int    `json:"camera_port"`
}

// Inventory lists the printers as they are to be registered, once Ready.
func (f *Farm) Inventory() []InventoryEntry {
	out := []InventoryEntry{}
	for _, p := range f.printers {
		s := p.Spec()
		out = append(out, InventoryEntry{s.Name, s.Model, s.Serial, s.AccessCode, s.Address, s.MQTTPort, s.FTPSPort, s.CameraPort})
	}
	return out
}

// Spread moves printers that stand at one IPv4 address to addresses of their own,
// counted from there, and gives all of them the ports of the first, as real ones
// have the same ports.
func Spread(specs []Spec) error {
	if len(specs) == 0 {
		return nil
	}
	first := specs[0]
	at, err := netip.ParseAddr(first.Address)
	if err != nil || !at.Is4() {
		return fmt.Errorf("%q is no IPv4 address to count from", first.Address)
	}
	for i := range specs {
		if !at.IsValid() {
			return fmt.Errorf("there are not %d addresses from %s", len(specs), first.Address)
		}
		s := &specs[i]
		s.Address, s.MQTTPort, s.FTPSPort, s.CameraPort = at.String(), first.MQTTPort, first.FTPSPort, first.CameraPort
		at = at.Next()
	}
	return nil
}

// RealPorts gives printers the ports that real ones have, each camera by its kind.
// Printers at one address would be in each other's way, see Spread; listening at some
// of them takes the right to use ports below 1024.
func RealPorts(specs []Spec) {
	for i := range specs {
		s := &specs[i]
		s.MQTTPort, s.FTPSPort, s.CameraPort = farm.DefaultMQTTPort, farm.DefaultFTPSPort, 0
		if m, ok := bambu.ModelByCode(s.Model); ok {
			s.CameraPort = m.Camera.Port()
		}
	}
}

// Specs makes n printers of the models in turn (nil: all that are sold) at one
// address. Their MQTT ports count from basePort, those of their file servers from
// basePort+n and of their cameras from basePort+2n; all are free ones when it is 0.
func Specs(n int, models []string, address string, basePort int) ([]Spec, error) {
	if len(models) == 0 {
		for _, m := range bambu.Models() {
			if m.Nozzles > 0 {
				models = append(models, m.Code)
			}
		}
	}
	var out []Spec
	for i := range n {
		m, ok := bambu.ParseModel(models[i%len(models)])
		if !ok {
			return nil, fmt.Errorf("there is no model %q", models[i%len(models)])
		}
		s := Spec{
			Serial: fmt.Sprintf("%s00A%09d", m.Prefix, i+1), Name: fmt.Sprintf("%s %d", m.Name, i+1), Model: m.Code,
			AccessCode: fmt.Sprintf("%08d", 10000000+i*7919%89999999), Address: address,
		}
		if basePort > 0 {
			if basePort+3*n-1 > 65535 {
				return nil, fmt.Errorf("port %d + 3 × %d printers goes beyond 65535", basePort, n)
			}
			s.MQTTPort, s.FTPSPort, s.CameraPort = basePort+i, basePort+n+i, basePort+2*n+i
		}
		out = append(out, s)
	}
	return out, nil
}
