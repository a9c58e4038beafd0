package printer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"bambuddy/shared/wire"
)

// fault is why there is no connection, for a person.
type fault struct {
	state  wire.ConnState
	detail string
}

// Reasons for the end of a connection that paho does not know of.
var (
	errSilent = errors.New("no report")
	errSubAck = errors.New("subscription not granted")
)

// loginError is a failure before the printer accepted us.
type loginError struct{ err error }

func (e *loginError) Error() string { return "connect: " + e.err.Error() }
func (e *loginError) Unwrap() error { return e.err }

// faultOf puts an error of attempt into words.
func faultOf(err error, addr string) fault {
	var serial *wrongSerialError
	var changed *certificateChangedError
	var broken *protocolError
	var login *loginError
	switch {
	case errors.As(err, &serial):
		return fault{wire.WrongSerial, fmt.Sprintf("another printer answers at %s: its serial number is %s, not %s. Check the address", addr, serial.got, serial.want)}
	case errors.As(err, &changed):
		return fault{wire.CertificateChanged, "the printer at " + addr + " shows another certificate than before, so the access code was not sent. If the printer was reset or repaired, enter its new access code, or remove the printer and add it again; otherwise something else may be pretending to be it"}
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return fault{wire.WrongAccessCode, "the printer refused the access code. Read it again on the printer's screen: it changes when LAN mode is switched"}
	case errors.As(err, &broken):
		return fault{wire.Unreachable, "what answers at " + addr + " does not speak proper MQTT (" + broken.what + "), the connection was cut"}
	case errors.Is(err, errSilent):
		return fault{wire.Silent, "the printer accepted the connection but does not report; connecting again"}
	case errors.Is(err, errSubAck):
		return fault{wire.Unreachable, "the printer at " + addr + " did not grant us its reports"}
	case errors.As(err, &login):
		return fault{wire.Unreachable, loginDetail(login.err, addr)}
	default:
		return fault{wire.Unreachable, "the connection to " + addr + " was lost; connecting again"}
	}
}

func loginDetail(err error, addr string) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "connection refused"):
		return addr + " refuses connections. Check the address, and that LAN mode is on"
	case errors.Is(err, packets.ErrorRefusedServerUnavailable), errors.Is(err, packets.ErrorRefusedIDRejected), errors.Is(err, packets.ErrorRefusedBadProtocolVersion):
		return "the printer at " + addr + " turned us away: it may have too many connections"
	case errors.Is(err, errHandshake):
		return "something answers at " + addr + ", but not with the encryption of a printer. Check address and port"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer from " + addr + ". Check that the printer is switched on, on the network, and has this address"
	default:
		return "cannot connect to " + addr + ". Check that the printer is switched on, on the network, and has this address"
	}
}
