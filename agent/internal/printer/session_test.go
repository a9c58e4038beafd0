package printer

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/testcert"
	"bambuddy/shared/wire"
)

func TestConnectsAndMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		r.say(delta(`"gcode_state":"RUNNING","mc_percent":12`))
		r.say(delta(`"bed_temper":60`))
		synctest.Wait()

		s := r.Snapshot()
		if s.Status.Job.GcodeState != "RUNNING" || s.Status.Job.Progress.Or(-1) != 12 || s.Status.Temps.Bed.Or(-1) != 60 || s.Status.Temps.Nozzle.Or(-1) != 21 {
			t.Errorf("merged %+v %+v", s.Status.Job, s.Status.Temps)
		}
		if s.Status.Machine.Firmware != "01.09.00.00" {
			t.Errorf("firmware %q", s.Status.Machine.Firmware)
		}
		if !s.LastReport.Equal(time.Now()) || s.Reports != 4 || s.Rejected+s.Dropped != 0 || s.Connects != 1 {
			t.Errorf("last report %v, counters %+v", s.LastReport, s.Counters)
		}
		if len(r.topics) != 1 || r.topics[0] != "device/"+x1Serial+"/report" {
			t.Errorf("subscribed to %v", r.topics)
		}
		if len(r.asked("pushall", time.Time{})) != 1 || len(r.asked("get_version", time.Time{})) != 1 {
			t.Errorf("requests: %v", r.requests)
		}
		for _, q := range r.requests {
			if !regexp.MustCompile(`"sequence_id":"2\d{4}"`).MatchString(q.text) {
				t.Errorf("sequence id of %s", q.text)
			}
		}
	})
}

func TestAPublishedStatusNeverChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		before := r.Snapshot()
		r.say(delta(`"lights_report":[{"node":"chamber_light","mode":"on"}],"bed_temper":99`))
		synctest.Wait()
		if before.Status.Temps.Bed.Value != 20.5 || len(before.Status.Lights) != 0 || r.Snapshot().Status.Temps.Bed.Value != 99 {
			t.Errorf("before %+v, now %+v", before.Status.Temps, r.Snapshot().Status.Temps)
		}
	})
}

func TestWrongAccessCodeIsToldAndTriedRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		start := r.seen()
		r.set(func() { r.code = "87654321" })
		r.net.Reset("agent")
		r.until(wire.WrongAccessCode, time.Minute)
		if d := r.Snapshot().Connection.Detail; !strings.Contains(d, "access code") || strings.Contains(d, goodCode) {
			t.Errorf("detail %q", d)
		}
		after(time.Hour)
		if tries := r.seen() - start; tries < 12 || tries > 60 {
			t.Errorf("%d logins in an hour of a wrong code", tries)
		}
		if strings.Count(r.logs.String(), "state=wrong_access_code") != 1 {
			t.Errorf("told more than once:\n%s", r.logs)
		}
		if strings.Contains(r.logs.String(), goodCode) {
			t.Error("the access code is in the log")
		}
		r.set(func() { r.code = goodCode })
		r.until(wire.Online, 5*time.Minute+10*time.Second)
	})
}

func TestCodeIsNeverShownToAnotherPrinter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		r.set(func() { r.cert = testcert.New(t, "00M00A000000777"); r.logins = 0 })
		r.net.Reset("agent")
		r.until(wire.WrongSerial, time.Minute)
		after(10 * time.Minute)
		if r.seen() != 0 {
			t.Errorf("%d logins sent to a printer with another serial number", r.seen())
		}
		if d := r.Snapshot().Connection.Detail; !strings.Contains(d, "00M00A000000777") || !strings.Contains(d, x1Serial) {
			t.Errorf("detail %q", d)
		}
	})
}

func TestCertificateIsPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		r.set(func() { r.cert = testcert.New(t, x1Serial); r.logins = 0 })
		r.net.Reset("agent")
		r.until(wire.CertificateChanged, time.Minute)
		after(10 * time.Minute)
		if r.seen() != 0 {
			t.Errorf("%d logins sent under a certificate that is not the pinned one", r.seen())
		}

		// A new access code is a person's word that this printer is meant.
		r.stop()
		r.set(func() { r.code = "new-code" })
		cfg := r.config()
		cfg.AccessCode = "new-code"
		old := r.Session
		r.Session = New(cfg, r.deps())
		r.Follow(old)
		r.run()
		r.until(wire.Online, 5*time.Second)
	})
}

func TestPinIsKeptOnlyAfterALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial, func(f *fake) { f.connack = 5 })
		defer r.cleanUp()
		r.until(wire.WrongAccessCode, 5*time.Second)
		if r.pins.len() != 0 {
			t.Error("pinned without a login")
		}
		r.set(func() { r.connack = 0 })
		r.until(wire.Online, 5*time.Minute)
		if r.pins.len() != 1 {
			t.Error("not pinned after the login")
		}
	})
}

func TestSilenceIsProbedThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		after(10 * time.Second)
		r.set(func() { r.mute = true })
		quiet := time.Now().Add(-10 * time.Second)
		after(49 * time.Second)
		if n := len(r.asked("pushall", quiet.Add(time.Second))); n != 0 {
			t.Fatalf("asked after less than a minute of silence")
		}
		after(2 * time.Second)
		if n := len(r.asked("pushall", quiet.Add(time.Second))); n != 1 {
			t.Fatalf("asked %d times after a minute of silence, want once", n)
		}
		if r.Snapshot().Connection.State != wire.Online {
			t.Error("given up before the answer could come")
		}
		after(30 * time.Second)
		if got := r.Snapshot().Connection; got.State != wire.Silent || got.Detail == "" {
			t.Fatalf("after 91 s: %+v", got)
		}
		logins := r.seen()
		after(5 * time.Minute)
		if r.seen() == logins || r.Snapshot().Connection.State != wire.Silent {
			t.Errorf("%d new logins, state %v", r.seen()-logins, r.Snapshot().Connection)
		}
		r.set(func() { r.mute = false })
		r.until(wire.Online, 2*time.Minute)
	})
}

func TestASlowSeriesIsProbedWithinItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, p1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		began := time.Now()
		// It has nothing to report, but answers: it stays, and a full report is
		// asked for when the five minutes are over.
		after(299 * time.Second)
		if len(r.asked("pushall", began.Add(time.Second))) != 0 || len(r.asked("get_version", began.Add(time.Second))) == 0 {
			t.Errorf("requests: %v", r.requests)
		}
		after(2 * time.Minute)
		if len(r.asked("pushall", began.Add(time.Second))) == 0 {
			t.Error("no full report asked for after the budget's five minutes")
		}
		if s := r.Snapshot(); s.Connects != 1 || s.Connection.State != wire.Online {
			t.Errorf("%+v %+v", s.Connection, s.Counters)
		}
		gaps(t, r.asked("pushall", time.Time{}), 5*time.Minute)

		// Now it says nothing at all.
		r.set(func() { r.mute = true })
		r.until(wire.Silent, 100*time.Second)
		after(30 * time.Minute)
		gaps(t, r.asked("pushall", time.Time{}), 5*time.Minute)
	})
}

func gaps(t *testing.T, asked []request, least time.Duration) {
	t.Helper()
	for i := 1; i < len(asked); i++ {
		if gap := asked[i].at.Sub(asked[i-1].at); gap < least {
			t.Errorf("full reports asked for %v apart", gap)
		}
	}
}

func TestAPrinterThatHearsNothingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, p1Serial, func(f *fake) { f.mute = true })
		defer r.cleanUp()
		for range 70 {
			after(time.Second)
			r.say(delta(`"wifi_signal":"-50dBm"`))
		}
		if got := r.Snapshot().Connection; got.State != wire.Online || got.Detail != deafDetail {
			t.Errorf("%+v", got)
		}
		r.set(func() { r.mute = false })
		for range 70 {
			after(time.Second)
			r.say(delta(`"wifi_signal":"-50dBm"`))
		}
		if got := r.Snapshot(); got.Connection.State != wire.Online || got.Connection.Detail != "" || got.Connects != 1 {
			t.Errorf("%+v", got.Connection)
		}
	})
}

func TestPrinterSwitchedOffAndOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		r.off()
		r.until(wire.Unreachable, 5*time.Second)
		after(10 * time.Minute)
		if d := r.Snapshot().Connection.Detail; !strings.Contains(d, "refuses connections") {
			t.Errorf("detail %q", d)
		}
		if r.Snapshot().Status.Temps.Nozzle.Or(0) != 21 {
			t.Error("the last known values are gone")
		}
		r.on()
		r.until(wire.Online, 61*time.Second)
	})
}

func TestNetworkCutForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		r.net.Cut("agent")
		// TCP says nothing: the missing answer to a ping does.
		r.until(wire.Unreachable, 50*time.Second)
		after(10 * time.Minute)
		if d := r.Snapshot().Connection.Detail; !strings.Contains(d, "no answer from "+address) {
			t.Errorf("detail %q", d)
		}
		r.net.Heal("agent")
		r.until(wire.Online, 61*time.Second+dialTimeout)
		if n := strings.Count(r.logs.String(), "state=unreachable"); n != 1 {
			t.Errorf("told %d times that it is away:\n%s", n, r.logs)
		}
	})
}

func TestStoppedWhileDialling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		r.off()
		r.net.Cut("agent")
		after(2 * time.Minute) // dialling, or waiting to
		start := time.Now()
		r.stop()
		if took := time.Since(start); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
		if s := r.Snapshot().Connection.State; s != wire.Stopped {
			t.Errorf("state %s", s)
		}
	})
}

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		after(10 * time.Second)
		now := time.Now()
		if deferred, err := r.Refresh(t.Context()); deferred || err != nil {
			t.Fatalf("deferred %v, %v", deferred, err)
		}
		if deferred, err := r.Refresh(t.Context()); !deferred || err != nil {
			t.Fatalf("a second at once: deferred %v, %v", deferred, err)
		}
		after(10 * time.Second)
		asked := r.asked("pushall", now)
		if len(asked) != 2 || asked[1].at.Sub(asked[0].at) != pushallEvery {
			t.Errorf("asked %v", asked)
		}
		r.off()
		synctest.Wait()
		if _, err := r.Refresh(t.Context()); !farm.Is(err, farm.PrinterNotConnected) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestRefreshWithinTheBudgetIsPutOffAcrossConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, p1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		first := r.asked("pushall", time.Time{})[0].at
		for range 3 {
			after(10 * time.Second)
			if deferred, err := r.Refresh(t.Context()); !deferred || err != nil {
				t.Fatalf("deferred %v, %v", deferred, err)
			}
		}
		r.net.Reset("agent") // the printer's limit knows nothing of connections
		after(10 * time.Second)
		r.until(wire.Online, 5*time.Second)

		// Nor of a changed configuration.
		r.stop()
		old := r.Session
		r.Session = New(r.config(), r.deps())
		r.Follow(old)
		if r.Snapshot().Status.Temps.Nozzle.Or(0) != 21 {
			t.Error("the successor shows nothing")
		}
		r.run()
		for range 300 {
			after(time.Second)
			r.say(delta(`"wifi_signal":"-50dBm"`))
		}
		asked := r.asked("pushall", time.Time{})
		if len(asked) != 2 || asked[1].at.Sub(first) != 5*time.Minute {
			t.Errorf("asked %v", asked)
		}
	})
}

func TestRefreshGivesUpWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := &connection{asks: make(chan func()), gone: make(chan struct{})} // nobody listens
		lone := New(r.config(), r.deps())
		lone.online.Store(c)
		if _, err := lone.Refresh(ctx); err == nil {
			t.Error("no error")
		}
	})
}

func TestOverflowAsksForAFullReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, x1Serial)
		r.until(wire.Online, 5*time.Second)
		r.stop()

		deps := r.deps()
		hold := make(chan struct{})
		var held bool
		deps.Changed = func() {
			if r.Snapshot().Status.Temps.Bed.Or(0) == 77 && !held {
				held = true
				<-hold // a session that is busy elsewhere
			}
		}
		old := r.Session
		r.Session = New(r.config(), deps)
		r.Follow(old)
		r.run()
		defer r.cleanUp()
		r.until(wire.Online, 10*time.Second)
		after(10 * time.Second)
		r.say(delta(`"bed_temper":77`))
		synctest.Wait()
		now := time.Now()
		for range 200 {
			r.say(delta(`"mc_percent":50`))
		}
		synctest.Wait()
		if dropped := r.Snapshot().Dropped; dropped != 200-maxFrames {
			t.Errorf("dropped %d", dropped)
		}
		close(hold)
		synctest.Wait()
		if len(r.asked("pushall", now)) != 1 {
			t.Errorf("requests after the overflow: %v", r.asked("pushall", now))
		}
	})
}
