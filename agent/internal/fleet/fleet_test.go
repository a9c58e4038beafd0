package fleet

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
	"bambuddy/shared/wire"
)

const (
	one = "00M00A000000001"
	two = "00M00A000000002"
	p1  = "01P00A000000003"
)

func TestSessionsFollowTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one, two)
		defer p.off()
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		result := f.apply(config(1, entry(one, 1), entry(two, 1)))
		if len(result.Applied) != 2 || result.Revision != 1 || result.Kept == nil || result.Errors == nil {
			t.Errorf("%+v", result)
		}
		f.until(one, wire.Online, 5*time.Second)
		f.until(two, wire.Online, 5*time.Second)
		if g, r, held := f.Held(); g != 1 || r != 1 || !reflect.DeepEqual(held, []wire.Presence{{Serial: one, Fence: 1}, {Serial: two, Fence: 1}}) {
			t.Errorf("held %d/%d %v", g, r, held)
		}

		// The same again, and one that only renames, disturb nobody.
		f.apply(config(1, entry(one, 1), entry(two, 1)))
		renamed := entry(one, 1)
		renamed.Name, renamed.Model = "another", "X1C"
		f.apply(config(2, renamed, entry(two, 1)))
		if _, err := f.Apply(t.Context(), config(1, entry(two, 1))); !farm.Is(err, farm.Conflict) {
			t.Errorf("an older one: %v", err)
		}
		after(5 * time.Second)
		for _, d := range f.Diagnostics() {
			if d.Connects != 1 || d.Connection.State != wire.Online {
				t.Errorf("%+v", d)
			}
		}

		// A changed access code concerns one.
		wrong := renamed
		wrong.AccessCode = "00000000"
		f.apply(config(3, wrong, entry(two, 1)))
		f.until(one, wire.WrongAccessCode, 5*time.Second)
		if f.state(two) != wire.Online {
			t.Error("the other one was disturbed")
		}
		f.apply(config(4, renamed, entry(two, 1)))
		f.until(one, wire.Online, 5*time.Second)

		// Absence keeps, a tombstone removes.
		if result = f.apply(config(5, entry(two, 1))); len(result.Kept) != 1 || f.state(one) != wire.Online {
			t.Errorf("%+v", result)
		}
		f.apply(tombstones(config(6, entry(two, 1)), farm.Tombstone{Serial: one, Fence: 1}))
		synctest.Wait()
		if f.state(one) != "" || f.state(two) != wire.Online {
			t.Errorf("%+v", f.Diagnostics())
		}
		after(time.Second)
		if n := p.brokers[one].Clients.Len(); n != 1 { // the inline client
			t.Errorf("%d clients at a printer that was removed", n)
		}
	})
}

func TestRestartWithoutAHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one, two)
		defer p.off()
		dir := t.TempDir()
		f := runFleet(t, dir, p.net)
		f.apply(config(1, entry(one, 1), entry(two, 1)))
		f.apply(config(7, entry(two, 2))) // one is kept
		f.until(one, wire.Online, 5*time.Second)
		f.until(two, wire.Online, 5*time.Second)
		f.stop()
		if _, err := f.Apply(t.Context(), config(8)); !farm.Is(err, farm.Unavailable) {
			t.Errorf("applied after the end: %v", err)
		}

		again := runFleet(t, dir, p.net)
		defer again.stop()
		if g, r, held := again.Held(); g != 1 || r != 7 || len(held) != 2 || held[1].Fence != 2 {
			t.Errorf("held %d/%d %v", g, r, held)
		}
		again.until(one, wire.Online, 5*time.Second)
		again.until(two, wire.Online, 5*time.Second)
		nothingReadable(t, dir)
	})
}

// nothingReadable: no file tells a serial number or an access code, or may be read by others.
func nothingReadable(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%v %v, want three files", entries, err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || bytes.Contains(b, []byte(code)) || bytes.Contains(b, []byte(one)) {
			t.Errorf("%s can be read (%v)", e.Name(), err)
		}
		if info, err := e.Info(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestPinsOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one)
		dir := t.TempDir()
		f := runFleet(t, dir, p.net)
		f.apply(config(1, entry(one, 1)))
		f.until(one, wire.Online, 5*time.Second)
		f.stop()
		p.off()
		p.on(one) // with another certificate
		defer p.off()

		f = runFleet(t, dir, p.net)
		defer f.stop()
		f.until(one, wire.CertificateChanged, 5*time.Second)

		// Removed and added again is a person's word that it is the one meant.
		f.apply(tombstones(config(2), farm.Tombstone{Serial: one, Fence: 1}))
		f.apply(config(3, entry(one, 2)))
		f.until(one, wire.Online, 5*time.Second)
	})
}

func TestDamagedFilesAreSetAside(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, dir string)
		aside  []string
	}{
		{"a flipped bit", func(t *testing.T, dir string) {
			path := filepath.Join(dir, configFile)
			b := read(t, path)
			b[len(b)/2] ^= 1
			write(t, path, b)
		}, []string{configFile}},
		{"cut off", func(t *testing.T, dir string) { write(t, filepath.Join(dir, configFile), []byte{1, 2, 3}) }, []string{configFile}},
		{"empty", func(t *testing.T, dir string) { write(t, filepath.Join(dir, configFile), nil) }, []string{configFile}},
		{"one file in the place of another", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, configFile), read(t, filepath.Join(dir, pinsFile)))
		}, []string{configFile}},
		{"pins", func(t *testing.T, dir string) { write(t, filepath.Join(dir, pinsFile), []byte("x")) }, []string{pinsFile}},
		{"the key", func(t *testing.T, dir string) { write(t, filepath.Join(dir, keyFile), []byte("short")) }, []string{keyFile, configFile, pinsFile}},
		{"another key", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, keyFile), bytes.Repeat([]byte{7}, keySize))
		}, []string{configFile, pinsFile}},
		{"no key", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
				t.Fatal(err)
			}
		}, []string{configFile, pinsFile}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPrinters(t, one)
				defer p.off()
				dir := t.TempDir()
				f := runFleet(t, dir, p.net)
				f.apply(config(5, entry(one, 1)))
				f.until(one, wire.Online, 5*time.Second)
				f.stop()
				test.damage(t, dir)

				f = runFleet(t, dir, p.net)
				defer f.stop()
				if !strings.Contains(f.logs.String(), "set aside") {
					t.Errorf("nothing told:\n%s", f.logs)
				}
				for _, name := range test.aside {
					if _, err := os.Stat(filepath.Join(dir, name+".unusable")); err != nil {
						t.Error(err)
					}
				}
				f.apply(config(5, entry(one, 1))) // the hub pushes again
				f.until(one, wire.Online, 5*time.Second)
			})
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAnotherHubsConfigurationIsNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		dir := t.TempDir()
		f := runFleet(t, dir, network)
		f.apply(config(5, entry(one, 1)))
		f.stop()
		other, err := New(Options{Dir: dir, HubID: "hub-2", Dial: network.Dialer("agent"), Log: f.log})
		if err != nil {
			t.Fatal(err)
		}
		if g, r, held := other.Held(); g != 0 || r != 0 || len(held) != 0 {
			t.Errorf("held %d/%d %v", g, r, held)
		}
		if _, err := other.Apply(t.Context(), config(9)); !farm.Is(err, farm.Conflict) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestNothingIsAppliedThatCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := runFleet(t, dir, memnet.New())
		defer f.stop()
		f.apply(config(1, entry(one, 1)))
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Apply(t.Context(), config(2, entry(two, 1))); !farm.Is(err, farm.Unavailable) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("err = %v", err)
		}
		if _, r, held := f.Held(); r != 1 || len(held) != 1 {
			t.Errorf("held revision %d, %v", r, held)
		}
	})
}

func TestConfiguredBeforeItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one)
		defer p.off()
		f, err := New(Options{Dir: t.TempDir(), HubID: hubID, Dial: p.net.Dialer("agent"), Log: runFleetLog()})
		if err != nil {
			t.Fatal(err)
		}
		old := entry(one, 1)
		old.Address = "elsewhere"
		for i, e := range []wire.PrinterConfig{old, entry(one, 1)} {
			if _, err := f.Apply(t.Context(), config(int64(i+1), e)); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		r := &running{Fleet: f, t: t, logs: &logBuffer{}}
		r.until(one, wire.Online, 5*time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestOneBadPrinterAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serials := []string{one, two, p1}
		p := newPrinters(t, serials...)
		defer p.off()
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		broken := entry("00M00A000000009", 1) // nobody there
		refused := entry("00M00A000000008", 1)
		refused.MQTTPort = 0
		result := f.apply(config(1, entry(one, 1), refused, entry(two, 1), broken, entry(p1, 1)))
		if len(result.Applied) != 4 || len(result.Errors) != 1 || result.Errors[0].Serial != refused.Serial {
			t.Errorf("%+v", result)
		}
		for _, s := range serials {
			f.until(s, wire.Online, 5*time.Second)
		}
		for i := range 300 {
			p.say(one, strings.Repeat("[", i))
			p.bed(two, i)
			synctest.Wait()
		}
		for _, d := range f.Diagnostics() {
			switch d.Serial {
			case one:
				if d.Rejected != 300 || d.Connects != 1 {
					t.Errorf("%+v", d)
				}
			case two:
				if d.Rejected+d.Dropped != 0 || d.Reports < 300 || d.Connection.State != wire.Online {
					t.Errorf("%+v", d)
				}
			case broken.Serial:
				if d.Connection.State != wire.Unreachable {
					t.Errorf("%+v", d)
				}
			}
		}
	})
}

func TestCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one, p1)
		defer p.off()
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		f.apply(config(1, entry(one, 3), entry(p1, 1), entry(two, 1)))
		f.until(one, wire.Online, 5*time.Second)
		f.until(p1, wire.Online, 5*time.Second)
		after(10 * time.Second)
		refresh := wire.Command{ID: "c1", Fence: 3, ValidMS: 1000, Kind: wire.Refresh}
		change := func(f func(*wire.Command)) wire.Command { c := refresh; f(&c); return c }
		tests := []struct {
			name, serial string
			c            wire.Command
			want         farm.Code
			deferred     bool
		}{
			{"refresh", one, refresh, "", false},
			{"within the budget", p1, change(func(c *wire.Command) { c.Fence = 1 }), "", true},
			{"an older fence", one, change(func(c *wire.Command) { c.Fence = 2 }), farm.Conflict, false},
			{"a newer fence", one, change(func(c *wire.Command) { c.Fence = 4 }), farm.Conflict, false},
			{"an unknown kind", one, change(func(c *wire.Command) { c.Kind = "dance" }), farm.Unsupported, false},
			{"a stranger", "00M", refresh, farm.NotFound, false},
			{"not connected", two, change(func(c *wire.Command) { c.Fence = 1 }), farm.PrinterNotConnected, false},
			{"no time", one, change(func(c *wire.Command) { c.ValidMS = 0 }), farm.Invalid, false},
			{"too much time", one, change(func(c *wire.Command) { c.ValidMS = wire.MaxValidMS + 1 }), farm.Invalid, false},
		}
		for _, test := range tests {
			got, err := f.Command(t.Context(), test.serial, test.c)
			if farm.CodeOf(err) != test.want || got.Deferred != test.deferred || err == nil && got.ID != test.c.ID {
				t.Errorf("%s: %+v, %v", test.name, got, err)
			}
		}
	})
}
