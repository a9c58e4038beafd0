package ftps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"bambuddy/shared/farm"
)

// reachError is a printer that was not reached, or did not greet.
type reachError struct{ err error }

func (e *reachError) Error() string { return "connect: " + e.err.Error() }
func (e *reachError) Unwrap() error { return e.err }

// handshakeError is TLS that failed on the control connection.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// identityError is a certificate that is not of this printer.
type identityError struct{ err error }

func (e *identityError) Error() string { return e.err.Error() }
func (e *identityError) Unwrap() error { return e.err }

// dataTLSError is a data connection that cannot be encrypted.
type dataTLSError struct{ err error }

func (e *dataTLSError) Error() string { return "encrypted data connection: " + e.err.Error() }
func (e *dataTLSError) Unwrap() error { return e.err }

// replyError is a printer that said no.
type replyError struct {
	verb string
	reply
}

func (e *replyError) Error() string { return e.verb + ": " + e.String() }

// busy tells that somebody else is served.
func (e *replyError) busy() bool { return e.code == 421 || e.code == 425 || e.code == 450 }

// refusedError is a command that cannot be sent.
type refusedError struct{ verb string }

func (e *refusedError) Error() string { return e.verb + ": forbidden characters" }

// sourceError and sinkError are failures of the caller's side of a transfer.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "read what is to be sent: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

type sinkError struct{ err error }

func (e *sinkError) Error() string { return "write what was received: " + e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

// explain makes an error of a session one for the caller.
func explain(ctx context.Context, t Target, path string, err error) error {
	var known *farm.Error
	var source *sourceError
	var sink *sinkError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s on the printer: %w", path, context.Cause(ctx))
	case errors.As(err, &known), errors.As(err, &source), errors.As(err, &sink):
		return err
	case errors.Is(err, errTooSlow):
		return farm.Wrap(farm.PrinterNotConnected, err, "the transfer was so slow that it was given up")
	}
	if e := explainConnect(t, err); e != nil {
		return e
	}
	var said *replyError
	var broken *dataTLSError
	switch answered := errors.As(err, &said); {
	case errors.As(err, &broken) && (!answered || !said.busy()):
		return farm.Wrap(farm.PrinterNotConnected, err, "the printer's encrypted file connection failed")
	case answered:
		return explainReply(said, t, path, err)
	case timedOut(err):
		return farm.Wrap(farm.PrinterNotConnected, err, "the printer at %s stopped answering in the middle of it", t.Address)
	default:
		return farm.Wrap(farm.PrinterNotConnected, err, "the connection to the printer's files at %s broke off", t.Address)
	}
}

// explainConnect is for what failed before the login; nil for everything else.
func explainConnect(t Target, err error) error {
	var stranger *identityError
	var tlsFailed *handshakeError
	var unreached *reachError
	switch {
	case errors.As(err, &stranger):
		return farm.Wrap(farm.PrinterNotConnected, err, "what answers at %s is not this printer, so the access code was not sent", t.Address)
	case errors.As(err, &tlsFailed) && !timedOut(err):
		return farm.Wrap(farm.PrinterNotConnected, err, "something answers at %s, but not with the encryption of a printer's file server. Check address and port", t.Address)
	case !errors.As(err, &unreached) && !errors.As(err, &tlsFailed):
		return nil
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "connection refused"):
		return farm.Wrap(farm.PrinterNotConnected, err, "%s refuses connections. Check the address, and that LAN mode is on", t.Address)
	case timedOut(err):
		return farm.Wrap(farm.PrinterNotConnected, err, "no answer from the printer's files at %s. Check that the printer is switched on, on the network, and has this address", t.Address)
	default:
		return farm.Wrap(farm.PrinterNotConnected, err, "cannot connect to the printer's files at %s. Check that the printer is switched on, on the network, and has this address", t.Address)
	}
}

// explainReply is for a printer that said no.
func explainReply(said *replyError, t Target, path string, err error) error {
	if said.busy() {
		return farm.Wrap(farm.PrinterBusy, err, "the printer opens no connection for the file, as one that is busy with another (%s)", said)
	}
	storing := said.verb == "STOR"
	switch said.code {
	case 530, 430, 331, 332:
		return farm.Wrap(farm.PrinterNotConnected, err, "the printer refused the access code. Read it again on the printer's screen: it changes when LAN mode is switched")
	case 552, 452:
		return farm.Wrap(farm.PrinterRefused, err, "the printer's storage is full (%s)", said)
	case 553:
		return farm.Wrap(farm.PrinterRefused, err, "the printer cannot create the file: no card or stick, full, write protected, or no such folder (%s)", said)
	case 522:
		return farm.Wrap(farm.PrinterNotConnected, err, "the printer does not take the connection for the file as part of the session it knows (%s)", said)
	case 426, 451:
		return farm.Wrap(farm.Unavailable, err, "the printer broke off the transfer (%s)", said)
	case 550:
		if storing {
			return farm.Wrap(farm.PrinterRefused, err, "the printer does not take the file (%s)", said)
		}
		return farm.Wrap(farm.FileUnavailable, err, "the printer has no %s", path)
	default:
		return farm.Wrap(farm.PrinterRefused, err, "the printer at %s refused (%s)", t.Address, said)
	}
}

func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// cut tells an end that is none: of the connection, not of the data.
func cut(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}
