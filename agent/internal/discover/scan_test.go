package discover

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/wire"
)

func TestScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		network.Serve(t, "192.168.1.10:3000", answers(detectReply(p2s, "N7")))
		network.Serve(t, "192.168.1.20:8883", shows(t, p1s)) // 3000 is closed
		network.Serve(t, "192.168.1.30:8883", shows(t, "broker.example"))
		network.Serve(t, "192.168.1.40:3000", func(c net.Conn) { // somebody's web server
			_, _ = c.Read(make([]byte, 100))
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		})
		network.Serve(t, "192.168.1.50:3000", func(c net.Conn) { _, _ = c.Read(make([]byte, 100)); <-time.After(time.Hour) })
		network.Serve(t, "192.168.1.60:3000", answers(`{"login":{"sequence_id":1000,"command":"login_report","status":"FAILURE"}}`))
		network.Serve(t, "192.168.1.60:8883", shows(t, "03900A000000003"))
		network.Serve(t, "192.168.1.99:3000", answers(detectReply("00M00A000000009", "BL-P001")))
		network.Cut("192.168.1.70") // drops everything

		var last int
		d := New(Options{Dial: network.Dialer("agent"), Log: logger()})
		began := time.Now()
		found, err := d.Scan(t.Context(), prefixes(t, "192.168.1.0/26", "192.168.1.70", "192.168.1.10"), func(done, total int) {
			last = done
			if total != 63 {
				t.Errorf("%d addresses", total)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > probeTimeout {
			t.Errorf("took %v", took)
		}
		if last != 63 {
			t.Errorf("progress ended at %d", last)
		}
		var got []string
		for _, f := range found {
			got = append(got, f.Serial+" "+f.Model+" "+f.Address+" "+string(f.Via))
		}
		want := []string{p1s + " P1S 192.168.1.20 certificate", "03900A000000003 A1 192.168.1.60 certificate", p2s + " P2S 192.168.1.10 detect"}
		if !slices.Equal(got, want) {
			t.Errorf("found %v", got)
		}
		if len(d.Seen()) != 3 || found[2].Name != "Shop" || found[2].Firmware != "01.02.00.00" || found[2].SeenMS == 0 {
			t.Errorf("%+v", found)
		}
		time.Sleep(time.Hour) // the one who never answers
	})
}

func TestScanIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		d := New(Options{Log: logger(), Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		began := time.Now()
		if found, err := d.Scan(t.Context(), prefixes(t, "10.0.0.0/20"), nil); err != nil || len(found) != 0 {
			t.Errorf("%v, %v", found, err)
		}
		if most.Load() > 2*scanners {
			t.Errorf("%d connections at once", most.Load())
		}
		if took := time.Since(began); took > 64*probeTimeout {
			t.Errorf("took %v", took)
		}

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := d.Scan(ctx, prefixes(t, "10.0.0.0/20"), nil)
			ended <- err
		}()
		time.Sleep(time.Second)
		if _, err := d.Scan(t.Context(), prefixes(t, "10.0.0.1"), nil); !farm.Is(err, farm.Conflict) {
			t.Errorf("a second scan: %v", err)
		}
		began = time.Now()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestAScanOverrulesAnnouncements(t *testing.T) {
	table := newTable()
	now := time.Now()
	ssdp, _ := facts{serial: p2s, name: "Shop", firmware: "01.02.00.00"}.found(netip.MustParseAddr(office), wire.ViaSSDP)
	shown, _ := facts{serial: p2s}.found(netip.MustParseAddr(shed), wire.ViaCertificate)
	table.note(ssdp, now)
	if !table.note(shown, now) {
		t.Error("nobody is told")
	}
	if got := table.list(now)[0]; got.Address != shed || got.Name != "Shop" || got.Firmware != "01.02.00.00" {
		t.Errorf("%+v", got)
	}
}

func TestRanges(t *testing.T) {
	for _, test := range []struct {
		ranges string
		count  int
		ends   string
	}{
		{"192.168.1.0/24", 254, "192.168.1.1 192.168.1.254"},
		{"192.168.1.17/24", 254, "192.168.1.1 192.168.1.254"},
		{"10.0.0.4/31", 2, "10.0.0.4 10.0.0.5"},
		{"10.0.0.4", 1, "10.0.0.4 10.0.0.4"},
		{"192.168.1.0/25 192.168.1.64/26", 126, "192.168.1.1 192.168.1.126"},
		{"172.16.0.0/20", 4094, "172.16.0.1 172.16.15.254"},
		{"127.0.0.0/24 169.254.1.0/30", 256, "127.0.0.1 169.254.1.2"},
		{"", 0, ""},
	} {
		got, err := addressesOf(prefixes(t, strings.Fields(test.ranges)...))
		if err != nil || len(got) != test.count {
			t.Errorf("%s: %d, %v", test.ranges, len(got), err)
			continue
		}
		if test.count > 0 && got[0].String()+" "+got[len(got)-1].String() != test.ends {
			t.Errorf("%s: %v to %v", test.ranges, got[0], got[len(got)-1])
		}
	}
	for _, bad := range []string{"8.8.8.0/24", "0.0.0.0/0", "192.168.0.0/15", "10.0.0.0/8", "fd00::/120", "::/0", "10.0.0.0/20 10.1.0.0/32", "172.32.0.1"} {
		if got, err := addressesOf(prefixes(t, strings.Fields(bad)...)); !farm.Is(err, farm.Invalid) {
			t.Errorf("%s: %d, %v", bad, len(got), err)
		}
	}
	for _, bad := range []string{"", "kitchen", "192.168.1.0/33", "192.168.1.1-20"} {
		if p, err := ParseRange(bad); !farm.Is(err, farm.Invalid) {
			t.Errorf("%q: %v, %v", bad, p, err)
		}
	}
}

func TestLocalRanges(t *testing.T) {
	parse := func(s string) net.Addr {
		ip, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		n.IP = ip
		return n
	}
	got := rangesAround([]net.Addr{
		parse("127.0.0.1/8"), parse("192.168.1.17/24"), parse("192.168.1.18/24"), parse("10.1.2.3/8"), parse("8.8.8.8/24"), parse("fe80::1/64"),
	})
	if want := prefixes(t, "192.168.1.0/24", "10.1.2.0/24"); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if _, err := LocalRanges(); err != nil {
		t.Error(err)
	}
}

func FuzzDetectReply(f *testing.F) {
	f.Add(frame([]byte(detectReply(p2s, "N7"))))
	f.Add([]byte{0xA5, 0xA5, 0xFF, 0xFF, '{'})
	f.Add(frame(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := readFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		said, err := parseDetect(body)
		if err != nil {
			return
		}
		if found, ok := said.found(sender, wire.ViaDetect); ok {
			checkFound(t, found)
		}
	})
}
