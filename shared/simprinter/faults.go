package simprinter

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bambuddy/shared/bambu"
)

// The faults a printer can be told to have.
const (
	powerCut       = "power_cut"       // everything off, the running print is lost
	networkLoss    = "network_loss"    // connections stay open, nothing gets through
	silent         = "silent"          // connected, but it neither reports nor answers
	stalledPublish = "stalled_publish" // it answers, but reports no more
	wrongCode      = "wrong_code"      // the access code is another one
	certChange     = "cert_change"     // another certificate, for good
	reconnectStorm = "reconnect_storm" // every connection dropped each second
	garbage        = "garbage"         // frames that are no JSON among the reports
	nonUTF8        = "non_utf8"        // frames with broken text
	oversized      = "oversized"       // frames of 2 MiB
	hostile        = "hostile"         // frames with wrong types and deep nesting
	verification   = "verification_on" // signed commands only
	printError     = "print_error"     // it pauses with an error
	runout         = "runout"          // it pauses because the filament ran out
	pubackLoss     = "puback_loss"     // requests arrive, the broker acknowledges none
	startIgnored   = "start_ignored"   // starts are acknowledged, nothing happens
	ackLost        = "ack_lost"        // commands work, nobody hears so
	slowParse      = "slow_parse"      // it takes two minutes to begin
	cardMissing    = "card_missing"    // no storage: starts end in an error
	finishDwell    = "finish_dwell"    // a start is accepted, the old state stays for three minutes
	ghostReplay    = "ghost_replay"    // it prints the file that was left on its card again, by itself
	swapSpool      = "swap_spool"      // another spool, which only a full report shows
	reboot         = "reboot"          // off for a while: as power_cut, but clients notice

	verificationSilent = "verification_silent" // signed commands only; others are not even answered
	plateCheck         = "plate_check"         // prints pause for the wrong plate, until told to ignore it
	nozzleMismatch     = "nozzle_mismatch"     // likewise for the wrong nozzle
	feedError          = "feed_error"          // filament does not come out of the AMS
	spoolOut           = "spool_out"           // the spool of the first slot is taken away
	spoolUnknown       = "spool_unknown"       // the first slot holds a spool nobody described
	amsUnplugged       = "ams_unplugged"       // the AMS is gone
	doorOpen           = "door_open"           // on machines that notice
	warning            = "hms_warning"         // a message that stops nothing
	updateOffered      = "update_offered"      // new firmware is there to be installed
	startCancels       = "start_cancels"       // a start cancels the print that runs
	lateAck            = "late_ack"            // answers come after 15 s
	ackNoID            = "ack_no_id"           // answers without the request's id
	lateName           = "late_name"           // a print has the name and ids of the last until it ran for 10 s, see FaultValue
	lateFile           = "late_file"           // the file of a print is on the card when it ran for 20 s, see FaultValue
	internalStorage    = "internal_storage"    // files of prints and films are where nobody can see them
	eatsFile           = "eats_file"           // the file of a print is removed when it ends
)

// delays is the usual value of what comes late, in seconds.
var delays = map[string]float64{lateName: 10, lateFile: 20}

// fault is what happens at the beginning and at the end of one.
type fault struct {
	begin func(*Printer) error // nil: nothing; the caller holds the printer's lock
	end   func(*Printer)       // likewise
	once  bool                 // it is done when it has begun
}

var faultKinds = joined(map[string]fault{
	powerCut: {begin: just(cutPower), end: powerBack},
	reboot: {begin: just(func(p *Printer) {
		p.doors.drop()
		cutPower(p)
	}), end: powerBack},
	networkLoss: {
		begin: just(func(p *Printer) { p.doors.freeze(true) }),
		end:   func(p *Printer) { p.doors.freeze(false) },
	},
	wrongCode: {
		begin: just(func(p *Printer) { p.code = "not-" + p.spec.AccessCode; p.doors.drop() }),
		end:   func(p *Printer) { p.code = p.spec.AccessCode },
	},
	certChange:         {begin: changeCert, once: true},
	verification:       {begin: just(secure), end: unsecure},
	verificationSilent: {begin: just(secure), end: unsecure},
	printError: {
		begin: just(func(p *Printer) {
			p.body.pause(5)
			p.body.printError, p.body.hms = errNozzle, []bambu.HMS{{Attr: 0x03000100, Code: 0x00010001}}
		}),
		end: func(p *Printer) { p.body.printError, p.body.hms = 0, nil },
	},
	runout: {
		begin: just(func(p *Printer) { p.body.ranOut() }),
		end: func(p *Printer) {
			if p.body.refill(); p.body.printError == errRunout {
				p.body.printError, p.body.filament = 0, true
			}
		},
	},
	cardMissing: {
		begin: just(func(p *Printer) { p.body.card = false }),
		end:   func(p *Printer) { p.body.card = true },
	},
	plateCheck:     checks(errPlate),
	nozzleMismatch: checks(errMismatch),
	feedError: {
		begin: just(func(p *Printer) { p.body.jammed = true }),
		end:   func(p *Printer) { p.body.jammed = false },
	},
	spoolOut: {
		begin: just(func(p *Printer) { p.body.takeSpool(tray{}) }),
		end:   func(p *Printer) { p.body.putSpoolBack() },
	},
	spoolUnknown: {
		begin: just(func(p *Printer) { p.body.takeSpool(tray{unknown: true, Remain: -1, Profile: -1}) }),
		end:   func(p *Printer) { p.body.putSpoolBack() },
	},
	amsUnplugged: {
		begin: just(func(p *Printer) { p.body.unplugged = true }),
		end:   func(p *Printer) { p.body.unplugged = false },
	},
	doorOpen: {
		begin: just(func(p *Printer) { p.body.openDoor() }),
		end:   func(p *Printer) { p.body.door = false },
	},
	warning: {
		begin: just(func(p *Printer) { p.body.hms = append(p.body.hms, hmsWarning) }),
		end: func(p *Printer) {
			p.body.hms = slices.DeleteFunc(slices.Clone(p.body.hms), func(h bambu.HMS) bool { return h == hmsWarning })
		},
	},
	updateOffered: {
		begin: just(func(p *Printer) { p.body.update.offered = nextFirmware }),
		end:   func(p *Printer) { p.body.update = update{} },
	},
	swapSpool:   {begin: just(swap), once: true},
	ghostReplay: {begin: ghost, once: true},

	// Those below are asked for where they matter, see has.
	reconnectStorm: {}, silent: {}, stalledPublish: {}, garbage: {}, nonUTF8: {}, oversized: {}, hostile: {},
	pubackLoss: {}, startIgnored: {}, ackLost: {}, slowParse: {}, finishDwell: {},
	startCancels: {}, lateAck: {}, ackNoID: {}, lateName: {}, lateFile: {}, internalStorage: {}, eatsFile: {},
}, cameraFaults(), ftpsFaults())

// joined are the faults of all parts of a printer.
func joined(parts ...map[string]fault) map[string]fault {
	all := map[string]fault{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}

// just is a beginning that cannot fail.
func just(do func(*Printer)) func(*Printer) error {
	return func(p *Printer) error {
		do(p)
		return nil
	}
}

// hmsWarning is a message that stops nothing: the mainboard's, of the kind "info".
var hmsWarning = bambu.HMS{Attr: 0x05000200, Code: 0x00040006}

// nextFirmware is the version of update_offered.
const nextFirmware = "01.09.99.00"

// checks is a fault that makes each print pause with a code, see machine.checked.
func checks(code uint32) fault {
	return fault{
		begin: just(func(p *Printer) { p.body.check = code }),
		end:   func(p *Printer) { p.body.check = 0 },
	}
}

func secure(p *Printer) { p.body.secured = true }

func unsecure(p *Printer) { p.body.secured, p.body.hms = false, nil }

// off tells whether it has no power, or starts anew.
func (p *Printer) off() bool { return p.has(powerCut) || p.has(reboot) }

// powerBack is the end of that: it knows none of its connections any more.
func powerBack(p *Printer) {
	if p.off() { // there is another reason
		return
	}
	p.sent = p.body.tree(p.id)
	p.doors.drop()
	p.doors.freeze(false)
}

// ghost starts the file on the card again, as a new job.
func ghost(p *Printer) error {
	old := p.body.leftover
	if old == nil {
		return fmt.Errorf("there is no file on the card of printer %s", p.spec.Serial)
	}
	again := *old
	again.Source, again.Subtask = "ghost", itoa(1+p.body.rnd.IntN(1<<31-1))
	return p.start(again)
}

// cutPower ends the running print: the printer has forgotten it the moment the
// power goes. Clients are not told; they find out when nobody answers.
func cutPower(p *Printer) {
	if p.body.powerOn() && p.entry >= 0 {
		p.farm.end(p.entry, "failed")
		p.entry, p.coming = -1, nil
	}
	p.late, p.films = nil, nil // what was written of the films stays
	p.doors.freeze(true)
}

func changeCert(p *Printer) error {
	c, err := p.farm.leaf(p.spec.Serial)
	if err != nil {
		return err
	}
	p.cert = c
	p.doors.drop()
	return nil
}

func swap(p *Printer) {
	p.body.trays = slices.Clone(p.body.trays)
	p.body.trays[0] = tray{Type: "ABS", Name: "ABS", Color: "D32941FF", Preset: "GFB00", Remain: 64, Chip: "8A000000000000FF", Min: 240, Max: 270, Profile: -1}
}

// Fault makes a printer misbehave for a while; 0 is until Fault is called for it
// again with a negative duration. cert_change, swap_spool and ghost_replay are done
// at once. An unknown kind is an error that lists the known.
func (p *Printer) Fault(kind string, d time.Duration) error {
	if _, ok := faultKinds[kind]; !ok {
		return fmt.Errorf("there is no fault %q; there are %s", kind, strings.Join(slices.Sorted(maps.Keys(faultKinds)), ", "))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mqtt == nil {
		return fmt.Errorf("printer %s does not run yet", p.spec.Serial)
	}
	if d < 0 {
		p.recover(kind)
		return nil
	}
	return p.strike(kind, d)
}

// strike begins a known fault. The caller holds the lock.
func (p *Printer) strike(kind string, d time.Duration) error {
	f := faultKinds[kind]
	p.log.Info("fault", "kind", kind, "for", d)
	until := time.Time{}
	if d > 0 {
		until = time.Now().Add(d)
	}
	if f.begin != nil {
		if err := f.begin(p); err != nil {
			return fmt.Errorf("fault %s: %w", kind, err)
		}
	}
	if !f.once {
		p.faults[kind] = until
	}
	if p.model.Reports == bambu.StyleFull && kind != swapSpool {
		p.show()
	}
	return nil
}

func (p *Printer) has(kind string) bool {
	_, on := p.faults[kind]
	return on
}

// active are the faults it has, sorted; never nil, for JSON.
func (p *Printer) active() []string {
	out := slices.AppendSeq([]string{}, maps.Keys(p.faults))
	slices.Sort(out)
	return out
}

func (p *Printer) recover(kind string) {
	if !p.has(kind) {
		return
	}
	delete(p.faults, kind)
	if end := faultKinds[kind].end; end != nil {
		end(p)
	}
}

func (p *Printer) expire(now time.Time) {
	for kind, until := range p.faults {
		if !until.IsZero() && !now.Before(until) {
			p.recover(kind)
		}
	}
}

// misbehave does what a fault does each second.
func (p *Printer) misbehave() {
	if p.has(reconnectStorm) {
		p.doors.drop()
	}
	for kind, frame := range map[string]func() []byte{garbage: junk, nonUTF8: brokenText, oversized: huge, hostile: nasty} {
		if p.has(kind) {
			p.mqtt.publish(p.topic, frame())
		}
	}
}
