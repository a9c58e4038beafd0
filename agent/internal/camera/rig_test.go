package camera

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/simprinter/simcam"
	"bambuddy/shared/testcert"
)

const (
	serial = "01P00A000000001"
	code   = farm.Secret("12345678")
)

// rig is a Relay and one printer's camera.
type rig struct {
	*Relay
	t      *testing.T
	target Target
	cancel context.CancelFunc
	over   chan error
	cam    *simcam.Server
	ends   []func()
}

// newRig makes a Relay that runs, for a camera at addr that is dialled so. The end
// of the test, or of its bubble, is the caller's: close.
func newRig(t *testing.T, kind bambu.Camera, addr string, o Options) *rig {
	t.Helper()
	r := &rig{t: t, over: make(chan error, 1), target: targetAt(kind, addr)}
	o.Log = slog.New(slog.DiscardHandler)
	if o.Target == nil {
		o.Target = func(s string) (Target, error) {
			if s != serial {
				return Target{}, farm.Errorf(farm.NotFound, "no printer %s", s)
			}
			return r.target, nil
		}
	}
	r.Relay = New(o)
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.over <- r.Run(ctx) }()
	return r
}

// targetAt is a printer's camera, with the checks of its certificate that the
// session makes.
func targetAt(kind bambu.Camera, addr string) Target {
	model, _ := bambu.ModelByCode(map[bambu.Camera]string{bambu.CameraJPEG: "P1S", bambu.CameraRTSP: "X1C"}[kind])
	return Target{Serial: serial, Address: addr, AccessCode: code, Model: model, TLS: &tls.Config{
		ServerName: serial, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.PeerCertificates[0].Subject.CommonName != serial {
				return errors.New("certificate is of another")
			}
			return nil
		},
	}}
}

// close ends the Relay, then the cameras.
func (r *rig) close() {
	r.t.Helper()
	r.cancel()
	if err := <-r.over; err != nil {
		r.t.Error(err)
	}
	for _, end := range r.ends {
		end()
	}
}

// memRig is a rig in memory with a simulated camera.
func memRig(t *testing.T, kind bambu.Camera, q simcam.Quirks, o Options) *rig {
	t.Helper()
	network := memnet.New()
	o.Dial = network.Dialer("agent")
	r := newRig(t, kind, "cam:1", o)
	l, err := network.Listen("cam:1")
	if err != nil {
		t.Fatal(err)
	}
	r.serve(kind, q, l)
	return r
}

// serve lets a simulated camera serve the listener.
func (r *rig) serve(kind bambu.Camera, q simcam.Quirks, l net.Listener) {
	r.t.Helper()
	r.cam = simcam.New(simcam.Config{
		Kind: kind, TLS: serverTLS(r.t, serial), Code: code.Reveal, Every: 500 * time.Millisecond,
		Scene: func() simcam.Scene { return simcam.Scene{Serial: serial, Name: "P", State: "RUNNING"} },
	})
	r.cam.Tune(q)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- r.cam.Serve(ctx, l) }()
	r.ends = append(r.ends, func() {
		cancel()
		if err := <-over; err != nil {
			r.t.Error(err)
		}
	})
}

// fakeRig is a rig in memory whose camera is a function, called for every
// connection with its number, from 1. It has done TLS already.
func fakeRig(t *testing.T, kind bambu.Camera, serve func(n int, c net.Conn)) *rig {
	t.Helper()
	network := memnet.New()
	r := newRig(t, kind, "cam:1", Options{Dial: network.Dialer("agent")})
	l, err := network.Listen("cam:1")
	if err != nil {
		t.Fatal(err)
	}
	cfg := serverTLS(t, serial)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			serve(n, tls.Server(raw, cfg))
			_ = raw.Close()
		}
	}()
	r.ends = append(r.ends, func() {
		_ = l.Close()
		<-done
	})
	return r
}

func serverTLS(t testing.TB, name string) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{testcert.New(t, name)}, MaxVersion: tls.VersionTLS12}
}

// watch is Watch that has to work.
func (r *rig) watch(kind Kind, fps float64) *Viewer {
	r.t.Helper()
	v, err := r.Watch(r.t.Context(), serial, kind, fps)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// next is Next that has to give a frame within the time.
func next(t *testing.T, v *Viewer, within time.Duration) Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	frame, err := v.Next(ctx)
	if err != nil {
		t.Fatalf("no frame: %v", err)
	}
	return frame
}

// wantEnd waits for the end of a stream with this code and gives its reason.
func wantEnd(t *testing.T, v *Viewer, code farm.Code) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for {
		if _, err := v.Next(ctx); err != nil {
			if farm.CodeOf(err) != code {
				t.Fatalf("ended with %v, want %s", err, code)
			}
			return err.Error()
		}
	}
}

// cheap is a camera of pictures that are hardly any, for tests with many of them.
type cheap struct {
	opened, open, sent atomic.Int64
	off                atomic.Bool
}

// cheapRig is a rig whose camera serves one viewer and sends two pictures a
// second.
func cheapRig(t *testing.T) (*rig, *cheap) {
	t.Helper()
	cam := &cheap{}
	return fakeRig(t, bambu.CameraJPEG, func(_ int, c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, loginSize)); err != nil || cam.off.Load() {
			return
		}
		cam.opened.Add(1)
		cam.open.Add(1)
		defer cam.open.Add(-1)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = c.Read(make([]byte, 1))
		}()
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for !cam.off.Load() {
			if _, err := c.Write(pack(len(good), good)); err != nil {
				break
			}
			cam.sent.Add(1)
			select {
			case <-ticker.C:
			case <-gone:
				return
			}
		}
		_ = c.Close()
		<-gone
	}), cam
}
