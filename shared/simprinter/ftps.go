package simprinter

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/ftpserver"
)

// The faults of a printer's file server. The number is their value when none is given,
// see FaultValue. A missing card shows too, see cardMissing.
const (
	ftpsLate        = "ftps_late"           // the 226 comes late: 40 seconds
	ftpsFalse426    = "ftps_false_426"      // whole uploads are called broken
	ftpsLost226     = "ftps_lost_226"       // whole uploads end without an answer
	ftpsDrop        = "ftps_drop"           // transfers break after 65536 bytes
	ftpsSlow        = "ftps_slow"           // transfers at 50000 bytes a second
	ftpsPasvZero    = "ftps_pasv_zero"      // PASV names 0.0.0.0
	ftpsPasvAway    = "ftps_pasv_elsewhere" // PASV names another host
	ftpsMute        = "ftps_mute"           // connections are taken and never answered
	ftpsFragileTLS  = "ftps_fragile_tls"    // transfers in TLS never come to an end
	ftpsEndlessList = "ftps_endless_list"   // listings do not end
	ftpsHostileList = "ftps_hostile_names"  // listings have lines that no honest server sends
	ftpsFull        = "ftps_full"           // nothing more can be stored
	ftpsOneSession  = "ftps_one_session"    // a second session gets no data connections
)

// ftpsQuirk is a fault as the server knows it.
type ftpsQuirk struct {
	usual float64
	set   func(q *ftpserver.Quirks, value float64)
}

var ftpsQuirks = map[string]ftpsQuirk{
	ftpsLate:        {40, func(q *ftpserver.Quirks, v float64) { q.LateReply = time.Duration(v * float64(time.Second)) }},
	ftpsFalse426:    {0, func(q *ftpserver.Quirks, _ float64) { q.FalseFailure = true }},
	ftpsLost226:     {0, func(q *ftpserver.Quirks, _ float64) { q.LoseReply = true }},
	ftpsDrop:        {65536, func(q *ftpserver.Quirks, v float64) { q.DropAfter = int64(v) }},
	ftpsSlow:        {50000, func(q *ftpserver.Quirks, v float64) { q.Rate = int(v) }},
	ftpsPasvZero:    {0, func(q *ftpserver.Quirks, _ float64) { q.PassiveHost = "0.0.0.0" }},
	ftpsPasvAway:    {0, func(q *ftpserver.Quirks, _ float64) { q.PassiveHost = "192.0.2.254" }},
	ftpsMute:        {0, func(q *ftpserver.Quirks, _ float64) { q.Mute = true }},
	ftpsFragileTLS:  {0, func(q *ftpserver.Quirks, _ float64) { q.FragileTLS = true }},
	ftpsEndlessList: {0, func(q *ftpserver.Quirks, _ float64) { q.EndlessLists = true }},
	ftpsHostileList: {0, func(q *ftpserver.Quirks, _ float64) { q.HostileNames = true }},
	ftpsFull:        {0, func(q *ftpserver.Quirks, _ float64) { q.Full = true }},
	ftpsOneSession:  {0, func(q *ftpserver.Quirks, _ float64) { q.OneSession = true }},
}

// ftpsFaults are the faults above, as the printer knows them. The server asks for
// them where they matter.
func ftpsFaults() map[string]fault {
	out := map[string]fault{}
	for name := range ftpsQuirks {
		out[name] = fault{}
	}
	return out
}

// FaultValue says how bad a fault is that has a measure: the seconds, bytes or bytes a
// second of ftps_late, ftps_drop and ftps_slow, the seconds of late_name and late_file,
// which pass as fast as prints do. It holds until it is changed, whether
// the printer has the fault or not.
func (p *Printer) FaultValue(kind string, value float64) error {
	if usual(kind) == 0 {
		return fmt.Errorf("fault %q has no value", kind)
	}
	if !(value >= 1 && value <= 1e9) { // NaN is not above 1
		return fmt.Errorf("the value of fault %s is 1 to 1000000000", kind)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.values == nil {
		p.values = map[string]float64{}
	}
	p.values[kind] = value
	return nil
}

// usual is the value of a fault when none is given, 0 when it has none.
func usual(kind string) float64 {
	if q, ok := ftpsQuirks[kind]; ok {
		return q.usual
	}
	return delays[kind]
}

// value is how bad a fault is. The caller holds the lock.
func (p *Printer) value(kind string) float64 {
	if v, given := p.values[kind]; given {
		return v
	}
	return usual(kind)
}

// measure is the same for one that is counted in seconds.
func (p *Printer) measure(kind string) time.Duration {
	return time.Duration(p.value(kind) * float64(time.Second))
}

// quirks are the failings of the file server at this moment.
func (p *Printer) quirks() ftpserver.Quirks {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := ftpserver.Quirks{NoCard: !p.body.card}
	for kind := range p.faults {
		if f, ok := ftpsQuirks[kind]; ok {
			f.set(&q, p.value(kind))
		}
	}
	return q
}

// character is the kind of file server that a model has.
func character(m bambu.Model) ftpserver.Character {
	switch {
	case strings.HasPrefix(m.Code, "A"):
		return ftpserver.A1()
	case strings.HasPrefix(m.Code, "P1"):
		return ftpserver.P1()
	}
	return ftpserver.VSFTPD()
}

// openFTPS lets the file server listen. The caller holds the lock.
func (p *Printer) openFTPS() error {
	g, err := p.door(&p.spec.FTPSPort)
	if err != nil {
		return fmt.Errorf("open the file server: %w", err)
	}
	s := ftpserver.New(ftpserver.Options{
		TLS: p.secure(), Login: p.admits, Storage: p.storage, Character: character(p.model), Quirks: p.quirks, Log: p.log,
		Listen: func(addr string) (net.Listener, error) {
			l, err := p.farm.listen(addr)
			if err != nil {
				return nil, err
			}
			return g.beside(l), nil
		},
	})
	p.services = append(p.services, service{"file server", func(ctx context.Context) error { return s.Serve(ctx, g) }})
	return nil
}
