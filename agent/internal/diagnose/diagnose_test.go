package diagnose

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/wire"
)

// verdicts are the results that are not Pass, as "id result".
func verdicts(r wire.Report) []string {
	var all []string
	for _, c := range r.Checks {
		if c.Result != wire.Pass {
			all = append(all, c.ID+" "+string(c.Result))
		}
	}
	return all
}

func writable(context.Context, Target) (Files, error) {
	return Files{Tried: true, Entries: 3, Writable: true, Encrypted: true}, nil
}

func picture(context.Context, Target) error { return nil }

func TestAPrinterThatIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		network.Serve(t, "p:8883", shows(t, serial))
		d := New(Options{
			Dial: network.Dialer("agent"), FFmpeg: "/usr/bin/ffmpeg", Files: writable, Picture: picture,
			Login: func(context.Context, Target) (Session, error) { t.Error("a second session"); return Session{}, nil },
		})
		r := d.Printer(t.Context(), target(true), online())
		sound(t, r)
		if got := verdicts(r); len(got) != 0 || wire.Worst(r.Checks) != wire.Pass || len(r.Checks) != 13 {
			t.Errorf("%v of %d", got, len(r.Checks))
		}
		if r.Serial != serial || r.Address != "p" || r.AtMS != time.Now().UnixMilli() {
			t.Errorf("%+v", r)
		}
	})
}

func TestPrintersThatAreNot(t *testing.T) {
	refusing := func(err error) func(context.Context, Target) (Files, error) {
		return func(context.Context, Target) (Files, error) { return Files{}, err }
	}
	noPicture := func(context.Context, Target) error {
		return farm.Errorf(farm.PrinterNotConnected, "the camera closed at once")
	}
	state := func(s wire.ConnState) *Session {
		return &Session{Connection: wire.Connection{State: s, Detail: "it is so"}}
	}
	rest := []string{"reports skip", "developer_mode skip", "firmware skip", "storage skip"}
	all := func(lists ...[]string) []string { return slices.Concat(lists...) }
	for _, test := range []struct {
		name    string
		network func(*testing.T, *memnet.Network)
		options Options
		pinned  bool
		session *Session
		want    []string
	}{
		{
			name: "nothing answers", pinned: true, session: state(wire.Unreachable),
			network: func(_ *testing.T, n *memnet.Network) { n.Cut("p") },
			options: Options{Files: refusing(farm.Errorf(farm.PrinterNotConnected, "no answer")), Picture: noPicture},
			want: all([]string{"address fail", "mqtt_port skip", "certificate skip", "access_code skip"}, rest,
				[]string{"files_port skip", "files skip", "camera_port skip", "camera skip", "wifi skip"}),
		},
		{
			name: "LAN mode is off", pinned: true, session: state(wire.Unreachable),
			options: Options{Files: writable, Picture: noPicture},
			want: all([]string{"mqtt_port fail", "certificate skip"}, rest[:3],
				[]string{"camera_port fail", "camera skip", "wifi skip"}),
		},
		{
			name: "another printer", pinned: true, session: state(wire.WrongSerial),
			network: func(t *testing.T, n *memnet.Network) { n.Serve(t, "p:8883", shows(t, "01P00A000000002")) },
			options: Options{Files: refusing(farm.Errorf(farm.PrinterNotConnected, "not this printer")), Picture: noPicture},
			want: all([]string{"certificate fail", "access_code skip"}, rest,
				[]string{"files_port fail", "files skip", "camera_port fail", "camera skip", "wifi skip"}),
		},
		{
			name: "another certificate", session: state(wire.CertificateChanged),
			network: func(t *testing.T, n *memnet.Network) { n.Serve(t, "p:8883", shows(t, serial)) },
			options: Options{Files: writable, Picture: picture, FFmpeg: "x"},
			want:    all([]string{"certificate fail"}, rest[:3], []string{"wifi skip"}),
		},
		{
			name: "something that speaks no TLS", pinned: true, session: state(wire.Unreachable),
			network: func(t *testing.T, n *memnet.Network) {
				n.Serve(t, "p:8883", func(c net.Conn) { _, _ = c.Write([]byte("220 hello\r\n")) })
			},
			options: Options{Files: writable, Picture: picture, FFmpeg: "x"},
			want:    all([]string{"certificate fail"}, rest[:3], []string{"wifi skip"}),
		},
		{
			name: "accepts and never answers", pinned: true, session: state(wire.Unreachable),
			network: func(t *testing.T, n *memnet.Network) {
				n.Serve(t, "p:8883", func(c net.Conn) { _, _ = c.Read(make([]byte, 1000)); _, _ = c.Read(make([]byte, 1)) })
			},
			options: Options{Files: writable, Picture: picture, FFmpeg: "x"},
			want:    all([]string{"certificate fail"}, rest[:3], []string{"wifi skip"}),
		},
		{
			name: "a wrong access code", pinned: true, session: state(wire.WrongAccessCode),
			network: func(t *testing.T, n *memnet.Network) {
				n.Serve(t, "p:8883", shows(t, serial))
				n.Serve(t, "p:990", nil)
				n.Serve(t, "p:322", nil)
			},
			options: Options{Files: refusing(farm.Errorf(farm.PrinterNotConnected, "the printer refused the access code 12345678")), Picture: noPicture},
			want: all([]string{"access_code fail"}, rest,
				[]string{"files fail", "camera fail", "wifi skip"}),
		},
		{
			name: "busy, and nothing but the session known", pinned: true, session: online(),
			network: func(t *testing.T, n *memnet.Network) {
				n.Serve(t, "p:8883", shows(t, serial))
				n.Serve(t, "p:990", nil)
			},
			options: Options{Files: refusing(farm.Errorf(farm.PrinterBusy, "busy"))},
			want:    []string{"files warn", "camera_port fail", "camera skip"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := memnet.New()
				if test.network != nil {
					test.network(t, network)
				}
				test.options.Dial = network.Dialer("agent")
				began := time.Now()
				r := New(test.options).Printer(t.Context(), target(test.pinned), test.session)
				sound(t, r)
				if got := verdicts(r); !slices.Equal(got, test.want) {
					t.Errorf("%q", got)
				}
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestWithoutASessionOneIsOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		network.Serve(t, "p:8883", shows(t, serial))
		var logins atomic.Int64
		var failure error
		d := New(Options{Dial: network.Dialer("agent"), FFmpeg: "x", Files: writable, Picture: picture, Login: func(context.Context, Target) (Session, error) {
			logins.Add(1)
			return *online(), failure
		}})
		if r := d.Printer(t.Context(), target(true), nil); wire.Worst(r.Checks) != wire.Pass || logins.Load() != 1 {
			t.Errorf("%v after %d logins", verdicts(r), logins.Load())
		}
		r := d.Printer(t.Context(), target(false), nil)
		if logins.Load() != 1 || checkOf(t, r, "certificate").Result != wire.Fail {
			t.Errorf("the access code went to a stranger: %v", verdicts(r))
		}
		failure = farm.Errorf(farm.PrinterNotConnected, "no answer to the code 12345678")
		r = d.Printer(t.Context(), target(true), nil)
		sound(t, r)
		if c := checkOf(t, r, "access_code"); c.Result != wire.Pass { // the file server took it
			t.Errorf("%+v", c)
		}
	})
}

func TestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		network.Cut("p")
		waits := func(ctx context.Context, _ Target) error { <-ctx.Done(); return ctx.Err() }
		d := New(Options{Dial: network.Dialer("agent"), Picture: waits, Files: func(ctx context.Context, t Target) (Files, error) {
			return Files{}, waits(ctx, t)
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		sound(t, d.Printer(ctx, target(true), nil))
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
		began = time.Now()
		sound(t, d.Printer(t.Context(), target(true), nil))
		if took := time.Since(began); took > wholeTime {
			t.Errorf("took %v", took)
		}
	})
}
