package diagnose

import (
	"fmt"
	"strings"
	"time"

	"bambuddy/shared/wire"
)

// The checks are pure: findings in, verdicts out.

// checks judges the findings, in the order in which a person would look.
func (f *findings) checks() []wire.Check {
	return []wire.Check{
		f.checkAddress(), f.checkMQTTPort(), f.checkCertificate(), f.checkAccessCode(), f.checkReports(),
		f.checkDeveloperMode(), f.checkFirmware(), f.checkStorage(),
		f.checkFilesPort(), f.checkFiles(), f.checkCameraPort(), f.checkCamera(), f.checkWiFi(),
	}
}

func pass(id, title, detail string, args ...any) wire.Check {
	return wire.Check{ID: id, Title: title, Result: wire.Pass, Detail: fmt.Sprintf(detail, args...)}
}

func flaw(result wire.Verdict, id, title, mend, detail string, args ...any) wire.Check {
	return wire.Check{ID: id, Title: title, Result: result, Detail: fmt.Sprintf(detail, args...), Mend: mend}
}

// Advice that several checks give.
const (
	mendAddress = "Check that the printer is switched on and on the network, and compare its address with the one on its screen (Settings > Network). Give it a fixed address in the router."
	mendEarlier = "Mend what failed above first."
	mendCode    = "Read the access code again on the printer's screen (Settings > Network, or LAN only mode) and enter it for this printer. It changes when LAN mode is switched or the code is refreshed."
	mendSession = "See that the agent is connected to the printer, wait a minute, and look again."
	mendRunning = "The running agent holds the printer. Ask it through the hub: the printer's diagnostics there look at everything."
)

func (f *findings) checkAddress() wire.Check {
	const id, title = "address", "Address"
	host := f.target.Config.Address
	for _, p := range []port{f.mqtt, f.filesPort, f.cameraPort} {
		if p.answers() {
			return pass(id, title, "A machine answers at %s.", host)
		}
	}
	switch f.mqtt.state {
	case nameless:
		return flaw(wire.Fail, id, title, "Enter the printer's IP address instead of its name, or mend the name service of the agent's machine.", "No address is known for the name %s.", host)
	case unreachable:
		return flaw(wire.Fail, id, title, mendAddress+" If the printer is in another network, a route to it is needed on the agent's machine.", "There is no way to %s from here.", host)
	default:
		return flaw(wire.Fail, id, title, mendAddress+" Between networks a firewall may be in the way.", "Nothing answers at %s.", host)
	}
}

// reached tells whether anything of the printer's machine answered.
func (f *findings) reached() bool {
	return f.mqtt.answers() || f.filesPort.answers() || f.cameraPort.answers()
}

// checkPort judges one port; closed is what to do when the machine refuses.
func (f *findings) checkPort(id, title string, p port, closed string) wire.Check {
	switch {
	case p.state == open:
		return pass(id, title, "%s is open.", p.addr)
	case !f.reached():
		return flaw(wire.Skip, id, title, mendEarlier, "The printer cannot be reached.")
	case p.state == refused:
		return flaw(wire.Fail, id, title, closed, "%s refuses connections.", p.addr)
	default:
		return flaw(wire.Fail, id, title, "Something between the agent and the printer swallows what is sent to this port: allow it in the firewall (TCP 8883, 990, 50000-50100, and 6000 or 322).", "No answer from %s.", p.addr)
	}
}

func (f *findings) checkMQTTPort() wire.Check {
	return f.checkPort("mqtt_port", "Control port (MQTT)", f.mqtt,
		"Switch on LAN only mode on the printer's screen (Settings > Network), and check that the address is a printer's. A printer that has just been switched on needs two minutes.")
}

func (f *findings) checkCertificate() wire.Check {
	const id, title = "certificate", "Certificate"
	serial, who := f.target.Config.Serial, f.identity
	shown := printable(who.name, 40)
	switch {
	case f.mqtt.state != open:
		return flaw(wire.Skip, id, title, mendEarlier, "There is no connection to look at.")
	case who.err == nil:
		return pass(id, title, "The certificate is of %s.", serial)
	case who.name == "":
		return flaw(wire.Fail, id, title, "Check address and port. If both are right, switch the printer off and on.", "Something answers at %s, but not with the encryption of a printer.", f.mqtt.addr)
	case !strings.EqualFold(who.name, serial):
		return flaw(wire.Fail, id, title, "Enter the address of the right printer, or correct the serial number. Two printers may have swapped addresses: give each a fixed one.", "Another machine answers at %s: its certificate is of %q, not of %s. The access code was not sent.", f.mqtt.addr, shown, serial)
	default:
		return flaw(wire.Fail, id, title, "If the printer was reset or repaired, enter its new access code, or remove the printer and add it again. Otherwise something may be pretending to be it: find out what has this address.", "The certificate is of %s, but another one than before. The access code was not sent.", serial)
	}
}

func (f *findings) checkAccessCode() wire.Check {
	const id, title = "access_code", "Access code"
	switch s := f.session; {
	case s != nil && s.OtherCode && f.files != nil:
		return pass(id, title, "The printer's file server accepted it.")
	case s != nil && s.OtherCode:
		return flaw(wire.Skip, id, title, "See whether files or camera accepted it. If they cannot be reached either, save the code and look at the connection.", "It was not tried: the agent is connected with the saved one, and opens no second session.")
	case s != nil && (s.Connection.State == wire.Online || s.Connection.State == wire.Silent):
		return pass(id, title, "The printer accepted it.")
	case s != nil && s.Connection.State == wire.WrongAccessCode:
		return flaw(wire.Fail, id, title, mendCode, "The printer refused it.")
	case f.files != nil:
		return pass(id, title, "The printer's file server accepted it.")
	case s != nil:
		return flaw(wire.Skip, id, title, mendSession, "It could not be tried: %s.", unfinished(s.Connection))
	case f.login != nil:
		return flaw(wire.Skip, id, title, mendEarlier, "It could not be tried: %s.", f.reason(f.login))
	case f.identity.err != nil || f.mqtt.state != open:
		return flaw(wire.Skip, id, title, mendEarlier, "It was not sent, for want of a connection to the right printer.")
	default:
		return flaw(wire.Skip, id, title, "Save the printer, and look again once the agent has connected.", "No session with the printer is kept, and none was opened to look.")
	}
}

// unfinished is the sentence of a connection without the stop at its end.
func unfinished(c wire.Connection) string {
	if c.Detail == "" {
		return "the session is " + strings.ReplaceAll(string(c.State), "_", " ")
	}
	return strings.TrimSuffix(printable(c.Detail, maxReason), ".")
}

func (f *findings) checkReports() wire.Check {
	const id, title = "reports", "Reports"
	s := f.session
	switch {
	case s == nil:
		return flaw(wire.Skip, id, title, f.mendSession(), "There is no session with the printer.")
	case s.Connection.State == wire.Online && s.Connection.Detail != "":
		return flaw(wire.Warn, id, title, "Compare the serial number with the one on the printer's screen, and switch the printer off and on.", "%s.", sentence(unfinished(s.Connection)))
	case s.Connection.State == wire.Online && !s.LastReport.IsZero():
		return pass(id, title, "The last one came %s ago.", ago(s.LastReport))
	case s.Connection.State == wire.Online:
		return pass(id, title, "The printer reports.")
	case s.Connection.State == wire.Silent:
		return flaw(wire.Fail, id, title, "Switch the printer off and on. Other programs that are connected to it (slicers, home automation) take sessions away: close some.", "The printer accepts the connection and says nothing.")
	default:
		return flaw(wire.Skip, id, title, mendEarlier, "The agent is not connected: %s.", unfinished(s.Connection))
	}
}

// mendSession is what to do about a session that is missing.
func (f *findings) mendSession() string {
	if f.mqtt.state != open || f.identity.err != nil {
		return mendEarlier
	}
	return mendSession
}

func ago(t time.Time) time.Duration {
	return max(0, time.Since(t)).Round(time.Second)
}

// CheckClock judges how much the agent's clock is ahead of the hub's.
func CheckClock(title string, ahead time.Duration) wire.Check {
	const id = "clock"
	direction := "ahead of"
	if ahead < 0 {
		direction, ahead = "behind", -ahead
	}
	if ahead <= maxSkew {
		return pass(id, title, "It agrees with the hub's.")
	}
	return flaw(wire.Warn, id, title, "Let the agent's machine and the hub's set their clocks by the network (NTP, for example with systemd-timesyncd). Wrong clocks make times of prints wrong and certificates invalid.",
		"It is %s %s the hub's.", ahead.Round(time.Second), direction)
}

// maxSkew is how far clocks may be apart.
const maxSkew = 10 * time.Second
