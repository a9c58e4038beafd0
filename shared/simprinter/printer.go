package simprinter

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"sync"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/ftpserver"
	"bambuddy/shared/simprinter/simcam"
)

// Spec is a printer to be simulated.
type Spec struct {
	Serial     string
	Name       string
	Model      string // code, see bambu.Models
	AccessCode string
	Address    string // to listen at
	MQTTPort   int    // 0: a free one
	FTPSPort   int    // 0: a free one
	CameraPort int    // 0: a free one; of no meaning without a camera
	Firmware   string // "": a likely one
	CardSize   int64  // bytes that its storage holds, 0: 256 MiB

	DetectPort    int  // of the handshake that finds out who is there, 3000 on real ones; 0: none
	DetectTLSPort int  // the same with TLS, 3002; 0: none
	Cloud         bool // it tells discovery that it belongs to a cloud account
}

// tick is how often a printer moves and reports.
const tick = time.Second

// Printer is one simulated printer. Its methods may be called at the same time.
type Printer struct {
	farm     *Farm
	spec     Spec
	model    bambu.Model
	id       identity
	log      *slog.Logger
	gate     *gate
	cert     tls.Certificate
	mqtt     *broker
	doors    doors // all of them, the gate too
	camera   *simcam.Server
	storage  *ftpserver.Memory
	services []service // what runs beside the broker
	topic    string

	requests chan []byte
	mu       sync.Mutex
	body     *machine
	code     string
	faults   map[string]time.Time // active ones, until when
	values   map[string]float64   // of faults that have one
	coming   *delivery            // a file on its way to the card
	films    []*film              // those that are still written
	sent     obj                  // the report as clients know it
	whole    time.Time            // when the last full report went out
	seq      int
	asked    time.Time // when the last full report went out, for RealLimits
	entry    int       // of the ledger, of the running job
	playing  bool      // a capture is being replayed
	beats    int
	lastSeq  string
	late     []lateAnswer
	limits   bool // those of real firmware, see SetRealLimits
}

func newPrinter(f *Farm, s Spec) (*Printer, error) {
	m, ok := bambu.ModelByCode(s.Model)
	if !ok {
		return nil, fmt.Errorf("printer %s: there is no model %q", s.Serial, s.Model)
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(s.Serial)) // never fails
	p := &Printer{
		farm: f, spec: s, model: m, log: f.log.With("serial", s.Serial), topic: "device/" + s.Serial + "/report",
		requests: make(chan []byte, 64), body: newMachine(m, hash.Sum64()), code: s.AccessCode, faults: map[string]time.Time{}, entry: -1,
		seq: 1000, limits: f.realLimits, whole: time.Now(),
	}
	if p.spec.Firmware == "" {
		p.spec.Firmware = firmwares[m.Code]
	}
	p.body.flash(p.spec.Firmware)
	p.id = identity{serial: s.Serial, name: s.Name, ip: littleEndian(s.Address)}
	p.sent = p.body.tree(p.id)
	p.camera = p.newCamera()
	p.storage = newStorage(m, s.CardSize)
	return p, nil
}

func littleEndian(address string) uint32 {
	ip := net.ParseIP(address).To4()
	if ip == nil {
		return 0
	}
	return uint32(ip[0]) | uint32(ip[1])<<8 | uint32(ip[2])<<16 | uint32(ip[3])<<24
}

// open makes the printer listen.
func (p *Printer) open() (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cert, err = p.farm.leaf(p.spec.Serial); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			p.doors.close()
		}
	}()
	for _, open := range []func() error{p.openFTPS, p.openCamera, p.openDetect, p.openBroker} {
		if err = open(); err != nil {
			return err
		}
	}
	return nil
}

// close ends the printer as its mains switch would: connections break first, or
// the broker would wait to say goodbye to clients nobody can reach.
func (p *Printer) close() error {
	p.doors.close() // the broker closes its gate again
	return p.mqtt.close()
}

// run lives until ctx ends.
func (p *Printer) run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	for _, s := range p.services {
		beside.Go(func() {
			if err := s.run(ctx); err != nil {
				p.log.Error("it ended", "service", s.name, "err", err)
			}
		})
	}
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := p.close(); err != nil {
				p.log.Warn("broker not closed", "err", err)
			}
			return
		case r := <-p.requests:
			p.handle(r)
		case now := <-t.C:
			p.beat(now)
		}
	}
}

// beat moves the machine and reports what changed.
func (p *Printer) beat(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beats++
	p.expire(now)
	if !p.off() {
		if p.body.step(time.Duration(float64(tick) * p.farm.speed)) {
			p.settle(p.body.job)
		}
		p.installed()
		p.replyLate(now)
	}
	p.deliver(now)
	p.develop(now)
	p.misbehave()
	if p.model.Reports == bambu.StyleDelta && p.beats%2 == 1 && p.sent["gcode_state"] == p.body.state {
		return // every other second, but no state is skipped
	}
	p.report(p.model.Reports == bambu.StyleFull && now.Sub(p.whole) >= wholeEvery)
}

// wholeEvery is how often the X1, P2, X2 and H2 families send everything unasked.
const wholeEvery = time.Minute

// admits checks a login, as real printers do: by the code alone.
func (p *Printer) admits(user, password string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return user == "bblp" && password == p.code
}

// full tells whether the printer serves no more clients than it has.
func (p *Printer) full(clients int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limits && clients >= p.sessions()
}

// losesAcks tells whether the broker is to leave requests unacknowledged.
func (p *Printer) losesAcks() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.has(pubackLoss)
}

// SetRealLimits gives one printer the limits of real firmware, or takes them away:
// few sessions, and a full report once in five minutes on P1 and A1. Sessions that
// stand are left alone.
func (p *Printer) SetRealLimits(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = on
}

// sessions is how many clients the firmware serves.
func (p *Printer) sessions() int {
	if p.model.Code == "A1" || p.model.Code == "A1MINI" {
		return 2
	}
	return 4
}

func (p *Printer) dropsRequestListeners() bool { return p.model.Reports == bambu.StyleDelta }

// received takes a request from a client's goroutine; a printer that is too slow
// loses some, as real ones do.
func (p *Printer) received(payload []byte) {
	select {
	case p.requests <- bytes.Trim(payload, "\x00 \r\n\t"):
	default:
		p.log.Warn("request lost: too many at once")
	}
}

// Start starts a print as a slicer, the screen or the cloud would.
func (p *Printer) Start(j PrintJob) error {
	if err := j.read(); err != nil {
		return fmt.Errorf("start a print: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.start(j)
}

// settle writes the end of a print into the ledger.
func (p *Printer) settle(j *job) {
	if p.entry >= 0 {
		p.farm.end(p.entry, j.outcome)
		p.film(j)
		p.eat(j)
		p.entry, p.coming = -1, nil
	}
}

// Pause, Resume and Stop act as a person at the screen.

// Pause pauses the print.
func (p *Printer) Pause() error {
	return p.act("pause", func() bool { return p.body.pause(16) })
}

// Resume goes on with it.
func (p *Printer) Resume() error { return p.act("resume", func() bool { return p.body.resume() }) }

// Stop cancels it.
func (p *Printer) Stop() error { return p.act("stop", p.cancel) }

func (p *Printer) act(what string, do func() bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off() || !do() {
		return fmt.Errorf("printer %s cannot %s: it is %s", p.spec.Serial, what, p.body.state)
	}
	p.show()
	return nil
}

func (p *Printer) cancel() bool {
	if !p.body.stop() {
		return false
	}
	p.settle(p.body.job)
	return true
}

// Clients is how many MQTT clients are connected.
func (p *Printer) Clients() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clients()
}

func (p *Printer) clients() int {
	if p.mqtt == nil { // it does not run yet
		return 0
	}
	return p.mqtt.clients()
}

// Spec is what the printer was made of, with the port it listens at.
func (p *Printer) Spec() Spec {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spec
}

// State is a printer as the control API shows it.
type State struct {
	Serial     string   `json:"serial"`
	Name       string   `json:"name"`
	Model      string   `json:"model"`
	Address    string   `json:"address"`
	MQTTPort   int      `json:"mqtt_port"`
	GcodeState string   `json:"gcode_state"`
	Progress   int      `json:"progress"`
	Job        string   `json:"job"`
	Clients    int      `json:"clients"`
	Faults     []string `json:"faults"`
	RealLimits bool     `json:"real_limits"`
}

// State tells how the printer is.
func (p *Printer) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.body.jobView()
	return State{
		Serial: p.spec.Serial, Name: p.spec.Name, Model: p.model.Code, Address: p.spec.Address, MQTTPort: p.spec.MQTTPort,
		GcodeState: p.body.state, Progress: j.percent, Job: j.name, Clients: p.clients(), Faults: p.active(), RealLimits: p.limits,
	}
}
