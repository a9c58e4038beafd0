package camera

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

// Target is where a printer's camera is and how to get in.
type Target struct {
	Serial     string
	Address    string // host:port
	AccessCode farm.Secret
	Model      bambu.Model // zero when unknown
	TLS        *tls.Config // checks that the certificate is the printer's; it is cloned before use
}

// user is every printer's user name.
const user = "bblp"

const dialTimeout = 10 * time.Second // TCP and TLS

// kind tells which protocol the camera speaks: by the model, or by the usual
// ports while the model is unknown.
func (t Target) kind() (bambu.Camera, error) {
	if t.Model.Code != "" {
		if t.Model.Camera == bambu.CameraNone {
			return "", farm.Errorf(farm.Unsupported, "a %s has no camera that can be watched", t.Model.Name)
		}
		return t.Model.Camera, nil
	}
	switch _, port, _ := net.SplitHostPort(t.Address); port {
	case "6000":
		return bambu.CameraJPEG, nil
	case "322":
		return bambu.CameraRTSP, nil
	}
	if m, ok := bambu.ModelOfSerial(t.Serial); ok && m.Camera != bambu.CameraNone {
		return m.Camera, nil
	}
	return "", farm.Errorf(farm.Unsupported, "the model of this printer is not known yet, so its camera cannot be opened")
}

// finalError is a failure that another try would only repeat.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// offline is a camera that cannot be had; the detail tells a person why.
func offline(cause error, format string, args ...any) *farm.Error {
	return farm.Wrap(farm.PrinterNotConnected, cause, format, args...)
}

// dial opens TLS to the camera. The connection that is returned belongs to the
// caller; raw lies under it and can be closed without a farewell.
func (r *Relay) dial(ctx context.Context, t Target) (conn *tls.Conn, raw net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err = r.o.Dial(ctx, "tcp", t.Address)
	if err != nil {
		return nil, nil, r.unreachable(t, err)
	}
	cfg := t.TLS.Clone()
	var refused error
	if check := cfg.VerifyConnection; check != nil {
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			refused = check(cs)
			return refused
		}
	}
	conn = tls.Client(raw, cfg)
	if err = conn.HandshakeContext(ctx); err == nil {
		return conn, raw, nil
	}
	_ = raw.Close()
	switch {
	case refused != nil:
		return nil, nil, finalError{offline(nil, "the camera's certificate is not this printer's: %v", refused)}
	case closed(err):
		return nil, nil, r.shut(t, err)
	default:
		return nil, nil, offline(err, "no TLS with the camera at %s", t.Address)
	}
}

// unreachable words a connection that could not be made.
func (r *Relay) unreachable(t Target, err error) error {
	if r.off(t.Serial) {
		return r.shut(t, err)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return offline(err, "the camera at %s does not answer", t.Address)
	}
	return offline(err, "the camera at %s cannot be reached", t.Address)
}

// shut words a camera that hangs up as soon as somebody calls, which is what a
// printer does while its LAN live view is off.
func (r *Relay) shut(t Target, err error) error {
	said := "the camera closes the connection at once"
	if r.off(t.Serial) {
		said = "the printer reports that its live view is off"
	}
	return offline(err, "%s: switch on LAN live view on the printer's screen", said)
}

func (r *Relay) off(serial string) bool { return r.o.LiveViewOff != nil && r.o.LiveViewOff(serial) }
