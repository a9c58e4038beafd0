package fleet

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

func runFleetLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// reader reads a Watcher without ever waiting.
type reader struct {
	*Watcher
	t *testing.T
}

func (r reader) frames() map[string]wire.StateFrame {
	r.t.Helper()
	synctest.Wait()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Nanosecond)
	defer cancel()
	frames, err := r.Next(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		r.t.Fatal(err)
	}
	by := map[string]wire.StateFrame{}
	for _, f := range frames {
		if _, twice := by[f.Serial]; twice {
			r.t.Errorf("two frames of %s at once", f.Serial)
		}
		by[f.Serial] = f
	}
	return by
}

func TestWatchBeginsWholeAndGoesOnWithChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one, two)
		defer p.off()
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		f.apply(config(1, entry(one, 3), entry(two, 1)))
		f.until(one, wire.Online, 5*time.Second)
		f.until(two, wire.Online, 5*time.Second)
		w := reader{f.Watch(), t}
		defer w.Close()
		first := w.frames()
		if len(first) != 2 {
			t.Fatalf("%d frames", len(first))
		}
		for serial, frame := range first {
			if !frame.Whole || frame.Patch.Job == nil || frame.Patch.Machine == nil || frame.Connection == nil || frame.Connection.State != wire.Online || frame.SeenAgoMS < 0 {
				t.Errorf("%s: %+v", serial, frame)
			}
		}
		if first[one].Fence != 3 {
			t.Errorf("fence %d", first[one].Fence)
		}
		if got := w.frames(); len(got) != 0 {
			t.Errorf("nothing happened, but %v", got)
		}

		for i := range 20 { // a slow reader gets the newest
			p.bed(one, 30+i)
			synctest.Wait()
		}
		after(time.Second)
		got := w.frames()
		if len(got) != 1 || got[one].Whole || got[one].Patch.Temps == nil || got[one].Patch.Temps.Bed.Value != 49 || got[one].Patch.Job != nil || got[one].Connection != nil {
			t.Errorf("%+v", got)
		}
		if got[one].SeenAgoMS != 1000 {
			t.Errorf("seen %d ms ago, want 1000", got[one].SeenAgoMS)
		}
	})
}

func TestWatchTellsOfReportsWithoutNewsNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one)
		defer p.off()
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		f.apply(config(1, entry(one, 1)))
		f.until(one, wire.Online, 5*time.Second)
		w := reader{f.Watch(), t}
		defer w.Close()
		p.bed(one, 50)
		w.frames()
		n := 0
		for range 40 {
			after(time.Second)
			p.bed(one, 50)
			n += len(w.frames())
		}
		if n != 4 {
			t.Errorf("%d frames in 40 s of reports without news, want one in 10 s", n)
		}
	})
}

func TestWatchTellsOfConnectionsFencesAndRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one)
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		w := reader{f.Watch(), t}
		defer w.Close()
		if got := w.frames(); len(got) != 0 {
			t.Errorf("no printer, but %v", got)
		}
		f.apply(config(1, entry(one, 1)))
		if got := w.frames()[one]; !got.Whole || got.SeenAgoMS != -1 || got.Connection.State != wire.Connecting {
			t.Errorf("at the beginning %+v", got)
		}
		f.until(one, wire.Online, 5*time.Second)
		if got := w.frames()[one]; got.Whole || got.Connection == nil || got.Connection.State != wire.Online || got.Patch.Temps == nil {
			t.Errorf("online: %+v", got)
		}
		f.apply(config(2, entry(one, 2)))
		if got := w.frames()[one]; !got.Whole || got.Fence != 2 || got.Patch.Temps.Bed.Value != 20 {
			t.Errorf("under a new fence: %+v", got)
		}
		f.until(one, wire.Online, 5*time.Second)
		w.frames()
		p.off()
		f.until(one, wire.Unreachable, 5*time.Second)
		if got := w.frames()[one]; got.Connection == nil || got.Connection.State != wire.Unreachable || got.Connection.Detail == "" || !got.Patch.Empty() {
			t.Errorf("away: %+v", got)
		}
		f.apply(tombstones(config(3), farm.Tombstone{Serial: one, Fence: 2}))
		if got := w.frames()[one]; !got.Removed || got.Fence != 2 || !got.Patch.Empty() {
			t.Errorf("removed: %+v", got)
		}
		after(time.Minute)
		if got := w.frames(); len(got) != 0 {
			t.Errorf("after the removal: %v", got)
		}
	})
}

func TestNextWaitsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrinters(t, one)
		defer p.off()
		f := runFleet(t, t.TempDir(), p.net)
		defer f.stop()
		w := f.Watch()
		if frames, err := w.Next(t.Context()); err != nil || len(frames) != 0 {
			t.Fatalf("%v %v", frames, err)
		}
		got := make(chan string, 2)
		next := func() {
			frames, err := w.Next(t.Context())
			if err != nil {
				got <- err.Error()
				return
			}
			got <- frames[0].Serial
		}
		go next()
		synctest.Wait()
		f.apply(config(1, entry(one, 1)))
		if s := <-got; s != one {
			t.Errorf("got %s", s)
		}
		f.until(one, wire.Online, 5*time.Second)
		if frames, err := w.Next(t.Context()); err != nil || len(frames) != 1 {
			t.Fatalf("%v %v", frames, err)
		}
		go next()
		synctest.Wait()
		w.Close()
		w.Close()
		if s := <-got; s != errWatcherClosed.Error() {
			t.Errorf("got %s", s)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.watchers) != 0 {
			t.Error("a closed watcher is still told")
		}
	})
}
